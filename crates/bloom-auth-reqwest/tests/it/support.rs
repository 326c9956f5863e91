//! What the tests share: requests and answers.

use std::time::Duration;

use bloom_auth_core::{
    ClientCredentials, ClientId, ClientSecret, Environment, RequestBody, ResponseBody,
    TokenProvider, TokenProviderBuilder, Transport, TransportError, TransportErrorKind,
    test_util::{FixedEntropy, Reply, ScriptedServer, ScriptedTransport, Turn},
};
use bloom_auth_reqwest::ReqwestTransport;
#[cfg(any(feature = "rustls", feature = "native-tls"))]
use bloom_auth_reqwest::ReqwestTransportBuilder;
use bytes::Bytes;
use http::{Request, Response};
use tokio::time::timeout;

/// Nothing takes this long unless it is stuck.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

/// How a transport is begun.
#[cfg(any(feature = "rustls", feature = "native-tls"))]
pub(crate) type Begin = fn() -> ReqwestTransportBuilder;

/// Each TLS library of this build; the platform's own where it is OpenSSL, since
/// nobody has run the others.
#[cfg(any(feature = "rustls", feature = "native-tls"))]
pub(crate) const LIBRARIES: &[(&str, Begin)] = &[
    #[cfg(feature = "rustls")]
    ("rustls", ReqwestTransport::builder),
    #[cfg(all(feature = "native-tls", target_os = "linux"))]
    ("native-tls", || ReqwestTransport::builder().native_tls()),
];

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

/// A provider of tokens from this server, without jitter.
pub(crate) fn builder(server: &ScriptedServer) -> TokenProviderBuilder {
    let url = format!("{}/oauth/token", server.origin());
    let environment = Environment::custom(&url, &url).allow_insecure_loopback();
    let credentials = ClientCredentials::new(
        ClientId::new("id").unwrap(),
        ClientSecret::new("canary").unwrap(),
    );
    let transport = ReqwestTransport::builder().allow_insecure_loopback();
    let transport = transport.build().unwrap();
    TokenProvider::builder(environment.build().unwrap(), credentials, transport)
        .entropy(FixedEntropy::LEAST)
}

pub(crate) fn provider(server: &ScriptedServer) -> TokenProvider {
    builder(server).build().unwrap()
}

/// A provider of these tokens in turn, for the API at this origin; and what
/// counts the token requests.
pub(crate) fn api_provider(origin: &str, tokens: &[&str]) -> (TokenProvider, ScriptedTransport) {
    let environment = Environment::custom("https://auth.test/oauth/token", origin);
    let environment = environment.allow_insecure_loopback().build().unwrap();
    let credentials = ClientCredentials::new(
        ClientId::new("id").unwrap(),
        ClientSecret::new("canary").unwrap(),
    );
    let replies = tokens.iter().map(|token| Reply::token(token, 3600));
    let transport = ScriptedTransport::new(replies);
    let provider = TokenProvider::builder(environment, credentials, transport.clone());
    (
        provider.entropy(FixedEntropy::LEAST).build().unwrap(),
        transport,
    )
}

/// The whole text of an error.
pub(crate) fn chain_of(error: &dyn std::error::Error) -> String {
    bloom_auth_core::chain(error)
}

/// A token response with this token, for an hour.
pub(crate) fn token_body(token: &str) -> String {
    format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":3600}}"#)
}

/// A whole answer with this token.
pub(crate) fn token(token: &str) -> String {
    token_with(token, "")
}

/// The same with these headers, a line each.
pub(crate) fn token_with(token: &str, headers: &str) -> String {
    let body = token_body(token);
    let len = body.len();
    format!("HTTP/1.1 200 OK\r\n{headers}content-length: {len}\r\n\r\n{body}")
}

/// An answer without a body: its status, and headers in lines of their own.
pub(crate) fn empty(head: &str) -> Turn {
    Turn::new().send(format!("HTTP/1.1 {head}\r\ncontent-length: 0\r\n\r\n"))
}
