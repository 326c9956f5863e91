//! What the tests share: a home of one's own for each, and commands in it.

use std::{
    ffi::OsStr,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use bloom_auth_emulator::{Emulator, EmulatorBuilder};
use tempfile::TempDir;

pub(crate) const ORGANIZATION: &str = "/v2/core/organization";

/// A user with nothing but an emulator.
pub(crate) struct User {
    pub(crate) emulator: Emulator,
    home: TempDir,
}

impl User {
    pub(crate) async fn new() -> Self {
        Self::of(Emulator::builder().plain_http()).await
    }

    pub(crate) async fn of(builder: EmulatorBuilder) -> Self {
        let emulator = builder.start().await.unwrap();
        let home = tempfile::tempdir().unwrap();
        Self { emulator, home }
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.home().join("cache/bloom-auth")
    }

    /// The names in the cache directory.
    pub(crate) fn cached(&self) -> Vec<String> {
        let Ok(names) = fs::read_dir(self.cache()) else {
            return Vec::new();
        };
        let name = |entry: std::io::Result<fs::DirEntry>| {
            entry.unwrap().file_name().into_string().unwrap()
        };
        names.map(name).collect()
    }

    pub(crate) fn token_requests(&self) -> u64 {
        self.emulator.counts().token_requests
    }

    /// The file of settings in the place where it is looked for.
    pub(crate) fn config(&self, text: &str, mode: u32) -> PathBuf {
        let path = self.home().join("config/bloom-auth.toml");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        set_mode(&path, mode);
        path
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home().join(name);
        fs::write(&path, text).unwrap();
        set_mode(&path, 0o600);
        path
    }

    /// A command of this user, with all settings for the emulator.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.bare(args);
        let emulator = &self.emulator;
        command
            .env("BLOOM_CLIENT_ID", emulator.client_id())
            .env("BLOOM_CLIENT_SECRET", emulator.client_secret())
            .env("BLOOM_AUDIENCE", emulator.audience())
            .env("BLOOM_TOKEN_URL", emulator.v1_token_url())
            .env("BLOOM_API_URL", emulator.api_url());
        if emulator.ca_pem().is_none() {
            command.env("BLOOM_ALLOW_INSECURE_LOOPBACK", "true");
        }
        command
    }

    /// A command without settings.
    pub(crate) fn bare<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = bloom_auth();
        command
            .args(args)
            .env("HOME", self.home())
            .env("XDG_CACHE_HOME", self.home().join("cache"))
            .env("XDG_CONFIG_HOME", self.home().join("config"));
        command
    }

    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        run(&mut self.command(args))
    }
}

/// The binary, with no more of our environment than it needs.
pub(crate) fn bloom_auth() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bloom-auth"));
    command.env_clear().stdin(Stdio::null());
    #[expect(clippy::disallowed_methods, reason = "for the programs that it runs")]
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ran {
    /// What it printed, if that is all that there is.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(
            (self.code, self.stderr.as_str()),
            (Some(0), ""),
            "{}",
            self.stdout
        );
        self.stdout
    }

    /// What it said, if it failed in this way and printed nothing.
    #[track_caller]
    pub(crate) fn failed(self, code: i32) -> String {
        assert_eq!(
            (self.code, self.stdout.as_str()),
            (Some(code), ""),
            "{}",
            self.stderr
        );
        self.stderr
    }
}

pub(crate) fn run(command: &mut Command) -> Ran {
    command.output().unwrap().into()
}

pub(crate) fn run_with_stdin(command: &mut Command, input: &[u8]) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may have ended before it has read all.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap().into()
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let _ = (path, mode);
}

pub(crate) fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}
