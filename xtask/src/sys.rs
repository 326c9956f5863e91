//! What is read from the surroundings: the place of the repository, the environment, the time.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::Context as _;
use cargo_metadata::{Metadata, MetadataCommand};

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// `program`, to be run at the root of the repository.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(cargo_path());
    command.current_dir(root());
    command
}

/// What `command` prints; an error if it fails.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    command.stderr(Stdio::inherit());
    let output = command
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    anyhow::ensure!(output.status.success(), "{command:?}: {}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// The members of the workspace, without what they depend on.
pub(crate) fn workspace() -> anyhow::Result<Metadata> {
    MetadataCommand::new()
        .cargo_path(cargo_path())
        .current_dir(root())
        .no_deps()
        .other_options(["--locked".to_owned()])
        .exec()
        .context("cannot read the workspace")
}

#[expect(
    clippy::disallowed_methods,
    reason = "cargo says in `CARGO` where it is"
)]
fn cargo_path() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into())
}

/// Whether this is a CI machine, where no tool may be missing.
#[expect(clippy::disallowed_methods, reason = "CI services set `CI`")]
pub(crate) fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty())
}

/// The time, for limits and reports.
#[expect(clippy::disallowed_methods, reason = "chores need no injected clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
