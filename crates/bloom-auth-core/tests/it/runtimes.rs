//! Runtimes that die, stand still or are not there, and what is left when the
//! last handle is dropped.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::mpsc,
    thread,
    time::Duration,
};

use bloom_auth_core::{
    ErrorKind, TokenProvider,
    test_util::{ManualClock, Reply, ScriptedTransport, TokioClock},
};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    time::sleep,
};

use crate::support::{
    Gate, Mood, TestCache, builder, credentials, name, paused, poll, provider, ready, real, settle,
    token_reply,
};

/// A provider whose clock is in step with paused runtimes that are built after
/// it.
fn gated() -> (TokenProvider, Gate) {
    let gate = Gate::default();
    (provider(gate.clone()), gate)
}

/// Lets a caller start a fetch on this runtime and leave.
fn start_fetch(runtime: &Runtime, provider: &TokenProvider) {
    runtime.block_on(async {
        assert!(ready(provider.token()).is_none());
        settle().await;
    });
}

#[test]
fn everything_can_cross_threads() {
    fn is_shareable<T: Clone + Send + Sync + 'static>(_: &T) {}
    fn is_sendable<T: Send>(_: T) {}
    let (provider, _) = gated();
    is_shareable(&provider);
    is_sendable(provider.token());
    is_sendable(provider.authorization());
    is_sendable(provider.refresh());
}

#[test]
fn c10_a_call_after_the_death_of_the_runtime_fetches_anew() {
    let (provider, gate) = gated();
    let (first, second) = (paused(), paused());
    start_fetch(&first, &provider);
    assert_eq!(gate.under_way(), 1);
    drop(first);
    assert_eq!(gate.under_way(), 0);
    let token = second.block_on(async {
        let mut call = Box::pin(provider.token());
        assert!(poll(call.as_mut()).is_pending());
        settle().await;
        gate.answer(2);
        call.await
    });
    assert_eq!(name(&token.unwrap()), "2");
    assert_eq!(gate.requests(), 2);
}

/// One who waits on a second runtime for a fetch of the first.
fn waiter<'a>(
    second: &Runtime,
    provider: &'a TokenProvider,
) -> Pin<Box<dyn Future<Output = Result<bloom_auth_core::AccessToken, bloom_auth_core::Error>> + 'a>>
{
    let mut waiter = Box::pin(provider.token());
    second.block_on(async { assert!(poll(waiter.as_mut()).is_pending()) });
    waiter
}

#[test]
fn c10_those_who_wait_elsewhere_fetch_anew_at_once() {
    let (provider, gate) = gated();
    let (first, second) = (paused(), paused());
    start_fetch(&first, &provider);
    let mut waiter = waiter(&second, &provider);
    drop(first);
    let token = second.block_on(async {
        assert!(poll(waiter.as_mut()).is_pending());
        settle().await;
        assert_eq!(gate.requests(), 2);
        gate.answer(2);
        waiter.await
    });
    assert_eq!(name(&token.unwrap()), "2");
    assert_eq!(gate.requests(), 2);
}

#[test]
fn c10_a_runtime_may_be_shut_down_in_any_way_during_a_fetch() {
    type End = fn(Runtime);
    let ends: [End; 3] = [drop, Runtime::shutdown_background, |runtime| {
        runtime.shutdown_timeout(Duration::from_secs(60))
    }];
    for workers in [0, 1, 4] {
        for end in ends {
            let gate = Gate::default();
            let provider = builder(credentials(), gate.clone());
            let provider = provider.clock(ManualClock::new()).build().unwrap();
            let (first, second) = (real(workers), real(workers));
            // One waits in the runtime that ends, and one elsewhere.
            let inner = provider.clone();
            let inner = first.spawn(async move { inner.token().await });
            first.block_on(async {
                while gate.requests() == 0 {
                    tokio::task::yield_now().await;
                }
            });
            let mut outer = waiter(&second, &provider);
            end(first);
            let token = second.block_on(async {
                while gate.requests() == 1 {
                    // Whoever waits is the one to fetch anew.
                    assert!(poll(outer.as_mut()).is_pending());
                    tokio::task::yield_now().await;
                }
                gate.answer(2);
                assert!(!matches!(inner.await, Ok(Ok(_))));
                outer.await
            });
            assert_eq!(name(&token.unwrap()), "2", "{workers} workers");
            assert_eq!((gate.requests(), gate.under_way()), (2, 0));
        }
    }
}

#[test]
fn c10_a_runtime_that_dies_of_a_panic_is_no_panic_of_the_fetch() {
    let (provider, gate) = gated();
    let (first, second) = (paused(), paused());
    start_fetch(&first, &provider);
    let mut waiter = waiter(&second, &provider);
    let died = catch_unwind(AssertUnwindSafe(move || {
        first.block_on(async { panic!("as a test of something else may") })
    }));
    assert!(died.is_err());
    let token = second.block_on(async {
        assert!(poll(waiter.as_mut()).is_pending());
        settle().await;
        gate.answer(2);
        waiter.await
    });
    assert_eq!(name(&token.unwrap()), "2");
    assert_eq!(gate.requests(), 2);
}

#[test]
fn c10_a_runtime_may_die_at_any_point_of_a_fetch() {
    let mut ended = false;
    let mut polls = 0;
    while !ended {
        let reply = token_reply("A", 3600).after(Duration::from_secs(2));
        let transport = ScriptedTransport::new([reply]);
        let cache = TestCache::default();
        cache.set_mood(Mood::Slow(Duration::from_millis(60)));
        let provider = builder(credentials(), transport.clone()).cache(cache.clone());
        let provider = provider.build().unwrap();
        let first = paused();
        first.block_on(async {
            let mut leader = Box::pin(provider.token());
            for _ in 0..polls {
                ended |= poll(leader.as_mut()).is_ready();
                if ended {
                    break;
                }
                sleep(Duration::from_millis(50)).await;
            }
        });
        let (sent, has_token) = (
            transport.request_count(),
            provider.try_authorization().is_some(),
        );
        drop(first);
        let token = paused().block_on(provider.token());
        assert_eq!(name(&token.unwrap()), "A");
        let more = usize::from(!has_token);
        assert_eq!(
            transport.request_count(),
            sent + more,
            "died at poll {polls}"
        );
        // Whoever had the lease has given it back.
        assert_eq!(cache.take_calls().last(), Some(&"free"));
        polls += 1;
    }
    assert!(polls > 40, "{polls}");
}

#[test]
fn c10_a_runtime_that_stands_still_is_not_waited_for() {
    let (provider, gate) = gated();
    let (first, second) = (paused(), paused());
    start_fetch(&first, &provider);
    let token = second.block_on(async {
        let start = tokio::time::Instant::now();
        let waiter = provider.clone();
        let waiter = Handle::current().spawn(async move { waiter.token().await });
        sleep(Duration::from_secs(11)).await;
        assert_eq!(gate.requests(), 1);
        while gate.requests() == 1 {
            sleep(Duration::from_millis(50)).await;
        }
        // An attempt timeout, and an eighth of it for the report.
        assert!((11_200..11_400).contains(&start.elapsed().as_millis()));
        gate.answer(2);
        waiter.await.unwrap()
    });
    assert_eq!(name(&token.unwrap()), "2");
    // The first goes on and is told late: the newer token stays.
    gate.answer(1);
    first.block_on(settle());
    assert_eq!(name(&ready(provider.token()).unwrap().unwrap()), "2");
    assert_eq!((gate.requests(), gate.under_way()), (2, 0));
}

#[test]
fn c10_a_runtime_that_wakes_up_late_sends_nothing_more() {
    // Stood still before its request, and in the midst of it.
    for sent in [0, 1] {
        let (provider, gate) = gated();
        let (first, second) = (paused(), paused());
        first.block_on(async {
            assert!(ready(provider.token()).is_none());
            if sent > 0 {
                settle().await;
            }
        });
        let mut waiter = waiter(&second, &provider);
        let token = second.block_on(async {
            while gate.requests() == sent {
                assert!(poll(waiter.as_mut()).is_pending());
                sleep(Duration::from_secs(1)).await;
            }
            gate.answer(sent + 1);
            waiter.await
        });
        assert!(token.is_ok());
        if sent > 0 {
            gate.answer_with(1, Reply::answer(http::StatusCode::BAD_GATEWAY, ""));
        }
        first.block_on(async { sleep(Duration::from_secs(30)).await });
        assert_eq!((gate.requests(), gate.under_way()), (sent + 1, 0));
        assert!(provider.status().last_error.is_none());
    }
}

#[test]
fn c25_a_refresh_that_stands_still_is_noticed_though_nobody_waits() {
    let (clock, gate) = (TokioClock::new(), Gate::default());
    let provider = builder(credentials(), gate.clone()).clock(clock.clone());
    let provider = provider.build().unwrap();
    let (first, second) = (paused(), paused());
    start_fetch(&first, &provider);
    gate.answer_with(1, token_reply("1", 1000));
    first.block_on(settle());
    clock.set_wall(900);
    let served = || name(&ready(provider.token()).unwrap().unwrap()).to_owned();
    first.block_on(async { assert_eq!(served(), "1") });
    first.block_on(settle());
    assert_eq!(gate.requests(), 2);
    second.block_on(async {
        sleep(Duration::from_secs(11)).await;
        assert_eq!(served(), "1");
        settle().await;
        assert_eq!(gate.requests(), 2);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(served(), "1");
        settle().await;
        gate.answer(3);
        settle().await;
        assert_eq!(served(), "3");
    });
    assert_eq!(gate.requests(), 3);
}

#[test]
fn c10_a_late_good_answer_is_still_taken() {
    let (provider, gate) = gated();
    let (first, second) = (paused(), paused());
    start_fetch(&first, &provider);
    let mut waiter = waiter(&second, &provider);
    second.block_on(async {
        while gate.requests() == 1 {
            assert!(poll(waiter.as_mut()).is_pending());
            sleep(Duration::from_secs(1)).await;
        }
    });
    gate.answer(1);
    first.block_on(settle());
    assert_eq!(name(&ready(provider.token()).unwrap().unwrap()), "1");
    second.block_on(settle());
    gate.answer(2);
    assert_eq!(name(&second.block_on(waiter).unwrap()), "2");
    assert_eq!(name(&ready(provider.token()).unwrap().unwrap()), "2");
    assert_eq!(gate.requests(), 2);
}

#[test]
fn c11_two_runtimes_share_one_request() {
    let gate = Gate::default();
    let provider = builder(credentials(), gate.clone());
    let provider = provider.clock(ManualClock::new()).build().unwrap();
    let (pending, all_pending) = mpsc::channel();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (pending, provider) = (pending.clone(), &provider);
                scope.spawn(move || {
                    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
                    runtime.block_on(async {
                        let mut call = Box::pin(provider.token());
                        assert!(poll(call.as_mut()).is_pending());
                        pending.send(()).unwrap();
                        call.await
                    })
                })
            })
            .collect();
        all_pending.recv().unwrap();
        all_pending.recv().unwrap();
        gate.wait_for(1);
        gate.answer(1);
        for thread in threads {
            assert_eq!(name(&thread.join().unwrap().unwrap()), "1");
        }
    });
    assert_eq!(gate.requests(), 1);
}

#[test]
fn outside_a_runtime_there_is_an_error_or_the_token_at_hand() {
    let clock = TokioClock::new();
    let transport = ScriptedTransport::new([token_reply("A", 3600), Reply::never()]);
    let provider = builder(credentials(), transport.clone()).clock(clock.clone());
    let provider = provider.build().unwrap();
    let error = || ready(provider.token()).unwrap().unwrap_err();
    assert_eq!(error().kind(), ErrorKind::Runtime);
    assert_eq!(provider.fresh_token(), None);
    assert!(provider.try_authorization().is_none());
    assert_eq!(provider.status().counts.fetches, 0);

    let runtime = paused();
    runtime.block_on(provider.token()).unwrap();
    let token = || ready(provider.token()).unwrap().unwrap();
    assert_eq!(name(&token()), "A");
    assert_eq!(provider.fresh_token(), Some(token()));
    // Due, and nothing can be started here.
    clock.set_wall(3400);
    assert_eq!(name(&token()), "A");
    assert!(provider.try_authorization().is_some());
    assert_eq!(provider.fresh_token(), None);
    let refreshed = ready(provider.refresh()).unwrap();
    assert_eq!(refreshed.unwrap_err().kind(), ErrorKind::Runtime);
    assert_eq!(transport.request_count(), 1);
    clock.set_wall(3600);
    assert_eq!(error().kind(), ErrorKind::Runtime);

    // A fetch that runs elsewhere cannot be waited for here either.
    start_fetch(&runtime, &provider);
    assert_eq!(transport.request_count(), 2);
    assert_eq!(error().kind(), ErrorKind::Runtime);
}

#[test]
fn c13_nothing_runs_before_the_first_call_and_after_the_last_drop() {
    let runtime = paused();
    let alive = || runtime.metrics().num_alive_tasks();
    let gate = Gate::default();
    let (provider, clone) = runtime.block_on(async {
        let provider = provider(gate.clone());
        (provider.clone(), provider)
    });
    assert_eq!((alive(), gate.requests()), (0, 0));
    start_fetch(&runtime, &provider);
    assert_eq!((alive(), gate.under_way()), (1, 1));
    drop(clone);
    runtime.block_on(settle());
    assert_eq!((alive(), gate.under_way()), (1, 1));
    drop(provider);
    runtime.block_on(settle());
    assert_eq!((alive(), gate.under_way()), (0, 0));
}

#[test]
fn c13_the_last_drop_ends_a_fetch_that_was_superseded_too() {
    let (provider, gate) = gated();
    let (first, second) = (paused(), paused());
    start_fetch(&first, &provider);
    let mut waiter = waiter(&second, &provider);
    second.block_on(async {
        while gate.requests() == 1 {
            assert!(poll(waiter.as_mut()).is_pending());
            sleep(Duration::from_secs(1)).await;
        }
    });
    assert_eq!(gate.under_way(), 2);
    drop(waiter);
    drop(provider);
    for runtime in [&first, &second] {
        runtime.block_on(settle());
        assert_eq!(runtime.metrics().num_alive_tasks(), 0);
    }
    assert_eq!(gate.under_way(), 0);
}

#[test]
fn c13_a_provider_may_be_dropped_outside_its_runtime_and_after_it() {
    let (provider, gate) = gated();
    let runtime = paused();
    start_fetch(&runtime, &provider);
    let clone = provider.clone();
    thread::spawn(move || drop(provider)).join().unwrap();
    drop(runtime);
    assert_eq!(gate.under_way(), 0);
    drop(clone);
}
