//! hyper's client against the emulator: every count is the emulator's own.

use std::sync::Arc;

use bloom_auth_core::{ClientCredentials, ClientId, ClientSecret, Environment, TokenProvider};
use bloom_auth_emulator::{Emulator, EmulatorBuilder};
use bloom_auth_reqwest::ReqwestTransport;
use bloom_auth_tower::{BearerLayer, BearerService, ReplayCloned};
use bytes::Bytes;
use http::{Method, Request, header::CONTENT_TYPE};
use http_body_util::{BodyExt as _, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tokio::task::JoinSet;
use tower::Layer as _;

use crate::support::{send, status};

type Hyper = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

struct Setup {
    emulator: Emulator,
    provider: TokenProvider,
    service: BearerService<Hyper, ReplayCloned>,
}

impl Setup {
    async fn start(builder: EmulatorBuilder) -> Self {
        let emulator = builder.start().await.unwrap();
        let mut roots = RootCertStore::empty();
        let mut transport = ReqwestTransport::builder();
        let mut environment = Environment::custom(emulator.v1_token_url(), emulator.api_url());
        if let Some(pem) = emulator.ca_pem() {
            let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
            roots.add(certificate).unwrap();
            transport = transport.with_root_certificate(pem).unwrap();
        } else {
            transport = transport.allow_insecure_loopback();
            environment = environment.allow_insecure_loopback();
        }
        let environment = environment.audience(emulator.audience()).build().unwrap();
        let credentials = ClientCredentials::new(
            ClientId::new(emulator.client_id()).unwrap(),
            ClientSecret::new(emulator.client_secret()).unwrap(),
        );
        let transport = transport.build().unwrap();
        let provider = TokenProvider::builder(environment, credentials, transport);
        let provider = provider.build().unwrap();
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let layer = BearerLayer::new(provider.clone()).replay_cloned();
        Self {
            emulator,
            provider,
            service: layer.layer(client),
        }
    }

    fn request(&self, method: &Method, path: &str, body: &'static str) -> Request<Full<Bytes>> {
        Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.emulator.api_url()))
            .header(CONTENT_TYPE, "application/json")
            .body(body.into())
            .unwrap()
    }

    fn get(&self, path: &str) -> Request<Full<Bytes>> {
        self.request(&Method::GET, path, "")
    }
}

const ORGANIZATION: &str = "/v2/core/organization";
const CONSUMERS: &str = "/v2/core/consumers";

#[tokio::test]
async fn a1_a10_a_revoked_token_is_replaced_over_plain_http_and_tls() {
    for builder in [Emulator::builder().plain_http(), Emulator::builder()] {
        let setup = Setup::start(builder).await;
        let service = &setup.service;
        assert_eq!(status(service, setup.get(ORGANIZATION)).await, 200);
        assert_eq!(status(service, setup.get(ORGANIZATION)).await, 200);
        assert_eq!(setup.emulator.counts().token_requests, 1);

        setup.emulator.revoke_all();
        let post = setup.request(&Method::POST, CONSUMERS, r#"{"name":"a"}"#);
        assert_eq!(status(service, post).await, 201);
        let counts = setup.emulator.counts();
        assert_eq!((counts.token_requests, counts.api_unauthorized), (2, 1));

        // It was done once.
        let answer = send(service, setup.get(CONSUMERS)).await.unwrap();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert_eq!(body.matches(r#""name":"a""#).count(), 1, "{body}");
        assert_eq!(setup.emulator.counts().token_requests, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a4_many_connections_meet_a_revoked_token_for_one_token_request() {
    const CALLS: u64 = 100;
    let setup = Setup::start(Emulator::builder().plain_http()).await;
    setup.provider.token().await.unwrap();
    setup.emulator.revoke_all();
    let mut calls = JoinSet::new();
    for _ in 0..CALLS {
        let (service, request) = (setup.service.clone(), setup.get(ORGANIZATION));
        calls.spawn(async move { status(&service, request).await });
    }
    let statuses = calls.join_all().await;
    assert!(statuses.iter().all(|status| *status == 200));
    let counts = setup.emulator.counts();
    assert_eq!(counts.token_requests, 2);
    assert_eq!(counts.api_authorized, CALLS);
    // Whoever came later had the new token at once.
    assert!((1..=CALLS).contains(&counts.api_unauthorized));
}

#[tokio::test]
async fn a15_what_is_elsewhere_gets_no_token() {
    let setup = Setup::start(Emulator::builder().plain_http()).await;
    let other = Emulator::builder().plain_http().start().await.unwrap();
    let request = Request::get(format!("{}{ORGANIZATION}", other.api_url()));
    let request = request.body(Full::default()).unwrap();
    assert_eq!(status(&setup.service, request).await, 401);
    // It asks for a token, without a word of one that it did not like.
    assert_eq!(other.counts().api_unauthorized, 1);
    assert_eq!(setup.emulator.counts().token_requests, 0);
}
