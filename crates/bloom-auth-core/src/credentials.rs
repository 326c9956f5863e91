//! Where client credentials come from, asked anew at every fetch so that a
//! rotated secret needs no restart.

mod file;

use std::{error::Error as StdError, ffi::OsString, fmt, sync::Arc};

use async_trait::async_trait;
use zeroize::Zeroize as _;

pub use self::file::FileCredentials;
#[cfg(feature = "private-key-jwt")]
pub use self::file::PrivateKeyFile;
use crate::{
    client::{ClientCredentials, ClientId, ClientSecret},
    error::ConfigurationError,
};

/// Gives client credentials when a token has to be fetched.
///
/// # Contract
///
/// - Asked at every fetch, and at most once a second while the authorization
///   server refuses the credentials; never twice at a time by one provider.
/// - A source that has nothing good to give (a file half written, a vault that
///   does not answer) returns an error; the provider keeps the token it has.
/// - It must not ask the same provider for a token.
///
/// # Cancellation
///
/// The future is dropped when the engine's attempt timeout has passed.
#[async_trait]
pub trait CredentialsSource: fmt::Debug + Send + Sync {
    /// The credentials to use now.
    ///
    /// # Errors
    ///
    /// [`CredentialsError`] if there are none; its text holds no secret.
    async fn credentials(&self) -> Result<ClientCredentials, CredentialsError>;

    /// The credentials, if they never change: what is wrong with them is then
    /// found when the provider is built. By default they may change.
    fn fixed(&self) -> Option<&ClientCredentials> {
        None
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: CredentialsSource + ?Sized> CredentialsSource for Arc<T> {
    async fn credentials(&self) -> Result<ClientCredentials, CredentialsError> {
        (**self).credentials().await
    }

    fn fixed(&self) -> Option<&ClientCredentials> {
        (**self).fixed()
    }
}

/// Credentials that never change.
#[async_trait]
impl CredentialsSource for ClientCredentials {
    async fn credentials(&self) -> Result<Self, CredentialsError> {
        Ok(self.clone())
    }

    fn fixed(&self) -> Option<&ClientCredentials> {
        Some(self)
    }
}

/// Why a source has no credentials.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct CredentialsError {
    problem: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl CredentialsError {
    /// An error that says what is missing, without a secret in it.
    #[must_use]
    pub fn new(problem: impl Into<String>) -> Self {
        Self {
            problem: problem.into(),
            source: None,
        }
    }

    /// The same with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl From<ConfigurationError> for CredentialsError {
    fn from(error: ConfigurationError) -> Self {
        Self::new("the credentials cannot be used").with_source(error)
    }
}

/// Looks up an environment variable: the process's own, or a test's.
pub type EnvironmentLookup = dyn Fn(&str) -> Option<OsString> + Send + Sync;

/// Reads the client id and the secret from two environment variables.
#[derive(Clone)]
pub struct EnvironmentCredentials {
    lookup: Arc<EnvironmentLookup>,
}

impl EnvironmentCredentials {
    /// The variable that holds the client id.
    pub const CLIENT_ID: &'static str = "BLOOM_CLIENT_ID";
    /// The variable that holds the client secret.
    pub const CLIENT_SECRET: &'static str = "BLOOM_CLIENT_SECRET";

    /// Reads the variables of this process.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the look-up to inject")]
    pub fn new() -> Self {
        Self::with_lookup(|name| std::env::var_os(name))
    }

    /// Reads through a look-up of one's own.
    #[must_use]
    pub fn with_lookup(lookup: impl Fn(&str) -> Option<OsString> + Send + Sync + 'static) -> Self {
        Self {
            lookup: Arc::new(lookup),
        }
    }

    /// Reads the variables now.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`] that names the variable and what is wrong with
    /// it.
    pub fn read(&self) -> Result<ClientCredentials, ConfigurationError> {
        let read = |name: &'static str| {
            let Some(value) = (self.lookup)(name) else {
                return Err(ConfigurationError::new(name, "is not set", "set it"));
            };
            value.into_string().map_err(|value| {
                value.into_encoded_bytes().zeroize();
                ConfigurationError::new(name, "is not UTF-8", "set it to the text that Bloom gave")
            })
        };
        let id = ClientId::new(read(Self::CLIENT_ID)?)
            .map_err(|error| error.for_setting(Self::CLIENT_ID))?;
        let secret = ClientSecret::new(read(Self::CLIENT_SECRET)?)
            .map_err(|error| error.for_setting(Self::CLIENT_SECRET))?;
        Ok(ClientCredentials::new(id, secret))
    }
}

impl Default for EnvironmentCredentials {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for EnvironmentCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EnvironmentCredentials")
    }
}

#[async_trait]
impl CredentialsSource for EnvironmentCredentials {
    async fn credentials(&self) -> Result<ClientCredentials, CredentialsError> {
        Ok(self.read()?)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> EnvironmentCredentials {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), OsString::from(value));
        let variables: HashMap<String, OsString> = pairs.iter().map(own).collect();
        EnvironmentCredentials::with_lookup(move |name| variables.get(name).cloned())
    }

    #[test]
    fn the_environment_names_what_is_wrong() {
        let good = environment(&[("BLOOM_CLIENT_ID", "id"), ("BLOOM_CLIENT_SECRET", "s")]);
        assert_eq!(good.read().unwrap().id().as_str(), "id");
        for (pairs, text) in [
            (vec![], "BLOOM_CLIENT_ID is not set"),
            (
                vec![("BLOOM_CLIENT_ID", "id")],
                "BLOOM_CLIENT_SECRET is not set",
            ),
            (
                vec![("BLOOM_CLIENT_ID", ""), ("BLOOM_CLIENT_SECRET", "s")],
                "BLOOM_CLIENT_ID is empty",
            ),
            (
                vec![
                    ("BLOOM_CLIENT_ID", "id"),
                    ("BLOOM_CLIENT_SECRET", "hunter2\n"),
                ],
                "BLOOM_CLIENT_SECRET has a control character at byte 7",
            ),
        ] {
            let error = environment(&pairs).read().unwrap_err().to_string();
            assert!(error.starts_with(text), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
