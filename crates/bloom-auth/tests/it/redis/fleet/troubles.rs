//! Every kind of trouble with the server, in the middle of load.

use std::{
    thread,
    time::{Duration, Instant},
};

use bloom_auth_core::test_util::is_long;

use super::{Bloom, Fleet, Report, live_on, role, sum};
use crate::redis::server::{Kind, Server, any, until};

const TEST: &str =
    "redis::fleet::troubles::r1_r11_r17_a_server_in_trouble_fails_no_call_and_delays_none";

/// Long enough for a token that is due to be replaced on a busy machine.
const LIFETIME: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Stopped,
    Killed,
    Restarted,
    Flushed,
    ReadOnly,
    OutOfMemory,
}

impl Trouble {
    fn begin(self, server: &mut Server) {
        match self {
            Self::Stopped => server.stop(),
            Self::Killed => server.kill(),
            Self::Restarted => {
                server.kill();
                server.begin();
            }
            Self::Flushed => drop(server.client().call(&["FLUSHALL"])),
            // Nobody is at that port.
            Self::ReadOnly => drop(server.client().call(&["REPLICAOF", "127.0.0.1", "1"])),
            Self::OutOfMemory => {
                drop(server.client().call(&["CONFIG", "SET", "maxmemory", "1"]));
            }
        }
    }

    fn end(self, server: &mut Server) {
        match self {
            Self::Stopped => server.go_on(),
            Self::Killed => server.begin(),
            Self::Restarted | Self::Flushed => {}
            Self::ReadOnly => drop(server.client().call(&["REPLICAOF", "NO", "ONE"])),
            Self::OutOfMemory => {
                drop(server.client().call(&["CONFIG", "SET", "maxmemory", "0"]));
            }
        }
    }

    /// Whether calls of the cache fail in it.
    fn is_noticed(self) -> bool {
        !matches!(self, Self::Restarted | Self::Flushed)
    }
}

#[test]
fn r1_r11_r17_a_server_in_trouble_fails_no_call_and_delays_none() {
    if let Some(stop) = role() {
        return live_on(&stop);
    }
    let Some(kind) = any(TEST) else { return };
    let troubles = [
        Trouble::Stopped,
        Trouble::Killed,
        Trouble::Restarted,
        Trouble::Flushed,
        Trouble::ReadOnly,
        Trouble::OutOfMemory,
    ];
    if is_long() {
        for trouble in troubles {
            go_through(kind, trouble, 32);
        }
    } else {
        thread::scope(|scope| {
            for trouble in troubles {
                scope.spawn(move || go_through(kind, trouble, 4));
            }
        });
    }
}

/// Lives through the trouble until all could have asked by themselves, or a
/// generation of tokens has passed.
fn go_through(kind: Kind, trouble: Trouble, count: usize) {
    let mut server = Server::start(kind, &[]);
    let bloom = Bloom::start(LIFETIME, Duration::ZERO);
    let mut fleet = Fleet::start(count, TEST, &bloom, &server);
    let start = now();
    fleet.go();
    fleet.wait_for_first_tokens();

    let before = bloom.token_requests();
    trouble.begin(&mut server);
    let expected = if trouble.is_noticed() {
        count as u64
    } else {
        1
    };
    until(|| bloom.token_requests() >= before + expected);
    trouble.end(&mut server);
    let after = bloom.token_requests();
    until(|| bloom.token_requests() > after);

    let reports = fleet.end();
    let elapsed = start.elapsed();
    check(trouble, &reports, elapsed);
    let requests = bloom.token_requests();
    // Nothing is asked for that is not reported.
    let reported = sum(&reports, |report| report.token_requests);
    assert_eq!(reported, requests, "{trouble:?}");
    let errors = sum(&reports, |report| report.cache_errors);
    println!(
        "{trouble:?}: {count} processes, {requests} requests in {elapsed:.1?}, {errors} errors"
    );
}

fn check(trouble: Trouble, reports: &[Report], elapsed: Duration) {
    for report in reports {
        let case = format!("{trouble:?}: {report:?}");
        assert!(report.calls > 20, "{case}");
        assert_eq!(report.failed, 0, "{case}");
        assert_eq!(report.waited, 0, "{case}");
        // At worst a process asks as it would without the others.
        let most = 1 + elapsed.as_millis() / (LIFETIME.as_millis() * 6 / 10);
        assert!(u128::from(report.token_requests) <= most, "{case}");
    }
    let errors = sum(reports, |report| report.cache_errors);
    assert!(errors > 0 || !trouble.is_noticed(), "{trouble:?}");
}

#[expect(
    clippy::disallowed_methods,
    reason = "the bound is on requests in the time that really passes"
)]
fn now() -> Instant {
    Instant::now()
}
