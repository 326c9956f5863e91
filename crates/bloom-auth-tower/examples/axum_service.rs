//! An axum service that calls Bloom's API for its own users, through one client
//! with the layer around it.
//!
//! `cargo run -p bloom-auth-tower --example axum_service`
//!
//! It starts the emulator and itself, and is its own user. When there is no
//! token, its users learn when to come again.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderValue, Request, Response, StatusCode, header::RETRY_AFTER},
    response::IntoResponse,
    routing::get,
};
use bloom_auth_core::{
    ClientCredentials, ClientId, ClientSecret, Environment, Error, Recovery, TokenProvider, chain,
};
use bloom_auth_emulator::Emulator;
use bloom_auth_reqwest::ReqwestTransport;
use bloom_auth_tower::{BearerLayer, BearerService, BoxError};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{net::TcpListener, task::JoinSet};
use tower::{Layer as _, ServiceExt as _};

/// What the handlers share; clones have one pool of connections and one token.
#[derive(Clone)]
struct App {
    bloom: BearerService<Client<HttpConnector, Body>>,
    organization_url: String,
}

/// Passes on what Bloom says of our organization.
async fn organization(State(app): State<App>) -> Result<Response<Body>, Failure> {
    let request = Request::get(app.organization_url).body(Body::empty())?;
    let answer = app.bloom.oneshot(request).await?;
    if answer.status() == StatusCode::UNAUTHORIZED {
        // Bloom refused two tokens in a row, which is no fault of our user.
        return Err(Failure(StatusCode::BAD_GATEWAY, None));
    }
    Ok(answer.map(Body::new))
}

/// What our users see when Bloom cannot be asked: a status, and when to try
/// again. The reason is for the log.
struct Failure(StatusCode, Option<Duration>);

impl<E: Into<BoxError>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        println!("  (the log says: {})", chain(&*error));
        match error.downcast_ref::<Error>().map(Error::recovery) {
            Some(Recovery::Retry { after }) => Self(StatusCode::SERVICE_UNAVAILABLE, Some(after)),
            // Somebody has to mend something first.
            Some(_) => Self(StatusCode::SERVICE_UNAVAILABLE, None),
            // There was a token, and no answer from the API.
            None => Self(StatusCode::BAD_GATEWAY, None),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response<Body> {
        let mut response = self.0.into_response();
        if let Some(after) = self.1 {
            // Whole seconds, rounded up.
            let seconds = after.as_millis().div_ceil(1000).max(1);
            if let Ok(value) = HeaderValue::try_from(seconds.to_string()) {
                response.headers_mut().insert(RETRY_AFTER, value);
            }
        }
        response
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let emulator = Emulator::builder().plain_http().start().await?;
    let environment = Environment::custom(emulator.v1_token_url(), emulator.api_url())
        .audience(emulator.audience())
        .allow_insecure_loopback() // the emulator is on this machine
        .build()?;
    let id = ClientId::new(emulator.client_id())?;
    let credentials = ClientCredentials::new(id, ClientSecret::new(emulator.client_secret())?);
    let transport = ReqwestTransport::builder().allow_insecure_loopback();
    let provider = TokenProvider::builder(environment, credentials, transport.build()?).build()?;

    let hyper = Client::builder(TokioExecutor::new()).build_http();
    let app = App {
        bloom: BearerLayer::new(provider.clone()).layer(hyper),
        organization_url: provider.environment().url_of("/v2/core/organization"),
    };
    let router = Router::new()
        .route("/organization", get(organization))
        .with_state(app);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let url = format!("http://{}/organization", listener.local_addr()?);
    let mut server = JoinSet::new();
    server.spawn(async move { axum::serve(listener, router).await });

    // From here on we are our own user, who knows nothing of tokens.
    let user = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let ask = async || user.get(url.parse()?).await.map_err(BoxError::from);

    let served = ask().await?.status();
    println!("{served}");

    // Neither a token nor anybody who gives one.
    provider.reject(&provider.token().await?);
    emulator.shutdown().await;
    let failed = ask().await?;
    let retry_after = failed.headers().get(RETRY_AFTER);
    let failure = failed.status();
    println!("without the authorization server: {failure}, Retry-After {retry_after:?}");
    if (served.as_u16(), failure.as_u16()) != (200, 503) || retry_after.is_none() {
        return Err("that is not how it should go".into());
    }
    println!("ok: users got an answer, or when to come again");
    Ok(())
}
