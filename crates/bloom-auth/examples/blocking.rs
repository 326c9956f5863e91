//! A program without an async runtime: a few worker threads that call the API
//! with a blocking HTTP client, while their tokens expire.
//!
//! `cargo run --example blocking --features blocking`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::{collections::BTreeSet, sync::mpsc, thread, time::Duration};

use anyhow::{Result, ensure};
use bloom_auth::{AccessToken, BloomAuth, ClientId, ClientSecret, Environment, blocking};
use bloom_auth_emulator::Emulator;

const WORKERS: usize = 4;
const CALLS: usize = 12;
const PAUSE: Duration = Duration::from_millis(250);

fn main() -> Result<()> {
    let server = Server::start()?;
    let emulator = &server.emulator;
    let environment = Environment::custom(emulator.v1_token_url(), emulator.api_url())
        .audience(emulator.audience())
        .allow_insecure_loopback()
        .build()?;
    // With settings from the environment: `blocking::BloomAuth::from_env()?`.
    let auth = BloomAuth::builder()
        .environment(environment)
        .client(
            ClientId::new(emulator.client_id())?,
            ClientSecret::new(emulator.client_secret())?,
        )
        .build()?
        .blocking();

    // One for the whole program, and a clone for each thread.
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let auth = auth.clone();
            thread::spawn(move || work(&auth))
        })
        .collect();
    let mut tokens = BTreeSet::new();
    for worker in workers {
        // Only a panic keeps a thread from its result.
        tokens.extend(worker.join().unwrap_or_else(|panic| {
            std::panic::resume_unwind(panic);
        })?);
    }

    let counts = emulator.counts();
    ensure!(tokens.len() > 1, "no token was refreshed");
    ensure!(
        counts.api_authorized == (WORKERS * CALLS) as u64,
        "the API saw {counts:?}"
    );
    ensure!(
        counts.token_requests < counts.api_authorized / 4,
        "{} token requests",
        counts.token_requests
    );
    println!(
        "ok: {} API calls of {WORKERS} threads with {} tokens from {} token requests",
        counts.api_authorized,
        tokens.len(),
        counts.token_requests
    );
    Ok(())
}

/// Calls the API a few times; returns which tokens it used.
fn work(auth: &blocking::BloomAuth) -> Result<BTreeSet<String>> {
    let client: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(10)))
        .build()
        .into();
    let url = auth.environment().url_of("/v2/core/organization");
    let mut tokens = BTreeSet::new();
    for _ in 0..CALLS {
        let mut token = auth.token()?;
        let call = |token: &AccessToken| {
            let request = client.get(&url);
            request
                .header("authorization", token.authorization())
                .call()
        };
        let mut response = call(&token)?;
        if response.status() == 401 {
            // Refused before its time: the next one may do.
            auth.reject(&token);
            token = auth.token()?;
            response = call(&token)?;
        }
        ensure!(response.status() == 200, "status {}", response.status());
        tokens.insert(token.fingerprint().to_string());
        thread::sleep(PAUSE);
    }
    Ok(tokens)
}

/// The emulator is async: it gets a thread and a runtime of its own, as the
/// server that it stands for has.
struct Server {
    emulator: Emulator,
    _stop: tokio::sync::oneshot::Sender<()>,
}

impl Server {
    fn start() -> Result<Self> {
        let (started, emulator) = mpsc::sync_channel(1);
        let (stop, stopped) = tokio::sync::oneshot::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let lifetime = Duration::from_secs(2);
                let emulator = Emulator::builder().plain_http().token_lifetime(lifetime);
                started.send(emulator.start().await)?;
                // Until the sender is dropped.
                let _ = stopped.await;
                anyhow::Ok(())
            })
        });
        Ok(Self {
            emulator: emulator.recv()??,
            _stop: stop,
        })
    }
}
