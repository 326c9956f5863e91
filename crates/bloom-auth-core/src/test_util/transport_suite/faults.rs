//! What breaks: there is no half of an answer, and errors give nothing away.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::net::TcpSocket;

use super::{
    ANSWER_BODY, ANSWER_HEADER, PATH, SECRETS, failure_of, leaks, open, request_to, send, serve,
    wire,
};
use crate::{
    test_util::Turn,
    transport::{Transport, TransportError, TransportErrorKind},
};

/// A connection that is closed within the head is interrupted.
pub async fn a_head_that_ends_early_is_no_answer(transport: &dyn Transport) {
    let half = format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{ANSWER_HEADER}");
    are_interrupted(
        transport,
        [
            ("closed at once", Vec::new()),
            ("closed within the status", b"HTTP/1.".to_vec()),
            ("closed within the headers", half.into()),
            (
                "closed after an interim answer",
                wire("103 Early Hints\r\n", ""),
            ),
        ],
    )
    .await;
}

/// A body that is shorter than its announced length is an error, even where
/// what came so far could be read.
pub async fn a_body_that_ends_early_is_no_answer(transport: &dyn Transport) {
    let len = ANSWER_BODY.len();
    let announced = |len: usize| format!("200 OK\r\n{ANSWER_HEADER}content-length: {len}\r\n");
    are_interrupted(
        transport,
        [
            ("one byte short", wire(&announced(len + 1), ANSWER_BODY)),
            ("closed before the body", wire(&announced(len), "")),
        ],
    )
    .await;
}

/// A chunked body without its last chunk is an error, even where the chunks so
/// far could be read.
pub async fn chunks_that_end_early_are_no_answer(transport: &dyn Transport) {
    let len = ANSWER_BODY.len();
    are_interrupted(
        transport,
        [
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
        ],
    )
    .await;
}

/// A chunk whose size is no number, or one that is too large, is an error.
pub async fn chunks_of_no_size_are_no_answer(transport: &dyn Transport) {
    let cases = [
        "what",
        "",
        "-2",
        "0x2",
        "10000000000000002",
        "ffffffffffffffffff",
    ];
    for size in cases {
        let body = format!("{size}\r\n{ANSWER_BODY}\r\n0\r\n\r\n");
        are_interrupted(transport, [(size, chunked(body))]).await;
    }
}

/// An answer whose length is told in two ways, or in none that can be read, is
/// an error: whoever reads it otherwise sees another answer.
pub async fn two_lengths_are_no_answer(transport: &dyn Transport) {
    let len = ANSWER_BODY.len();
    let with = |lengths: &str| wire(&format!("200 OK\r\n{ANSWER_HEADER}{lengths}"), ANSWER_BODY);
    let two = format!("content-length: {len}\r\ncontent-length: 2\r\n");
    let list = format!("content-length: {len}, 2\r\n");
    are_interrupted(
        transport,
        [
            ("two lengths", with(&two)),
            ("a list of lengths", with(&list)),
            ("a length that is none", with("content-length: all\r\n")),
            ("a negative length", with("content-length: -1\r\n")),
        ],
    )
    .await;
}

/// What is not HTTP is an error.
pub async fn what_is_not_http_is_no_answer(transport: &dyn Transport) {
    are_interrupted(
        transport,
        [
            (
                "another protocol",
                format!("220 mail.test ESMTP {ANSWER_BODY}\r\n\r\n").into(),
            ),
            ("a TLS alert", b"\x15\x03\x03\x00\x02\x02\x46".to_vec()),
            (
                "a header that is none",
                wire(&format!("200 OK\r\n{ANSWER_BODY}\r\n"), ""),
            ),
        ],
    )
    .await;
}

/// Sends a request to servers that send this and close: each time there must
/// be an error that says so.
async fn are_interrupted(
    transport: &dyn Transport,
    cases: impl IntoIterator<Item = (&str, Vec<u8>)>,
) {
    for (case, bytes) in cases {
        let kind = failure_of(transport, Turn::new().send(bytes), case).await;
        assert_eq!(kind, TransportErrorKind::Interrupted, "{case}");
    }
}

fn chunked(body: String) -> Vec<u8> {
    let head = format!("200 OK\r\n{ANSWER_HEADER}transfer-encoding: chunked\r\n");
    wire(&head, body)
}

/// A head without an end is cut off, and the connection with it: one of many
/// headers, and one of a header that goes on and on.
pub async fn an_endless_head_is_cut_off(transport: &dyn Transport) {
    for (case, head, part) in [
        ("headers", "HTTP/1.1 200 OK\r\n", "a: b\r\n".repeat(1000)),
        ("a header", "HTTP/1.1 200 OK\r\na: ", "b".repeat(4096)),
        ("a status", "HTTP/1.1 200 O", "K".repeat(4096)),
    ] {
        let server = serve([Turn::new().send(head).flood(part)]).await;
        match send(transport, request_to(server.address(), PATH)).await {
            Ok(_) => panic!("{case}: the end of an endless head"),
            Err(error) => assert_ne!(error.kind(), TransportErrorKind::Timeout, "{case}"),
        }
        server.until(|seen| seen.hangups == 1).await;
        assert_eq!(server.seen().requests.len(), 1, "{case}: requests");
    }
}

/// However many interim answers come, they are no answer, and whoever stops
/// waiting for one closes the connection.
pub async fn endless_interim_answers_are_no_answer(transport: &dyn Transport) {
    let interim = wire("103 Early Hints\r\n", "");
    let burst = Turn::new().send(interim.repeat(5000));
    let slowly = burst.drip(interim.repeat(10), Duration::from_millis(1));
    let server = serve([slowly.keep_open()]).await;
    tokio::select! {
        biased;
        () = server.until(|seen| seen.turns == 1) => {}
        sent = transport.send(request_to(server.address(), PATH)) => {
            // A transport may have a limit of its own.
            assert!(sent.is_err(), "an interim answer was taken for the answer");
        }
    }
    server.until(|seen| seen.hangups == 1).await;
    assert_eq!(server.seen().requests.len(), 1, "requests");
}

/// 101 opens no other protocol: what follows is not read, and the connection
/// is closed.
pub async fn an_upgrade_is_not_taken(transport: &dyn Transport) {
    let head = "101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n";
    let server = serve([Turn::new().send(wire(head, "")).flood(ANSWER_BODY)]).await;
    if let Ok(response) = send(transport, request_to(server.address(), PATH)).await {
        let answer = open(response);
        assert_eq!(answer.status, 101, "the status");
        assert!(answer.body.is_empty(), "another protocol was read");
    }
    server.until(|seen| seen.hangups == 1).await;
    assert_eq!(server.seen().requests.len(), 1, "requests");
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
