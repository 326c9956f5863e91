//! Processes that share a file cache: real ones, which are this test binary
//! again, against one emulator.

mod clocks;
mod disk;
mod fork;
mod herd;
mod limits;
mod trouble;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use bloom_auth::BloomAuth;
use bloom_auth_emulator::Emulator;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// What a child process is to do; a process without it is a parent.
const ROLE: &str = "BLOOM_AUTH_TEST_ROLE";

/// An emulator with a runtime of its own, and a directory for a cache.
struct Setup {
    emulator: Emulator,
    runtime: Runtime,
    directory: TempDir,
}

impl Setup {
    fn new() -> Self {
        Self::with_latency(Duration::ZERO)
    }

    fn with_latency(latency: Duration) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let emulator = Emulator::builder().plain_http().latency(latency).start();
        Self {
            emulator: runtime.block_on(emulator).unwrap(),
            runtime,
            directory: tempfile::tempdir().unwrap(),
        }
    }

    /// The same with another emulator at the same address, for the same
    /// client; `None` if somebody else has the address now.
    fn restarted(self) -> Option<Self> {
        let Self {
            emulator,
            runtime,
            directory,
        } = self;
        let again = Emulator::builder()
            .plain_http()
            .port(emulator.address().port())
            .client(emulator.client_id(), emulator.client_secret())
            .audience(emulator.audience());
        runtime.block_on(emulator.shutdown());
        let emulator = runtime.block_on(again.start()).ok()?;
        Some(Self {
            emulator,
            runtime,
            directory,
        })
    }

    fn cache(&self) -> PathBuf {
        self.directory.path().join("cache")
    }

    /// The settings that lead to the emulator and the cache.
    fn variables(&self) -> Vec<(&'static str, OsString)> {
        vec![
            ("BLOOM_CLIENT_ID", self.emulator.client_id().into()),
            ("BLOOM_CLIENT_SECRET", self.emulator.client_secret().into()),
            ("BLOOM_TOKEN_URL", self.emulator.v1_token_url().into()),
            ("BLOOM_API_URL", self.emulator.api_url().into()),
            ("BLOOM_AUDIENCE", self.emulator.audience().into()),
            ("BLOOM_ALLOW_INSECURE_LOOPBACK", "true".into()),
            ("BLOOM_CACHE", "file".into()),
            ("BLOOM_CACHE_DIR", self.cache().into()),
        ]
    }

    fn auth(&self) -> BloomAuth {
        let variables: BTreeMap<_, _> = self.variables().into_iter().collect();
        BloomAuth::from_lookup(move |name| variables.get(name).cloned()).unwrap()
    }

    /// This binary with this one test in this role, and the settings; nothing
    /// else is in its environment.
    fn child(&self, test: &str, role: &str) -> Command {
        self.child_of(&std::env::current_exe().unwrap(), test, role)
    }

    fn child_of(&self, program: &Path, test: &str, role: &str) -> Command {
        let mut command = Command::new(program);
        command
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env_clear()
            .env(ROLE, role)
            .envs(self.variables())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn token_requests(&self) -> u64 {
        self.emulator.counts().token_requests
    }

    /// The status with which the API answers to this token.
    fn api_status(&self, token: &str) -> u16 {
        let url = format!("{}/v2/core/organization", self.emulator.api_url());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.get(url).bearer_auth(token);
        let response = self.runtime.block_on(request.send()).unwrap();
        response.status().as_u16()
    }
}

/// The role of this process, if it is a child.
#[expect(
    clippy::disallowed_methods,
    reason = "the child is told apart by its environment"
)]
fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// In a child: gets a token as a program would, and tells the parent.
fn get_a_token() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let auth = BloomAuth::from_env().unwrap();
    let token = runtime.block_on(auth.token()).unwrap();
    say("token", token.expose());
    say(
        "cache-errors",
        &auth.status().counts.cache_errors.to_string(),
    );
}

/// A line for the parent.
fn say(what: &str, text: &str) {
    println!("\nchild-{what}={text}");
}

/// What the child said with this word.
#[track_caller]
fn said(output: &Output, what: &str) -> String {
    let text = String::from_utf8_lossy(&output.stdout);
    let start = format!("child-{what}=");
    let said = text.lines().find_map(|line| line.strip_prefix(&start));
    let Some(said) = said else {
        panic!(
            "no {what} in the output:\n{text}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    said.to_owned()
}
