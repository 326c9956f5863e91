//! TLS: what is trusted, what is not, and what only broke.

use std::{net::Ipv4Addr, time::Duration};

use bloom_auth_core::{
    ClientCredentials, ClientId, ClientSecret, Environment, ErrorKind, TokenProvider,
    TransportErrorKind,
    test_util::{ScriptedServer, Turn},
};
use bloom_auth_emulator::Emulator;
use bloom_auth_reqwest::ReqwestTransport;
use tokio::{io::AsyncReadExt as _, net::TcpListener};

use crate::{
    support::{Begin, LIBRARIES, failure_kind, ok, serve, status},
    tls_server::{Authority, Identity, TlsServer},
};

fn trusting(begin: Begin, pem: &str) -> ReqwestTransport {
    let builder = begin().with_root_certificate(pem);
    builder.unwrap().build().unwrap()
}

#[tokio::test]
async fn a_root_certificate_of_ones_own_is_trusted() {
    for (library, begin) in LIBRARIES {
        let emulator = Emulator::start().await.unwrap();
        let transport = trusting(*begin, emulator.ca_pem().unwrap());
        let status = status(&transport, &emulator.v1_token_url()).await;
        assert_eq!(status, 400, "{library}");
        assert_eq!(emulator.counts().token_requests, 1, "{library}");
    }
}

#[tokio::test]
async fn own_roots_are_the_only_ones_and_may_be_many() {
    let (one, other) = (Authority::new(), Authority::new());
    let server = TlsServer::start(&one.issue("127.0.0.1", 4096), ok()).await;
    let both = one.pem() + &other.pem();
    for (library, begin) in LIBRARIES {
        let status = status(&trusting(*begin, &both), &server.url("/")).await;
        assert_eq!(status, 200, "{library}");
        let transport = trusting(*begin, &other.pem());
        let kind = failure_kind(&transport, &server.url("/")).await;
        assert_eq!(kind, TransportErrorKind::Tls, "{library}");
    }
}

/// Sessions are kept by what TLS was set up with: only where that is still the
/// same can the next connection take up where the last one ended.
#[cfg(feature = "rustls")]
#[tokio::test]
async fn tls_is_set_up_once_for_all_requests() {
    use tokio_rustls::rustls::HandshakeKind::{Full, Resumed};

    let authority = Authority::new();
    let server = TlsServer::start(&authority.issue("127.0.0.1", 4096), ok()).await;
    let transport = trusting(ReqwestTransport::builder, &authority.pem());
    for _ in 0..3 {
        assert_eq!(status(&transport, &server.url("/")).await, 200);
    }
    // Another transport, with the same settings, knows of no session.
    let other = trusting(ReqwestTransport::builder, &authority.pem());
    assert_eq!(status(&other, &server.url("/")).await, 200);
    assert_eq!(server.handshakes(), [Full, Resumed, Resumed, Full]);
}

#[tokio::test]
async fn n21_a_server_that_cannot_be_trusted_gets_nothing() {
    for (library, begin) in LIBRARIES {
        let (trusted, unknown) = (Authority::new(), Authority::new());
        for (case, identity, is_good) in [
            ("good", trusted.issue("127.0.0.1", 4096), true),
            ("expired", trusted.issue("127.0.0.1", 2000), false),
            (
                "of another host",
                trusted.issue("auth.bloom.test", 4096),
                false,
            ),
            ("of an unknown CA", unknown.issue("127.0.0.1", 4096), false),
            ("self-signed", Identity::self_signed("127.0.0.1"), false),
        ] {
            let case = format!("{library}, {case}");
            let server = TlsServer::start(&identity, ok()).await;
            let transport = trusting(*begin, &trusted.pem());
            let environment = Environment::custom(server.url("/oauth/token"), server.url("/"));
            let credentials = ClientCredentials::new(
                ClientId::new("id").unwrap(),
                ClientSecret::new("canary").unwrap(),
            );
            let environment = environment.build().unwrap();
            let provider = TokenProvider::builder(environment, credentials, transport)
                .build()
                .unwrap();
            let error = provider.token().await.unwrap_err();
            let counts = provider.status().counts;
            assert_eq!((counts.token_requests, counts.retries), (1, 0), "{case}");
            // The good one answers `{}`, which is no token.
            let (kind, received) = match is_good {
                true => (ErrorKind::Response, 1),
                false => (ErrorKind::Tls, 0),
            };
            assert_eq!(error.kind(), kind, "{case}: {error:?}");
            let seen = server.behind.seen();
            assert_eq!(seen.connections, received, "{case}: {seen:?}");
            assert_eq!(seen.requests.len(), received, "{case}: {seen:?}");
        }
    }
}

#[tokio::test]
async fn the_emulator_is_unknown_to_the_platform() {
    for (library, begin) in LIBRARIES {
        let emulator = Emulator::start().await.unwrap();
        let transport = begin().build().unwrap();
        let kind = failure_kind(&transport, &emulator.v1_token_url()).await;
        assert_eq!(kind, TransportErrorKind::Tls, "{library}");
        let counts = emulator.counts();
        assert_eq!(
            (counts.connections, counts.token_requests),
            (1, 0),
            "{library}"
        );
    }
}

/// The first bytes of a `ServerHello`, in a record that is longer.
const HALF_A_HELLO: &[u8] = b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03";
const CLOSE_NOTIFY: &[u8] = b"\x15\x03\x03\x00\x02\x01\x00";

/// For handshakes that nobody goes on with; far from the total timeout.
const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(600);

/// What becomes of a handshake with a server that plays this turn.
async fn in_handshake(
    begin: Begin,
    turn: Turn,
    connect_timeout: Duration,
) -> (TransportErrorKind, ScriptedServer) {
    let server = serve(turn.at_first_bytes()).await;
    let url = server.origin().replace("http:", "https:");
    let transport = begin()
        .with_root_certificate(Authority::new().pem())
        .unwrap()
        .connect_timeout(connect_timeout)
        .timeout(LONG)
        .build()
        .unwrap();
    (failure_kind(&transport, &url).await, server)
}

/// It may pass, and so must not look like a server that cannot be trusted.
#[tokio::test]
async fn a_handshake_that_breaks_off_is_no_tls_fault() {
    for (library, begin) in LIBRARIES {
        for (case, turn) in [
            ("closed", Turn::new()),
            ("reset", Turn::new().reset()),
            ("closed in a record", Turn::new().send(HALF_A_HELLO)),
            ("reset in a record", Turn::new().send(HALF_A_HELLO).reset()),
        ] {
            let (kind, server) = in_handshake(*begin, turn, LONG).await;
            assert_eq!(kind, TransportErrorKind::Connect, "{library}, {case}");
            assert_eq!(server.seen().connections, 1, "{library}, {case}");
        }
    }
}

/// All that was sent has been read, so that the connection ends as one does
/// that was not torn down.
#[tokio::test]
async fn a_handshake_that_ends_is_no_tls_fault() {
    for (library, begin) in LIBRARIES {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("https://{}/", listener.local_addr().unwrap());
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 5];
            stream.read_exact(&mut head).await.unwrap();
            let mut hello = vec![0; usize::from(head[3]) << 8 | usize::from(head[4])];
            stream.read_exact(&mut hello).await.unwrap();
        };
        let transport = trusting(*begin, &Authority::new().pem());
        let (kind, ()) = tokio::join!(failure_kind(&transport, &url), server);
        assert_eq!(kind, TransportErrorKind::Connect, "{library}");
    }
}

#[tokio::test]
async fn an_answer_that_is_not_tls_is_a_tls_fault() {
    for (library, begin) in LIBRARIES {
        let turn = Turn::new().send("HTTP/1.1 400 Bad Request\r\n\r\n");
        let (kind, _) = in_handshake(*begin, turn, LONG).await;
        assert_eq!(kind, TransportErrorKind::Tls, "{library}");
    }
}

/// Also one that is closed by TLS and not by TCP; whoever spun on it would
/// never come to look at the clock.
#[tokio::test]
async fn n22_a_handshake_that_nobody_goes_on_with_ends_at_the_connect_timeout() {
    for (library, begin) in LIBRARIES {
        for (case, turn) in [
            ("silence", Turn::new()),
            ("half a record", Turn::new().send(HALF_A_HELLO)),
            ("close_notify", Turn::new().send(CLOSE_NOTIFY)),
        ] {
            let (kind, server) = in_handshake(*begin, turn.keep_open(), SHORT).await;
            assert_eq!(kind, TransportErrorKind::Connect, "{library}, {case}");
            server.until(|seen| seen.hangups == 1).await;
            assert_eq!(server.seen().connections, 1, "{library}, {case}");
        }
    }
}

#[cfg(all(feature = "rustls", feature = "native-tls"))]
#[tokio::test]
async fn rustls_stays_in_use_unless_another_library_is_asked_for() {
    use std::error::Error;

    use crate::support::failure;

    /// Whether an error of rustls is behind this one.
    fn is_of_rustls(error: &(dyn Error + 'static)) -> bool {
        let wrapped = error.downcast_ref::<std::io::Error>();
        let wrapped = wrapped.and_then(std::io::Error::get_ref);
        error.is::<rustls::Error>()
            || wrapped.is_some_and(|error| is_of_rustls(error))
            || error.source().is_some_and(is_of_rustls)
    }

    let server = TlsServer::start(&Identity::self_signed("127.0.0.1"), ok()).await;
    let root = Authority::new().pem();
    for (library, begin) in LIBRARIES {
        let error = failure(&trusting(*begin, &root), &server.url("/")).await;
        assert_eq!(error.kind(), TransportErrorKind::Tls, "{library}");
        assert_eq!(is_of_rustls(&error), *library == "rustls", "{error:?}");
    }
}
