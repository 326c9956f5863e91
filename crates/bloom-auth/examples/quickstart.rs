//! The main job: get a token, call the API with it, and keep going while
//! tokens expire.
//!
//! `cargo run --example quickstart`
//!
//! Without credentials in the environment it starts the emulator, with tokens
//! that live for three seconds. With `BLOOM_CLIENT_ID` and `BLOOM_CLIENT_SECRET`
//! it talks to the environment that they are for.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a program of its own: it reads the environment and talks to a person"
)]

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, ensure};
use bloom_auth::{BloomAuth, ClientId, ClientSecret, Environment};
use bloom_auth_emulator::Emulator;
use tokio::time::{Instant, sleep};

/// With the emulator: long enough for three tokens and more.
const EMULATED: Plan = Plan {
    calls: 50,
    pause: Duration::from_millis(150),
    least_tokens: 3,
};
/// With Bloom: a token lasts for a day, and a few calls show that it works.
const REAL: Plan = Plan {
    calls: 5,
    pause: Duration::from_millis(500),
    least_tokens: 1,
};

struct Plan {
    calls: u32,
    pause: Duration,
    least_tokens: usize,
}

#[tokio::main]
async fn main() -> Result<()> {
    let has_credentials = [
        "BLOOM_CLIENT_ID",
        "BLOOM_CLIENT_SECRET",
        "BLOOM_CLIENT_SECRET_FILE",
    ]
    .iter()
    .any(|name| std::env::var_os(name).is_some());
    if has_credentials {
        let auth = BloomAuth::from_env()?;
        println!("Bloom at {}", auth.environment().api_url());
        return run(&auth, &REAL, None).await;
    }

    let lifetime = Duration::from_secs(3);
    let emulator = Emulator::builder().token_lifetime(lifetime).start().await?;
    let ca = emulator.ca_pem().context("the emulator speaks TLS")?;
    println!(
        "No credentials in the environment: using the emulator at {}",
        emulator.origin()
    );
    let environment = Environment::custom(emulator.v1_token_url(), emulator.api_url())
        .audience(emulator.audience())
        .build()?;
    let auth = BloomAuth::builder()
        .environment(environment)
        .client(
            ClientId::new(emulator.client_id())?,
            ClientSecret::new(emulator.client_secret())?,
        )
        .root_certificate(ca)
        .build()?;
    let result = run(&auth, &EMULATED, Some(&emulator)).await;
    emulator.shutdown().await;
    result
}

/// Makes the plan's API calls, each with the token that is current then.
async fn run(auth: &BloomAuth, plan: &Plan, emulator: Option<&Emulator>) -> Result<()> {
    let started = Instant::now();
    let mut tokens = BTreeSet::new();
    for call in 1..=plan.calls {
        // This is all that it takes.
        let response = auth.api().get("/v2/core/organization").send().await?;
        let status = response.status();
        ensure!(
            status.is_success(),
            "API call {call} failed with status {status}"
        );

        // And this is to see what happens: the token that is there by now.
        let token = auth.token().await?;
        let fingerprint = token.fingerprint().to_string();
        if tokens.insert(fingerprint.clone()) {
            let left = token
                .expires_at()
                .duration_since(std::time::SystemTime::now());
            println!(
                "{:6.2} s  token {fingerprint} fetched, expires in {:.1} s",
                started.elapsed().as_secs_f64(),
                left.unwrap_or_default().as_secs_f64(),
            );
        }
        if call == 1 || call % 10 == 0 {
            let elapsed = started.elapsed().as_secs_f64();
            println!("{elapsed:6.2} s  API call {call}: {status}");
        }
        sleep(plan.pause).await;
    }

    let counts = auth.status().counts;
    let mut requests = counts.token_requests;
    if let Some(emulator) = emulator {
        // A refresh ahead may be under way; it is counted on both sides or not
        // at all once it is over.
        while auth.status().is_fetching {
            sleep(Duration::from_millis(10)).await;
        }
        requests = emulator.counts().token_requests;
        let counted = auth.status().counts.token_requests;
        ensure!(
            requests == counted,
            "{requests} token requests arrived, {counted} were counted"
        );
        // Nor was any call sent twice: tokens were replaced before they expired.
        let seen = emulator.counts();
        ensure!(
            (seen.api_authorized, seen.api_unauthorized) == (plan.calls.into(), 0),
            "the API saw {seen:?}"
        );
    }
    ensure!(
        tokens.len() >= plan.least_tokens,
        "there were only {} tokens",
        tokens.len()
    );
    println!(
        "ok: {} API calls authorized with {} tokens from {requests} token requests",
        plan.calls,
        tokens.len(),
    );
    Ok(())
}
