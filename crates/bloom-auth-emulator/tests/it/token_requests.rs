//! Token requests that are granted, and what they are answered with.

use std::{collections::HashSet, time::Duration};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bloom_auth_emulator::Emulator;
use serde_json::Value;

use crate::support::{
    CONSUMERS, ORGANIZATION, Request, V1, V2, encode, escape, form_with, good_form, plain, token,
    token_request,
};

fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[tokio::test]
async fn a_token_response_has_its_four_fields() {
    let emulator = plain().await;
    for path in [V1, V2] {
        let reply = token_request(&emulator, path).send(&emulator).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.assert_uncached();
        let body = reply.json();
        let mut fields: Vec<_> = body.as_object().unwrap().keys().collect();
        fields.sort();
        assert_eq!(
            fields,
            ["access_token", "expires_in", "scope", "token_type"]
        );
        assert_eq!(body["token_type"], "Bearer");
        assert_eq!(body["expires_in"], 86_400);
        let claims = claims(body["access_token"].as_str().unwrap());
        assert_eq!(claims["iss"], "https://emulator.bloom-auth.invalid/");
        assert_eq!(claims["aud"], "dev-api");
        assert_eq!(claims["sub"], emulator.client_id());
        assert_eq!(claims["scope"], body["scope"]);
        let issued = claims["iat"].as_u64().unwrap();
        assert!((issued + 86_400..=issued + 86_401).contains(&claims["exp"].as_u64().unwrap()));
    }
}

#[tokio::test]
async fn the_tokens_of_v1_have_a_realistic_size() {
    let emulator = plain().await;
    let reply = token_request(&emulator, V1).send(&emulator).await;
    let body = reply.json();
    let scope = body["scope"].as_str().unwrap();
    let start = "read:consumers write:consumers read:credit.bloom.score.vantage3 ";
    assert!(scope.starts_with(start), "{scope}");
    let size = body["access_token"].as_str().unwrap().len();
    assert!((850..=1000).contains(&size), "{size}");
}

#[tokio::test]
async fn v1_ignores_the_scope_and_v2_grants_it() {
    let emulator = plain().await;
    let both = "furnishment:all data-access:all";
    for (path, asked, granted) in [
        (V1, Some("admin"), None),
        (V1, None, None),
        (V2, Some("data-access:all"), Some("data-access:all")),
        (V2, Some("furnishment:all"), Some("furnishment:all")),
        (V2, Some(both), Some(both)),
    ] {
        let body = form_with(&emulator, "scope", asked);
        let reply = Request::post(path, body).send(&emulator).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        if let Some(granted) = granted {
            assert_eq!(reply.json()["scope"], granted);
        }
    }
}

#[tokio::test]
async fn every_token_is_another() {
    let emulator = plain().await;
    let mut seen = HashSet::new();
    for _ in 0..20 {
        for path in [V1, V2] {
            assert!(seen.insert(token(&emulator, path).await));
        }
    }
}

#[tokio::test]
async fn credentials_may_come_by_basic_in_either_reading() {
    let (id, secret) = ("a+b% é_c", "+ %zz:é%2B ");
    let emulator = Emulator::builder()
        .plain_http()
        .client(id, secret)
        .start()
        .await
        .unwrap();
    assert_eq!(emulator.client_secret(), secret);
    let encoded = format!("{}:{}", escape(id), escape(secret));
    let raw = format!("{id}:{secret}");
    let mut form = good_form(&emulator);
    form.retain(|(name, _)| *name != "client_secret");
    let with_id = encode(&form);
    form.retain(|(name, _)| *name != "client_id");
    let without_id = encode(&form);
    for path in [V1, V2] {
        for joined in [&encoded, &raw] {
            for body in [&with_id, &without_id] {
                let header = format!("Basic {}", STANDARD.encode(joined));
                let request = Request::post(path, body.as_str()).header("Authorization", &header);
                let reply = request.send(&emulator).await;
                assert_eq!(reply.status, 200, "{joined} {body} {reply:?}");
            }
        }
        // In the body there is one reading only.
        assert_eq!(
            token_request(&emulator, path).send(&emulator).await.status,
            200
        );
    }
}

#[tokio::test]
async fn the_audience_can_be_another() {
    let emulator = Emulator::builder()
        .plain_http()
        .audience("api.bloomcredit.io")
        .start()
        .await
        .unwrap();
    assert_eq!(emulator.audience(), "api.bloomcredit.io");
    for path in [V1, V2] {
        let token = token(&emulator, path).await;
        assert_eq!(claims(&token)["aud"], "api.bloomcredit.io");
        let sandbox = form_with(&emulator, "audience", Some("dev-api"));
        let reply = Request::post(path, sandbox).send(&emulator).await;
        assert_eq!(reply.status, if path == V1 { 403 } else { 400 });
    }
}

#[tokio::test]
async fn a_rotated_secret_is_refused_at_once() {
    let emulator = plain().await;
    let old = token_request(&emulator, V1);
    let old_secret = emulator.client_secret();
    let token = token(&emulator, V1).await;

    let new_secret = emulator.rotate_secret();
    assert_ne!(new_secret, old_secret);
    assert_eq!(new_secret, emulator.client_secret());
    assert_eq!(
        old.send(&emulator).await.refusal(),
        (401, "access_denied".to_owned())
    );
    assert_eq!(
        token_request(&emulator, V1).send(&emulator).await.status,
        200
    );
    // What was issued before still stands.
    let reply = Request::get(ORGANIZATION)
        .bearer(&token)
        .send(&emulator)
        .await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn lifetimes_can_be_changed_while_it_runs() {
    let emulator = Emulator::builder()
        .plain_http()
        .token_lifetime(Duration::from_millis(2_999))
        .start()
        .await
        .unwrap();
    let fetch = async || token_request(&emulator, V2).send(&emulator).await.json();
    assert_eq!(fetch().await["expires_in"], 2);

    emulator.set_token_lifetime(Duration::from_millis(999));
    assert_eq!(fetch().await["expires_in"], 0);

    emulator.set_token_lifetime(Duration::MAX);
    let body = fetch().await;
    assert_eq!(body["expires_in"], i32::MAX);
    let request = Request::get(CONSUMERS).bearer(body["access_token"].as_str().unwrap());
    assert_eq!(request.send(&emulator).await.status, 200);

    emulator.set_token_lifetime(Duration::ZERO);
    let body = fetch().await;
    assert_eq!(body["expires_in"], 0);
    let request = Request::get(CONSUMERS).bearer(body["access_token"].as_str().unwrap());
    assert_eq!(request.send(&emulator).await.status, 401);
}

#[tokio::test]
async fn answers_of_the_token_endpoints_can_be_held_back() {
    let emulator = plain().await;
    emulator.set_latency(Duration::from_secs(3600));
    let held = token_request(&emulator, V1);
    let held = held.send(&emulator);
    tokio::pin!(held);
    let decided = crate::support::eventually("the token is issued before the delay", || {
        emulator.counts().tokens_issued == 1
    });
    tokio::select! {
        biased;
        () = decided => {}
        reply = &mut held => panic!("not held back: {reply:?}"),
    }
    // The API is not slowed down, nor is the next answer without latency.
    assert_eq!(Request::get(CONSUMERS).send(&emulator).await.status, 401);
    emulator.set_latency(Duration::ZERO);
    assert_eq!(
        token_request(&emulator, V1).send(&emulator).await.status,
        200
    );
}
