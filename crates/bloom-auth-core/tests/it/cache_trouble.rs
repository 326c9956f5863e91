//! How little a cache in trouble may cost.

use std::time::Duration;

use async_trait::async_trait;
use bloom_auth_core::{
    CacheAccess, CacheError, CacheRecord, Lease, LeaseGuard, Rejection, TokenCache, TokenHash,
    test_util::{MockTokenCache, ScriptedTransport},
};
use tokio::time::{Instant, sleep};

use crate::{
    cache_use::cached,
    support::{Mood, TestCache, name, paused, token_reply},
};

#[test]
fn r20_whatever_a_cache_fails_at_the_caller_gets_a_token() {
    // What fails: the load, the lease, the store. The rest is not tried then.
    for fails in 0..3 {
        paused().block_on(async {
            let trouble = || CacheError::new("the script says so");
            let mut cache = MockTokenCache::new();
            cache
                .expect_load()
                .times(1)
                .returning(move |_| if fails == 0 { Err(trouble()) } else { Ok(None) });
            cache
                .expect_lease()
                .times(usize::from(fails > 0))
                .returning(move |_| {
                    if fails == 1 {
                        Err(trouble())
                    } else {
                        Ok(Lease::NotNeeded)
                    }
                });
            cache
                .expect_store()
                .times(usize::from(fails > 1))
                .returning(move |_, _| Err(trouble()));
            let transport = ScriptedTransport::new([token_reply("A", 100)]);
            let provider = cached(&transport, cache);
            assert_eq!(name(&provider.token().await.unwrap()), "A");
            assert_eq!(transport.request_count(), 1);
            let status = provider.status();
            assert_eq!((status.counts.cache_errors, status.counts.failures), (1, 0));
            assert!(status.last_error.is_none());
        });
    }
}

/// A cache of which one operation never ends, or panics; the others find
/// nothing.
#[derive(Debug)]
struct Odd {
    operation: &'static str,
    panics: bool,
}

impl Odd {
    async fn at(&self, operation: &str) {
        if self.operation == operation {
            assert!(!self.panics, "as a cache with a bug may");
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl TokenCache for Odd {
    async fn load(&self, _: &CacheAccess) -> Result<Option<CacheRecord>, CacheError> {
        self.at("load").await;
        Ok(None)
    }

    async fn store(&self, _: &CacheAccess, _: &CacheRecord) -> Result<(), CacheError> {
        self.at("store").await;
        Ok(())
    }

    async fn remove(&self, _: &CacheAccess, _: &TokenHash) -> Result<(), CacheError> {
        self.at("remove").await;
        Ok(())
    }

    async fn lease(&self, _: &CacheAccess) -> Result<Lease, CacheError> {
        self.at("lease").await;
        let panics = self.panics && self.operation == "free";
        Ok(Lease::Granted(LeaseGuard::new(OddLease(panics))))
    }
}

struct OddLease(bool);

impl Drop for OddLease {
    fn drop(&mut self) {
        assert!(!self.0, "as a lease with a bug may");
    }
}

/// Plays a cold fetch and one after a rejection; returns what each took.
fn cold_and_rejected(cache: Odd) -> [u64; 2] {
    paused().block_on(async {
        let replies = ["A", "B"].map(|token| token_reply(token, 100));
        let transport = ScriptedTransport::new(replies);
        let provider = cached(&transport, cache);
        let took = async |expected: &str| {
            let start = Instant::now();
            assert_eq!(name(&provider.token().await.unwrap()), expected);
            u64::try_from(start.elapsed().as_millis()).unwrap()
        };
        let cold = took("A").await;
        let token = provider.token().await.unwrap();
        // The cache has had its pause.
        sleep(Duration::from_secs(2)).await;
        assert_eq!(provider.reject(&token), Rejection::Dropped);
        let rejected = took("B").await;
        assert_eq!(transport.request_count(), 2);
        assert_eq!(provider.status().counts.failures, 0);
        [cold, rejected]
    })
}

#[test]
fn r2_each_operation_of_a_hanging_cache_is_bounded() {
    // Without a token at hand a second. So long does who waits for a token wait
    // for it to be kept, too, since his process may end then.
    for (operation, expected) in [
        ("load", [1000, 1000]),
        ("lease", [1000, 1000]),
        ("store", [1000, 1000]),
        ("remove", [0, 1000]),
    ] {
        let cache = Odd {
            operation,
            panics: false,
        };
        for (took, expected) in cold_and_rejected(cache).into_iter().zip(expected) {
            assert!(took.abs_diff(expected) < 5, "{operation}: {took} ms");
        }
    }
}

#[test]
fn c9_a_cache_that_panics_costs_nothing() {
    for operation in ["load", "lease", "store", "remove", "free"] {
        let cache = Odd {
            operation,
            panics: true,
        };
        assert_eq!(cold_and_rejected(cache), [0, 0], "{operation}");
    }
}

#[test]
fn a1_a_cache_that_could_not_be_told_of_a_rejection_is_told_later() {
    paused().block_on(async {
        let cache = TestCache::default();
        let replies = ["A", "B", "C"].map(|token| token_reply(token, 100));
        let transport = ScriptedTransport::new(replies);
        let provider = cached(&transport, cache.clone());
        let token = provider.token().await.unwrap();
        assert_eq!(provider.reject(&token), Rejection::Dropped);
        cache.set_mood(Mood::Fails);
        cache.take_calls();
        assert_eq!(name(&provider.token().await.unwrap()), "B");
        assert_eq!(cache.take_calls(), ["remove"]);
        cache.set_mood(Mood::Works);
        sleep(Duration::from_secs(96)).await;
        assert_eq!(name(&provider.token().await.unwrap()), "C");
        let calls = ["remove", "load", "lease", "load", "store", "free"];
        assert_eq!(cache.take_calls(), calls);
        sleep(Duration::from_secs(96)).await;
        provider.token().await.unwrap();
        assert_eq!(cache.take_calls(), calls[1..]);
    });
}

#[test]
fn r2_a_hanging_cache_is_left_alone_for_a_growing_while() {
    paused().block_on(async {
        let cache = TestCache::default();
        cache.set_mood(Mood::Hangs);
        let transport = ScriptedTransport::new([token_reply("A", 1)]);
        let provider = cached(&transport, cache.clone());
        let start = Instant::now();
        let mut asked_at = Vec::new();
        while start.elapsed() < Duration::from_secs(200) {
            let now = start.elapsed().as_secs();
            provider.token().await.unwrap();
            if !cache.take_calls().is_empty() {
                asked_at.push(now);
            }
            sleep(Duration::from_millis(100)).await;
        }
        // Each time a second at most was lost, then 1, 2, 4, … 60 s none.
        let gaps: Vec<u64> = asked_at.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let waits = [1, 2, 4, 8, 16, 32, 60, 60];
        assert!(gaps.len() >= 7, "{asked_at:?}");
        for (gap, wait) in gaps.iter().zip(waits) {
            assert!((wait..=wait + 2).contains(gap), "{asked_at:?}");
        }
    });
}

#[test]
fn r1_the_while_ends_and_the_next_one_is_short_again() {
    paused().block_on(async {
        let cache = TestCache::default();
        cache.set_mood(Mood::Fails);
        let replies = (0..300).map(|n| token_reply(&n.to_string(), 1));
        let transport = ScriptedTransport::new(replies);
        let provider = cached(&transport, cache.clone());
        // Fetches every second; says after how many the cache was asked.
        let asked_after = async |seconds: u64| {
            for second in 1..=seconds {
                sleep(Duration::from_secs(1)).await;
                provider.token().await.unwrap();
                if !cache.take_calls().is_empty() {
                    return Some(second);
                }
            }
            None
        };
        provider.token().await.unwrap();
        assert_eq!(cache.take_calls(), ["load"]);
        for skip in [1, 2, 4, 8, 16, 32, 60] {
            assert_eq!(asked_after(61).await, Some(skip));
        }
        cache.set_mood(Mood::Works);
        assert_eq!(asked_after(61).await, Some(60));
        // In use again, at once and for everything.
        for _ in 0..3 {
            assert_eq!(asked_after(1).await, Some(1));
        }
        let requests = transport.request_count();
        assert_eq!(cache.tokens(), [(requests - 1).to_string()]);
        cache.set_mood(Mood::Fails);
        for skip in [1, 1, 2, 4] {
            assert_eq!(asked_after(61).await, Some(skip));
        }
        assert_eq!(provider.status().counts.failures, 0);
    });
}
