//! Credentials sources that hang, panic, or ask the provider that asks them.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bloom_auth_core::{
    CacheAccess, CacheError, CacheRecord, ClientCredentials, ClientId, ClientSecret,
    ConfigurationError, CredentialsError, CredentialsSource, ErrorKind, TokenCache, TokenHash,
    TokenProvider,
    test_util::{MockTokenCache, Reply, ScriptedCredentials, ScriptedTransport},
};
use http::StatusCode;
use tokio::time::{Instant, sleep};

use crate::support::{Gate, builder, credentials, name, paused, ready, token_reply};

/// A source that does not answer, or asks the provider that asks it.
#[derive(Clone, Debug, Default)]
struct OddSource(Arc<OnceLock<TokenProvider>>);

#[async_trait]
impl CredentialsSource for OddSource {
    async fn credentials(&self) -> Result<ClientCredentials, CredentialsError> {
        match self.0.get() {
            Some(provider) => {
                let token = provider.token().await;
                let problem = format!("no credentials without a token: {:?}", token.is_ok());
                Err(CredentialsError::new(problem))
            }
            None => std::future::pending().await,
        }
    }
}

#[test]
fn c15_a_source_that_hangs_or_asks_its_own_provider_ends_in_time() {
    for asks_itself in [false, true] {
        let (source, gate) = (OddSource::default(), Gate::default());
        paused().block_on(async {
            let provider = builder(source.clone(), gate.clone()).build().unwrap();
            if asks_itself {
                source.0.set(provider.clone()).unwrap();
            }
            let start = Instant::now();
            let error = provider.token().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Credentials);
            assert_eq!(start.elapsed().as_secs(), 10);
            assert_eq!(provider.status().counts.fetches, 1);
        });
        assert_eq!(gate.requests(), 0);
    }
}

/// A source that hangs or panics when it is told to.
#[derive(Clone, Debug)]
struct Fickle {
    source: ScriptedCredentials,
    hangs: Arc<AtomicBool>,
    panics: Arc<AtomicBool>,
}

impl Fickle {
    fn new() -> Self {
        Self {
            source: credentials(),
            hangs: Arc::default(),
            panics: Arc::default(),
        }
    }
}

#[async_trait]
impl CredentialsSource for Fickle {
    async fn credentials(&self) -> Result<ClientCredentials, CredentialsError> {
        let credentials = self.source.credentials().await;
        let panics = self.panics.load(Ordering::SeqCst);
        assert!(!panics, "as a source with a bug may");
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        credentials
    }
}

#[test]
fn k9_while_refused_a_hanging_source_costs_a_moment() {
    paused().block_on(async {
        let refusal = Reply::error(StatusCode::UNAUTHORIZED, "invalid_client");
        let transport = ScriptedTransport::new([refusal]);
        let source = Fickle::new();
        let provider = builder(source.clone(), transport.clone()).build().unwrap();
        for hold in [1, 2, 4, 8] {
            let error = provider.token().await.unwrap_err();
            assert_eq!(error.retry_after(), Some(Duration::from_secs(hold)));
            sleep(Duration::from_secs(if hold < 8 { hold } else { 1 })).await;
        }
        let asked = source.source.asked();
        source.hangs.store(true, Ordering::SeqCst);
        for _ in 0..10 {
            let start = Instant::now();
            let error = provider.token().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ClientRefused);
            assert!(start.elapsed() < Duration::from_millis(110));
        }
        assert_eq!(source.source.asked(), asked + 1);
        assert_eq!(transport.request_count(), 4);
    });
}

#[test]
fn c9_a_source_that_panics_takes_no_token_away_and_heals() {
    paused().block_on(async {
        let source = Fickle::new();
        let transport = ScriptedTransport::new([token_reply("A", 100), token_reply("B", 100)]);
        let provider = builder(source.clone(), transport).build().unwrap();
        assert_eq!(name(&provider.token().await.unwrap()), "A");
        source.panics.store(true, Ordering::SeqCst);
        let error = provider.refresh().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        source.panics.store(false, Ordering::SeqCst);
        assert_eq!(name(&ready(provider.token()).unwrap().unwrap()), "A");
        sleep(Duration::from_secs(2)).await;
        assert_eq!(name(&provider.refresh().await.unwrap()), "B");
    });
}

/// A cache that keeps nothing, and cannot seal with short secrets.
#[derive(Debug)]
struct Picky;

#[async_trait]
impl TokenCache for Picky {
    async fn load(&self, _: &CacheAccess) -> Result<Option<CacheRecord>, CacheError> {
        Ok(None)
    }

    async fn store(&self, _: &CacheAccess, _: &CacheRecord) -> Result<(), CacheError> {
        Ok(())
    }

    async fn remove(&self, _: &CacheAccess, _: &TokenHash) -> Result<(), CacheError> {
        Ok(())
    }

    fn check(&self, credentials: &ClientCredentials) -> Result<(), ConfigurationError> {
        match credentials.seal_material() {
            Some(_) => Ok(()),
            None => Err(ConfigurationError::new(
                "client secret",
                "is short",
                "get another",
            )),
        }
    }
}

#[test]
fn k4_a_cache_that_cannot_keep_known_credentials_is_refused_when_it_is_built() {
    let of = |secret: &str| {
        let (id, secret) = (ClientId::new("client"), ClientSecret::new(secret));
        ClientCredentials::new(id.unwrap(), secret.unwrap())
    };
    let changing = ScriptedCredentials::new("client", "short").unwrap();
    let rows: [(&str, Arc<dyn CredentialsSource>, bool); 3] = [
        ("short", Arc::new(of("short")), false),
        (
            "long",
            Arc::new(of("a secret of more than 32 characters")),
            true,
        ),
        // It may give longer ones when it is asked.
        ("changing", Arc::new(changing), true),
    ];
    for (what, source, is_taken) in rows {
        let build = |cache: Arc<dyn TokenCache>| {
            let provider = builder(Arc::clone(&source), ScriptedTransport::default());
            provider.cache(cache).build().err()
        };
        let error = build(Arc::new(Picky));
        assert_eq!(error.is_none(), is_taken, "{what}");
        assert!(error.is_none_or(|error| error.setting() == "client secret"));
        // A cache without an opinion.
        assert!(build(Arc::new(MockTokenCache::new())).is_none(), "{what}");
    }
}
