//! A cache that answers at once and wrongly: it costs token requests, and
//! nothing else.

use std::{
    fmt,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bloom_auth_core::{
    CacheAccess, CacheError, CacheRecord, Clock, Lease, LeaseGuard, Rejection, TokenCache,
    TokenHash, TokenProvider, Transport,
    test_util::{ScriptedTransport, TokioClock},
};
use tokio::{task::JoinSet, time::sleep};

use crate::support::{Gate, builder, credentials, name, paused, poll, settle, token_reply, wire};

const SECOND: Duration = Duration::from_secs(1);

/// Longer than a token of a hundred seconds can be used.
const A_LIFE: Duration = Duration::from_secs(96);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Lie {
    /// Everyone who asks gets the lease.
    GrantsToAll,
    /// What is stored is gone.
    KeepsNothing,
    /// This is found, whatever was stored or removed.
    Gives(CacheRecord),
    /// Every other call fails.
    Flaps,
}

/// A cache of one key that is right but for one thing. Clones are the same
/// cache.
#[derive(Clone)]
struct Lying(Arc<LyingInner>);

struct LyingInner {
    lie: Lie,
    record: Mutex<Option<CacheRecord>>,
    calls: AtomicUsize,
    loads: AtomicUsize,
}

impl Lying {
    fn new(lie: Lie) -> Self {
        let record = match &lie {
            Lie::Gives(record) => Some(record.clone()),
            _ => None,
        };
        Self(Arc::new(LyingInner {
            lie,
            record: Mutex::new(record),
            calls: AtomicUsize::new(0),
            loads: AtomicUsize::new(0),
        }))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Option<CacheRecord>) -> T) -> T {
        let record = self.0.record.lock();
        change(&mut record.unwrap_or_else(PoisonError::into_inner))
    }

    fn keeps(&self) -> bool {
        !matches!(self.0.lie, Lie::KeepsNothing | Lie::Gives(_))
    }

    fn call(&self) -> Result<(), CacheError> {
        let n = self.0.calls.fetch_add(1, Ordering::SeqCst);
        if self.0.lie == Lie::Flaps && n % 2 == 1 {
            return Err(CacheError::new("every other time"));
        }
        Ok(())
    }

    /// What the token in it is called.
    fn holds(&self) -> Option<String> {
        self.change(|record| Some(name(record.as_ref()?.token()).to_owned()))
    }
}

impl fmt::Debug for Lying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lying")
    }
}

#[async_trait]
impl TokenCache for Lying {
    async fn load(&self, _: &CacheAccess) -> Result<Option<CacheRecord>, CacheError> {
        self.0.loads.fetch_add(1, Ordering::SeqCst);
        self.call()?;
        Ok(self.change(|record| record.clone()))
    }

    async fn store(&self, _: &CacheAccess, new: &CacheRecord) -> Result<(), CacheError> {
        self.call()?;
        self.change(|record| {
            let stays = record
                .as_ref()
                .is_some_and(|record| record.sent_at() > new.sent_at());
            if self.keeps() && !stays {
                *record = Some(new.clone());
            }
        });
        Ok(())
    }

    async fn remove(&self, _: &CacheAccess, token: &TokenHash) -> Result<(), CacheError> {
        self.call()?;
        self.change(|record| {
            let is_it = record
                .as_ref()
                .is_some_and(|record| record.token().hash() == *token);
            if self.keeps() && is_it {
                *record = None;
            }
        });
        Ok(())
    }

    async fn lease(&self, _: &CacheAccess) -> Result<Lease, CacheError> {
        self.call()?;
        Ok(match self.0.lie {
            Lie::GrantsToAll => Lease::Granted(LeaseGuard::new(())),
            _ => Lease::NotNeeded,
        })
    }
}

fn provider(
    transport: impl Transport + 'static,
    cache: &Lying,
    clock: &TokioClock,
) -> TokenProvider {
    let provider = builder(credentials(), transport).clock(clock.clone());
    provider.cache(cache.clone()).build().unwrap()
}

/// A server whose tokens live for a hundred seconds.
fn server() -> ScriptedTransport {
    ScriptedTransport::new(["A", "B", "C", "D", "E"].map(|token| token_reply(token, 100)))
}

/// Nothing is amiss as far as the cache's user can tell.
fn assert_calm(provider: &TokenProvider, what: &str) {
    let status = provider.status();
    assert_eq!(status.counts.failures, 0, "{what}");
    assert_eq!(status.counts.cache_errors, 0, "{what}");
    assert!(status.last_error.is_none(), "{what}");
}

#[test]
fn d21_a_lease_that_everyone_gets_costs_a_request_each() {
    paused().block_on(async {
        let (cache, clock) = (Lying::new(Lie::GrantsToAll), TokioClock::new());
        let gates = [Gate::default(), Gate::default()];
        let [slow, quick] = gates
            .each_ref()
            .map(|gate| provider(gate.clone(), &cache, &clock));
        let mut first = pin!(slow.token());
        assert!(poll(first.as_mut()).is_pending());
        sleep(SECOND).await;
        let mut second = pin!(quick.token());
        assert!(poll(second.as_mut()).is_pending());
        settle().await;
        assert_eq!(gates.each_ref().map(Gate::requests), [1, 1]);

        sleep(SECOND).await;
        gates[1].answer_with(1, token_reply("later", 100));
        assert_eq!(name(&second.await.unwrap()), "later");
        assert_eq!(cache.holds().as_deref(), Some("later"));
        // A token counts from when it was asked for, not from when it came:
        // this one is older.
        sleep(SECOND).await;
        gates[0].answer_with(1, token_reply("earlier", 100));
        assert_eq!(name(&first.await.unwrap()), "earlier");
        assert_eq!(cache.holds().as_deref(), Some("later"));
        for (provider, token) in [(&slow, "earlier"), (&quick, "later")] {
            assert_eq!(name(&provider.token().await.unwrap()), token);
            assert_calm(provider, token);
        }
        assert_eq!(gates.each_ref().map(Gate::requests), [1, 1]);
    });
}

#[test]
fn d21_nor_does_a_herd_make_it_more() {
    paused().block_on(async {
        let (cache, clock) = (Lying::new(Lie::GrantsToAll), TokioClock::new());
        let replies = ["A", "B", "C"].map(|token| token_reply(token, 100).after(3 * SECOND));
        let transport = ScriptedTransport::new(replies);
        let providers = [(); 2].map(|()| provider(transport.clone(), &cache, &clock));
        let mut calls = JoinSet::new();
        for n in 0..100 {
            let provider = providers[n % 2].clone();
            calls.spawn(async move { name(&provider.token().await.unwrap()).to_owned() });
        }
        let mut tokens = calls.join_all().await;
        tokens.sort();
        tokens.dedup();
        assert_eq!(tokens, ["A", "B"]);
        assert_eq!(transport.request_count(), 2);
    });
}

#[test]
fn r9_t6_what_cannot_be_used_is_not_served_however_often_it_is_given() {
    for (what, age, lifetime) in [
        ("expired", 100, 100 * SECOND),
        ("expired long ago", 400 * 86_400, 100 * SECOND),
        ("about to expire", 95, 100 * SECOND),
        ("without a life", 0, Duration::ZERO),
        ("almost without", 0, Duration::from_millis(999)),
        // More than five minutes after the end of this test.
        ("from the future", -1000, 100 * SECOND),
        ("from a far future", -100 * 365 * 86_400, Duration::MAX),
        ("from 1970, for ever", 56 * 365 * 86_400, Duration::MAX),
    ] {
        paused().block_on(async {
            let clock = TokioClock::new();
            let now = clock.now().system_time();
            let distance = Duration::from_secs(i64::unsigned_abs(age));
            let sent_at = if age < 0 {
                now + distance
            } else {
                now - distance
            };
            let record = CacheRecord::new(&wire("never"), None, sent_at, lifetime).unwrap();
            let cache = Lying::new(Lie::Gives(record));
            let transport = server();
            let provider = provider(transport.clone(), &cache, &clock);
            for (n, expected) in ["A", "B", "C"].into_iter().enumerate() {
                for _ in 0..3 {
                    let token = provider.token().await.unwrap();
                    assert_eq!(name(&token), expected, "{what}");
                }
                assert_eq!(transport.request_count(), n + 1, "{what}");
                sleep(A_LIFE).await;
            }
            assert!(cache.0.loads.load(Ordering::SeqCst) >= 3, "{what}");
            assert_eq!(provider.status().counts.cache_hits, 0, "{what}");
            assert_calm(&provider, what);
        });
    }
}

#[test]
fn p17_a_cached_lifetime_beyond_all_clocks_ends_after_a_week() {
    paused().block_on(async {
        let clock = TokioClock::new();
        let now = clock.now().system_time();
        let eternal = Duration::from_nanos(u64::MAX);
        let record = CacheRecord::new(&wire("eternal"), None, now, eternal).unwrap();
        let cache = Lying::new(Lie::Gives(record));
        let transport = server();
        let provider = provider(transport.clone(), &cache, &clock);
        assert_eq!(name(&provider.token().await.unwrap()), "eternal");
        // A day before its refresh is due.
        sleep(6 * 86_400 * SECOND).await;
        assert_eq!(name(&provider.token().await.unwrap()), "eternal");
        assert_eq!(transport.request_count(), 0);
        sleep(86_400 * SECOND).await;
        assert_eq!(name(&provider.token().await.unwrap()), "A");
        assert_eq!(transport.request_count(), 1);
        // Found again, and no younger.
        sleep(A_LIFE).await;
        assert_eq!(name(&provider.token().await.unwrap()), "B");
        assert_calm(&provider, "eternal");
    });
}

#[test]
fn a1_a_rejected_token_stays_away_however_often_it_is_given() {
    paused().block_on(async {
        let clock = TokioClock::new();
        let now = clock.now().system_time();
        let record = CacheRecord::new(&wire("bad"), None, now, 3600 * SECOND).unwrap();
        let cache = Lying::new(Lie::Gives(record));
        let transport = server();
        let provider = provider(transport.clone(), &cache, &clock);
        let mut token = provider.token().await.unwrap();
        assert_eq!(name(&token), "bad");
        for (n, expected) in ["A", "B", "C", "D"].into_iter().enumerate() {
            assert_eq!(provider.reject(&token), Rejection::Dropped);
            token = provider.token().await.unwrap();
            assert_eq!(name(&token), expected);
            assert_eq!(transport.request_count(), n + 1);
            // Of the rejections in this time, one counts.
            sleep(31 * SECOND).await;
        }
        assert_eq!(provider.status().counts.cache_hits, 1);
        assert_calm(&provider, "rejected");
    });
}

#[test]
fn a_cache_that_keeps_nothing_costs_a_request_a_life() {
    paused().block_on(async {
        let (cache, clock) = (Lying::new(Lie::KeepsNothing), TokioClock::new());
        let transport = server();
        let providers = [(); 2].map(|()| provider(transport.clone(), &cache, &clock));
        let [first, second] = &providers;
        for (n, tokens) in [["A", "B"], ["C", "D"]].into_iter().enumerate() {
            for _ in 0..3 {
                assert_eq!(name(&first.token().await.unwrap()), tokens[0]);
                assert_eq!(name(&second.token().await.unwrap()), tokens[1]);
            }
            assert_eq!(transport.request_count(), 2 * (n + 1));
            sleep(A_LIFE).await;
        }
        for provider in &providers {
            assert_calm(provider, "keeps nothing");
        }
    });
}

#[test]
fn r1_a_cache_that_flaps_costs_no_call_a_token() {
    paused().block_on(async {
        let (cache, clock) = (Lying::new(Lie::Flaps), TokioClock::new());
        let names: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        let replies = names.iter().map(|token| token_reply(token, 100));
        let transport = ScriptedTransport::new(replies);
        let provider = provider(transport.clone(), &cache, &clock);
        for expected in &names {
            let start = tokio::time::Instant::now();
            assert_eq!(name(&provider.token().await.unwrap()), expected);
            assert!(start.elapsed().is_zero(), "{expected}");
            sleep(A_LIFE).await;
        }
        let counts = provider.status().counts;
        assert_eq!((counts.failures, transport.request_count()), (0, 20));
        // One in each fetch, and then it is left alone for what is left of it.
        assert_eq!(counts.cache_errors, 20);
    });
}
