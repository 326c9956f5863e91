//! `cargo xtask instructions`: how many instructions the paths that matter take, each as a ratio to
//! a floor, which must not grow.
//!
//! Valgrind counts them, so that a busy machine changes nothing. Counts alone change with the
//! processor and the compiler; a floor that does the same work without the library, counted in the
//! same run, changes with them.

mod ratios;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;

use self::ratios::{Recorded, Routine};
use crate::{Verdict, bench, sys};

pub(crate) struct Config {
    /// Write down what is counted, instead of holding it against what was.
    pub(crate) record: bool,
}

/// Where it is written down, from the root.
const RECORDED: &str = "xtask/bench/instructions/recorded.toml";

/// The package, its program and the profile that it is built with.
const PROGRAM: &str = "instructions";

/// In that program, what is to be counted: it and all that it calls.
const COUNTED: &str = "--toggle-collect=instructions::counted*";

/// Counts, and judges; or says why that cannot be done here.
pub(crate) fn run(config: &Config) -> anyhow::Result<Verdict> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        println!("SKIPPED  instructions: their ratios are those of Linux on x86-64");
        return Ok(Verdict::Passed);
    }
    if sys::output(Command::new("valgrind").arg("--version")).is_err() {
        let why = "valgrind is not installed, try `apt-get install valgrind`";
        // As for every tool: in CI nothing is skipped.
        return Ok(if sys::in_ci() {
            println!("FAILED   instructions: {why}");
            Verdict::Failed
        } else {
            println!("SKIPPED  instructions: {why}");
            Verdict::Passed
        });
    }
    let program = build()?;
    let routines = ratios::routines(&sys::output(Command::new(&program).arg("list"))?)?;
    // Whatever is below `target` outlives the run, for `callgrind_annotate`.
    let folder = program.with_extension("counts");
    fs::create_dir_all(&folder).context("cannot make a folder for the counts")?;
    let ratios = ratios::ratios(&routines, &count(&routines, &program, &folder)?)?;

    let path = sys::root().join(RECORDED);
    let rustc = sys::output(sys::command("rustc").arg("--version"))?;
    if config.record {
        let recorded = Recorded::new(rustc.trim(), &ratios);
        fs::write(&path, recorded.to_text()).with_context(|| format!("cannot write {RECORDED}"))?;
        print!("{}", ratios::table(&ratios, &recorded));
        return Ok(Verdict::Passed);
    }
    let text = fs::read_to_string(&path).with_context(|| {
        format!("cannot read {RECORDED}: write it with `cargo xtask instructions --record`")
    })?;
    let recorded = Recorded::parse(&text).with_context(|| format!("cannot use {RECORDED}"))?;
    print!("{}", ratios::table(&ratios, &recorded));
    let problems = recorded.judge(&ratios);
    for problem in &problems {
        println!("FAILED   {problem}");
    }
    if problems.is_empty() {
        return Ok(Verdict::Passed);
    }
    println!(
        "\nWhere instructions go: `callgrind_annotate {}/<routine>.out`.\n\
         If it has to be so, `cargo xtask instructions --record`, and say why in the commit.",
        folder.display()
    );
    if recorded.rustc != rustc.trim() {
        println!(
            "The compiler is another one than then, {}: it may be why.",
            recorded.rustc
        );
    }
    Ok(Verdict::Failed)
}

fn build() -> anyhow::Result<PathBuf> {
    let target = sys::workspace()?.target_directory.join("bench");
    let mut build = bench::cargo();
    build.args(["build", "--quiet", "--locked", "--package", PROGRAM]);
    build.args(["--profile", PROGRAM, "--target-dir", target.as_str()]);
    sys::output(&mut build)?;
    Ok(target.join(PROGRAM).join(PROGRAM).into())
}

/// Runs each under valgrind, as many at once as there are cores. The counts are those of all of its
/// calls, in the order of the routines.
fn count(routines: &[Routine], program: &Path, folder: &Path) -> anyhow::Result<Vec<u64>> {
    let next = Mutex::new(routines.iter().enumerate());
    let work = || {
        let mut counts = Vec::new();
        loop {
            // A statement of its own, so that the lock is free while a routine runs.
            let taken = next.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((index, routine)) = taken else {
                return anyhow::Ok(counts);
            };
            counts.push((index, count_one(routine, program, folder)?));
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let mut counts = Vec::new();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            let counted = worker
                .join()
                .map_err(|_| anyhow::anyhow!("a bug of ours"))?;
            counts.extend(counted?);
        }
        anyhow::Ok(())
    })?;
    counts.sort_unstable();
    Ok(counts.into_iter().map(|(_, count)| count).collect())
}

fn count_one(routine: &Routine, program: &Path, folder: &Path) -> anyhow::Result<u64> {
    let name = &routine.name;
    let out = folder.join(format!("{name}.out"));
    let mut to = OsStr::new("--callgrind-out-file=").to_owned();
    to.push(&out);
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args(["--quiet", "--tool=callgrind", COUNTED])
        .arg(to);
    sys::output(valgrind.arg(program).arg(name))?;
    let text = fs::read_to_string(&out)
        .with_context(|| format!("valgrind has not written {}", out.display()))?;
    ratios::total(&text).with_context(|| {
        format!("{name}: valgrind counted nothing; `{COUNTED}` does not name what is to be counted")
    })
}
