//! hyper's client with the layer around it, over TLS: every request carries the
//! token, and one that meets a revoked token is sent once more.
//!
//! `cargo run -p bloom-auth-tower --example hyper_client`
//!
//! It runs against the emulator. With the facade, the layer is
//! `BloomAuth::from_env()?.bearer_layer()`.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::sync::Arc;

use bloom_auth_core::{ClientCredentials, ClientId, ClientSecret, Environment, TokenProvider};
use bloom_auth_emulator::Emulator;
use bloom_auth_reqwest::ReqwestTransport;
use bloom_auth_tower::{BearerLayer, BoxError};
use bytes::Bytes;
use http::{Request, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tower::{Service as _, ServiceBuilder, ServiceExt as _};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let emulator = Emulator::start().await?;
    let ca = emulator.ca_pem().ok_or("the emulator speaks TLS")?;

    // Where the tokens come from.
    let environment = Environment::custom(emulator.v1_token_url(), emulator.api_url())
        .audience(emulator.audience())
        .build()?;
    let id = ClientId::new(emulator.client_id())?;
    let credentials = ClientCredentials::new(id, ClientSecret::new(emulator.client_secret())?);
    let transport = ReqwestTransport::builder().with_root_certificate(ca)?;
    let provider = TokenProvider::builder(environment, credentials, transport.build()?).build()?;

    // hyper's client, which trusts the emulator's certificate.
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes())?)?;
    let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_only()
        .enable_http1()
        .build();
    let hyper = Client::builder(TokioExecutor::new()).build::<_, Full<Bytes>>(https);

    // `Full` is held in memory, so its clone can be sent in a replay.
    let mut client = ServiceBuilder::new()
        .layer(BearerLayer::new(provider.clone()).replay_cloned())
        .service(hyper);

    let organization = provider.environment().url_of("/v2/core/organization");
    let request = Request::get(organization).body(Full::default())?;
    let first = client.ready().await?.call(request).await?.status();
    println!("GET organization: {first}");

    // The token ends before its time. Nobody notices.
    emulator.revoke_all();
    let consumers = provider.environment().url_of("/v2/core/consumers");
    let request = Request::post(consumers)
        .header(CONTENT_TYPE, "application/json")
        .body(Full::from(r#"{"name":"Ada"}"#))?;
    let second = client.ready().await?.call(request).await?.status();
    println!("token revoked; POST consumer: {second}");

    let counts = emulator.counts();
    emulator.shutdown().await;
    let (requests, refused) = (counts.token_requests, counts.api_unauthorized);
    if (first.as_u16(), second.as_u16(), requests, refused) != (200, 201, 2, 1) {
        return Err(format!("that is not how it should go: {counts:?}").into());
    }
    println!("ok: {requests} tokens for 2 API requests, one of which was sent twice");
    Ok(())
}
