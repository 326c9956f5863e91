//! Which tests a run came to, kept in a file for `cargo xtask faults`.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::libtest::Tally;
use crate::sys;

/// What became of each test of a run; scenarios count as tests.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) tests: Vec<(Outcome, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Failed,
    /// It was reported as passed, and said itself that it could not run here.
    Skipped,
}

const OUTCOMES: [(Outcome, &str); 3] = [
    (Outcome::Passed, "passed"),
    (Outcome::Failed, "failed"),
    (Outcome::Skipped, "skipped"),
];

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = OUTCOMES.iter().find(|(outcome, _)| outcome == self);
        f.write_str(named.map_or("", |(_, word)| *word))
    }
}

impl Record {
    /// From what the test binaries printed, the notes of skipped tests, `<test>: <reason>`, and
    /// the names of the scenarios that passed.
    pub(crate) fn of_run(tally: &Tally, skips: &[String], scenarios: &[String]) -> Self {
        let skipped: Vec<&str> = skips
            .iter()
            .map(|note| last_part(note.split(": ").next().unwrap_or(note)))
            .collect();
        let reported = tally.passed_tests.iter().map(|test| {
            let is_skipped = skipped.contains(&last_part(test));
            let outcome = if is_skipped {
                Outcome::Skipped
            } else {
                Outcome::Passed
            };
            (outcome, test.clone())
        });
        let failed = tally.failed_tests.iter();
        let failed = failed.map(|test| (Outcome::Failed, test.clone()));
        let scenarios = scenarios.iter();
        let scenarios = scenarios.map(|name| (Outcome::Passed, name.clone()));
        Self {
            tests: reported.chain(failed).chain(scenarios).collect(),
        }
    }

    /// A line for each test: `passed a::b::c`.
    fn text(&self) -> String {
        let lines = self.tests.iter();
        lines
            .map(|(outcome, name)| format!("{outcome} {name}\n"))
            .collect()
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let parse = |line: &str| {
            let (word, name) = line.split_once(' ')?;
            let (outcome, _) = OUTCOMES.iter().find(|(_, known)| *known == word)?;
            Some((*outcome, name.to_owned()))
        };
        let lines = text.lines();
        let tests =
            lines.map(|line| parse(line).with_context(|| format!("`{line}` is no outcome")));
        Ok(Self {
            tests: tests.collect::<anyhow::Result<_>>()?,
        })
    }

    /// Forgets the record of the run before: if this one dies, it leaves none.
    pub(crate) fn forget() -> anyhow::Result<()> {
        forget(&path()?)
    }

    pub(crate) fn write(&self) -> anyhow::Result<()> {
        let path = path()?;
        fs::write(&path, self.text()).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The record of the last run.
    pub(crate) fn read() -> anyhow::Result<Self> {
        let path = path()?;
        let text = fs::read_to_string(&path).with_context(|| {
            let path = path.display();
            format!("cannot read {path}, which `cargo xtask test` leaves")
        })?;
        Self::parse(&text).with_context(|| format!("in {}", path.display()))
    }
}

fn path() -> anyhow::Result<PathBuf> {
    let target = sys::workspace()?.target_directory;
    Ok(target.join("test-record.txt").into_std_path_buf())
}

fn forget(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// The name of the function: tests that say they are skipped may leave their modules out.
pub(crate) fn last_part(test: &str) -> &str {
    test.rsplit("::").next().unwrap_or(test)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_recorded_and_read_again() {
        let mut tally = Tally::default();
        let output = "running 4 tests\ntest a::x1_a ... ok\ntest a::x2_b ... ok\n\
                      test src/lib.rs - c (line 3) ... ok\ntest a::x4_d ... FAILED\n";
        output.lines().for_each(|line| tally.line(line));
        let skips = ["x2_b: needs strace: or root".to_owned()];
        let record = Record::of_run(&tally, &skips, &["s::p1_e".to_owned()]);
        let text = "passed a::x1_a\nskipped a::x2_b\npassed src/lib.rs - c (line 3)\n\
                    failed a::x4_d\npassed s::p1_e\n";
        assert_eq!(record.text(), text);
        assert_eq!(Record::parse(text).unwrap(), record);
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for text in ["passed", "ok a", "\n"] {
            assert!(Record::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_record_that_is_not_there_is_forgotten_too() {
        let path = std::env::temp_dir().join(format!("xtask-record-{}", std::process::id()));
        fs::write(&path, "passed a\n").unwrap();
        forget(&path).unwrap();
        assert!(!path.exists());
        forget(&path).unwrap();
    }
}
