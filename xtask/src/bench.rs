//! `cargo xtask bench`: what a call and a start cost, measured in a workspace of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::{Verdict, sys, tools};

pub(crate) struct Config {
    /// Measure for a moment only, to see that everything runs.
    pub(crate) quick: bool,
}

/// The command line tool: its package and its program.
const TOOL: (&str, &str) = ("bloom-auth-cli", "bloom-auth");

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
    all_succeed([test, bench])
}

pub(crate) struct Peers {
    pub(crate) quick: bool,
    /// The command line tool; it is built if this says nothing.
    pub(crate) binary: Option<PathBuf>,
}

/// Measures the command line tool beside others, as whole processes.
pub(crate) fn peers(config: &Peers) -> anyhow::Result<Verdict> {
    let binary = match &config.binary {
        Some(binary) => std::path::absolute(binary)?,
        None => tool()?,
    };
    let scripts = sys::root().join("xtask/bench/peers");
    let python = tools::pip(&scripts, &tools::folder()?.join("peers"))?;
    let mut test = cargo();
    test.args(["test", "--release", "--locked", "--lib", "--quiet"]);
    // The other one that it runs is built with it.
    let mut build = cargo();
    build.args(["build", "--release", "--locked", "--bins", "--quiet"]);
    let target = sys::workspace()?.target_directory.join("bench");
    let mut run = cargo();
    run.args([
        "run",
        "--release",
        "--locked",
        "--quiet",
        "--bin",
        "peers",
        "--",
    ]);
    run.args([binary, python, scripts, target.join("peers").into()]);
    run.arg(if config.quick { "2" } else { "60" });
    all_succeed([test, build, run])
}

/// Counts the instructions of the command line tool beside those of a program that reads a file.
pub(crate) fn instructions(binary: Option<&Path>) -> anyhow::Result<Verdict> {
    let target = sys::workspace()?.target_directory;
    let binary = match binary {
        Some(binary) => std::path::absolute(binary)?,
        // Older versions of valgrind do not survive how rustix finds the vDSO by itself.
        None => tool_with(&["--features", "rustix/use-libc"])?,
    };
    let mut test = cargo();
    test.args(["test", "--release", "--locked", "--lib", "--quiet"]);
    // The other one that it runs is built with it.
    let mut build = cargo();
    build.args(["build", "--release", "--locked", "--bins", "--quiet"]);
    let mut run = cargo();
    run.args(["run", "--release", "--locked", "--quiet"]);
    run.args(["--bin", "instructions", "--"]);
    run.args([binary, target.join("bench/instructions").into()]);
    all_succeed([test, build, run])
}

/// Builds the command line tool as users have it.
pub(crate) fn tool() -> anyhow::Result<PathBuf> {
    tool_with(&[])
}

fn tool_with(flags: &[&str]) -> anyhow::Result<PathBuf> {
    let (package, program) = TOOL;
    let mut build = sys::cargo();
    build.args(["build", "--release", "--locked", "--package", package]);
    build.args(["--bin", program]).args(flags);
    anyhow::ensure!(
        all_succeed([build])? == Verdict::Passed,
        "`{package}` cannot be built: give the path of its program, `--binary=<path>`"
    );
    let target = sys::workspace()?.target_directory;
    let program = format!("{program}{}", std::env::consts::EXE_SUFFIX);
    Ok(target.join("release").join(program).into())
}

/// Runs them up to the first that fails.
fn all_succeed<const N: usize>(commands: [Command; N]) -> anyhow::Result<Verdict> {
    for mut command in commands {
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
