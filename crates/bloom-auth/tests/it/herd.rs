//! Ten thousand tasks at once, over real HTTP: one token request, counted
//! where it arrives.

use std::{sync::Arc, thread};

use bloom_auth::{
    ClientCredentials, ClientId, ClientSecret, Environment, Error, ErrorKind, ReqwestTransport,
    TokenProvider,
};
use bloom_auth_core::test_util::{ManualClock, is_long};
use bloom_auth_emulator::{Counts, Emulator};
use tokio::{
    runtime::{Builder, Runtime},
    sync::Barrier,
    task::JoinSet,
};

const CALLERS: usize = 10_000;
const LATENCY: std::time::Duration = std::time::Duration::from_millis(50);

/// An emulator with a runtime of its own, so that the herd cannot starve it.
struct Server {
    emulator: Emulator,
    _runtime: Runtime,
}

impl Server {
    fn start() -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let emulator = Emulator::builder().plain_http().latency(LATENCY).start();
        let emulator = runtime.block_on(emulator).unwrap();
        Self {
            emulator,
            _runtime: runtime,
        }
    }

    /// A provider with a clock that stands still: however slow the machine is,
    /// the whole test happens at one moment of the provider's time.
    fn provider(&self, secret: &str) -> TokenProvider {
        let emulator = &self.emulator;
        let environment = Environment::custom(emulator.v1_token_url(), emulator.api_url())
            .audience(emulator.audience())
            .allow_insecure_loopback()
            .build()
            .unwrap();
        let id = ClientId::new(emulator.client_id()).unwrap();
        let credentials = ClientCredentials::new(id, ClientSecret::new(secret).unwrap());
        let transport = ReqwestTransport::builder()
            .allow_insecure_loopback()
            .build()
            .unwrap();
        TokenProvider::builder(environment, credentials, transport)
            .clock(ManualClock::new())
            .build()
            .unwrap()
    }

    fn counts(&self) -> Counts {
        self.emulator.counts()
    }
}

/// How many workers each round has; many rounds in the long form.
fn rounds() -> impl Iterator<Item = usize> {
    let repetitions = if is_long() { 50 } else { 1 };
    (0..repetitions).flat_map(|_| [1, 2, 8])
}

fn runtime(workers: usize) -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .unwrap()
}

/// Lets all callers ask at once, and returns what they got.
async fn herd(provider: &TokenProvider) -> Vec<Result<String, Error>> {
    let barrier = Arc::new(Barrier::new(CALLERS));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (provider, barrier) = (provider.clone(), Arc::clone(&barrier));
        callers.spawn(async move {
            barrier.wait().await;
            provider
                .token()
                .await
                .map(|token| token.expose().to_owned())
        });
    }
    callers.join_all().await
}

#[test]
fn c1_a_cold_herd_makes_one_request_on_any_number_of_workers() {
    for workers in rounds() {
        let server = Server::start();
        let provider = server.provider(&server.emulator.client_secret());
        let tokens = runtime(workers).block_on(herd(&provider));
        let first = tokens[0].as_ref().unwrap();
        assert!(tokens.iter().all(|token| token.as_ref().unwrap() == first));
        let counts = server.counts();
        assert_eq!(
            (counts.token_requests, counts.tokens_issued),
            (1, 1),
            "{workers}"
        );
        assert_eq!(provider.status().counts.token_requests, 1);
    }
}

#[test]
fn c2_k9_a_refused_herd_makes_one_request_and_the_next_none() {
    for workers in rounds() {
        let server = Server::start();
        let provider = server.provider("not the secret");
        let runtime = runtime(workers);
        let errors = runtime.block_on(herd(&provider));
        let first = errors[0].as_ref().unwrap_err();
        assert_eq!(first.kind(), ErrorKind::ClientRefused);
        assert!(
            errors
                .iter()
                .all(|error| error.as_ref().unwrap_err().same_fetch(first))
        );
        assert_eq!(server.counts().token_requests, 1, "{workers}");

        let errors = runtime.block_on(herd(&provider));
        assert!(
            errors
                .iter()
                .all(|error| error.as_ref().unwrap_err().same_fetch(first))
        );
        assert_eq!(server.counts().token_requests, 1, "{workers}");
    }
}

#[test]
fn c11_threads_with_runtimes_of_their_own_share_one_request() {
    let server = Server::start();
    let provider = server.provider(&server.emulator.client_secret());
    let barrier = Arc::new(std::sync::Barrier::new(8));
    // The runtimes live until all have their token: who leads is not known.
    let done = Arc::new(std::sync::Barrier::new(8));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let provider = provider.clone();
            let (barrier, done) = (Arc::clone(&barrier), Arc::clone(&done));
            thread::spawn(move || {
                let runtime = runtime(1);
                barrier.wait();
                let token = runtime.block_on(provider.token()).unwrap();
                done.wait();
                token.fingerprint()
            })
        })
        .collect();
    let tokens: Vec<_> = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect();
    assert!(tokens.iter().all(|token| *token == tokens[0]));
    assert_eq!(server.counts().token_requests, 1);
}
