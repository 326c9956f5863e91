//! The authorization servers of others, for `cargo xtask test --interop`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{sys, tools};

/// Tells the tests in which folder the servers are; they know this name, and what lies where.
pub(super) const VARIABLE: &str = "BLOOM_AUTH_INTEROP";

/// Tells the tests where the command line tool is. `cargo test` builds it, for the tests of its own
/// crate, before it runs any.
pub(super) const BINARY: &str = "BLOOM_AUTH_BINARY";

/// In the names of all tests that need the servers, and of no other.
pub(super) const TESTS: &str = "other_servers::";

/// The command line tool, as `cargo test` leaves it.
pub(super) fn binary() -> anyhow::Result<PathBuf> {
    let name = format!("bloom-auth{}", std::env::consts::EXE_SUFFIX);
    let target = sys::workspace()?.target_directory;
    Ok(target.join("debug").join(name).into())
}

/// What was installed, and what could not be.
pub(super) struct Servers {
    pub(super) folder: PathBuf,
    /// A line for each that is missing.
    pub(super) problems: Vec<String>,
}

/// Installs each server, if it is not there already.
pub(super) fn install() -> anyhow::Result<Servers> {
    let source = sys::root().join("xtask/interop");
    let folder = tools::folder()?.join("interop");
    let mut problems = Vec::new();
    for (name, script, install) in SERVERS {
        let (source, folder) = (source.join(name), folder.join(name));
        // Tests start what is there: a script alone would not run.
        let script_there = folder.join(script);
        let installed = install(&source, &folder).and_then(|()| {
            // It may have changed, other than what it needs.
            tools::copy(&source, &folder, script)
        });
        if let Err(error) = installed {
            let _ = fs::remove_file(script_there);
            problems.push(format!("authorization server {name}: {error:#}"));
        }
    }
    Ok(Servers { folder, problems })
}

type Install = fn(&Path, &Path) -> anyhow::Result<()>;

/// The folder of each, its script, and the registry that it comes from.
const SERVERS: &[(&str, &str, Install)] = &[
    ("oidc-provider", "server.js", tools::npm),
    ("authlib", "server.py", |source, folder| {
        tools::pip(source, folder).map(drop)
    }),
];

#[cfg(test)]
mod tests {
    use super::*;

    const SUPPORT: &str =
        include_str!("../../../crates/bloom-auth/tests/it/other_servers/server.rs");

    #[test]
    fn the_tests_know_the_tool_by_the_same_name() {
        let tests = include_str!("../../../crates/bloom-auth/tests/it/other_servers/binary.rs");
        assert!(tests.contains(&format!("const BINARY: &str = \"{BINARY}\";")));
    }

    #[test]
    fn the_tests_know_the_folder_and_the_scripts_by_the_same_names() {
        assert!(SUPPORT.contains(&format!("const FOLDER: &str = \"{VARIABLE}\";")));
        for (name, script, _) in SERVERS {
            assert!(SUPPORT.contains(&format!("\"{name}/{script}\"")), "{name}");
        }
    }
}
