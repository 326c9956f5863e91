//! A credentials source that a test can change while it is used.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

use crate::{
    client::{ClientCredentials, ClientId, ClientSecret},
    credentials::{CredentialsError, CredentialsSource},
    error::ConfigurationError,
};

/// Gives what it was last told to give, and counts how often it was asked.
/// Clones are the same source.
#[derive(Clone)]
pub struct ScriptedCredentials(Arc<Mutex<Script>>);

struct Script {
    now: Option<ClientCredentials>,
    asked: usize,
}

impl ScriptedCredentials {
    /// Gives this id and secret.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`] if they cannot be.
    pub fn new(id: &str, secret: &str) -> Result<Self, ConfigurationError> {
        let source = Self(Arc::new(Mutex::new(Script {
            now: None,
            asked: 0,
        })));
        source.rotate(id, secret)?;
        Ok(source)
    }

    /// Gives this id and secret from now on.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`] if they cannot be.
    pub fn rotate(&self, id: &str, secret: &str) -> Result<(), ConfigurationError> {
        let credentials = ClientCredentials::new(ClientId::new(id)?, ClientSecret::new(secret)?);
        self.script().now = Some(credentials);
        Ok(())
    }

    /// Gives nothing but an error from now on.
    pub fn fail(&self) {
        self.script().now = None;
    }

    /// How often it was asked.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.script().asked
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ScriptedCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScriptedCredentials(asked {} times)", self.asked())
    }
}

#[async_trait]
impl CredentialsSource for ScriptedCredentials {
    async fn credentials(&self) -> Result<ClientCredentials, CredentialsError> {
        let mut script = self.script();
        script.asked += 1;
        let now = script.now.clone();
        now.ok_or_else(|| CredentialsError::new("the script has no credentials"))
    }
}
