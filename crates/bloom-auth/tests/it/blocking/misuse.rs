//! Blocking calls where they must not be made: an error, never a panic or a
//! standstill.

use std::{
    cell::RefCell,
    sync::{Arc, OnceLock, mpsc},
    thread,
    time::Duration,
};

use async_trait::async_trait;
use bloom_auth::{
    ClientCredentials, CredentialsError, CredentialsSource, Environment, Error, ErrorKind,
    Recovery, TokenProvider, blocking,
};
use bloom_auth_core::test_util::{ManualClock, Reply, ScriptedTransport};
use tokio::{
    runtime::{Builder, Handle},
    task::{block_in_place, spawn_blocking},
};

use super::support::{Gate, provider, runtime, start_fetch};

#[track_caller]
fn assert_refused(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::BlockingInRuntime);
    assert_eq!(error.recovery(), Recovery::FixProgram);
    let text = error.to_string();
    assert!(text.contains("inside a tokio runtime"), "{text}");
    assert!(text.contains("async `BloomAuth`"), "{text}");
}

#[track_caller]
fn assert_all_refused(auth: &blocking::BloomAuth) {
    assert_refused(&auth.token().unwrap_err());
    assert_refused(&auth.authorization().unwrap_err());
    assert_refused(&auth.refresh().unwrap_err());
}

#[test]
fn c12_inside_any_runtime_a_call_is_an_error_with_and_without_a_token() {
    let transport = ScriptedTransport::new([Reply::token("A", 3600)]);
    let auth = blocking::BloomAuth::from(provider(transport.clone(), ManualClock::new()));
    for requests in 0..2 {
        let (single, multi) = (runtime(), Builder::new_multi_thread().build().unwrap());
        for runtime in [&single, &multi] {
            runtime.block_on(async {
                assert_all_refused(&auth);
                let clone = auth.clone();
                let blocked = spawn_blocking(move || assert_all_refused(&clone));
                blocked.await.unwrap();
                let clone = auth.clone();
                let task = Handle::current().spawn(async move { assert_all_refused(&clone) });
                task.await.unwrap();
            });
            let _entered = runtime.enter();
            assert_all_refused(&auth);
        }
        multi.block_on(async { block_in_place(|| assert_all_refused(&auth)) });
        assert_eq!(transport.request_count(), requests);
        // What the error says to do instead.
        let token = single.block_on(auth.as_async().token()).unwrap();
        assert_eq!(token.expose(), "A");
    }
    // And outside of them the same handle works.
    assert_eq!(auth.token().unwrap().expose(), "A");
}

#[test]
fn c12_the_call_that_never_waits_works_in_a_runtime_too() {
    let (gate, clock) = (Gate::default(), ManualClock::new());
    let auth = blocking::BloomAuth::from(provider(gate.clone(), clock.clone()));
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let _entered = runtime.enter();
    start_fetch(&auth);
    gate.answer(1);
    while auth.status().is_fetching {
        thread::yield_now();
    }
    assert_eq!(auth.try_authorization().unwrap(), "Bearer 1");
    clock.advance(Duration::from_secs(3400));
    assert_eq!(auth.try_authorization().unwrap(), "Bearer 1");
    gate.wait_for(2);
}

/// A source that needs a token to get at its secrets: this provider's own.
#[derive(Debug, Default)]
struct Needy {
    auth: OnceLock<blocking::BloomAuth>,
    error: OnceLock<Error>,
}

#[derive(Debug)]
struct Source(Arc<Needy>);

#[async_trait]
impl CredentialsSource for Source {
    async fn credentials(&self) -> Result<ClientCredentials, CredentialsError> {
        let Self(needy) = self;
        let error = needy.auth.get().unwrap().token().unwrap_err();
        needy.error.set(error.clone()).unwrap();
        Err(CredentialsError::new(error.to_string()))
    }
}

#[test]
fn c12_c15_a_source_that_needs_its_own_token_gets_an_error() {
    let needy = Arc::new(Needy::default());
    let transport = ScriptedTransport::default();
    let environment = Environment::sandbox(bloom_auth::AuthVersion::V1);
    let provider =
        TokenProvider::builder(environment, Source(Arc::clone(&needy)), transport.clone());
    let auth = blocking::BloomAuth::from(provider.build().unwrap());
    assert!(needy.auth.set(auth.clone()).is_ok());
    let (sender, result) = mpsc::channel();
    // On a thread of its own, since a mistake would be a standstill.
    thread::spawn(move || sender.send(auth.token()));
    let error = result.recv_timeout(Duration::from_secs(60)).unwrap();
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Credentials);
    assert_refused(needy.error.get().unwrap());
    assert_eq!(transport.request_count(), 0);
}

/// Calls when its thread has ended, which is after tokio's own values have.
struct AtTheEnd(blocking::BloomAuth, mpsc::Sender<(Error, bool)>);

impl Drop for AtTheEnd {
    fn drop(&mut self) {
        let Self(auth, sender) = self;
        let error = auth.token().unwrap_err();
        let _ = sender.send((error, auth.try_authorization().is_some()));
    }
}

thread_local! {
    static AT_THE_END: RefCell<Option<AtTheEnd>> = const { RefCell::new(None) };
}

#[test]
fn c12_a_call_from_a_thread_that_is_ending_is_an_error() {
    let transport = ScriptedTransport::new([Reply::token("A", 3600)]);
    let auth = blocking::BloomAuth::from(provider(transport.clone(), ManualClock::new()));
    let (sender, said) = mpsc::channel();
    let ending = thread::spawn(move || {
        // Ours first: what was made last goes first.
        AT_THE_END.set(Some(AtTheEnd(auth.clone(), sender)));
        auth.token().unwrap();
    });
    ending.join().unwrap();
    let (error, has_token) = said.recv().unwrap();
    assert_eq!(error.kind(), ErrorKind::BlockingThread);
    assert!(has_token);
    assert_eq!(transport.request_count(), 1);
}
