//! A service that acts for many clients of Bloom's: a provider for each, one
//! pool of connections and one cache for all, and a limit for the rush at the
//! start.
//!
//! `cargo run --example many_tenants --features moka`
//!
//! Each tenant is a client of an emulator of its own.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::{collections::HashMap, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use bloom_auth::{
    AuthorizedClient, ClientCredentials, ClientId, ClientSecret, ConfigurationError, Environment,
    FetchLimit, MokaCache, ReqwestTransport, TokenProvider, TokenProviders,
};
use bloom_auth_emulator::Emulator;
use reqwest::{StatusCode, redirect::Policy};
use tokio::{task::JoinSet, time::Instant};

const TENANTS: [&str; 4] = ["acme", "zeta", "initech", "umbra"];
const CALLS: usize = 25;
/// How many token requests may be under way at once.
const AT_ONCE: usize = 2;
const LATENCY: Duration = Duration::from_millis(150);

/// What the service knows of a tenant. The secret would be in a vault.
struct Tenant {
    environment: Environment,
    credentials: ClientCredentials,
}

#[derive(Clone)]
struct Service {
    providers: TokenProviders<String>,
    /// One for all tenants: a client is a pool of connections.
    client: reqwest::Client,
}

impl Service {
    fn new(tenants: HashMap<String, Tenant>) -> Result<Self> {
        let transport = ReqwestTransport::builder().allow_insecure_loopback();
        let transport = Arc::new(transport.build()?);
        let cache = MokaCache::new(10_000)?;
        let limit = FetchLimit::new(AT_ONCE)?;
        let providers = TokenProviders::builder(move |name: &String| {
            let tenant = tenants.get(name).ok_or_else(|| {
                // Names come from outside: one that is unknown costs no request.
                ConfigurationError::new("tenant", "is unknown", "sign it up first")
            })?;
            let (environment, credentials) = (&tenant.environment, &tenant.credentials);
            TokenProvider::builder(environment.clone(), credentials.clone(), transport.clone())
                .cache(cache.clone())
                .fetch_limit(limit.clone())
                .build()
        });
        Ok(Self {
            providers: providers.max_providers(1000).build()?,
            client: reqwest::Client::builder()
                .no_proxy()
                .redirect(Policy::none())
                .build()?,
        })
    }

    /// Calls the API for this tenant.
    async fn call(&self, tenant: &str) -> Result<StatusCode> {
        let provider = self.providers.get(&tenant.to_owned())?;
        // A handle on provider and pool, made for this call.
        let api = AuthorizedClient::with_client(provider, self.client.clone());
        let response = api.get("/v2/core/organization").send().await?;
        Ok(response.status())
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut emulators = HashMap::new();
    let mut tenants = HashMap::new();
    for name in TENANTS {
        let emulator = Emulator::builder().plain_http().latency(LATENCY);
        let emulator = emulator.start().await?;
        let environment = Environment::custom(emulator.v1_token_url(), emulator.api_url())
            .audience(emulator.audience())
            .allow_insecure_loopback() // the emulator is on this machine
            .build()?;
        let id = ClientId::new(emulator.client_id())?;
        let secret = ClientSecret::new(emulator.client_secret())?;
        let tenant = Tenant {
            environment,
            credentials: ClientCredentials::new(id, secret),
        };
        tenants.insert(name.to_owned(), tenant);
        emulators.insert(name, emulator);
    }
    let service = Service::new(tenants)?;

    // The service was started, and all tenants come at once.
    let started = Instant::now();
    let mut calls = JoinSet::new();
    for tenant in TENANTS.repeat(CALLS) {
        let service = service.clone();
        calls.spawn(async move { service.call(tenant).await });
    }
    for status in calls.join_all().await {
        ensure!(status? == StatusCode::OK);
    }
    let took = started.elapsed();
    println!("{} calls in {took:.1?}", TENANTS.len() * CALLS);
    // Two by two.
    ensure!(took >= LATENCY * 2, "the limit was not kept");

    // A tenant whose provider has gone, for it was idle, costs no token request:
    // the cache has its token.
    ensure!(service.providers.remove(&"acme".to_owned()));
    ensure!(service.call("acme").await? == StatusCode::OK);

    // One tenant's trouble is its own.
    let zeta = emulators.get("zeta").context("it was started")?;
    zeta.revoke_all();
    for tenant in TENANTS {
        ensure!(service.call(tenant).await? == StatusCode::OK);
    }
    let unknown = service.call("unknown").await;
    let unknown = unknown.err().context("nobody signed it up")?;
    println!("another one: {unknown:#}");

    for (name, emulator) in emulators {
        let counts = emulator.counts();
        emulator.shutdown().await;
        let requests = if name == "zeta" { 2 } else { 1 };
        ensure!(counts.token_requests == requests, "{name}: {counts:?}");
        let calls = CALLS as u64 + if name == "acme" { 2 } else { 1 };
        ensure!(counts.api_authorized == calls, "{name}: {counts:?}");
    }
    println!("ok: a token request for each tenant, and one more for whom it was revoked");
    Ok(())
}
