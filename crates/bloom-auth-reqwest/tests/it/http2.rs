//! HTTP/2, frame by frame: servers that send connections away, reset streams
//! and flood them.

mod server;

use std::time::Duration;

use bloom_auth_core::{
    ClientCredentials, ClientId, ClientSecret, Environment, ErrorKind, TokenProvider,
    TransportErrorKind,
    test_util::{FixedEntropy, ManualClock},
};
use bloom_auth_reqwest::ReqwestTransport;

use tokio::task::JoinSet;

use crate::{
    support::{Begin, LIBRARIES, failure_kind, status, token_body},
    tls_server::Authority,
};
use server::{
    CANCEL, ENHANCE_YOUR_CALM, Http2Server, INTERNAL_ERROR, NO_ERROR, REFUSED_STREAM, Turn,
    continuation, data, empty_data, go_away, head, interim, ping, reset, settings, unfinished_head,
};

/// Nothing ends by it but what would never end.
const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_millis(200);

struct Site {
    authority: Authority,
    server: Http2Server,
}

impl Site {
    async fn new(script: impl IntoIterator<Item = Turn>) -> Self {
        let authority = Authority::new();
        let identity = authority.issue("127.0.0.1", 4096);
        let server = Http2Server::start(&identity, script).await;
        Self { authority, server }
    }

    fn transport(&self, begin: Begin, timeout: Duration) -> ReqwestTransport {
        let builder = begin().with_root_certificate(self.authority.pem());
        // A handshake takes its time where many are made at once.
        let builder = builder.unwrap().http2().connect_timeout(LONG);
        builder.timeout(timeout).build().unwrap()
    }

    fn provider(&self, begin: Begin) -> (TokenProvider, ManualClock) {
        let url = self.server.url();
        let environment = Environment::custom(&url, &url).build().unwrap();
        let credentials = ClientCredentials::new(
            ClientId::new("id").unwrap(),
            ClientSecret::new("canary").unwrap(),
        );
        let clock = ManualClock::new();
        let transport = self.transport(begin, LONG);
        let builder = TokenProvider::builder(environment, credentials, transport)
            .clock(clock.clone())
            .entropy(FixedEntropy::LEAST);
        (builder.build().unwrap(), clock)
    }
}

/// An answer with a token.
fn token() -> Turn {
    Turn::new(head()).then(data(token_body("A").as_bytes(), true))
}

/// What ends an exchange without an answer.
fn breaks() -> Vec<(&'static str, Turn)> {
    let half = || Turn::new(head()).then(data(b"{", false));
    vec![
        (
            "sent away, the stream not worked on",
            Turn::new(go_away(0, NO_ERROR)),
        ),
        (
            "sent away with an error, the stream not worked on",
            Turn::new(go_away(0, ENHANCE_YOUR_CALM)).keep_open(),
        ),
        ("sent away, and no answer", Turn::new(go_away(1, NO_ERROR))),
        (
            "sent away within the answer",
            half().then(go_away(1, INTERNAL_ERROR)),
        ),
        ("refused", Turn::new(reset(REFUSED_STREAM)).keep_open()),
        ("reset", Turn::new(reset(INTERNAL_ERROR)).keep_open()),
        (
            "reset as if all were well",
            Turn::new(reset(NO_ERROR)).keep_open(),
        ),
        ("cancelled", Turn::new(reset(CANCEL)).keep_open()),
        (
            "reset within the answer",
            half().then(reset(INTERNAL_ERROR)).keep_open(),
        ),
        ("closed", Turn::new(Vec::new())),
        ("closed within the answer", half()),
        ("no frame", Turn::new(b"HTTP/1.1 200 OK\r\n\r\n{}".to_vec())),
    ]
}

#[tokio::test]
async fn n23_a_stream_that_is_ended_is_no_answer_and_not_sent_again() {
    for (library, begin) in LIBRARIES {
        for (case, turn) in breaks() {
            let site = Site::new([turn]).await;
            let transport = site.transport(*begin, LONG);
            let kind = failure_kind(&transport, &site.server.url()).await;
            assert_eq!(kind, TransportErrorKind::Interrupted, "{library}, {case}");
            site.server.until_closed(1).await;
            assert_eq!(site.server.requests(), 1, "{library}, {case}");
        }
    }
}

/// By the engine, after its pause, and on a connection of its own. All at once,
/// as the pauses are real.
#[tokio::test]
async fn n23_the_next_attempt_makes_it_good() {
    let mut cases = JoinSet::new();
    for (library, begin) in LIBRARIES {
        for (case, turn) in breaks() {
            cases.spawn(async move {
                let site = Site::new([turn, token()]).await;
                let (provider, _) = site.provider(*begin);
                let token = provider.token().await.unwrap();
                assert_eq!(token.expose(), "A", "{library}, {case}");
                assert_eq!(site.server.requests(), 2, "{library}, {case}");
                site.server.until_closed(2).await;
            });
        }
    }
    cases.join_all().await;
}

#[tokio::test]
async fn n23_a_server_that_always_refuses_is_asked_as_often_as_any() {
    for (library, begin) in LIBRARIES {
        for (case, turn) in [
            ("refused", Turn::new(reset(REFUSED_STREAM)).keep_open()),
            ("sent away", Turn::new(go_away(0, NO_ERROR))),
        ] {
            let site = Site::new([turn]).await;
            let (provider, clock) = site.provider(*begin);
            let error = provider.token().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Interrupted, "{library}, {case}");
            assert_eq!(site.server.requests(), 3, "{library}, {case}");
            // After a fetch that failed, the next one makes a single attempt.
            clock.advance(error.retry_after().unwrap());
            provider.token().await.unwrap_err();
            assert_eq!(site.server.requests(), 4, "{library}, {case}");
        }
    }
}

/// A server that is about to stop still answers what it has begun.
#[tokio::test]
async fn n23_a_connection_that_is_sent_away_still_brings_its_answer() {
    for (library, begin) in LIBRARIES {
        for (case, turn) in [
            (
                "before the answer",
                Turn::new(go_away(1, NO_ERROR))
                    .then(head())
                    .then(data(b"{}", true)),
            ),
            (
                "within the answer",
                Turn::new(head())
                    .then(go_away(1, NO_ERROR))
                    .then(data(b"{}", true)),
            ),
            (
                "twice, as in a graceful stop",
                Turn::new(go_away(i32::MAX as u32, NO_ERROR))
                    .then(go_away(1, NO_ERROR))
                    .then(head())
                    .then(data(b"{}", true)),
            ),
        ] {
            let site = Site::new([turn]).await;
            let transport = site.transport(*begin, LONG);
            let status = status(&transport, &site.server.url()).await;
            assert_eq!(status, 200, "{library}, {case}");
            assert_eq!(site.server.requests(), 1, "{library}, {case}");
        }
    }
}

/// The client may see through it, and must not wait for longer than it may. What
/// carries the frames makes no difference here, and the time is real.
#[tokio::test]
async fn n23_a_flood_ends_with_the_attempt() {
    let (_, begin) = LIBRARIES[0];
    for (case, turn) in [
        ("empty data", Turn::new(head()).flood(&empty_data())),
        ("pings", Turn::new(Vec::new()).flood(&ping())),
        ("settings", Turn::new(Vec::new()).flood(&settings())),
        ("interim answers", Turn::new(Vec::new()).flood(&interim())),
        (
            "headers without an end",
            Turn::new(unfinished_head()).flood(&continuation()),
        ),
        ("silence", Turn::new(Vec::new()).keep_open()),
        ("silence within the answer", Turn::new(head()).keep_open()),
    ] {
        let (kind, site) = ended_by_time(begin, &turn).await;
        let mut expected = vec![TransportErrorKind::Timeout];
        if !case.starts_with("silence") {
            expected.push(TransportErrorKind::Interrupted);
        }
        assert!(expected.contains(&kind), "{case}: {kind:?}");
        site.server.until_closed(1).await;
        assert_eq!(site.server.requests(), 1, "{case}");
    }
}

/// With as little time as it takes this machine to send a request at all.
async fn ended_by_time(begin: Begin, turn: &Turn) -> (TransportErrorKind, Site) {
    for factor in [1, 10, 100] {
        let site = Site::new([turn.clone()]).await;
        let transport = site.transport(begin, SHORT * factor);
        let kind = failure_kind(&transport, &site.server.url()).await;
        if site.server.requests() > 0 {
            return (kind, site);
        }
    }
    panic!("no request arrives");
}
