//! A tonic channel with the layer around it: calls carry the token, and after
//! one that was refused the next carries another.
//!
//! `cargo run -p bloom-auth-tower --example tonic_channel`
//!
//! Server and client are both here, with strings for messages instead of
//! protobuf. The server asks the emulator whether it knows a token.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::{convert::Infallible, sync::Arc};

use bloom_auth_core::{
    Bearer, ClientCredentials, ClientId, ClientSecret, Environment, TokenProvider,
};
use bloom_auth_emulator::Emulator;
use bloom_auth_reqwest::ReqwestTransport;
use bloom_auth_tower::{BearerLayer, BoxError};
use bytes::{Buf as _, BufMut as _, Bytes};
use http::{HeaderValue, header::AUTHORIZATION, uri::PathAndQuery};
use http_body_util::Empty;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::task::JoinSet;
use tonic::{
    Code, Request, Response, Status,
    body::Body,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::{Endpoint, Server, server::TcpIncoming},
};
use tower::{ServiceBuilder, service_fn};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let emulator = Arc::new(Emulator::builder().plain_http().start().await?);
    let incoming = TcpIncoming::bind(([127, 0, 0, 1], 0).into())?;
    let url = format!("http://{}", incoming.local_addr()?);
    let mut server = JoinSet::new();
    server.spawn(serve(incoming, emulator.api_url()));

    let environment = Environment::custom(emulator.v1_token_url(), emulator.api_url())
        .audience(emulator.audience())
        .allow_insecure_loopback() // the emulator and the server are on this machine
        .build()?;
    let id = ClientId::new(emulator.client_id())?;
    let credentials = ClientCredentials::new(id, ClientSecret::new(emulator.client_secret())?);
    let transport = ReqwestTransport::builder().allow_insecure_loopback();
    let provider = TokenProvider::builder(environment, credentials, transport.build()?).build()?;

    // The channel knows the host and the requests do not: the layer is told, and
    // that the token may go there.
    let bearer = Bearer::new(provider.clone()).allow_origin(&url)?;
    let channel = ServiceBuilder::new()
        .layer(BearerLayer::new(bearer).for_origin(&url)?)
        .service(Endpoint::from_shared(url)?.connect_lazy());
    // With generated code: `GreeterClient::new(channel)`.
    let mut client = Grpc::new(channel);
    let mut greet = async |name: &str| -> Result<String, Status> {
        client.ready().await.map_err(Status::from_error)?;
        let path = PathAndQuery::from_static("/hello.Greeter/Greet");
        let answer = client.unary(Request::new(name.to_owned()), path, Text);
        Ok(answer.await?.into_inner())
    };

    println!("{}", greet("Ada").await?);
    emulator.revoke(provider.token().await?.expose());
    // The body of a call is a stream, so it is not sent again; whoever wants
    // that repeats the call.
    let refused = greet("Grace").await.err().map(|status| status.code());
    println!("token revoked; the call that finds out: {refused:?}");
    let greeting = greet("Grace").await?;
    println!("{greeting}");

    let requests = emulator.counts().token_requests;
    if refused != Some(Code::Unauthenticated) || greeting != "Hello, Grace!" || requests != 2 {
        return Err("that is not how it should go".into());
    }
    println!("ok: the refused token was dropped, and the next call had another");
    Ok(())
}

/// A gRPC server that greets whoever brings a token of the emulator's.
async fn serve(incoming: TcpIncoming, api: String) -> Result<(), BoxError> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let service = service_fn(move |request: http::Request<Body>| {
        let (client, api) = (client.clone(), api.clone());
        let value = request.headers().get(AUTHORIZATION).cloned();
        async move {
            let answer = match is_good(&client, &api, value).await {
                Ok(true) => {
                    let greet = service_fn(|request: Request<String>| async move {
                        let greeting = format!("Hello, {}!", request.into_inner());
                        Ok::<_, Status>(Response::new(greeting))
                    });
                    tonic::server::Grpc::new(Text).unary(greet, request).await
                }
                // Headers alone: status 16.
                Ok(false) => Status::unauthenticated("not a good token").into_http(),
                Err(_) => Status::unavailable("cannot check tokens").into_http(),
            };
            Ok::<_, Infallible>(answer)
        }
    });
    Ok(Server::builder()
        .serve_with_incoming(service, incoming)
        .await?)
}

/// Whether the emulator's API takes the token in this header.
async fn is_good(
    client: &Client<HttpConnector, Empty<Bytes>>,
    api: &str,
    value: Option<HeaderValue>,
) -> Result<bool, BoxError> {
    let mut check = http::Request::get(format!("{api}/v2/core/organization"));
    if let Some(value) = value {
        check = check.header(AUTHORIZATION, value);
    }
    let answer = client.request(check.body(Empty::new())?).await?;
    Ok(answer.status().is_success())
}

/// Messages that are strings.
#[derive(Clone, Copy)]
struct Text;

impl Codec for Text {
    type Encode = String;
    type Decode = String;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Text {
    type Item = String;
    type Error = Status;

    fn encode(&mut self, text: String, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(text.as_bytes());
        Ok(())
    }
}

impl Decoder for Text {
    type Item = String;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<String>, Status> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        let text = String::from_utf8(bytes.to_vec());
        let text = text.map_err(|_| Status::internal("a message that is no text"))?;
        Ok(Some(text))
    }
}
