//! The whole way over TLS: settings from the environment, a token from the
//! emulator, a call of its API; and secrets and tokens that change on the way.

use std::{
    path::{Path, PathBuf},
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bloom_auth::{
    BloomAuth, ClientId, Clock, ErrorKind, FileCredentials, Rejection, ReqwestTransport,
    TokenProvider, TokenState,
};
use bloom_auth_core::test_util::ManualClock;
use bloom_auth_emulator::Emulator;
use http::StatusCode;
use tempfile::TempDir;

use super::{Variables, cached::Warnings, text_of};

/// An emulator, and the files and variables that lead to it.
struct Setup {
    emulator: Emulator,
    variables: Variables,
    directory: TempDir,
}

impl Setup {
    /// As V1, with the secret in a file.
    async fn new() -> Self {
        let emulator = Emulator::start().await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let (ca, secret) = (
            directory.path().join("ca.pem"),
            secret_file(directory.path()),
        );
        std::fs::write(&ca, emulator.ca_pem().unwrap()).unwrap();
        std::fs::write(&secret, emulator.client_secret()).unwrap();
        let variables = Variables::new([
            ("BLOOM_CLIENT_ID", emulator.client_id()),
            ("BLOOM_CLIENT_SECRET_FILE", text_of(&secret)),
            ("BLOOM_TOKEN_URL", &emulator.v1_token_url()),
            ("BLOOM_API_URL", &emulator.api_url()),
            ("BLOOM_AUDIENCE", emulator.audience()),
            ("BLOOM_CA_FILE", text_of(&ca)),
        ]);
        Self {
            emulator,
            variables,
            directory,
        }
    }

    fn build(&self) -> BloomAuth {
        self.variables.build().unwrap()
    }

    fn write_secret(&self, text: &str) {
        std::fs::write(secret_file(self.directory.path()), text).unwrap();
    }

    fn token_requests(&self) -> u64 {
        self.emulator.counts().token_requests
    }

    /// Calls the API with the token that there is now.
    async fn call(&self, auth: &BloomAuth) -> StatusCode {
        let ca = self.emulator.ca_pem().unwrap();
        let ca = reqwest::Certificate::from_pem(ca.as_bytes()).unwrap();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([ca]);
        let url = auth.environment().url_of("/v2/core/organization");
        let authorization = auth.authorization().await.unwrap();
        let request = client
            .build()
            .unwrap()
            .get(url)
            .header("authorization", authorization);
        request.send().await.unwrap().status()
    }
}

/// The output of a future that is ready when it is first polled.
fn ready<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

fn secret_file(directory: &Path) -> PathBuf {
    directory.join("secret")
}

/// Refreshes as soon as the provider is ready to, for as often as it says so.
async fn refresh_when_allowed(auth: &BloomAuth) {
    for _ in 0..5 {
        let Err(error) = auth.provider().refresh().await else {
            return;
        };
        // The provider's clock is coarse, and may be a tick behind the timer's:
        // it would then ask for the rest of it, again and again.
        let tick = Duration::from_millis(20);
        tokio::time::sleep(error.retry_after().unwrap() + tick).await;
    }
    panic!("it does not heal: {:?}", auth.status());
}

#[tokio::test]
async fn a_call_of_the_api_is_authorized_either_version_and_either_way() {
    let setup = Setup::new().await;
    let urls = [setup.emulator.v1_token_url(), setup.emulator.v2_token_url()];
    let mut requests = 0;
    for (version, url) in ["v1", "v2"].into_iter().zip(urls) {
        for authentication in ["post", "basic"] {
            setup.variables.set("BLOOM_AUTH_VERSION", version);
            setup.variables.set("BLOOM_TOKEN_URL", url.as_str());
            setup.variables.set("BLOOM_CLIENT_AUTH", authentication);
            if version == "v2" {
                setup.variables.set("BLOOM_SCOPE", "data-access:all");
            }
            let auth = setup.build();
            assert_eq!(setup.token_requests(), requests);
            for _ in 0..3 {
                let status = setup.call(&auth).await;
                assert_eq!(status, StatusCode::OK, "{version} {authentication}");
            }
            requests += 1;
            let counts = setup.emulator.counts();
            assert_eq!(counts.tokens_issued, requests, "{version} {authentication}");
            assert_eq!(
                counts.token_requests, requests,
                "{version} {authentication}"
            );
        }
    }
    assert_eq!(setup.emulator.counts().api_authorized, 12);
}

#[tokio::test]
async fn without_the_ca_file_nothing_is_sent() {
    let setup = Setup::new().await;
    let other = Emulator::start().await.unwrap();
    let other_ca = setup.directory.path().join("other.pem");
    std::fs::write(&other_ca, other.ca_pem().unwrap()).unwrap();
    setup.variables.set("BLOOM_CA_FILE", text_of(&other_ca));
    let error = setup.build().token().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tls);
    assert_eq!(setup.token_requests(), 0);

    // A file of several certificates trusts each of them.
    let both = [&other, &setup.emulator]
        .map(|emulator| emulator.ca_pem().unwrap())
        .concat();
    std::fs::write(&other_ca, both).unwrap();
    assert_eq!(setup.call(&setup.build()).await, StatusCode::OK);
}

#[tokio::test]
async fn k7_a_secret_that_is_rotated_in_its_file_is_picked_up() {
    let setup = Setup::new().await;
    let auth = setup.build();
    let first = auth.token().await.unwrap();
    let secret = setup.emulator.rotate_secret();
    setup.write_secret(&format!("{secret}\n"));
    // The token that there is serves on.
    assert_eq!(auth.token().await.unwrap(), first);
    assert_eq!(setup.token_requests(), 1);

    let second = auth.provider().refresh().await.unwrap();
    assert_ne!(second, first);
    assert_eq!(setup.call(&auth).await, StatusCode::OK);
    let counts = setup.emulator.counts();
    assert_eq!(
        (counts.tokens_issued, counts.token_requests_refused),
        (2, 0)
    );
}

#[tokio::test]
async fn k8_a_revoked_secret_is_an_event_and_no_error_while_the_token_lasts() {
    let setup = Setup::new().await;
    let ca = setup.emulator.ca_pem().unwrap();
    let transport = ReqwestTransport::builder().with_root_certificate(ca);
    let id = ClientId::new(setup.emulator.client_id()).unwrap();
    let clock = ManualClock::new();
    let provider = TokenProvider::builder(
        setup.build().environment().clone(),
        FileCredentials::new(id, secret_file(setup.directory.path())),
        transport.unwrap().build().unwrap(),
    )
    .clock(clock.clone())
    .build()
    .unwrap();
    let first = provider.token().await.unwrap();
    let lifetime = first.expires_at().duration_since(clock.now().system_time());
    let warnings = Warnings::default();
    let guard = warnings.begin();

    let secret = setup.emulator.rotate_secret();
    clock.advance(lifetime.unwrap() - Duration::from_secs(300));
    for refused in 1..=3 {
        // A caller starts the refresh; nobody notices what becomes of it.
        for _ in 0..100 {
            assert_eq!(ready(provider.token()).unwrap().unwrap(), first);
        }
        let error = provider.refresh().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ClientRefused);
        assert_eq!(setup.emulator.counts().token_requests_refused, refused);
        let told = |line: &&String| {
            line.contains("no access token was fetched") && line.contains("outcome=ClientRefused")
        };
        let lines = warnings.lines();
        assert_eq!(lines.iter().filter(told).count() as u64, refused);
        clock.advance(error.retry_after().unwrap());
    }

    // The next refusal would be in force for seconds.
    let error = provider.refresh().await.unwrap_err();
    assert!(error.retry_after() > Some(Duration::from_secs(5)));
    setup.write_secret(&secret);
    clock.advance(Duration::from_secs(1));
    assert_eq!(ready(provider.token()).unwrap().unwrap(), first);
    while provider.status().is_fetching {
        tokio::task::yield_now().await;
    }
    assert_ne!(ready(provider.token()).unwrap().unwrap(), first);
    drop(guard);
    let counts = setup.emulator.counts();
    assert_eq!((counts.tokens_issued, counts.token_requests), (2, 6));
}

#[tokio::test]
async fn k10_an_empty_secret_file_takes_nothing_out_of_service() {
    let setup = Setup::new().await;
    let auth = setup.build();
    let first = auth.token().await.unwrap();
    let secret = setup.emulator.rotate_secret();
    setup.write_secret("");

    let error = auth.provider().refresh().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Credentials);
    assert_eq!(setup.token_requests(), 1);
    assert_eq!(auth.token().await.unwrap(), first);
    assert_eq!(auth.status().token, TokenState::Fresh);
    assert_eq!(setup.call(&auth).await, StatusCode::OK);

    setup.write_secret(&secret);
    refresh_when_allowed(&auth).await;
    assert_ne!(auth.token().await.unwrap(), first);
    assert_eq!(
        (
            setup.token_requests(),
            setup.emulator.counts().tokens_issued
        ),
        (2, 2)
    );
}

#[tokio::test]
async fn k10_half_a_secret_takes_nothing_out_of_service() {
    let setup = Setup::new().await;
    let auth = setup.build();
    let first = auth.token().await.unwrap();
    let secret = setup.emulator.rotate_secret();
    let (half, _) = secret.split_at(secret.len() / 2);
    setup.write_secret(half);

    let error = auth.provider().refresh().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ClientRefused);
    assert_eq!(setup.emulator.counts().token_requests_refused, 1);
    for _ in 0..100 {
        assert_eq!(auth.token().await.unwrap(), first);
    }
    assert_eq!(setup.call(&auth).await, StatusCode::OK);
    assert_eq!(setup.token_requests(), 2);

    setup.write_secret(&secret);
    refresh_when_allowed(&auth).await;
    assert_ne!(auth.token().await.unwrap(), first);
    assert_eq!(
        (
            setup.token_requests(),
            setup.emulator.counts().tokens_issued
        ),
        (3, 2)
    );
}

#[tokio::test]
async fn a2_a_token_that_the_api_refuses_is_replaced_by_one_request() {
    let setup = Setup::new().await;
    let auth = setup.build();
    let first = auth.token().await.unwrap();
    assert_eq!(setup.call(&auth).await, StatusCode::OK);
    setup.emulator.revoke(first.expose());
    assert_eq!(setup.call(&auth).await, StatusCode::UNAUTHORIZED);

    assert_eq!(auth.reject(&first), Rejection::Dropped);
    assert!(auth.try_authorization().is_none());
    assert_eq!(setup.call(&auth).await, StatusCode::OK);
    assert_ne!(auth.token().await.unwrap(), first);
    assert_eq!(auth.reject(&first), Rejection::NotCurrent);
    assert_eq!(setup.call(&auth).await, StatusCode::OK);
    let counts = setup.emulator.counts();
    assert_eq!((counts.token_requests, counts.tokens_issued), (2, 2));
    assert_eq!((counts.api_authorized, counts.api_unauthorized), (3, 1));
}
