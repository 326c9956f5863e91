//! [`MokaCache`]: a bounded map for many clients in one process.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bloom_auth_core::{
    CacheAccess, CacheError, CacheKey, CacheRecord, Clock, ConfigurationError, Lease, Refusal,
    SystemClock, TokenCache, TokenHash,
};
use moka::{ops::compute::Op, policy::EvictionPolicy, sync::Cache};

use crate::{leases::Leases, refusals::Refusals, rules};

const DAY: Duration = Duration::from_secs(86_400);
const MAX_LIFETIMES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(366 * 86_400)];

/// Shares tokens among the providers of one process, as
/// [`MemoryCache`](crate::MemoryCache) does, and holds a bounded number of
/// them: for a platform that asks for the tokens of thousands of clients.
///
/// When it is full, a new token takes the place of the one that has not been
/// asked for or stored for the longest time; a new token is never refused.
/// Whoever asks for one that had to go fetches it again.
///
/// Clones share the one map. Tokens stay in memory as they are. Nothing runs
/// in the background: there are no threads and no tasks, the calls do what
/// housekeeping is due. A call waits for another thread at most for as long as
/// that takes, as it would for a lock. Between two rounds of it, there may be
/// a few hundred records more than the bound.
///
/// Feature `moka`.
///
/// # Example
///
/// ```
/// use bloom_auth_cache::MokaCache;
///
/// # fn main() -> Result<(), bloom_auth_core::ConfigurationError> {
/// let cache = MokaCache::new(10_000)?;
/// let for_another_provider = cache.clone();
/// assert!(for_another_provider.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MokaCache {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Box<dyn Clock>,
    max_entries: usize,
    max_lifetime: Duration,
    // What has expired is told by our clock, not by moka's per-entry expiry:
    // the wall clock may be set, and tests have clocks of their own.
    records: Cache<CacheKey, CacheRecord>,
    leases: Leases,
    refusals: Refusals,
}

impl MokaCache {
    /// An empty cache that holds at most this many tokens.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`] if that is zero.
    pub fn new(max_entries: usize) -> Result<Self, ConfigurationError> {
        Self::builder(max_entries).build()
    }

    /// The same with more settings.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use bloom_auth_cache::MokaCache;
    ///
    /// # fn main() -> Result<(), bloom_auth_core::ConfigurationError> {
    /// let cache = MokaCache::builder(10_000)
    ///     .max_lifetime(Duration::from_secs(86_400))
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn builder(max_entries: usize) -> MokaCacheBuilder {
        MokaCacheBuilder {
            max_entries,
            max_lifetime: 7 * DAY,
            clock: Box::new(SystemClock::new()),
        }
    }

    /// How many records there are, after the housekeeping that is due (moka's
    /// `run_pending_tasks`).
    ///
    /// It is exact while nobody else uses the cache, and approximate
    /// otherwise.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.records.run_pending_tasks();
        self.count()
    }

    /// Whether there is no record; as exact as [`len`](Self::len).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The count as of the last housekeeping.
    fn count(&self) -> usize {
        usize::try_from(self.inner.records.entry_count()).unwrap_or(usize::MAX)
    }

    fn now(&self) -> SystemTime {
        self.inner.clock.now().system_time()
    }

    /// Whether the record has expired, or is older than any is believed to
    /// become.
    fn is_over(&self, record: &CacheRecord, now: SystemTime) -> bool {
        let age = now.duration_since(record.sent_at());
        rules::is_over(record, now) || age.is_ok_and(|age| age >= self.inner.max_lifetime)
    }

    /// Removes the record if it is such a one when nobody else can change it.
    fn remove_if(&self, key: &CacheKey, is_such: impl FnOnce(&CacheRecord) -> bool) {
        let entry = self.inner.records.entry_by_ref(key);
        entry.and_compute_with(|there| match there {
            Some(there) if is_such(there.value()) => Op::Remove,
            _ => Op::Nop,
        });
    }
}

impl fmt::Debug for MokaCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, max) = (self.count(), self.inner.max_entries);
        write!(f, "MokaCache(about {count} records, at most {max})")
    }
}

// No call awaits anything, so none can be dropped half done.
#[async_trait]
impl TokenCache for MokaCache {
    async fn load(&self, access: &CacheAccess) -> Result<Option<CacheRecord>, CacheError> {
        let Some(found) = self.inner.records.get(access.key()) else {
            return Ok(None);
        };
        let now = self.now();
        if !self.is_over(&found, now) {
            return Ok(Some(found));
        }
        // It makes room; a newer one, which may have come meanwhile, stays.
        self.remove_if(access.key(), |there| self.is_over(there, now));
        Ok(None)
    }

    async fn store(&self, access: &CacheAccess, record: &CacheRecord) -> Result<(), CacheError> {
        self.inner.refusals.lift(access.key());
        // Foreign code, and so not to run while others wait for this key.
        let now = self.now();
        let entry = self.inner.records.entry_by_ref(access.key());
        entry.and_compute_with(|there| match there {
            Some(there) if rules::stays(there.value(), record, now) => Op::Nop,
            _ => Op::Put(record.clone()),
        });
        Ok(())
    }

    async fn remove(&self, access: &CacheAccess, token: &TokenHash) -> Result<(), CacheError> {
        self.remove_if(access.key(), |there| there.token().hash() == *token);
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

/// The settings of a [`MokaCache`]; see [`MokaCache::builder`].
#[derive(Debug)]
pub struct MokaCacheBuilder {
    max_entries: usize,
    max_lifetime: Duration,
    clock: Box<dyn Clock>,
}

impl MokaCacheBuilder {
    /// For how long a record is kept at most, whatever it says of itself.
    /// Seven days unless set, as for the provider, which believes no token to
    /// live longer.
    #[must_use]
    pub fn max_lifetime(mut self, lifetime: Duration) -> Self {
        self.max_lifetime = lifetime;
        self
    }

    /// The clock that tells what has expired; the system's unless set.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// The cache, empty.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`] if it could hold nothing, or if the maximum
    /// lifetime is shorter than a second or longer than a year.
    pub fn build(self) -> Result<MokaCache, ConfigurationError> {
        if self.max_entries == 0 {
            return Err(ConfigurationError::new(
                "maximum number of entries",
                "is 0",
                "use the number of clients whose tokens are in use at one time, or build without a cache",
            ));
        }
        let [least, most] = MAX_LIFETIMES;
        if self.max_lifetime < least || self.max_lifetime > most {
            return Err(ConfigurationError::new(
                "maximum lifetime",
                format!("is {:?}", self.max_lifetime),
                format!("use a time from {least:?} to {most:?}"),
            ));
        }
        let records = Cache::builder()
            .max_capacity(u64::try_from(self.max_entries).unwrap_or(u64::MAX))
            // The default policy may refuse a newcomer in favour of what is
            // used more often.
            .eviction_policy(EvictionPolicy::lru())
            // So that what nobody asks for again does not stay. By moka's own
            // clock: what is served is decided by ours.
            .time_to_live(self.max_lifetime)
            .build();
        Ok(MokaCache {
            inner: Arc::new(Inner {
                clock: self.clock,
                max_entries: self.max_entries,
                max_lifetime: self.max_lifetime,
                records,
                leases: Leases::default(),
                refusals: Refusals::default(),
            }),
        })
    }
}
