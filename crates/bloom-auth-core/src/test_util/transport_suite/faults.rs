//! What breaks: there is no half of an answer, and errors give nothing away.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

use super::{
    ANSWER_BODY, ANSWER_HEADER, PATH, SECRETS, failure_of, leaks, request_to, send, serve, wire,
};
use crate::{
    test_util::Turn,
    transport::{Transport, TransportError, TransportErrorKind},
};

/// An answer that is not whole, or not HTTP, is an error, even where what
/// came so far could be read.
pub async fn a_broken_answer_is_no_answer(transport: &dyn Transport) {
    let len = ANSWER_BODY.len();
    let head = |headers: &str| format!("200 OK\r\n{ANSWER_HEADER}{headers}");
    let chunked = |body: String| wire(&head("transfer-encoding: chunked\r\n"), body);
    for (case, bytes) in [
        ("closed at once", Vec::new()),
        ("closed within the status", b"HTTP/1.".to_vec()),
        (
            "closed within the headers",
            format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{ANSWER_HEADER}").into(),
        ),
        (
            "closed after an interim answer",
            wire("103 Early Hints\r\n", ""),
        ),
        (
            "shorter than announced",
            wire(
                &head(&format!("content-length: {}\r\n", len + 1)),
                ANSWER_BODY,
            ),
        ),
        (
            "closed before the body",
            wire(&head(&format!("content-length: {len}\r\n")), ""),
        ),
        (
            "closed after a chunk",
            chunked(format!("{len:x}\r\n{ANSWER_BODY}\r\n")),
        ),
        (
            "closed within a chunk",
            chunked(format!("{:x}\r\n{ANSWER_BODY}", len + 1)),
        ),
        (
            "closed before the last line of the last chunk",
            chunked(format!("{len:x}\r\n{ANSWER_BODY}\r\n0\r\n")),
        ),
        (
            "a chunk of no size",
            chunked(format!("what\r\n{ANSWER_BODY}\r\n0\r\n\r\n")),
        ),
        (
            "a chunk of more than 2^64 bytes",
            chunked(format!("1{:016x}\r\n{ANSWER_BODY}\r\n0\r\n\r\n", 2)),
        ),
        (
            "two lengths",
            wire(
                &head(&format!("content-length: {len}\r\ncontent-length: 2\r\n")),
                ANSWER_BODY,
            ),
        ),
        (
            "a length that is none",
            wire(&head("content-length: all\r\n"), ANSWER_BODY),
        ),
        (
            "not HTTP",
            format!("220 mail.test ESMTP {ANSWER_BODY}\r\n\r\n").into(),
        ),
        ("a TLS alert", b"\x15\x03\x03\x00\x02\x02\x46".to_vec()),
        (
            "a header that is none",
            wire(&format!("200 OK\r\n{ANSWER_BODY}\r\n"), ""),
        ),
    ] {
        let kind = failure_of(transport, Turn::new().send(bytes), case).await;
        assert_eq!(kind, TransportErrorKind::Interrupted, "{case}");
    }
}

/// A connection that is reset is interrupted, before an answer or in it.
pub async fn a_connection_that_breaks_is_interrupted(transport: &dyn Transport) {
    let head = format!("200 OK\r\n{ANSWER_HEADER}");
    for (case, bytes) in [
        ("reset after the request", Vec::new()),
        (
            "reset within a body of any length",
            wire(&head, ANSWER_BODY),
        ),
        (
            "reset within a body of a known length",
            wire(&format!("{head}content-length: 999\r\n"), ANSWER_BODY),
        ),
    ] {
        let kind = failure_of(transport, Turn::new().send(bytes).reset(), case).await;
        assert_eq!(kind, TransportErrorKind::Interrupted, "{case}");
    }
}

/// A port that nobody listens on is no connection.
pub async fn a_refused_port_is_no_connection(transport: &dyn Transport) {
    let (_held, address) = closed_port();
    let Err(error) = send(transport, request_to(address, PATH)).await else {
        panic!("an answer from a closed port")
    };
    assert_eq!(error.kind(), TransportErrorKind::Connect, "{error:?}");
    assert_eq!(leaks(&error), Vec::<&str>::new(), "in {error:?}");
}

/// A body without an end is cut off, and the connection with it.
pub async fn an_endless_body_is_cut_off(transport: &dyn Transport) {
    let chunk = format!("{:x}\r\n{}\r\n", 4096, "a".repeat(4096));
    for (case, head, part) in [
        ("until close", "200 OK\r\n", "a".repeat(4096)),
        ("chunked", "200 OK\r\ntransfer-encoding: chunked\r\n", chunk),
    ] {
        let server = serve([Turn::new().send(wire(head, "")).flood(part)]).await;
        match send(transport, request_to(server.address(), PATH)).await {
            Ok(_) => panic!("{case}: the end of an endless body"),
            Err(error) => assert_eq!(error.kind(), TransportErrorKind::BodyTooLarge, "{case}"),
        }
        server.until(|seen| seen.hangups == 1).await;
    }
}

/// No error, nor any of its causes, holds the URL, a header or a body.
///
/// The other checks look at this too; here is the proof that they would see
/// it.
pub async fn errors_hold_nothing_of_the_exchange(transport: &dyn Transport) {
    let not_http = format!("{ANSWER_HEADER}{ANSWER_BODY}\r\n\r\n");
    let half = format!("200 OK\r\n{ANSWER_HEADER}content-length: 999\r\n");
    let half = wire(&half, ANSWER_BODY);
    for sent in [Vec::new(), not_http.into(), half.clone()] {
        let server = serve([Turn::new().send(sent)]).await;
        let Err(error) = send(transport, request_to(server.address(), PATH)).await else {
            panic!("an answer where none is whole")
        };
        assert_eq!(leaks(&error), Vec::<&str>::new(), "in {error:?}");

        // The secrets were there to be told, and a gossip would be found out.
        let mut exchange = server.seen().requests.concat();
        exchange.extend(&half);
        let text = String::from_utf8_lossy(&exchange).into_owned();
        for told in [text, format!("{exchange:?}")] {
            let gossip = TransportError::new(TransportErrorKind::Interrupted, told);
            assert_eq!(leaks(&gossip), SECRETS);
        }
    }
}

/// A port that is taken, so that nobody else gets it, and not listened on.
fn closed_port() -> (TcpSocket, SocketAddr) {
    let bind = || {
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let address = socket.local_addr()?;
        Ok::<_, std::io::Error>((socket, address))
    };
    match bind() {
        Ok(bound) => bound,
        Err(error) => panic!("the suite finds no port: {error}"),
    }
}
