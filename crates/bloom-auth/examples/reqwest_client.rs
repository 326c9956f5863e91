//! reqwest with the token in every request: what `BloomAuth::api` gives.
//!
//! `cargo run --example reqwest_client`
//!
//! It runs against the emulator: a request, one that meets a revoked token, and
//! the ways in which a request can fail, each with what to do about it.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use anyhow::{Context, Result, ensure};
use bloom_auth::{
    AuthVersion, BloomAuth, BloomAuthBuilder, ClientId, ClientSecret, Environment, Recovery,
    RequestError, Verdict,
};
use bloom_auth_emulator::Emulator;
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<()> {
    let emulator = Emulator::start().await?;
    let client = || -> Result<_> {
        let id = ClientId::new(emulator.client_id())?;
        Ok((id, ClientSecret::new(emulator.client_secret())?))
    };
    // With settings from the environment: `BloomAuth::from_env()?`.
    let (id, secret) = client()?;
    let auth = bloom(&emulator, AuthVersion::V1)?
        .client(id, secret)
        .build()?;
    let api = auth.api(); // one pool of connections for all clones of `auth`

    let response = api.get("/v2/core/organization").send().await?;
    let organization: Value = response.error_for_status()?.json().await?;
    let kind = organization.pointer("/data/type");
    println!("GET organization: {}", kind.context("not what it was")?);

    // The token ends before its time. The API says 401, and the request is sent
    // once more with another one: here nobody notices.
    emulator.revoke_all();
    let response = api
        .post("/v2/core/consumers")
        .query(&[("notify", "no")])
        .json(&json!({ "first_name": "Ada" }))
        .send()
        .await?;
    println!("token revoked; POST consumer: {}", response.status());
    ensure!(response.status() == 201);
    let counts = emulator.counts();
    let seen = (counts.token_requests, counts.api_unauthorized);
    ensure!(seen == (2, 1), "the emulator saw {counts:?}");

    // An answer is no error, whatever its status. This one says that the token
    // is good and does not reach that far: another one would not help.
    let (id, secret) = client()?;
    let furnisher = bloom(&emulator, AuthVersion::V2)?
        .scopes("furnishment:all".parse()?)
        .client(id, secret)
        .build()?;
    let response = furnisher.api().get("/v2/core/organization").send().await?;
    let verdict = Verdict::of(response.status(), response.headers());
    println!("with too small a scope: {}, {verdict:?}", response.status());
    let wanted = Verdict::ScopeMissing(Some("data-access:all".parse()?));
    ensure!((response.status().as_u16(), verdict) == (403, wanted));

    // Without an answer there is an error, which says what helps.
    let id = ClientId::new(emulator.client_id())?;
    let stranger = bloom(&emulator, AuthVersion::V1)?
        .client(id, ClientSecret::new("not the secret".to_owned())?)
        .build()?;
    let error = failure(&stranger).await?;
    ensure!(matches!(error, RequestError::Token(_)));
    ensure!(error.recovery() == Recovery::FixCredentials);

    let before = emulator.counts();
    let elsewhere = api.get("https://example.com/").send().await;
    let error = elsewhere.err().context("the token is not for them")?;
    println!("to another host: {}", bloom_auth::core::chain(&error));
    ensure!(error.recovery() == Recovery::FixConfiguration);
    ensure!(emulator.counts() == before, "nothing is asked for nothing");

    emulator.shutdown().await;
    let error = failure(&auth).await?;
    ensure!(matches!(error, RequestError::Http(_)));
    ensure!(matches!(error.recovery(), Recovery::Retry { .. }));

    let (tokens, requests) = (counts.token_requests, counts.api_authorized);
    println!("ok: {requests} API requests, {tokens} tokens, and each failure said what helps");
    Ok(())
}

/// Why this one cannot call the API.
async fn failure(auth: &BloomAuth) -> Result<RequestError> {
    let result = auth.api().get("/v2/core/organization").send().await;
    let error = result.err().context("it should have failed")?;
    let (chain, recovery) = (bloom_auth::core::chain(&error), error.recovery());
    println!("{chain}: {recovery:?}");
    Ok(error)
}

/// Everything but the client.
fn bloom(emulator: &Emulator, version: AuthVersion) -> Result<BloomAuthBuilder> {
    let token_url = match version {
        AuthVersion::V2 => emulator.v2_token_url(),
        _ => emulator.v1_token_url(),
    };
    let environment = Environment::custom(token_url, emulator.api_url())
        .auth_version(version)
        .audience(emulator.audience())
        .build()?;
    let ca = emulator.ca_pem().context("the emulator speaks TLS")?;
    // The API is trusted as the authorization server is.
    Ok(BloomAuth::builder()
        .environment(environment)
        .root_certificate(ca))
}
