//! What the machine sets up: proxies and root certificates.

use bloom_auth_core::{TransportErrorKind, chain, test_util::Turn};
use bloom_auth_emulator::Emulator;
use bloom_auth_reqwest::ReqwestTransport;

use crate::{
    child,
    support::{failure, failure_kind, ok, serve, status},
};

/// A host that is not taken for loopback, and from which nothing could leave
/// the machine: 127.0.0.1 as an IPv6 address.
const NOT_LOOPBACK: &str = "[::ffff:127.0.0.1]";

#[tokio::test]
async fn n26_a_proxy_is_for_others_than_loopback() {
    const NAME: &str = "environment::n26_a_proxy_is_for_others_than_loopback";
    if child::is_child() {
        let emulator = Emulator::start().await.unwrap();
        let plain = serve(ok()).await;
        let transport = ReqwestTransport::builder()
            .with_root_certificate(emulator.ca_pem().unwrap())
            .unwrap()
            .allow_insecure_loopback()
            .build()
            .unwrap();
        let by_name = emulator.v1_token_url().replace("127.0.0.1", "localhost");
        for url in [emulator.v1_token_url(), by_name] {
            assert_eq!(status(&transport, &url).await, 400, "{url}");
        }
        assert_eq!(status(&transport, &plain.origin()).await, 200);
        assert_eq!(emulator.counts().token_requests, 2);
        assert_eq!(plain.seen().requests.len(), 1);
        // And the proxy is one: it gets what is meant for elsewhere.
        let url = format!("https://{NOT_LOOPBACK}:1/");
        failure(&transport, &url).await;
        return;
    }
    let refusal = "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n";
    let proxy = serve(Turn::new().send(refusal)).await;
    let variables = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"];
    let variables = variables.map(|name| (name, proxy.origin())).to_vec();
    child::run(NAME, variables).await;
    let seen = proxy.seen();
    assert_eq!(seen.connections, 1, "{seen:?}");
    let request = String::from_utf8_lossy(&seen.requests[0]).into_owned();
    assert!(request.starts_with("CONNECT [::ffff:"), "{request}");
    assert!(!request.contains("canary"), "{request}");
}

/// Where the platform keeps its certificates in files.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn without_root_certificates_the_error_says_what_to_install() {
    const NAME: &str = "environment::without_root_certificates_the_error_says_what_to_install";
    if !child::is_child() {
        let nothing = "/nonexistent/bloom-auth".to_owned();
        let variables = vec![
            ("SSL_CERT_FILE", nothing.clone()),
            ("SSL_CERT_DIR", nothing),
        ];
        return child::run(NAME, variables).await;
    }
    let emulator = Emulator::start().await.unwrap();
    let url = emulator.v1_token_url();
    // Nothing is loaded to build it.
    let transport = ReqwestTransport::builder().build().unwrap();
    for _ in 0..2 {
        let error = failure(&transport, &url).await;
        assert_eq!(error.kind(), TransportErrorKind::Configuration);
        let text = chain(&error);
        assert!(text.contains("ca-certificates"), "{text}");
    }
    assert_eq!(emulator.counts().connections, 0);
    // Whoever brings their own needs none of the machine's.
    let transport = ReqwestTransport::builder()
        .with_root_certificate(emulator.ca_pem().unwrap())
        .unwrap()
        .build()
        .unwrap();
    assert_eq!(status(&transport, &url).await, 400);
}

#[tokio::test]
async fn plain_http_goes_nowhere_but_to_an_allowed_loopback() {
    let server = serve(ok()).await;
    let port = server.address().port();
    let strict = ReqwestTransport::builder().build().unwrap();
    let builder = ReqwestTransport::builder().allow_insecure_loopback();
    let lenient = builder.build().unwrap();
    let elsewhere = format!("http://{NOT_LOOPBACK}:{port}/");
    for (transport, url) in [
        (&strict, &server.origin()),
        (&strict, &elsewhere),
        (&lenient, &elsewhere),
    ] {
        let kind = failure_kind(transport, url).await;
        assert_eq!(kind, TransportErrorKind::Configuration, "{url}");
    }
    assert_eq!(server.seen().connections, 0);
    assert_eq!(status(&lenient, &server.origin()).await, 200);
    assert_eq!(server.seen().connections, 1);
}
