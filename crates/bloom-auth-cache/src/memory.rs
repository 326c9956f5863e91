//! [`MemoryCache`]: one map for several providers in one process.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bloom_auth_core::{
    CacheAccess, CacheError, CacheKey, CacheRecord, Clock, Lease, LeaseGuard, SystemClock,
    TokenCache, TokenHash,
};

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
    leases: Mutex<HashSet<CacheKey>>,
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
                leases: Mutex::default(),
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
        lock(&self.inner.records)
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
        let now = self.inner.clock.now().system_time();
        let mut records = self.records();
        records.retain(|_, record| record.token().expires_at() > now);
        let slot = records
            .entry(access.key().clone())
            .or_insert_with(|| record.clone());
        if slot.sent_at() <= record.sent_at() {
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
        if !lock(&self.inner.leases).insert(access.key().clone()) {
            return Ok(Lease::Held);
        }
        Ok(Lease::Granted(LeaseGuard::new(Leased {
            inner: Arc::clone(&self.inner),
            key: access.key().clone(),
        })))
    }
}

/// Frees its lease when it is dropped.
struct Leased {
    inner: Arc<Inner>,
    key: CacheKey,
}

impl Drop for Leased {
    fn drop(&mut self) {
        lock(&self.inner.leases).remove(&self.key);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Maps are whole between any two statements, whoever panicked.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
