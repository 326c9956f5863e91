//! What the machine sets up: proxies and root certificates.

use bloom_auth_core::{TransportErrorKind, test_util::Turn};
use bloom_auth_emulator::Emulator;
use bloom_auth_reqwest::ReqwestTransport;

use crate::{
    child,
    support::{LIBRARIES, failure, failure_kind, ok, serve, status},
};

/// A host that is not taken for loopback, and from which nothing could leave
/// the machine: 127.0.0.1 as an IPv6 address.
const NOT_LOOPBACK: &str = "[::ffff:7f00:1]";

/// Each variable that names a proxy for a scheme, alone and by either case of
/// its name; the two processes run with one of them at a time.
const PROXY_VARIABLES: [&str; 6] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// Whether a variable of this name is about https.
fn is_for_https(variable: &str) -> bool {
    !variable.eq_ignore_ascii_case("http_proxy")
}

#[tokio::test]
async fn n26_a_proxy_is_for_others_than_loopback() {
    const NAME: &str = "environment::n26_a_proxy_is_for_others_than_loopback";
    if child::is_child() {
        return reach_loopback_and_elsewhere().await;
    }
    let refusal = "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n";
    for variable in PROXY_VARIABLES {
        let proxy = serve(Turn::new().send(refusal)).await;
        child::run(NAME, vec![(variable, proxy.origin())]).await;
        let seen = proxy.seen();
        let lines = seen.requests.iter().map(|request| {
            let request = String::from_utf8_lossy(request).into_owned();
            assert!(!request.contains("canary"), "{variable}: {request}");
            request.lines().next().unwrap_or_default().to_owned()
        });
        let lines: Vec<_> = lines.collect();
        // Plain http goes nowhere but to loopback, so a proxy for it alone is
        // never asked.
        let expected = match is_for_https(variable) {
            true => vec![format!("CONNECT {NOT_LOOPBACK}:1 HTTP/1.1"); LIBRARIES.len()],
            false => vec![],
        };
        assert_eq!(lines, expected, "{variable}");
        assert_eq!(seen.connections, expected.len(), "{variable}");
    }
    // What stands for other hosts, and for none.
    let proxy = serve(Turn::new().send(refusal)).await;
    let variables = vec![
        ("ALL_PROXY", proxy.origin()),
        ("NO_PROXY", "example.test,::ffff:127.0.0.1".to_owned()),
    ];
    child::run(NAME, variables).await;
    assert_eq!(proxy.seen().connections, 0);
}

/// Loopback answers by whichever name, https and plain; then a host that is
/// not taken for it is asked for, which the proxy shall see.
async fn reach_loopback_and_elsewhere() {
    for (library, begin) in LIBRARIES {
        let emulator = Emulator::start().await.unwrap();
        let plain = serve(ok()).await;
        let transport = begin()
            .with_root_certificate(emulator.ca_pem().unwrap())
            .unwrap()
            .allow_insecure_loopback()
            .build()
            .unwrap();
        for url in [emulator.v1_token_url(), plain.origin()] {
            let expected = if url.starts_with("https") { 400 } else { 200 };
            let by_name = url.replace("127.0.0.1", "localhost");
            assert_eq!(status(&transport, &url).await, expected, "{library}, {url}");
            let status = status(&transport, &by_name).await;
            assert_eq!(status, expected, "{library}, {by_name}");
        }
        assert_eq!(emulator.counts().token_requests, 2, "{library}");
        assert_eq!(plain.seen().requests.len(), 2, "{library}");
        // Nobody listens there: the failure may be the proxy's or this.
        let url = format!("https://{NOT_LOOPBACK}:1/");
        failure(&transport, &url).await;
    }
}

/// Where the platform keeps its certificates in files; OpenSSL does not mind
/// that there are none.
#[cfg(all(feature = "rustls", target_os = "linux"))]
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
        let text = bloom_auth_core::chain(&error);
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
