//! A fleet: many processes, each with a memory of its own, that share nothing
//! but a server of Redis. They are this test binary again.

mod herd;
mod kills;
mod lifetimes;
mod troubles;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    future::Future as _,
    io::{BufRead as _, BufReader, PipeWriter, Read as _, pipe},
    path::PathBuf,
    pin::pin,
    process::{Child, ChildStdout, Command, Stdio},
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime},
};

use bloom_auth::{BloomAuth, TokenState};
use bloom_auth_emulator::Emulator;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::server::Server;

/// What a process of the fleet is to do; one without it is a parent.
const ROLE: &str = "BLOOM_AUTH_TEST_FLEET";

/// How often a process that lives on asks for a token.
const PAUSE: Duration = Duration::from_millis(50);

#[expect(
    clippy::disallowed_methods,
    reason = "the child is told apart by its environment"
)]
fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// An emulator with a runtime of its own.
struct Bloom {
    emulator: Emulator,
    _runtime: Runtime,
}

impl Bloom {
    fn start(lifetime: Duration, latency: Duration) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let emulator = Emulator::builder()
            .plain_http()
            .token_lifetime(lifetime)
            .latency(latency)
            .start();
        Self {
            emulator: runtime.block_on(emulator).unwrap(),
            _runtime: runtime,
        }
    }

    fn token_requests(&self) -> u64 {
        self.emulator.counts().token_requests
    }
}

/// Processes that are built, and wait for the word to ask for a token.
struct Fleet {
    processes: Vec<Process>,
    /// All of them wait for its end.
    go: Option<PipeWriter>,
    directory: TempDir,
}

struct Process {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Fleet {
    fn start(count: usize, test: &str, bloom: &Bloom, server: &Server) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (wait, go) = pipe().unwrap();
        let stop = directory.path().join("stop");
        let emulator = &bloom.emulator;
        let start = |_| {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", test, "--nocapture", "--test-threads=1"])
                .env_clear()
                .env(ROLE, &stop)
                .env("BLOOM_CLIENT_ID", emulator.client_id())
                .env("BLOOM_CLIENT_SECRET", emulator.client_secret())
                .env("BLOOM_TOKEN_URL", emulator.v1_token_url())
                .env("BLOOM_API_URL", emulator.api_url())
                .env("BLOOM_AUDIENCE", emulator.audience())
                .env("BLOOM_ALLOW_INSECURE_LOOPBACK", "true")
                .env("BLOOM_CACHE", server.url())
                .stdin(wait.try_clone().unwrap())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let lines = BufReader::new(child.stdout.take().unwrap());
            Process { child, lines }
        };
        let mut fleet = Self {
            processes: (0..count).map(start).collect(),
            go: Some(go),
            directory,
        };
        for process in &mut fleet.processes {
            process.wait_for("ready");
        }
        fleet
    }

    /// The word: all ask for their first token.
    fn go(&mut self) {
        drop(self.go.take());
    }

    fn wait_for_first_tokens(&mut self) {
        for process in &mut self.processes {
            process.wait_for("first");
        }
    }

    /// Those that live on end, and all say what they have seen.
    fn end(mut self) -> Vec<Report> {
        fs::write(self.directory.path().join("stop"), "").unwrap();
        self.processes.iter_mut().map(Process::end).collect()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // Of a test that has failed: those that are left would wait for ever.
        for process in &mut self.processes {
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
    }
}

impl Process {
    #[track_caller]
    fn wait_for(&mut self, what: &str) {
        let start = format!("child-{what}=");
        let mut line = String::new();
        while !line.starts_with(&start) {
            line.clear();
            assert_ne!(self.lines.read_line(&mut line).unwrap(), 0, "no {what}");
        }
    }

    #[track_caller]
    fn end(&mut self) -> Report {
        let mut text = String::new();
        self.lines.read_to_string(&mut text).unwrap();
        assert!(self.child.wait().unwrap().success(), "{text}");
        Report::parse(&text)
    }
}

/// What a process has seen.
#[derive(Debug, Default, PartialEq, Eq)]
struct Report {
    /// Calls for a token that failed.
    failed: u64,
    /// Calls that were not ready at once although a token was usable.
    waited: u64,
    calls: u64,
    token_requests: u64,
    cache_errors: u64,
    /// When the tokens that were held are usable no more, in milliseconds,
    /// by their fingerprints.
    tokens: BTreeMap<String, u128>,
}

impl Report {
    fn note(&mut self, auth: &BloomAuth) {
        let status = auth.status();
        let (Some(fingerprint), Some(at)) = (status.fingerprint, status.unusable_at) else {
            return;
        };
        let at = at.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let slot = self.tokens.entry(fingerprint.to_string());
        slot.or_insert(at.as_millis());
    }

    fn print(&self, auth: &BloomAuth) {
        let counts = auth.status().counts;
        let tokens: Vec<String> = (self.tokens.iter())
            .map(|(fingerprint, at)| format!("{fingerprint}:{at}"))
            .collect();
        println!(
            "\nchild-report={} {} {} {} {} {}",
            self.failed,
            self.waited,
            self.calls,
            counts.token_requests,
            counts.cache_errors,
            tokens.join(","),
        );
    }

    #[track_caller]
    fn parse(text: &str) -> Self {
        let found = (text.lines()).find_map(|line| line.strip_prefix("child-report="));
        let Some(line) = found else {
            panic!("no report: {text}");
        };
        let words: Vec<&str> = line.split(' ').collect();
        let number = |n: usize| words[n].parse().unwrap();
        let tokens = words[5].split(',').filter(|token| !token.is_empty());
        Self {
            failed: number(0),
            waited: number(1),
            calls: number(2),
            token_requests: number(3),
            cache_errors: number(4),
            tokens: tokens
                .map(|token| {
                    let (fingerprint, at) = token.rsplit_once(':').unwrap();
                    (fingerprint.to_owned(), at.parse().unwrap())
                })
                .collect(),
        }
    }
}

/// In a child: a runtime and a client, which waits for the word.
fn ready() -> (Runtime, BloomAuth) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let auth = BloomAuth::from_env().unwrap();
    println!("\nchild-ready=");
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    (runtime, auth)
}

/// In a child: gets one token.
fn get_a_token() {
    let (runtime, auth) = ready();
    let mut report = Report::default();
    report.failed += u64::from(runtime.block_on(auth.token()).is_err());
    report.note(&auth);
    report.print(&auth);
}

/// In a child: asks for a token again and again, as a service does, until the
/// file is there.
fn live_on(stop: &str) {
    let (runtime, auth) = ready();
    let stop = PathBuf::from(stop);
    let mut report = Report::default();
    runtime.block_on(async {
        while !stop.exists() {
            let mut call = pin!(auth.token());
            let result = match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(result) => result,
                Poll::Pending => {
                    let is_usable =
                        matches!(auth.status().token, TokenState::Fresh | TokenState::Due);
                    report.waited += u64::from(is_usable);
                    call.await
                }
            };
            report.failed += u64::from(result.is_err());
            report.calls += 1;
            report.note(&auth);
            if report.calls == 1 {
                println!("\nchild-first=");
            }
            tokio::time::sleep(PAUSE).await;
        }
        // What was asked for is to be seen as well.
        while auth.status().is_fetching {
            tokio::time::sleep(PAUSE).await;
        }
        report.note(&auth);
    });
    report.print(&auth);
}

fn sum(reports: &[Report], of: impl Fn(&Report) -> u64) -> u64 {
    reports.iter().map(of).sum()
}

/// All tokens that were held, the earlier ones first: when they are usable no
/// more.
fn tokens(reports: &[Report]) -> Vec<u128> {
    let all: BTreeSet<_> = reports.iter().flat_map(|report| &report.tokens).collect();
    // It is the same in all processes, but for less than what is rounded off.
    let all: BTreeMap<_, _> = all.into_iter().collect();
    let mut times: Vec<u128> = all.into_values().copied().collect();
    times.sort_unstable();
    times
}
