//! What leaves: the request as it is.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};

use super::{PATH, answer_of, open, request_to, send, serve, wire};
use crate::{test_util::Turn, transport::Transport};

/// Headers that a transport may add.
const ADDED: [&str; 4] = ["host", "content-length", "connection", "user-agent"];

/// Method, path, query, headers and body arrive as they are, and the body
/// with its length.
pub async fn the_request_is_sent_as_it_is(transport: &dyn Transport) {
    let every_byte: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    for (method, path_and_query, body) in [
        (Method::POST, "/oauth/token", Bytes::from_static(b"a=b")),
        (
            Method::POST,
            "/a//b%2Fc%7e;d/?x=%20+&y&x=~",
            every_byte.into(),
        ),
        (Method::PUT, "/", Bytes::from_static(b"\r\n\r\n")),
    ] {
        let case = format!("{method} {path_and_query}");
        let server = serve([Turn::new().send(wire("200 OK\r\n", ""))]).await;
        let mut request = request_to(server.address(), path_and_query);
        *request.method_mut() = method;
        *request.body_mut() = body.clone().into();
        let twice = HeaderName::from_static("x-twice");
        for value in ["one", "two; three"] {
            let value = HeaderValue::from_static(value);
            request.headers_mut().append(twice.clone(), value);
        }
        let given = request.headers().clone();
        if let Err(error) = send(transport, request).await {
            panic!("{case}: {error:?}");
        }

        let arrived = arrived(&server.seen().requests, &case);
        assert_eq!(arrived.line, format!("{case} HTTP/1.1"));
        // Not shown: it is long.
        assert!(arrived.body == body, "{case}: the body arrived changed");
        for name in given.keys() {
            let sent: Vec<_> = given.get_all(name).iter().collect();
            assert_eq!(arrived.all(name.as_str()), sent, "{case}: {name}");
        }
        assert_eq!(
            arrived.all("content-length"),
            [&*body.len().to_string()],
            "{case}"
        );
        assert_eq!(
            arrived.all("host"),
            [&*server.address().to_string()],
            "{case}"
        );
    }
}

/// No `accept-encoding`, no cookies, not even those of the answer before, no
/// credentials: only what the HTTP version needs, and `user-agent`.
pub async fn nothing_is_added(transport: &dyn Transport) {
    let cookie = "401 Unauthorized\r\nset-cookie: a=b; path=/\r\n\
                  www-authenticate: Basic realm=\"r\"\r\ncontent-length: 0\r\n";
    let server = serve([Turn::new().send(wire(cookie, ""))]).await;
    let _ = answer_of(transport, &server, "an answer with a cookie").await;
    let mut request = request_to(server.address(), PATH);
    request.headers_mut().remove(header::AUTHORIZATION);
    let given = request.headers().clone();
    match send(transport, request).await {
        Ok(response) => drop(open(response)),
        Err(error) => panic!("after an answer with a cookie: {error:?}"),
    }
    let requests = server.seen().requests;
    assert_eq!(requests.len(), 2, "requests");
    let arrived = arrived(requests.get(1..).unwrap_or_default(), "the second request");
    for (name, value) in &arrived.headers {
        let is_allowed = given.contains_key(name) || ADDED.contains(&name.as_str());
        assert!(is_allowed, "added `{name}: {value}`");
    }
}

/// A request as the server saw it.
struct Arrived {
    line: String,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl Arrived {
    fn all(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(known, _)| known == name);
        named.map(|(_, value)| value.as_str()).collect()
    }
}

/// The one request among these.
fn arrived(requests: &[Bytes], case: &str) -> Arrived {
    let [request] = requests else {
        panic!("{case}: {} requests instead of one", requests.len());
    };
    let end = request.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, body) = request.split_at(end.map_or(request.len(), |end| end + 4));
    let head = String::from_utf8_lossy(head);
    let mut lines = head.trim_end().split("\r\n");
    let line = lines.next().unwrap_or_default().to_owned();
    let headers = lines.filter_map(|line| line.split_once(':'));
    Arrived {
        line,
        headers: headers
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect(),
        body: Bytes::copy_from_slice(body),
    }
}
