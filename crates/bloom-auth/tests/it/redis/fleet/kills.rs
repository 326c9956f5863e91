//! Whoever has the lease is killed.

use std::{os::unix::process::ExitStatusExt as _, thread, time::Duration};

use bloom_auth_core::{Entropy as _, SystemEntropy, test_util::is_long};

use super::{Bloom, Fleet, get_a_token, role, sum, tokens};
use crate::redis::server::{Kind, Server, any, until};

const TEST: &str = "redis::fleet::kills::f2_r12_a_holder_who_is_killed_costs_one_request";
const HOUR: Duration = Duration::from_secs(3600);
const LATENCY: Duration = Duration::from_millis(150);

/// For how long a lease outlives its holder.
const LEASE_MILLIS: i64 = 3000;

const WAITING: usize = 5;

#[test]
fn f2_r12_a_holder_who_is_killed_costs_one_request() {
    if role().is_some() {
        return get_a_token();
    }
    let Some(kind) = any(TEST) else { return };
    // Five at a time: most of a round is waiting.
    let rounds = if is_long() { 20 } else { 1 };
    for _ in 0..rounds {
        thread::scope(|scope| {
            for _ in 0..5 {
                scope.spawn(|| round(kind));
            }
        });
    }
}

fn round(kind: Kind) {
    let server = Server::start(kind, &[]);
    let bloom = Bloom::start(HOUR, LATENCY);
    let mut holder = Fleet::start(1, TEST, &bloom, &server);
    let mut waiting = Fleet::start(WAITING, TEST, &bloom, &server);
    let mut client = server.client();
    holder.go();
    // The lease, or already what it was for.
    until(|| !client.keys("bloom-auth").is_empty());
    waiting.go();
    // Some time on the way from the lease to the token, and a little beyond.
    let random = SystemEntropy::new().draw() % 200_000;
    thread::sleep(Duration::from_micros(random));
    let mut killed = holder.processes.pop().unwrap().child;
    killed.kill().unwrap();
    let was_killed = killed.wait().unwrap().signal() == Some(9);
    // Nobody keeps it for longer, whoever has it now.
    for key in client.keys("bloom-auth") {
        if key.ends_with('l') {
            let left = client.call(&["PTTL", &key]).number();
            assert!(left == -2 || (1..=LEASE_MILLIS).contains(&left), "{left}");
        }
    }

    let reports = waiting.end();
    assert_eq!(reports.len(), WAITING);
    assert_eq!(sum(&reports, |report| report.failed), 0);
    let errors = sum(&reports, |report| report.cache_errors);
    let requests = bloom.token_requests();
    let most = 1 + u64::from(was_killed) + errors;
    assert!(
        (1..=most).contains(&requests),
        "{requests} after {random} µs"
    );
    if errors == 0 {
        assert_eq!(tokens(&reports).len(), 1);
    }
}
