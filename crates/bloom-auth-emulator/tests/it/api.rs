//! The guarded API and its access tokens.

use std::time::Duration;

use serde_json::json;

use crate::support::{
    CONSUMERS, ORGANIZATION, Reply, Request, V1, V2, form_with, plain, token, token_request,
};

fn post_consumer(token: &str, body: &str) -> Request {
    Request::new("POST", CONSUMERS)
        .header("Content-Type", "application/json")
        .bearer(token)
        .body(body)
}

/// An error of the API: its status, in both places, and the challenge.
fn failure(reply: &Reply) -> (u16, Option<&str>) {
    let body = reply.json();
    let errors = body["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 1, "{reply:?}");
    assert_eq!(errors[0]["status"], reply.status.to_string(), "{reply:?}");
    assert!(errors[0]["title"].is_string(), "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("application/json"));
    (reply.status, reply.header("www-authenticate"))
}

#[tokio::test]
async fn tokens_of_both_servers_open_the_whole_api() {
    let emulator = plain().await;
    let mut posted = Vec::new();
    for path in [V1, V2] {
        let token = token(&emulator, path).await;
        let reply = Request::get(ORGANIZATION)
            .bearer(&token)
            .send(&emulator)
            .await;
        assert_eq!(reply.status, 200, "{reply:?}");

        let reply = post_consumer(&token, r#"{"first_name":"Jo"}"#)
            .send(&emulator)
            .await;
        assert_eq!(reply.status, 201, "{reply:?}");
        let data = reply.json()["data"].clone();
        assert!(data["id"].is_string(), "{data}");
        assert_eq!(data["attributes"], json!({ "first_name": "Jo" }));
        posted.push(data);

        let reply = Request::get(CONSUMERS).bearer(&token).send(&emulator).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(reply.json()["data"], json!(posted));
    }
    assert_ne!(posted[0]["id"], posted[1]["id"]);
    assert_eq!(emulator.counts().api_authorized, 6);
}

#[tokio::test]
async fn the_scheme_is_read_in_any_case() {
    let emulator = plain().await;
    let token = token(&emulator, V1).await;
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let request = Request::get(ORGANIZATION);
        let request = request.header("authorization", &format!("{scheme} {token}"));
        assert_eq!(request.send(&emulator).await.status, 200, "{scheme}");
    }
}

#[tokio::test]
async fn without_a_token_nothing_is_said_about_errors() {
    let emulator = plain().await;
    let requests = [
        Request::get(ORGANIZATION),
        Request::get(CONSUMERS),
        Request::new("POST", CONSUMERS).body("not even JSON"),
        Request::get(CONSUMERS).header("Authorization", "Basic aWQ6c2VjcmV0"),
    ];
    for request in &requests {
        let reply = request.send(&emulator).await;
        let expected = (401, Some("Bearer realm=\"bloom-auth-emulator\""));
        assert_eq!(failure(&reply), expected, "{request:?}");
    }
    let counts = emulator.counts();
    assert_eq!((counts.api_unauthorized, counts.api_expired), (4, 0));
}

#[tokio::test]
async fn bad_tokens_are_invalid() {
    let emulator = plain().await;
    let other = plain().await;
    let good = token(&emulator, V1).await;
    let foreign = token(&other, V1).await;
    let [header, payload, _]: [&str; 3] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    for bad in [
        "",
        "x",
        &foreign,
        &good[1..],
        &format!("{good}A"),
        &format!("{header}.{payload}."),
        // {"alg":"none"}
        &format!("eyJhbGciOiJub25lIn0.{payload}."),
    ] {
        let reply = Request::get(CONSUMERS).bearer(bad).send(&emulator).await;
        let (status, challenge) = failure(&reply);
        assert_eq!(status, 401, "{bad}");
        let challenge = challenge.unwrap();
        assert!(challenge.contains(", error=\"invalid_token\", error_description=\""));
        assert!(challenge.starts_with("Bearer realm=\""), "{challenge}");
    }
    assert_eq!(emulator.counts().api_expired, 0);
    assert_eq!(emulator.counts().api_unauthorized, 7);
    assert_eq!(
        Request::get(CONSUMERS)
            .bearer(&good)
            .send(&emulator)
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn expired_tokens_are_counted_apart() {
    let emulator = plain().await;
    emulator.set_token_lifetime(Duration::ZERO);
    for path in [V1, V2] {
        let token = token(&emulator, path).await;
        let reply = Request::get(ORGANIZATION)
            .bearer(&token)
            .send(&emulator)
            .await;
        let (status, challenge) = failure(&reply);
        assert_eq!(status, 401);
        assert!(challenge.unwrap().contains("error=\"invalid_token\""));
    }
    let counts = emulator.counts();
    assert_eq!((counts.api_unauthorized, counts.api_expired), (2, 2));
}

#[tokio::test]
async fn a_token_can_be_revoked() {
    let emulator = plain().await;
    let (one, other) = (token(&emulator, V1).await, token(&emulator, V2).await);
    let status = async |token: &str| {
        let request = Request::get(ORGANIZATION).bearer(token);
        request.send(&emulator).await.status
    };
    emulator.revoke(&one);
    emulator.revoke("not a token");
    assert_eq!((status(&one).await, status(&other).await), (401, 200));

    emulator.revoke_all();
    assert_eq!((status(&one).await, status(&other).await), (401, 401));
    assert_eq!(status(&token(&emulator, V1).await).await, 200);

    let counts = emulator.counts();
    assert_eq!((counts.api_unauthorized, counts.api_expired), (3, 0));
    assert_eq!((counts.api_authorized, counts.tokens_issued), (2, 3));
}

#[tokio::test]
async fn a_scope_can_be_too_little() {
    let emulator = plain().await;
    let body = form_with(&emulator, "scope", Some("furnishment:all"));
    let reply = Request::post(V2, body).send(&emulator).await;
    let token = reply.json()["access_token"].as_str().unwrap().to_owned();
    for request in [
        Request::get(ORGANIZATION).bearer(&token),
        Request::get(CONSUMERS).bearer(&token),
        post_consumer(&token, "{}"),
    ] {
        let reply = request.send(&emulator).await;
        let (status, challenge) = failure(&reply);
        assert_eq!(status, 403);
        let challenge = challenge.unwrap();
        assert!(
            challenge.contains("error=\"insufficient_scope\""),
            "{challenge}"
        );
        assert!(
            challenge.contains("scope=\"data-access:all\""),
            "{challenge}"
        );
    }
    assert_eq!(emulator.counts().api_forbidden, 3);
    assert_eq!(emulator.counts().api_unauthorized, 0);
}

#[tokio::test]
async fn several_authorization_headers_are_ambiguous() {
    let emulator = plain().await;
    let token = token(&emulator, V1).await;
    let request = Request::get(CONSUMERS).bearer(&token).bearer(&token);
    let reply = request.send(&emulator).await;
    let (status, challenge) = failure(&reply);
    assert_eq!(status, 400);
    assert!(challenge.unwrap().contains("error=\"invalid_request\""));
}

#[tokio::test]
async fn a_consumer_is_a_json_object() {
    let emulator = plain().await;
    let token = token(&emulator, V2).await;
    let largest = format!(r#"{{"a":"{}"}}"#, "x".repeat(64 * 1024 - 8));
    assert_eq!(largest.len(), 64 * 1024);
    for (body, status) in [
        ("{}", 201),
        (r#"{"data":{"type":"consumers"}}"#, 201),
        (&largest, 201),
        (&format!("{largest} "), 413),
        ("", 400),
        ("[]", 400),
        ("1", 400),
        ("{", 400),
        ("{} {}", 400),
        (&"[".repeat(10_000), 400),
    ] {
        let reply = post_consumer(&token, body).send(&emulator).await;
        assert_eq!(reply.status, status, "{}", body.len());
        if status != 201 {
            assert_eq!(failure(&reply), (status, None));
        }
    }
    let form = Request::post(CONSUMERS, "{}").bearer(&token);
    assert_eq!(failure(&form.send(&emulator).await), (415, None));
    assert_eq!(emulator.counts().api_authorized, 3);
}

#[tokio::test]
async fn other_paths_and_methods_are_not_there() {
    let emulator = plain().await;
    let token = token(&emulator, V1).await;
    for path in [
        "/",
        "/v2",
        "/v2/core/consumers/",
        "/oauth/token/",
        "/oauth2",
        "/V2/CORE/CONSUMERS",
    ] {
        let reply = Request::get(path).bearer(&token).send(&emulator).await;
        assert_eq!(failure(&reply), (404, None), "{path}");
    }
    for (method, path, allowed) in [
        ("POST", ORGANIZATION, "GET,HEAD"),
        ("DELETE", CONSUMERS, "GET,HEAD,POST"),
    ] {
        let reply = Request::new(method, path)
            .bearer(&token)
            .send(&emulator)
            .await;
        assert_eq!(failure(&reply), (405, None), "{method} {path}");
        assert_eq!(reply.header("allow"), Some(allowed), "{method} {path}");
    }
    let counts = emulator.counts();
    assert_eq!(
        (
            counts.api_authorized,
            counts.api_unauthorized,
            counts.api_forbidden
        ),
        (0, 0, 0)
    );
}

#[tokio::test]
async fn a_token_of_an_earlier_start_is_refused() {
    let first = plain().await;
    let port = first.address().port();
    let (id, secret) = (first.client_id().to_owned(), first.client_secret());
    let old = token(&first, V1).await;
    first.shutdown().await;

    let again = bloom_auth_emulator::Emulator::builder()
        .plain_http()
        .port(port)
        .client(id, secret);
    let second = again.start().await.unwrap();
    assert_eq!(second.address().port(), port);
    let reply = Request::get(CONSUMERS).bearer(&old).send(&second).await;
    assert_eq!(failure(&reply).0, 401);
    assert_eq!(token_request(&second, V1).send(&second).await.status, 200);
}
