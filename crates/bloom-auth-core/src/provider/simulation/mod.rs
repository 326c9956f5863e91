//! Fleets in virtual time: what many clients do to one server, and what their
//! callers notice of its trouble.
//!
//! The largest fleets play the engine's pure parts alone: what is decided, when a
//! token is due, what an answer is worth, and how long to wait after a failure.
//! Smaller ones are whole engines on a paused clock, with a cache that they
//! share; that the two ask equally often is a test too.

mod bounds;
mod engines;
mod figures;
mod fleet;
mod random;
mod server;
mod shared;
mod sharing;
mod storm;
mod trouble;
mod world;

use super::timing::share;

const SECOND: u64 = 1_000_000_000;

use self::{
    figures::{Figure, judge, with_seeds},
    server::{Server, Trouble},
    world::{Rules, Sent, World},
};

/// The most requests in any span of so many seconds, of those that were sent
/// from one second on and before another.
fn peak(log: &[Sent], span: u64, seconds: std::ops::Range<u64>) -> usize {
    let sent: Vec<u64> = log
        .iter()
        .map(|sent| sent.at)
        .filter(|at| (seconds.start * SECOND..seconds.end * SECOND).contains(at))
        .collect();
    assert!(sent.is_sorted(), "the log is in order");
    let mut first = 0;
    let mut most = 0;
    for (i, at) in sent.iter().enumerate() {
        while sent[first] + span * SECOND <= *at {
            first += 1;
        }
        most = most.max(i + 1 - first);
    }
    most
}

/// How many requests were sent from one second on and before another.
fn sent(log: &[Sent], seconds: std::ops::Range<u64>) -> usize {
    let seconds = seconds.start * SECOND..seconds.end * SECOND;
    log.iter().filter(|sent| seconds.contains(&sent.at)).count()
}

/// The requests of each client.
fn by_client(log: &[Sent]) -> Vec<Vec<Sent>> {
    let mut clients = Vec::new();
    for sent in log {
        if clients.len() <= sent.client {
            clients.resize(sent.client + 1, Vec::new());
        }
        clients[sent.client].push(*sent);
    }
    clients
}

/// Nobody's requests overlap; a fetch has three attempts, and a single one
/// after a fetch that failed, until one succeeds.
fn check_attempts(log: &[Sent]) {
    for requests in by_client(log) {
        let mut is_failing = false;
        for pair in requests.windows(2) {
            let [one, next] = pair else { continue };
            assert!(one.ended_at <= next.at, "two at a time: {pair:?}");
            let most = if is_failing { 1 } else { 3 };
            assert!(one.attempt <= most, "too many attempts: {one:?}");
            if one.fetch == next.fetch {
                assert!(!one.got_token, "one too many: {pair:?}");
                assert_eq!(one.attempt + 1, next.attempt, "{pair:?}");
            } else {
                assert_eq!(next.attempt, 1, "{pair:?}");
                is_failing = !one.got_token;
            }
        }
    }
}

#[test]
fn callers_who_are_not_played_change_nothing() {
    for trouble in [
        Trouble::Refuses,
        Trouble::Silent,
        Trouble::BrownOut(70),
        Trouble::TooMany(20),
    ] {
        let run = |plays_everyone| {
            let server = Server::new(300).with(200..1500, trouble);
            let mut world = World::new(1, server);
            world.plays_everyone = plays_everyone;
            world.start(20, SECOND / 3);
            world.run_until(2000);
            world
        };
        let (one, other) = (run(true), run(false));
        assert!(one.log.len() > 100);
        assert_eq!(one.log, other.log);
        // Those who are not played are counted ahead, up to a refresh.
        let (played, counted) = (one.gets, other.gets);
        assert_eq!(played.waited, counted.waited);
        assert_eq!(played.failed, counted.failed);
        assert_eq!(played.last_failed_at, counted.last_failed_at);
        assert!(counted.at_once >= played.at_once);
        assert!(counted.at_once < played.at_once + 20 * 3 * 300);
    }
}
