//! `cargo xtask mutants`: whether the tests notice when the code is changed (cargo-mutants).

mod ledger;
mod survivors;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use self::ledger::{Count, Ledger};
use self::survivors::Survivors;
use crate::{Verdict, sys, tools};

pub(crate) struct Config {
    /// A file or a folder, from the root; all that is in [`MODULES`] if this says nothing.
    pub(crate) file: Option<String>,
    /// Forget what is known of it.
    pub(crate) again: bool,
}

/// What is held to [`LEAST`] by default: where a mistake would cost most.
const MODULES: &[&str] = &[
    "crates/bloom-auth-core/src/provider/timing.rs",
    "crates/bloom-auth-core/src/provider/backoff.rs",
    "crates/bloom-auth-core/src/provider/failure.rs",
    "crates/bloom-auth-core/src/cache/record.rs",
    "crates/bloom-auth-core/src/bearer",
    "crates/bloom-auth-core/src/provider/state.rs",
    "crates/bloom-auth-cache/src/seal",
    "crates/bloom-auth-cache/src/file/protocol.rs",
    "crates/bloom-auth-core/src/protocol",
];

/// What shows in requests that are sent, or on a disk: for these, tests of this name alone are run,
/// those of `tests/it` too.
const INTEGRATED: &[(&str, &str)] = &[
    ("crates/bloom-auth-core/src/bearer", "bearer::"),
    ("crates/bloom-auth-cache/src/file", "file::"),
];

/// The least share of mutants that has to be caught, in percent.
const LEAST: usize = 90;

/// Tests that take most of the time, and find little that others do not: they are run for those
/// mutants alone that survive the rest.
const SLOW: &[&str] = &[
    "simulation::",
    "cache_suite::",
    "interleavings::",
    "model::",
];

/// Runs what has no verdict yet, and what has survived without a reason; so one that was
/// interrupted goes on where it was. The summary is the last line on stdout.
pub(crate) fn run(config: &Config) -> anyhow::Result<Verdict> {
    let survivors = Survivors::read()?;
    let modules: Vec<&str> = match &config.file {
        Some(file) => vec![file],
        None => MODULES.to_vec(),
    };
    let runs = modules.into_iter().map(Run::new);
    let runs = runs.collect::<anyhow::Result<Vec<_>>>()?;

    let tool = tools::cargo("cargo-mutants", "27.1.0")?;
    let mut problems = Vec::new();
    let mut rows = Vec::new();
    for run in runs {
        println!("--- {}", run.module);
        let mutants = run.list(&tool)?;
        let mut ledger = Ledger::read(&run.folder)?;
        if config.again {
            ledger.forget();
        }
        for skips in [SLOW, &[]] {
            let todo = ledger.unsettled(&mutants, &survivors, skips.is_empty());
            if !todo.is_empty() {
                run.test(&tool, &mutants, &todo, skips)?;
                ledger.collect(&run.folder)?;
            }
        }
        let count = ledger.count(&mutants);
        problems.extend(survivors.judge(run.module, &mutants, &ledger));
        if count.pending > 0 {
            problems.push(format!("{}: not all were tested", run.module));
        }
        if count.share() < LEAST {
            problems.push(format!(
                "{}: {} % caught, of which {LEAST} % are wanted: write tests for those that survive",
                run.module,
                count.share()
            ));
        }
        rows.push((run.module.to_owned(), count));
    }
    print(&rows);
    if !problems.is_empty() {
        println!("\nto fix:");
    }
    for problem in &problems {
        println!("  {problem}");
    }
    let all: Count = rows.iter().map(|(_, count)| *count).sum();
    println!(
        "\nmutants: {} caught, {} missed, {} % caught",
        all.caught + all.timeouts,
        all.missed,
        all.share()
    );
    Ok(if problems.is_empty() && all.mutants > 0 {
        Verdict::Passed
    } else {
        Verdict::Failed
    })
}

fn print(rows: &[(String, Count)]) {
    println!(
        "\n{:<46}{:>8}{:>8}{:>8}{:>10}{:>10}{:>7}",
        "module", "mutants", "caught", "missed", "timeouts", "unviable", "share"
    );
    for (module, count) in rows {
        println!(
            "{module:<46}{:>8}{:>8}{:>8}{:>10}{:>10}{:>5} %",
            count.mutants,
            count.caught,
            count.missed,
            count.timeouts,
            count.unviable,
            count.share()
        );
    }
}

/// A module, and where what is known of it is kept.
struct Run<'a> {
    module: &'a str,
    package: &'a str,
    /// What cargo-mutants looks for.
    pattern: String,
    /// Its results are in `mutants.out` there.
    folder: PathBuf,
    build: PathBuf,
}

impl<'a> Run<'a> {
    fn new(module: &'a str) -> anyhow::Result<Self> {
        let module = module.trim_end_matches('/');
        let path = sys::root().join(module);
        let pattern = match (path.is_file(), path.is_dir()) {
            (true, _) => module.to_owned(),
            (_, true) => format!("{module}/**/*.rs"),
            _ => {
                anyhow::bail!("there is no `{module}`: give a path from the root of the repository")
            }
        };
        let package = package_of(module).with_context(|| {
            format!("`{module}` is in no library: give a path such as `crates/bloom-auth-core/src`")
        })?;
        let target = sys::workspace()?.target_directory.into_std_path_buf();
        let target = target.join("mutants");
        let folder = target.join(module.replace('/', "-"));
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot write into {}", folder.display()))?;
        Ok(Self {
            module,
            package,
            pattern,
            folder,
            build: target.join("build"),
        })
    }

    fn command(&self, tool: &Path) -> Command {
        let mut command = Command::new(tool);
        command.current_dir(sys::root()).arg("mutants");
        command.args(["--no-config", "--package", self.package]);
        command.args(["--file", &self.pattern]);
        command
    }

    /// All mutants that there are.
    fn list(&self, tool: &Path) -> anyhow::Result<Vec<String>> {
        let list = sys::output(self.command(tool).args(["--list", "--colors=never"]))?;
        Ok(list.lines().map(str::to_owned).collect())
    }

    /// Tests these, one after the other. That some survive is no error.
    fn test(
        &self,
        tool: &Path,
        mutants: &[String],
        todo: &[String],
        skips: &[&str],
    ) -> anyhow::Result<()> {
        ledger::leave_out(&self.folder, mutants, todo)?;
        let mut command = self.command(tool);
        command.arg("--output").arg(&self.folder);
        command.args([
            "--iterate",
            "--no-shuffle",
            "--colors=never",
            "--all-features",
        ]);
        // On a busy machine the first run says little about the others.
        command.args(["--minimum-test-timeout", "120"]);
        command.args(["--cargo-arg=--locked", "--", "--lib"]);
        let mut integrated = INTEGRATED.iter();
        match integrated.find(|(module, _)| Path::new(self.module).starts_with(module)) {
            Some((_, name)) => command.args(["--test", "it", "--", name]),
            None => command.arg("--"),
        };
        for skip in skips {
            command.args(["--skip", skip]);
        }
        // Shared by all runs, so that what we depend on is built once.
        command.env("CARGO_TARGET_DIR", &self.build);
        let status = command
            .status()
            .with_context(|| format!("cannot start {command:?}"))?;
        // 2: some survive; 3: some do not end.
        anyhow::ensure!(
            matches!(status.code(), Some(0 | 2 | 3)),
            "cargo-mutants: {status}, see above"
        );
        Ok(())
    }
}

/// `crates/<package>/src/…`
fn package_of(module: &str) -> Option<&str> {
    let (package, rest) = module.strip_prefix("crates/")?.split_once('/')?;
    (rest == "src" || rest.starts_with("src/")).then_some(package)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_belongs_to_a_package() {
        for (module, package) in [
            (
                "crates/bloom-auth-core/src/error.rs",
                Some("bloom-auth-core"),
            ),
            ("crates/bloom-auth/src", Some("bloom-auth")),
            ("crates/bloom-auth-core/tests/it/main.rs", None),
            ("xtask/src/main.rs", None),
            ("src/lib.rs", None),
        ] {
            assert_eq!(package_of(module), package, "{module}");
        }
    }

    #[test]
    fn every_named_module_is_there() {
        for module in MODULES {
            assert!(Run::new(module).is_ok(), "{module}");
        }
        let error = Run::new("crates/bloom-auth-core/src/nothing.rs")
            .err()
            .unwrap();
        assert!(error.to_string().contains("there is no"), "{error}");
    }
}
