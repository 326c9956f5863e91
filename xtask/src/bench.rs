//! `cargo xtask bench`: what a call and a start cost, beside other clients, measured in workspaces of
//! their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use cargo_metadata::MetadataCommand;

use crate::{Verdict, sys, tools};

pub(crate) struct Config {
    /// Measure for a moment only, to see that everything runs.
    pub(crate) quick: bool,
    /// Leave out other clients.
    pub(crate) alone: bool,
    /// Write what was found into the guide.
    pub(crate) docs: bool,
}

/// The command line tool: its package and its program.
const TOOL: (&str, &str) = ("bloom-auth-cli", "bloom-auth");

/// Cargo, in the benchmarks' workspace; the settings there put what it builds below `target`.
pub(crate) fn cargo() -> Command {
    let mut cargo = sys::cargo();
    cargo.current_dir(sys::root().join("xtask/bench"));
    cargo
}

/// What `report` measures too, in the same rounds as what it is compared with: these are for
/// `cargo bench` by hand.
const MEASURED_BY_REPORT: &[&str] = &["hot_path", "keyed_path", "herd"];

/// Tests the harness, so that its numbers can be believed, and measures: everyone's hot path in one
/// process for each allocator, the keyed path and the herd, and then what needs new processes.
pub(crate) fn run(config: &Config) -> anyhow::Result<Verdict> {
    let quick = config.quick.then_some("--quick");
    let results = sys::workspace()?.target_directory.join("bench/results");
    fs::create_dir_all(&results).with_context(|| format!("cannot create {results}"))?;

    let mut commands = vec![harness_test()];
    if !config.alone {
        let mut build = rivals();
        build.args(["build", "--release", "--locked", "--bins"]);
        commands.push(build);
        for (program, file) in [
            ("allocations", "allocations.json"),
            ("system", "hot_path_system.json"),
            ("mimalloc", "hot_path_mimalloc.json"),
        ] {
            let mut measure = rivals();
            measure.args(["run", "--release", "--locked", "--quiet", "--bin", program]);
            measure.arg("--").arg(results.join(file)).args(quick);
            commands.push(measure);
        }
    }
    let mut bench = cargo();
    bench.args(["bench", "--locked"]);
    if config.quick {
        bench.args(["--", "--quick"]);
    } else {
        for name in benches()? {
            bench.args(["--bench", &name]);
        }
    }
    commands.push(bench);
    // Last, since its table is what one wants to see.
    let mut report = cargo();
    report.args(["run", "--release", "--locked", "--quiet", "--bin", "report"]);
    report.arg("--").arg(&results).args(quick);
    report.args(config.alone.then_some("--alone"));
    if config.docs {
        let guide = sys::root().join("crates/bloom-auth/src/guide");
        report.arg(format!("--docs={}", guide.display()));
    }
    commands.push(report);
    let verdict = all_succeed(commands)?;
    println!("results and plots: {results}");
    Ok(verdict)
}

/// Tests the harness.
fn harness_test() -> Command {
    let mut test = cargo();
    test.args(["test", "--release", "--locked", "--lib", "--quiet"]);
    test
}

/// Builds the programs that measure, and with them those that they run.
fn programs() -> Command {
    let mut build = cargo();
    build.args(["build", "--release", "--locked", "--bins", "--quiet"]);
    build
}

/// Cargo, in the workspace of other clients.
fn rivals() -> Command {
    let mut cargo = sys::cargo();
    cargo.current_dir(sys::root().join("xtask/bench/rivals"));
    cargo
}

/// Whether the lock file of the workspace of other clients is up to date. What is in it is not
/// compiled here: it is much, and nothing that we ship.
pub(crate) fn rivals_are_locked() -> Command {
    let mut cargo = rivals();
    cargo.args(["metadata", "--locked", "--format-version=1"]);
    cargo.stdout(Stdio::null());
    cargo
}

/// The benchmarks that measure what `report` does not.
fn benches() -> anyhow::Result<Vec<String>> {
    let mut metadata = cargo();
    metadata.args(["metadata", "--locked", "--no-deps", "--format-version=1"]);
    let metadata = MetadataCommand::parse(sys::output(&mut metadata)?)?;
    let package = metadata.packages.iter().find(|it| it.name == "bench");
    let targets = package
        .context("there is no package `bench`")?
        .targets
        .iter();
    let names = targets.filter(|it| it.is_bench()).map(|it| it.name.clone());
    let names = names.filter(|name| !MEASURED_BY_REPORT.contains(&name.as_str()));
    Ok(names.collect())
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
    all_succeed([harness_test(), programs(), run])
}

/// Counts the instructions of the command line tool beside those of a program that reads a file.
pub(crate) fn instructions(binary: Option<&Path>) -> anyhow::Result<Verdict> {
    let target = sys::workspace()?.target_directory;
    let binary = match binary {
        Some(binary) => std::path::absolute(binary)?,
        // Older versions of valgrind do not survive how rustix finds the vDSO by itself.
        None => tool_with(&["--features", "rustix/use-libc"])?,
    };
    let mut run = cargo();
    run.args(["run", "--release", "--locked", "--quiet"]);
    run.args(["--bin", "instructions", "--"]);
    run.args([binary, target.join("bench/instructions").into()]);
    all_succeed([harness_test(), programs(), run])
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
fn all_succeed(commands: impl IntoIterator<Item = Command>) -> anyhow::Result<Verdict> {
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
