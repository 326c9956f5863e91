//! What comes back: every answer, whole and as it is, within the limit.

use http::{HeaderName, header};

use super::{ANSWER_BODY, answer_of, failure_of, serve, wire};
use crate::{
    test_util::Turn,
    transport::{MAX_BODY_BYTES, Transport, TransportErrorKind},
};

/// Every status is an answer with headers and body, and none is tried again.
pub async fn every_status_is_an_answer(transport: &dyn Transport) {
    for status in [
        200, 201, 202, 204, 300, 304, 400, 401, 403, 404, 407, 408, 413, 417, 418, 421, 425, 429,
        500, 501, 502, 503, 504, 599,
    ] {
        let case = status.to_string();
        let body = match status {
            204 | 304 => "",
            _ => ANSWER_BODY,
        };
        let mut head = format!("{status} Reason\r\nx-status: {status}\r\nretry-after: 0\r\n");
        if !body.is_empty() {
            head += &format!("content-length: {}\r\n", body.len());
        }
        // The connection stays open, as a server with a good answer leaves it.
        let server = serve([Turn::new().send(wire(&head, body)).keep_open()]).await;
        let answer = answer_of(transport, &server, &case).await;
        assert_eq!(answer.status, status, "the status");
        assert_eq!(answer.body, body, "{case}: the body");
        assert_eq!(
            answer.headers.get("x-status").map(|v| v.as_bytes()),
            Some(case.as_bytes())
        );
        assert_eq!(server.seen().requests.len(), 1, "{case}: requests");
    }
}

/// A redirect is an answer: whoever follows it carries the secret elsewhere.
pub async fn redirects_are_not_followed(transport: &dyn Transport) {
    for status in [301, 302, 303, 307, 308] {
        let case = status.to_string();
        let elsewhere =
            serve([Turn::new().send(wire("200 OK\r\ncontent-length: 0\r\n", ""))]).await;
        for target in [format!("{}/other", elsewhere.origin()), "/other".to_owned()] {
            let head = format!("{status} Moved\r\nlocation: {target}\r\ncontent-length: 2\r\n");
            let server = serve([Turn::new().send(wire(&head, "no"))]).await;
            let answer = answer_of(transport, &server, &case).await;
            assert_eq!(answer.status, status, "the status");
            assert_eq!(answer.body, "no", "{case}: the body");
            let location = answer.headers.get(header::LOCATION);
            assert_eq!(
                location.map(|v| v.as_bytes()),
                Some(target.as_bytes()),
                "{case}"
            );
            assert_eq!(server.seen().requests.len(), 1, "{case}: requests");
        }
        assert_eq!(elsewhere.seen().connections, 0, "{case}: was followed");
    }
}

/// All headers are kept, those of the same name in their order.
pub async fn headers_are_kept(transport: &dyn Transport) {
    let head = "429 Slow Down\r\nRetry-After: 7\r\nWWW-Authenticate: Basic realm=\"a\"\r\n\
                x-empty:\r\nwww-authenticate: Bearer\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\n\
                date: Thu, 01 Jan 2026 00:00:00 GMT\r\n";
    let server = serve([Turn::new().send(wire(head, ""))]).await;
    let answer = answer_of(transport, &server, "many headers").await;
    for (name, values) in [
        (header::RETRY_AFTER, vec!["7"]),
        (
            header::WWW_AUTHENTICATE,
            vec!["Basic realm=\"a\"", "Bearer"],
        ),
        (header::SET_COOKIE, vec!["a=1", "b=2"]),
        (header::DATE, vec!["Thu, 01 Jan 2026 00:00:00 GMT"]),
        (HeaderName::from_static("x-empty"), vec![""]),
    ] {
        let kept: Vec<_> = answer.headers.get_all(&name).iter().collect();
        assert_eq!(kept, values, "{name}");
    }
}

/// 1xx is no answer yet.
pub async fn interim_answers_are_skipped(transport: &dyn Transport) {
    let mut bytes = wire("100 Continue\r\n", "");
    for _ in 0..5 {
        bytes.extend(wire("103 Early Hints\r\nlink: </a>\r\n", ""));
    }
    bytes.extend(wire("200 OK\r\ncontent-length: 5\r\n", "final"));
    let server = serve([Turn::new().send(bytes)]).await;
    let answer = answer_of(transport, &server, "after 103").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, "final");
    assert!(
        !answer.headers.contains_key(header::LINK),
        "a header of 103"
    );
}

/// A body with a `content-encoding` is handed over as it is: nobody asked for
/// it, and what looks small may be a bomb.
pub async fn bodies_are_not_decoded(transport: &dyn Transport) {
    const GZIP: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\x02\x03\xab\xae\x05\0C\xbf\xa6\xa3\x02\0\0\0";
    let head = format!(
        "200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n",
        GZIP.len()
    );
    let server = serve([Turn::new().send(wire(&head, GZIP))]).await;
    let answer = answer_of(transport, &server, "gzip").await;
    assert_eq!(answer.body, GZIP, "the body");
    let encoding = answer.headers.get(header::CONTENT_ENCODING);
    assert_eq!(encoding.map(|v| v.as_bytes()), Some(&b"gzip"[..]));
}

/// A body may have [`MAX_BODY_BYTES`], and not one byte more, however its end
/// is told.
pub async fn bodies_end_at_the_limit(transport: &dyn Transport) {
    for (len, fits) in [(MAX_BODY_BYTES, true), (MAX_BODY_BYTES + 1, false)] {
        let body = vec![b' '; len];
        let with_length = wire(&format!("200 OK\r\ncontent-length: {len}\r\n"), &body);
        let chunked = wire("200 OK\r\ntransfer-encoding: chunked\r\n", chunked(&body));
        let until_close = wire("200 OK\r\n", &body);
        for (case, bytes) in [
            ("content-length", with_length),
            ("chunked", chunked),
            ("until close", until_close),
        ] {
            let case = format!("{len} bytes, {case}");
            let turn = Turn::new().send(bytes);
            if fits {
                let server = serve([turn]).await;
                let answer = answer_of(transport, &server, &case).await;
                assert!(answer.body == body, "{case}: the body was changed");
            } else {
                let kind = failure_of(transport, turn, &case).await;
                assert_eq!(kind, TransportErrorKind::BodyTooLarge, "{case}");
            }
        }
    }
}

/// What follows a body that was announced shorter is not part of it.
pub async fn bytes_after_the_answer_are_not_read(transport: &dyn Transport) {
    let head = format!("200 OK\r\ncontent-length: {}\r\n", ANSWER_BODY.len());
    let bytes = wire(&head, format!("{ANSWER_BODY}{ANSWER_BODY}"));
    let server = serve([Turn::new().send(bytes)]).await;
    let answer = answer_of(transport, &server, "more than announced").await;
    assert_eq!(answer.body, ANSWER_BODY);
}

fn chunked(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in body.chunks(10_000) {
        bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
        bytes.extend(chunk);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"0\r\n\r\n");
    bytes
}
