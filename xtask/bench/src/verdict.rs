//! What we promise of the figures, and whether they keep it.

use std::fmt;

use crate::{
    interleave::Kind,
    keyed::{self, Order},
    results::{HotPath, Results},
};

/// What the hot path may take, of its floor.
pub const HOT_PATH: f64 = 1.25;
/// What more threads may add to a call of each.
pub const FLAT: f64 = 1.25;
/// By how much the best rival must be slower, with one thread.
pub const RIVAL_ON_ONE_THREAD: f64 = 6.0;
/// The same with 8 tasks.
pub const RIVAL_WITH_TASKS: f64 = 10.0;
/// What a call by key may take, of the hot path, with so many keys.
pub const KEYED: [(usize, f64); 2] = [(1_000, 2.5), (100_000, 4.0)];
/// What a herd may take, of so many timers.
pub const HERD: f64 = 1.2;

/// Of one promise.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// What is promised.
    pub promise: String,
    /// What was measured; nothing if it was not.
    pub measured: Option<f64>,
    /// What it may be at most, or must be at least.
    pub bound: Bound,
}

/// The end of what is good.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Bound {
    /// Not more than this.
    Most(f64),
    /// Not less.
    Least(f64),
}

impl Line {
    /// Whether it was measured, and is within the bound.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.measured.is_some_and(|measured| match self.bound {
            Bound::Most(most) => measured <= most,
            Bound::Least(least) => measured >= least,
        })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_good() { "good" } else { "missed" };
        write!(f, "{}: {verdict} (", self.promise)?;
        match self.measured {
            Some(measured) => write!(f, "{measured:.2}")?,
            None => f.write_str("not measured")?,
        }
        match self.bound {
            Bound::Most(most) => write!(f, ", at most {most})"),
            Bound::Least(least) => write!(f, ", at least {least})"),
        }
    }
}

/// Judges all that is promised, by the least times of interleaved turns.
#[must_use]
pub fn judge(results: &Results) -> Vec<Line> {
    let mut lines = Vec::new();
    if results.hot_path.is_empty() {
        lines.push(most("hot path", None, HOT_PATH));
    }
    for hot_path in &results.hot_path {
        judge_hot_path(hot_path, &mut lines);
    }
    for (keys, bound) in KEYED {
        let is_this = |row: &&keyed::Row| row.keys == keys && row.order == Order::InTurn;
        let row = results.keyed.iter().find(is_this);
        let measured = row.map(|row| row.ours.min / row.hot_path.min);
        let promise = format!("{keys} keys in turn, to the hot path");
        lines.push(most(promise, measured, bound));
    }
    let herd = &results.herd;
    let callers = herd.callers;
    lines.push(most(
        format!("requests of a herd of {callers}"),
        Some(herd.requests as f64),
        1.0,
    ));
    lines.push(most(
        format!("time of a herd of {callers}, to as many timers"),
        Some(herd.ours / herd.floor),
        HERD,
    ));
    lines
}

fn judge_hot_path(hot_path: &HotPath, lines: &mut Vec<Line>) {
    let HotPath {
        allocator,
        settings,
        rows,
    } = hot_path;
    let (floor, ours) = (hot_path.floor(), hot_path.ours());
    for (column, setting) in settings.iter().enumerate() {
        let ours = ours.and_then(|row| row.min(column));
        let floor = floor.and_then(|row| row.min(column));
        let measured = ours.zip(floor).map(|(ours, floor)| ours / floor);
        let promise = format!("hot path to its floor, {setting} ({allocator})");
        lines.push(most(promise, measured, HOT_PATH));
    }
    let of_column = |column| Some(ours?.min(column)? / ours?.min(0)?);
    let ratios: Vec<_> = (0..settings.len()).map(of_column).collect();
    let measured = ratios
        .into_iter()
        .try_fold(0.0_f64, |worst, ratio| Some(worst.max(ratio?)));
    let promise = format!("hot path of each thread, to one alone ({allocator})");
    lines.push(most(promise, measured, FLAT));

    let tasks = settings.len().saturating_sub(1);
    for (column, bound) in [(0, RIVAL_ON_ONE_THREAD), (tasks, RIVAL_WITH_TASKS)] {
        let ours = ours.and_then(|row| row.min(column));
        let best = hot_path.best_rival(column);
        let setting = settings.get(column).map_or("", String::as_str);
        let who = best.map_or("nobody", |(row, _)| &row.subject);
        lines.push(Line {
            promise: format!("best rival ({who}) to the hot path, {setting} ({allocator})"),
            measured: best.zip(ours).map(|((_, rival), ours)| rival / ours),
            bound: Bound::Least(bound),
        });
    }
    let ours = rows.iter().filter(|row| row.kind == Kind::Ours);
    let counts: Option<Vec<_>> = ours.map(|row| Some(row.allocations?.count)).collect();
    let measured = counts.and_then(|counts| counts.into_iter().max());
    let promise = format!("allocations of a call ({allocator})");
    lines.push(most(promise, measured.map(|count| count as f64), 0.0));
}

fn most(promise: impl Into<String>, measured: Option<f64>, most: f64) -> Line {
    Line {
        promise: promise.into(),
        measured,
        bound: Bound::Most(most),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::samples;

    fn missed(results: &Results) -> Vec<String> {
        let lines = judge(results).into_iter().filter(|line| !line.is_good());
        lines.map(|line| line.to_string()).collect()
    }

    #[test]
    fn good_figures_are_good() {
        let results = samples::results();
        assert_eq!(missed(&results), [""; 0]);
        let first = judge(&results).remove(0).to_string();
        assert_eq!(
            first,
            "hot path to its floor, 1 thread (system): good (0.94, at most 1.25)"
        );
    }

    #[test]
    fn each_promise_can_be_missed() {
        #[track_caller]
        fn check(change: fn(&mut Results), expected: &[&str]) {
            let mut results = samples::results();
            change(&mut results);
            assert_eq!(missed(&results), expected);
        }
        check(
            |it| it.hot_path[0].rows[0].figures[1].min = 24.0,
            &["hot path to its floor, 2 threads (system): missed (1.29, at most 1.25)"],
        );
        check(
            |it| it.hot_path[0].rows[2].figures[1].min = 37.6,
            &[
                "hot path to its floor, 2 threads (system): missed (1.25, at most 1.25)",
                "hot path of each thread, to one alone (system): missed (1.25, at most 1.25)",
            ],
        );
        check(
            |it| it.hot_path[1].rows[5].figures[0].min = 177.0,
            &[
                "best rival (other client) to the hot path, 1 thread (mimalloc): missed (5.90, at \
                 least 6)",
            ],
        );
        check(
            |it| it.hot_path[1].rows[4].figures[2].min = 318.4,
            &[
                "best rival (careful client) to the hot path, 8 tasks on 2 workers (mimalloc): \
                 missed (9.95, at least 10)",
            ],
        );
        check(
            |it| {
                let counts = it.hot_path[0].rows[3].allocations.as_mut();
                counts.unwrap().count = 1;
            },
            &["allocations of a call (system): missed (1.00, at most 0)"],
        );
        check(
            |it| it.keyed[1].ours.min = 76.0,
            &["1000 keys in turn, to the hot path: missed (2.53, at most 2.5)"],
        );
        check(
            |it| it.keyed[4].ours.min = 121.0,
            &["100000 keys in turn, to the hot path: missed (4.03, at most 4)"],
        );
        check(
            |it| it.herd.requests = 2,
            &["requests of a herd of 10000: missed (2.00, at most 1)"],
        );
        check(
            |it| it.herd.ours = 69.0,
            &["time of a herd of 10000, to as many timers: missed (1.21, at most 1.2)"],
        );
    }

    #[test]
    fn what_was_not_measured_is_missed() {
        let mut results = samples::results();
        results.hot_path.truncate(1);
        results.hot_path[0].rows.clear();
        results.keyed.clear();
        let lines = judge(&results);
        let unmeasured = lines.iter().filter(|line| line.measured.is_none());
        assert_eq!(unmeasured.count(), 9);
        assert_eq!(missed(&results).len(), 9);
        results.hot_path.clear();
        assert!(missed(&results)[0].contains("hot path: missed (not measured"));
    }
}
