//! A storm of 429: half an hour in which every request of a fleet is refused, and
//! how it ends. Half of the fleet is started together in the middle of it.

use super::{
    Figure, Rules, SECOND, Server, Trouble, World,
    bounds::{busiest, recovery, world},
    by_client, check_attempts,
    figures::{check_notices, clients},
    judge,
};

const MINUTE: u64 = 60;

/// When it begins, when half of the fleet starts, and when it ends.
const BEGIN: u64 = 300;
const DEPLOYED: u64 = 600;
const END: u64 = 300 + 30 * MINUTE;

/// When those may ask again who were told so at this moment.
fn allowed_at(trouble: Trouble, told_at: u64) -> u64 {
    match trouble {
        Trouble::TooMany(wait) => told_at + wait * SECOND,
        _ => (told_at / (MINUTE * SECOND) + 1) * MINUTE * SECOND,
    }
}

fn storm(seed: u64, clients: usize, trouble: Trouble, rules: Rules) -> Vec<Figure> {
    let server = Server::new(600).with(BEGIN..END, trouble);
    let mut world = world(seed, server, rules);
    world.start(clients / 2, SECOND);
    world.run_until(DEPLOYED);
    world.start(clients / 2, SECOND);
    world.run_until(END);
    let too_early = by_client(&world.log)
        .iter()
        .flat_map(|requests| requests.windows(2))
        .filter(|pair| !pair[0].got_token && pair[0].at >= BEGIN * SECOND)
        .filter(|pair| pair[1].at < allowed_at(trouble, pair[0].ended_at))
        .count();
    let mut figures = vec![
        Figure::at_most(
            0.0,
            "requests before the time that was told",
            too_early as f64,
        ),
        busiest(&world, DEPLOYED + 3 * MINUTE..END),
    ];
    // Those who were told a long time at the last moment keep it. All who are
    // told the same moment come within half a minute after it, and most of them
    // early in it: without jitter all would come at once, which makes six.
    let (allowed, spike) = match trouble {
        Trouble::TooMany(wait) if wait >= MINUTE => (END + wait, 2.0),
        Trouble::TooMany(_) => (END, 2.0),
        _ => (END + MINUTE, 5.0),
    };
    figures.extend(recovery(&mut world, END, allowed, MINUTE, spike));
    check_attempts(&world.log);
    figures
}

#[test]
fn f7_a_storm_of_429_is_obeyed_and_ends_without_a_spike() {
    for (name, trouble) in [
        ("429, 5 s", Trouble::TooMany(5)),
        ("429, 30 s", Trouble::TooMany(30)),
        ("429, 2 min", Trouble::TooMany(120)),
        ("429, a date", Trouble::Window),
    ] {
        judge(name, 1, |seed| {
            storm(seed, clients(seed), trouble, Rules::default())
        });
    }
}

#[test]
fn f7_who_does_not_obey_or_comes_to_the_second_would_be_noticed() {
    let rules = Rules {
        retry_after: false,
        ..Rules::default()
    };
    let figures = storm(1, 1000, Trouble::TooMany(120), rules);
    check_notices("requests before the time that was told", &figures);
    let rules = Rules {
        jitter: false,
        ..Rules::default()
    };
    let figures = storm(1, 1000, Trouble::Window, rules);
    check_notices("peak of a second within these ÷ an even spread", &figures);
}

#[test]
fn t6_wrong_clocks_change_nothing_for_a_fleet_without_a_cache() {
    let play = |wrong_clocks| {
        let server = Server::new(600).with(BEGIN..END, Trouble::Window);
        let mut world = World::new(1, server);
        world.wrong_clocks = wrong_clocks;
        world.start(100, SECOND);
        world.run_until(END + 600);
        world.log
    };
    let log = play(0);
    assert!(log.len() > 2000);
    assert_eq!(play(10 * MINUTE), log);
}
