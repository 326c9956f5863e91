//! `cargo xtask simulate`: fleets in virtual time, with very many seeds, and the table of what
//! they were held to.

use crate::stream::{self, Line};
use crate::{Verdict, sys};

pub(crate) struct Config {
    /// How many seeds each scenario is played with, from 1 on.
    pub(crate) seeds: u64,
    /// The one seed to play instead.
    pub(crate) seed: Option<u64>,
}

/// What `--seeds=` is without it.
pub(crate) const SEEDS: u64 = 1000;

const HEADER: &str =
    "| scenario | what | bound | worst | median | seeds |\n|---|---|---|---|---|---|";

/// Plays them optimized; the table is the last thing on stdout.
pub(crate) fn run(config: &Config) -> anyhow::Result<Verdict> {
    let mut cargo = sys::cargo();
    cargo.args([
        "test",
        // A seed takes a tenth of the time that it takes otherwise.
        "--release",
        "--locked",
        "-p",
        "bloom-auth-core",
        "--all-features",
    ]);
    cargo.args([
        "--lib",
        "--color",
        "never",
        "--",
        "simulation::",
        "--nocapture",
    ]);
    cargo.env("BLOOM_AUTH_TEST_LONG", "1");
    cargo.env("BLOOM_AUTH_TEST_SEEDS", config.seeds.to_string());
    if let Some(seed) = config.seed {
        cargo.env("BLOOM_AUTH_TEST_SEED", seed.to_string());
    }
    let mut rows = Vec::new();
    let status = stream::run(&mut cargo, |line| {
        if let Line::Stdout(line) = line {
            rows.extend(row(line).map(str::to_owned));
        }
    })?;
    rows.sort_unstable();
    println!("\n{HEADER}");
    for row in &rows {
        println!("{row}");
    }
    // Without a row nothing was measured, so it proves nothing.
    if status.success() && !rows.is_empty() {
        Ok(Verdict::Passed)
    } else {
        Ok(Verdict::Failed)
    }
}

/// The row of the table in a line; `test a ... ` may stand before it.
fn row(line: &str) -> Option<&str> {
    let row = line.get(line.find("| ")?..)?;
    row.ends_with(" |").then_some(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_after_the_name_of_a_test_too() {
        assert_eq!(row("| a | b | ≤ 1 |"), Some("| a | b | ≤ 1 |"));
        assert_eq!(row("test x ... | a | b |"), Some("| a | b |"));
        assert_eq!(row("test x ... ok"), None);
        assert_eq!(row("| a"), None);
    }
}
