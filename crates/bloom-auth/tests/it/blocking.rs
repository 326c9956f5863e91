//! The blocking calls: on threads without a runtime, beside tasks, and where
//! they must not be made.

mod herd;
mod misuse;
mod support;
#[cfg(unix)]
mod threads;

use std::{future::poll_fn, task::Poll, thread, time::Duration};

use bloom_auth::{BloomAuth, BloomAuthBuilder, ErrorKind, Rejection, TokenState, blocking};
use bloom_auth_core::test_util::{ManualClock, Reply, ScriptedTransport};

use self::support::{Gate, Server, WhenEnded, provider, start_fetch};

fn assert_shareable<T: Clone + Send + Sync + 'static>() {}

#[test]
fn c12_outside_of_any_runtime_each_way_to_make_one_works() {
    assert_shareable::<blocking::BloomAuth>();
    let server = Server::start();
    let from_lookup = blocking::BloomAuth::from_lookup(server.lookup()).unwrap();
    let builder = BloomAuthBuilder::from_lookup(server.lookup()).unwrap();
    let from_builder = builder.build().unwrap().blocking();
    let auth = BloomAuth::from_lookup(server.lookup()).unwrap();
    let from_auth = blocking::BloomAuth::from(auth.clone());
    let from_provider = blocking::BloomAuth::from(auth.provider().clone());
    assert_eq!(server.counts().connections, 0);

    for (requests, auth) in [(1, from_lookup), (2, from_builder)] {
        let token = auth.token().unwrap();
        assert_eq!(auth.authorization().unwrap(), token.authorization());
        assert_eq!(auth.try_authorization().unwrap(), token.authorization());
        assert_eq!(auth.status().token, TokenState::Fresh);
        assert!(auth.environment().is_insecure_loopback());
        assert_eq!(server.counts().token_requests, requests);
    }
    // All of one provider have what one of them fetched.
    let token = from_provider.token().unwrap();
    assert_eq!(from_auth.token().unwrap(), token);
    assert_eq!(auth.blocking().token().unwrap(), token);
    assert_eq!(auth.try_authorization().unwrap(), token.authorization());
    assert_eq!(from_auth.as_async().provider().fresh_token(), Some(token));
    assert_eq!(server.counts().token_requests, 3);
}

#[test]
fn a_rejected_token_and_a_refresh_cost_one_request_each() {
    let transport = ScriptedTransport::new(["A", "B", "C"].map(|name| Reply::token(name, 3600)));
    let auth = blocking::BloomAuth::from(provider(transport.clone(), ManualClock::new()));
    let token = auth.token().unwrap();
    assert_eq!(auth.reject(&token), Rejection::Dropped);
    assert_eq!(auth.token().unwrap().expose(), "B");
    assert_eq!(auth.reject(&token), Rejection::NotCurrent);
    assert_eq!(auth.refresh().unwrap().expose(), "C");
    assert_eq!(auth.token().unwrap().expose(), "C");
    assert_eq!(transport.request_count(), 3);
    assert_eq!(auth.status().counts.token_requests, 3);
}

#[test]
fn c12_a_due_token_is_served_at_once_and_refreshed_on_the_thread() {
    let ways: [fn(&blocking::BloomAuth) -> http::HeaderValue; 3] = [
        |auth| auth.token().unwrap().authorization(),
        |auth| auth.authorization().unwrap(),
        |auth| auth.try_authorization().unwrap(),
    ];
    for way in ways {
        let (gate, clock) = (Gate::default(), ManualClock::new());
        let auth = blocking::BloomAuth::from(provider(gate.clone(), clock.clone()));
        start_fetch(&auth);
        gate.answer(1);
        assert_eq!(auth.token().unwrap().expose(), "1");

        clock.advance(Duration::from_secs(3400));
        assert_eq!(auth.status().token, TokenState::Due);
        // Nobody has answered yet.
        assert_eq!(way(&auth), "Bearer 1");
        gate.wait_for(2);
        assert_eq!(way(&auth), "Bearer 1");
        gate.answer(2);
        while auth.status().is_fetching {
            thread::yield_now();
        }
        assert_eq!(way(&auth), "Bearer 2");
        assert_eq!(gate.requests(), 2);
    }
}

#[test]
fn c12_an_async_caller_gets_its_token_though_the_thread_goes() {
    let (gate, runtime) = (Gate::default(), support::runtime());
    let auth = blocking::BloomAuth::from(provider(gate.clone(), ManualClock::new()));
    let provider = auth.as_async().provider().clone();
    // The thread drives it.
    start_fetch(&auth);
    gate.wait_for(1);
    let mut waiter = Box::pin(provider.token());
    runtime.block_on(async {
        let polled = poll_fn(|context| Poll::Ready(waiter.as_mut().poll(context))).await;
        assert!(polled.is_pending(), "{polled:?}");
    });
    drop(auth);
    let answers = thread::spawn({
        let gate = gate.clone();
        move || {
            gate.wait_for(2);
            gate.answer(2);
        }
    });
    let token = runtime.block_on(waiter).unwrap();
    assert_eq!(token.expose(), "2");
    answers.join().unwrap();
    assert_eq!((gate.requests(), gate.under_way()), (2, 0));
}

#[test]
fn c12_c13_the_last_drop_ends_the_thread() {
    let (transport, ended) = WhenEnded::new();
    let auth = blocking::BloomAuth::from(provider(transport, ManualClock::new()));
    let clone = auth.clone();
    auth.token().unwrap();
    drop(auth);
    // The thread is there: it makes another fetch.
    clone.refresh().unwrap();
    assert!(ended.try_recv().is_err());
    // What lives in its runtime goes with it.
    drop(clone);
    ended.recv_timeout(Duration::from_secs(60)).unwrap();
}

#[test]
fn c8_c12_a_transport_that_panics_harms_neither_caller_nor_thread() {
    let transport = ScriptedTransport::new([Reply::panic(), Reply::token("A", 3600)]);
    let clock = ManualClock::new();
    let auth = blocking::BloomAuth::from(provider(transport.clone(), clock.clone()));
    let error = auth.token().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
    // It holds back, as ever.
    let again = auth.token().unwrap_err();
    assert!(again.same_fetch(&error));
    clock.advance(again.retry_after().unwrap());
    assert_eq!(auth.token().unwrap().expose(), "A");
    assert_eq!(transport.request_count(), 2);
}

#[test]
fn a_refused_client_is_an_error_with_the_same_words() {
    let server = Server::start();
    let lookup = server.lookup();
    let wrong = move |name: &str| match name {
        "BLOOM_CLIENT_SECRET" => Some("not the secret".into()),
        name => lookup(name),
    };
    let auth = blocking::BloomAuth::from_lookup(wrong).unwrap();
    let error = auth.token().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ClientRefused);
    assert!(auth.authorization().unwrap_err().same_fetch(&error));
    assert!(auth.try_authorization().is_none());
    assert_eq!(server.counts().token_requests, 1);
    let error = blocking::BloomAuth::from_lookup(|_| None).unwrap_err();
    assert_eq!(error.setting(), "BLOOM_CLIENT_ID");
}

#[test]
fn a_server_that_comes_late_is_waited_for() {
    // The limits of the thread's own timers hold.
    let transport = ScriptedTransport::new([Reply::never()]);
    let builder = support::provider_builder(transport.clone(), ManualClock::new());
    let provider = builder
        .attempt_timeout(Duration::from_millis(20))
        .fetch_timeout(Duration::from_millis(40))
        .build()
        .unwrap();
    let error = blocking::BloomAuth::from(provider).token().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(transport.request_count() >= 1);
}

#[test]
fn nothing_of_a_secret_is_in_its_debug_text() {
    let server = Server::start();
    let auth = blocking::BloomAuth::from_lookup(server.lookup()).unwrap();
    let token = auth.token().unwrap();
    for text in [format!("{auth:?}"), format!("{auth:#?}")] {
        assert!(text.contains("blocking::BloomAuth"), "{text}");
        assert!(!text.contains(token.expose()), "{text}");
        assert!(!text.contains(&server.emulator.client_secret()));
    }
}
