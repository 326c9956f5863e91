//! Timers that fire late, or not at all: the next call decides by the clock.
//!
//! A process that was stopped has a clock that went on, and timers that did
//! not: here a clock of its own beside a paused runtime.

use std::time::Duration;

use bloom_auth_core::{
    ErrorKind, TokenProvider, TokenState,
    test_util::{ManualClock, Reply},
};
use http::StatusCode;
use tokio::time::sleep;

use crate::support::{
    Draw, Gate, builder, credentials, name, paused, poll, ready, settle, token_reply,
};

const STOPPED: Duration = Duration::from_secs(600);

fn gated(draw: Draw) -> (TokenProvider, Gate, ManualClock) {
    let (gate, clock) = (Gate::default(), ManualClock::new());
    let builder = builder(credentials(), gate.clone()).clock(clock.clone());
    (builder.entropy(draw).build().unwrap(), gate, clock)
}

/// Starts a fetch, whose request is then under way.
async fn start(provider: &TokenProvider) {
    assert!(ready(provider.token()).is_none());
    settle().await;
}

#[test]
fn t12_a_token_is_judged_by_the_clock_though_no_timer_fired() {
    paused().block_on(async {
        let (provider, gate, clock) = gated(Draw::default());
        start(&provider).await;
        gate.answer_with(1, token_reply("1", 1000));
        settle().await;
        for (passes, state) in [
            (699, TokenState::Fresh),
            (1, TokenState::Fresh),
            (101, TokenState::Due),
        ] {
            clock.advance(Duration::from_secs(passes));
            assert_eq!(provider.status().token, state);
        }
        // Nobody asked, so nothing was sent.
        settle().await;
        assert_eq!(gate.requests(), 1);
        clock.advance(STOPPED);
        let mut call = Box::pin(provider.token());
        assert!(poll(call.as_mut()).is_pending());
        settle().await;
        gate.answer(2);
        assert_eq!(name(&call.await.unwrap()), "2");
        assert_eq!(gate.requests(), 2);
    });
}

#[test]
fn t12_a_fetch_whose_time_is_up_is_superseded_though_its_timer_has_not_fired() {
    paused().block_on(async {
        let (provider, gate, clock) = gated(Draw::default());
        start(&provider).await;
        clock.advance(STOPPED);
        let mut call = Box::pin(provider.token());
        assert!(poll(call.as_mut()).is_pending());
        settle().await;
        assert_eq!(gate.requests(), 2);
        gate.answer(2);
        assert_eq!(name(&call.await.unwrap()), "2");
        // Its timer fires at last, and it sends nothing more.
        sleep(STOPPED).await;
        assert_eq!((gate.requests(), gate.under_way()), (2, 0));
        assert_eq!(name(&ready(provider.token()).unwrap().unwrap()), "2");
        assert!(provider.status().last_error.is_none());
    });
}

#[test]
fn t12_a_pause_that_lasts_too_long_is_not_waited_for() {
    paused().block_on(async {
        let draw = Draw::default();
        let (provider, gate, clock) = gated(draw.clone());
        draw.set(u64::MAX);
        start(&provider).await;
        // There is to be another attempt in a quarter of a second.
        gate.answer_with(1, Reply::answer(StatusCode::BAD_GATEWAY, ""));
        settle().await;
        assert_eq!((gate.requests(), gate.under_way()), (1, 0));
        clock.advance(STOPPED);
        let mut call = Box::pin(provider.token());
        assert!(poll(call.as_mut()).is_pending());
        settle().await;
        assert_eq!(gate.requests(), 2);
        gate.answer(2);
        assert_eq!(name(&call.await.unwrap()), "2");
        sleep(STOPPED).await;
        assert_eq!(gate.requests(), 2);
    });
}

#[test]
fn t12_a_backoff_ends_by_the_clock() {
    paused().block_on(async {
        let (provider, gate, clock) = gated(Draw::default());
        start(&provider).await;
        gate.answer_with(1, Reply::answer(StatusCode::OK, "<html>"));
        settle().await;
        let error = ready(provider.token()).unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Response);
        clock.advance(error.retry_after().unwrap() - Duration::from_nanos(1));
        let error = ready(provider.token()).unwrap().unwrap_err();
        assert_eq!(error.retry_after(), Some(Duration::from_nanos(1)));
        // However long the runtime sleeps: that is not its time.
        sleep(STOPPED).await;
        assert!(ready(provider.token()).unwrap().is_err());
        clock.advance(Duration::from_nanos(1));
        start(&provider).await;
        gate.answer(2);
        settle().await;
        assert_eq!(name(&ready(provider.token()).unwrap().unwrap()), "2");
        assert_eq!(gate.requests(), 2);
    });
}
