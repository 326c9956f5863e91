//! Many processes at once: one token request.

use std::time::Duration;

use bloom_auth::BloomAuth;
use bloom_auth_core::test_util::is_long;
use tokio::{runtime::Builder, time::Instant};

use super::{Setup, get_a_token, role, said, say};

const TEST: &str = "processes::herd::x1_x2_processes_that_start_at_once_make_one_request";

#[test]
fn x1_x2_processes_that_start_at_once_make_one_request() {
    if role().is_some() {
        return get_a_token();
    }
    // (processes, rounds)
    let rows: &[(usize, usize)] = if is_long() {
        &[(2, 20), (16, 20), (128, 20)]
    } else {
        &[(2, 3), (16, 6), (128, 1)]
    };
    for &(processes, rounds) in rows {
        for round in 0..rounds {
            // At times the request is over before the last process asks, and
            // at times all the others have to wait.
            let latency = [0, 50, 300][round % 3];
            let setup = Setup::with_latency(Duration::from_millis(latency));
            let children: Vec<_> = (0..processes)
                .map(|_| setup.child(TEST, "get").spawn().unwrap())
                .collect();
            let mut tokens: Vec<_> = children
                .into_iter()
                .map(|child| said(&child.wait_with_output().unwrap(), "token"))
                .collect();
            let case = format!("{processes} processes, round {round}");
            assert_eq!(tokens.len(), processes, "{case}");
            tokens.dedup();
            assert_eq!(tokens.len(), 1, "{case}: not all got the same token");
            assert_eq!(setup.api_status(&tokens[0]), 200, "{case}");
            assert_eq!(setup.token_requests(), 1, "{case}");
            // Nor does one that starts later.
            let later = setup.child(TEST, "get").output().unwrap();
            assert_eq!(said(&later, "token"), tokens[0], "{case}");
            assert_eq!(setup.token_requests(), 1, "{case}");
        }
    }
}

#[test]
fn k9_x2_processes_with_a_wrong_secret_are_refused_once() {
    const TEST: &str = "processes::herd::k9_x2_processes_with_a_wrong_secret_are_refused_once";
    if role().is_some() {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let auth = BloomAuth::from_env().unwrap();
        let error = runtime.block_on(auth.token()).unwrap_err();
        say("kind", &format!("{:?}", error.kind()));
        return;
    }
    let setup = Setup::with_latency(Duration::from_millis(50));
    let wrong = "a wrong secret of more than 32 characters";
    let start = Instant::now();
    let children: Vec<_> = (0..16)
        .map(|_| {
            let mut child = setup.child(TEST, "get");
            child.env("BLOOM_CLIENT_SECRET", wrong).spawn().unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert_eq!(said(&output, "kind"), "ClientRefused");
    }
    // The refusal is in force for a second, and then for longer each time.
    let seconds = start.elapsed().as_secs();
    let requests = setup.token_requests();
    assert!(
        (1..=1 + seconds).contains(&requests),
        "{requests} in {seconds} s"
    );
}
