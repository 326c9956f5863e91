//! `cargo xtask test`: every test and every example of the workspace, and one line that counts them.

mod examples;
mod interop;
mod libtest;
pub(crate) mod record;
mod skips;

use crate::features::Features;
use crate::stream::{self, Line};
use crate::{Verdict, faults, fuzz, servers, sys};
use libtest::Tally;
use record::Record;

pub(crate) struct Config {
    /// Play more orders, seeds and processes: hours instead of minutes.
    pub(crate) long: bool,
    /// Judge which faults are covered as well.
    pub(crate) faults: bool,
    /// Run the tests against the authorization servers of others too, and install these.
    pub(crate) interop: bool,
}

/// Runs all tests, then all examples; the summary is the last line on stdout.
pub(crate) fn run(config: &Config) -> anyhow::Result<Verdict> {
    let features = Features::of_this_machine()?;
    servers::fetch();
    let (mut summary, record) = run_tests(config, &features)?;
    if let Some(left_out) = features.left_out() {
        summary.leave_out(left_out, sys::in_ci());
    }
    for example in examples::run_all(&features)? {
        match example.problem {
            None => summary.passed += 1,
            Some(problem) => summary.fail(1, format!("example {}: {problem}", example.name)),
        }
    }

    if config.faults {
        println!();
        let coverage = faults::judge(&record)?;
        coverage.print_groups();
        for problem in &coverage.problems {
            summary.fail(0, format!("faults: {problem}"));
        }
    }

    if !summary.skips.is_empty() {
        println!();
    }
    for skip in &summary.skips {
        println!("SKIPPED {skip}");
    }
    if !summary.failures.is_empty() {
        println!("\nfailed:");
        for failure in &summary.failures {
            println!("  {failure}");
        }
    }
    println!("\n{}", summary.line());
    Ok(summary.verdict())
}

/// `cargo test` for the whole workspace, and for that of fuzzing, which replays what is kept there;
/// an error of cargo's own counts as one failed test.
fn run_tests(config: &Config, features: &Features) -> anyhow::Result<(Summary, Record)> {
    let mut cargo = sys::cargo();
    cargo.args(["test", "--workspace", "--locked", "--no-fail-fast"]);
    cargo.args(features.arguments());
    cargo.args(["--color", "never"]);
    let mut replay = fuzz::cargo();
    replay.args(["test", "--locked", "--no-fail-fast", "--color", "never"]);
    let skips = skips::folder(&skips::SKIPS)?;
    let passed = skips::folder(&skips::PASSED)?;
    for cargo in [&mut cargo, &mut replay] {
        if config.long {
            cargo.env("BLOOM_AUTH_TEST_LONG", "1");
        }
        cargo.env(skips::SKIPS.variable, &skips);
        cargo.env(skips::PASSED.variable, &passed);
    }
    let missing = if config.interop {
        let servers = interop::install()?;
        cargo.env(interop::VARIABLE, servers.folder);
        cargo.env(interop::BINARY, interop::binary()?);
        servers.problems
    } else {
        cargo.args(["--", "--skip", interop::TESTS]);
        Vec::new()
    };
    Record::forget()?;

    let mut tally = Tally::default();
    let mut targets = Vec::new();
    let mut cargo_problem = None;
    for cargo in [&mut cargo, &mut replay] {
        let status = stream::run(cargo, |line| match line {
            Line::Stdout(line) => tally.line(line),
            Line::Stderr(line) => targets.extend(failed_target(line).map(str::to_owned)),
        })?;
        tally.finish();
        if !status.success() {
            cargo_problem = Some(status.to_string());
        }
    }
    let mut summary = Summary::of_tests(&tally, &targets, cargo_problem.as_deref());
    let skips = skips::read(&skips)?;
    let record = Record::of_run(&tally, &skips, &skips::read(&passed)?);
    record.write()?;
    summary.skip(skips, sys::in_ci());
    for missing in missing {
        summary.leave_out(missing, sys::in_ci());
    }
    Ok((summary, record))
}

/// The target that cargo names in a line such as ``error: test failed, to rerun pass `-p a --lib` ``.
fn failed_target(line: &str) -> Option<&str> {
    let (_, rest) = line
        .strip_prefix("error: ")?
        .split_once("to rerun pass `")?;
    rest.strip_suffix('`')
}

/// Counts, and a line for each thing that failed or was skipped.
#[derive(Debug, Default)]
struct Summary {
    passed: u64,
    failed: u64,
    failures: Vec<String>,
    skips: Vec<String>,
}

impl Summary {
    fn of_tests(tally: &Tally, targets: &[String], cargo_problem: Option<&str>) -> Self {
        let mut summary = Self {
            passed: tally.passed,
            ..Self::default()
        };
        for target in targets {
            summary.fail(0, format!("cargo test {target}"));
        }
        for test in &tally.failed_tests {
            summary.fail(0, format!("test {test}"));
        }
        summary.failed += tally.failed;
        if tally.unfinished > 0 {
            let count = tally.unfinished;
            summary.fail(
                count,
                format!("test binaries that ended before they reported: {count}"),
            );
        }
        // The project has no ignored tests: what is not run proves nothing.
        if tally.ignored > 0 {
            let names = tally.ignored_tests.join(", ");
            summary.fail(tally.ignored, format!("ignored tests: {names}"));
        }
        match cargo_problem {
            Some(problem) if summary.failed == 0 => {
                summary.fail(1, format!("cargo test: {problem}, see above"));
            }
            _ => {}
        }
        summary
    }

    fn fail(&mut self, count: u64, what: String) {
        self.failed += count;
        self.failures.push(what);
    }

    /// Takes tests that could not run out of those that passed, as which they were reported. On
    /// a laptop that is all; in CI every test has to run.
    fn skip(&mut self, skips: Vec<String>, in_ci: bool) {
        for skip in skips {
            self.passed = self.passed.saturating_sub(1);
            if in_ci {
                self.fail(1, format!("skipped test {skip}"));
            } else {
                self.skips.push(skip);
            }
        }
    }

    /// Takes note of what was not even built or installed: no test was reported as it. On a
    /// laptop that is all.
    fn leave_out(&mut self, what: String, in_ci: bool) {
        if in_ci {
            self.fail(1, what);
        } else {
            self.skips.push(what);
        }
    }

    fn line(&self) -> String {
        let mut line = format!("tests: {} passed, {} failed", self.passed, self.failed);
        if !self.skips.is_empty() {
            line.push_str(&format!(", {} skipped", self.skips.len()));
        }
        line
    }

    /// A run without a single test proves nothing, so it fails.
    fn verdict(&self) -> Verdict {
        if self.failed == 0 && self.failures.is_empty() && self.passed > 0 {
            Verdict::Passed
        } else {
            Verdict::Failed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(stdout: &str, targets: &[&str], cargo: Option<&str>, line: &str, verdict: Verdict) {
        let mut tally = Tally::default();
        stdout.lines().for_each(|line| tally.line(line));
        tally.finish();
        let targets: Vec<String> = targets.iter().map(|&target| target.to_owned()).collect();
        let summary = Summary::of_tests(&tally, &targets, cargo);
        assert_eq!(summary.line(), line);
        assert_eq!(summary.verdict(), verdict);
    }

    #[test]
    fn good_counts_and_a_good_status_pass() {
        let stdout = "running 2 tests\ntest result: ok. 2 passed; 0 failed; 0 ignored; \
                      0 measured; 0 filtered out; finished in 0.01s";
        check(
            stdout,
            &[],
            None,
            "tests: 2 passed, 0 failed",
            Verdict::Passed,
        );
    }

    #[test]
    fn a_bad_status_fails_although_the_counts_are_good() {
        let stdout = "running 2 tests\ntest result: ok. 2 passed; 0 failed; 0 ignored; \
                      0 measured; 0 filtered out; finished in 0.01s";
        let line = "tests: 2 passed, 1 failed";
        check(stdout, &[], Some("exit status: 101"), line, Verdict::Failed);
        check(
            stdout,
            &["-p a --test b"],
            Some("exit status: 101"),
            line,
            Verdict::Failed,
        );
    }

    #[test]
    fn no_tests_at_all_fail() {
        check("", &[], None, "tests: 0 passed, 0 failed", Verdict::Failed);
    }

    #[test]
    fn ignored_tests_fail() {
        let stdout = "running 2 tests\ntest a ... ok\ntest b ... ignored\ntest result: ok. \
                      1 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out";
        check(
            stdout,
            &[],
            None,
            "tests: 1 passed, 1 failed",
            Verdict::Failed,
        );
    }

    #[test]
    fn skipped_tests_did_not_pass_and_fail_in_ci() {
        let mut tally = Tally::default();
        tally.line("running 3 tests");
        tally.line("test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
        let skips = || vec!["a: needs strace".to_owned(), "b: needs root".to_owned()];
        let mut summary = Summary::of_tests(&tally, &[], None);
        summary.skip(skips(), false);
        assert_eq!(summary.line(), "tests: 1 passed, 0 failed, 2 skipped");
        assert_eq!(summary.verdict(), Verdict::Passed);

        let mut summary = Summary::of_tests(&tally, &[], None);
        summary.skip(skips(), true);
        assert_eq!(summary.line(), "tests: 1 passed, 2 failed");
        assert_eq!(
            summary.failures.first().unwrap(),
            "skipped test a: needs strace"
        );
        assert_eq!(summary.verdict(), Verdict::Failed);
    }

    #[test]
    fn what_was_not_built_is_skipped_and_fails_in_ci() {
        let mut tally = Tally::default();
        tally.line("running 3 tests");
        tally.line("test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
        let mut summary = Summary::of_tests(&tally, &[], None);
        summary.leave_out("feature `a`: needs b".to_owned(), false);
        assert_eq!(summary.line(), "tests: 3 passed, 0 failed, 1 skipped");
        assert_eq!(summary.verdict(), Verdict::Passed);

        let mut summary = Summary::of_tests(&tally, &[], None);
        summary.leave_out("feature `a`: needs b".to_owned(), true);
        assert_eq!(summary.line(), "tests: 3 passed, 1 failed");
        assert_eq!(summary.verdict(), Verdict::Failed);
    }

    #[test]
    fn a_crashed_binary_fails() {
        let line = "tests: 0 passed, 1 failed";
        check(
            "running 9 tests",
            &["-p a --lib"],
            Some("exit status: 101"),
            line,
            Verdict::Failed,
        );
    }

    #[test]
    fn failed_targets_are_named() {
        let line = "error: test failed, to rerun pass `-p xtask --bin xtask`";
        assert_eq!(failed_target(line), Some("-p xtask --bin xtask"));
        let line = "error: doctest failed, to rerun pass `-p bloom-auth --doc`";
        assert_eq!(failed_target(line), Some("-p bloom-auth --doc"));
        assert_eq!(failed_target("warning: to rerun pass `x`"), None);
    }
}
