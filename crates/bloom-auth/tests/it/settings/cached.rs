//! Where tokens are kept: what `BLOOM_CACHE` chooses, and what it falls back
//! to.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use bloom_auth::{BloomAuth, BloomAuthBuilder, ErrorKind, FetchLimit, TokenBudget};
#[cfg(feature = "file")]
use bloom_auth::{ClientId, ClientSecret, FileCache};
use bloom_auth_core::test_util::ScriptedServer;
#[cfg(feature = "file")]
use bloom_auth_core::test_util::{EventLog, documented_events, emitted_events};
use tempfile::TempDir;
use tracing::{Dispatch, subscriber::NoSubscriber};

use super::{Variables, text_of, token_server};

const LONG_SECRET: &str = "canary-of-a-secret-of-32-characters";

/// A server, and a home.
struct Setup {
    server: ScriptedServer,
    home: TempDir,
}

impl Setup {
    async fn new() -> Self {
        Self {
            server: token_server().await,
            home: tempfile::tempdir().unwrap(),
        }
    }

    fn variables(&self, secret: &str) -> Variables {
        Variables::new([
            ("BLOOM_CLIENT_ID", "the-client"),
            ("BLOOM_CLIENT_SECRET", secret),
            (
                "BLOOM_TOKEN_URL",
                &format!("{}/oauth/token", self.server.origin()),
            ),
            ("BLOOM_ALLOW_INSECURE_LOOPBACK", "true"),
            ("HOME", text_of(self.home.path())),
        ])
    }

    /// Two programs get a token each; returns how many token requests that
    /// took, and what was warned of.
    async fn two_programs(&self, variables: &Variables) -> (usize, Vec<String>) {
        let before = self.server.seen().requests.len();
        let warnings = Warnings::default();
        let builds: Vec<BloomAuth> =
            warnings.during(|| (0..2).map(|_| variables.build().unwrap()).collect());
        for auth in builds {
            assert_eq!(auth.token().await.unwrap().expose(), "t");
        }
        (self.server.seen().requests.len() - before, warnings.lines())
    }
}

/// What is logged on this thread.
#[derive(Clone)]
pub(super) struct Warnings {
    bytes: Arc<Mutex<Vec<u8>>>,
    /// While there is but one subscriber, tracing asks the thread that reaches
    /// an event first, which may be another test's, and takes its answer for
    /// all.
    _second: Dispatch,
}

impl Default for Warnings {
    fn default() -> Self {
        Self {
            bytes: Arc::default(),
            _second: Dispatch::new(NoSubscriber::new()),
        }
    }
}

impl Warnings {
    fn during<T>(&self, run: impl FnOnce() -> T) -> T {
        let _guard = self.begin();
        run()
    }

    /// Until the guard is dropped.
    pub(super) fn begin(&self) -> tracing::subscriber::DefaultGuard {
        let writer = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.bytes.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

impl std::io::Write for Warnings {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.bytes.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn is_empty(directory: &Path) -> bool {
    directory.read_dir().unwrap().next().is_none()
}

#[tokio::test]
async fn tokens_are_kept_in_memory_unless_it_is_said_otherwise() {
    let setup = Setup::new().await;
    let variables = setup.variables(LONG_SECRET);
    for choice in [None, Some("memory"), Some("none")] {
        if let Some(choice) = choice {
            variables.set("BLOOM_CACHE", choice);
            // The directory of another choice is no mistake then.
            variables.set("BLOOM_CACHE_DIR", "/nowhere");
        }
        assert_eq!(
            setup.two_programs(&variables).await,
            (2, vec![]),
            "{choice:?}"
        );
    }
    assert!(is_empty(setup.home.path()));
}

#[tokio::test]
#[cfg(feature = "file")]
async fn files_are_kept_in_the_platforms_directory_or_a_given_one() {
    let setup = Setup::new().await;
    let variables = setup.variables(LONG_SECRET);
    variables.set("BLOOM_CACHE", "file");
    assert_eq!(setup.two_programs(&variables).await, (1, vec![]));
    assert!(!is_empty(setup.home.path()));
    // A third one finds it as well, with or without a name for the directory.
    assert_eq!(setup.two_programs(&variables).await, (0, vec![]));
    let given = setup.home.path().join("given");
    variables.set("BLOOM_CACHE_DIR", text_of(&given));
    assert_eq!(setup.two_programs(&variables).await, (1, vec![]));
    assert!(!is_empty(&given));
}

#[tokio::test]
#[cfg(feature = "file")]
async fn what_cannot_be_kept_in_files_is_kept_in_memory_with_a_warning() {
    let setup = Setup::new().await;
    let short = setup.variables("canary-short");
    let homeless = setup.variables(LONG_SECRET);
    homeless.unset("HOME");
    for (variables, why) in [
        (short, "client secret has fewer than 32 characters"),
        (homeless, "cache directory cannot be found"),
    ] {
        variables.set("BLOOM_CACHE", "file");
        let (requests, warnings) = setup.two_programs(&variables).await;
        assert_eq!((requests, warnings.len()), (2, 2), "{warnings:?}");
        for warning in warnings {
            assert!(warning.contains(why), "{warning}");
            assert!(warning.contains("kept in memory alone"), "{warning}");
            assert!(!warning.contains("canary"), "{warning}");
        }
    }
    assert!(is_empty(setup.home.path()));
}

#[tokio::test]
#[cfg(feature = "file")]
async fn the_documentation_of_core_names_the_event() {
    let variables = Setup::new().await.variables("canary-short");
    variables.set("BLOOM_CACHE", "file");
    let log = EventLog::new();
    tracing::subscriber::with_default(log.clone(), || variables.build().unwrap());
    let documented = documented_events(env!("CARGO_PKG_NAME"));
    assert_eq!(log.seen(), documented);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    assert_eq!(emitted_events(&source).unwrap(), documented.len());
}

#[tokio::test]
#[cfg(feature = "file")]
async fn a_builder_with_a_known_short_secret_refuses_a_cache_in_files() {
    let directory = tempfile::tempdir().unwrap();
    let build = |secret: &str| {
        let cache = FileCache::in_directory(directory.path().join("cache")).unwrap();
        let (id, secret) = (
            ClientId::new("id").unwrap(),
            ClientSecret::new(secret).unwrap(),
        );
        BloomAuth::builder().client(id, secret).cache(cache).build()
    };
    let error = build("canary-short").unwrap_err().to_string();
    assert!(error.contains("fewer than 32 characters"), "{error}");
    assert!(error.contains("give the cache a random key"), "{error}");
    assert!(!error.contains("canary"), "{error}");
    assert!(build(LONG_SECRET).is_ok());
    assert!(is_empty(directory.path()));
}

#[tokio::test]
async fn a_budget_a_limit_and_a_warm_token_are_for_the_facade_as_well() {
    let setup = Setup::new().await;
    let (variables, hour) = (setup.variables(LONG_SECRET), Duration::from_secs(3600));
    let budget = TokenBudget::new(1, hour).unwrap();
    let Variables(values) = variables.clone();
    let lookup = move |name: &str| values.lock().unwrap().get(name).cloned();
    let auth = BloomAuthBuilder::from_lookup(lookup)
        .unwrap()
        .token_budget(budget)
        .fetch_limit(FetchLimit::new(1).unwrap())
        .build()
        .unwrap();
    let _warm = auth.keep_warm().unwrap();
    setup.server.until(|seen| seen.requests.len() == 1).await;
    assert_eq!(auth.token().await.unwrap().expose(), "t");
    let error = auth.refresh().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BudgetExhausted);
    assert_eq!(setup.server.seen().requests.len(), 1);
}
