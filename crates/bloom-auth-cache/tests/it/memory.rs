//! `MemoryCache` by itself: conformance, expiry, and what it shows.

use std::{
    future::ready,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bloom_auth_cache::MemoryCache;
use bloom_auth_core::{
    Clock, Lease, Timestamp, TokenCache,
    test_util::{
        ManualClock,
        cache_suite::{self, Leases},
    },
};
use tokio::task::JoinSet;

use crate::support::{HOUR, MINUTE, access, record};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn k5_k6_it_conforms() {
    assert_eq!(
        cache_suite::all(|| ready(MemoryCache::new())).await,
        Leases::Exercised
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn k5_k6_it_conforms_behind_a_pointer_to_the_trait() {
    let make = || ready(Arc::new(MemoryCache::new()) as Arc<dyn TokenCache>);
    assert_eq!(cache_suite::all(make).await, Leases::Exercised);
}

#[tokio::test]
async fn k9_it_remembers_refusals() {
    cache_suite::a_refusal_is_remembered_for_its_key_alone(&MemoryCache::new()).await;
}

#[tokio::test]
async fn what_has_expired_is_dropped_when_another_is_stored() {
    let clock = ManualClock::new();
    let cache = MemoryCache::with_clock(clock.clone());
    let now = || clock.now().system_time();
    let (short, long) = (access("short"), access("long"));
    cache
        .store(&short, &record("short", now(), MINUTE))
        .await
        .unwrap();
    cache
        .store(&long, &record("long", now(), HOUR))
        .await
        .unwrap();

    clock.advance(MINUTE - Duration::from_nanos(1));
    cache
        .store(&access("a"), &record("a", now(), HOUR))
        .await
        .unwrap();
    assert!(cache.load(&short).await.unwrap().is_some());
    assert_eq!(cache.len(), 3);

    clock.advance(Duration::from_nanos(1));
    cache
        .store(&access("b"), &record("b", now(), HOUR))
        .await
        .unwrap();
    assert!(cache.load(&short).await.unwrap().is_none());
    assert!(cache.load(&long).await.unwrap().is_some());
    assert_eq!(cache.len(), 3);
}

#[tokio::test]
async fn many_short_lived_keys_leave_no_trace() {
    let clock = ManualClock::new();
    let cache = MemoryCache::with_clock(clock.clone());
    for n in 0..1000 {
        let now = clock.now().system_time();
        cache
            .store(&access(&format!("client-{n}")), &record("t", now, MINUTE))
            .await
            .unwrap();
        clock.advance(MINUTE / 10);
    }
    assert_eq!(cache.len(), 10);
}

#[tokio::test]
async fn a_record_from_when_the_clock_was_ahead_is_in_nobodys_way() {
    let clock = ManualClock::new();
    let cache = MemoryCache::with_clock(clock.clone());
    let access = access("client");
    for (ahead, is_replaced) in [(5 * MINUTE, false), (5 * MINUTE + MINUTE, true)] {
        clock.advance_wall(ahead);
        let then = record("ahead", clock.now().system_time(), 24 * HOUR);
        cache.store(&access, &then).await.unwrap();
        clock.set_back_wall(ahead);
        let now = record("now", clock.now().system_time(), HOUR);
        cache.store(&access, &now).await.unwrap();
        let expected = if is_replaced { &now } else { &then };
        assert_eq!(
            cache.load(&access).await.unwrap().as_ref(),
            Some(expected),
            "{ahead:?}"
        );
        cache
            .remove(&access, &expected.token().hash())
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn clones_share_one_map_and_its_leases() {
    let (cache, now) = (
        MemoryCache::default(),
        ManualClock::new().now().system_time(),
    );
    let clone = cache.clone();
    let access = access("client");
    cache.store(&access, &record("t", now, HOUR)).await.unwrap();
    assert_eq!(clone.len(), 1);
    assert!(!clone.is_empty());
    let lease = cache.lease(&access).await.unwrap();
    assert!(matches!(lease, Lease::Granted(_)));
    assert!(matches!(clone.lease(&access).await.unwrap(), Lease::Held));
    // The guard outlives the handle that gave it out.
    drop(cache);
    drop(lease);
    assert!(matches!(
        clone.lease(&access).await.unwrap(),
        Lease::Granted(_)
    ));
}

/// A clock that does what it must not.
#[derive(Debug)]
struct PanickingClock;

impl Clock for PanickingClock {
    fn now(&self) -> Timestamp {
        panic!("the clock has a bug");
    }
}

#[tokio::test]
async fn a_clock_that_panics_does_no_harm() {
    let cache = MemoryCache::with_clock(PanickingClock);
    let access = access("client");
    let mut tasks = JoinSet::new();
    tasks.spawn({
        let (cache, access) = (cache.clone(), access.clone());
        async move {
            let record = record("t", SystemTime::UNIX_EPOCH, HOUR);
            cache.store(&access, &record).await.unwrap();
        }
    });
    tasks.spawn({
        let (cache, access) = (cache.clone(), access.clone());
        async move { drop(cache.lease(&access).await.unwrap()) }
    });
    while let Some(outcome) = tasks.join_next().await {
        assert!(outcome.unwrap_err().is_panic());
    }
    assert!(cache.load(&access).await.unwrap().is_none());
    assert!(cache.is_empty());
}

#[tokio::test]
async fn a_lease_lapses_when_its_holder_is_stuck() {
    let clock = ManualClock::new();
    let cache = MemoryCache::with_clock(clock.clone());
    let access = access("client");
    let stuck = cache.lease(&access).await.unwrap();
    assert!(matches!(stuck, Lease::Granted(_)));
    // The wall clock has no say in it.
    clock.advance_wall(24 * HOUR);
    clock.advance(MINUTE - Duration::from_nanos(1));
    assert!(matches!(cache.lease(&access).await.unwrap(), Lease::Held));
    clock.advance(Duration::from_nanos(1));
    let next = cache.lease(&access).await.unwrap();
    assert!(matches!(next, Lease::Granted(_)));
    // What lapsed takes nothing from whoever has the lease now.
    drop(stuck);
    assert!(matches!(cache.lease(&access).await.unwrap(), Lease::Held));
    drop(next);
    assert!(matches!(
        cache.lease(&access).await.unwrap(),
        Lease::Granted(_)
    ));
}

#[tokio::test]
async fn debug_shows_neither_token_nor_secret() {
    const CANARY: &str = "canary-of-the-token";
    let cache = MemoryCache::new();
    let access = access("client");
    let now = ManualClock::new().now().system_time();
    cache
        .store(&access, &record(CANARY, now, HOUR))
        .await
        .unwrap();
    let found = cache.load(&access).await.unwrap();
    let lease = cache.lease(&access).await.unwrap();
    let shown = format!(
        "{cache:?} {cache:#?} {access:?} {access:#?} {found:?} {found:#?} {lease:?} {lease:#?}"
    );
    // The control: the canary is there, and a search finds it where it shows.
    let token = found.unwrap().token().clone();
    assert!(
        format!("{:?}", token.expose()).contains("canary-of"),
        "{token:?}"
    );
    assert!(shown.contains("MemoryCache(1 records)"), "{shown}");
    assert!(shown.contains(&token.fingerprint().to_string()), "{shown}");
    assert!(!shown.contains("canary-of"), "{shown}");
}
