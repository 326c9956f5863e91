//! Processes that fork: the child has a copy of everything but the threads.

use std::{cell::Cell, ffi::OsString, time::Duration};

use bloom_auth::{
    AuthVersion, BloomAuth, CacheAccess, ClientCredentials, ClientId, ClientSecret, Environment,
    FileCache, Lease, TokenCache as _,
};
use bloom_auth_core::protocol::TokenRequest;
use rustix::{
    io::{read, write},
    pipe::pipe,
    process::{Pid, WaitOptions, waitpid},
};
use tokio::runtime::Builder;

use super::{Setup, role, said, say};

/// Runs the two parts in two processes, the second one in the child.
pub(super) fn fork(parent: impl FnOnce(&dyn Fn() -> bool), child: impl FnOnce() -> bool) {
    #[expect(unsafe_code, reason = "a fork is what is tested")]
    // SAFETY: no other thread of the process holds a lock that the child could
    // wait for.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        let is_well =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(child)).unwrap_or(false);
        // Not by the way of the test runner, which is the parent's.
        #[expect(unsafe_code, reason = "the child ends here")]
        // SAFETY: it ends the process, and nothing else.
        unsafe {
            libc::_exit(i32::from(!is_well))
        };
    }
    let pid = Pid::from_raw(pid).unwrap();
    let wait = || {
        let (_, status) = waitpid(Some(pid), WaitOptions::empty()).unwrap().unwrap();
        status.exit_status() == Some(0)
    };
    parent(&wait);
}

fn token(auth: &BloomAuth) -> String {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let token = runtime.block_on(auth.token()).unwrap();
    token.fingerprint().to_string()
}

#[test]
fn x8_what_was_built_before_a_fork_works_on_both_sides() {
    const TEST: &str = "processes::fork::x8_what_was_built_before_a_fork_works_on_both_sides";
    if role().is_some() {
        let auth = BloomAuth::from_env().unwrap();
        let of_child = auth.clone();
        fork(
            |wait| {
                say("parent", &token(&auth));
                say("well", &wait().to_string());
            },
            move || {
                say("child", &token(&of_child));
                true
            },
        );
        return;
    }
    let setup = Setup::with_latency(Duration::from_millis(50));
    let output = setup.child(TEST, "fork").output().unwrap();
    assert_eq!(said(&output, "well"), "true");
    assert_eq!(said(&output, "parent"), said(&output, "child"));
    assert_eq!(setup.token_requests(), 1);
}

#[test]
#[cfg(feature = "blocking")]
fn x8_c12_a_child_of_a_fork_has_a_thread_of_its_own() {
    const TEST: &str = "processes::fork::x8_c12_a_child_of_a_fork_has_a_thread_of_its_own";
    if role().is_some() {
        let auth = bloom_auth::blocking::BloomAuth::from_env().unwrap();
        let refreshed = |auth: &bloom_auth::blocking::BloomAuth| {
            let token = auth.refresh().unwrap();
            token.fingerprint().to_string()
        };
        say("before", &refreshed(&auth));
        fork(
            |wait| {
                say("well", &wait().to_string());
                // The child has done nothing to this side's thread.
                say("parent", &refreshed(&auth));
            },
            || {
                #[expect(unsafe_code, reason = "a standstill would be one for ever")]
                // SAFETY: it asks for a signal, and nothing else.
                unsafe {
                    libc::alarm(60)
                };
                say("held", &auth.token().unwrap().fingerprint().to_string());
                say("child", &refreshed(&auth));
                say("again", &refreshed(&auth));
                drop(auth.clone());
                true
            },
        );
        return;
    }
    let setup = Setup::new();
    let output = setup.child(TEST, "fork").output().unwrap();
    assert_eq!(said(&output, "well"), "true");
    assert_eq!(said(&output, "held"), said(&output, "before"));
    let tokens = ["before", "child", "again", "parent"].map(|what| said(&output, what));
    let different: std::collections::BTreeSet<_> = tokens.iter().collect();
    assert_eq!(different.len(), 4, "{tokens:?}");
    assert_eq!(setup.token_requests(), 4);
}

#[test]
fn x9_a_fork_during_a_fetch_leaves_both_sides_with_a_token() {
    const TEST: &str = "processes::fork::x9_a_fork_during_a_fetch_leaves_both_sides_with_a_token";
    if role().is_some() {
        let auth = BloomAuth::from_env().unwrap();
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let fetching = runtime.spawn({
            let auth = auth.clone();
            async move { auth.token().await.unwrap().fingerprint().to_string() }
        });
        // The request is under way, and its lease is held.
        while auth.status().counts.token_requests == 0 {
            std::thread::yield_now();
        }
        fork(
            |wait| {
                say("parent", &runtime.block_on(fetching).unwrap());
                say("well", &wait().to_string());
            },
            || {
                // The fetch that it sees is one that nobody drives here.
                assert!(auth.status().is_fetching);
                say("child", &token(&auth));
                true
            },
        );
        return;
    }
    let setup = Setup::with_latency(Duration::from_millis(300));
    let output = setup.child(TEST, "fork").output().unwrap();
    assert_eq!(said(&output, "well"), "true");
    // The child finds what the parent has stored, once it looks.
    assert_eq!(said(&output, "parent"), said(&output, "child"));
    assert_eq!(setup.token_requests(), 1);
}

#[test]
fn x9_a_fork_neither_frees_a_lease_nor_keeps_it() {
    const TEST: &str = "processes::fork::x9_a_fork_neither_frees_a_lease_nor_keeps_it";
    if role().is_none() {
        let setup = Setup::new();
        let output = setup.child(TEST, "fork").output().unwrap();
        assert_eq!(said(&output, "dropped-by-child"), "held, well");
        assert_eq!(said(&output, "dropped-by-parent"), "free, well");
        return;
    }
    let (id, secret) = (ClientId::new("client"), ClientSecret::new("x".repeat(32)));
    let credentials = ClientCredentials::new(id.unwrap(), secret.unwrap());
    let request = TokenRequest::new(Environment::sandbox(AuthVersion::V1));
    let access = CacheAccess::new(&request, &credentials);
    let cache = FileCache::in_directory(cache_directory()).unwrap();
    let lease = || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(cache.lease(&access)).unwrap()
    };
    for dropped_by_child in [true, false] {
        let guard = Cell::new(Some(lease()));
        assert!(matches!(lease(), Lease::Held));
        let (to_child, from_parent) = pipe().unwrap();
        let (to_parent, from_child) = pipe().unwrap();
        fork(
            |wait| {
                read(&to_parent, &mut [0]).unwrap();
                if !dropped_by_child {
                    drop(guard.take());
                }
                // The child is alive, with or without its copy of the lease.
                let state = if matches!(lease(), Lease::Held) {
                    "held"
                } else {
                    "free"
                };
                write(&from_parent, b"x").unwrap();
                let well = if wait() { "well" } else { "ill" };
                let who = if dropped_by_child { "child" } else { "parent" };
                say(&format!("dropped-by-{who}"), &format!("{state}, {well}"));
            },
            || {
                if dropped_by_child {
                    drop(guard.take());
                }
                write(&from_child, b"x").unwrap();
                read(&to_child, &mut [0]).is_ok()
            },
        );
    }
}

#[expect(clippy::disallowed_methods, reason = "it is the child's setting")]
fn cache_directory() -> OsString {
    std::env::var_os("BLOOM_CACHE_DIR").unwrap()
}
