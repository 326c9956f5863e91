//! What is said of a soak, as a function of what was seen.

use std::{fmt, str::FromStr};

use super::measure::Held;

/// What the process holds at the end may be more than what it held early on by
/// this much of that, in percent.
const MOST_GROWTH: f64 = 2.0;

/// What may have been allocated for good between those moments, in KiB: tables
/// of the standard library and of tokio that grow once.
const MOST_KEPT: u64 = 64;

/// The minutes that are compared, in seconds: the second and the last.
const MINUTE: f64 = 60.0;

/// A moment of a soak. Counts are since its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sample {
    /// In seconds since the beginning.
    pub(super) at: f64,
    pub(super) held: Held,
    /// Calls for a token, whatever came of them.
    pub(super) calls: u64,
    /// Requests to the API that were answered.
    pub(super) answers: u64,
    /// Calls that failed, and no promise covers them.
    pub(super) unpromised: u64,
    /// Calls that failed although a promise covers them.
    pub(super) broken: u64,
}

/// One line, for a pipe.
impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, held, .. } = self;
        write!(f, "{at:.3}")?;
        for number in [
            held.resident,
            held.written,
            held.heap,
            held.descriptors,
            held.threads,
            held.tasks,
            self.calls,
            self.answers,
            self.unpromised,
            self.broken,
        ] {
            write!(f, " {number}")?;
        }
        Ok(())
    }
}

impl FromStr for Sample {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (at, rest) = text.split_once(' ')?;
            let numbers: Result<Vec<u64>, _> = rest.split(' ').map(str::parse).collect();
            let numbers: [u64; 10] = numbers.ok()?.try_into().ok()?;
            let [
                resident,
                written,
                heap,
                descriptors,
                threads,
                tasks,
                counts @ ..,
            ] = numbers;
            let [calls, answers, unpromised, broken] = counts;
            let held = Held {
                resident,
                written,
                heap,
                descriptors,
                threads,
                tasks,
            };
            Some(Self {
                at: at.parse().ok()?,
                held,
                calls,
                answers,
                unpromised,
                broken,
            })
        };
        parse().ok_or_else(|| format!("`{text}` is no sample"))
    }
}

/// Judges moments at which nothing is under way and everything was dropped, one
/// after each round of the same work: nothing may have come to stay since the
/// second, for which a round takes a minute. The first has caches to fill, of
/// code as of data.
///
/// Memory as the system counts it is judged where there was time for it to
/// settle; all else is exact.
pub(super) fn remains(rests: &[Held], has_settled: bool) -> Vec<String> {
    let (Some(early), Some(late)) = (rests.get(1), rests.last()) else {
        return vec!["there were no two rounds".to_owned()];
    };
    let percent = |early: u64| (early as f64 * MOST_GROWTH / 100.0) as u64;
    let mut remains = Vec::new();
    for (what, early, late, most) in [
        ("KiB of allocated memory", early.heap, late.heap, MOST_KEPT),
        (
            "descriptors",
            early.descriptors,
            late.descriptors,
            percent(early.descriptors),
        ),
        ("threads", early.threads, late.threads, 0),
        // Of runtimes that are still there.
        ("tasks", 0, late.tasks, 0),
    ] {
        if late > early + most {
            remains.push(format!("{early} {what} early on, {late} at the end"));
        }
    }
    let (early, late) = (early.resident, late.resident);
    if has_settled && late > early + percent(early) {
        remains.push(format!(
            "{early} KiB of resident memory early on, {late} at the end"
        ));
    }
    remains
}

/// Means of the second minute and of the last, while calls are under way: to
/// look at, as they go up and down with what is under way.
pub(super) fn trends(samples: &[Sample]) -> Vec<String> {
    let end = samples.last().map_or(0.0, |sample| sample.at);
    let mean = |from: f64, value: fn(&Held) -> u64| {
        let within = |sample: &&Sample| (from..=from + MINUTE).contains(&sample.at);
        let values = samples.iter().filter(within);
        let values: Vec<u64> = values.map(|sample| value(&sample.held)).collect();
        values.iter().sum::<u64>() as f64 / values.len() as f64
    };
    type Measure = (&'static str, fn(&Held) -> u64);
    let table: [Measure; 5] = [
        ("KiB resident", |held| held.resident),
        ("KiB of it written", |held| held.written),
        ("descriptors", |held| held.descriptors),
        ("threads", |held| held.threads),
        ("tasks", |held| held.tasks),
    ];
    let trend = |(what, value)| {
        let (early, late) = (mean(MINUTE, value), mean(end - MINUTE, value));
        let percent = (late / early - 1.0) * 100.0;
        format!("{what}: {early:.1} in minute two, {late:.1} in the last, {percent:+.2} %")
    };
    table.into_iter().map(trend).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Held = Held {
        resident: 60_000,
        written: 20_000,
        heap: 900,
        descriptors: 5,
        threads: 2,
        tasks: 0,
    };

    /// Ten rounds; the change is that of a round, by its number.
    #[track_caller]
    fn check(change: impl Fn(u64, &mut Held), expected: &[&str]) {
        let round = |round| {
            let mut held = REST;
            change(round, &mut held);
            held
        };
        let rests: Vec<Held> = (1..=10).map(round).collect();
        assert_eq!(remains(&rests, true), expected);
        // Memory is the last, if it is said at all.
        let exact = expected.iter().filter(|line| !line.contains("resident"));
        let exact: Vec<_> = exact.copied().collect();
        assert_eq!(remains(&rests, false), exact);
    }

    #[test]
    fn what_is_flat_passes() {
        check(|_, _| {}, &[]);
        check(|round, held| held.resident += 150 * round, &[]);
        check(|round, held| held.heap += 6 * round, &[]);
        // What the first round leaves.
        check(|round, held| held.descriptors += round.min(2), &[]);
        // What shrinks is no leak.
        check(|round, held| held.resident -= 1_000 * round, &[]);
    }

    #[test]
    fn a_leak_is_found_in_each_measure() {
        // Three KiB a second.
        check(
            |round, held| held.resident += 180 * round,
            &["60360 KiB of resident memory early on, 61800 at the end"],
        );
        check(
            |round, held| held.heap += 9 * round,
            &["918 KiB of allocated memory early on, 990 at the end"],
        );
        // One of each, in ten minutes.
        check(
            |round, held| held.descriptors += round / 10,
            &["5 descriptors early on, 6 at the end"],
        );
        check(
            |round, held| held.threads += round / 10,
            &["2 threads early on, 3 at the end"],
        );
        check(
            |round, held| held.tasks += round / 10,
            &["0 tasks early on, 1 at the end"],
        );
    }

    #[test]
    fn nothing_is_no_proof() {
        for rests in [&[][..], &[REST]] {
            assert_eq!(remains(rests, true), ["there were no two rounds"]);
        }
    }

    #[test]
    fn minutes_are_compared() {
        let sample = |second: u32| Sample {
            at: f64::from(second),
            held: Held {
                resident: 40_000 + u64::from(second),
                descriptors: 30 + u64::from(second) % 2,
                ..REST
            },
            ..Sample::default()
        };
        let samples: Vec<Sample> = (1..=600).map(sample).collect();
        let trends = trends(&samples);
        assert_eq!(
            trends[0],
            "KiB resident: 40090.0 in minute two, 40570.0 in the last, +1.20 %"
        );
        assert_eq!(
            trends[2],
            "descriptors: 30.5 in minute two, 30.5 in the last, +0.00 %"
        );
    }

    #[test]
    fn samples_go_through_a_pipe() {
        let sample = Sample {
            at: 1.5,
            held: REST,
            calls: 1,
            answers: 2,
            unpromised: 3,
            broken: 4,
        };
        assert_eq!(sample.to_string().parse(), Ok(sample));
        for text in ["", "1.0", "1.0 2 3", "1 2 3 4 5 6 7 8 9 10 x"] {
            text.parse::<Sample>().unwrap_err();
        }
    }
}
