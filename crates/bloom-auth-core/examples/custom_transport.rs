//! The whole engine on an HTTP client of one's own, here plain hyper: copy
//! `HyperTransport` and put your client in its place.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::{error::Error, future::pending};

use async_trait::async_trait;
use bloom_auth_core::{
    ClientCredentials, ClientId, ClientSecret, Environment, Rejection, RequestBody, ResponseBody,
    TokenProvider, Transport, TransportError, TransportErrorKind as Kind, is_loopback,
};
use bloom_auth_emulator::Emulator;
use http::{HeaderValue, Request, Response, header::AUTHORIZATION, header::HOST, uri::Scheme};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// A connection for each request, and no TLS: enough for the emulator.
#[derive(Debug)]
struct HyperTransport;

#[async_trait]
impl Transport for HyperTransport {
    async fn send(
        &self,
        request: Request<RequestBody>,
    ) -> Result<Response<ResponseBody>, TransportError> {
        let (mut parts, body) = request.into_parts();
        // Secrets travel in the clear to this machine only.
        if parts.uri.scheme() != Some(&Scheme::HTTP) || !is_loopback(&parts.uri) {
            return Err(Kind::Configuration.into());
        }
        // hyper sends what it gets: the URL becomes address, `host` and path.
        let mut url = parts.uri.into_parts();
        let authority = url.authority.take().ok_or(Kind::Configuration)?;
        parts.uri = url.path_and_query.map_or_else(Default::default, Into::into);
        let host = HeaderValue::try_from(authority.as_str()).map_err(|_| Kind::Configuration)?;
        parts.headers.insert(HOST, host);
        // The kind says whether trying again can help; the cause's text must
        // hold no URL and no body. These hold none.
        let interrupted = |error| TransportError::new(Kind::Interrupted, error);
        let stream = TcpStream::connect(authority.as_str()).await;
        let stream = stream.map_err(|error| TransportError::new(Kind::Connect, error))?;
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(interrupted)?;
        let exchange = async {
            let request = Request::from_parts(parts, Full::new(body.into_bytes()));
            // Every status is an answer, and redirects are not followed.
            let mut answer = sender.send_request(request).await.map_err(interrupted)?;
            let mut body = ResponseBody::new();
            while let Some(frame) = answer.frame().await {
                // `push` ends a body that is too large.
                if let Some(bytes) = frame.map_err(interrupted)?.data_ref() {
                    body.push(bytes)?;
                }
            }
            Ok(answer.map(|_| body))
        };
        // Nothing is spawned: when the engine drops this future, the connection
        // goes with it. How that ends, the exchange sees for itself.
        tokio::select! {
            answer = exchange => answer,
            never = async { let _ = connection.await; pending().await } => never,
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let emulator = Emulator::builder().plain_http().start().await?;
    let environment = Environment::custom(emulator.v1_token_url(), emulator.api_url())
        .audience(emulator.audience())
        .allow_insecure_loopback()
        .build()?;
    let id = ClientId::new(emulator.client_id())?;
    let credentials = ClientCredentials::new(id, ClientSecret::new(emulator.client_secret())?);
    let provider = TokenProvider::builder(environment, credentials, HyperTransport).build()?;

    // The first call fetches a token; from then on it is at hand.
    let first = provider.token().await?;
    let authorization = provider.try_authorization().ok_or("no token at hand")?;
    let call = Request::get(format!("{}/v2/core/organization", emulator.api_url()))
        .header(AUTHORIZATION, authorization)
        .body(RequestBody::default())?;
    let answer = HyperTransport.send(call).await?.status();
    println!("token {}: the API answers {answer}", first.fingerprint());

    // Had the answer been 401, this would be the way to another token.
    let rejection = provider.reject(&first);
    let second = provider.token().await?;
    println!("it was {rejection:?}; now {:?}", provider.status());
    if answer != 200 || rejection != Rejection::Dropped || second == first {
        return Err("that is not how it should go".into());
    }
    println!("ok: the API was called, and the rejected token replaced");
    Ok(())
}
