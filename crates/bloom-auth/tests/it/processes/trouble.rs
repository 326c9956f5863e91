//! Processes that are killed or stopped while they fetch, a server that is
//! another one after its restart, and users without a home.

use std::{
    io::ErrorKind,
    os::unix::{
        fs::PermissionsExt as _,
        process::{CommandExt as _, ExitStatusExt as _},
    },
    process::Child,
    thread,
    time::Duration,
};

use bloom_auth::Rejection;
use bloom_auth_core::{Entropy as _, SystemEntropy, test_util::is_long};
use rustix::process::{Pid, Signal, geteuid, kill_process};

use super::{Setup, get_a_token, role, said};

/// Longer than a test that does not wait for it.
const FOR_EVER: Duration = Duration::from_secs(9);

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_child(child);
    kill_process(pid, signal).unwrap();
}

/// Waits until this many token requests have arrived.
fn wait_for_requests(setup: &Setup, count: u64) {
    while setup.token_requests() < count {
        thread::yield_now();
    }
}

#[test]
fn x5_who_is_killed_while_fetching_costs_one_more_request() {
    const TEST: &str = "processes::trouble::x5_who_is_killed_while_fetching_costs_one_more_request";
    if role().is_some() {
        return get_a_token();
    }
    let setup = Setup::with_latency(FOR_EVER);
    let mut fetching = setup.child(TEST, "get").spawn().unwrap();
    wait_for_requests(&setup, 1);
    let waiting: Vec<_> = (0..8)
        .map(|_| setup.child(TEST, "get").spawn().unwrap())
        .collect();
    setup.emulator.set_latency(Duration::ZERO);
    fetching.kill().unwrap();
    assert_eq!(fetching.wait().unwrap().signal(), Some(9));
    let mut tokens: Vec<_> = waiting
        .into_iter()
        .map(|child| said(&child.wait_with_output().unwrap(), "token"))
        .collect();
    tokens.dedup();
    assert_eq!(tokens.len(), 1);
    assert_eq!(setup.api_status(&tokens[0]), 200);
    assert_eq!(setup.token_requests(), 2);
}

#[test]
fn x4_processes_killed_at_random_cost_at_most_a_request_each() {
    const TEST: &str =
        "processes::trouble::x4_processes_killed_at_random_cost_at_most_a_request_each";
    if role().is_some() {
        return get_a_token();
    }
    let rounds = if is_long() { 300 } else { 20 };
    for round in 0..rounds {
        let setup = Setup::with_latency(Duration::from_millis(20));
        let mut children: Vec<_> = (0..6)
            .map(|_| setup.child(TEST, "get").spawn().unwrap())
            .collect();
        // Some time on the way of the first ones from the start to the token.
        let micros = SystemEntropy::new().draw() % 40_000;
        thread::sleep(Duration::from_micros(micros));
        let mut killed = 0;
        for mut child in children.drain(..2) {
            child.kill().unwrap();
            killed += u64::from(child.wait().unwrap().signal() == Some(9));
        }
        let mut tokens: Vec<_> = children
            .into_iter()
            .map(|child| said(&child.wait_with_output().unwrap(), "token"))
            .collect();
        tokens.dedup();
        assert_eq!(tokens.len(), 1, "round {round}");
        let requests = setup.token_requests();
        assert!(
            (1..=1 + killed).contains(&requests),
            "round {round}: {requests} {killed}"
        );
    }
}

#[test]
fn x6_who_stands_still_while_fetching_is_not_waited_for_for_ever() {
    const TEST: &str =
        "processes::trouble::x6_who_stands_still_while_fetching_is_not_waited_for_for_ever";
    if role().is_some() {
        return get_a_token();
    }
    let setup = Setup::with_latency(FOR_EVER);
    let stopped = setup.child(TEST, "get").spawn().unwrap();
    wait_for_requests(&setup, 1);
    signal(&stopped, Signal::STOP);
    setup.emulator.set_latency(Duration::ZERO);
    // He has the lease and keeps it: the kernel does not know better.
    let patient = setup.child(TEST, "get").output().unwrap();
    let token = said(&patient, "token");
    assert_eq!(setup.api_status(&token), 200);
    assert_eq!(setup.token_requests(), 2);
    // The next one finds what that one has stored, unless the disk was too slow
    // for one of them.
    let next = setup.child(TEST, "get").output().unwrap();
    let errors = [&patient, &next].map(|output| said(output, "cache-errors"));
    if errors == ["0", "0"] {
        assert_eq!(said(&next, "token"), token);
    }
    // Once he goes on, he gets a token as well, and takes nobody's away.
    signal(&stopped, Signal::CONT);
    let resumed = said(&stopped.wait_with_output().unwrap(), "token");
    assert_eq!(setup.api_status(&resumed), 200);
    let last = said(&setup.child(TEST, "get").output().unwrap(), "token");
    assert_eq!(setup.api_status(&last), 200);
    assert!(setup.token_requests() <= 3);
}

#[test]
fn x17_a_server_that_knows_no_old_tokens_is_met_with_new_ones() {
    let (setup, auth, first) = loop {
        let setup = Setup::new();
        let auth = setup.auth();
        let first = setup.runtime.block_on(auth.token()).unwrap();
        assert_eq!(setup.api_status(first.expose()), 200);
        // Another test may take the port meanwhile.
        if let Some(setup) = setup.restarted() {
            break (setup, auth, first);
        }
    };
    // A program that starts now finds the old token, and is told so by the API.
    let other = setup.auth();
    let found = setup.runtime.block_on(other.token()).unwrap();
    assert_eq!(found, first);
    assert_eq!(setup.api_status(found.expose()), 401);
    assert_eq!(other.reject(&found), Rejection::Dropped);
    let new = setup.runtime.block_on(other.token()).unwrap();
    assert_eq!(setup.api_status(new.expose()), 200);
    // And so does the one that had it, at no further cost.
    assert_eq!(auth.reject(&first), Rejection::Dropped);
    assert_eq!(setup.runtime.block_on(auth.token()).unwrap(), new);
    assert_eq!(setup.token_requests(), 1);
}

#[test]
fn x16_a_user_without_a_name_and_a_home_keeps_tokens_in_memory() {
    const TEST: &str =
        "processes::trouble::x16_a_user_without_a_name_and_a_home_keeps_tokens_in_memory";
    if role().is_some() {
        let subscriber = tracing_subscriber::fmt().with_ansi(false).finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
        return get_a_token();
    }
    let setup = Setup::new();
    // A copy that anybody may start.
    let programs = tempfile::tempdir().unwrap();
    let open_to_all = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(programs.path(), open_to_all.clone()).unwrap();
    let program = programs.path().join("tests");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    std::fs::set_permissions(&program, open_to_all).unwrap();
    let mut command = setup.child_of(&program, TEST, "get");
    command.env_remove("BLOOM_CACHE_DIR").current_dir("/");
    if geteuid().is_root() {
        // In no table of users, as in many a container.
        command.uid(54_321).gid(54_321);
    }
    let output = loop {
        match command.output() {
            // A process that another test is about to start has the copy open for
            // writing, until it is that test's program.
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => thread::yield_now(),
            output => break output.unwrap(),
        }
    };
    assert_eq!(setup.api_status(&said(&output, "token")), 200);
    assert_eq!(setup.token_requests(), 1);
    let text = String::from_utf8(output.stdout).unwrap();
    let warnings: Vec<_> = text
        .lines()
        .filter(|line| line.contains(" WARN "))
        .collect();
    assert_eq!(warnings.len(), 1, "{text}");
    assert!(
        warnings[0].contains("tokens are kept in memory alone"),
        "{text}"
    );
    assert!(
        warnings[0].contains("cache directory cannot be found"),
        "{text}"
    );
}
