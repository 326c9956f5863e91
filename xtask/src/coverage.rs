//! `cargo xtask coverage`: which lines of the core its tests run (LLVM's source-based coverage).

mod lines;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Context as _;

use self::lines::{File, Lines};
use crate::{Verdict, sys};

const PACKAGE: &str = "bloom-auth-core";

/// The least share of lines that has to be run, in percent.
const LEAST: usize = 95;

/// What decides which fault is which, and what a caller can do about it: all of it is run.
const CLASSIFICATION: &[&str] = &[
    "crates/bloom-auth-core/src/error.rs",
    "crates/bloom-auth-core/src/provider/failure.rs",
];

/// Tools for the tests of others: that they run says nothing.
const TEST_TOOLS: &str = "crates/bloom-auth-core/src/test_util/";

/// Set for cargo when we are its wrapper around rustc.
const WRAPPER: &str = "BLOOM_AUTH_XTASK_COVERAGE";

/// Builds and runs the core's tests, and counts lines; the summary is the last line on stdout.
pub(crate) fn run() -> anyhow::Result<Verdict> {
    let tools = Tools::find()?;
    let folder = sys::workspace()?.target_directory.join("coverage");
    let folder = folder.into_std_path_buf();
    let context = || format!("cannot write into {}", folder.display());
    let raw = folder.join("raw");
    if raw.exists() {
        fs::remove_dir_all(&raw).with_context(context)?;
    }
    fs::create_dir_all(&raw).with_context(context)?;

    let mut programs = Vec::new();
    for target in [&["--lib"][..], &["--test", "it"]] {
        let program = build(target)?;
        let mut tests = Command::new(&program);
        tests.current_dir(sys::root().join("crates").join(PACKAGE));
        tests.arg("--quiet");
        // A file for each process, as tests start others.
        tests.env("LLVM_PROFILE_FILE", raw.join("%p-%m.profraw"));
        let status = tests
            .status()
            .with_context(|| format!("cannot start {tests:?}"))?;
        anyhow::ensure!(status.success(), "{tests:?}: {status}");
        programs.push(program);
    }
    let files = tools.count(&folder, &raw, &programs)?;
    Ok(report(&files))
}

/// Builds one test program of the core with counters in it, and in nothing that it uses: so what it
/// uses is built once for this and for all else.
fn build(target: &[&str]) -> anyhow::Result<PathBuf> {
    let mut cargo = sys::cargo();
    cargo.args(["test", "--locked", "--no-run", "--all-features"]);
    cargo.args(["--package", PACKAGE, "--message-format=json"]);
    cargo.args(target);
    let this = std::env::current_exe().context("cannot find this program")?;
    cargo.env("RUSTC_WORKSPACE_WRAPPER", this);
    cargo.env(WRAPPER, "1");
    let messages = sys::output(&mut cargo)?;
    let messages = cargo_metadata::Message::parse_stream(messages.as_bytes());
    let mut program = None;
    for message in messages {
        if let cargo_metadata::Message::CompilerArtifact(artifact) = message? {
            program = artifact.executable.or(program);
        }
    }
    let program = program.with_context(|| format!("{cargo:?} made no program"))?;
    Ok(program.into_std_path_buf())
}

/// Runs rustc, if that is what cargo has started us for.
pub(crate) fn wrap() -> Option<ExitCode> {
    variable(WRAPPER)?;
    let mut args = std::env::args_os().skip(1);
    let mut rustc = Command::new(args.next()?);
    rustc.args(args);
    if variable("CARGO_PKG_NAME").is_some_and(|name| name == PACKAGE) {
        rustc.args(["-C", "instrument-coverage"]);
    }
    let succeeds = rustc.status().is_ok_and(|status| status.success());
    Some(if succeeds {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is how cargo talks to rustc"
)]
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// LLVM's tools, of the version that rustc was built with or a later one: older ones cannot read
/// what it counts.
struct Tools {
    profdata: PathBuf,
    cov: PathBuf,
}

impl Tools {
    /// Those of rustup's toolchain, or else those of the system.
    fn find() -> anyhow::Result<Self> {
        let rustc = |args: &[&str]| sys::output(sys::command("rustc").args(args));
        let about = rustc(&["--version", "--verbose"])?;
        let field = |name: &str| {
            let mut lines = about.lines();
            lines.find_map(|line| Some(line.strip_prefix(name)?.trim()))
        };
        let host = field("host:").context("rustc does not say its host")?;
        let wanted = field("LLVM version:").and_then(major);
        let wanted = wanted.context("rustc does not say its version of LLVM")?;
        let sysroot = rustc(&["--print", "sysroot"])?;
        let folder = Path::new(sysroot.trim()).join("lib/rustlib").join(host);
        for folder in [folder.join("bin"), PathBuf::new()] {
            let tool = |name: &str| {
                let name = format!("{name}{}", std::env::consts::EXE_SUFFIX);
                folder.join(name)
            };
            let tools = Self {
                profdata: tool("llvm-profdata"),
                cov: tool("llvm-cov"),
            };
            if version(&tools.cov).is_some_and(|version| version >= wanted) {
                return Ok(tools);
            }
        }
        anyhow::bail!(
            "there is no llvm-cov of version {wanted} or later, which reads what rustc counts: try \
             `rustup component add llvm-tools` (Debian's is older)"
        )
    }

    /// Adds up what the programs have counted, by file.
    fn count(
        &self,
        folder: &Path,
        raw: &Path,
        programs: &[PathBuf],
    ) -> anyhow::Result<BTreeMap<String, File>> {
        let merged = folder.join("all.profdata");
        let mut merge = Command::new(&self.profdata);
        merge.args(["merge", "--sparse", "--output"]).arg(&merged);
        for entry in raw.read_dir()? {
            merge.arg(entry?.path());
        }
        sys::output(&mut merge)?;
        let mut export = Command::new(&self.cov);
        export.args(["export", "--format=lcov", "--instr-profile"]);
        export.arg(&merged);
        for program in programs {
            export.arg("--object").arg(program);
        }
        let lcov = sys::output(&mut export)?;
        let sources = format!("crates/{PACKAGE}/src/");
        let mut files = BTreeMap::new();
        let all = lines::parse(&lcov);
        let ours = all
            .keys()
            .filter(|path| Path::new(path.as_str()).starts_with(sys::root()));
        let tests = lines::test_files(ours, |path| text(Path::new(path)))?;
        for (path, lines) in &all {
            let Ok(relative) = Path::new(path).strip_prefix(sys::root()) else {
                continue;
            };
            let relative = relative.to_string_lossy().replace('\\', "/");
            if relative.starts_with(&sources)
                && !relative.starts_with(TEST_TOOLS)
                && !tests.contains(path)
            {
                let file = File::new(lines, &text(Path::new(path))?);
                if file.count().lines > 0 {
                    files.insert(relative, file);
                }
            }
        }
        Ok(files)
    }
}

fn report(files: &BTreeMap<String, File>) -> Verdict {
    let mut problems = Vec::new();
    let mut all = Lines::default();
    println!(
        "\n{:<58}{:>7}{:>7}{:>9}  not run",
        "file", "lines", "run", "share"
    );
    for (path, file) in files {
        let count = file.count();
        all.add(count);
        let missed = file.missed();
        println!(
            "{path:<58}{:>7}{:>7}{:>8.1}%  {missed}",
            count.lines,
            count.run,
            count.share()
        );
    }
    for path in CLASSIFICATION {
        match files.get(*path) {
            Some(file) if file.count().reaches(100) => {}
            Some(file) => problems.push(format!("{path}: no test runs {}", file.missed())),
            None => problems.push(format!("{path}: nothing is known of it: was it moved?")),
        }
    }
    if !all.reaches(LEAST) {
        problems.push(format!("the core: {LEAST} % of its lines are wanted"));
    }
    if !problems.is_empty() {
        println!("\nto fix:");
    }
    for problem in &problems {
        println!("  {problem}");
    }
    println!(
        "\ncoverage: {:.1} % of {} lines of {PACKAGE}",
        all.share(),
        all.lines
    );
    match problems.as_slice() {
        [] => Verdict::Passed,
        _ => Verdict::Failed,
    }
}

/// The version of an LLVM tool, if it is there.
fn version(tool: &Path) -> Option<u32> {
    let output = Command::new(tool).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, version) = text.split_once("LLVM version ")?;
    major(version)
}

fn major(version: &str) -> Option<u32> {
    version.split('.').next()?.trim().parse().ok()
}

fn text(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_first_number() {
        for (version, number) in [("22.1.2", Some(22)), ("14", Some(14)), ("x.1", None)] {
            assert_eq!(major(version), number, "{version}");
        }
        assert_eq!(version(Path::new("no-such-tool")), None);
    }

    #[test]
    fn a_line_of_the_classification_that_no_test_runs_fails() {
        let file = |lcov: &str| {
            let all = lines::parse(lcov);
            File::new(all.values().next().unwrap(), "")
        };
        let files = |lcov: &str| -> BTreeMap<_, _> {
            let all = CLASSIFICATION.iter().map(|path| (*path).to_owned());
            all.map(|path| (path, file(lcov))).collect()
        };
        let run = "SF:a\nDA:1,1\nDA:2,5\n";
        assert_eq!(report(&files(run)), Verdict::Passed);
        assert_eq!(report(&files("SF:a\nDA:1,1\nDA:2,0\n")), Verdict::Failed);
        assert_eq!(report(&BTreeMap::new()), Verdict::Failed);
        // Twenty lines more, of which one is too much: 19 and 4 of 20 and 4.
        let mut most = files(run);
        let lines = |missed: u32| -> String {
            let lines = (1..=20).map(|n| format!("DA:{n},{}\n", u32::from(n > missed)));
            lines.collect()
        };
        most.insert("b".to_owned(), file(&format!("SF:b\n{}", lines(1))));
        assert_eq!(report(&most), Verdict::Passed);
        most.insert("b".to_owned(), file(&format!("SF:b\n{}", lines(2))));
        assert_eq!(report(&most), Verdict::Failed);
    }
}
