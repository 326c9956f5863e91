//! The tower layer that comes with the facade.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bloom_auth::{BloomAuth, ClientId, ClientSecret, Environment};
use bloom_auth_emulator::Emulator;
use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use tower::{ServiceBuilder, ServiceExt as _, service_fn};

#[tokio::test]
async fn a1_a10_the_layer_has_the_tokens_of_its_maker() {
    let emulator = Emulator::builder().plain_http().start().await.unwrap();
    let environment = Environment::custom(emulator.v1_token_url(), emulator.api_url())
        .audience(emulator.audience())
        .allow_insecure_loopback()
        .build()
        .unwrap();
    let auth = BloomAuth::builder()
        .environment(environment)
        .client(
            ClientId::new(emulator.client_id()).unwrap(),
            ClientSecret::new(emulator.client_secret()).unwrap(),
        )
        .build()
        .unwrap();
    let first = auth.authorization().await.unwrap();

    // Refuses the first token, and gives back what else it is sent.
    let sent = Arc::new(AtomicUsize::new(0));
    let (count, refused) = (Arc::clone(&sent), first.clone());
    let api = service_fn(move |request: Request<&'static str>| {
        count.fetch_add(1, Ordering::SeqCst);
        let value = request.headers().get(AUTHORIZATION).cloned();
        let mut answer = Response::new((value.clone(), request.into_body()));
        if value == Some(refused.clone()) {
            *answer.status_mut() = StatusCode::UNAUTHORIZED;
        }
        async move { Ok::<_, Infallible>(answer) }
    });
    let service = ServiceBuilder::new()
        .layer(auth.bearer_layer().replay_cloned())
        .service(api);
    let request = Request::post(auth.environment().url_of("/v2/core/consumers"));
    let answer = service
        .oneshot(request.body("body").unwrap())
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let second = auth.try_authorization();
    assert!(second.is_some() && second != Some(first));
    assert_eq!(answer.into_body(), (second, "body"));
    assert_eq!(sent.load(Ordering::SeqCst), 2);
    assert_eq!(emulator.counts().token_requests, 2);
}
