//! Herds: up to ten thousand callers at one moment, and a hundred thousand
//! while a refresh hangs. The server answers when all have asked.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Poll,
    thread,
    time::Duration,
};

use bloom_auth_core::{
    AccessToken, Error, ErrorKind, TokenProvider, TokenState,
    test_util::{ManualClock, Reply, ScriptedTransport, is_long},
};
use http::StatusCode;
use tokio::{
    runtime::Handle,
    sync::{Barrier, Semaphore},
    task::{JoinSet, yield_now},
    time::sleep,
};

use crate::support::{
    Gate, builder, credentials, name, paused, poll, provider, ready, real, settle, token_reply,
};

/// Real time may pass while a herd gathers, and is not what is tested.
const AGES: Duration = Duration::from_secs(250);

/// What one of a herd got, and whether at once.
struct Caller {
    waited: bool,
    outcome: Result<AccessToken, Error>,
}

/// Lets `n` callers ask at one moment, and answers the requests that come
/// after all of them have.
async fn herd(provider: &TokenProvider, gate: &Gate, n: usize, replies: Vec<Reply>) -> Vec<Caller> {
    let before = gate.requests();
    let (barrier, asked) = (Arc::new(Barrier::new(n)), Arc::new(Semaphore::new(0)));
    let mut callers = JoinSet::new();
    for _ in 0..n {
        let (provider, barrier, asked) = (provider.clone(), barrier.clone(), asked.clone());
        callers.spawn(async move {
            barrier.wait().await;
            let mut call = pin!(provider.token());
            let first = poll(call.as_mut());
            asked.add_permits(1);
            match first {
                Poll::Ready(outcome) => Caller {
                    waited: false,
                    outcome,
                },
                Poll::Pending => Caller {
                    waited: true,
                    outcome: call.await,
                },
            }
        });
    }
    let all = u32::try_from(n).unwrap();
    let _all_have_asked = asked.acquire_many(all).await.unwrap();
    for (request, reply) in (before + 1..).zip(replies) {
        while gate.requests() < request {
            yield_now().await;
        }
        gate.answer_with(request, reply);
    }
    callers.join_all().await
}

/// What is held when the herd comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    Nothing,
    Due,
    Expired,
}

fn trouble() -> Reply {
    Reply::answer(StatusCode::BAD_GATEWAY, "")
}

/// A provider that holds a token like this, called "1", or none.
async fn holding(held: Held) -> (TokenProvider, Gate) {
    let (gate, clock) = (Gate::default(), ManualClock::new());
    let builder = builder(credentials(), gate.clone()).clock(clock.clone());
    let builder = builder.attempt_timeout(AGES).fetch_timeout(AGES);
    let provider = builder.build().unwrap();
    if held != Held::Nothing {
        herd(&provider, &gate, 1, vec![token_reply("1", 1000)]).await;
        let age = if held == Held::Due { 800 } else { 1000 };
        clock.advance(Duration::from_secs(age));
    }
    (provider, gate)
}

/// Plays herds of any size on any number of workers: hundreds of times in the
/// long form, and a few otherwise, with the largest on two workers alone.
fn herds(held: Held, scene: impl AsyncFn(TokenProvider, Gate, usize)) {
    let rows = [
        (10, 5, 200),
        (100, 2, 200),
        (1000, 1, 200),
        (10_000, 1, 200),
    ];
    for (n, few, many) in rows {
        for workers in [0, 2, 8] {
            if n == 10_000 && workers != 2 && !is_long() {
                continue;
            }
            let runtime = real(workers);
            for _ in 0..if is_long() { many } else { few } {
                runtime.block_on(async {
                    let (provider, gate) = holding(held).await;
                    scene(provider, gate, n).await;
                });
            }
        }
    }
}

/// All wait, for one request, and get its token.
async fn all_wait(provider: TokenProvider, gate: Gate, n: usize) {
    let before = gate.requests();
    for caller in herd(&provider, &gate, n, vec![token_reply("new", 3600)]).await {
        assert!(caller.waited);
        assert_eq!(name(&caller.outcome.unwrap()), "new");
    }
    assert_eq!(gate.requests() - before, 1, "{n} callers");
}

/// All wait, for the three attempts of one fetch, and get its error; so do
/// those who come later, who do not wait.
async fn all_fail(provider: TokenProvider, gate: Gate, n: usize) {
    let before = gate.requests();
    let callers = herd(&provider, &gate, n, vec![trouble(); 3]).await;
    assert!(callers.iter().all(|caller| caller.waited));
    let later = herd(&provider, &gate, n, vec![]).await;
    assert!(!later.iter().any(|caller| caller.waited));
    let errors = callers.into_iter().chain(later);
    let errors: Vec<Error> = errors.map(|it| it.outcome.unwrap_err()).collect();
    assert!(errors.iter().all(|error| error.same_fetch(&errors[0])));
    assert_eq!(errors[0].kind(), ErrorKind::Server);
    assert_eq!(gate.requests() - before, 3, "{n} callers");
}

#[test]
fn c1_a_cold_herd_makes_one_request() {
    herds(Held::Nothing, all_wait);
}

#[test]
fn c2_a_failing_herd_makes_the_attempts_of_one_fetch() {
    herds(Held::Nothing, all_fail);
}

#[test]
fn c4_a_herd_after_the_expiry_makes_one_request() {
    herds(Held::Expired, all_wait);
}

#[test]
fn c2_c4_a_failing_herd_after_the_expiry_makes_the_attempts_of_one_fetch() {
    herds(Held::Expired, all_fail);
}

#[test]
fn c3_nobody_of_a_herd_waits_for_a_refresh_ahead() {
    for fails in [false, true] {
        herds(Held::Due, async |provider, gate, n| {
            let before = gate.requests();
            let replies = match fails {
                false => vec![token_reply("new", 3600)],
                true => vec![trouble(); 3],
            };
            let requests = replies.len();
            for caller in herd(&provider, &gate, n, replies).await {
                assert!(!caller.waited);
                assert_eq!(name(&caller.outcome.unwrap()), "1");
            }
            while provider.status().is_fetching {
                yield_now().await;
            }
            let expected = if fails { "1" } else { "new" };
            for caller in herd(&provider, &gate, n, vec![]).await {
                assert!(!caller.waited);
                assert_eq!(name(&caller.outcome.unwrap()), expected);
            }
            assert_eq!(gate.requests() - before, requests, "{n} callers");
        });
    }
}

#[test]
fn c25_a_hundred_thousand_calls_while_a_refresh_hangs_are_one_fetch() {
    paused().block_on(async {
        let gate = Gate::default();
        let provider = provider(gate.clone());
        assert_eq!(provider.try_authorization(), None);
        settle().await;
        gate.answer_with(1, token_reply("1", 1000));
        settle().await;
        sleep(Duration::from_secs(800)).await;
        let tasks = || Handle::current().metrics().num_alive_tasks();
        assert_eq!((gate.requests(), tasks()), (1, 0));
        let fetches = || provider.status().counts.fetches;
        // 100 000 calls, before the first attempt's end and after it; the
        // second one's end is that of the fetch.
        let hang = async |fetch, seconds: u32, requests: usize| {
            for _ in 0..100 {
                for _ in 0..500 {
                    assert_eq!(name(&ready(provider.token()).unwrap().unwrap()), "1");
                }
                settle().await;
                assert_eq!((gate.requests(), gate.under_way()), (requests, 1));
                assert_eq!((fetches(), tasks()), (fetch, 1));
                sleep(Duration::from_secs(1) * seconds / 100).await;
            }
        };
        hang(2, 10, 2).await;
        hang(2, 10, 3).await;
        settle().await;
        assert_eq!((gate.under_way(), tasks()), (0, 0));
        // Its backoff is over, and there is one more fetch, of one attempt.
        let wait = provider.status().held_back_for.unwrap();
        sleep(wait).await;
        hang(3, 10, 4).await;
        settle().await;
        assert_eq!((gate.requests(), gate.under_way(), tasks()), (4, 0, 0));
        assert_eq!(provider.status().token, TokenState::Due);
    });
}

/// Refreshes while many tasks read as often as they get to run; returns how
/// often the most eager of them read before he saw the new token.
async fn rounds_until_seen(readers: usize) -> usize {
    let clock = ManualClock::new();
    let replies = ["old", "new"].map(|token| token_reply(token, 1000));
    let transport = ScriptedTransport::new(replies);
    let provider = builder(credentials(), transport.clone()).clock(clock.clone());
    let provider = provider.build().unwrap();
    provider.token().await.unwrap();
    clock.advance(Duration::from_secs(800));
    let mut all = JoinSet::new();
    for _ in 0..readers {
        let provider = provider.clone();
        all.spawn(async move {
            let mut rounds = 0;
            loop {
                rounds += 1;
                let token = ready(provider.token()).unwrap().unwrap();
                if name(&token) == "new" {
                    return rounds;
                }
                yield_now().await;
            }
        });
    }
    let most = all.join_all().await.into_iter().max();
    assert_eq!(transport.request_count(), 2);
    most.unwrap()
}

#[test]
fn c23_ten_thousand_readers_do_not_delay_a_refresh() {
    // On one thread everyone has his turn, and so has the refresh.
    let alone = real(0).block_on(rounds_until_seen(1));
    let crowded = real(0).block_on(rounds_until_seen(10_000));
    assert!(crowded <= alone + 1, "{crowded} rounds, alone {alone}");
    // On several, the machine may take one of them away now and then.
    let mut rounds: Vec<usize> = (0..9)
        .map(|_| real(4).block_on(rounds_until_seen(10_000)))
        .collect();
    rounds.sort_unstable();
    assert!(rounds[rounds.len() / 2] <= 10, "{rounds:?}");
}

#[test]
fn c23_threads_that_read_without_a_pause_do_not_keep_a_new_token_out() {
    const REFRESHES: usize = 20;
    /// Some ten thousand are read during a refresh, if it gets through.
    const MOST: usize = 20_000_000;
    let replies = (0..=REFRESHES).map(|n| token_reply(&n.to_string(), 3600));
    let transport = ScriptedTransport::new(replies);
    let provider = builder(credentials(), transport).clock(ManualClock::new());
    let provider = provider.build().unwrap();
    let runtime = real(0);
    runtime.block_on(provider.token()).unwrap();
    let (is_over, started) = (AtomicBool::new(false), AtomicUsize::new(0));
    let reads: usize = thread::scope(|scope| {
        let readers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    started.fetch_add(1, Ordering::SeqCst);
                    let mut reads = 0;
                    while reads < MOST && !is_over.load(Ordering::Relaxed) {
                        assert!(provider.try_authorization().is_some());
                        reads += 1;
                    }
                    reads
                })
            })
            .collect();
        while started.load(Ordering::SeqCst) < readers.len() {
            thread::yield_now();
        }
        for n in 1..=REFRESHES {
            let token = runtime.block_on(provider.refresh()).unwrap();
            assert_eq!(name(&token), n.to_string());
        }
        is_over.store(true, Ordering::Relaxed);
        readers.into_iter().map(|it| it.join().unwrap()).sum()
    });
    println!("{reads} reads during {REFRESHES} refreshes");
    assert!(reads < MOST, "{reads}");
}
