//! tower's contract: who is called was ready, and who gives up leaves nothing
//! behind.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bloom_auth_core::test_util::{Reply, ScriptedTransport};
use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};
use tower::{Layer as _, Service, ServiceBuilder, ServiceExt};

use crate::support::{Api, Broken, URL, get, layer, settle, status, tokens};

type Get = Request<Empty<Bytes>>;

fn is_ready(service: &mut impl Service<Get>) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    matches!(service.poll_ready(&mut cx), Poll::Ready(Ok(())))
}

#[tokio::test(start_paused = true)]
async fn the_service_is_ready_when_the_one_inside_is() {
    let (api, transport) = (Api::new(), tokens(&["A"]));
    let mut service = layer(&transport).layer(api.clone());
    api.state().is_closed = true;
    assert!(!is_ready(&mut service));
    api.open();
    assert!(is_ready(&mut service));
    // The one that was ready is called: the API panics if another one is.
    let call = service.call(get(URL));
    assert_eq!(call.await.unwrap().status(), 200);
    assert_eq!(api.state().asked, 2);
    // And its readiness is used up: so is that of a clone made before.
    let mut clone = service.clone();
    assert!(is_ready(&mut service) && is_ready(&mut clone));
    let calls = [service.call(get(URL)), clone.call(get(URL))];
    for call in calls {
        assert_eq!(call.await.unwrap().status(), 200);
    }
    assert_eq!(api.state().asked, 4);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_ready_is_not_called() {
    let transport = tokens(&["A"]);
    let mut service = layer(&transport).layer(Api::new());
    let mut call = JoinSet::new();
    call.spawn(service.call(get(URL)));
    let ended = call.join_next().await.unwrap();
    assert!(ended.unwrap_err().is_panic());
}

#[tokio::test(start_paused = true)]
async fn a1_a_replay_waits_for_readiness_anew() {
    let (api, transport) = (Api::refusing(&["A"]), tokens(&["A", "B"]));
    let mut service = layer(&transport).layer(api.clone());
    ServiceExt::<Get>::ready(&mut service).await.unwrap();
    api.state().is_closed = true;
    let mut call = JoinSet::new();
    call.spawn(service.call(get(URL)));
    settle().await;
    // Refused, and another token is there; but nobody is ready.
    assert_eq!(transport.request_count(), 2);
    api.carried(&["A"]);
    assert!(call.try_join_next().is_none());
    api.open();
    let answer = call.join_next().await.unwrap().unwrap();
    assert_eq!(answer.unwrap().status(), 200);
    api.carried(&["A", "B"]);
}

#[tokio::test(start_paused = true)]
async fn a1_a_replay_for_which_nobody_becomes_ready_fails_with_the_reason() {
    let (api, transport) = (Api::refusing(&["A"]), tokens(&["A", "B"]));
    let mut service = layer(&transport).layer(api.clone());
    ServiceExt::<Get>::ready(&mut service).await.unwrap();
    api.state().never_ready_again = true;
    let error = service.call(get(URL)).await.unwrap_err();
    assert!(error.is::<Broken>(), "{error:?}");
    api.carried(&["A"]);
}

#[tokio::test(start_paused = true)]
async fn a1_a_replay_gets_by_with_the_one_permit_of_its_request() {
    let (api, transport) = (Api::refusing(&["A"]), tokens(&["A", "B"]));
    let service = ServiceBuilder::new()
        .layer(layer(&transport))
        .concurrency_limit(1)
        .service(api.clone());
    for _ in 0..2 {
        let sent = timeout(Duration::from_secs(60), status(&service, get(URL)));
        assert_eq!(sent.await.expect("no standstill"), 200);
    }
    api.carried(&["A", "B", "B"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_ends_what_the_service_inside_does() {
    let (api, transport) = (Api::new(), tokens(&["A", "B"]));
    let service = layer(&transport).layer(api.clone());
    api.state().held = Some(Arc::new(Semaphore::new(0)));
    {
        let mut call = pin!(service.clone().oneshot(get(URL)));
        let dropped = timeout(Duration::from_secs(1), &mut call);
        assert!(dropped.await.is_err());
        assert_eq!(api.state().under_way, 1);
    }
    assert_eq!(api.state().under_way, 0);
    // The token is still good.
    assert_eq!(status(&service, get(URL)).await, 200);
    assert_eq!(transport.request_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_takes_no_fetch_from_others() {
    let slow = Reply::token("B", 3600).after(Duration::from_secs(5));
    let transport = ScriptedTransport::new([Reply::token("A", 3600), slow]);
    let api = Api::refusing(&["A"]);
    let service = layer(&transport).layer(api.clone());
    // Dropped between the refusal and the new token.
    let dropped = timeout(Duration::from_secs(1), status(&service, get(URL)));
    assert!(dropped.await.is_err());
    assert_eq!(status(&service, get(URL)).await, 200);
    api.carried(&["A", "B"]);
    assert_eq!(transport.request_count(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_was_reserved_is_given_back_if_there_is_no_token() {
    let fails = Reply::failure(bloom_auth_core::TransportErrorKind::Tls);
    let transport = ScriptedTransport::new([fails, Reply::token("A", 3600)]);
    let api = Api::new();
    let service = ServiceBuilder::new()
        .layer(layer(&transport))
        .concurrency_limit(1)
        .service(api.clone());
    let failed = service.clone().oneshot(get(URL)).await;
    assert!(failed.is_err());
    tokio::time::advance(Duration::from_secs(600)).await;
    let sent = timeout(Duration::from_secs(60), status(&service, get(URL)));
    assert_eq!(sent.await.expect("no standstill"), 200);
}
