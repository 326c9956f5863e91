//! Values in, a judgement out: what was counted, and what is written down.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Context as _;
use serde::Deserialize;

/// A ratio may grow by this part before it counts as worse.
const ALLOWED: f64 = 0.05;

/// What the program can run.
#[derive(Debug, PartialEq)]
pub(super) struct Routine {
    pub(super) name: String,
    /// What it is held against; nothing if it is a floor itself.
    floor: Option<String>,
    /// How often it runs.
    times: u64,
}

/// Reads what the program says it can run: a line each, of a name, a floor or `-`, and how often.
pub(super) fn routines(list: &str) -> anyhow::Result<Vec<Routine>> {
    let routine = |line: &str| {
        let mut words = line.split(' ');
        let (name, floor) = (words.next()?, words.next()?);
        Some(Routine {
            name: name.to_owned(),
            floor: (floor != "-").then(|| floor.to_owned()),
            times: words.next()?.parse().ok().filter(|times| *times > 0)?,
        })
    };
    let read = |line| routine(line).with_context(|| format!("it lists {line:?}"));
    list.lines().map(read).collect()
}

/// What callgrind counted, by the file it wrote; `None` if that is nothing.
pub(super) fn total(out: &str) -> Option<u64> {
    let mut lines = out.lines();
    let total = lines.find_map(|line| line.strip_prefix("totals: "))?;
    total.trim().parse().ok().filter(|total| *total > 0)
}

/// A routine, as it was counted.
#[derive(Debug, PartialEq)]
pub(super) struct Ratio {
    name: String,
    /// Of one call.
    instructions: f64,
    /// Of one call of its floor.
    floor: f64,
}

impl Ratio {
    fn ratio(&self) -> f64 {
        self.instructions / self.floor
    }
}

/// What each routine takes for one instruction of its floor; `counts` are in their order.
pub(super) fn ratios(routines: &[Routine], counts: &[u64]) -> anyhow::Result<Vec<Ratio>> {
    let per_call = |(routine, count): (&Routine, &u64)| {
        let instructions = *count as f64 / routine.times as f64;
        (routine.name.clone(), instructions)
    };
    let counted: BTreeMap<_, _> = routines.iter().zip(counts).map(per_call).collect();
    let of = |name: &str| {
        let found = counted.get(name).copied();
        found.with_context(|| format!("`{name}` was not counted"))
    };
    let mut ratios = Vec::new();
    for Routine { name, floor, .. } in routines {
        if let Some(floor) = floor {
            ratios.push(Ratio {
                name: name.clone(),
                instructions: of(name)?,
                floor: of(floor)?,
            });
        }
    }
    anyhow::ensure!(!ratios.is_empty(), "the program lists no routine");
    Ok(ratios)
}

/// What is written down.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(super) struct Recorded {
    /// What it was compiled with.
    pub(super) rustc: String,
    ratios: BTreeMap<String, f64>,
}

impl Recorded {
    pub(super) fn new(rustc: &str, ratios: &[Ratio]) -> Self {
        let ratio = |it: &Ratio| (it.name.clone(), it.ratio());
        Self {
            rustc: rustc.to_owned(),
            ratios: ratios.iter().map(ratio).collect(),
        }
    }

    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let recorded: Self = toml::from_str(text)?;
        let wrong = recorded.ratios.iter().find(|(_, ratio)| {
            // No number compares with what is not one.
            !(**ratio > 0.0 && ratio.is_finite())
        });
        match wrong {
            Some((name, ratio)) => anyhow::bail!("{ratio} is no ratio of `{name}`"),
            None => Ok(recorded),
        }
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = String::from(
            "# How many instructions a routine takes for each one of its floor. Written by\n\
             # `cargo xtask instructions --record`; `cargo xtask ci` fails if one has grown\n\
             # by more than 5 % since.\n",
        );
        let _ = writeln!(text, "rustc = {:?}\n\n[ratios]", self.rustc);
        for (name, ratio) in &self.ratios {
            let _ = writeln!(text, "{name} = {ratio:.3}");
        }
        text
    }

    /// What is wrong with what was counted, a line each.
    pub(super) fn judge(&self, ratios: &[Ratio]) -> Vec<String> {
        let mut problems = Vec::new();
        for it in ratios {
            let name = &it.name;
            let Some(&recorded) = self.ratios.get(name) else {
                problems.push(format!("{name} is counted, but not recorded"));
                continue;
            };
            let (ratio, limit) = (it.ratio(), recorded * (1.0 + ALLOWED));
            // Nor does this let through what is not a number.
            if ratio <= limit {
                continue;
            }
            let allowed = ALLOWED * 100.0;
            problems.push(format!(
                "{name} takes {ratio:.3} times its floor, {:.1} % more than the {recorded:.3} \
                 that are recorded; {allowed} % are allowed",
                (ratio / recorded - 1.0) * 100.0
            ));
        }
        for name in self.ratios.keys() {
            if !ratios.iter().any(|it| it.name == *name) {
                problems.push(format!("{name} is recorded, but not counted"));
            }
        }
        problems
    }
}

/// All of it, to be read.
pub(super) fn table(ratios: &[Ratio], recorded: &Recorded) -> String {
    let mut table = format!(
        "{:<22}{:>13}{:>10}{:>8}{:>10}{:>10}\n",
        "routine", "instructions", "floor", "ratio", "recorded", "change"
    );
    for it in ratios {
        let (instructions, floor, ratio) = (it.instructions, it.floor, it.ratio());
        let _ = write!(
            table,
            "{:<22}{instructions:>13.1}{floor:>10.1}{ratio:>8.3}",
            it.name
        );
        let _ = match recorded.ratios.get(&it.name) {
            Some(recorded) => {
                let change = (ratio / recorded - 1.0) * 100.0;
                writeln!(table, "{recorded:>10.3}{change:>+8.1} %")
            }
            None => writeln!(table, "{:>10}{:>10}", "-", "-"),
        };
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "hot floor_hot 10\nseal floor_seal 2\nfloor_hot - 100\nfloor_seal - 1\n";

    fn counted(counts: [u64; 4]) -> Vec<Ratio> {
        ratios(&routines(LIST).unwrap(), &counts).unwrap()
    }

    /// `hot` takes twice its floor, and `seal` one and a half times.
    fn recorded() -> Recorded {
        Recorded::new("rustc 1", &counted([2000, 300, 10_000, 100]))
    }

    #[track_caller]
    fn check(counts: [u64; 4], expected: &[&str]) {
        assert_eq!(recorded().judge(&counted(counts)), expected);
    }

    #[test]
    fn more_than_five_percent_fail() {
        check([2000, 300, 10_000, 100], &[]);
        // 4 % and 5 % more, and 10 % less.
        check([2080, 300, 10_000, 100], &[]);
        check([2100, 270, 10_000, 100], &[]);
        check(
            [2120, 300, 10_000, 100],
            &[
                "hot takes 2.120 times its floor, 6.0 % more than the 2.000 that are recorded; \
               5 % are allowed",
            ],
        );
    }

    #[test]
    fn what_changes_with_its_floor_does_not_fail() {
        check([6000, 300, 30_000, 100], &[]);
        // And a floor that gets cheaper hides nothing.
        let problems = recorded().judge(&counted([2000, 300, 9_000, 100]));
        assert_eq!(problems.len(), 1, "{problems:?}");
    }

    #[test]
    fn what_is_missing_or_unknown_fails() {
        let mut ratios = counted([2000, 300, 10_000, 100]);
        ratios.remove(0);
        let problems = recorded().judge(&ratios);
        assert_eq!(problems, ["hot is recorded, but not counted"]);

        let mut recorded = recorded();
        recorded.ratios.remove("seal");
        let problems = recorded.judge(&counted([2000, 300, 10_000, 100]));
        assert_eq!(problems, ["seal is counted, but not recorded"]);
    }

    #[test]
    fn a_ratio_that_is_no_number_fails() {
        let problems = recorded().judge(&counted([2000, 0, 10_000, 0]));
        assert_eq!(problems.len(), 1, "{problems:?}");
        for ratio in ["nan", "inf", "0.0", "-1.0"] {
            let text = format!("rustc = \"\"\n[ratios]\nhot = {ratio}\n");
            assert!(Recorded::parse(&text).is_err(), "{ratio}");
        }
        assert!(Recorded::parse("rustc = \"\"\n").is_err());
    }

    #[test]
    fn what_is_written_down_is_what_is_read() {
        let recorded = recorded();
        assert_eq!(Recorded::parse(&recorded.to_text()).unwrap(), recorded);
    }

    #[test]
    fn a_list_that_lacks_something_is_an_error() {
        for list in ["hot", "hot -", "hot - x", "hot - 0", "hot  10", ""] {
            let read = routines(list).and_then(|it| ratios(&it, &vec![1; it.len()]));
            assert!(read.is_err(), "{list:?}");
        }
        // A floor that is not there.
        let list = routines("hot floor_hot 10\n").unwrap();
        let error = ratios(&list, &[1]).unwrap_err();
        assert_eq!(error.to_string(), "`floor_hot` was not counted");
    }

    #[test]
    fn the_total_of_callgrind_is_found() {
        let out = "events: Ir\nfn=(1) a\n1 7\ntotals: 1207\n";
        assert_eq!(total(out), Some(1207));
        for out in ["", "totals: 0\n", "totals: \n", "summary: 3\n"] {
            assert_eq!(total(out), None, "{out:?}");
        }
    }

    #[test]
    fn the_table_says_what_changed() {
        let table = table(&counted([2080, 300, 10_000, 100]), &recorded());
        let expected = "\
routine                instructions     floor   ratio  recorded    change
hot                           208.0     100.0   2.080     2.000    +4.0 %
seal                          150.0     100.0   1.500     1.500    +0.0 %
";
        assert_eq!(table, expected);
    }
}
