//! The negative suite of RFC 6749, at both token endpoints.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bloom_auth_emulator::Emulator;

use crate::support::{
    FORM, Reply, Request, V1, V2, encode, exchange, form_with, good_form, plain, token_request,
};

const INVALID: (u16, &str) = (400, "invalid_request");

/// The same refusal from both, in the dialect of each.
async fn check(
    emulator: &Emulator,
    what: &str,
    request: impl Fn(&str) -> Request,
    v1: (u16, &str),
    v2: (u16, &str),
) -> [Reply; 2] {
    let mut replies = Vec::new();
    for (path, (status, error)) in [(V1, v1), (V2, v2)] {
        let before = emulator.counts();
        let reply = request(path).send(emulator).await;
        let refusal = reply.refusal();
        assert_eq!(refusal, (status, error.to_owned()), "{what} at {path}");
        let body = reply.json();
        assert_eq!(
            body["error_hint"].is_string(),
            path == V2,
            "{what} at {path}"
        );
        assert_eq!(
            body["status_code"] == status,
            path == V2,
            "{what} at {path}"
        );
        let after = emulator.counts();
        assert_eq!(after.tokens_issued, before.tokens_issued, "{what}");
        replies.push(reply);
    }
    replies.try_into().unwrap()
}

#[tokio::test]
async fn s11_parameters() {
    let emulator = plain().await;
    let good = encode(&good_form(&emulator));
    let without = |name| form_with(&emulator, name, None);
    let with = |name, value| form_with(&emulator, name, Some(value));
    let denied = [(401, "access_denied"), (401, "invalid_client")];
    let audience = [(403, "access_denied"), INVALID];
    let grant = [(400, "unsupported_grant_type"); 2];
    for (what, body, [v1, v2]) in [
        ("an empty body", String::new(), denied),
        ("an open escape", format!("{good}&x=%2"), [INVALID; 2]),
        ("a wrong escape", format!("{good}&x=%GG"), [INVALID; 2]),
        ("no UTF-8", format!("{good}&x=%FF"), [INVALID; 2]),
        (
            "client_id twice",
            format!("{good}&client_id=x"),
            [INVALID; 2],
        ),
        (
            "client_secret twice",
            format!("{good}&client_secret=x"),
            [INVALID; 2],
        ),
        (
            "grant_type twice",
            format!("{good}&grant_type=client_credentials"),
            [INVALID; 2],
        ),
        (
            "audience twice",
            format!("{good}&audience=dev-api"),
            [INVALID; 2],
        ),
        (
            "scope twice",
            format!("{good}&scope=data-access:all"),
            [INVALID; 2],
        ),
        (
            "an unknown one twice",
            format!("{good}&x=1&x=1"),
            [INVALID; 2],
        ),
        ("no client_id", without("client_id"), denied),
        ("no client_secret", without("client_secret"), denied),
        ("an empty client_secret", with("client_secret", ""), denied),
        (
            "a wrong client_secret",
            with("client_secret", "wrong"),
            denied,
        ),
        ("an unknown client_id", with("client_id", "unknown"), denied),
        ("no grant_type", without("grant_type"), [INVALID; 2]),
        ("an empty grant_type", with("grant_type", ""), [INVALID; 2]),
        ("another grant_type", with("grant_type", "password"), grant),
        (
            "a grant_type in capitals",
            with("grant_type", "CLIENT_CREDENTIALS"),
            grant,
        ),
        ("no audience", without("audience"), audience),
        ("an empty audience", with("audience", ""), audience),
        (
            "another audience",
            with("audience", "api.bloomcredit.io"),
            audience,
        ),
        (
            "an audience in capitals",
            with("audience", "DEV-API"),
            audience,
        ),
    ] {
        let replies = check(
            &emulator,
            what,
            |path| Request::post(path, body.clone()),
            v1,
            v2,
        );
        for reply in replies.await {
            assert_eq!(reply.header("www-authenticate"), None, "{what}");
        }
    }
}

#[tokio::test]
async fn s11_a_wrong_secret_and_an_unknown_client_get_the_same_answer() {
    let emulator = plain().await;
    for path in [V1, V2] {
        let mut bodies = Vec::new();
        for (name, value) in [("client_secret", "wrong"), ("client_id", "unknown")] {
            let body = form_with(&emulator, name, Some(value));
            bodies.push(Request::post(path, body).send(&emulator).await.body);
        }
        assert_eq!(bodies[0], bodies[1]);
    }
    let reply = Request::post(V1, form_with(&emulator, "client_secret", Some("wrong")));
    let expected = r#"{"error":"access_denied","error_description":"Unauthorized"}"#;
    assert_eq!(reply.send(&emulator).await.body, expected);
}

#[tokio::test]
async fn s11_only_v2_checks_the_scope() {
    let emulator = plain().await;
    for scope in [None, Some(""), Some("admin"), Some("data-access:all admin")] {
        let body = form_with(&emulator, "scope", scope);
        let reply = Request::post(V2, body.clone()).send(&emulator).await;
        assert_eq!(
            reply.refusal(),
            (400, "invalid_scope".to_owned()),
            "{scope:?}"
        );
        assert_eq!(
            Request::post(V1, body).send(&emulator).await.status,
            200,
            "{scope:?}"
        );
    }
}

#[tokio::test]
async fn s11_basic() {
    let emulator = plain().await;
    let (id, secret) = (emulator.client_id(), emulator.client_secret());
    let basic = |joined: String| format!("Basic {}", STANDARD.encode(joined));
    let good = basic(format!("{id}:{secret}"));
    let mut form = good_form(&emulator);
    form.retain(|(name, _)| !name.starts_with("client_"));
    let rest = encode(&form);

    let denied = [(401, "access_denied"), (401, "invalid_client")];
    for (what, header) in [
        ("a wrong secret", basic(format!("{id}:wrong"))),
        ("an unknown client", basic(format!("unknown:{secret}"))),
        ("no colon", basic(id.to_owned())),
        ("no base64", "Basic !!!".to_owned()),
        (
            "no UTF-8",
            format!("Basic {}", STANDARD.encode(b"\xff:\xff")),
        ),
        ("nothing", "Basic".to_owned()),
        ("another scheme", format!("Bearer {secret}")),
    ] {
        let request =
            |path: &str| Request::post(path, rest.clone()).header("Authorization", &header);
        for reply in check(&emulator, what, request, denied[0], denied[1]).await {
            let challenge = reply.header("www-authenticate").unwrap();
            assert!(
                challenge.starts_with("Basic realm=\""),
                "{what}: {challenge}"
            );
        }
    }
    let twice = |path: &str| {
        let request = Request::post(path, rest.clone());
        request
            .header("Authorization", &good)
            .header("Authorization", &good)
    };
    check(&emulator, "the header twice", twice, INVALID, INVALID).await;
    for (what, more) in [
        (
            "credentials in the body as well",
            format!("client_id={id}&client_secret={secret}"),
        ),
        (
            "the secret in the body as well",
            format!("client_secret={secret}"),
        ),
        (
            "another client_id in the body",
            "client_id=other".to_owned(),
        ),
    ] {
        let body = format!("{rest}&{more}");
        let request = |path: &str| Request::post(path, body.clone()).header("Authorization", &good);
        check(&emulator, what, request, INVALID, INVALID).await;
    }
}

#[tokio::test]
async fn s11_methods() {
    let emulator = plain().await;
    for method in ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
        let request = |path: &str| Request::new(method, path);
        let wrong = (405, "invalid_request");
        for reply in check(&emulator, method, request, wrong, wrong).await {
            assert_eq!(reply.header("allow"), Some("POST"), "{method}");
        }
    }
    // Only a POST is a token request.
    assert_eq!(emulator.counts().token_requests, 0);
    assert_eq!(emulator.counts().token_requests_refused, 0);
}

#[tokio::test]
async fn s11_content_types() {
    let emulator = plain().await;
    let body = encode(&good_form(&emulator));
    for content_type in [
        "application/json",
        "text/plain",
        "multipart/form-data; boundary=x",
        "",
    ] {
        let request = |path: &str| {
            let request = Request::new("POST", path).body(body.clone());
            request.header("Content-Type", content_type)
        };
        check(&emulator, content_type, request, INVALID, INVALID).await;
    }
    let none = |path: &str| Request::new("POST", path).body(body.clone());
    check(&emulator, "no content type", none, INVALID, INVALID).await;

    let request = Request::new("POST", V1).body(body);
    let request = request.header("Content-Type", &format!("{FORM}; charset=UTF-8"));
    assert_eq!(request.send(&emulator).await.status, 200);
}

#[tokio::test]
async fn s11_sizes() {
    let emulator = plain().await;
    let body = format!("{}&padding=", encode(&good_form(&emulator)));
    let padded = |size: usize| format!("{body}{}", "x".repeat(size - body.len()));
    for path in [V1, V2] {
        let largest = Request::post(path, padded(64 * 1024));
        assert_eq!(largest.send(&emulator).await.status, 200);
    }
    for size in [64 * 1024 + 1, 256 * 1024] {
        let request = |path: &str| Request::post(path, padded(size));
        let wrong = (413, "invalid_request");
        check(&emulator, "a large body", request, wrong, wrong).await;
    }
}

#[tokio::test]
async fn s11_credentials_in_the_url_are_not_looked_at() {
    let emulator = plain().await;
    let target = format!("{V1}?{}", encode(&good_form(&emulator)));
    let request = Request::post(&target, "grant_type=client_credentials&audience=dev-api");
    let refusal = request.send(&emulator).await.refusal();
    assert_eq!(refusal, (401, "access_denied".to_owned()));
}

#[tokio::test]
async fn s11_little_of_an_audience_is_repeated() {
    let emulator = plain().await;
    let audience = format!("<script>\"\\{}", "a".repeat(500));
    for path in [V1, V2] {
        let body = form_with(&emulator, "audience", Some(&audience));
        let reply = Request::post(path, body).send(&emulator).await;
        let body = reply.json();
        let description = body["error_description"].as_str().unwrap();
        assert!(description.contains("?script???aaa"), "{description}");
        assert!(!description.contains(&"a".repeat(64)), "{description}");
    }
}

#[tokio::test]
async fn a_body_in_chunks_is_read_whole() {
    let emulator = plain().await;
    let body = encode(&good_form(&emulator));
    let (one, other) = body.split_at(20);
    let request = format!(
        "POST {V1} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: {FORM}\r\n\
         Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{one}\r\n{:x}\r\n{other}\r\n0\r\n\r\n",
        emulator.address(),
        one.len(),
        other.len(),
    );
    assert_eq!(exchange(&emulator, request.as_bytes()).await.status, 200);
}

#[tokio::test]
async fn every_refusal_is_counted() {
    let emulator = plain().await;
    for (asked, body) in [(1, "%"), (2, "a=1"), (3, "a=1&a=1")] {
        Request::post(V1, body).send(&emulator).await;
        let counts = emulator.counts();
        assert_eq!(
            (counts.token_requests, counts.token_requests_refused),
            (asked, asked)
        );
    }
    token_request(&emulator, V2).send(&emulator).await;
    let counts = emulator.counts();
    assert_eq!((counts.token_requests, counts.tokens_issued), (4, 1));
    assert_eq!((counts.token_requests_refused, counts.connections), (3, 4));
}
