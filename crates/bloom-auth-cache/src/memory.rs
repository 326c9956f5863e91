//! [`MemoryCache`]: one map for several providers in one process.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bloom_auth_core::{
    CacheAccess, CacheError, CacheKey, CacheRecord, Clock, Lease, LeaseGuard, SystemClock,
    TokenCache, TokenHash,
};

/// A lease that is older than a fetch takes, with the default settings, lapses:
/// its holder's runtime stands still.
const LEASE_NANOS: u64 = 60 * 1_000_000_000;

/// The engine believes no record that was sent further in the future than this.
const MAX_CLOCK_DIFFERENCE: Duration = Duration::from_secs(300);

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
    leases: Mutex<HashMap<CacheKey, LeaseEntry>>,
    owners: AtomicU64,
}

/// Who has a lease, and until when it counts (monotonic).
struct LeaseEntry {
    owner: u64,
    until: u64,
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
                owners: AtomicU64::new(0),
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
        // From when the clock was wrong: it would be kept as the one that was
        // sent last, and never be of use.
        let is_ahead = |record: &CacheRecord| {
            let ahead = record.sent_at().duration_since(now);
            ahead.is_ok_and(|ahead| ahead > MAX_CLOCK_DIFFERENCE)
        };
        let mut records = self.records();
        records.retain(|_, record| record.token().expires_at() > now && !is_ahead(record));
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
        let now = self.inner.clock.now().monotonic;
        let owner = self.inner.owners.fetch_add(1, Ordering::Relaxed);
        let mut leases = lock(&self.inner.leases);
        if leases
            .get(access.key())
            .is_some_and(|lease| now < lease.until)
        {
            return Ok(Lease::Held);
        }
        let until = now.saturating_add(LEASE_NANOS);
        leases.insert(access.key().clone(), LeaseEntry { owner, until });
        Ok(Lease::Granted(LeaseGuard::new(Leased {
            inner: Arc::clone(&self.inner),
            key: access.key().clone(),
            owner,
        })))
    }
}

/// Frees its lease when it is dropped, if that has not lapsed and gone to
/// somebody else.
struct Leased {
    inner: Arc<Inner>,
    key: CacheKey,
    owner: u64,
}

impl Drop for Leased {
    fn drop(&mut self) {
        let mut leases = lock(&self.inner.leases);
        if leases
            .get(&self.key)
            .is_some_and(|lease| lease.owner == self.owner)
        {
            leases.remove(&self.key);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Maps are whole between any two statements, whoever panicked.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use bloom_auth_core::{
        AuthVersion, ClientCredentials, ClientId, ClientSecret, Environment, protocol::TokenRequest,
    };

    use super::*;

    #[tokio::test]
    async fn c14_a_panic_under_a_lock_does_no_harm() {
        let cache = MemoryCache::new();
        let panicking = cache.clone();
        let thread = std::thread::spawn(move || {
            let _records = panicking.inner.records.lock().unwrap();
            let _leases = panicking.inner.leases.lock().unwrap();
            panic!("under both locks");
        });
        assert!(thread.join().is_err());
        assert!(cache.inner.records.is_poisoned() && cache.inner.leases.is_poisoned());

        let id = ClientId::new("id").unwrap();
        let credentials = ClientCredentials::new(id, ClientSecret::new("secret").unwrap());
        let request = TokenRequest::new(Environment::sandbox(AuthVersion::V1));
        let access = CacheAccess::new(&request, &credentials);
        let now = SystemClock::new().now().system_time();
        let record = CacheRecord::new("token", None, now, Duration::from_secs(60)).unwrap();
        cache.store(&access, &record).await.unwrap();
        assert_eq!(cache.load(&access).await.unwrap(), Some(record.clone()));
        let lease = cache.lease(&access).await.unwrap();
        assert!(matches!(lease, Lease::Granted(_)));
        drop(lease);
        assert!(matches!(
            cache.lease(&access).await.unwrap(),
            Lease::Granted(_)
        ));
        cache.remove(&access, &record.token().hash()).await.unwrap();
        assert!(cache.is_empty());
        assert_eq!(format!("{cache:?}"), "MemoryCache(0 records)");
    }
}
