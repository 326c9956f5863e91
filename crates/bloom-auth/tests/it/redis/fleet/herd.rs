//! A cold start of all at the same moment.

use std::time::Duration;

use bloom_auth_core::test_util::is_long;

use super::{Bloom, Fleet, get_a_token, role, sum, tokens};
use crate::redis::server::{Kind, Server, kinds};

const TEST: &str = "redis::fleet::herd::f2_a_fleet_that_starts_at_once_makes_one_request";
const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn f2_a_fleet_that_starts_at_once_makes_one_request() {
    if role().is_some() {
        return get_a_token();
    }
    let count = if is_long() { 200 } else { 60 };
    for kind in kinds(TEST) {
        // At times the request is over before the last one asks, and at times
        // all the others have to wait.
        for latency in [0, 300] {
            // On a machine that is busy with other things, some give up on the
            // server after a second, as they should, and ask by themselves. That
            // is another matter, and has to end.
            let is_exact = (0..5).any(|_| start(kind, count, Duration::from_millis(latency)));
            assert!(is_exact, "none of them has found the server in time");
        }
    }
}

/// Whether all have found the server in time.
fn start(kind: Kind, count: usize, latency: Duration) -> bool {
    let server = Server::start(kind, &[]);
    let bloom = Bloom::start(HOUR, latency);
    let mut fleet = Fleet::start(count, TEST, &bloom, &server);
    assert_eq!(bloom.token_requests(), 0);
    fleet.go();
    let reports = fleet.end();
    assert_eq!(reports.len(), count);
    assert_eq!(sum(&reports, |report| report.failed), 0);
    let errors = sum(&reports, |report| report.cache_errors);
    let requests = bloom.token_requests();
    assert_eq!(sum(&reports, |report| report.token_requests), requests);
    if errors > 0 {
        assert!(requests <= 1 + errors, "{requests}, {errors} errors");
        return false;
    }
    assert_eq!(requests, 1, "{kind:?}, {latency:?}");
    assert_eq!(tokens(&reports).len(), 1);
    true
}
