//! What a fleet of ten thousand is held to, in good times and in a brown-out,
//! and one of a thousand in an outage: of ten thousand with every tenth seed of
//! the long form.
//!
//! Each scenario measures what it is judged by; each bound is broken once, by an
//! engine with a rule less, to see that this would be noticed.

use super::{
    Figure, Rules, SECOND, Server, Trouble, World, by_client, check_attempts,
    figures::{check_notices, clients},
    judge, peak, sent,
};

const CLIENTS: usize = 10_000;
const MINUTE: u64 = 60;
const HOUR: u64 = 3600;

/// A token lives for a day at Bloom.
const DAY: u64 = 86_400;

/// How far from the right time a clock may be, in seconds, where they differ.
const WRONG_CLOCKS: u64 = 5 * MINUTE;

fn ratio(one: usize, other: usize) -> f64 {
    one as f64 / other as f64
}

/// The share of all in 100.
fn percent(share: f64) -> f64 {
    100.0 * share
}

pub(super) fn world(seed: u64, server: Server, rules: Rules) -> World {
    let mut world = World::new(seed, server);
    world.rules = rules;
    world.wrong_clocks = WRONG_CLOCKS;
    world
}

/// The peak of the requests in a second of this time, divided by their mean.
fn peak_to_mean(world: &World, seconds: std::ops::Range<u64>) -> f64 {
    let mean = sent(&world.log, seconds.clone()) as f64 / (seconds.end - seconds.start) as f64;
    peak(&world.log, 1, seconds) as f64 / mean
}

/// Tokens that were issued in the same second become due.
fn same_second(seed: u64, rules: Rules) -> Vec<Figure> {
    let mut world = world(seed, Server::new(DAY), rules);
    world.start(CLIENTS, SECOND);
    world.run_until(DAY);
    // From the first moment of the jitter to its last.
    let window = DAY - 600..DAY - 300;
    let peak = peak_to_mean(&world, window.clone());
    let others = sent(&world.log, 2..window.start) + sent(&world.log, window.end + 3..DAY);
    vec![
        Figure::at_most(
            2.0,
            "peak ÷ mean of the requests in the refresh window",
            peak,
        ),
        Figure::at_most(0.0, "requests outside of it", others as f64),
        Figure::at_least(100.0, "% of calls served", served(&world)),
    ]
}

fn served(world: &World) -> f64 {
    let gets = world.gets;
    percent((gets.at_once + gets.waited) as f64 / gets.all() as f64)
}

/// A server in good health, for ten lifetimes of a token.
fn steady(seed: u64, lifetime: u64, margin: u64) -> Vec<Figure> {
    let mut world = world(seed, Server::new(lifetime), Rules::default());
    world.settings.margin = std::time::Duration::from_secs(margin);
    world.start(CLIENTS, SECOND);
    world.run_until(10 * lifetime);
    // What it costs to replace each token at the last moment before the margin.
    // Everyone needs a first one, which nothing would make fewer.
    let least = CLIENTS as f64 * (10 * lifetime) as f64 / (lifetime - 300) as f64;
    let refreshes = world.log.len() - CLIENTS;
    let tokens = world.log.iter().filter(|sent| sent.got_token).count();
    vec![
        Figure::at_most(1.1, "requests ÷ the least needed", refreshes as f64 / least),
        Figure::at_most(1.0, "requests ÷ tokens", {
            // Those of the last half second are not answered yet.
            let landed = world.log.iter().filter(|sent| sent.ended_at < world.now);
            ratio(landed.count(), tokens)
        }),
        Figure::at_least(100.0, "% of calls served", served(&world)),
    ]
}

/// Some of a hundred requests are answered with 503, for five lifetimes of an
/// hour, beside the same fleet without.
fn brown_out(seed: u64, clients: usize, percent: u64, rules: Rules) -> Vec<Figure> {
    let play = |trouble: Option<Trouble>, rules| {
        let server = Server::new(HOUR);
        let server = match trouble {
            Some(trouble) => server.with(0..u64::MAX / SECOND, trouble),
            None => server,
        };
        let mut world = world(seed, server, rules);
        world.start(clients, SECOND);
        world.run_until(5 * HOUR);
        world
    };
    let good = play(None, Rules::default());
    let bad = play(Some(Trouble::BrownOut(percent)), rules);
    vec![
        Figure::at_most(
            1.35,
            "requests ÷ those of the same seed without faults",
            ratio(bad.log.len(), good.log.len()),
        ),
        Figure::at_least(99.9, "% of calls served", served(&bad)),
    ]
}

/// An hour without the server, and how it ends.
fn outage(seed: u64, clients: usize, trouble: Trouble, rules: Rules) -> Vec<Figure> {
    let (begin, end) = (300, 300 + HOUR);
    let mut world = world(seed, Server::new(600).with(begin..end, trouble), rules);
    world.start(clients, SECOND);
    world.run_until(end);
    assert_eq!(world.without_token(), clients);
    let mut figures = vec![busiest(&world, begin + 3 * MINUTE..end)];
    figures.extend(recovery(&mut world, end, end, MINUTE, 2.0));
    if rules.sends == 1 && rules.backoff {
        check_attempts(&world.log);
    }
    figures
}

/// How often the busiest process asks.
pub(super) fn busiest(world: &World, seconds: std::ops::Range<u64>) -> Figure {
    let clients = by_client(&world.log);
    let most = clients.iter().map(|log| sent(log, seconds.clone())).max();
    let periods = (seconds.end - seconds.start) as f64 / 30.0;
    Figure::at_most(
        1.0,
        "requests in 30 s of the busiest process, from minute three on",
        most.unwrap_or(0) as f64 / periods,
    )
}

/// How a fleet heals in this time after everyone may ask again: quickly, and not
/// all at once.
pub(super) fn recovery(
    world: &mut World,
    end: u64,
    allowed: u64,
    time: u64,
    most: f64,
) -> Vec<Figure> {
    let clients = by_client(&world.log).len();
    world.run_until(allowed + time);
    let healed = ratio(clients - world.without_token(), clients);
    // In so many seconds that chance alone makes no great difference.
    let span = (CLIENTS / clients).max(1) as u64;
    let requests = sent(&world.log, end..allowed + time);
    let spike = peak(&world.log, span, end..allowed + time) as f64 / span as f64;
    let even = clients as f64 / time as f64;
    vec![
        Figure::at_least(99.0, "% healed within 60 s", percent(healed)),
        Figure::at_most(
            most,
            "peak of a second within these ÷ an even spread",
            spike / even,
        ),
        Figure::at_most(
            1.1,
            "requests within these ÷ processes",
            ratio(requests, clients),
        ),
    ]
}

#[test]
fn f1_f10_tokens_of_one_second_are_refreshed_evenly() {
    judge("issued in the same second", 2, |seed| {
        same_second(seed, Rules::default())
    });
}

#[test]
fn f1_without_jitter_there_would_be_a_peak() {
    let rules = Rules {
        jitter: false,
        ..Rules::default()
    };
    let figures = same_second(1, rules);
    check_notices(
        "peak ÷ mean of the requests in the refresh window",
        &figures,
    );
}

#[test]
fn f4_in_good_times_hardly_a_request_is_too_many() {
    judge("steady, tokens of a day", 1, |seed| steady(seed, DAY, 300));
    judge("steady, tokens of an hour", 1, |seed| {
        steady(seed, HOUR, 300)
    });
}

#[test]
fn f4_a_margin_that_is_too_wide_would_be_noticed() {
    let figures = steady(1, HOUR, 900);
    check_notices("requests ÷ the least needed", &figures);
}

#[test]
fn f5_a_brown_out_costs_few_requests_and_hardly_a_call() {
    judge("brown-out of 20 %", 1, |seed| {
        brown_out(seed, CLIENTS, 20, Rules::default())
    });
}

#[test]
fn f4_f5_retries_of_a_layer_below_would_be_noticed() {
    let rules = Rules {
        sends: 2,
        ..Rules::default()
    };
    // Two layers, each of which tries again.
    let figures = brown_out(1, 500, 40, rules);
    check_notices("requests ÷ those of the same seed without faults", &figures);
    let figures = brown_out(1, 500, 95, Rules::default());
    check_notices("% of calls served", &figures);
}

#[test]
fn f3_an_outage_of_an_hour_is_borne_and_healed() {
    for (name, trouble) in [
        ("outage, no connection", Trouble::Refuses),
        ("outage, 503", Trouble::Unavailable),
        ("outage, no answer", Trouble::Silent),
    ] {
        judge(name, 1, |seed| {
            outage(seed, clients(seed), trouble, Rules::default())
        });
    }
}

#[test]
fn f3_an_engine_without_backoff_or_jitter_would_be_noticed() {
    let play = |clients, rules| outage(1, clients, Trouble::Refuses, rules);
    let figures = play(
        100,
        Rules {
            backoff: false,
            ..Rules::default()
        },
    );
    check_notices(
        "requests in 30 s of the busiest process, from minute three on",
        &figures,
    );
    let figures = play(
        1000,
        Rules {
            jitter: false,
            ..Rules::default()
        },
    );
    check_notices("peak of a second within these ÷ an even spread", &figures);
}
