//! `Tiered` by itself: conformance, which of the two is asked for what, and
//! what becomes of it when one of them is in trouble.

use std::{
    future::{pending, ready},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use async_trait::async_trait;
use bloom_auth_cache::{MemoryCache, Tiered};
use bloom_auth_core::{
    CacheAccess, CacheError, CacheRecord, ClientCredentials, Clock as _, ConfigurationError, Lease,
    Refusal, RefusalKind, TokenCache, TokenHash,
    test_util::{
        ManualClock,
        cache_suite::{self, Leases},
    },
};

use crate::support::{HOUR, access, record};

const MILLISECOND: Duration = Duration::from_millis(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Well,
    Failing,
    Silent,
}

/// A cache in memory whose mood is ours, and which counts what it is asked.
#[derive(Clone, Debug)]
struct Moody {
    cache: MemoryCache,
    mood: Arc<Mutex<Mood>>,
    calls: Arc<AtomicUsize>,
}

impl Moody {
    fn new(clock: &ManualClock) -> Self {
        Self {
            cache: MemoryCache::with_clock(clock.clone()),
            mood: Arc::new(Mutex::new(Mood::Well)),
            calls: Arc::default(),
        }
    }

    fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// How often it was asked since the last time.
    fn calls(&self) -> usize {
        self.calls.swap(0, Ordering::Relaxed)
    }

    async fn mood(&self) -> Result<(), CacheError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Well => Ok(()),
            Mood::Failing => Err(CacheError::new("it fails")),
            Mood::Silent => pending().await,
        }
    }
}

#[async_trait]
impl TokenCache for Moody {
    async fn load(&self, access: &CacheAccess) -> Result<Option<CacheRecord>, CacheError> {
        self.mood().await?;
        self.cache.load(access).await
    }

    async fn store(&self, access: &CacheAccess, record: &CacheRecord) -> Result<(), CacheError> {
        self.mood().await?;
        self.cache.store(access, record).await
    }

    async fn remove(&self, access: &CacheAccess, token: &TokenHash) -> Result<(), CacheError> {
        self.mood().await?;
        self.cache.remove(access, token).await
    }

    async fn lease(&self, access: &CacheAccess) -> Result<Lease, CacheError> {
        self.mood().await?;
        self.cache.lease(access).await
    }

    async fn load_refusal(&self, access: &CacheAccess) -> Result<Option<Refusal>, CacheError> {
        self.mood().await?;
        self.cache.load_refusal(access).await
    }

    async fn store_refusal(
        &self,
        access: &CacheAccess,
        refusal: &Refusal,
    ) -> Result<(), CacheError> {
        self.mood().await?;
        self.cache.store_refusal(access, refusal).await
    }

    fn check(&self, _: &ClientCredentials) -> Result<(), ConfigurationError> {
        match *self.mood.lock().unwrap() {
            Mood::Well => Ok(()),
            _ => Err(ConfigurationError::new("cache", "fails", "mend it")),
        }
    }
}

struct Setup {
    clock: ManualClock,
    near: Moody,
    far: Moody,
    tiered: Tiered<Moody, Moody>,
    access: CacheAccess,
}

impl Setup {
    fn new() -> Self {
        let clock = ManualClock::new();
        let (near, far) = (Moody::new(&clock), Moody::new(&clock));
        Self {
            tiered: Tiered::with_clock(near.clone(), far.clone(), clock.clone()),
            clock,
            near,
            far,
            access: access("client"),
        }
    }

    /// Sent now.
    fn record(&self, token: &str) -> CacheRecord {
        record(token, self.clock.now().system_time(), HOUR)
    }

    async fn load(&self) -> Option<String> {
        Self::token(self.tiered.load(&self.access).await.unwrap())
    }

    async fn in_cache(&self, cache: &Moody) -> Option<String> {
        Self::token(cache.cache.load(&self.access).await.unwrap())
    }

    fn token(record: Option<CacheRecord>) -> Option<String> {
        record.map(|record| record.token().expose().to_owned())
    }

    /// A call that nobody waits for any longer after this time.
    fn give_up_after(&self, time: Duration) {
        let mut call = pin!(self.tiered.load(&self.access));
        let poll = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(poll, Poll::Pending));
        self.clock.advance(time);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn k5_k6_it_conforms() {
    let make = || ready(Tiered::new(MemoryCache::new(), MemoryCache::new()));
    assert_eq!(cache_suite::all(make).await, Leases::Exercised);
}

#[tokio::test]
async fn what_is_far_is_kept_nearby_with_its_own_times() {
    let setup = Setup::new();
    assert_eq!(setup.load().await, None);
    let record = setup.record("t");
    setup.far.cache.store(&setup.access, &record).await.unwrap();
    setup.clock.advance(HOUR / 2);
    assert_eq!(setup.load().await.as_deref(), Some("t"));
    let kept = setup.near.cache.load(&setup.access).await.unwrap();
    assert_eq!(kept, Some(record));
    // From now on the far one is not asked, for as long as it is due for nobody.
    setup.far.calls();
    assert_eq!(setup.load().await.as_deref(), Some("t"));
    setup.clock.advance(HOUR / 10 - Duration::from_secs(1));
    assert_eq!(setup.load().await.as_deref(), Some("t"));
    assert_eq!(setup.far.calls(), 0);
    setup.clock.advance(Duration::from_secs(1));
    assert_eq!(setup.load().await.as_deref(), Some("t"));
    assert_eq!(setup.far.calls(), 1);
}

#[tokio::test]
async fn once_it_may_be_due_whichever_was_sent_later_is_used() {
    let setup = Setup::new();
    let early = setup.record("early");
    setup.clock.advance(HOUR * 7 / 10);
    let late = setup.record("late");
    for (near, far) in [(&early, &late), (&late, &early)] {
        let access = access(near.token().expose());
        setup.near.cache.store(&access, near).await.unwrap();
        setup.far.cache.store(&access, far).await.unwrap();
        let found = setup.tiered.load(&access).await.unwrap();
        assert_eq!(Setup::token(found).as_deref(), Some("late"));
        let kept = setup.near.cache.load(&access).await.unwrap();
        assert_eq!(Setup::token(kept).as_deref(), Some("late"));
    }
    // If the far one has lost it, the near one is still good.
    setup.near.cache.store(&setup.access, &early).await.unwrap();
    assert_eq!(setup.load().await.as_deref(), Some("early"));
    assert_eq!(setup.in_cache(&setup.far).await, None);
}

#[tokio::test]
async fn tokens_are_stored_in_both_and_removed_from_both() {
    let setup = Setup::new();
    let record = setup.record("t");
    setup.tiered.store(&setup.access, &record).await.unwrap();
    assert_eq!(setup.in_cache(&setup.near).await.as_deref(), Some("t"));
    assert_eq!(setup.in_cache(&setup.far).await.as_deref(), Some("t"));
    let hash = record.token().hash();
    setup.tiered.remove(&setup.access, &hash).await.unwrap();
    assert_eq!(setup.in_cache(&setup.near).await, None);
    assert_eq!(setup.in_cache(&setup.far).await, None);
}

#[tokio::test]
async fn the_lease_is_the_far_ones_and_in_trouble_the_near_ones() {
    let setup = Setup::new();
    let lease = setup.tiered.lease(&setup.access).await.unwrap();
    assert!(matches!(lease, Lease::Granted(_)));
    // Another machine, with a near cache of its own.
    let clock = setup.clock.clone();
    let other = Tiered::with_clock(MemoryCache::new(), setup.far.clone(), clock);
    let held = other.lease(&setup.access).await.unwrap();
    assert!(matches!(held, Lease::Held), "{held:?}");

    setup.far.set(Mood::Failing);
    let in_trouble = setup.tiered.lease(&setup.access).await.unwrap();
    assert!(matches!(in_trouble, Lease::Granted(_)), "{in_trouble:?}");
    let held = setup.tiered.lease(&setup.access).await.unwrap();
    assert!(matches!(held, Lease::Held), "{held:?}");
    // Each machine for itself.
    let elsewhere = other.lease(&setup.access).await.unwrap();
    assert!(matches!(elsewhere, Lease::Granted(_)), "{elsewhere:?}");
    drop(lease);
}

#[tokio::test]
async fn r1_r20_a_far_cache_that_fails_is_left_alone_and_the_near_one_goes_on() {
    let setup = Setup::new();
    setup.far.set(Mood::Failing);
    let record = setup.record("t");
    // Who stores is told.
    let store = setup.tiered.store(&setup.access, &record).await;
    assert_eq!(store.unwrap_err().to_string(), "it fails");
    assert_eq!(setup.far.calls(), 1);
    setup.clock.advance(HOUR * 7 / 10);
    // The next time for longer, and so on.
    for seconds in [2, 4, 8, 16, 32, 60, 60] {
        assert_eq!(setup.load().await.as_deref(), Some("t"));
        assert_eq!(setup.far.calls(), 1, "{seconds}");
        setup
            .clock
            .advance(Duration::from_secs(seconds) - MILLISECOND);
        assert_eq!(setup.load().await.as_deref(), Some("t"));
        let refusal = setup.tiered.load_refusal(&setup.access).await;
        assert_eq!(refusal.unwrap(), None);
        assert_eq!(setup.far.calls(), 0, "{seconds}");
        setup.clock.advance(MILLISECOND);
    }
    // A removal must not get lost.
    let hash = record.token().hash();
    setup.clock.advance(Duration::from_secs(61));
    assert_eq!(setup.load().await.as_deref(), Some("t"));
    assert!(setup.tiered.remove(&setup.access, &hash).await.is_err());
    assert_eq!(setup.far.calls(), 2);
    assert_eq!(setup.load().await, None);
    // It is used again once it is well.
    setup.far.set(Mood::Well);
    setup.clock.advance(Duration::from_secs(61));
    let record = setup.record("new");
    setup.tiered.store(&setup.access, &record).await.unwrap();
    assert_eq!(setup.in_cache(&setup.far).await.as_deref(), Some("new"));
}

#[tokio::test]
async fn r2_a_far_cache_that_is_silent_is_left_alone_once_it_was_waited_for() {
    let setup = Setup::new();
    setup.far.set(Mood::Silent);
    // Who gave up at once did so for a reason of their own.
    setup.give_up_after(Duration::ZERO);
    setup.give_up_after(Duration::from_millis(100));
    assert_eq!(setup.far.calls(), 2);
    assert_eq!(setup.load().await, None);
    assert_eq!(setup.far.calls(), 0);
    setup.clock.advance(Duration::from_secs(1));
    setup.give_up_after(Duration::ZERO);
    assert_eq!(setup.far.calls(), 1);
}

#[tokio::test]
async fn r2_what_is_removed_is_gone_from_nearby_although_the_far_cache_is_silent() {
    let setup = Setup::new();
    let record = setup.record("t");
    setup.tiered.store(&setup.access, &record).await.unwrap();
    setup.far.set(Mood::Silent);
    let hash = record.token().hash();
    {
        // The engine waits for a while, and gives up.
        let mut removal = pin!(setup.tiered.remove(&setup.access, &hash));
        let mut context = Context::from_waker(Waker::noop());
        assert!(removal.as_mut().poll(&mut context).is_pending());
    }
    assert_eq!(setup.in_cache(&setup.near).await, None);
}

#[tokio::test]
async fn a_near_cache_in_trouble_does_not_keep_the_far_one_from_being_used() {
    let setup = Setup::new();
    setup.near.set(Mood::Failing);
    let record = setup.record("t");
    // Who stores is told, and it is stored.
    assert!(setup.tiered.store(&setup.access, &record).await.is_err());
    assert_eq!(setup.load().await.as_deref(), Some("t"));
    let lease = setup.tiered.lease(&setup.access).await.unwrap();
    assert!(matches!(lease, Lease::Granted(_)));
    let hash = record.token().hash();
    assert!(setup.tiered.remove(&setup.access, &hash).await.is_err());
    assert_eq!(setup.in_cache(&setup.far).await, None);
    // With both in trouble there is nothing to go on with.
    setup.far.set(Mood::Failing);
    assert!(setup.tiered.load(&setup.access).await.is_err());
    assert!(setup.tiered.lease(&setup.access).await.is_err());
}

#[tokio::test]
async fn k9_refusals_are_stored_in_both_and_the_far_one_is_believed() {
    let setup = Setup::new();
    cache_suite::a_refusal_is_remembered_for_its_key_alone(&Tiered::new(
        MemoryCache::new(),
        MemoryCache::new(),
    ))
    .await;
    let now = setup.clock.now().system_time();
    let refusal = Refusal::new(RefusalKind::Client, now, HOUR, 1);
    let stored = setup.tiered.store_refusal(&setup.access, &refusal).await;
    stored.unwrap();
    let load = async |cache: &dyn TokenCache| cache.load_refusal(&setup.access).await.unwrap();
    assert_eq!(load(&setup.near.cache).await, Some(refusal));
    assert_eq!(load(&setup.far.cache).await, Some(refusal));
    // Another machine has got a token.
    let record = setup.record("t");
    setup.far.cache.store(&setup.access, &record).await.unwrap();
    assert_eq!(load(&setup.tiered).await, None);
    setup.far.set(Mood::Failing);
    assert_eq!(load(&setup.tiered).await, Some(refusal));
}

#[test]
fn both_must_be_able_to_keep_a_token() {
    let setup = Setup::new();
    let credentials = crate::support::credentials("client");
    assert!(setup.tiered.check(&credentials).is_ok());
    for moody in [&setup.near, &setup.far] {
        moody.set(Mood::Failing);
        assert!(setup.tiered.check(&credentials).is_err());
        moody.set(Mood::Well);
    }
}
