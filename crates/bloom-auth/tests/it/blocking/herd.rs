//! Threads and tasks that want a token of one provider at once.

use std::{
    sync::{Arc, Barrier},
    thread,
};

use bloom_auth::{ErrorKind, TokenProvider, blocking};
use bloom_auth_core::test_util::{ManualClock, Reply, ScriptedTransport};
use http::StatusCode;
use tokio::runtime::Builder;

use super::support::{Gate, provider, start_fetch};

const THREADS: usize = 64;
const TASKS: usize = 256;

/// What started the fetch that all of them wait for.
#[derive(Clone, Copy, Debug)]
enum BegunBy {
    Thread,
    Task,
    WhoComesFirst,
}

/// Lets everyone ask, and calls `answer` once all do; returns what the threads
/// and the tasks got.
fn herd<T: Send + 'static>(
    provider: &TokenProvider,
    begun: BegunBy,
    begins: impl FnOnce(),
    result: fn(Result<bloom_auth::AccessToken, bloom_auth::Error>) -> T,
) -> (Vec<T>, Vec<T>) {
    let auth = blocking::BloomAuth::from(provider.clone());
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    match begun {
        BegunBy::Thread => start_fetch(&auth),
        BegunBy::Task => {
            let _entered = runtime.enter();
            assert!(provider.try_authorization().is_none());
        }
        BegunBy::WhoComesFirst => {}
    }
    let all = Arc::new(Barrier::new(THREADS + 2));
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (auth, all) = (auth.clone(), Arc::clone(&all));
            thread::spawn(move || {
                all.wait();
                result(auth.token())
            })
        })
        .collect();
    let tasks = runtime.spawn({
        let (provider, all) = (provider.clone(), Arc::clone(&all));
        async move {
            let mut tasks = tokio::task::JoinSet::new();
            tokio::task::block_in_place(|| all.wait());
            for _ in 0..TASKS {
                let provider = provider.clone();
                tasks.spawn(async move { result(provider.token().await) });
            }
            tasks.join_all().await
        }
    });
    all.wait();
    begins();
    let threads = threads.into_iter().map(|thread| thread.join().unwrap());
    (threads.collect(), runtime.block_on(tasks).unwrap())
}

#[test]
fn c1_c12_threads_and_tasks_share_one_request_whoever_begins_it() {
    for begun in [BegunBy::Thread, BegunBy::Task, BegunBy::WhoComesFirst] {
        for _ in 0..5 {
            let gate = Gate::default();
            let provider = provider(gate.clone(), ManualClock::new());
            let token = |result: Result<bloom_auth::AccessToken, _>| {
                let token = result.unwrap();
                token.expose().to_owned()
            };
            let (threads, tasks) = herd(&provider, begun, || gate.answer(1), token);
            assert_eq!((threads.len(), tasks.len()), (THREADS, TASKS));
            assert!(threads.iter().chain(&tasks).all(|token| token == "1"));
            assert_eq!(gate.requests(), 1, "{begun:?}");
            let counts = provider.status().counts;
            assert_eq!((counts.fetches, counts.token_requests), (1, 1), "{begun:?}");
        }
    }
}

#[test]
fn c2_c12_threads_and_tasks_share_one_error_whoever_begins_it() {
    for begun in [BegunBy::Thread, BegunBy::Task, BegunBy::WhoComesFirst] {
        let refusal = Reply::error(StatusCode::UNAUTHORIZED, "invalid_client");
        let transport = ScriptedTransport::new([refusal]);
        let provider = provider(transport.clone(), ManualClock::new());
        let error = |result: Result<_, bloom_auth::Error>| result.unwrap_err();
        let (threads, tasks) = herd(&provider, begun, || {}, error);
        let first = &threads[0];
        assert_eq!(first.kind(), ErrorKind::ClientRefused);
        assert!(threads.iter().chain(&tasks).all(|it| it.same_fetch(first)));
        assert_eq!(transport.request_count(), 1, "{begun:?}");
    }
}
