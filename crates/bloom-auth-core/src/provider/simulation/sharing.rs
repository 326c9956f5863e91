//! What a fleet of whole engines is held to: with clocks that differ by minutes,
//! and with a shared cache that comes and goes.

use super::{
    Figure, SECOND, Server, Trouble, World, by_client,
    engines::{Engines, Outcome},
    figures::check_notices,
    judge, peak, sent,
    shared::SharedCache,
};

const PROCESSES: usize = 60;
const HOUR: u64 = 3600;

fn engines(seed: u64) -> Engines {
    Engines {
        seed,
        processes: PROCESSES,
        period: 60,
        wrong_clocks: 0,
        sends: 1,
    }
}

fn requests(outcome: &Outcome, than: &Outcome) -> f64 {
    outcome.log.len() as f64 / than.log.len() as f64
}

/// How many of a hundred calls are served, and how many may get a token that the
/// API refuses.
fn calls(outcome: &Outcome, served: f64, dead: f64) -> [Figure; 2] {
    let all = (outcome.served + outcome.failed + outcome.dead) as f64;
    let percent = |calls: u64| 100.0 * calls as f64 / all;
    [
        Figure::at_least(served, "% of calls served", percent(outcome.served)),
        Figure::at_most(
            dead,
            "% of calls that got a dead token",
            percent(outcome.dead),
        ),
    ]
}

/// Clocks that are wrong by up to so many seconds, among processes that share a
/// cache, for some hours.
///
/// A record tells its age by the clock of whoever stored it. As long as clocks
/// are no further apart than the margin, which is five minutes here, whoever
/// believes it too long still replaces it in time. Beyond that nobody could tell:
/// some tokens are served when they are over, and dropped when the API says so.
fn clocks(seed: u64, lifetime: u64, wrong_clocks: u64) -> Vec<Figure> {
    let fleet = engines(seed);
    let play = |fleet: &Engines, cache: fn() -> Option<SharedCache>| {
        fleet.play(Server::new(lifetime), cache, 8 * HOUR)
    };
    let right = play(&fleet, || Some(SharedCache::new()));
    let alone = play(&fleet, || None);
    let wrong = Engines {
        wrong_clocks,
        ..fleet
    };
    let wrong = play(&wrong, || Some(SharedCache::new()));
    // Those that differ by more than five minutes do not believe each other's
    // new records, so they ask for themselves. No promise covers clocks that are
    // so wrong; in a thousand fleets, the worst served 98.99 %.
    let is_within_margin = 2 * wrong_clocks <= 300;
    let (served, dead, most) = if is_within_margin {
        (99.9, 0.0, 1.35)
    } else {
        (98.5, 1.5, 30.0)
    };
    let mut figures = calls(&wrong, served, dead).to_vec();
    figures.push(Figure::at_most(
        most,
        "requests ÷ those with right clocks",
        requests(&wrong, &right),
    ));
    figures.push(Figure::at_most(
        0.5,
        "requests ÷ those without a cache",
        requests(&wrong, &alone),
    ));
    figures
}

/// A cache that comes and goes, for two hours with tokens of ten minutes, beside
/// the same fleet without a cache.
fn comes_and_goes(seed: u64, sends: usize, trouble: Option<Trouble>) -> Vec<Figure> {
    let until = 2 * HOUR;
    let fleet = Engines {
        period: 20,
        ..engines(seed)
    };
    let server = || Server::new(600);
    let alone = fleet.play(server(), || None, until);
    let troubled = match trouble {
        Some(trouble) => server().with(600..until, trouble),
        None => server(),
    };
    let fleet = Engines { sends, ..fleet };
    let cache = || Some(SharedCache::that_comes_and_goes(seed, until));
    let shared = fleet.play(troubled, cache, until);
    let mut figures = calls(&shared, 99.9, 0.0).to_vec();
    figures.push(Figure::at_most(
        1.1,
        "requests ÷ those without a cache",
        requests(&shared, &alone),
    ));
    // When all have lost the cache at once, and later.
    figures.push(Figure::at_most(
        20.0,
        "peak of a second, in % of the processes",
        100.0 * peak(&shared.log, 1, 60..until) as f64 / PROCESSES as f64,
    ));
    figures
}

#[test]
fn t6_clocks_that_differ_by_minutes_cost_few_requests_and_no_call() {
    for (name, wrong) in [("clocks ± 2 min", 120), ("clocks ± 10 min", 600)] {
        judge(name, 1, |seed| clocks(seed, HOUR, wrong));
    }
}

#[test]
fn t6_a_dead_token_would_be_noticed() {
    // These live too short for a margin as wide as the clocks are apart.
    let figures = clocks(1, 600, 150);
    check_notices("% of calls that got a dead token", &figures);
}

#[test]
fn r1_r2_a_shared_cache_that_comes_and_goes_is_hardly_noticed() {
    judge("a cache that comes and goes", 2, |seed| {
        comes_and_goes(seed, 1, None)
    });
    judge("the same in a brown-out of 20 %", 1, |seed| {
        comes_and_goes(seed, 1, Some(Trouble::BrownOut(20)))
    });
}

#[test]
fn r1_r2_retries_below_and_calls_that_fail_would_be_noticed() {
    let figures = comes_and_goes(1, 3, None);
    check_notices("requests ÷ those without a cache", &figures);
    let figures = comes_and_goes(1, 1, Some(Trouble::Refuses));
    check_notices("% of calls served", &figures);
}

#[test]
fn f2_a_shared_cache_saves_nearly_all_requests() {
    let fleet = engines(1);
    let play = |cache: fn() -> Option<SharedCache>| fleet.play(Server::new(600), cache, 2 * HOUR);
    let (shared, alone) = (play(|| Some(SharedCache::new())), play(|| None));
    assert!(alone.log.len() >= 12 * PROCESSES, "{}", alone.log.len());
    assert!(shared.log.len() <= 25, "{}", shared.log.len());
    // The same again is the same.
    assert_eq!(play(|| None).log, alone.log);
    assert_eq!(play(|| Some(SharedCache::new())).log, shared.log);
}

#[test]
fn whole_engines_ask_as_often_as_their_decisions_alone() {
    for trouble in [Trouble::Refuses, Trouble::Silent, Trouble::BrownOut(50)] {
        let (begin, end) = (300, 300 + HOUR);
        let server = || Server::new(600).with(begin..end, trouble);
        let fleet = Engines {
            period: 2,
            processes: 20,
            ..engines(1)
        };
        let whole = fleet.play(server(), || None, end);
        let mut world = World::new(1, server());
        world.start(20, 2 * SECOND);
        world.run_until(end);
        let (one, other) = (whole.log.len() as f64, world.log.len() as f64);
        assert!(
            (one / other - 1.0).abs() < 0.15,
            "{trouble:?}: {one} {other}"
        );
        let busiest = |log: &[_]| {
            let clients = by_client(log).into_iter();
            clients.map(|log| sent(&log, begin..end)).max().unwrap() as f64
        };
        let (one, other) = (busiest(&whole.log), busiest(&world.log));
        assert!(
            (one / other - 1.0).abs() < 0.25,
            "{trouble:?}: {one} {other}"
        );
    }
}
