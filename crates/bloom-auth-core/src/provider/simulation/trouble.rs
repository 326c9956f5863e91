//! A fleet and a server in trouble: what the server has to bear meanwhile, and
//! how it all ends.

use super::{
    SECOND, Sent, Server, Trouble, World, by_client, check_attempts, peak, sent, with_seeds,
};

/// The longest time from one fetch that failed to the next, and the shortest one
/// once it has grown that long: the backoff and its jitter.
const BACKOFF: u64 = 60;
const LEAST_BACKOFF: u64 = 30;

/// After so many fetches that failed in a row the backoff has grown.
const GROWN_AFTER: u64 = 6;

const HOUR: u64 = 3600;

/// For each client its fetches that failed in a row after this second, as
/// their last requests.
fn failed_since(second: u64, log: &[Sent]) -> Vec<Vec<Sent>> {
    let mut clients = by_client(log);
    for requests in &mut clients {
        let mut fetches: Vec<Sent> = Vec::new();
        for sent in requests.drain(..).filter(|sent| sent.at >= second * SECOND) {
            fetches.pop_if(|last| last.fetch == sent.fetch);
            fetches.push(sent);
        }
        fetches.retain(|fetch| !fetch.got_token);
        *requests = fetches;
    }
    clients
}

/// An outage of an hour, for processes that had tokens when it began or that
/// started in the middle of it.
fn outage(seed: u64, trouble: Trouble, starts_at: u64) {
    const CLIENTS: usize = 1000;
    let (begin, end) = (300, 300 + HOUR);
    let mut world = World::new(seed, Server::new(600).with(begin..end, trouble));
    world.run_until(starts_at);
    world.start(CLIENTS, SECOND);
    world.run_until(end);
    assert_eq!(world.without_token(), CLIENTS);

    // Each process: three attempts, then single ones, ever further apart. The
    // one exception is the last try before a token's end.
    let exceptions = usize::from(starts_at < begin);
    for fetches in failed_since(begin, &world.log) {
        let is_short = |pair: &&[Sent]| pair[1].at - pair[0].at < LEAST_BACKOFF * SECOND;
        let grown = &fetches[usize::try_from(GROWN_AFTER).unwrap() - 1..];
        let short = grown.windows(2).filter(is_short).count();
        assert!(short <= exceptions, "{short} too soon: {fetches:?}");
        // So this bound holds for the whole of it, from its first request on.
        let most = GROWN_AFTER + HOUR / LEAST_BACKOFF + exceptions as u64;
        assert!(fetches.len() as u64 <= most, "{}", fetches.len());
    }
    check_attempts(&world.log);

    // All together: at most one request in 30 s from each, and in fact about
    // one in 45 s, or less often if the server takes its time to fail.
    let half_hour = end - HOUR / 2..end;
    let during = sent(&world.log, half_hour);
    let most = CLIENTS * 1800 / 40;
    assert!(during <= most, "{during} requests");

    // It ends without a spike: nowhere are there more than twice the requests
    // that there would be if they were spread evenly. (In a span of three
    // seconds, for in shorter ones chance alone makes such a difference.)
    world.run_until(end + 2 * BACKOFF);
    let spike = peak(&world.log, 3, end..end + 2 * BACKOFF);
    assert!(spike <= 2 * 3 * CLIENTS / 45, "{spike} in three seconds");
    // Everybody is well again after one backoff; the request that was under
    // way at the end may have failed up to 10 s later, and the next caller
    // comes within a second.
    let healed_by = end + 10 + BACKOFF + 1;
    assert_eq!(world.without_token(), 0);
    assert!(world.gets.last_failed_at <= healed_by * SECOND);
    let after = sent(&world.log, end..end + 2 * BACKOFF);
    assert_eq!(after, CLIENTS, "each needs one request");
}

#[test]
fn f3_an_outage_of_an_hour_costs_few_requests_and_ends_without_a_spike() {
    with_seeds(|seed| {
        for trouble in [Trouble::Refuses, Trouble::Unavailable] {
            outage(seed, trouble, 0);
        }
    });
}

#[test]
fn f3_processes_that_start_together_in_an_outage_do_not_stay_together() {
    with_seeds(|seed| {
        for trouble in [Trouble::Refuses, Trouble::Silent] {
            outage(seed, trouble, 400);
        }
    });
}

#[test]
fn f4_attempts_do_not_multiply() {
    with_seeds(|seed| {
        for percent in [50, 90, 100] {
            let server = Server::new(300).with(0..10 * HOUR, Trouble::BrownOut(percent));
            let mut world = World::new(seed, server);
            world.start(100, SECOND);
            world.run_until(2 * HOUR);
            check_attempts(&world.log);
            let attempts = world.log.iter().map(|sent| sent.attempt);
            assert_eq!(attempts.max(), Some(3));
            // Of a fetch that has three, each one before failed.
            let first = world.log.iter().filter(|sent| sent.attempt == 1).count();
            assert!(first > 3000, "{first} fetches");
        }
    });
}

#[test]
fn f5_a_server_that_fails_every_fifth_request_is_hardly_noticed() {
    with_seeds(|seed| {
        for lifetime in [60, 600] {
            let server = Server::new(lifetime).with(0..10 * HOUR, Trouble::BrownOut(20));
            let mut world = World::new(seed, server);
            world.start(1000, SECOND);
            world.run_until(20 * lifetime);
            // Those who could not have a token that they needed at once.
            let (gets, requests) = (world.gets, world.log.len());
            assert!(gets.failed * 1000 <= gets.all(), "{gets:?}");
            // A fetch is a little less than 1 + 1/5 + 1/25 requests.
            let fetches = world.log.iter().filter(|sent| sent.attempt == 1).count();
            assert!(requests * 100 <= fetches * 125, "{requests} for {fetches}");
            // A token is 1.25 requests on average, which is the least for
            // anyone who goes on until there is one.
            let tokens = world.log.iter().filter(|sent| sent.got_token).count();
            assert!(tokens > 20_000);
            assert!(requests * 100 <= tokens * 127, "{requests} for {tokens}");
            check_attempts(&world.log);
        }
    });
}

#[test]
fn f7_each_process_obeys_retry_after() {
    const PROCESSES: usize = 200;
    with_seeds(|seed| {
        for (asked, obeyed) in [
            (1, 1),
            (30, 30),
            (90, 90),
            (300, 300),
            // The longest that is believed.
            (3600, 300),
        ] {
            let server = Server::new(600).with(300..6 * HOUR, Trouble::TooMany(asked));
            let mut world = World::new(seed, server);
            // Some have tokens when it begins, some start then.
            world.start(PROCESSES / 2, SECOND);
            world.run_until(300);
            world.start(PROCESSES / 2, SECOND);
            world.run_until(HOUR);
            let storm = &world.log[PROCESSES / 2..];
            for requests in by_client(storm) {
                for pair in requests.windows(2) {
                    let wait = pair[1].at - pair[0].ended_at;
                    assert!(wait >= obeyed * SECOND, "{asked}: {pair:?}");
                }
                assert!(requests.iter().all(|sent| sent.attempt == 1));
            }
            let most = peak(storm, obeyed, 300..HOUR);
            assert!(most <= PROCESSES, "{most} in {obeyed} s");
            assert!(storm.len() > 8 * PROCESSES);
        }
    });
}

#[test]
fn f7_a_quota_that_is_shared_by_many_processes_serves_them_one_after_the_other() {
    const PROCESSES: usize = 200;
    const QUOTA: usize = 20;
    with_seeds(|seed| {
        let server = Server::new(HOUR).with(0..10 * HOUR, Trouble::Quota(QUOTA));
        let mut world = World::new(seed, server);
        world.start(PROCESSES, SECOND);
        let minutes = (PROCESSES / QUOTA) as u64;
        for minute in 0..minutes {
            world.run_until(60 * (minute + 1));
            let requests = sent(&world.log, 60 * minute..60 * (minute + 1));
            let left = PROCESSES - QUOTA * usize::try_from(minute).unwrap();
            // Each of those without a token asks once.
            assert!(requests <= left, "{requests} in minute {minute}");
        }
        assert_eq!(world.without_token(), 0);
    });
}

#[test]
fn f8_after_a_failure_one_request_probes() {
    with_seeds(|seed| {
        for trouble in [Trouble::Refuses, Trouble::Silent] {
            let server = Server::new(HOUR).with(0..600, trouble);
            let mut world = World::new(seed, server);
            // A thousand callers in each second.
            world.start(1, SECOND / 1000);
            world.run_until(700);
            let fetches = failed_since(0, &world.log);
            assert!(fetches[0].len() > 10);
            let mut backoff = 1;
            for pair in fetches[0].windows(2) {
                assert_eq!(pair[1].attempt, 1);
                let wait = pair[1].at - pair[0].at;
                assert!(wait >= backoff * SECOND, "{pair:?}");
                backoff = (2 * backoff).min(LEAST_BACKOFF);
            }
            // Once a probe succeeds, everyone is served.
            let last = world.log.last().unwrap();
            assert!(last.got_token && last.attempt == 1);
            assert!(world.gets.last_failed_at < last.at);
            assert_eq!(world.without_token(), 0);
            check_attempts(&world.log);
        }
    });
}
