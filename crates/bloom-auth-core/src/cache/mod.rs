//! Caches beyond the provider's own memory: the trait, and what it deals in.

mod key;
mod record;
mod refusal;

use std::{any::Any, error::Error as StdError, fmt, sync::Arc};

use async_trait::async_trait;

pub use key::{CacheAccess, CacheKey};
pub use record::CacheRecord;
pub use refusal::{Refusal, RefusalKind};

use crate::{client::ClientCredentials, error::ConfigurationError, token::TokenHash};

/// Keeps tokens for more than one provider: for a process, a machine, a
/// fleet.
///
/// A cache is advisory. The engine gives each call a time limit, treats every
/// error as a miss, checks every record's times itself, and skips a cache
/// that fails for a growing while. A cache in turn must never give a record
/// to a key that is not equal to the one it was stored under.
///
/// # Cancellation
///
/// Every future may be dropped at any point; the cache must stay usable and a
/// lease that was not returned must be free.
#[async_trait]
pub trait TokenCache: fmt::Debug + Send + Sync {
    /// The record under this key, if there is one.
    ///
    /// It may have expired: the engine checks.
    ///
    /// # Errors
    ///
    /// [`CacheError`] if the cache does not work; treated as a miss.
    async fn load(&self, access: &CacheAccess) -> Result<Option<CacheRecord>, CacheError>;

    /// Keeps a record, unless the one that is there was
    /// [sent](CacheRecord::sent_at) later. One that was sent more than five
    /// minutes in the future, by a clock that was wrong, does not count: it
    /// would stay for ever, and never be of use.
    ///
    /// # Errors
    ///
    /// [`CacheError`] if the cache does not work.
    async fn store(&self, access: &CacheAccess, record: &CacheRecord) -> Result<(), CacheError>;

    /// Removes the record under this key if it still holds this token; a
    /// newer one stays.
    ///
    /// # Errors
    ///
    /// [`CacheError`] if the cache does not work.
    async fn remove(&self, access: &CacheAccess, token: &TokenHash) -> Result<(), CacheError>;

    /// Asks once, without waiting, for the right to fetch a token for this
    /// key among all who share the cache.
    ///
    /// Correctness never depends on a lease, it only saves token requests.
    /// A cache that needs none keeps this default.
    ///
    /// # Errors
    ///
    /// [`CacheError`] if the cache does not work; the engine then fetches
    /// without a lease.
    async fn lease(&self, access: &CacheAccess) -> Result<Lease, CacheError> {
        let _ = access;
        Ok(Lease::NotNeeded)
    }

    /// The refusal of these credentials that is remembered, if there is one.
    ///
    /// It may be over: the engine checks. A cache that remembers none keeps
    /// this default, and that of [`store_refusal`](Self::store_refusal).
    ///
    /// # Errors
    ///
    /// [`CacheError`] if the cache does not work; treated as none.
    async fn load_refusal(&self, access: &CacheAccess) -> Result<Option<Refusal>, CacheError> {
        let _ = access;
        Ok(None)
    }

    /// Remembers that the server refused these credentials, so that all who
    /// share the cache fail fast, and ask no more than one of them would.
    ///
    /// A token that is [stored](Self::store) afterwards lifts the refusal.
    ///
    /// # Errors
    ///
    /// [`CacheError`] if the cache does not work.
    async fn store_refusal(
        &self,
        access: &CacheAccess,
        refusal: &Refusal,
    ) -> Result<(), CacheError> {
        let _ = (access, refusal);
        Ok(())
    }

    /// Whether this cache can keep tokens that these credentials get: asked
    /// when a provider is built with credentials that
    /// [never change](crate::CredentialsSource::fixed). A cache that takes all
    /// keeps this default.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`] that says why not, and what to do.
    fn check(&self, credentials: &ClientCredentials) -> Result<(), ConfigurationError> {
        let _ = credentials;
        Ok(())
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: TokenCache + ?Sized> TokenCache for Arc<T> {
    async fn load(&self, access: &CacheAccess) -> Result<Option<CacheRecord>, CacheError> {
        (**self).load(access).await
    }

    async fn store(&self, access: &CacheAccess, record: &CacheRecord) -> Result<(), CacheError> {
        (**self).store(access, record).await
    }

    async fn remove(&self, access: &CacheAccess, token: &TokenHash) -> Result<(), CacheError> {
        (**self).remove(access, token).await
    }

    async fn lease(&self, access: &CacheAccess) -> Result<Lease, CacheError> {
        (**self).lease(access).await
    }

    async fn load_refusal(&self, access: &CacheAccess) -> Result<Option<Refusal>, CacheError> {
        (**self).load_refusal(access).await
    }

    async fn store_refusal(
        &self,
        access: &CacheAccess,
        refusal: &Refusal,
    ) -> Result<(), CacheError> {
        (**self).store_refusal(access, refusal).await
    }

    fn check(&self, credentials: &ClientCredentials) -> Result<(), ConfigurationError> {
        (**self).check(credentials)
    }
}

/// The answer to [`TokenCache::lease`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Lease {
    /// This cache does not coordinate fetches: go ahead.
    NotNeeded,
    /// The right is yours until the guard is dropped, or the cache lets it
    /// lapse because that takes too long.
    Granted(LeaseGuard),
    /// Somebody else has it; ask again later.
    Held,
}

/// Holds a lease; dropping it frees the lease.
pub struct LeaseGuard {
    _guard: Box<dyn Any + Send + Sync>,
}

impl LeaseGuard {
    /// Wraps what frees the lease when it is dropped. Dropping must not block.
    #[must_use]
    pub fn new(guard: impl Any + Send + Sync) -> Self {
        Self {
            _guard: Box::new(guard),
        }
    }
}

impl fmt::Debug for LeaseGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeaseGuard")
    }
}

/// Why a cache did not work. The engine warns and goes on without it.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct CacheError {
    problem: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl CacheError {
    /// An error that says what did not work, without a token in it.
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
