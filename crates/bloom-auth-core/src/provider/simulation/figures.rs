//! What is measured in a simulation, the bounds that it is held to, and the
//! seeds that it is repeated with.

use std::{collections::BTreeMap, ops::RangeInclusive};

use crate::test_util::is_long;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// Something that was measured with one seed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figure {
    pub(super) what: &'static str,
    pub(super) value: f64,
    pub(super) bound: Bound,
}

impl Figure {
    pub(super) fn at_most(bound: f64, what: &'static str, value: f64) -> Self {
        let bound = Bound::AtMost(bound);
        Self { what, value, bound }
    }

    pub(super) fn at_least(bound: f64, what: &'static str, value: f64) -> Self {
        let bound = Bound::AtLeast(bound);
        Self { what, value, bound }
    }

    /// No bound holds for what is not a number.
    pub(super) fn holds(&self) -> bool {
        match self.bound {
            Bound::AtMost(most) => self.value <= most,
            Bound::AtLeast(least) => self.value >= least,
        }
    }
}

/// With how many seeds the long form is played, unless it is told.
const MANY: u64 = 20;

#[expect(
    clippy::disallowed_methods,
    reason = "set by `cargo xtask simulate`, and by hand"
)]
fn set(variable: &str) -> Option<String> {
    std::env::var(variable).ok()
}

/// How many clients there are with this seed, where as many as there may be take
/// much time: ten thousand with every tenth one of the long form.
pub(super) fn clients(seed: u64) -> usize {
    if is_long() && seed.is_multiple_of(10) {
        10_000
    } else {
        1000
    }
}

fn number(variable: &str) -> Option<u64> {
    let number = set(variable)?.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable} is to be a number")))
}

/// The one seed that is asked for.
fn only_seed() -> Option<u64> {
    number("BLOOM_AUTH_TEST_SEED")
}

/// From 1 on, or the one that is asked for.
fn seeds(few: u64, many: u64) -> RangeInclusive<u64> {
    match only_seed() {
        Some(seed) => seed..=seed,
        None => 1..=if is_long() { many } else { few },
    }
}

/// Says which seed it was if the check of it fails.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let seed = self.0;
            eprintln!("seed {seed} failed; repeat it with BLOOM_AUTH_TEST_SEED={seed}");
        }
    }
}

/// Runs a check with some seeds, always the same ones.
pub(super) fn with_seeds(check: impl Fn(u64)) {
    for seed in seeds(1, 10) {
        let _told = Told(seed);
        check(seed);
    }
}

/// Plays a scenario with so many seeds, or more in the long form, and holds what
/// is measured to its bounds.
pub(super) fn judge(scenario: &str, few: u64, play: impl Fn(u64) -> Vec<Figure>) {
    let many = number("BLOOM_AUTH_TEST_SEEDS").unwrap_or(MANY);
    let (rows, complaint) = measure(scenario, seeds(few, many), play);
    for row in rows {
        println!("{row}");
    }
    if let Some(complaint) = complaint {
        panic!("{complaint}");
    }
}

/// The rows of the table, and what is wrong with them.
fn measure(
    scenario: &str,
    seeds: RangeInclusive<u64>,
    play: impl Fn(u64) -> Vec<Figure>,
) -> (Vec<String>, Option<String>) {
    let mut measured: BTreeMap<&str, (Bound, Vec<f64>)> = BTreeMap::new();
    let mut broken = Vec::new();
    for seed in seeds {
        let _told = Told(seed);
        for figure in play(seed) {
            if !figure.holds() {
                broken.push((seed, figure));
            }
            let (_, values) = measured
                .entry(figure.what)
                .or_insert((figure.bound, Vec::new()));
            values.push(figure.value);
        }
    }
    let rows = measured
        .iter_mut()
        .map(|(what, (bound, values))| row(scenario, what, *bound, values))
        .collect();
    let complaint = broken.first().map(|(seed, _)| {
        let some: Vec<_> = broken.iter().take(10).collect();
        let count = broken.len();
        format!(
            "{scenario}: {count} bounds broken; repeat the first with \
             BLOOM_AUTH_TEST_SEED={seed}: {some:#?}"
        )
    });
    (rows, complaint)
}

/// A row of the table: the bound, the worst and the middle of all seeds.
fn row(scenario: &str, what: &str, bound: Bound, values: &mut [f64]) -> String {
    values.sort_by(f64::total_cmp);
    let median = values[values.len() / 2];
    let (bound, worst) = match bound {
        Bound::AtMost(most) => (format!("≤ {most}"), values[values.len() - 1]),
        Bound::AtLeast(least) => (format!("≥ {least}"), values[0]),
    };
    let seeds = values.len();
    format!("| {scenario} | {what} | {bound} | {worst:.4} | {median:.4} | {seeds} |")
}

/// That a check notices something: this figure's bound is broken.
#[track_caller]
pub(super) fn check_notices(what: &str, figures: &[Figure]) {
    let is_broken = |figure: &Figure| figure.what == what && !figure.holds();
    assert!(
        figures.iter().any(is_broken),
        "{what} is not noticed: {figures:#?}"
    );
}

#[test]
fn the_worst_is_on_the_side_of_the_bound() {
    let mut values = [3.0, 1.0, 2.0];
    let row = |bound| row("a", "b", bound, &mut values.clone());
    assert_eq!(
        row(Bound::AtMost(2.5)),
        "| a | b | ≤ 2.5 | 3.0000 | 2.0000 | 3 |"
    );
    assert_eq!(
        row(Bound::AtLeast(1.0)),
        "| a | b | ≥ 1 | 1.0000 | 2.0000 | 3 |"
    );
    values.reverse();
    assert!(!Figure::at_most(1.0, "b", f64::NAN).holds());
    assert!(!Figure::at_least(1.0, "b", f64::NAN).holds());
}

#[test]
fn a_broken_bound_says_with_which_seed() {
    let play = |seed| vec![Figure::at_most(1.0, "b", seed as f64)];
    let (rows, complaint) = measure("a", 1..=3, play);
    assert_eq!(rows, ["| a | b | ≤ 1 | 3.0000 | 2.0000 | 3 |"]);
    let complaint = complaint.unwrap();
    assert!(
        complaint.starts_with("a: 2 bounds broken; repeat the first with BLOOM_AUTH_TEST_SEED=2"),
        "{complaint}"
    );
    assert_eq!(measure("a", 1..=1, play).1, None);
}
