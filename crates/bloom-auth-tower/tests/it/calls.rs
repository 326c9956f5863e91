//! Requests and their replays: what a refusal costs, what is sent again, and
//! what a call fails with.

use std::{error::Error as _, sync::Arc, time::Duration};

use bloom_auth_core::{
    Error, Recovery, TokenState, TransportErrorKind, chain,
    test_util::{Reply, ScriptedTransport},
};
use bloom_auth_tower::BearerLayer;
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, StatusCode, Version,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use http_body_util::{Empty, Full, combinators::UnsyncBoxBody};
use tokio::{
    sync::{Barrier, Semaphore},
    task::JoinSet,
};
use tower::{Layer as _, ServiceBuilder};

use crate::support::{
    Api, Broken, Mark, URL, bearer, get, layer, post, send, settle, status, tokens,
};

#[tokio::test(start_paused = true)]
async fn a1_a_refused_token_is_replaced_and_the_request_sent_once_more() {
    let (api, transport) = (Api::refusing(&["A"]), tokens(&["A", "B"]));
    let service = layer(&transport).layer(api.clone());
    assert_eq!(status(&service, get(URL)).await, 200);
    api.carried(&["A", "B"]);
    assert_eq!(status(&service, get(URL)).await, 200);
    api.carried(&["A", "B", "B"]);
    assert_eq!(transport.request_count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a1_the_second_401_reaches_the_caller() {
    let (api, transport) = (Api::refusing(&["A", "B"]), tokens(&["A", "B", "C"]));
    let service = layer(&transport).layer(api.clone());
    assert_eq!(status(&service, get(URL)).await, 401);
    api.carried(&["A", "B"]);
    assert_eq!(transport.request_count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a2_a_late_401_for_an_old_token_costs_nothing() {
    let (api, transport) = (Api::refusing(&["A"]), tokens(&["A", "B", "C"]));
    let service = layer(&transport).layer(api.clone());
    let gate = Arc::new(Semaphore::new(0));
    api.state().held = Some(Arc::clone(&gate));
    let mut late = JoinSet::new();
    late.spawn({
        let service = service.clone();
        async move { status(&service, get(URL)).await }
    });
    settle().await;
    // Meanwhile another caller has had its 401, and a newer token.
    assert_eq!(status(&service, get(URL)).await, 200);
    assert_eq!(transport.request_count(), 2);
    gate.add_permits(1);
    assert_eq!(late.join_next().await.unwrap().unwrap(), 200);
    api.carried(&["A", "A", "B", "B"]);
    assert_eq!(transport.request_count(), 2);
}

#[test]
fn a4_a_thousand_401s_for_one_token_cause_one_token_request() {
    const CALLS: usize = 1_000;
    for workers in [1, 2, 8] {
        let transport = tokens(&["A", "B", "C"]);
        // Nobody has an answer before all have asked.
        let api = Api::with_barrier(Some(Barrier::new(CALLS)));
        api.state().refused = ["A"].into();
        let service = layer(&transport).layer(api.clone());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(workers)
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut calls = JoinSet::new();
            for _ in 0..CALLS {
                let service = service.clone();
                calls.spawn(async move { status(&service, get(URL)).await });
            }
            let statuses = calls.join_all().await;
            assert!(statuses.iter().all(|status| *status == 200));
        });
        assert_eq!(transport.request_count(), 2, "{workers} workers");
        let state = api.state();
        let of = |token| {
            let seen = state.seen.iter();
            seen.filter(|seen| seen.token() == Some(token)).count()
        };
        let all = (of("A"), of("B"), state.seen.len());
        assert_eq!(all, (CALLS, CALLS, 2 * CALLS), "{workers} workers");
    }
}

#[tokio::test(start_paused = true)]
async fn a5_grpc_says_it_in_headers_alone() {
    let unauthenticated = [("content-type", "application/grpc"), ("grpc-status", "16")];
    for (headers, drops) in [
        (unauthenticated, true),
        ([unauthenticated[0], ("grpc-status", "7")], false),
        ([unauthenticated[0], ("grpc-message", "16")], false),
    ] {
        let (api, transport) = (Api::answering(200, headers), tokens(&["A", "B"]));
        let service = layer(&transport).layer(api.clone());
        // The body of a unary call has something in it, and is not sent again.
        assert_eq!(status(&service, post("message")).await, 200);
        api.carried(&["A"]);
        assert_eq!(transport.request_count(), 1);
        assert_eq!(status(&service, post("message")).await, 200);
        api.carried(&["A", if drops { "B" } else { "A" }]);
        assert_eq!(transport.request_count(), 1 + usize::from(drops));
    }
}

#[tokio::test(start_paused = true)]
async fn a9_a_body_that_can_be_sent_only_once_is_not_sent_again() {
    let (api, transport) = (Api::refusing(&["A"]), tokens(&["A", "B"]));
    let layer = layer(&transport);
    let service = layer.layer(api.clone());
    let answer = send(&service, post("{}")).await.unwrap();
    assert_eq!(answer.status(), 401);
    api.carried(&["A"]);
    // Dropped, and nothing is fetched before it is needed.
    assert_eq!(transport.request_count(), 1);
    assert_eq!(status(&service, post("{}")).await, 200);
    api.carried(&["A", "B"]);
    assert_eq!(transport.request_count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a9_who_wants_no_replay_gets_none() {
    for how in ["engine", "function"] {
        let (api, transport) = (Api::refusing(&["A"]), tokens(&["A", "B"]));
        let bearer = bearer(&transport);
        let provider = bearer.provider().clone();
        let answer = if how == "engine" {
            let layer = BearerLayer::new(bearer.without_replay());
            status(&layer.layer(api.clone()), get(URL)).await
        } else {
            let layer = BearerLayer::new(bearer).replay_with(|_: &Empty<Bytes>| None);
            status(&layer.layer(api.clone()), get(URL)).await
        };
        assert_eq!(answer, 401, "{how}");
        api.carried(&["A"]);
        assert_eq!(provider.status().token, TokenState::Absent, "{how}");
        assert_eq!(transport.request_count(), 1, "{how}");
    }
}

#[tokio::test(start_paused = true)]
async fn a9_an_empty_body_can_be_sent_twice_whatever_its_type_is() {
    type Boxed = UnsyncBoxBody<Bytes, std::convert::Infallible>;
    let (api, transport) = (Api::refusing(&["A"]), tokens(&["A", "B"]));
    let service = layer(&transport).layer(api.clone());
    let request = Request::get(URL).body(Boxed::default()).unwrap();
    assert_eq!(status(&service, request).await, 200);
    api.carried(&["A", "B"]);
}

#[tokio::test(start_paused = true)]
async fn a10_whatever_the_method_is_a_copied_body_is_sent_twice() {
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        for is_cloned in [true, false] {
            let (api, transport) = (Api::refusing(&["A"]), tokens(&["A", "B"]));
            let layer = layer(&transport);
            let request = Request::builder()
                .method(&method)
                .uri(URL)
                .version(Version::HTTP_2)
                .header(CONTENT_TYPE, "application/json")
                .header("x-twice", "1")
                .header("x-twice", "2")
                .extension(Mark(7))
                .body(Full::new(Bytes::from_static(b"{}")))
                .unwrap();
            let answer = if is_cloned {
                status(&layer.replay_cloned().layer(api.clone()), request).await
            } else {
                let copy = |body: &Full<Bytes>| Some(body.clone());
                status(&layer.replay_with(copy).layer(api.clone()), request).await
            };
            assert_eq!(answer, 200, "{method}");
            api.carried(&["A", "B"]);
            for seen in &api.state().seen {
                assert_eq!((&seen.method, seen.url.to_string()), (&method, URL.into()));
                assert_eq!((&*seen.body, seen.version), (&b"{}"[..], Version::HTTP_2));
                assert_eq!(seen.mark, Some(Mark(7)));
                assert_eq!(seen.headers[CONTENT_TYPE], "application/json");
                let twice = seen.headers.get_all("x-twice").iter();
                assert!(twice.eq(["1", "2"].map(HeaderValue::from_static).iter()));
                assert_eq!(seen.headers.len(), 4);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_of_either_side_is_found_by_downcast() {
    let refused = Reply::failure(TransportErrorKind::Tls);
    let transport = ScriptedTransport::new([refused, Reply::token("A", 3600)]);
    let api = Api::new();
    let service = layer(&transport).layer(api.clone());
    let error = send(&service, get(URL)).await.unwrap_err();
    let Some(ours) = error.downcast_ref::<Error>() else {
        panic!("{error:?}");
    };
    let Recovery::Retry { after } = ours.recovery() else {
        panic!("{ours:?}");
    };
    // Without a token nothing is sent.
    api.carried(&[]);
    // Who has a tonic client finds it one step further.
    let status = tonic::Status::from_error(error);
    assert!(status.source().is_some_and(|source| source.is::<Error>()));

    tokio::time::advance(after + Duration::from_secs(1)).await;
    api.state().is_broken = true;
    let error = send(&service, get(URL)).await.unwrap_err();
    assert!(error.is::<Broken>(), "{error:?}");
    api.carried(&["A"]);
    api.state().never_ready_again = true;
    let error = send(&service, get(URL)).await.unwrap_err();
    assert!(error.is::<Broken>(), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn without_another_token_the_401_reaches_the_caller() {
    let fails = Reply::failure(TransportErrorKind::Tls);
    let transport = ScriptedTransport::new([Reply::token("A", 3600), fails]);
    let api = Api::refusing(&["A"]);
    let service = layer(&transport).layer(api.clone());
    assert_eq!(status(&service, get(URL)).await, 401);
    api.carried(&["A"]);
    let error = send(&service, get(URL)).await.unwrap_err();
    assert!(error.is::<Error>(), "{}", chain(&*error));
}

#[tokio::test(start_paused = true)]
async fn an_axum_router_can_be_the_service_inside() {
    let transport = tokens(&["A", "B"]);
    let organization = |headers: HeaderMap| async move {
        match headers.get(AUTHORIZATION).map(HeaderValue::as_bytes) {
            Some(b"Bearer B") => StatusCode::OK,
            _ => StatusCode::UNAUTHORIZED,
        }
    };
    let path = "/v2/core/organization";
    let router = axum::Router::new().route(path, axum::routing::get(organization));
    let service = layer(&transport).layer(router);
    let request = Request::get(URL).body(axum::body::Body::empty()).unwrap();
    assert_eq!(status(&service, request).await, 200);
    assert_eq!(transport.request_count(), 2);
}

#[test]
fn a_service_can_be_shared_among_threads() {
    fn check<T: Clone + Send + Sync + std::fmt::Debug + 'static>(_: &T) {}
    let layer = layer(&tokens(&[])).replay_with(|body: &Full<Bytes>| Some(body.clone()));
    check(&layer);
    check(&layer.layer(axum::Router::<()>::new()));
}

#[tokio::test(start_paused = true)]
async fn nothing_secret_is_printed() {
    let transport = tokens(&["canary-token"]);
    let layer = layer(&transport);
    let service = ServiceBuilder::new().layer(layer.clone()).service(());
    let text = format!("{layer:?} {layer:#?} {service:?} {service:#?}");
    let request = get(URL);
    let call = tower::Service::call(
        &mut {
            let mut service = layer.layer(Api::new());
            tower::ServiceExt::<Request<Empty<Bytes>>>::ready(&mut service)
                .await
                .unwrap();
            service
        },
        request,
    );
    let text = format!("{text} {call:?}");
    assert_eq!(call.await.unwrap().status(), 200);
    assert!(
        text.contains("BearerLayer") && !text.contains("canary"),
        "{text}"
    );
}
