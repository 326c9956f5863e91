//! Where client credentials come from, asked anew at every fetch so that a
//! rotated secret needs no restart.

use std::{
    error::Error as StdError,
    ffi::OsString,
    fmt,
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use tokio::task::JoinHandle;
use zeroize::Zeroize as _;

use crate::{
    client::{ClientCredentials, ClientId, ClientSecret, secret_from_bytes},
    error::ConfigurationError,
};

/// A file larger than this holds no secret.
const MAX_FILE_BYTES: u64 = 64 * 1024;

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

/// Reads the secret from a file at every fetch, as Kubernetes mounts them;
/// one trailing line break is trimmed.
///
/// Reading is done on a thread for blocking work, one at a time. Should the
/// file system hang, so does that one thread, and callers get an error in
/// time.
#[derive(Clone, Debug)]
pub struct FileCredentials {
    id: ClientId,
    path: PathBuf,
    under_way: Arc<tokio::sync::Mutex<Option<JoinHandle<Read>>>>,
}

type Read = Result<ClientCredentials, CredentialsError>;

impl FileCredentials {
    /// The client id, and the file that holds the secret. The file is not
    /// read yet.
    #[must_use]
    pub fn new(id: ClientId, path: impl Into<PathBuf>) -> Self {
        Self {
            id,
            path: path.into(),
            under_way: Arc::default(),
        }
    }

    /// Reads the file now; this blocks for as long as the file system does.
    ///
    /// # Errors
    ///
    /// [`CredentialsError`] if it is no regular file, cannot be read, or does
    /// not hold a secret.
    pub fn read(&self) -> Result<ClientCredentials, CredentialsError> {
        let secret = read_secret(&self.path)?;
        Ok(ClientCredentials::new(self.id.clone(), secret))
    }
}

#[async_trait]
impl CredentialsSource for FileCredentials {
    async fn credentials(&self) -> Result<ClientCredentials, CredentialsError> {
        let mut under_way = self.under_way.lock().await;
        if let Some(earlier) = under_way.as_mut() {
            // Its caller has given up; what it read may be out of date by now.
            let _ = earlier.await;
        }
        let this = self.clone();
        let read = under_way.insert(tokio::task::spawn_blocking(move || this.read()));
        let result = read.await;
        *under_way = None;
        result.unwrap_or_else(|_| Err(CredentialsError::new("the runtime is shutting down")))
    }
}

fn read_secret(path: &Path) -> Result<ClientSecret, CredentialsError> {
    let error = |problem: &str| {
        let path = path.display();
        CredentialsError::new(format!("the client secret file {path} {problem}"))
    };
    let io_error = |source: std::io::Error| error("cannot be read").with_source(source);
    let file = open(path).map_err(io_error)?;
    let metadata = file.metadata().map_err(io_error)?;
    if !metadata.is_file() {
        return Err(error("is not a regular file"));
    }
    if metadata.len() > MAX_FILE_BYTES {
        return Err(error("is too large to be a secret"));
    }
    // Room for all that is read, so that no un-zeroized copy stays behind when
    // the buffer grows; one more byte tells a file that has grown.
    let room = usize::try_from(MAX_FILE_BYTES).unwrap_or(usize::MAX) + 1;
    let mut bytes = Vec::with_capacity(room);
    let read = file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes);
    let is_whole = read.is_ok() && bytes.len() < room;
    let secret = secret_from_bytes(bytes);
    read.map_err(io_error)?;
    if !is_whole {
        return Err(error("is too large to be a secret"));
    }
    secret.map_err(|source| error("holds no client secret").with_source(source))
}

/// Opens a file without waiting for a writer, should it be a FIFO.
#[cfg(unix)]
fn open(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;

    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits();
    let mut options = File::options();
    options.read(true).custom_flags(nonblocking.cast_signed());
    options.open(path)
}

#[cfg(not(unix))]
fn open(path: &Path) -> std::io::Result<File> {
    File::open(path)
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

    #[test]
    fn a_file_that_is_no_secret_is_named() {
        let id = ClientId::new("id").unwrap();
        let error = FileCredentials::new(id.clone(), "/nowhere/at/all").read();
        let text = error.unwrap_err().to_string();
        assert_eq!(
            text,
            "the client secret file /nowhere/at/all cannot be read"
        );
        let directory = std::env::temp_dir();
        let error = FileCredentials::new(id, directory).read().unwrap_err();
        assert!(error.to_string().ends_with("is not a regular file"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_fifo_is_refused_at_once() {
        let name = format!("bloom-auth-fifo-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, mode).unwrap();
        let id = ClientId::new("id").unwrap();
        let error = FileCredentials::new(id, &path).read().unwrap_err();
        std::fs::remove_file(&path).unwrap();
        assert!(error.to_string().ends_with("is not a regular file"));
    }
}
