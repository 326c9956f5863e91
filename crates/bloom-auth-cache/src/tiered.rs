//! [`Tiered`]: a cache nearby in front of one that more share.

mod trouble;

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bloom_auth_core::{
    CacheAccess, CacheError, CacheRecord, ClientCredentials, Clock, ConfigurationError, Lease,
    Refusal, SystemClock, TokenCache, TokenHash,
};

use self::trouble::Trouble;
use crate::rules;

/// Two caches as one: a near one, such as files, in front of a far one that
/// more share, such as Redis.
///
/// - A token is looked for nearby first. One that is not due yet for anybody,
///   which it is not in the first three fifths of its life, is used without
///   asking the far cache. Else the far one is asked, and whichever was sent
///   later is used. What comes from there is kept nearby too, with its own times.
/// - Tokens and refusals are stored in both, and removed from both.
/// - The right to fetch is the far cache's to give, and so is the answer
///   whether the client is refused.
/// - A far cache that fails, or does not answer in time, is left alone for a
///   second, and then for longer each time, up to a minute. Meanwhile the near
///   one does everything, the lease included: those who share it still make one
///   request between them. Only removals are always tried in both.
/// - One that takes calls and is silent uses up the time that the engine gives a
///   cache: until the engine asks again, each process fetches for itself. So it
///   is after a rejection that the far one could not be told of.
/// - A near cache that fails does not keep the far one from being used.
///
/// A token that was removed from the far cache alone, since the API refused it
/// elsewhere, is still served from nearby, until it is refused here as well.
///
/// Three tiers are two with two: `Tiered::new(memory, Tiered::new(file, redis))`.
///
/// # Cancellation
///
/// As of the two caches. A token may then be in one of them alone.
///
/// # Example
///
/// ```
/// use bloom_auth_cache::{MemoryCache, Tiered};
///
/// // With the features `file` and `redis`:
/// // Tiered::new(FileCache::new()?, RedisCache::new("rediss://…")?)
/// let shared = MemoryCache::new();
/// let cache = Tiered::new(MemoryCache::new(), shared.clone());
/// assert_eq!(
///     format!("{cache:?}"),
///     "Tiered(MemoryCache(0 records), MemoryCache(0 records))",
/// );
/// ```
pub struct Tiered<N, F> {
    near: N,
    far: F,
    trouble: Trouble,
    clock: Box<dyn Clock>,
}

impl<N: TokenCache, F: TokenCache> Tiered<N, F> {
    /// The near cache in front of the far one.
    #[must_use]
    pub fn new(near: N, far: F) -> Self {
        Self::with_clock(near, far, SystemClock::new())
    }

    /// The same with a clock of one's own, which tells how old a token is.
    #[must_use]
    pub fn with_clock(near: N, far: F, clock: impl Clock + 'static) -> Self {
        Self {
            near,
            far,
            trouble: Trouble::default(),
            clock: Box::new(clock),
        }
    }

    fn now(&self) -> SystemTime {
        self.clock.now().system_time()
    }

    /// What the far cache says; `None` while it is left alone.
    async fn ask_far<T>(
        &self,
        call: impl Future<Output = Result<T, CacheError>>,
    ) -> Option<Result<T, CacheError>> {
        let clock = || self.clock.now().monotonic;
        if !self.trouble.is_over(clock()) {
            return None;
        }
        Some(self.trouble.watch(clock, call).await)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<N: TokenCache, F: TokenCache> TokenCache for Tiered<N, F> {
    async fn load(&self, access: &CacheAccess) -> Result<Option<CacheRecord>, CacheError> {
        let near = self.near.load(access).await;
        if let Ok(Some(record)) = &near
            && is_due_for_nobody(record, self.now())
        {
            return near;
        }
        let found = match self.ask_far(self.far.load(access)).await {
            Some(Ok(found)) => found,
            Some(Err(error)) => return near.map_err(|_| error),
            None => return near,
        };
        let Some(found) = found else {
            return Ok(near.unwrap_or_default());
        };
        if let Ok(Some(record)) = &near {
            if rules::stays(record, &found, self.now()) {
                return near;
            }
            if *record == found {
                return Ok(Some(found));
            }
        }
        // It is of use without that, too.
        let _ = self.near.store(access, &found).await;
        Ok(Some(found))
    }

    async fn store(&self, access: &CacheAccess, record: &CacheRecord) -> Result<(), CacheError> {
        let near = self.near.store(access, record).await;
        let far = self.ask_far(self.far.store(access, record)).await;
        far.unwrap_or(Ok(())).and(near)
    }

    async fn remove(&self, access: &CacheAccess, token: &TokenHash) -> Result<(), CacheError> {
        // Nearby first, since the far one may not answer before the caller gives
        // up; and once more, should it have come back from there meanwhile.
        let first = self.near.remove(access, token).await;
        let clock = || self.clock.now().monotonic;
        let far = self.trouble.watch(clock, self.far.remove(access, token));
        let far = far.await;
        let again = self.near.remove(access, token).await;
        far.and(first).and(again)
    }

    async fn lease(&self, access: &CacheAccess) -> Result<Lease, CacheError> {
        match self.ask_far(self.far.lease(access)).await {
            Some(Ok(lease @ (Lease::Granted(_) | Lease::Held))) => Ok(lease),
            _ => self.near.lease(access).await,
        }
    }

    async fn load_refusal(&self, access: &CacheAccess) -> Result<Option<Refusal>, CacheError> {
        match self.ask_far(self.far.load_refusal(access)).await {
            Some(Ok(refusal)) => Ok(refusal),
            _ => self.near.load_refusal(access).await,
        }
    }

    async fn store_refusal(
        &self,
        access: &CacheAccess,
        refusal: &Refusal,
    ) -> Result<(), CacheError> {
        let near = self.near.store_refusal(access, refusal).await;
        let far = self.ask_far(self.far.store_refusal(access, refusal));
        far.await.unwrap_or(Ok(())).and(near)
    }

    fn check(&self, credentials: &ClientCredentials) -> Result<(), ConfigurationError> {
        self.near.check(credentials)?;
        self.far.check(credentials)
    }
}

impl<N: fmt::Debug, F: fmt::Debug> fmt::Debug for Tiered<N, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tiered({:?}, {:?})", self.near, self.far)
    }
}

/// Whether no provider, whatever its settings, refreshes this token yet; else
/// there may be a later one.
fn is_due_for_nobody(record: &CacheRecord, now: SystemTime) -> bool {
    let age = now.duration_since(record.sent_at());
    age.is_ok_and(|age: Duration| age < record.lifetime() / 5 * 3)
}
