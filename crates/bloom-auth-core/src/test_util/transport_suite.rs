//! What every [`Transport`] must do, as code: call [`all`] in a test, or each
//! check in a test of its own.
//!
//! The checks talk plain http to servers on 127.0.0.1, which the transport
//! must be set up to allow. They need a tokio runtime with real time, and they
//! panic with what the transport did wrong.
//!
//! ```
//! # async fn test(my_transport: impl bloom_auth_core::Transport) {
//! bloom_auth_core::test_util::transport_suite::all(&my_transport).await;
//! # }
//! ```

#![expect(
    clippy::panic,
    reason = "a suite says what is wrong as a test does: by panicking"
)]

mod answers;
mod connections;
mod faults;
mod requests;

use std::{error::Error as StdError, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use tokio::time::timeout;

pub use answers::{
    bodies_are_not_decoded, bodies_end_at_the_limit, bytes_after_the_answer_are_not_read,
    every_status_is_an_answer, headers_are_kept, interim_answers_are_skipped,
    redirects_are_not_followed,
};
pub use connections::{
    a_dropped_future_releases_its_connection, a_late_answer_is_nobodys, a_second_answer_is_nobodys,
};
pub use faults::{
    a_body_that_ends_early_is_no_answer, a_connection_that_breaks_is_interrupted,
    a_head_that_ends_early_is_no_answer, a_refused_port_is_no_connection,
    an_endless_body_is_cut_off, an_endless_head_is_cut_off, an_upgrade_is_not_taken,
    chunks_of_no_size_are_no_answer, chunks_that_end_early_are_no_answer,
    endless_interim_answers_are_no_answer, errors_hold_nothing_of_the_exchange,
    two_lengths_are_no_answer, what_is_not_http_is_no_answer,
};
pub use requests::{nothing_is_added, the_request_is_sent_as_it_is};

use super::scripted_server::{ScriptedServer, Turn};
use crate::transport::{RequestBody, ResponseBody, Transport, TransportError, TransportErrorKind};

/// No exchange takes this long unless the transport is stuck.
const PATIENCE: Duration = Duration::from_secs(30);

/// What must not be in any error.
const SECRETS: [&str; 6] = [
    "canary-of-the-path",
    "canary-of-the-query",
    "canary-of-a-request-header",
    "canary-of-the-request-body",
    "canary-of-an-answer-header",
    "canary-of-the-answer-body",
];
const PATH: &str = "/canary-of-the-path?q=canary-of-the-query";
const AUTHORIZATION_VALUE: &str = "Basic canary-of-a-request-header";
const BODY: &str = "grant_type=client_credentials&client_secret=canary-of-the-request-body";
const ANSWER_HEADER: &str = "x-answer: canary-of-an-answer-header\r\n";
const ANSWER_BODY: &str = r#"{"access_token":"canary-of-the-answer-body"}"#;

/// Runs every check of the suite.
pub async fn all(transport: &dyn Transport) {
    the_request_is_sent_as_it_is(transport).await;
    nothing_is_added(transport).await;

    every_status_is_an_answer(transport).await;
    redirects_are_not_followed(transport).await;
    headers_are_kept(transport).await;
    interim_answers_are_skipped(transport).await;
    bodies_are_not_decoded(transport).await;
    bodies_end_at_the_limit(transport).await;
    bytes_after_the_answer_are_not_read(transport).await;

    a_head_that_ends_early_is_no_answer(transport).await;
    a_body_that_ends_early_is_no_answer(transport).await;
    chunks_that_end_early_are_no_answer(transport).await;
    chunks_of_no_size_are_no_answer(transport).await;
    two_lengths_are_no_answer(transport).await;
    what_is_not_http_is_no_answer(transport).await;
    an_endless_head_is_cut_off(transport).await;
    endless_interim_answers_are_no_answer(transport).await;
    an_upgrade_is_not_taken(transport).await;
    a_connection_that_breaks_is_interrupted(transport).await;
    a_refused_port_is_no_connection(transport).await;
    an_endless_body_is_cut_off(transport).await;
    errors_hold_nothing_of_the_exchange(transport).await;

    a_dropped_future_releases_its_connection(transport).await;
    a_late_answer_is_nobodys(transport).await;
    a_second_answer_is_nobodys(transport).await;
}

/// An answer, taken apart.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

async fn serve(turns: impl IntoIterator<Item = Turn>) -> ScriptedServer {
    match ScriptedServer::start(turns).await {
        Ok(server) => server,
        Err(error) => panic!("the suite's own server does not start: {error}"),
    }
}

/// A request like those for tokens, to this path, with a secret in each part.
fn request_to(address: SocketAddr, path_and_query: &str) -> Request<RequestBody> {
    let uri = format!("http://{address}{path_and_query}");
    let Ok(uri) = uri.parse() else {
        panic!("the suite made a bad URL: {uri}");
    };
    let mut request = Request::new(RequestBody::from(Bytes::from_static(BODY.as_bytes())));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    for (name, value) in [
        (CONTENT_TYPE, "application/x-www-form-urlencoded"),
        (ACCEPT, "application/json"),
        (AUTHORIZATION, AUTHORIZATION_VALUE),
    ] {
        let value = HeaderValue::from_static(value);
        request.headers_mut().insert(name, value);
    }
    request
}

/// An HTTP/1.1 answer: its head from the status on, without the last empty
/// line, and its body. Nothing is added.
fn wire(head: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    [b"HTTP/1.1 ", head.as_bytes(), b"\r\n", body.as_ref()].concat()
}

async fn send(
    transport: &dyn Transport,
    request: Request<RequestBody>,
) -> Result<Response<ResponseBody>, TransportError> {
    match timeout(PATIENCE, transport.send(request)).await {
        Ok(outcome) => outcome,
        Err(_) => panic!("the transport is stuck"),
    }
}

/// Sends the usual request; there must be an answer.
async fn answer_of(transport: &dyn Transport, server: &ScriptedServer, case: &str) -> Answer {
    match send(transport, request_to(server.address(), PATH)).await {
        Ok(response) => open(response),
        Err(error) => panic!("{case}: no answer, but {error:?}"),
    }
}

fn open(response: Response<ResponseBody>) -> Answer {
    let (parts, body) = response.into_parts();
    let body = match body.within_limit() {
        Ok(body) => Bytes::copy_from_slice(body),
        Err(error) => panic!("the body was not collected with `ResponseBody::push`: {error}"),
    };
    Answer {
        status: parts.status,
        headers: parts.headers,
        body,
    }
}

/// Sends the usual request to a server with this one turn. There must be no
/// answer, no second request, and no secret in the error.
async fn failure_of(transport: &dyn Transport, turn: Turn, case: &str) -> TransportErrorKind {
    let server = serve([turn]).await;
    let error = match send(transport, request_to(server.address(), PATH)).await {
        Ok(response) => panic!("{case}: taken for the answer {:?}", open(response).body),
        Err(error) => error,
    };
    assert_eq!(server.seen().requests.len(), 1, "{case}: requests");
    assert_eq!(leaks(&error), Vec::<&str>::new(), "{case}: in {error:?}");
    error.kind()
}

/// Which of the secrets can be seen in an error or its causes.
fn leaks(error: &(dyn StdError + 'static)) -> Vec<&'static str> {
    let mut text = format!("{error:?} {error:#?}");
    let mut next = Some(error);
    while let Some(error) = next {
        text += &format!(" {error} {error:?}");
        next = error.source();
    }
    let mut leaks = SECRETS.to_vec();
    leaks.retain(|secret| {
        // As it is, or as the numbers of its bytes.
        let numbers = format!("{:?}", secret.as_bytes());
        text.contains(secret) || text.contains(numbers.trim_matches(['[', ']']))
    });
    leaks
}
