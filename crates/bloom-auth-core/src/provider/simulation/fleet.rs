//! A fleet in good times: when it asks, and that nobody notices.

use super::{SECOND, Server, Trouble, World, check_attempts, peak, sent, with_seeds};

const CLIENTS: usize = 10_000;

#[test]
fn f1_tokens_of_one_second_are_not_refreshed_in_one_second() {
    with_seeds(|seed| {
        for lifetime in [60, 3600, 86_400] {
            let mut world = World::new(seed, Server::new(lifetime));
            world.start(CLIENTS, SECOND);
            // The jitter moves a refresh within this time before its last
            // moment; the first tokens are a second and a half old then.
            let window = 300.min(lifetime / 5);
            world.run_until(lifetime - window + 3);
            let refreshes = sent(&world.log, 3..lifetime);
            assert_eq!(refreshes, CLIENTS, "each is refreshed once");
            let mean = CLIENTS as u64 / window;
            let limit = usize::try_from(2 * mean).unwrap();
            let first = peak(&world.log, 1, 3..lifetime);
            assert!(first <= limit, "{first} in one second of {lifetime}");
            // Nor later, when the tokens are no longer of one second.
            world.run_until(2 * lifetime);
            let later = peak(&world.log, 1, 3..2 * lifetime);
            assert!(later <= limit, "{later} in one second of {lifetime}");
            // Only the first caller of each had to wait.
            assert_eq!(world.gets.failed, 0);
            assert_eq!(world.gets.waited, CLIENTS as u64);
            check_attempts(&world.log);
        }
    });
}

#[test]
fn f6_a_server_that_is_ten_times_slower_keeps_nobody_waiting() {
    with_seeds(|seed| {
        for lifetime in [60, 600, 3600] {
            let server = Server::new(lifetime).with(10..u64::MAX / SECOND, Trouble::Slow);
            let mut world = World::new(seed, server);
            world.start(1000, SECOND / 10);
            world.run_until(10);
            let (waited, sent) = (world.gets.waited, world.log.len());
            world.run_until(10 * lifetime);
            assert_eq!((world.gets.waited, world.gets.failed), (waited, 0));
            let slow = &world.log[sent..];
            assert!(slow.len() > 9000);
            let slowest = slow.iter().map(|sent| sent.ended_at - sent.at).max();
            assert!(slowest > Some(4 * SECOND), "{slowest:?}");
            // The old token was served until the new one came: each request
            // was answered, the last ones aside, and only once.
            let landed = slow.iter().filter(|sent| sent.ended_at < world.now);
            assert!(landed.into_iter().all(|sent| sent.got_token));
            check_attempts(&world.log);
        }
    });
}

#[test]
fn f10_a_fleet_that_nobody_asks_is_silent() {
    let day = 86_400;
    let mut world = World::new(1, Server::new(3600));
    world.start(1000, 2 * day * SECOND);
    world.run_until(2 * day - 1);
    assert_eq!(world.log.len(), 1000);
    // Its callers come back at the same time, and each costs one request.
    world.run_until(3 * day);
    assert_eq!(world.log.len(), 2000);
    assert_eq!(world.gets.waited, 2000);
}
