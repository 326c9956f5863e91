//! `cargo xtask fuzz`: libFuzzer on every parser, in a workspace of its own.
//!
//! It needs no other toolchain: the compiler is told to count which branches are taken, and no
//! sanitizer is used, since the code under scrutiny has none of the faults that those look for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::{Verdict, sys};

pub(crate) struct Config {
    /// All of them, if this says nothing.
    pub(crate) target: Option<String>,
    /// A million, if this says nothing.
    pub(crate) runs: Option<u64>,
}

const RUNS: u64 = 1_000_000;

/// What libFuzzer needs of the code that it looks at; each goes to rustc.
const INSTRUMENTATION: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// An input is no longer than this, nor takes so many seconds, without being a finding.
const MAX_BYTES: u32 = 16 * 1024;
const MAX_SECONDS: u32 = 10;

/// Cargo, in the workspace of fuzzing.
pub(crate) fn cargo() -> Command {
    let mut cargo = sys::cargo();
    cargo.current_dir(folder());
    cargo
}

fn folder() -> PathBuf {
    sys::root().join("xtask/fuzz")
}

/// Builds the targets and runs them, one after the other; a line for each.
pub(crate) fn run(config: &Config) -> anyhow::Result<Verdict> {
    let all = names(&folder().join("fuzz_targets"))?;
    let chosen = choose(&all, config.target.as_deref())?;
    let mut compiler = sys::command("c++");
    compiler.arg("--version");
    anyhow::ensure!(
        compiler
            .output()
            .is_ok_and(|output| output.status.success()),
        "libFuzzer is built by a C++ compiler, and there is none: try `apt-get install g++`"
    );
    let programs = build()?;
    let mut findings = 0;
    for name in chosen {
        let runs = config.runs.unwrap_or(RUNS);
        let outcome = fuzz(&programs, name, runs)?;
        println!("{}", outcome.line(name));
        findings += outcome.findings.len();
    }
    println!("\nfuzz: {findings} findings");
    Ok(if findings == 0 {
        Verdict::Passed
    } else {
        Verdict::Failed
    })
}

/// The names of the files, without their endings.
fn names(folder: &Path) -> anyhow::Result<Vec<String>> {
    let context = || format!("cannot list {}", folder.display());
    let mut names = Vec::new();
    for entry in folder.read_dir().with_context(context)? {
        let path = entry.with_context(context)?.path();
        names.extend(
            path.file_stem()
                .map(|name| name.to_string_lossy().into_owned()),
        );
    }
    names.sort();
    Ok(names)
}

fn choose<'a>(all: &'a [String], one: Option<&str>) -> anyhow::Result<Vec<&'a String>> {
    let chosen: Vec<_> = all
        .iter()
        .filter(|name| one.is_none_or(|one| one == *name))
        .collect();
    anyhow::ensure!(
        !chosen.is_empty(),
        "`{}` is no target; there are {}",
        one.unwrap_or_default(),
        all.join(", ")
    );
    Ok(chosen)
}

/// Builds the programs, and returns where they are.
fn build() -> anyhow::Result<PathBuf> {
    let version = sys::output(sys::command("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.context("rustc does not say for which machine it compiles")?;
    let target = target()?.join("fuzz");
    let mut build = cargo();
    build.args([
        "build",
        "--release",
        "--locked",
        "--bins",
        "--features",
        "link",
    ]);
    // With a target, what runs while it is built is not instrumented.
    build
        .args(["--target", host])
        .arg("--target-dir")
        .arg(&target);
    build.env("CARGO_ENCODED_RUSTFLAGS", INSTRUMENTATION.join("\u{1f}"));
    let status = build.status().context("cannot start cargo")?;
    anyhow::ensure!(status.success(), "the targets do not build: {status}");
    Ok(target.join(host).join("release"))
}

fn target() -> anyhow::Result<PathBuf> {
    Ok(sys::workspace()?.target_directory.into_std_path_buf())
}

/// What became of a target.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    executions: u64,
    /// How many branches were taken.
    coverage: u64,
    /// How many inputs took a way of their own.
    corpus: u64,
    /// The files that hold what was found.
    findings: Vec<String>,
    /// Where libFuzzer says what it did.
    log: String,
}

fn fuzz(programs: &Path, name: &str, runs: u64) -> anyhow::Result<Outcome> {
    let kept = folder().join("corpus").join(name);
    let dictionary = folder().join("dictionaries").join(format!("{name}.txt"));
    let target = target()?;
    // What it comes upon is kept for the next time, apart from what is committed.
    let [corpus, found, logs] =
        ["fuzz-corpus", "fuzz-findings", "fuzz-logs"].map(|place| target.join(place));
    let (corpus, found) = (corpus.join(name), found.join(name));
    if found.exists() {
        fs::remove_dir_all(&found).with_context(|| format!("cannot empty {}", found.display()))?;
    }
    for folder in [&corpus, &found, &logs] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let log = logs.join(format!("{name}.txt"));
    let mut program = Command::new(programs.join(name));
    program.arg(format!("-runs={runs}"));
    program.args([
        "-print_final_stats=1".to_owned(),
        format!("-max_len={MAX_BYTES}"),
        format!("-timeout={MAX_SECONDS}"),
        format!("-artifact_prefix={}/", found.display()),
    ]);
    if dictionary.exists() {
        program.arg(format!("-dict={}", dictionary.display()));
    }
    program.args([&corpus, &kept]);
    let output = program
        .output()
        .with_context(|| format!("cannot start {program:?}"))?;
    fs::write(&log, &output.stderr).with_context(|| format!("cannot write {}", log.display()))?;
    let mut outcome = Outcome::read(&String::from_utf8_lossy(&output.stderr));
    outcome.log = log.display().to_string();
    outcome.findings = files(&found)?;
    if !output.status.success() && outcome.findings.is_empty() {
        outcome
            .findings
            .push(format!("{} without an input", output.status));
    }
    Ok(outcome)
}

fn files(folder: &Path) -> anyhow::Result<Vec<String>> {
    let context = || format!("cannot list {}", folder.display());
    let mut files = Vec::new();
    for entry in folder.read_dir().with_context(context)? {
        files.push(entry.with_context(context)?.path().display().to_string());
    }
    files.sort();
    Ok(files)
}

impl Outcome {
    /// Reads what libFuzzer writes: status lines such as `#512 NEW    cov: 57 ft: 91 corp: 12/98b`,
    /// and in the end `stat::number_of_executed_units: 1000`.
    fn read(log: &str) -> Self {
        let mut outcome = Self::default();
        for line in log.lines() {
            if let Some(number) = line.strip_prefix("stat::number_of_executed_units:") {
                outcome.executions = number.trim().parse().unwrap_or(0);
            }
            if !line.starts_with('#') {
                continue;
            }
            let mut words = line.split_whitespace();
            while let Some(word) = words.next() {
                let number = |text: Option<&str>| {
                    let digits = text.and_then(|text| text.split('/').next());
                    digits.and_then(|digits| digits.parse().ok())
                };
                match word {
                    "cov:" => outcome.coverage = number(words.next()).unwrap_or(0),
                    "corp:" => outcome.corpus = number(words.next()).unwrap_or(0),
                    _ => {}
                }
            }
        }
        outcome
    }

    fn line(&self, name: &str) -> String {
        let Self {
            executions,
            coverage,
            corpus,
            findings,
            log,
        } = self;
        let mut line = format!(
            "{name:<18}{executions:>10} executions, {coverage:>5} branches, {corpus:>5} inputs, "
        );
        match findings.as_slice() {
            [] => line.push_str("no finding"),
            findings => line.push_str(&format!(
                "FOUND {}: see {log}; keep it in the corpus, under a name that says what it is",
                findings.join(", ")
            )),
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libfuzzer_says_is_read() {
        let log = "INFO: Seed: 1\n#0\tREAD units: 3\n#4\tINITED cov: 40 ft: 41 corp: 3/30b \
                   exec/s: 0 rss: 30Mb\n#1000\tDONE   cov: 57 ft: 91 corp: 12/98Kb lim: 40 \
                   exec/s: 500\nDone 1000 runs in 2 second(s)\n\
                   stat::number_of_executed_units: 1000\nstat::new_units_added: 9\n";
        let outcome = Outcome::read(log);
        let expected = Outcome {
            executions: 1000,
            coverage: 57,
            corpus: 12,
            ..Outcome::default()
        };
        assert_eq!(outcome, expected);
        assert!(outcome.line("a").ends_with("no finding"));
        let found = Outcome {
            findings: vec!["b/crash-1".to_owned()],
            log: "c".to_owned(),
            ..expected
        };
        assert!(found.line("a").contains("FOUND b/crash-1: see c;"));
    }

    #[test]
    fn a_target_is_chosen_by_its_name() {
        let all = ["a".to_owned(), "b".to_owned()];
        assert_eq!(choose(&all, None).unwrap(), [&all[0], &all[1]]);
        assert_eq!(choose(&all, Some("b")).unwrap(), [&all[1]]);
        let error = choose(&all, Some("c")).unwrap_err().to_string();
        assert_eq!(error, "`c` is no target; there are a, b");
    }

    #[test]
    fn every_target_has_a_corpus() {
        let targets = names(&folder().join("fuzz_targets")).unwrap();
        assert_eq!(targets.len(), 8);
        assert_eq!(names(&folder().join("corpus")).unwrap(), targets);
    }
}
