//! The faults that are set, and which one a request meets.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{Endpoint, Fault, FaultRule, Scenario, random::Random, rule::When};

/// What is set, in the order in which it is asked.
#[derive(Debug)]
pub(crate) struct Faults {
    draws: Random,
    set: Mutex<Set>,
}

#[derive(Debug, Default)]
struct Set {
    /// How many requests each endpoint has had.
    requests: [u64; 3],
    rules: Vec<Live>,
    scenario: Option<Running>,
}

/// A rule and what has become of it.
#[derive(Debug)]
struct Live {
    rule: FaultRule,
    seen: u64,
    played: u64,
}

/// A scenario and how far each endpoint is in it: the step, the requests that
/// the step has had, and of those the ones with a fault.
#[derive(Debug)]
struct Running {
    scenario: Scenario,
    places: [Place; 3],
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    step: usize,
    seen: u64,
}

/// A [`FaultRule`] that is set, and how often it was played.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct FaultStatus {
    /// The rule as it was set.
    pub rule: FaultRule,
    /// How many requests it has seen.
    pub seen: u64,
    /// At how many of them its fault was played.
    pub played: u64,
}

impl Faults {
    pub(crate) fn new(draws: Random) -> Self {
        Self {
            draws,
            set: Mutex::default(),
        }
    }

    pub(crate) fn add(&self, rule: FaultRule) {
        self.lock().rules.push(Live {
            rule,
            seen: 0,
            played: 0,
        });
    }

    /// Starts a scenario in the place of one that is under way.
    pub(crate) fn start(&self, scenario: Scenario) {
        self.lock().scenario = Some(Running {
            scenario,
            places: Default::default(),
        });
    }

    pub(crate) fn clear(&self) {
        let mut set = self.lock();
        set.rules.clear();
        set.scenario = None;
    }

    pub(crate) fn statuses(&self) -> Vec<FaultStatus> {
        let status = |live: &Live| FaultStatus {
            rule: live.rule,
            seen: live.seen,
            played: live.played,
        };
        self.lock().rules.iter().map(status).collect()
    }

    /// The fault that this request meets. The scenario is asked first, then the
    /// rules in their order.
    pub(crate) fn next(&self, endpoint: Endpoint) -> Option<Fault> {
        let mut set = self.lock();
        let set = &mut *set;
        let index = index(endpoint);
        let number = set.requests.get_mut(index).map_or(0, |requests| {
            *requests += 1;
            *requests
        });
        if let Some(running) = &mut set.scenario
            && let Some(step) = running.next(endpoint, &self.draws)
        {
            return step;
        }
        let live = set.rules.iter_mut();
        let mut live = live.filter(|live| live.rule.endpoint == endpoint);
        live.find_map(|live| live.plays(number, &self.draws).then_some(live.rule.fault))
    }

    fn lock(&self) -> MutexGuard<'_, Set> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn index(endpoint: Endpoint) -> usize {
    match endpoint {
        Endpoint::Token => 0,
        Endpoint::Api => 1,
        Endpoint::Connection => 2,
    }
}

impl Live {
    /// Whether the fault is played at this request, the so-manieth to its
    /// endpoint.
    fn plays(&mut self, number: u64, draws: &Random) -> bool {
        self.seen += 1;
        let plays = match self.rule.schedule.0 {
            When::Always => true,
            When::First(requests) => number <= requests,
            When::Next(requests) => self.played < requests,
            When::Every(requests) => self.seen.is_multiple_of(requests),
            When::Probability(probability) => draws.fraction() < probability,
        };
        self.played += u64::from(plays);
        plays
    }
}

impl Running {
    /// What the scenario has for this request, which may be no fault; `None` if
    /// it is over.
    fn next(&mut self, endpoint: Endpoint, draws: &Random) -> Option<Option<Fault>> {
        let place = self.places.get_mut(index(endpoint))?;
        let steps = self.scenario.steps(endpoint);
        let mut step = steps.get(place.step)?;
        if step.count.is_some_and(|count| place.seen >= count) {
            let next = place.step + 1;
            let again = self.scenario.repeats() && next >= steps.len();
            *place = Place {
                step: if again { 0 } else { next },
                seen: 0,
            };
            step = steps.get(place.step)?;
        }
        place.seen += 1;
        let plays = match step.pick {
            When::Every(requests) => place.seen.is_multiple_of(requests),
            When::Probability(probability) => draws.fraction() < probability,
            _ => true,
        };
        Some(step.fault.filter(|_| plays))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Seed;

    fn faults() -> Faults {
        Faults::new(Seed::from_number(7).random("faults"))
    }

    /// Which fault each of so many requests to the endpoint meets, by its first
    /// letters; a dash for none.
    fn meets(faults: &Faults, endpoint: Endpoint, requests: usize) -> String {
        let played = (0..requests).map(|_| match faults.next(endpoint) {
            Some(fault) => fault.name().chars().next().unwrap(),
            None => '-',
        });
        played.collect()
    }

    fn check(rules: &[&str], expected: &str) {
        let faults = faults();
        for rule in rules {
            faults.add(rule.parse().unwrap());
        }
        let played = meets(&faults, Endpoint::Token, expected.len());
        assert_eq!(played, expected, "{rules:?}");
        assert_eq!(meets(&faults, Endpoint::Api, 3), "---");
    }

    #[test]
    fn each_schedule_has_its_requests() {
        check(&[], "----");
        check(&["reset:always"], "rrrr");
        check(&["reset:first=2"], "rr--");
        check(&["reset:next=2"], "rr--");
        check(&["reset:every=3"], "--r--r--r");
        check(&["reset:every=1"], "rrr");
        check(&["reset:probability=0"], "--------");
        check(&["reset:probability=1"], "rrrrrrrr");
        // By the seed of this test.
        check(&["reset:probability=0.5"], "-rr-rrrr");
    }

    #[test]
    fn rules_are_asked_in_their_order() {
        check(&["reset:next=2", "close:next=1", "no-answer"], "rrcnn");
        check(&["reset:every=2", "close:every=2"], "-rcr-rcr");
        check(&["reset:first=2", "close:first=3"], "rrc-");
        check(&["reset@api:next=1", "close@token:next=1"][1..], "c-");
    }

    #[test]
    fn first_counts_from_the_start_and_next_from_now() {
        let faults = faults();
        assert_eq!(meets(&faults, Endpoint::Token, 2), "--");
        faults.add("reset:first=3".parse().unwrap());
        faults.add("close:next=3".parse().unwrap());
        assert_eq!(meets(&faults, Endpoint::Token, 5), "rccc-");
        let counts = |status: &FaultStatus| (status.seen, status.played);
        let statuses = faults.statuses();
        assert_eq!(
            statuses.iter().map(counts).collect::<Vec<_>>(),
            [(5, 1), (4, 3)]
        );
        faults.clear();
        assert!(faults.statuses().is_empty());
    }

    #[test]
    fn the_same_seed_draws_the_same() {
        let draw = || {
            let faults = faults();
            faults.add("reset:probability=0.5".parse().unwrap());
            meets(&faults, Endpoint::Token, 64)
        };
        assert_eq!(draw(), draw());
        let played = draw().matches('r').count();
        assert!((20..44).contains(&played), "{played}");
    }

    #[test]
    fn a_scenario_is_played_step_by_step() {
        for (toml, expected) in [
            (
                "[[step]]\nfault='reset'\ncount=2\n[[step]]\ncount=1\n[[step]]\nfault='close'",
                "rr-ccc",
            ),
            (
                "[[step]]\nfault='reset'\ncount=4\nevery=2\n[[step]]\nfault='close'\ncount=1",
                "-r-rc--",
            ),
            (
                "repeat=true\n[[step]]\nfault='reset'\ncount=1\n[[step]]\ncount=2",
                "r--r--r",
            ),
            (
                "[[step]]\nfault='reset'\ncount=3\nprobability=0.0\n[[step]]\nfault='close'\ncount=1",
                "---c-",
            ),
            (
                "[[step]]\nfault='reset'\nat='api'\ncount=1\n[[step]]\nfault='close'\ncount=1",
                "c--",
            ),
        ] {
            let faults = faults();
            faults.start(Scenario::parse(toml).unwrap());
            assert_eq!(
                meets(&faults, Endpoint::Token, expected.len()),
                expected,
                "{toml}"
            );
        }
        // Once it is over, the rules are asked.
        let faults = faults();
        faults.add("close:next=1".parse().unwrap());
        faults.start(Scenario::parse("[[step]]\nfault='reset'\ncount=1").unwrap());
        assert_eq!(meets(&faults, Endpoint::Token, 4), "rc--");
    }
}
