//! Services that follow redirects, inside the layer and around it: what the
//! other server's log says.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::{Ready, ready},
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bloom_auth_core::test_util::{ScriptedServer, ScriptedTransport, Turn};
use bloom_auth_tower::BearerLayer;
use bytes::Bytes;
use http::{
    Request, Response, StatusCode,
    header::{AUTHORIZATION, LOCATION},
};
use http_body_util::{Empty, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::{Service, ServiceBuilder};
use tower_http::follow_redirect::{
    FollowRedirectLayer, RequestUri,
    policy::{Limited, PolicyExt as _, SameOrigin},
};

use crate::support::{get, layer, local_provider, status, tokens};

const API: &str = "https://sandbox.bloom.dev";
const CODES: [u16; 5] = [301, 302, 303, 307, 308];

/// All servers there are: each URL has its answer, and all that was asked is in
/// the log.
#[derive(Clone, Default)]
struct Web(Arc<WebState>);

#[derive(Default)]
struct WebState {
    answers: HashMap<String, (u16, Option<String>)>,
    /// The URL, and whether the token was there.
    log: Mutex<Vec<(String, bool)>>,
}

impl Web {
    /// The first URL leads to the second and so on; the last one answers with
    /// this status.
    fn chain(code: u16, urls: &[&str], status: u16) -> Self {
        let mut answers = HashMap::new();
        for pair in urls.windows(2) {
            answers.insert(pair[0].to_owned(), (code, Some(pair[1].to_owned())));
        }
        let last = urls.last().unwrap();
        answers.insert((*last).to_owned(), (status, None));
        Self(Arc::new(WebState {
            answers,
            log: Mutex::default(),
        }))
    }

    fn log(&self) -> Vec<(String, bool)> {
        self.0.log.lock().unwrap().clone()
    }

    /// Each URL that was asked, and whether the token was there.
    #[track_caller]
    fn saw(&self, expected: &[(&str, bool)]) {
        let expected = expected.iter().map(|(url, had)| ((*url).to_owned(), *had));
        assert_eq!(self.log(), expected.collect::<Vec<_>>());
    }
}

impl Service<Request<Empty<Bytes>>> for Web {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Empty<Bytes>>) -> Self::Future {
        let url = request.uri().to_string();
        let (status, location) = self.0.answers[&url].clone();
        let had_token = request.headers().contains_key(AUTHORIZATION);
        self.0.log.lock().unwrap().push((url, had_token));
        let mut answer = Response::new(Full::default());
        *answer.status_mut() = StatusCode::from_u16(status).unwrap();
        if let Some(location) = location {
            let location = location.parse().unwrap();
            answer.headers_mut().insert(LOCATION, location);
        }
        ready(Ok(answer))
    }
}

fn url(origin: &str, path: &str) -> String {
    format!("{origin}/{path}")
}

/// Follows redirects around the layer: each hop comes through it.
async fn around(web: &Web, transport: &ScriptedTransport) -> u16 {
    let service = ServiceBuilder::new()
        .layer(FollowRedirectLayer::new())
        .layer(layer(transport))
        .service(web.clone());
    status(&service, get(&url(API, "a"))).await
}

/// Follows redirects inside the layer, by a policy of tower-http's.
async fn inside(web: &Web, layer: BearerLayer, stays: bool) -> u16 {
    let start = get(&url(API, "a"));
    if stays {
        let policy = Limited::default().and::<_, (), ()>(SameOrigin::new());
        let service = ServiceBuilder::new()
            .layer(layer)
            .layer(FollowRedirectLayer::with_policy(policy))
            .service(web.clone());
        return status(&service, start).await;
    }
    let service = ServiceBuilder::new()
        .layer(layer)
        .layer(FollowRedirectLayer::new())
        .service(web.clone());
    status(&service, start).await
}

/// Origins that the token is not for.
const ELSEWHERE: [&str; 5] = [
    "https://sandbox.bloom.dev:8443",
    "http://sandbox.bloom.dev",
    "http://sandbox.bloom.dev:443",
    "https://files.sandbox.bloom.dev",
    "https://evil.test",
];

#[tokio::test(start_paused = true)]
async fn a11_the_token_stays_behind_when_each_hop_comes_through_the_layer() {
    for code in CODES {
        for elsewhere in ELSEWHERE {
            let (a, b, c) = (url(API, "a"), url(elsewhere, "b"), url(elsewhere, "c"));
            // Even over a second hop there.
            let web = Web::chain(code, &[&a, &b, &c], 200);
            let transport = tokens(&["A"]);
            assert_eq!(around(&web, &transport).await, 200);
            web.saw(&[(&a, true), (&b, false), (&c, false)]);

            // The API's 401 for a later hop of its own is one for the token.
            let (a, b) = (url(API, "a"), url(API, "b"));
            let web = Web::chain(code, &[&a, &b], 401);
            let transport = tokens(&["A", "B"]);
            assert_eq!(around(&web, &transport).await, 401);
            web.saw(&[(&a, true), (&b, true), (&b, true)]);
            assert_eq!(transport.request_count(), 2);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_hop_back_is_a_request_to_the_api_like_any_other() {
    for code in CODES {
        for elsewhere in ELSEWHERE {
            let (a, b, c) = (url(API, "a"), url(elsewhere, "b"), url(API, "c"));
            let web = Web::chain(code, &[&a, &b, &c], 200);
            let transport = tokens(&["A"]);
            assert_eq!(around(&web, &transport).await, 200);
            web.saw(&[(&a, true), (&b, false), (&c, true)]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a11_a_service_that_stays_at_the_origin_can_be_inside() {
    for code in CODES {
        let (a, b) = (url(API, "a"), url(API, "b"));
        let web = Web::chain(code, &[&a, &b], 200);
        let transport = tokens(&["A"]);
        assert_eq!(inside(&web, layer(&transport), true).await, 200);
        web.saw(&[(&a, true), (&b, true)]);

        for elsewhere in ELSEWHERE {
            let (b, c) = (url(elsewhere, "b"), url(API, "c"));
            let web = Web::chain(code, &[&a, &b, &c], 200);
            let transport = tokens(&["A"]);
            assert_eq!(inside(&web, layer(&transport), true).await, code);
            web.saw(&[(&a, true)]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a11_who_did_not_receive_the_token_cannot_refuse_it() {
    for code in CODES {
        for elsewhere in ELSEWHERE {
            let (a, b) = (url(API, "a"), url(elsewhere, "b"));
            let web = Web::chain(code, &[&a, &b], 401);
            let transport = tokens(&["A", "B"]);
            let layer = layer(&transport)
                .final_url(|extensions| extensions.get::<RequestUri>().map(|RequestUri(uri)| uri));
            for _ in 0..2 {
                assert_eq!(inside(&web, layer.clone(), false).await, 401);
            }
            web.saw(&[(&a, true), (&b, false), (&a, true), (&b, false)]);
            assert_eq!(transport.request_count(), 1);

            // That of the origin which received it counts, of course.
            let (a, b) = (url(API, "a"), url(API, "b"));
            let web = Web::chain(code, &[&a, &b], 401);
            assert_eq!(inside(&web, layer, false).await, 401);
            web.saw(&[(&a, true), (&b, true), (&a, true), (&b, true)]);
            assert_eq!(transport.request_count(), 2);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a10_a_request_that_led_elsewhere_was_carried_out_and_is_not_sent_again() {
    let (a, b) = (url(API, "a"), url(API, "b"));
    let once = [(&*a, true), (&*b, true)];
    for (method, is_sent_again) in [("POST", false), ("DELETE", false), ("GET", true)] {
        let web = Web::chain(303, &[&a, &b], 401);
        let transport = tokens(&["A", "B"]);
        let layer = layer(&transport)
            .final_url(|extensions| extensions.get::<RequestUri>().map(|RequestUri(uri)| uri));
        let service = ServiceBuilder::new()
            .layer(layer)
            .layer(FollowRedirectLayer::new())
            .service(web.clone());
        let mut request = get(&a);
        *request.method_mut() = method.parse().unwrap();
        assert_eq!(status(&service, request).await, 401);
        web.saw(&once.repeat(1 + usize::from(is_sent_again)));
    }
}

#[tokio::test(start_paused = true)]
async fn a1_a_path_is_answered_by_the_host_that_the_layer_was_told() {
    let web = Web::chain(302, &["/a"], 401);
    let transport = tokens(&["A", "B"]);
    let layer = layer(&transport).for_origin(API).unwrap();
    let layer = layer.final_url(|extensions| {
        let RequestUri(uri) = extensions.get()?;
        Some(uri)
    });
    let service = ServiceBuilder::new()
        .layer(layer)
        .layer(FollowRedirectLayer::new())
        .service(web.clone());
    assert_eq!(status(&service, get("/a")).await, 401);
    web.saw(&[("/a", true), ("/a", true)]);
    assert_eq!(transport.request_count(), 2);
}

#[tokio::test]
async fn a11_the_other_server_s_log_has_no_token() {
    let empty = |head: &str| format!("HTTP/1.1 {head}\r\ncontent-length: 0\r\n\r\n");
    let to = |url: &str| empty(&format!("302 Found\r\nlocation: {url}"));
    for stays in [true, false] {
        let turn = |text: String| Turn::new().send(text).keep_open();
        let last = turn(empty("401 Unauthorized"));
        let other = ScriptedServer::start([turn(to("/again")), last]);
        let other = other.await.unwrap();
        let away = turn(to(&format!("{}/b", other.origin())));
        let api = ScriptedServer::start([away]).await.unwrap();

        let transport = tokens(&["A", "B"]);
        let layer = BearerLayer::new(local_provider(transport.clone(), &api.origin()));
        let hyper = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
        let start = get(&url(&api.origin(), "a"));
        let answer = if stays {
            let policy = Limited::default().and::<_, (), ()>(SameOrigin::new());
            let service = ServiceBuilder::new()
                .layer(layer)
                .layer(FollowRedirectLayer::with_policy(policy))
                .service(hyper);
            status(&service, start).await
        } else {
            let service = ServiceBuilder::new()
                .layer(FollowRedirectLayer::new())
                .layer(layer)
                .service(hyper);
            status(&service, start).await
        };
        assert_eq!(answer, if stays { 302 } else { 401 });
        let had_token = |request: &Bytes| {
            let request = String::from_utf8(request.to_vec()).unwrap();
            request.contains("\r\nauthorization: Bearer A\r\n")
        };
        let log: Vec<_> = api.seen().requests.iter().map(had_token).collect();
        assert_eq!(log, [true]);
        let log: Vec<_> = other.seen().requests.iter().map(had_token).collect();
        assert_eq!(log, vec![false; if stays { 0 } else { 2 }]);
        // The other server's 401 is nothing to the token.
        assert_eq!(transport.request_count(), 1);
    }
}

/// Why the crate's page warns of it; if this fails, the page can be shorter.
#[tokio::test(start_paused = true)]
async fn tower_http_s_own_policy_gives_a_token_that_it_holds_away() {
    let (a, b, c) = (
        url(API, "a"),
        url("https://evil.test", "b"),
        url("https://evil.test", "c"),
    );
    let web = Web::chain(302, &[&a, &b, &c], 200);
    let transport = tokens(&["A"]);
    assert_eq!(inside(&web, layer(&transport), false).await, 200);
    web.saw(&[(&a, true), (&b, false), (&c, true)]);
}
