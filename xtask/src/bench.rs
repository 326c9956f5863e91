//! `cargo xtask bench`: what a call and a start cost, measured in a workspace of its own.

use std::process::Command;

use anyhow::Context as _;

use crate::{Verdict, sys};

pub(crate) struct Config {
    /// Measure for a moment only, to see that everything runs.
    pub(crate) quick: bool,
}

/// Cargo, in the benchmarks' workspace; the settings there put what it builds below `target`.
pub(crate) fn cargo() -> Command {
    let mut cargo = sys::cargo();
    cargo.current_dir(sys::root().join("xtask/bench"));
    cargo
}

/// Tests the harness, so that its numbers can be believed, and measures.
pub(crate) fn run(config: &Config) -> anyhow::Result<Verdict> {
    let mut test = cargo();
    test.args(["test", "--release", "--locked", "--lib", "--quiet"]);
    let mut bench = cargo();
    bench.args(["bench", "--locked"]);
    if config.quick {
        bench.args(["--", "--quick"]);
    }
    for mut command in [test, bench] {
        let status = command
            .status()
            .with_context(|| format!("cannot start {command:?}"))?;
        if !status.success() {
            eprintln!("error: {command:?}: {status}");
            return Ok(Verdict::Failed);
        }
    }
    Ok(Verdict::Passed)
}
