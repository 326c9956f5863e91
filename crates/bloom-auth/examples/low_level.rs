//! For a client that has no adapter: the header's value, with and without
//! waiting, and what decides on tokens for you.
//!
//! `cargo run --example low_level`
//!
//! The client is hyper's, over plain HTTP to the emulator; any other will do.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bloom_auth::{Bearer, BloomAuth, ClientId, ClientSecret, Environment, Origin, Verdict};
use bloom_auth_emulator::Emulator;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Uri, header::AUTHORIZATION};
use http_body_util::Empty;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

type Hyper = Client<HttpConnector, Empty<Bytes>>;

#[tokio::main]
async fn main() -> Result<()> {
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
    let client: Hyper = Client::builder(TokioExecutor::new()).build_http();
    let url: Uri = auth.environment().url_of("/v2/core/organization").parse()?;

    // Where nothing can wait: the value if a token is at hand. Otherwise a fetch
    // begins, and somebody looks again later.
    ensure!(auth.try_authorization().is_none());
    let value = loop {
        match auth.try_authorization() {
            Some(value) => break value,
            None => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
    let status = send(&client, &url, headers).await?.status();
    println!("try_authorization: {status}");
    ensure!(status == 200);

    // Where it can: the same value, which is ready at once now.
    let headers = HeaderMap::from_iter([(AUTHORIZATION, auth.authorization().await?)]);
    let status = send(&client, &url, headers).await?.status();
    println!("authorization: {status}");
    ensure!(status == 200);

    // By hand, a 401 needs the very token that was refused.
    emulator.revoke_all();
    let token = auth.token().await?;
    let headers = HeaderMap::from_iter([(AUTHORIZATION, token.authorization())]);
    let status = send(&client, &url, headers).await?.status();
    println!("token revoked: {status}");
    ensure!(status == StatusCode::UNAUTHORIZED);
    println!("reject: {:?}", auth.reject(&token));
    ensure!(auth.token().await? != token);

    // With `Bearer` none of this is yours: which hosts get the token, which
    // answers say that it is refused, and which token is to blame.
    let bearer = Bearer::new(auth.provider().clone());
    let response = call(&bearer, &client, &url).await?;
    println!("Bearer: {}", response.status());
    ensure!(response.status() == 200);
    let stranger: Uri = "https://example.com/".parse()?;
    let mut headers = HeaderMap::new();
    let attached = bearer.attach(Origin::of(&stranger), &mut headers).await?;
    ensure!(attached.is_none() && headers.is_empty());

    let counts = emulator.counts();
    emulator.shutdown().await;
    let seen = (counts.token_requests, counts.api_authorized);
    ensure!(seen == (2, 3), "the emulator saw {counts:?}");
    println!("ok: a header's value in three ways, and 2 tokens for them");
    Ok(())
}

/// Sends a request with the token, and once more if it was refused. For a
/// client that you use in many places, an `Exchange` has this done.
async fn call(bearer: &Bearer, client: &Hyper, url: &Uri) -> Result<Response<()>> {
    let mut headers = HeaderMap::new();
    let attachment = bearer.attach(Origin::of(url), &mut headers).await?;
    let attachment = attachment.context("the API's own origin has the token")?;
    let response = send(client, url, headers).await?;
    // This client follows no redirects: who answers is who was asked.
    let origin = Origin::of(url);
    let verdict = bearer.judge(&attachment, origin, response.status(), response.headers());
    if verdict != Verdict::TokenRejected {
        return Ok(response);
    }
    // The token is dropped by now. `None` if there is no other.
    let Some(another) = bearer.another(&attachment).await else {
        return Ok(response);
    };
    let mut headers = HeaderMap::new();
    another.put_into(&mut headers);
    let response = send(client, url, headers).await?;
    let origin = Origin::of(url);
    // The second one is looked at too, so that the next call has another token.
    let _ = bearer.judge(&another, origin, response.status(), response.headers());
    Ok(response)
}

/// Your client: a `GET` with these headers, and the head of its answer.
async fn send(client: &Hyper, url: &Uri, headers: HeaderMap) -> Result<Response<()>> {
    let mut request = Request::get(url).body(Empty::new())?;
    *request.headers_mut() = headers;
    Ok(client.request(request).await?.map(drop))
}
