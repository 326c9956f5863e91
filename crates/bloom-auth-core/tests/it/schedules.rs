//! Three processes that share a cache, in random orders of their steps: each
//! call into the cache and the server takes a random time, before it is made and
//! until its answer is there. A schedule is its seed, which a failure names.
//!
//! `provider::lease_poll::model` visits every state of the same in small; this
//! is the whole engine.

use std::{fmt, future::Future, time::Duration};

use bloom_auth_core::{
    AccessToken, Entropy, TokenProvider,
    test_util::{Reply, ScriptedTransport, SeededEntropy, is_long},
};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    slow::{Pace, Slow},
    support::{TestCache, builder, credentials, name, paused, token_reply},
};

impl Pace for SeededEntropy {
    async fn slow<T: Send>(&self, call: impl Future<Output = T> + Send) -> T {
        sleep(up_to(self, 60)).await;
        let output = call.await;
        sleep(up_to(self, 60)).await;
        output
    }
}

fn up_to(chance: &SeededEntropy, millis: u64) -> Duration {
    Duration::from_millis(chance.draw() % (millis + 1))
}

/// Says which schedule it was if its check fails.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the schedule with seed {} failed", self.0);
        }
    }
}

struct Fleet {
    chance: SeededEntropy,
    cache: TestCache,
    server: ScriptedTransport,
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fleet({} requests)", self.server.request_count())
    }
}

impl Fleet {
    fn new(seed: u64) -> Self {
        let replies = (1..=9).map(|n: u32| token_reply(&n.to_string(), 3600));
        Self {
            chance: SeededEntropy::new(seed),
            cache: TestCache::default(),
            server: ScriptedTransport::new(replies.collect::<Vec<Reply>>()),
        }
    }

    fn process(&self) -> TokenProvider {
        let server = Slow(self.server.clone(), self.chance.clone());
        builder(credentials(), server)
            .cache(Slow(self.cache.clone(), self.chance.clone()))
            .entropy(self.chance.clone())
            .build()
            .unwrap()
    }

    fn processes(&self) -> [TokenProvider; 3] {
        [(); 3].map(|()| self.process())
    }
}

/// Plays so many schedules, in virtual time; 100,000 in the long form.
fn in_random_orders(scene: impl AsyncFn(Fleet)) {
    for seed in 0..if is_long() { 100_000 } else { 300 } {
        let _told = Told(seed);
        paused().block_on(scene(Fleet::new(seed)));
    }
}

/// All of them ask at random moments of a second.
async fn all_ask(fleet: &Fleet, processes: &[TokenProvider]) -> Vec<AccessToken> {
    let mut calls = JoinSet::new();
    for process in processes {
        let (process, begin) = (process.clone(), up_to(&fleet.chance, 1000));
        calls.spawn(async move {
            sleep(begin).await;
            process.token().await.unwrap()
        });
    }
    calls.join_all().await
}

#[test]
fn x1_c22_three_that_have_none_make_one_request_in_any_order() {
    in_random_orders(async |fleet| {
        let tokens = all_ask(&fleet, &fleet.processes()).await;
        assert!(tokens.iter().all(|token| name(token) == "1"), "{tokens:?}");
        assert_eq!(fleet.server.request_count(), 1);
    });
}

#[test]
fn x5_c22_one_that_dies_at_any_moment_costs_its_own_request_at_most() {
    in_random_orders(async |fleet| {
        let [dies, others @ ..] = fleet.processes();
        let dies = async {
            // Its flight is aborted, and its lease freed, as when the kernel
            // does it.
            let _ = tokio::time::timeout(up_to(&fleet.chance, 1500), dies.token()).await;
            drop(dies);
        };
        let ((), tokens) = tokio::join!(dies, all_ask(&fleet, &others));
        assert_eq!(tokens[0], tokens[1]);
        assert!((1..=2).contains(&fleet.server.request_count()), "{fleet:?}");
    });
}

#[test]
fn a4_c22_a_token_that_all_reject_costs_one_request_in_any_order() {
    in_random_orders(async |fleet| {
        let processes = fleet.processes();
        let rejected = all_ask(&fleet, &processes).await.remove(0);
        let mut calls = JoinSet::new();
        for process in processes {
            let (rejected, begin) = (rejected.clone(), up_to(&fleet.chance, 1000));
            calls.spawn(async move {
                sleep(begin).await;
                process.reject(&rejected);
                process.token().await.unwrap()
            });
        }
        for token in calls.join_all().await {
            assert_eq!(name(&token), "2");
        }
        assert_eq!(fleet.server.request_count(), 2);
        assert_eq!(fleet.cache.tokens(), ["2"]);
    });
}
