//! The servers as processes.
//!
//! Each is a script that takes the path of a file with its settings: the `doors`,
//! which are certificates to listen with, and the `clients` that it knows. It
//! prints `ready` and the port of each door once it listens, and `request` for
//! each request before it answers. It ends when its standard input does.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use bloom_auth_core::test_util::skip;

use super::{Door, Files};

/// The folder with the servers; `cargo xtask test --interop` sets it, and knows
/// what lies where in it too.
const FOLDER: &str = "BLOOM_AUTH_INTEROP";

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    OidcProvider,
    Authlib,
}

impl Kind {
    /// The program that runs it, and the script.
    fn script(self, folder: &Path) -> (PathBuf, PathBuf) {
        match self {
            Self::OidcProvider => ("node".into(), folder.join("oidc-provider/server.js")),
            Self::Authlib => {
                let python = if cfg!(windows) {
                    "authlib/venv/Scripts/python.exe"
                } else {
                    "authlib/venv/bin/python"
                };
                (folder.join(python), folder.join("authlib/server.py"))
            }
        }
    }
}

/// A server that runs, and ends with this.
pub(super) struct Server {
    pub(super) files: Files,
    child: Child,
    stdout: BufReader<ChildStdout>,
    ports: Vec<u16>,
}

impl Server {
    /// Starts it; `None` if it is not installed, and `test` is then skipped.
    pub(super) fn start(kind: Kind, test: &str) -> Option<Self> {
        let script = variable(FOLDER).map(|folder| kind.script(Path::new(&folder)));
        let Some((program, script)) = script.filter(|(_, script)| script.is_file()) else {
            let reason = format!("needs {kind:?}, which `cargo xtask test --interop` installs");
            skip(test, &reason);
            return None;
        };
        let files = Files::new();
        let log = files.path("log");
        let mut child = Command::new(&program)
            .arg(script)
            .arg(files.path("settings.json"))
            // It ends when this does, and so when the tests are killed.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let ports = loop {
            let mut line = String::new();
            if stdout.read_line(&mut line).unwrap() == 0 {
                let log = fs::read_to_string(&log).unwrap();
                panic!("{kind:?} does not start: {log}");
            }
            if let Some(ports) = line.strip_prefix("ready ") {
                let ports = ports.split_whitespace();
                break ports.map(|port| port.parse().unwrap()).collect();
            }
        };
        Some(Self {
            files,
            child,
            stdout,
            ports,
        })
    }

    pub(super) fn token_url(&self, door: Door) -> String {
        format!(
            "https://127.0.0.1:{}/oauth/token",
            self.ports[door as usize]
        )
    }

    /// Ends it, and says how many requests came, over TLS that was accepted.
    pub(super) fn requests(mut self) -> usize {
        drop(self.child.stdin.take());
        let lines = self.stdout.by_ref().lines().map(Result::unwrap);
        lines.filter(|line| line == "request").count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how the runner of the tests talks to them"
)]
pub(super) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}
