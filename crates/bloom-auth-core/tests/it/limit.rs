//! Many providers under one fetch limit: how many requests are under way, who
//! is next, and who gives a place back.

use std::{
    future::Future,
    pin::{Pin, pin},
    time::Duration,
};

use bloom_auth_core::{
    AccessToken, Error, ErrorKind, FetchLimit, TokenProvider, Transport, chain,
    test_util::{ManualClock, Reply, ScriptedTransport, TokioClock},
};
use http::{StatusCode, header::RETRY_AFTER};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::support::{
    Gate, TestCache, builder, credentials, name, paused, poll, ready, settle, token_reply,
};

const SECOND: Duration = Duration::from_secs(1);

type Call<'a> = Pin<Box<dyn Future<Output = Result<AccessToken, Error>> + 'a>>;

fn limited(limit: &FetchLimit, transport: impl Transport + 'static) -> TokenProvider {
    let provider = builder(credentials(), transport).fetch_limit(limit.clone());
    provider.build().unwrap()
}

/// A server that never answers: an attempt takes 10 s, a fetch 20 s.
fn stuck() -> ScriptedTransport {
    ScriptedTransport::new([Reply::never()])
}

/// A provider whose request holds its place for 100 s.
fn long(limit: &FetchLimit) -> TokenProvider {
    let provider = builder(credentials(), stuck())
        .fetch_limit(limit.clone())
        .fetch_timeout(100 * SECOND)
        .attempt_timeout(100 * SECOND);
    provider.build().unwrap()
}

/// Starts a call that waits.
fn begin(provider: &TokenProvider) -> Call<'static> {
    let provider = provider.clone();
    let mut call: Call<'static> = Box::pin(async move { provider.token().await });
    assert!(poll(call.as_mut()).is_pending());
    call
}

#[test]
fn f9_a_hundred_keys_that_start_at_once_make_eight_requests_at_a_time() {
    paused().block_on(async {
        let (gate, limit) = (Gate::default(), FetchLimit::new(8).unwrap());
        let providers: Vec<_> = (0..100).map(|_| limited(&limit, gate.clone())).collect();
        let calls: Vec<_> = providers.iter().map(begin).collect();
        for answered in 0..100 {
            settle().await;
            let sent = (answered + 8).min(100);
            assert_eq!(gate.requests(), sent);
            assert_eq!(gate.under_way(), sent - answered);
            gate.answer(answered + 1);
        }
        // Whoever came first was asked for first.
        for (i, call) in calls.into_iter().enumerate() {
            assert_eq!(name(&call.await.unwrap()), (i + 1).to_string());
        }
        assert_eq!(gate.requests(), 100);
        assert_eq!(format!("{limit:?}"), "FetchLimit(0 of 8)");
    });
}

#[test]
fn f9_many_keys_on_many_threads_make_eight_requests_at_a_time() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .unwrap();
    let (gate, limit) = (Gate::default(), FetchLimit::new(8).unwrap());
    let mut calls = JoinSet::new();
    for _ in 0..100 {
        let provider = limited(&limit, gate.clone());
        calls.spawn_on(async move { provider.token().await }, runtime.handle());
    }
    for answered in 0..100 {
        // All places are taken, and never more.
        gate.wait_for((answered + 8).min(100));
        assert!(gate.under_way() <= 8);
        gate.answer(answered + 1);
    }
    for outcome in runtime.block_on(calls.join_all()) {
        outcome.unwrap();
    }
    assert_eq!(gate.requests(), 100);
}

#[test]
fn f9_a_place_is_for_one_provider_among_those_with_the_same_limit() {
    paused().block_on(async {
        let limits = [FetchLimit::new(1).unwrap(), FetchLimit::new(1).unwrap()];
        let _stuck = begin(&limited(&limits[0], stuck()));
        settle().await;
        let answers = ScriptedTransport::new([token_reply("A", 100)]);
        // Another limit, and no limit at all.
        let other = limited(&limits[1], answers.clone());
        assert_eq!(name(&other.token().await.unwrap()), "A");
        let free = builder(credentials(), answers).build().unwrap();
        assert_eq!(name(&free.token().await.unwrap()), "A");
    });
}

#[test]
fn f9_a_provider_that_is_dropped_gives_back_its_place_and_its_turn() {
    paused().block_on(async {
        let (gate, limit) = (Gate::default(), FetchLimit::new(1).unwrap());
        let [first, second, third] = [(); 3].map(|()| limited(&limit, gate.clone()));
        let calls = [&first, &second].map(begin);
        let last = begin(&third);
        settle().await;
        assert_eq!(gate.under_way(), 1);
        drop(calls);
        // A caller who leaves does not end the fetch.
        settle().await;
        assert_eq!((gate.requests(), gate.under_way()), (1, 1));
        drop(second);
        settle().await;
        assert_eq!((gate.requests(), gate.under_way()), (1, 1));
        drop(first);
        settle().await;
        assert_eq!((gate.requests(), gate.under_way()), (2, 1));
        gate.answer(2);
        assert_eq!(name(&last.await.unwrap()), "2");
        drop(third);
        settle().await;
        assert_eq!(format!("{limit:?}"), "FetchLimit(0 of 1)");
    });
}

#[test]
fn f9_a_runtime_that_is_dropped_gives_back_its_places() {
    let (gate, limit) = (Gate::default(), FetchLimit::new(1).unwrap());
    let provider = limited(&limit, gate.clone());
    let runtime = paused();
    runtime.block_on(async {
        let _call = begin(&provider);
        settle().await;
    });
    assert_eq!(gate.under_way(), 1);
    drop(runtime);
    paused().block_on(async {
        let call = begin(&limited(&limit, gate.clone()));
        settle().await;
        gate.answer(2);
        assert_eq!(name(&call.await.unwrap()), "2");
    });
}

#[test]
fn f9_a_runtime_that_stands_still_keeps_no_place() {
    let (gate, limit) = (Gate::default(), FetchLimit::new(1).unwrap());
    // One has the place, and some will have their turn and not know it.
    let asleep: Vec<_> = (0..5).map(|_| limited(&limit, gate.clone())).collect();
    let still = paused();
    let _calls = still.block_on(async {
        let calls: Vec<_> = asleep.iter().map(begin).collect();
        settle().await;
        calls
    });
    assert_eq!(gate.requests(), 1);
    paused().block_on(async {
        let start = Instant::now();
        let mut calls = [(); 2].map(|()| begin(&limited(&limit, gate.clone())));
        // An attempt timeout and an eighth, and then a second for each that was
        // called and did not come.
        sleep(SECOND * 61 / 4).await;
        settle().await;
        assert_eq!(gate.requests(), 2, "{:?}", start.elapsed());
        assert!(poll(calls[1].as_mut()).is_pending());
        gate.answer(2);
        settle().await;
        gate.answer(3);
        for call in calls {
            call.await.unwrap();
        }
        assert_eq!(gate.requests(), 3);
    });
    // Who was passed over is the next one when it wakes up.
    still.block_on(async {
        for request in 4..8 {
            settle().await;
            assert_eq!(gate.requests(), request);
            gate.answer(request);
        }
        settle().await;
        for provider in &asleep[1..] {
            assert!(ready(provider.token()).unwrap().is_ok());
        }
    });
    assert_eq!(gate.requests(), 7);
}

#[test]
fn f9_who_is_called_and_stands_still_holds_nobody_up_for_long() {
    let (gate, limit) = (Gate::default(), FetchLimit::new(1).unwrap());
    let (still, running) = (paused(), paused());
    let [first, asleep] = [(); 2].map(|()| limited(&limit, gate.clone()));
    let start = async |provider| {
        let call = [begin(provider)];
        settle().await;
        call
    };
    let [first] = running.block_on(start(&first));
    let _calls = still.block_on(start(&asleep));
    running.block_on(async {
        let last = begin(&limited(&limit, gate.clone()));
        settle().await;
        assert_eq!(gate.requests(), 1);
        // The place goes to the one that does not know it, for a second, and
        // whoever waits behind it looks every second. What was taken first
        // would be overdue after 11 s.
        gate.answer(1);
        first.await.unwrap();
        sleep(3 * SECOND).await;
        settle().await;
        assert_eq!(gate.requests(), 2);
        gate.answer(2);
        assert_eq!(name(&last.await.unwrap()), "2");
    });
}

#[test]
fn f9_a_server_that_never_answers_holds_a_place_for_one_attempt() {
    paused().block_on(async {
        let limit = FetchLimit::new(1).unwrap();
        let (slow, start) = (stuck(), Instant::now());
        let blocked = begin(&limited(&limit, slow.clone()));
        settle().await;
        let answers = ScriptedTransport::new([token_reply("A", 100).after(SECOND)]);
        let token = limited(&limit, answers).token().await.unwrap();
        assert_eq!(name(&token), "A");
        assert_eq!(start.elapsed(), 11 * SECOND);
        // Its next attempt was behind the other request, in what was left of
        // its own time.
        assert_eq!(blocked.await.unwrap_err().kind(), ErrorKind::Timeout);
        assert_eq!(start.elapsed(), 20 * SECOND);
        assert_eq!(slow.request_count(), 2);
    });
}

#[test]
fn f9_a_pause_between_attempts_takes_no_place() {
    paused().block_on(async {
        let limit = FetchLimit::new(1).unwrap();
        let trouble = Reply::answer(StatusCode::SERVICE_UNAVAILABLE, "");
        let trouble = trouble.with_header(RETRY_AFTER, "2").after(SECOND);
        let retrying = ScriptedTransport::new([trouble, token_reply("A", 100)]);
        let start = Instant::now();
        let call = begin(&limited(&limit, retrying));
        settle().await;
        let answers = ScriptedTransport::new([token_reply("B", 100).after(SECOND)]);
        let token = limited(&limit, answers).token().await.unwrap();
        assert_eq!(name(&token), "B");
        assert_eq!(start.elapsed(), 2 * SECOND);
        assert_eq!(name(&call.await.unwrap()), "A");
        assert_eq!(start.elapsed(), 3 * SECOND);
    });
}

#[test]
fn f9_a_retry_that_finds_no_place_in_time_ends_with_what_the_attempt_met() {
    paused().block_on(async {
        let limit = FetchLimit::new(1).unwrap();
        let trouble = Reply::answer(StatusCode::SERVICE_UNAVAILABLE, "");
        let retrying = ScriptedTransport::new([trouble.after(SECOND)]);
        let start = Instant::now();
        let call = begin(&limited(&limit, retrying.clone()));
        settle().await;
        let _long = begin(&long(&limit));
        let error = call.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Server);
        assert_eq!(retrying.request_count(), 1);
        // All the time that its requests may take together.
        assert_eq!(start.elapsed(), 20 * SECOND);
    });
}

#[test]
fn f9_a_fetch_without_a_place_in_time_fails_for_everyone_who_waits_for_it() {
    paused().block_on(async {
        let limit = FetchLimit::new(1).unwrap();
        let long = begin(&long(&limit));
        settle().await;
        // An attempt is much shorter than the wait: those who wait must not
        // take the flight for dead.
        let answers = ScriptedTransport::new([token_reply("A", 100)]);
        let provider = builder(credentials(), answers.clone())
            .fetch_limit(limit.clone())
            .attempt_timeout(SECOND)
            .build()
            .unwrap();
        let start = Instant::now();
        let calls: Vec<_> = (0..100).map(|_| begin(&provider)).collect();
        let mut errors = Vec::new();
        for call in calls {
            errors.push(call.await.unwrap_err());
        }
        assert_eq!(start.elapsed(), 20 * SECOND);
        let error = &errors[0];
        assert!(errors.iter().all(|other| other.same_fetch(error)));
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(
            chain(error).ends_with("it was not asked: the fetch limit was reached all the time"),
            "{}",
            chain(error)
        );
        let counts = provider.status().counts;
        assert_eq!((counts.fetches, counts.failures), (1, 1));
        assert_eq!((counts.token_requests, answers.request_count()), (0, 0));
        // As after any failure, nobody waits for a while, and then it heals.
        let again = ready(provider.token()).unwrap().unwrap_err();
        assert!(again.same_fetch(error));
        sleep(again.retry_after().unwrap()).await;
        drop(long);
        assert_eq!(name(&provider.token().await.unwrap()), "A");
    });
}

#[test]
fn f9_a_token_that_is_held_or_cached_needs_no_place() {
    paused().block_on(async {
        let (limit, cache) = (FetchLimit::new(1).unwrap(), TestCache::default());
        let transport = ScriptedTransport::new([token_reply("A", 100), token_reply("B", 100)]);
        let build = || {
            let provider = builder(credentials(), transport.clone())
                .clock(TokioClock::new())
                .fetch_limit(limit.clone())
                .cache(cache.clone());
            provider.build().unwrap()
        };
        let provider = build();
        assert_eq!(name(&provider.token().await.unwrap()), "A");
        let call = begin(&long(&limit));
        settle().await;
        assert_eq!(name(&build().token().await.unwrap()), "A");
        // Due: the refresh waits for its place, and nobody else for anything.
        sleep(81 * SECOND).await;
        for _ in 0..100 {
            assert_eq!(name(&ready(provider.token()).unwrap().unwrap()), "A");
        }
        settle().await;
        assert!(provider.status().is_fetching);
        assert_eq!(transport.request_count(), 1);
        drop(call);
        settle().await;
        assert_eq!(name(&ready(provider.token()).unwrap().unwrap()), "B");
        assert_eq!(transport.request_count(), 2);
    });
}

#[test]
fn f9_a_flight_that_was_given_up_while_it_waited_sends_nothing() {
    let limit = FetchLimit::new(1).unwrap();
    let gate = Gate::default();
    let holder = limited(&limit, gate.clone());
    let clock = ManualClock::new();
    let waiting = builder(credentials(), gate.clone())
        .fetch_limit(limit)
        .clock(clock.clone())
        .build()
        .unwrap();
    let (here, there) = (paused(), paused());
    let [held] = here.block_on(async {
        let held = begin(&holder);
        settle().await;
        [held]
    });
    // A runtime stops while the flight waits for its place in it.
    there.block_on(async {
        let _call = begin(&waiting);
        settle().await;
    });
    clock.advance(Duration::from_secs(60));
    here.block_on(async {
        let mut call = pin!(waiting.token());
        assert!(poll(call.as_mut()).is_pending());
        settle().await;
        gate.answer(1);
        settle().await;
        held.await.unwrap();
    });
    assert_eq!(gate.requests(), 1);
    // It is its turn, and it gives that to its successor.
    there.block_on(settle());
    here.block_on(async {
        settle().await;
        assert_eq!(gate.requests(), 2);
        gate.answer(2);
        settle().await;
        assert_eq!(name(&ready(waiting.token()).unwrap().unwrap()), "2");
    });
    assert_eq!(gate.requests(), 2);
}
