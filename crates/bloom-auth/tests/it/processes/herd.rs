//! Many processes at once: one token request.

use std::time::Duration;

use super::{Setup, get_a_token, is_long, role, said};

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
