//! Connections: how long they may take, and that none is kept.

use std::time::Duration;

use bloom_auth_core::{
    ClientCredentials, ClientId, ClientSecret, Environment, ErrorKind, TokenProvider,
    TransportErrorKind,
    test_util::{FixedEntropy, ManualClock, Turn},
};
use bloom_auth_reqwest::ReqwestTransport;

use crate::support::{OK, failure_kind, ok, provider, serve, status, token};

const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(600);

fn transport(timeout: Duration) -> ReqwestTransport {
    let builder = ReqwestTransport::builder().allow_insecure_loopback();
    builder.timeout(timeout).build().unwrap()
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{";
    for (case, turn) in [
        ("no answer", Turn::new()),
        ("half a head", Turn::new().send("HTTP/1.1 200 OK\r\n")),
        ("half a body", Turn::new().send(half)),
    ] {
        let server = serve(turn.keep_open()).await;
        let kind = failure_kind(&transport(SHORT), &server.origin()).await;
        assert_eq!(kind, TransportErrorKind::Timeout, "{case}");
        server.until(|seen| seen.hangups == 1).await;
        assert_eq!(server.seen().requests.len(), 1, "{case}");
    }
}

/// Each byte comes in time; all of them would take minutes.
#[tokio::test]
async fn n6_n7_a_slow_answer_is_ended_by_the_total_timeout() {
    let slowly = |turn: Turn| turn.drip("a".repeat(100_000), Duration::from_millis(5));
    let head = Turn::new().send("HTTP/1.1 200 OK\r\nx: ");
    let body = Turn::new().send("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n");
    for (case, turn) in [("head", head), ("body", body)] {
        let server = serve(slowly(turn)).await;
        let kind = failure_kind(&transport(2 * SHORT), &server.origin()).await;
        assert_eq!(kind, TransportErrorKind::Timeout, "{case}");
        server.until(|seen| seen.hangups == 1).await;
    }
}

/// The engine makes three attempts, then single ones. Were the client or what it
/// is made of to try again too, the server would see more of them.
#[tokio::test]
async fn f4_the_engine_alone_tries_again() {
    let unavailable = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{";
    for (case, turn, kind) in [
        ("a status", Turn::new().send(unavailable), ErrorKind::Server),
        ("no answer", Turn::new(), ErrorKind::Interrupted),
        ("a reset", Turn::new().reset(), ErrorKind::Interrupted),
        (
            "half a body",
            Turn::new().send(half),
            ErrorKind::Interrupted,
        ),
    ] {
        let server = serve(turn).await;
        let environment = Environment::custom(server.origin(), server.origin())
            .allow_insecure_loopback()
            .build()
            .unwrap();
        let (id, secret) = (ClientId::new("id").unwrap(), ClientSecret::new("secret"));
        let credentials = ClientCredentials::new(id, secret.unwrap());
        let clock = ManualClock::new();
        let provider = TokenProvider::builder(environment, credentials, transport(LONG))
            .clock(clock.clone())
            .entropy(FixedEntropy::LEAST)
            .build()
            .unwrap();
        for requests in [3, 4, 5] {
            let error = provider.token().await.unwrap_err();
            assert_eq!(error.kind(), kind, "{case}");
            assert_eq!(server.seen().requests.len(), requests, "{case}");
            assert_eq!(server.seen().connections, requests, "{case}");
            clock.advance(error.retry_after().unwrap());
        }
    }
}

#[tokio::test]
async fn a_first_token_is_one_connection_and_one_request() {
    let server = serve(Turn::new().send(token("first")).keep_open()).await;
    let provider = provider(&server);
    let contacts = || (server.seen().connections, server.seen().requests.len());
    assert_eq!(contacts(), (0, 0), "by building it");
    assert_eq!(provider.token().await.unwrap().expose(), "first");
    server.until(|seen| seen.hangups == 1).await;
    assert_eq!(contacts(), (1, 1));
    // And what is counted counts: a second token is another of each.
    provider.refresh().await.unwrap();
    server.until(|seen| seen.hangups == 2).await;
    assert_eq!(contacts(), (2, 2));
}

#[tokio::test]
async fn no_connection_is_kept() {
    let server = serve(ok()).await;
    let transport = transport(LONG);
    for n in 1..=3 {
        assert_eq!(status(&transport, &server.origin()).await, 200);
        // While the transport lives, and though the server offers to go on.
        server.until(|seen| seen.hangups == n).await;
        assert_eq!(server.seen().connections, n);
    }
}

#[test]
fn a_runtime_that_has_gone_takes_nothing_with_it() {
    let transport = transport(LONG);
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    };
    for _ in 0..2 {
        let answer = runtime().block_on(async {
            let server = serve(Turn::new().send(OK)).await;
            status(&transport, &server.origin()).await
        });
        assert_eq!(answer, 200);
    }
}

#[test]
fn timeouts_of_zero_are_refused() {
    let zero = Duration::ZERO;
    for builder in [
        ReqwestTransport::builder().timeout(zero),
        ReqwestTransport::builder().connect_timeout(zero),
    ] {
        let error = builder.build().unwrap_err();
        assert!(error.to_string().contains("is zero"), "{error}");
    }
}

#[cfg(not(feature = "rustls"))]
#[tokio::test]
async fn without_tls_https_is_a_typed_error() {
    let server = serve(ok()).await;
    let url = server.origin().replace("http:", "https:");
    let transport = ReqwestTransport::builder().build().unwrap();
    let kind = failure_kind(&transport, &url).await;
    assert_eq!(kind, TransportErrorKind::Configuration);
    assert!(server.seen().requests.is_empty());
    let builder = ReqwestTransport::builder().with_root_certificate("any");
    assert!(builder.unwrap_err().to_string().contains("has no TLS"));
}
