//! `cargo xtask faults`: which faults are covered by tests that ran and passed.

mod coverage;
pub(crate) mod names;
pub(crate) mod table;

use anyhow::Context as _;

use self::coverage::{Coverage, Place};
use self::table::TABLE;
use crate::test::record::Record;
use crate::{Verdict, sys, test};

pub(crate) struct Config {
    /// Take the record of the last run instead of running the tests.
    pub(crate) recorded: bool,
}

/// Prints every entry with what covers it; the summary is the last line on stdout.
pub(crate) fn run(config: &Config) -> anyhow::Result<Verdict> {
    let tests = if config.recorded {
        Verdict::Passed
    } else {
        let verdict = test::run(&test::Config {
            long: false,
            faults: false,
            interop: false,
        })?;
        println!();
        verdict
    };
    let coverage = judge(&Record::read()?)?;
    coverage.print_rows();
    if !coverage.problems.is_empty() {
        println!("\nto fix:");
    }
    for problem in &coverage.problems {
        println!("  {problem}");
    }
    println!("\n{}", coverage.line());
    Ok(match coverage.problems.as_slice() {
        [] => tests,
        _ => Verdict::Failed,
    })
}

/// Holds the table against the tests of a run.
pub(crate) fn judge(record: &Record) -> anyhow::Result<Coverage> {
    let path = sys::root().join(TABLE);
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {TABLE}"))?;
    let table = table::parse(&text).map_err(|error| {
        let line = error.line + 1;
        anyhow::anyhow!("{TABLE}:{line}: {}", error.message)
    })?;
    let entries: Vec<_> = table.into_iter().map(|(_, entry)| entry).collect();
    let place = Place {
        in_ci: sys::in_ci(),
        has_all: cfg!(target_os = "linux"),
    };
    Ok(Coverage::new(&entries, names::all(), record, place))
}
