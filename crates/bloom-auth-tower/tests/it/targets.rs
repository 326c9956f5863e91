//! Where the token goes: to its own origins, and nowhere else.

use bloom_auth_core::{Error, ErrorKind, Recovery, chain};
use bloom_auth_tower::BearerLayer;
use http::{HeaderValue, Method, Request, header::AUTHORIZATION};
use tower::Layer as _;

use crate::support::{Api, URL, bearer, get, layer, send, status, tokens};

#[tokio::test(start_paused = true)]
async fn a12_a15_the_token_goes_to_its_own_origins_and_nowhere_else() {
    let (api, transport) = (Api::new(), tokens(&["A"]));
    let bearer = bearer(&transport).allow_origin("https://files.test:8443");
    let layer = BearerLayer::new(bearer.unwrap());
    for with_origin in [false, true] {
        let layer = match with_origin {
            true => layer.clone().for_origin("https://files.test:8443").unwrap(),
            false => layer.clone(),
        };
        let service = layer.layer(api.clone());
        for (url, is_allowed) in [
            (URL, true),
            ("https://SANDBOX.bloom.dev:443/", true),
            ("https://files.test:8443/x", true),
            ("https://files.test/x", false),
            ("http://sandbox.bloom.dev/", false),
            ("http://sandbox.bloom.dev:443/", false),
            ("https://auth.bloom.dev/oauth/token", false),
            ("https://sandbox.bloom.dev.evil.test/", false),
            ("https://evil.test/https://sandbox.bloom.dev/", false),
            ("https://user@sandbox.bloom.dev/", false),
            ("http://127.0.0.1/", false),
        ] {
            assert_eq!(status(&service, get(url)).await, 200);
            let seen = api.state().seen.pop().unwrap();
            assert_eq!(seen.token(), is_allowed.then_some("A"), "{url}");
            assert_eq!(seen.url, url);
        }
        // A tunnel has a host and no scheme; what goes through it is not seen.
        let mut tunnel = get("sandbox.bloom.dev:443");
        *tunnel.method_mut() = Method::CONNECT;
        assert_eq!(status(&service, tunnel).await, 200);
        assert_eq!(api.state().seen.pop().unwrap().token(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a13_a_header_that_is_there_already_is_left_alone() {
    let (api, transport) = (Api::new(), tokens(&["A"]));
    api.state().status = http::StatusCode::UNAUTHORIZED;
    let service = layer(&transport).layer(api.clone());
    // Even where it is not known where the request goes.
    for url in [URL, "/v2/core/organization"] {
        let mut request = get(url);
        let own = HeaderValue::from_static("Basic b3du");
        request.headers_mut().insert(AUTHORIZATION, own);
        assert_eq!(status(&service, request).await, 401);
        let seen = api.state().seen.pop().unwrap();
        assert_eq!(seen.token(), Some("Basic b3du"));
    }
    assert!(api.state().seen.is_empty());
    assert_eq!(transport.request_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a13_a_second_layer_finds_the_header_of_the_first() {
    let (api, transport) = (Api::refusing(&["A"]), tokens(&["A", "B", "C"]));
    let other = tokens(&["X", "Y"]);
    let service = layer(&transport).layer(layer(&other).layer(api.clone()));
    assert_eq!(status(&service, get(URL)).await, 200);
    api.carried(&["A", "B"]);
    assert_eq!(transport.request_count(), 2);
    assert_eq!(other.request_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a15_a_request_without_a_host_is_an_error_that_says_what_to_do() {
    let (api, transport) = (Api::refusing(&["A"]), tokens(&["A", "B"]));
    let layer = layer(&transport);
    let service = layer.layer(api.clone());
    for path in ["/v2/core/organization", "*", "/"] {
        let error = send(&service, get(path)).await.unwrap_err();
        let ours = error.downcast_ref::<Error>().unwrap();
        assert_eq!(ours.kind(), ErrorKind::Configuration);
        assert_eq!(ours.recovery(), Recovery::FixConfiguration);
        let text = chain(ours);
        assert!(
            text.contains("has no host") && text.contains("for_origin"),
            "{text}"
        );
    }
    assert!(api.state().seen.is_empty());
    assert_eq!(transport.request_count(), 0);

    let layer = layer.for_origin("https://sandbox.bloom.dev").unwrap();
    let service = layer.layer(api.clone());
    assert_eq!(status(&service, get("/v2/core/organization")).await, 200);
    api.carried(&["A", "B"]);
    // What the service inside makes of the path is left to it.
    assert!(
        api.state()
            .seen
            .iter()
            .all(|seen| seen.url.host().is_none())
    );
}

#[test]
fn a12_a15_requests_without_a_host_can_be_for_allowed_origins_alone() {
    let transport = tokens(&[]);
    let bearer = bearer(&transport).allow_origin("https://grpc.test:8443");
    let layer = BearerLayer::new(bearer.unwrap());
    for (origin, problem) in [
        ("https://sandbox.bloom.dev", None),
        ("https://sandbox.bloom.dev:443/", None),
        ("https://grpc.test:8443", None),
        ("https://grpc.test", Some("none that the token may go to")),
        (
            "http://sandbox.bloom.dev",
            Some("none that the token may go to"),
        ),
        (
            "http://127.0.0.1:50051",
            Some("none that the token may go to"),
        ),
        ("https://sandbox.bloom.dev/v2", Some("a path or a query")),
        ("https://sandbox.bloom.dev/?q", Some("a path or a query")),
        ("https://user@sandbox.bloom.dev", Some("not an origin")),
        ("sandbox.bloom.dev", Some("not an origin")),
        ("/", Some("not an origin")),
        ("", Some("not a URL")),
        ("https://", Some("not a URL")),
    ] {
        let built = layer.clone().for_origin(origin);
        match (built, problem) {
            (Ok(_), None) => {}
            (Err(error), Some(problem)) => {
                let text = error.to_string();
                assert!(text.contains(problem), "{origin}: {text}");
            }
            (built, _) => panic!("{origin}: {built:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a15_the_settings_add_up_in_any_order() {
    let origin = "https://sandbox.bloom.dev";
    let request = || Request::post("/").body(http_body_util::Full::<bytes::Bytes>::from("x"));
    for first in [true, false] {
        let (api, transport) = (Api::refusing(&["A"]), tokens(&["A", "B"]));
        let layer = layer(&transport);
        let layer = match first {
            true => layer.for_origin(origin).unwrap().replay_cloned(),
            false => layer.replay_cloned().for_origin(origin).unwrap(),
        };
        let service = layer.layer(api.clone());
        assert_eq!(status(&service, request().unwrap()).await, 200);
        api.carried(&["A", "B"]);
    }
}
