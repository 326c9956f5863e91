//! Many callers, callers who leave, and callers who are slow: exact counts.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use bloom_auth_core::{
    AccessToken, Error, ErrorKind, Rejection, TokenProvider, TokenState,
    test_util::{ManualClock, Reply, ScriptedTransport},
};
use http::StatusCode;
use tokio::{runtime::Handle, sync::Barrier, task::JoinSet, time::sleep};

use crate::support::{
    Gate, Mood, TestCache, builder, credentials, name, paused, poll, provider, ready, real, settle,
    token_reply,
};

/// Callers who are let go at one moment.
async fn herd(provider: &TokenProvider, n: usize) -> Vec<Result<AccessToken, Error>> {
    let barrier = Arc::new(Barrier::new(n));
    let mut callers = JoinSet::new();
    for _ in 0..n {
        let (provider, barrier) = (provider.clone(), Arc::clone(&barrier));
        callers.spawn(async move {
            barrier.wait().await;
            provider.token().await
        });
    }
    callers.join_all().await
}

#[test]
fn c1_those_who_wait_for_one_answer_share_it() {
    paused().block_on(async {
        let gate = Gate::default();
        let provider = provider(gate.clone());
        let mut callers: Vec<_> = (0..100).map(|_| Box::pin(provider.token())).collect();
        for caller in &mut callers {
            assert!(poll(caller.as_mut()).is_pending());
        }
        settle().await;
        assert_eq!((gate.requests(), gate.under_way()), (1, 1));
        gate.answer(1);
        for caller in callers {
            assert_eq!(name(&caller.await.unwrap()), "1");
        }
        assert_eq!(gate.requests(), 1);
    });
}

/// A fetch with many stages: a cache that takes its time, an error, a retry.
fn long_fetch(last: Reply) -> (TokenProvider, ScriptedTransport, TestCache) {
    let delay = Duration::from_secs(2);
    let trouble = Reply::answer(StatusCode::SERVICE_UNAVAILABLE, "");
    let transport = ScriptedTransport::new([trouble.after(delay), last.after(delay)]);
    let cache = TestCache::default();
    cache.set_mood(Mood::Slow(Duration::from_millis(60)));
    let provider = builder(credentials(), transport.clone()).cache(cache.clone());
    (provider.build().unwrap(), transport, cache)
}

/// Polls so many times, with 50 ms between, and drops the future. Returns
/// whether it was ready before that.
async fn drop_at<F: Future + ?Sized>(polls: usize, mut future: Pin<Box<F>>) -> bool {
    for _ in 0..polls {
        if poll(future.as_mut()).is_ready() {
            return true;
        }
        sleep(Duration::from_millis(50)).await;
    }
    false
}

/// Runs `scene` with a caller who leaves at the first poll, the second, and so
/// on, until the call is over before he leaves. Returns how many there were.
fn at_every_poll(scene: impl AsyncFn(usize) -> bool) -> usize {
    let mut polls = 0;
    while !paused().block_on(scene(polls)) {
        polls += 1;
        assert!(polls < 1000, "the call never ends");
    }
    polls
}

#[test]
fn c5_a_leader_who_leaves_at_any_poll_takes_nothing_from_the_others() {
    let polls = at_every_poll(async |polls| {
        let (provider, transport, cache) = long_fetch(token_reply("A", 3600));
        let leader = provider.clone();
        let mut leader: Pin<Box<dyn Future<Output = _>>> =
            Box::pin(async move { leader.token().await });
        if polls > 0 {
            assert!(poll(leader.as_mut()).is_pending());
        }
        let others = provider.clone();
        let others = Handle::current().spawn(async move { herd(&others, 10).await });
        let is_over = drop_at(polls, leader).await;
        for outcome in others.await.unwrap() {
            assert_eq!(name(&outcome.unwrap()), "A");
        }
        assert_eq!(transport.request_count(), 2, "left at poll {polls}");
        assert_eq!(provider.status().counts.fetches, 1);
        let calls = cache.take_calls();
        assert_eq!(calls, ["load", "lease", "load", "store", "free"]);
        is_over
    });
    assert!(polls > 50, "{polls}");
}

#[test]
fn c7_a_waiter_who_leaves_at_any_poll_takes_nothing_from_the_others() {
    let polls = at_every_poll(async |polls| {
        let (provider, transport, _) = long_fetch(token_reply("A", 3600));
        let others = provider.clone();
        let others = Handle::current().spawn(async move { herd(&others, 10).await });
        settle().await;
        let waiter = provider.clone();
        let is_over = drop_at(polls, Box::pin(async move { waiter.token().await })).await;
        for outcome in others.await.unwrap() {
            assert_eq!(name(&outcome.unwrap()), "A");
        }
        assert_eq!(transport.request_count(), 2, "left at poll {polls}");
        is_over
    });
    assert!(polls > 50, "{polls}");
}

#[test]
fn c6_a_fetch_that_all_callers_left_at_any_poll_arrives() {
    let polls = at_every_poll(async |polls| {
        let (provider, transport, cache) = long_fetch(token_reply("A", 3600));
        let caller = provider.clone();
        let caller = Box::pin(async move { caller.token().await });
        let is_over = drop_at(polls + 1, caller).await;
        sleep(Duration::from_secs(60)).await;
        assert_eq!(name(&ready(provider.token()).unwrap().unwrap()), "A");
        assert_eq!(transport.request_count(), 2, "left at poll {polls}");
        assert_eq!(cache.tokens(), ["A"]);
        assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
        is_over
    });
    assert!(polls > 50, "{polls}");
}

#[test]
fn c24_a_refusal_is_shared_whenever_the_leader_leaves() {
    let polls = at_every_poll(async |polls| {
        let refusal = Reply::error(StatusCode::UNAUTHORIZED, "invalid_client");
        let (provider, transport, _) = long_fetch(refusal);
        let leader = provider.clone();
        let mut leader = Box::pin(async move { leader.token().await });
        assert!(poll(leader.as_mut()).is_pending());
        let others = provider.clone();
        let others = Handle::current().spawn(async move { herd(&others, 10).await });
        let is_over = drop_at(polls, leader).await;
        for outcome in others.await.unwrap() {
            assert_eq!(outcome.unwrap_err().kind(), ErrorKind::ClientRefused);
        }
        assert_eq!(transport.request_count(), 2, "left at poll {polls}");
        is_over
    });
    assert!(polls > 50, "{polls}");
}

#[test]
fn c21_readers_never_see_an_older_token_after_a_newer_one() {
    const TOKENS: usize = 60;
    let replies = (1..=TOKENS).map(|n| token_reply(&n.to_string(), 3600));
    let provider = builder(credentials(), ScriptedTransport::new(replies));
    let provider = provider.clock(ManualClock::new()).build().unwrap();
    let number = |token: &AccessToken| name(token).parse::<usize>().unwrap();
    real(4).block_on(async {
        let mut readers = JoinSet::new();
        for _ in 0..4 {
            let provider = provider.clone();
            readers.spawn(async move {
                let mut newest = 0;
                while newest < TOKENS {
                    let token = provider.token().await.unwrap();
                    assert!(number(&token) >= newest);
                    newest = number(&token);
                    tokio::task::yield_now().await;
                }
            });
        }
        for n in 1..=TOKENS {
            // The first may join the fetch of a reader.
            let token = provider.refresh().await.unwrap();
            assert!(number(&token) >= n);
            if number(&token) == TOKENS {
                break;
            }
        }
        readers.join_all().await;
    });
}

#[test]
fn a_waiter_who_sleeps_is_not_given_a_token_that_was_rejected_meanwhile() {
    paused().block_on(async {
        let gate = Gate::default();
        let provider = provider(gate.clone());
        let mut waiter = pin!(provider.token());
        assert!(poll(waiter.as_mut()).is_pending());
        settle().await;
        gate.answer(1);
        settle().await;
        let first = ready(provider.token()).unwrap().unwrap();
        assert_eq!(provider.reject(&first), Rejection::Dropped);
        assert!(poll(waiter.as_mut()).is_pending());
        settle().await;
        gate.answer(2);
        assert_eq!(name(&waiter.await.unwrap()), "2");
        assert_eq!(gate.requests(), 2);
    });
}

#[test]
fn a_waiter_who_sleeps_is_not_given_a_token_that_expired_meanwhile() {
    paused().block_on(async {
        let gate = Gate::default();
        let provider = provider(gate.clone());
        let mut waiter = pin!(provider.token());
        assert!(poll(waiter.as_mut()).is_pending());
        settle().await;
        gate.answer_with(1, token_reply("1", 5));
        sleep(Duration::from_secs(6)).await;
        assert!(poll(waiter.as_mut()).is_pending());
        settle().await;
        gate.answer(2);
        assert_eq!(name(&waiter.await.unwrap()), "2");
        assert_eq!(gate.requests(), 2);
    });
}

#[test]
fn the_status_tells_what_goes_on() {
    paused().block_on(async {
        let gate = Gate::default();
        let provider = provider(gate.clone());
        let status = provider.status();
        assert_eq!(status.token, TokenState::Absent);
        assert!(!status.is_fetching && status.fingerprint.is_none());
        assert!(status.unusable_at.is_none() && status.last_error.is_none());

        let call = async {
            settle().await;
            assert!(provider.status().is_fetching);
            gate.answer(1);
        };
        let (token, ()) = tokio::join!(provider.token(), call);
        let (token, status) = (token.unwrap(), provider.status());
        assert_eq!(status.token, TokenState::Fresh);
        assert_eq!(status.fingerprint, Some(token.fingerprint()));
        let left = token
            .expires_at()
            .duration_since(status.unusable_at.unwrap());
        assert_eq!(left.unwrap(), Duration::from_secs(10));
        let left = token
            .expires_at()
            .duration_since(status.refresh_at.unwrap());
        assert_eq!(left.unwrap(), Duration::from_secs(300));

        let call = async {
            settle().await;
            gate.answer_with(2, Reply::answer(StatusCode::OK, "<html>"));
        };
        let (error, ()) = tokio::join!(provider.refresh(), call);
        let (error, status) = (error.unwrap_err(), provider.status());
        assert_eq!(status.token, TokenState::Fresh);
        assert!(status.last_error.unwrap().same_fetch(&error) && !status.is_fetching);
        assert_eq!(status.held_back_for, error.retry_after());
        let counts = status.counts;
        assert_eq!((counts.fetches, counts.token_requests), (2, 2));
        assert_eq!((counts.tokens_received, counts.failures), (1, 1));
        for text in [format!("{provider:?}"), format!("{provider:#?}")] {
            assert!(text.contains(&token.fingerprint().to_string()), "{text}");
            assert!(!text.contains("canary"), "{text}");
        }
    });
}
