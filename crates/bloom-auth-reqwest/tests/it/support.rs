//! What the tests share: requests and answers.

use std::time::Duration;

use bloom_auth_core::{
    RequestBody, ResponseBody, Transport, TransportError, TransportErrorKind,
    test_util::{ScriptedServer, Turn},
};
use bytes::Bytes;
use http::{Request, Response};
use tokio::time::timeout;

/// Nothing takes this long unless it is stuck.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

/// A good answer, after which a server offers to keep the connection.
pub(crate) fn ok() -> Turn {
    Turn::new().send(OK).keep_open()
}

pub(crate) async fn serve(turn: Turn) -> ScriptedServer {
    ScriptedServer::start([turn]).await.unwrap()
}

fn post(url: &str) -> Request<RequestBody> {
    Request::post(url)
        .body(Bytes::from_static(b"client_secret=canary").into())
        .unwrap()
}

async fn send(
    transport: &impl Transport,
    url: &str,
) -> Result<Response<ResponseBody>, TransportError> {
    let sent = timeout(PATIENCE, transport.send(post(url))).await;
    sent.expect("the transport is stuck")
}

pub(crate) async fn status(transport: &impl Transport, url: &str) -> u16 {
    send(transport, url).await.unwrap().status().as_u16()
}

pub(crate) async fn failure(transport: &impl Transport, url: &str) -> TransportError {
    send(transport, url).await.unwrap_err()
}

pub(crate) async fn failure_kind(transport: &impl Transport, url: &str) -> TransportErrorKind {
    failure(transport, url).await.kind()
}
