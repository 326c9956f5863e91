//! Builds and runs every example of the workspace: each must end well, soon, and without settings.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use cargo_metadata::camino::Utf8PathBuf;
use cargo_metadata::{Message, TargetKind};

use crate::features::Features;
use crate::sys;

/// How long an example may take.
const LIMIT: Duration = Duration::from_secs(60);

/// How an example went.
pub(crate) struct Outcome {
    /// `crate/example`.
    pub(crate) name: String,
    pub(crate) problem: Option<String>,
}

/// Where the examples are, by package and name.
type Executables = BTreeMap<(String, String), Utf8PathBuf>;

/// Runs the examples one after the other, in the order of their names.
pub(crate) fn run_all(features: &Features) -> anyhow::Result<Vec<Outcome>> {
    let names = names()?;
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let executables = build(features)?;
    let run = |(package, example): (String, String)| {
        let name = format!("{package}/{example}");
        println!("\n     Running example {name}");
        let problem = match executables.get(&(package, example)) {
            Some(path) => run_one(path.as_std_path()),
            None => Some("was not built".to_owned()),
        };
        println!("example {name} ... {}", problem.as_deref().unwrap_or("ok"));
        Outcome { name, problem }
    };
    Ok(names.into_iter().map(run).collect())
}

/// The package and the name of each example.
fn names() -> anyhow::Result<Vec<(String, String)>> {
    let mut names = Vec::new();
    for package in sys::workspace()?.workspace_packages() {
        for target in &package.targets {
            if target.is_example() {
                names.push((package.name.to_string(), target.name.clone()));
            }
        }
    }
    names.sort();
    Ok(names)
}

/// Builds all examples; those that do not build are missing from the result.
fn build(features: &Features) -> anyhow::Result<Executables> {
    let metadata = sys::workspace()?;
    let mut cargo = sys::cargo();
    cargo.args(["build", "--workspace", "--examples", "--locked"]);
    cargo.args(features.arguments());
    cargo.args([
        "--keep-going",
        "--message-format",
        "json-render-diagnostics",
    ]);
    let mut child = cargo
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo")?;
    let stdout = child.stdout.take().context("cargo has no output")?;

    let mut executables = Executables::new();
    for message in Message::parse_stream(BufReader::new(stdout)) {
        if let Message::CompilerArtifact(artifact) = message?
            && artifact.target.kind.contains(&TargetKind::Example)
            && let Some(executable) = artifact.executable
            && let Some(package) = metadata
                .packages
                .iter()
                .find(|p| p.id == artifact.package_id)
        {
            executables.insert((package.name.to_string(), artifact.target.name), executable);
        }
    }
    // What did not build is missing, and so reported by name.
    child.wait()?;
    Ok(executables)
}

/// Runs an example; says what was wrong.
fn run_one(path: &Path) -> Option<String> {
    let mut command = Command::new(path);
    command.current_dir(sys::root()).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("BLOOM_") {
            command.env_remove(name);
        }
    }
    let ended = command
        .spawn()
        .and_then(|mut child| wait(&mut child, LIMIT));
    match ended {
        Ok(Some(status)) if status.success() => None,
        Ok(Some(status)) => Some(status.to_string()),
        Ok(None) => Some(format!("took longer than {} s", LIMIT.as_secs())),
        Err(error) => Some(error.to_string()),
    }
}

/// Waits for `child` to end; kills it after `limit`.
fn wait(child: &mut Child, limit: Duration) -> std::io::Result<Option<ExitStatus>> {
    let start = sys::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if start.elapsed() >= limit {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_in_time_has_a_status() {
        let mut child = sys::cargo()
            .arg("--version")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let status = wait(&mut child, LIMIT).unwrap().unwrap();
        assert!(status.success());
    }

    #[test]
    fn what_overruns_is_killed() {
        // Waits for a stdin that never ends.
        let mut rustc = sys::command("rustc");
        rustc.args(["-", "--emit", "metadata", "-o", "-"]);
        let mut child = rustc
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        assert!(
            wait(&mut child, Duration::from_millis(50))
                .unwrap()
                .is_none()
        );
        assert!(child.try_wait().unwrap().is_some());
    }

    #[test]
    fn a_program_that_does_not_start_is_a_problem() {
        assert!(run_one(Path::new("no-such-example")).is_some());
    }
}
