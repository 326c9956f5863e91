//! Looking on at token requests, and sending none.

use std::sync::{Arc, Mutex};

use bloom_auth::{
    BloomAuth, BloomAuthBuilder, ClientId, ClientSecret, Environment, ErrorKind, MemoryCache,
};
use bloom_auth_emulator::{Emulator, TokenQuota};

async fn emulator() -> Emulator {
    let builder = Emulator::builder().plain_http();
    let builder = builder.token_quota(TokenQuota::per_hour(10));
    builder.start().await.unwrap()
}

fn builder(emulator: &Emulator) -> BloomAuthBuilder {
    let environment = Environment::custom(emulator.v1_token_url(), emulator.api_url())
        .audience(emulator.audience())
        .allow_insecure_loopback()
        .build()
        .unwrap();
    BloomAuth::builder().environment(environment).client(
        ClientId::new(emulator.client_id()).unwrap(),
        ClientSecret::new(emulator.client_secret()).unwrap(),
    )
}

#[tokio::test]
async fn offline_serves_what_the_cache_holds_and_asks_nobody() {
    let emulator = emulator().await;
    let cache = MemoryCache::new();
    let offline = builder(&emulator).cache(cache.clone()).offline();
    let offline = offline.build().unwrap();
    let error = offline.token().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert_eq!(emulator.counts().connections, 0);

    let online = builder(&emulator).cache(cache.clone()).build().unwrap();
    let token = online.token().await.unwrap();
    let offline = builder(&emulator).cache(cache).offline().build().unwrap();
    assert_eq!(offline.token().await.unwrap(), token);
    assert_eq!(emulator.counts().token_requests, 1);
}

#[tokio::test]
async fn whoever_looks_on_sees_status_and_headers_of_every_answer() {
    let emulator = emulator().await;
    emulator.set_fault(
        "unavailable:first=1"
            .parse::<bloom_auth_emulator::FaultRule>()
            .unwrap(),
    );
    let seen = Arc::new(Mutex::new(Vec::new()));
    let observer = Arc::clone(&seen);
    let auth = builder(&emulator).on_token_answer(move |status, headers| {
        let left = headers.get("x-ratelimit-remaining").cloned();
        observer.lock().unwrap().push((status.as_u16(), left));
    });
    auth.build().unwrap().token().await.unwrap();
    let seen = seen.lock().unwrap();
    let [(503, _), (200, Some(left))] = seen.as_slice() else {
        panic!("{seen:?}");
    };
    assert_eq!(left, "9");
}

#[tokio::test]
async fn another_origin_gets_the_token_once_it_is_allowed() {
    let (emulator, other) = (emulator().await, emulator().await);
    let url = format!("{}/v2/core/organization", other.origin());
    let auth = builder(&emulator).build().unwrap();
    auth.api().get(&url).send().await.unwrap_err();
    assert_eq!(other.counts().connections, 0);
    let auth = builder(&emulator).allow_origin(other.origin());
    let response = auth.build().unwrap().api().get(&url).send().await.unwrap();
    // Of another emulator, so it means nothing there.
    assert_eq!(response.status(), 401);
    let auth = builder(&emulator).allow_origin("no origin").build();
    assert!(auth.is_err());
}
