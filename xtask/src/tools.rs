//! Programs of others, installed by the clients of their own registries into the target directory,
//! in pinned versions.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;

use crate::sys;

/// On Windows npm is a script, and Python has one name only.
const NPM: &str = if cfg!(windows) { "npm.cmd" } else { "npm" };
const PYTHON: &str = if cfg!(windows) { "python" } else { "python3" };

/// Says in a folder what was installed there, once it is there as a whole.
const STAMP: &str = "installed.txt";

/// Where they are installed.
pub(crate) fn folder() -> anyhow::Result<PathBuf> {
    let target = sys::workspace()?.target_directory;
    Ok(target.join("tools").into_std_path_buf())
}

/// Installs what `package-lock.json` in this folder of the repository lists, for the scripts that
/// are beside it, and copies these too: Node.js looks for packages where a script is.
pub(crate) fn npm(source: &Path, folder: &Path) -> anyhow::Result<()> {
    let version = version(NPM, "apt-get install nodejs npm")?;
    let lock = read(&source.join("package-lock.json"))?;
    install(folder, &format!("{version}\n{lock}"), || {
        for name in ["package.json", "package-lock.json"] {
            copy(source, folder, name)?;
        }
        let mut npm = Command::new(NPM);
        npm.current_dir(folder);
        // What a package would run while it is installed is nothing that we need.
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
        run(&mut npm)
    })
}

/// Installs what `requirements.txt` in this folder of the repository lists, and returns the Python
/// that finds it.
pub(crate) fn pip(source: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let version = version(PYTHON, "apt-get install python3-venv")?;
    let requirements = source.join("requirements.txt");
    let python = folder.join(if cfg!(windows) {
        "venv/Scripts/python.exe"
    } else {
        "venv/bin/python"
    });
    let stamp = format!("{version}\n{}", read(&requirements)?);
    install(folder, &stamp, || {
        let mut venv = Command::new(PYTHON);
        venv.args(["-m", "venv"]).arg(folder.join("venv"));
        run(&mut venv).context("is it installed? try `apt-get install python3-venv`")?;
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet"]);
        // Wheels alone: nothing is built, and nothing of theirs runs.
        pip.args(["--disable-pip-version-check", "--only-binary", ":all:"]);
        pip.arg("--requirement").arg(&requirements);
        run(&mut pip)
    })?;
    Ok(python)
}

/// Installs a program from crates.io, and returns its path. That compiles it, which takes minutes.
pub(crate) fn cargo(name: &str, version: &str) -> anyhow::Result<PathBuf> {
    let folder = folder()?.join(name);
    install(&folder, version, || {
        println!("installing {name} {version} into {}", folder.display());
        let mut cargo = sys::cargo();
        cargo.args(["install", "--locked", "--quiet", "--root"]);
        cargo.arg(&folder);
        cargo.arg(format!("{name}@{version}"));
        run(&mut cargo)
    })?;
    let program = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    Ok(folder.join("bin").join(program))
}

/// Copies a file that may have changed since.
pub(crate) fn copy(from: &Path, to: &Path, name: &str) -> anyhow::Result<()> {
    fs::copy(from.join(name), to.join(name))
        .with_context(|| format!("cannot copy {name} to {}", to.display()))?;
    Ok(())
}

/// Installs into an empty folder, unless just that was installed there already.
fn install(
    folder: &Path,
    stamp: &str,
    install: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    if fs::read_to_string(folder.join(STAMP)).is_ok_and(|installed| installed == stamp) {
        return Ok(());
    }
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    let context = || format!("cannot write into {}", folder.display());
    fs::create_dir_all(folder).with_context(context)?;
    install()?;
    fs::write(folder.join(STAMP), stamp).with_context(context)
}

/// What the tool says of itself; an error with what to do if it is not there.
fn version(tool: &str, hint: &str) -> anyhow::Result<String> {
    let mut command = Command::new(tool);
    let output = command.arg("--version").stdin(Stdio::null()).output();
    let output = output.ok().filter(|output| output.status.success());
    let output = output.with_context(|| format!("`{tool}` is not installed, try `{hint}`"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot start {command:?}"))?;
    anyhow::ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn what_is_installed_is_installed_once_and_as_a_whole() {
        let folder = std::env::temp_dir().join(format!("xtask-tools-{}", std::process::id()));
        let count = Cell::new(0);
        let installed = |stamp, fails: bool| {
            let before = count.get();
            let result = install(&folder, stamp, || {
                count.set(before + 1);
                assert!(!folder.join("left over").exists());
                fs::write(folder.join("left over"), "").unwrap();
                anyhow::ensure!(!fails, "half of it");
                Ok(())
            });
            assert_eq!(result.is_err(), fails);
            count.get() > before
        };
        assert!(installed("1", true));
        assert!(installed("1", false), "after a failure");
        assert!(!installed("1", false));
        assert!(installed("2", false), "another version");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn who_lacks_a_tool_hears_what_to_do() {
        let error = version("no-such-tool", "apt-get install it").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`no-such-tool` is not installed, try `apt-get install it`"
        );
        assert!(version(env!("CARGO"), "").unwrap().starts_with("cargo "));
    }
}
