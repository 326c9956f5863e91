//! The adapter to `reqwest-middleware`, alone and among others.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use bloom_auth_core::{Error, ErrorKind, TokenState};
use bloom_auth_reqwest::BearerMiddleware;
use http::Extensions;
use reqwest::{Body, Client, Request, Response, redirect::Policy};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next};

use crate::{
    api_server::{Answer, ApiServer, Arrived},
    support::api_provider,
};

/// Refuses the token A.
fn refuses_a(request: &Arrived) -> Answer {
    match request.token() {
        Some("Bearer A") => (401, String::new()),
        _ => (200, String::new()),
    }
}

fn origin(server: &ApiServer) -> String {
    format!("http://{}", server.address)
}

fn builder() -> ClientBuilder {
    let client = Client::builder().no_proxy().redirect(Policy::none());
    ClientBuilder::new(client.build().unwrap())
}

fn client(middleware: BearerMiddleware) -> ClientWithMiddleware {
    builder().with(middleware).build()
}

fn tokens(api: &ApiServer) -> Vec<Option<String>> {
    api.log().into_iter().map(|(_, token)| token).collect()
}

fn named(names: &[&str]) -> Vec<Option<String>> {
    names
        .iter()
        .map(|name| Some(format!("Bearer {name}")))
        .collect()
}

#[tokio::test]
async fn a1_a10_a_refused_token_is_replaced_and_the_request_sent_once_more() {
    let api = ApiServer::start(refuses_a).await;
    let (provider, transport) = api_provider(&origin(&api), &["A", "B", "C"]);
    let client = client(BearerMiddleware::new(provider));
    let url = format!("{}/v2/x", origin(&api));
    let response = client.post(&url).body("hello").send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(
        (tokens(&api), transport.request_count()),
        (named(&["A", "B"]), 2)
    );
    assert!(api.requests().iter().all(|request| request.body == "hello"));
}

#[tokio::test]
async fn a9_a_stream_is_sent_once() {
    let api = ApiServer::start(refuses_a).await;
    let (provider, transport) = api_provider(&origin(&api), &["A", "B"]);
    let client = client(BearerMiddleware::new(provider.clone()));
    let stream = Body::wrap(http_body_util::Full::new(bytes::Bytes::from_static(
        b"hello",
    )));
    let response = client.post(origin(&api)).body(stream).send().await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(
        (tokens(&api), transport.request_count()),
        (named(&["A"]), 1)
    );
    assert_eq!(provider.status().token, TokenState::Absent);
}

#[tokio::test]
async fn a12_a13_a15_what_is_not_for_the_api_passes_as_it_is() {
    let (api, other) = (
        ApiServer::start(refuses_a).await,
        ApiServer::start(refuses_a).await,
    );
    let (provider, transport) = api_provider(&origin(&api), &["A"]);
    let client = client(BearerMiddleware::new(provider));
    client.get(origin(&other)).send().await.unwrap();
    let own = client
        .get(origin(&api))
        .header("authorization", "Basic b3du");
    own.send().await.unwrap();
    assert_eq!((tokens(&other), transport.request_count()), (vec![None], 0));
    assert_eq!(tokens(&api), [Some("Basic b3du".to_owned())]);
}

#[tokio::test]
async fn without_a_token_nothing_is_sent_and_the_reason_is_in_the_error() {
    let api = ApiServer::start(refuses_a).await;
    let (provider, _) = api_provider(&origin(&api), &[]);
    let error = client(BearerMiddleware::new(provider))
        .get(origin(&api))
        .send()
        .await;
    let reqwest_middleware::Error::Middleware(error) = error.unwrap_err() else {
        panic!("an error of another kind");
    };
    let error: Error = error.downcast().unwrap();
    assert_eq!((error.kind(), api.log()), (ErrorKind::Connect, vec![]));
}

/// Counts what passes, and tries again what is not answered well.
#[derive(Clone, Default)]
struct Passes {
    count: Arc<AtomicUsize>,
    tries: usize,
}

#[async_trait]
impl Middleware for Passes {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let mut tries = 0;
        loop {
            tries += 1;
            self.count.fetch_add(1, Ordering::SeqCst);
            let again = request.try_clone().unwrap();
            let response = next.clone().run(again, extensions).await?;
            if response.status().is_success() || tries >= self.tries {
                return Ok(response);
            }
        }
    }
}

#[tokio::test]
async fn a8_a_retry_outside_has_the_current_token_each_time() {
    let calls = AtomicUsize::new(0);
    // Out of order for two calls, and by then the token is over.
    let api = ApiServer::start(move |request| match calls.fetch_add(1, Ordering::SeqCst) {
        0 | 1 => (503, String::new()),
        _ => refuses_a(request),
    })
    .await;
    let (provider, transport) = api_provider(&origin(&api), &["A", "B", "C"]);
    let (outer, inner) = (
        Passes {
            tries: 5,
            ..Passes::default()
        },
        Passes::default(),
    );
    let client = builder()
        .with(outer.clone())
        .with(BearerMiddleware::new(provider))
        .with(inner.clone())
        .build();
    assert_eq!(client.get(origin(&api)).send().await.unwrap().status(), 200);
    assert_eq!(tokens(&api), named(&["A", "A", "A", "B"]));
    let count = |passes: &Passes| passes.count.load(Ordering::SeqCst);
    assert_eq!(
        (count(&outer), count(&inner), transport.request_count()),
        (3, 4, 2)
    );
}

#[tokio::test]
async fn a10_a_request_that_led_elsewhere_was_carried_out_and_is_not_sent_again() {
    let api = ApiServer::start(|request| match request.path.as_str() {
        "/work" => (303, "location: /done\r\n".to_owned()),
        _ => refuses_a(request),
    })
    .await;
    let (provider, _) = api_provider(&origin(&api), &["A", "B"]);
    // Redirects are followed by reqwest, below the middlewares.
    let client = Client::builder().no_proxy().build().unwrap();
    let client = ClientBuilder::new(client)
        .with(BearerMiddleware::new(provider))
        .build();
    let work = format!("{}/work", origin(&api));
    let response = client.post(&work).body("x").send().await.unwrap();
    assert_eq!(response.status(), 401);
    let methods = || -> Vec<String> {
        let requests = api.requests().into_iter();
        requests.map(|request| request.method).collect()
    };
    assert_eq!(methods(), ["POST", "GET"]);
    // What changes nothing is sent again, and the token was dropped.
    assert_eq!(client.get(&work).send().await.unwrap().status(), 200);
    assert_eq!(methods()[2..], ["GET"; 2]);
}
