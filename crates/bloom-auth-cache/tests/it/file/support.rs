//! What the tests of the file cache share: a cache in a directory of its own,
//! a look at its files, what was warned of, and child processes.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use bloom_auth_cache::FileCache;
use bloom_auth_core::{
    AuthVersion, CacheAccess, CacheRecord, ClientCredentials, ClientId, ClientSecret, Clock as _,
    Environment, SystemClock, TokenCache as _, protocol::TokenRequest,
};
use tempfile::TempDir;
use tracing::{
    Dispatch,
    subscriber::{DefaultGuard, NoSubscriber},
};

pub(crate) const SECRET: &str = "a secret of more than 32 characters";

/// What a child process is to do; a process without it is a parent.
const ROLE: &str = "BLOOM_AUTH_TEST_ROLE";
const DIRECTORY: &str = "BLOOM_AUTH_TEST_DIRECTORY";

pub(crate) fn access_of(id: &str, secret: &str) -> CacheAccess {
    let (id, secret) = (ClientId::new(id), ClientSecret::new(secret));
    let credentials = ClientCredentials::new(id.unwrap(), secret.unwrap());
    let request = TokenRequest::new(Environment::sandbox(AuthVersion::V1));
    CacheAccess::new(&request, &credentials)
}

pub(crate) fn access() -> CacheAccess {
    access_of("client", SECRET)
}

/// A record that was sent this many seconds ago, and lives for an hour.
pub(crate) fn record(token: &str, ago: u64) -> CacheRecord {
    let sent_at = SystemClock::new().now().system_time() - Duration::from_secs(ago);
    CacheRecord::new(token, None, sent_at, Duration::from_secs(3600)).unwrap()
}

/// A cache in a directory of its own.
pub(crate) struct Place {
    pub(crate) directory: TempDir,
    pub(crate) cache: FileCache,
}

impl Place {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let cache = FileCache::in_directory(directory.path().join("cache")).unwrap();
        Self { directory, cache }
    }

    pub(crate) fn path(&self) -> &Path {
        self.cache.directory()
    }

    pub(crate) async fn store(&self, token: &str, ago: u64) {
        self.cache
            .store(&access(), &record(token, ago))
            .await
            .unwrap();
    }

    /// The token under the usual key.
    pub(crate) async fn token(&self) -> Option<String> {
        let record = self.cache.load(&access()).await.unwrap();
        record.map(|record| record.token().expose().to_owned())
    }

    pub(crate) fn files(&self) -> Vec<PathBuf> {
        files(self.path())
    }

    /// The file of the one record.
    #[track_caller]
    pub(crate) fn file(&self) -> PathBuf {
        let mut records = with_ending(self.files(), ".token");
        assert_eq!(records.len(), 1, "{records:?}");
        records.remove(0)
    }

    pub(crate) fn temporary_files(&self) -> Vec<PathBuf> {
        let is_temporary = |path: &PathBuf| name(path).ends_with(".tmp");
        self.files().into_iter().filter(is_temporary).collect()
    }
}

pub(crate) fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

pub(crate) fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

pub(crate) fn with_ending(files: Vec<PathBuf>, ending: &str) -> Vec<PathBuf> {
    let ends = |path: &PathBuf| name(path).ends_with(ending);
    files.into_iter().filter(ends).collect()
}

/// What is logged on this thread, until it is dropped.
pub(crate) struct Warnings {
    lines: Arc<Mutex<Vec<u8>>>,
    _guard: DefaultGuard,
    _second: Dispatch,
}

impl Warnings {
    pub(crate) fn capture() -> Self {
        // While there is but one subscriber, tracing asks the thread that
        // reaches an event first, which may be another test's, and takes its
        // answer for all.
        let second = Dispatch::new(NoSubscriber::new());
        let lines = Arc::new(Mutex::new(Vec::new()));
        let writer = Arc::clone(&lines);
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || Writer(Arc::clone(&writer)))
            .finish();
        Self {
            lines,
            _guard: tracing::subscriber::set_default(subscriber),
            _second: second,
        }
    }

    /// The lines since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.lines.lock().unwrap());
        let text = String::from_utf8(bytes).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

struct Writer(Arc<Mutex<Vec<u8>>>);

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The role of this process and its directory, if it is a child.
#[expect(
    clippy::disallowed_methods,
    reason = "the child is told apart by its environment"
)]
pub(crate) fn role() -> Option<(String, PathBuf)> {
    let role = std::env::var(ROLE).ok()?;
    Some((role, std::env::var_os(DIRECTORY)?.into()))
}

/// Makes a command start this binary with this one test, in this role.
pub(crate) fn child(mut command: Command, test: &str, role: &str, directory: &Path) -> Command {
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .env(DIRECTORY, directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

pub(crate) fn this_binary() -> PathBuf {
    std::env::current_exe().unwrap()
}

/// A line for the parent.
pub(crate) fn say(what: &str, text: &str) {
    println!("\nchild-{what}={text}");
    io::stdout().flush().unwrap();
}

/// Runs async code in a child, or in a test that is no task itself.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap().block_on(future)
}
