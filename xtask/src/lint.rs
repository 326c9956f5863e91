//! `cargo xtask lint`: everything that can be judged without running the code.

use std::process::Command;

use anyhow::Context as _;

use crate::features::Features;
use crate::tidy::{self, Rule, Snapshot};
use crate::{Verdict, bench, fuzz, packages, sys};

/// Runs every step, whatever the others say; the summary is the last line.
pub(crate) fn run() -> anyhow::Result<Verdict> {
    let mut report = Report::default();
    let features = Features::of_this_machine()?;
    for (name, command) in cargo_steps(&features)? {
        report.step(&name, || succeeds(command));
    }
    if let Some(left_out) = features.left_out() {
        report.step("clippy and rustdoc of every feature", || {
            Ok(missing(left_out))
        });
    }
    match Snapshot::read() {
        Ok(snapshot) => {
            for rule in tidy::RULES {
                report.step(&format!("tidy, {}", rule.name), || obeys(rule, &snapshot));
            }
        }
        Err(error) => report.step("tidy", || Err(error)),
    }
    report.step("packages", || packaged(&features));
    report.step("cargo deny", deny);
    report.step("workflow schema", workflow_schema);
    Ok(report.finish())
}

/// How a step went.
enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

/// A line for each step so far.
#[derive(Default)]
struct Report {
    steps: Vec<(String, Outcome)>,
}

impl Report {
    /// Runs a step; an error is a failure like any other.
    fn step(&mut self, name: &str, run: impl FnOnce() -> anyhow::Result<Outcome>) {
        println!("--- {name}");
        let outcome = run().unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
        self.steps.push((name.to_owned(), outcome));
    }

    fn finish(self) -> Verdict {
        println!();
        let (mut passed, mut failed, mut skipped) = (0, 0, 0);
        for (name, outcome) in &self.steps {
            match outcome {
                Outcome::Passed => {
                    passed += 1;
                    println!("ok       {name}");
                }
                Outcome::Failed(why) => {
                    failed += 1;
                    println!("FAILED   {name}: {why}");
                }
                Outcome::Skipped(why) => {
                    skipped += 1;
                    println!("SKIPPED  {name}: {why}");
                }
            }
        }
        // Not of the form that counts tests.
        println!("\nlint: {passed} checks passed, {failed} failed, {skipped} skipped");
        if failed == 0 && passed > 0 {
            Verdict::Passed
        } else {
            Verdict::Failed
        }
    }
}

/// rustfmt; clippy, for each crate with all features that can be built here, with each alone, with
/// the defaults and with none, as `cargo hack check --each-feature` has it; rustdoc; and whether the
/// benchmarks and what fuzzers run compile.
fn cargo_steps(features: &Features) -> anyhow::Result<Vec<(String, Command)>> {
    let mut steps = Vec::new();
    let mut step = |name: &str, args: &[&str]| {
        let mut cargo = sys::cargo();
        cargo.args(args);
        steps.push((name.to_owned(), cargo));
    };

    step("rustfmt", &["fmt", "--all", "--check"]);
    let all: Vec<_> = features.arguments().iter().map(String::as_str).collect();
    let deny = ["--", "-D", "warnings"];
    let clippy = ["clippy", "--workspace", "--all-targets", "--locked"];
    step("clippy", &[&clippy[..], &all, &deny].concat());
    for (name, own) in published()? {
        let clippy = ["clippy", "-p", &name, "--locked"];
        let bare = [&clippy[..], &["--no-default-features", "--lib"]].concat();
        let title = format!("clippy, {name} without features");
        step(&title, &[&bare[..], &deny].concat());
        let is_alone = |feature: &&String| *feature != "default" && features.has(feature);
        let alone: Vec<&str> = own.iter().filter(is_alone).map(String::as_str).collect();
        for feature in &alone {
            let title = format!("clippy, {name} with `{feature}` alone");
            step(
                &title,
                &[&bare[..], &["--features", feature], &deny].concat(),
            );
        }
        // What it has without what other members of the workspace switch on in it.
        if alone.len() > 1 {
            let title = format!("clippy, {name} with all features");
            let all = ["--lib", "--features", &alone.join(",")];
            step(&title, &[&clippy[..], &all, &deny].concat());
        }
        // What `cargo test` and `cargo run --example` build for those who name no features.
        if !own.is_empty() {
            let title = format!("clippy, {name} with default features");
            step(&title, &[&clippy[..], &["--all-targets"], &deny].concat());
        }
    }
    let doc = ["doc", "--workspace", "--no-deps", "--locked"];
    step("rustdoc", &[&doc[..], &all].concat());
    if let Some((_, rustdoc)) = steps.last_mut() {
        rustdoc.env("RUSTDOCFLAGS", "-D warnings");
    }
    // Clippy checks all that `cargo check` does.
    let clippy = ["clippy", "--workspace", "--all-targets", "--locked"];
    let fuzz_targets = [&clippy[..], &["--features", "libfuzzer"], &deny].concat();
    for (name, mut cargo, args) in [
        (
            "rustfmt, benchmarks",
            bench::cargo(),
            &["fmt", "--all", "--check"][..],
        ),
        (
            "clippy, benchmarks",
            bench::cargo(),
            &[&clippy[..], &deny].concat(),
        ),
        ("rustfmt, fuzzing", fuzz::cargo(), &["fmt", "--check"]),
        ("clippy, fuzzing", fuzz::cargo(), &fuzz_targets),
    ] {
        cargo.args(args);
        steps.push((name.to_owned(), cargo));
    }
    steps.push((
        "lock file, other clients".to_owned(),
        bench::rivals_are_locked(),
    ));
    Ok(steps)
}

/// The libraries that are meant for users, each with its features.
fn published() -> anyhow::Result<Vec<(String, Vec<String>)>> {
    let metadata = sys::workspace()?;
    let published = packages::published(metadata.workspace_packages()).into_iter();
    let libraries = published.filter(|it| it.targets.iter().any(|target| target.is_lib()));
    let with_features = |package: &cargo_metadata::Package| {
        let features = package.features.keys().cloned();
        (package.name.to_string(), features.collect())
    };
    Ok(libraries.map(with_features).collect())
}

fn packaged(features: &Features) -> anyhow::Result<Outcome> {
    Ok(outcome(&packages::check(features.arguments())?))
}

fn obeys(rule: &Rule, snapshot: &Snapshot) -> anyhow::Result<Outcome> {
    Ok(outcome(&(rule.check)(snapshot)?))
}

/// Prints what there is to fix.
fn outcome<T: std::fmt::Display>(problems: &[T]) -> Outcome {
    for problem in problems {
        println!("{problem}");
    }
    match problems.len() {
        0 => Outcome::Passed,
        count => Outcome::Failed(format!("{count} to fix, see above")),
    }
}

fn deny() -> anyhow::Result<Outcome> {
    let mut version = sys::cargo();
    version.args(["deny", "--version"]);
    if !is_installed(version) {
        return Ok(not_installed("cargo install --locked cargo-deny@0.20.2"));
    }
    let mut deny = sys::cargo();
    deny.args(["deny", "--locked", "check", "bans", "licenses", "sources"]);
    succeeds(deny)
}

fn workflow_schema() -> anyhow::Result<Outcome> {
    let mut version = sys::command("check-jsonschema");
    version.arg("--version");
    if !is_installed(version) {
        return Ok(not_installed("pip install check-jsonschema"));
    }
    let folder = sys::root().join(".github/workflows");
    let mut workflows = Vec::new();
    for entry in folder.read_dir().context("cannot list the workflows")? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "yml" || extension == "yaml")
        {
            workflows.push(path);
        }
    }
    workflows.sort();
    let mut check = sys::command("check-jsonschema");
    check.args(["--builtin-schema", "vendor.github-workflows"]);
    check.args(workflows);
    succeeds(check)
}

fn succeeds(mut command: Command) -> anyhow::Result<Outcome> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {command:?}"))?;
    Ok(if status.success() {
        Outcome::Passed
    } else {
        Outcome::Failed(status.to_string())
    })
}

fn is_installed(mut version: Command) -> bool {
    version.output().is_ok_and(|output| output.status.success())
}

fn not_installed(install: &str) -> Outcome {
    missing(format!("not installed, try `{install}`"))
}

/// On a laptop a missing tool is worth a hint; in CI every check has to run.
fn missing(why: String) -> Outcome {
    if sys::in_ci() {
        Outcome::Failed(why)
    } else {
        Outcome::Skipped(why)
    }
}
