//! Tokens that expire, one after the other.

use std::time::{Duration, Instant};

use bloom_auth_core::test_util::is_long;

use super::{Bloom, Fleet, live_on, role, sum, tokens};
use crate::redis::server::{Kind, Server, any, until};

const TEST: &str = "redis::fleet::lifetimes::f1_f2_a_fleet_makes_one_request_for_each_lifetime";

#[test]
fn f1_f2_a_fleet_makes_one_request_for_each_lifetime() {
    if let Some(stop) = role() {
        return live_on(&stop);
    }
    let Some(kind) = any(TEST) else { return };
    // (processes, seconds of a lifetime, token requests after the first)
    let (count, lifetime, requests) = if is_long() { (200, 10, 8) } else { (24, 4, 2) };
    // As with the herd: some may give up on the server, if the machine is busy.
    let lifetime = Duration::from_secs(lifetime);
    let is_exact = (0..3).any(|_| live(kind, count, lifetime, requests));
    assert!(is_exact, "none of them has found the server in time");
}

/// Whether all have always found the server in time.
fn live(kind: Kind, count: usize, lifetime: Duration, requests: u64) -> bool {
    let server = Server::start(kind, &[]);
    let bloom = Bloom::start(lifetime, Duration::ZERO);
    let mut fleet = Fleet::start(count, TEST, &bloom, &server);
    let start = now();
    fleet.go();
    for before in 0..=requests {
        until(|| bloom.token_requests() > before);
    }
    let reports = fleet.end();
    let elapsed = start.elapsed();

    assert_eq!(sum(&reports, |report| report.failed), 0);
    assert_eq!(sum(&reports, |report| report.waited), 0);
    let made = bloom.token_requests();
    assert_eq!(sum(&reports, |report| report.token_requests), made);
    let errors = sum(&reports, |report| report.cache_errors);
    // Who asks gets a token, and holds it.
    let tokens = tokens(&reports);
    assert_eq!(tokens.len() as u64, made);
    // No token is due before three fifths of its life: whatever is asked for
    // earlier is asked for twice. All their lives are counted from when they
    // were asked for.
    let earliest = lifetime.as_millis() * 6 / 10;
    let rounding = 2;
    let twice = (tokens.windows(2))
        .filter(|pair| pair[1] - pair[0] + rounding < earliest)
        .count() as u64;
    println!("{count} processes: {made} token requests in {elapsed:.1?}, {errors} errors");
    if errors > 0 {
        assert!(twice <= errors, "{twice}, {errors} errors: {tokens:?}");
        return false;
    }
    assert_eq!(twice, 0, "{tokens:?}");
    let most = 1 + elapsed.as_millis() / earliest;
    assert!(u128::from(made) <= most, "{made} in {elapsed:?}");
    true
}

#[expect(
    clippy::disallowed_methods,
    reason = "the bound is on requests in the time that really passes"
)]
fn now() -> Instant {
    Instant::now()
}
