//! Providers that share a cache, and are refused.

use std::time::Duration;

use bloom_auth_cache::MemoryCache;
use bloom_auth_core::{
    AuthVersion, ClientCredentials, ClientId, ClientSecret, Environment, Error, ErrorKind,
    TokenProvider,
    test_util::{Reply, ScriptedTransport, TokioClock},
};
use http::StatusCode;
use tokio::time::advance;

const SECOND: Duration = Duration::from_secs(1);

/// A server, and a cache for all who ask it, in paused time.
struct Setup {
    transport: ScriptedTransport,
    cache: MemoryCache,
    clock: TokioClock,
}

impl Setup {
    fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        let clock = TokioClock::new();
        Self {
            transport: ScriptedTransport::new(replies),
            cache: MemoryCache::with_clock(clock.clone()),
            clock,
        }
    }

    fn provider(&self, secret: &str) -> TokenProvider {
        let (id, secret) = (ClientId::new("client"), ClientSecret::new(secret));
        let credentials = ClientCredentials::new(id.unwrap(), secret.unwrap());
        let environment = Environment::sandbox(AuthVersion::V1);
        TokenProvider::builder(environment, credentials, self.transport.clone())
            .cache(self.cache.clone())
            .clock(self.clock.clone())
            .build()
            .unwrap()
    }

    fn requests(&self) -> usize {
        self.transport.request_count()
    }
}

fn refused() -> Reply {
    Reply::error(StatusCode::UNAUTHORIZED, "invalid_client")
}

async fn error(provider: &TokenProvider) -> Error {
    provider.token().await.unwrap_err()
}

fn seconds(error: &Error) -> f64 {
    error.retry_after().unwrap().as_secs_f64()
}

#[tokio::test(start_paused = true)]
async fn k9_f7_a_hundred_who_share_a_cache_are_refused_once() {
    let setup = Setup::new([refused()]);
    let first = error(&setup.provider("wrong")).await;
    assert_eq!(first.kind(), ErrorKind::ClientRefused);
    for _ in 0..99 {
        let other = error(&setup.provider("wrong")).await;
        assert_eq!(other.kind(), ErrorKind::ClientRefused);
        assert!(seconds(&other) <= 1.0, "{other}");
    }
    assert_eq!(setup.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn k9_those_who_share_a_cache_wait_longer_each_time() {
    let setup = Setup::new([refused()]);
    // New processes each time, which know nothing of those before.
    for (requests, wait) in [(1, 1_u32), (2, 2), (3, 4), (4, 8), (5, 16)] {
        let asking = error(&setup.provider("wrong")).await;
        assert_eq!(asking.retry_after(), Some(wait * SECOND));
        advance(wait * SECOND - SECOND / 2).await;
        let waiting = error(&setup.provider("wrong")).await;
        assert_eq!(waiting.retry_after(), Some(SECOND / 2));
        assert_eq!(setup.requests(), requests);
        advance(SECOND / 2).await;
    }
    // Refusals that have nothing to do with each other.
    advance(300 * SECOND).await;
    let later = error(&setup.provider("wrong")).await;
    assert_eq!(later.retry_after(), Some(SECOND));
}

#[tokio::test(start_paused = true)]
async fn k7_a_refusal_is_of_its_credentials_alone() {
    let setup = Setup::new([refused(), Reply::token("t", 3600)]);
    error(&setup.provider("wrong")).await;
    let token = setup.provider("right").token().await.unwrap();
    assert_eq!(token.expose(), "t");
    assert_eq!(setup.requests(), 2);
    error(&setup.provider("wrong")).await;
    assert_eq!(setup.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn p7_a_refused_request_is_remembered_as_such() {
    let setup = Setup::new([Reply::error(StatusCode::BAD_REQUEST, "invalid_scope")]);
    for _ in 0..3 {
        let error = error(&setup.provider("secret")).await;
        assert_eq!(error.kind(), ErrorKind::RequestRefused);
    }
    assert_eq!(setup.requests(), 1);
}
