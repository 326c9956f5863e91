//! `MokaCache` by itself: conformance, its bound, expiry, and what it shows.

use std::{
    fmt,
    future::ready,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bloom_auth_cache::MokaCache;
use bloom_auth_core::{
    AuthVersion, CacheAccess, ClientCredentials, ClientId, ClientSecret, Clock, Environment, Lease,
    Timestamp, TokenCache, TokenProvider,
    test_util::{
        ManualClock, Reply, ScriptedTransport,
        cache_suite::{self, Leases},
    },
};
use tokio::time::{sleep, timeout};

use crate::support::{HOUR, MINUTE, access, record};

const DAY: Duration = Duration::from_secs(86_400);

fn numbered(n: usize) -> CacheAccess {
    access(&format!("client-{n}"))
}

async fn store(cache: &MokaCache, clock: &ManualClock, n: usize) {
    let record = record(&format!("t{n}"), clock.now().system_time(), HOUR);
    cache.store(&numbered(n), &record).await.unwrap();
}

/// The token under key `n`.
async fn found(cache: &MokaCache, n: usize) -> Option<String> {
    let found = cache.load(&numbered(n)).await.unwrap()?;
    Some(found.token().expose().to_owned())
}

fn with_clock(max_entries: usize, clock: &ManualClock) -> MokaCache {
    let cache = MokaCache::builder(max_entries).clock(clock.clone());
    cache.build().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn k5_k6_it_conforms() {
    let make = || ready(MokaCache::new(1000).unwrap());
    assert_eq!(cache_suite::all(make).await, Leases::Exercised);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn k5_k6_it_conforms_behind_a_pointer_to_the_trait() {
    let make = || ready(Arc::new(MokaCache::new(1000).unwrap()) as Arc<dyn TokenCache>);
    assert_eq!(cache_suite::all(make).await, Leases::Exercised);
}

#[test]
fn a_setting_that_cannot_work_is_an_error() {
    let error = MokaCache::new(0).unwrap_err();
    assert_eq!(error.setting(), "maximum number of entries");
    assert!(MokaCache::new(1).is_ok());
    assert!(MokaCache::new(usize::MAX).is_ok());
    let build = |lifetime| MokaCache::builder(1).max_lifetime(lifetime).build();
    for lifetime in [
        Duration::ZERO,
        Duration::from_millis(999),
        367 * DAY,
        Duration::MAX,
    ] {
        let error = build(lifetime).unwrap_err();
        assert_eq!(error.setting(), "maximum lifetime", "{lifetime:?}");
    }
    for lifetime in [Duration::from_secs(1), 366 * DAY] {
        assert!(build(lifetime).is_ok(), "{lifetime:?}");
    }
}

#[tokio::test]
async fn k9_it_remembers_refusals() {
    cache_suite::a_refusal_is_remembered_for_its_key_alone(&MokaCache::new(1000).unwrap()).await;
}

#[tokio::test]
async fn what_was_used_least_recently_goes_first() {
    let clock = ManualClock::new();
    let cache = with_clock(3, &clock);
    for n in 1..=3 {
        store(&cache, &clock, n).await;
        assert_eq!(cache.len(), n);
    }
    // Asked for, and stored once more.
    assert_eq!(found(&cache, 1).await.as_deref(), Some("t1"));
    assert_eq!(cache.len(), 3);
    store(&cache, &clock, 2).await;
    assert_eq!(cache.len(), 3);
    for (newcomer, goes) in [(4, 3), (5, 1), (6, 2), (7, 4)] {
        store(&cache, &clock, newcomer).await;
        assert_eq!(cache.len(), 3, "with {newcomer}");
        assert_eq!(found(&cache, goes).await, None, "with {newcomer}");
    }
    for n in 5..=7 {
        assert_eq!(found(&cache, n).await, Some(format!("t{n}")));
    }
}

#[tokio::test]
async fn a_new_token_is_never_refused() {
    let clock = ManualClock::new();
    for max in [1, 2, 100] {
        let cache = with_clock(max, &clock);
        for n in 0..500_usize {
            // However often the others were used.
            for old in n.saturating_sub(max)..n {
                let _ = found(&cache, old).await;
            }
            store(&cache, &clock, n).await;
            assert_eq!(found(&cache, n).await, Some(format!("t{n}")), "{max}");
            assert!(cache.len() <= max, "{max}");
            assert_eq!(found(&cache, n).await, Some(format!("t{n}")), "{max}");
        }
        assert_eq!(cache.len(), max);
    }
}

#[tokio::test]
async fn the_bound_holds_without_anyone_who_asks_for_it() {
    const MAX: usize = 100;
    let clock = ManualClock::new();
    let cache = with_clock(MAX, &clock);
    let mut is_there = 0;
    for n in 0..5000 {
        store(&cache, &clock, n).await;
    }
    for n in 0..5000 {
        is_there += usize::from(found(&cache, n).await.is_some());
    }
    // What waits for the housekeeping comes on top.
    assert!((1..MAX + 500).contains(&is_there), "{is_there}");
    assert_eq!(cache.len(), MAX);
}

#[tokio::test]
async fn what_has_expired_is_not_given_out_and_makes_room() {
    let clock = ManualClock::new();
    let cache = with_clock(10, &clock);
    let access = access("client");
    let short = record("short", clock.now().system_time(), MINUTE);
    cache.store(&access, &short).await.unwrap();
    clock.advance(MINUTE - Duration::from_nanos(1));
    assert_eq!(cache.load(&access).await.unwrap().as_ref(), Some(&short));
    clock.advance(Duration::from_nanos(1));
    assert_eq!(cache.load(&access).await.unwrap(), None);
    assert!(cache.is_empty());
    // Where there was an expired one, even an earlier one finds its place.
    cache.store(&access, &short).await.unwrap();
    let earlier = record("earlier", short.sent_at() - MINUTE, HOUR);
    cache.store(&access, &earlier).await.unwrap();
    assert_eq!(cache.load(&access).await.unwrap(), Some(earlier));
}

type Meddle = Box<dyn FnOnce() + Send>;

/// A clock that does something once when it is read.
#[derive(Clone, Default)]
struct Meddling {
    clock: ManualClock,
    what: Arc<Mutex<Option<Meddle>>>,
}

impl fmt::Debug for Meddling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meddling")
    }
}

impl Clock for Meddling {
    fn now(&self) -> Timestamp {
        let what = self.what.lock().unwrap().take();
        if let Some(what) = what {
            what();
        }
        self.clock.now()
    }
}

#[tokio::test]
async fn what_comes_while_an_expired_record_is_found_stays() {
    let clock = Meddling::default();
    let cache = MokaCache::builder(10).clock(clock.clone());
    let cache = cache.build().unwrap();
    let access = access("client");
    let short = record("short", clock.clock.now().system_time(), MINUTE);
    cache.store(&access, &short).await.unwrap();
    clock.clock.advance(MINUTE);
    let newer = record("newer", clock.clock.now().system_time(), HOUR);
    let store = {
        let (cache, access, newer) = (cache.clone(), access.clone(), newer.clone());
        move || {
            let mut context = Context::from_waker(Waker::noop());
            let stored = pin!(cache.store(&access, &newer)).poll(&mut context);
            assert!(matches!(stored, Poll::Ready(Ok(()))));
        }
    };
    *clock.what.lock().unwrap() = Some(Box::new(store));
    assert_eq!(cache.load(&access).await.unwrap(), None);
    assert_eq!(cache.load(&access).await.unwrap(), Some(newer));
}

#[tokio::test]
async fn p17_no_record_is_kept_for_longer_than_any_is_believed_to_live() {
    let clock = ManualClock::new();
    let access = access("client");
    let now = clock.now().system_time();
    let eternal = record("eternal", now, Duration::from_nanos(u64::MAX));
    for (cache, days) in [
        (MokaCache::builder(10), 7),
        (MokaCache::builder(10).max_lifetime(DAY), 1),
    ] {
        let clock = ManualClock::new();
        let cache = cache.clock(clock.clone()).build().unwrap();
        cache.store(&access, &eternal).await.unwrap();
        clock.advance(days * DAY - Duration::from_nanos(1));
        assert_eq!(cache.load(&access).await.unwrap().as_ref(), Some(&eternal));
        clock.advance(Duration::from_nanos(1));
        assert_eq!(cache.load(&access).await.unwrap(), None);
        assert!(cache.is_empty());
    }
}

#[tokio::test]
async fn what_nobody_asks_for_again_does_not_stay() {
    // By the time of moka, which nothing stops; ours stands still.
    let cache = MokaCache::builder(10)
        .max_lifetime(Duration::from_secs(1))
        .clock(ManualClock::new())
        .build()
        .unwrap();
    store(&cache, &ManualClock::new(), 1).await;
    let gone = async {
        while !cache.is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(MINUTE, gone).await.unwrap();
}

#[tokio::test]
async fn a_record_from_when_the_clock_was_ahead_is_in_nobodys_way() {
    let clock = ManualClock::new();
    let cache = with_clock(10, &clock);
    let access = access("client");
    for (ahead, is_replaced) in [(5 * MINUTE, false), (6 * MINUTE, true)] {
        clock.advance_wall(ahead);
        let then = record("ahead", clock.now().system_time(), 24 * HOUR);
        cache.store(&access, &then).await.unwrap();
        clock.set_back_wall(ahead);
        let now = record("now", clock.now().system_time(), HOUR);
        cache.store(&access, &now).await.unwrap();
        let expected = if is_replaced { &now } else { &then };
        let found = cache.load(&access).await.unwrap();
        assert_eq!(found.as_ref(), Some(expected), "{ahead:?}");
        let hash = expected.token().hash();
        cache.remove(&access, &hash).await.unwrap();
        assert!(cache.is_empty());
    }
}

#[tokio::test]
async fn a_lease_lapses_when_its_holder_is_stuck() {
    let clock = ManualClock::new();
    let cache = with_clock(10, &clock);
    let clone = cache.clone();
    let access = access("client");
    let stuck = cache.lease(&access).await.unwrap();
    assert!(matches!(stuck, Lease::Granted(_)));
    clock.advance_wall(24 * HOUR);
    clock.advance(MINUTE - Duration::from_nanos(1));
    assert!(matches!(clone.lease(&access).await.unwrap(), Lease::Held));
    clock.advance(Duration::from_nanos(1));
    let next = clone.lease(&access).await.unwrap();
    assert!(matches!(next, Lease::Granted(_)));
    // What lapsed takes nothing from whoever has the lease now.
    drop(stuck);
    assert!(matches!(cache.lease(&access).await.unwrap(), Lease::Held));
}

#[tokio::test]
async fn leases_are_not_bounded_by_the_number_of_entries() {
    let cache = MokaCache::new(1).unwrap();
    let mut guards = Vec::new();
    for n in 0..200 {
        let lease = cache.lease(&numbered(n)).await.unwrap();
        assert!(matches!(lease, Lease::Granted(_)), "{n}");
        guards.push(lease);
    }
    for n in 0..200 {
        let lease = cache.lease(&numbered(n)).await.unwrap();
        assert!(matches!(lease, Lease::Held), "{n}");
    }
}

#[tokio::test]
async fn debug_shows_neither_token_nor_secret() {
    const CANARY: &str = "canary-of-the-token";
    let clock = ManualClock::new();
    let builder = MokaCache::builder(7).clock(clock.clone());
    let built = format!("{builder:?} {builder:#?}");
    let cache = builder.build().unwrap();
    let access = access("client");
    let record = record(CANARY, clock.now().system_time(), HOUR);
    cache.store(&access, &record).await.unwrap();
    assert_eq!(cache.len(), 1);
    let lease = cache.lease(&access).await.unwrap();
    let shown = format!("{built} {cache:?} {cache:#?} {lease:?} {lease:#?}");
    // The control: the canary is there.
    let found = cache.load(&access).await.unwrap().unwrap();
    assert_eq!(found.token().expose(), CANARY);
    let expected = "MokaCache(about 1 records, at most 7)";
    assert!(shown.contains(expected), "{shown}");
    assert!(!shown.contains("canary-of"), "{shown}");
}

#[tokio::test]
async fn a_token_that_had_to_go_costs_one_request() {
    let cache = MokaCache::new(1).unwrap();
    let transport =
        ScriptedTransport::new(["t1", "t2", "t3"].map(|token| Reply::token(token, 3600)));
    // A provider of a process that has just come up, but for its cache.
    let token_of = async |id: &str| {
        let id = ClientId::new(id).unwrap();
        let credentials = ClientCredentials::new(id, ClientSecret::new("secret").unwrap());
        let environment = Environment::sandbox(AuthVersion::V1);
        let provider = TokenProvider::builder(environment, credentials, transport.clone());
        let provider = provider.cache(cache.clone()).build().unwrap();
        let token = provider.token().await.unwrap().expose().to_owned();
        assert_eq!(cache.len(), 1);
        assert_eq!(provider.status().counts.cache_errors, 0);
        token
    };
    for (id, expected) in [
        ("a", "t1"),
        ("a", "t1"),
        ("b", "t2"),
        ("b", "t2"),
        ("a", "t3"),
        ("a", "t3"),
    ] {
        assert_eq!(token_of(id).await, expected, "{id}");
    }
    assert_eq!(transport.request_count(), 3);
}
