//! How many threads there are, in a process that has no others: this test
//! binary again.

use std::{error::Error as _, process::Command, thread, time::Duration};

use bloom_auth::{ErrorKind, Recovery, TokenState, blocking};
use bloom_auth_core::test_util::{ManualClock, Reply, ScriptedTransport};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::support::{provider, runtime};

const ROLE: &str = "BLOOM_AUTH_TEST_ROLE";

/// Runs this test again, alone; returns whether this is that run.
#[track_caller]
#[expect(
    clippy::disallowed_methods,
    reason = "the child is told apart by its environment"
)]
fn is_alone(test: &str) -> bool {
    if std::env::var_os(ROLE).is_some() {
        return true;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(ROLE, "alone")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    false
}

/// How many threads have the name of ours.
#[cfg(target_os = "linux")]
fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")));
    // One that ends meanwhile has none.
    names
        .filter(|name| name.as_ref().is_ok_and(|name| name == "bloom-auth\n"))
        .count()
}

#[test]
#[cfg(target_os = "linux")]
fn c12_one_thread_is_started_when_it_is_needed_and_ends_with_the_last_handle() {
    const TEST: &str = "blocking::threads::c12_one_thread_is_started_when_it_is_needed_and_ends_with_the_last_handle";
    if !is_alone(TEST) {
        return;
    }
    let transport = ScriptedTransport::new([Reply::token("A", 3600)]);
    let auth = blocking::BloomAuth::from(provider(transport, ManualClock::new()));
    let _ = (auth.status(), auth.environment(), auth.clone());
    assert_eq!(threads(), 0);
    // A fresh token needs none.
    runtime().block_on(auth.as_async().token()).unwrap();
    assert_eq!(auth.token().unwrap().expose(), "A");
    assert!(auth.authorization().is_ok() && auth.try_authorization().is_some());
    assert_eq!(auth.status().token, TokenState::Fresh);
    assert_eq!(threads(), 0);

    // However many begin, there is one.
    let refreshing: Vec<_> = (0..8)
        .map(|_| {
            let auth = auth.clone();
            thread::spawn(move || auth.refresh().map(drop).unwrap())
        })
        .collect();
    for thread in refreshing {
        thread.join().unwrap();
    }
    assert_eq!(threads(), 1);
    let other = auth.as_async().blocking();
    assert_eq!(other.token().unwrap().expose(), "A");
    assert_eq!(threads(), 1);
    drop(other);
    let clone = auth.clone();
    drop(auth);
    clone.refresh().unwrap();
    assert_eq!(threads(), 1);
    drop(clone);
    for _ in 0..6_000 {
        if threads() == 0 {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("the thread is still there after a minute");
}

#[test]
fn c12_a_thread_that_cannot_be_started_is_an_error_until_it_can() {
    const TEST: &str =
        "blocking::threads::c12_a_thread_that_cannot_be_started_is_an_error_until_it_can";
    if !is_alone(TEST) {
        return;
    }
    let transport = ScriptedTransport::new([Reply::token("A", 3600)]);
    let auth = blocking::BloomAuth::from(provider(transport.clone(), ManualClock::new()));
    let before = getrlimit(Resource::Nofile);
    let none = Rlimit {
        current: Some(0),
        ..before
    };
    setrlimit(Resource::Nofile, none).unwrap();
    let error = auth.token().unwrap_err();
    let is_there = auth.try_authorization().is_some();
    setrlimit(Resource::Nofile, before).unwrap();
    assert_eq!(error.kind(), ErrorKind::BlockingThread);
    assert!(matches!(error.recovery(), Recovery::Retry { .. }));
    assert!(error.source().unwrap().is::<std::io::Error>());
    assert!(!is_there);
    assert_eq!(transport.request_count(), 0);
    assert_eq!(auth.token().unwrap().expose(), "A");
}
