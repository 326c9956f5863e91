//! [`MemoryCache`]: one map for several providers in one process.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bloom_auth_core::{
    CacheAccess, CacheError, CacheKey, CacheRecord, Clock, Lease, Refusal, SystemClock, TokenCache,
    TokenHash,
};

use crate::{leases::Leases, refusals::Refusals, rules};

/// Shares tokens among the providers of one process: those with the same
/// environment, credentials and scopes use one token, and fetch it once.
///
/// Clones share the one map. Tokens stay in memory as they are, and records
/// that have expired are dropped when another is stored.
///
/// # Example
///
/// ```
/// use bloom_auth_cache::MemoryCache;
///
/// let cache = MemoryCache::new();
/// let for_another_provider = cache.clone();
/// assert!(for_another_provider.is_empty());
/// ```
#[derive(Clone)]
pub struct MemoryCache {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Box<dyn Clock>,
    records: Mutex<HashMap<CacheKey, CacheRecord>>,
    leases: Leases,
    refusals: Refusals,
}

impl MemoryCache {
    /// An empty cache.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(SystemClock::new())
    }

    /// An empty cache with a clock of one's own, which tells it what has
    /// expired.
    #[must_use]
    pub fn with_clock(clock: impl Clock + 'static) -> Self {
        Self {
            inner: Arc::new(Inner {
                clock: Box::new(clock),
                records: Mutex::default(),
                leases: Leases::default(),
                refusals: Refusals::default(),
            }),
        }
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records().len()
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records().is_empty()
    }

    fn records(&self) -> MutexGuard<'_, HashMap<CacheKey, CacheRecord>> {
        // The map is whole between any two statements, whoever panicked.
        let records = self.inner.records.lock();
        records.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryCache {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryCache({} records)", self.len())
    }
}

#[async_trait]
impl TokenCache for MemoryCache {
    async fn load(&self, access: &CacheAccess) -> Result<Option<CacheRecord>, CacheError> {
        Ok(self.records().get(access.key()).cloned())
    }

    async fn store(&self, access: &CacheAccess, record: &CacheRecord) -> Result<(), CacheError> {
        self.inner.refusals.lift(access.key());
        let now = self.inner.clock.now().system_time();
        let mut records = self.records();
        records.retain(|_, record| rules::is_of_use(record, now));
        let slot = records
            .entry(access.key().clone())
            .or_insert_with(|| record.clone());
        if !rules::stays(slot, record, now) {
            *slot = record.clone();
        }
        Ok(())
    }

    async fn remove(&self, access: &CacheAccess, token: &TokenHash) -> Result<(), CacheError> {
        let mut records = self.records();
        let holds_it = |record: &CacheRecord| record.token().hash() == *token;
        if records.get(access.key()).is_some_and(holds_it) {
            records.remove(access.key());
        }
        Ok(())
    }

    async fn lease(&self, access: &CacheAccess) -> Result<Lease, CacheError> {
        let now = self.inner.clock.now().monotonic;
        Ok(self.inner.leases.ask(access.key(), now))
    }

    async fn load_refusal(&self, access: &CacheAccess) -> Result<Option<Refusal>, CacheError> {
        Ok(self.inner.refusals.get(access.key()))
    }

    async fn store_refusal(
        &self,
        access: &CacheAccess,
        refusal: &Refusal,
    ) -> Result<(), CacheError> {
        let now = self.inner.clock.now().system_time();
        self.inner.refusals.put(access.key(), *refusal, now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bloom_auth_core::{
        AuthVersion, ClientCredentials, ClientId, ClientSecret, Environment, protocol::TokenRequest,
    };

    use super::*;

    #[tokio::test]
    async fn c14_a_panic_under_the_lock_does_no_harm() {
        let cache = MemoryCache::new();
        let panicking = cache.clone();
        let thread = std::thread::spawn(move || {
            let _records = panicking.inner.records.lock().unwrap();
            panic!("under the lock");
        });
        assert!(thread.join().is_err());
        assert!(cache.inner.records.is_poisoned());

        let id = ClientId::new("id").unwrap();
        let credentials = ClientCredentials::new(id, ClientSecret::new("secret").unwrap());
        let request = TokenRequest::new(Environment::sandbox(AuthVersion::V1));
        let access = CacheAccess::new(&request, &credentials);
        let now = SystemClock::new().now().system_time();
        let record = CacheRecord::new("token", None, now, Duration::from_secs(60)).unwrap();
        cache.store(&access, &record).await.unwrap();
        assert_eq!(cache.load(&access).await.unwrap(), Some(record.clone()));
        cache.remove(&access, &record.token().hash()).await.unwrap();
        assert!(cache.is_empty());
        assert_eq!(format!("{cache:?}"), "MemoryCache(0 records)");
    }
}
