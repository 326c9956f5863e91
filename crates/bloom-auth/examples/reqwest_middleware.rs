//! A client that is built of reqwest-middleware: one middleware that retries,
//! then the one that puts the token in, then one that traces.
//!
//! `cargo run --example reqwest_middleware --features middleware`
//!
//! It runs against the emulator. Retry and trace are written out here, for they
//! show what each place in the stack sees; `reqwest-retry` and `reqwest-tracing`
//! go to the same places.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use anyhow::{Result, ensure};
use async_trait::async_trait;
use bloom_auth::{BearerMiddleware, BloomAuth, ClientId, ClientSecret, Environment};
use bloom_auth_emulator::Emulator;
use http::{Extensions, StatusCode};
use reqwest::{Request, Response, redirect::Policy};
use reqwest_middleware::{ClientBuilder, Middleware, Next};
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    layer::SubscriberExt as _,
};

#[tokio::main]
async fn main() -> Result<()> {
    let subscriber = tracing_subscriber::registry()
        .with(Targets::new().with_target("example", LevelFilter::INFO))
        .with(tracing_subscriber::fmt::layer().without_time());
    tracing::subscriber::set_global_default(subscriber)?;

    let emulator = Emulator::builder().plain_http().start().await?;
    let environment = Environment::custom(emulator.v1_token_url(), emulator.api_url())
        .audience(emulator.audience())
        .allow_insecure_loopback() // the emulator is on this machine
        .build()?;
    let auth = BloomAuth::builder()
        .environment(environment)
        .client(
            ClientId::new(emulator.client_id())?,
            ClientSecret::new(emulator.client_secret())?,
        )
        .build()?;

    // reqwest follows redirects below all middlewares: without this one, a chain
    // of them could take the token to where it does not belong.
    let reqwest = reqwest::Client::builder().no_proxy();
    let reqwest = reqwest.redirect(Policy::none()).build()?;
    let (retry, trace, network) = (Retry::default(), Trace::default(), Network::default());
    let client = ClientBuilder::new(reqwest) // once; clone it wherever it is needed
        .with(retry.clone()) // outside: every try has the token that is current then
        .with(BearerMiddleware::new(auth.provider().clone()))
        .with(trace.clone()) // inside: sees what is sent, twice if it is sent twice
        .with(network.clone())
        .build();
    let url = auth.environment().url_of("/v2/core/organization");

    // The API is overloaded: that is the retry's business.
    network.is_overloaded.store(true, Ordering::SeqCst);
    ensure!(client.get(&url).send().await?.status() == 200);
    ensure!(retry.seen.take() == [503, 200]);
    ensure!(trace.seen.take() == [503, 200]);

    // The token was revoked: that is the middleware's business, and the retry
    // does not see it.
    emulator.revoke_all();
    ensure!(client.get(&url).send().await?.status() == 200);
    ensure!(retry.seen.take() == [200]);
    ensure!(trace.seen.take() == [401, 200]);

    let counts = emulator.counts();
    emulator.shutdown().await;
    let seen = (counts.token_requests, counts.api_unauthorized);
    ensure!(seen == (2, 1), "the emulator saw {counts:?}");
    println!("ok: a retry for the 503, another token for the 401, and each saw its own");
    Ok(())
}

/// Sends a request once more when the API is overloaded. A real one waits in
/// between, and longer each time.
#[derive(Clone, Default)]
struct Retry {
    seen: Statuses,
}

#[async_trait]
impl Middleware for Retry {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        // No copy of a body that is a stream.
        let copy = request.try_clone();
        let response = next.clone().run(request, extensions).await?;
        self.seen.push(response.status());
        match copy {
            Some(copy) if response.status() == StatusCode::SERVICE_UNAVAILABLE => {
                let response = next.run(copy, extensions).await?;
                self.seen.push(response.status());
                Ok(response)
            }
            // A 401 is none of its business.
            _ => Ok(response),
        }
    }
}

/// Says what was sent and answered.
#[derive(Clone, Default)]
struct Trace {
    seen: Statuses,
}

#[async_trait]
impl Middleware for Trace {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let (method, path) = (request.method().clone(), request.url().path().to_owned());
        // The token's header is marked as sensitive, so that this shows none of it.
        let headers = format!("{:?}", request.headers());
        let response = next.run(request, extensions).await?;
        let status = response.status();
        self.seen.push(status);
        tracing::info!(target: "example", %method, path, headers, status = status.as_u16());
        Ok(response)
    }
}

/// What is between this machine and the API: it can be overloaded once.
#[derive(Clone, Default)]
struct Network {
    is_overloaded: Arc<AtomicBool>,
}

#[async_trait]
impl Middleware for Network {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        if self.is_overloaded.swap(false, Ordering::SeqCst) {
            let mut response = http::Response::new("");
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            return Ok(response.into());
        }
        next.run(request, extensions).await
    }
}

#[derive(Clone, Default)]
struct Statuses(Arc<Mutex<Vec<u16>>>);

impl Statuses {
    fn push(&self, status: StatusCode) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push(status.as_u16());
    }

    fn take(&self) -> Vec<u16> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
