//! The admin endpoint.

use std::time::{Duration, SystemTime};

use bloom_auth_emulator::{Emulator, EmulatorError, Fault};
use serde_json::{Value, json};

use crate::support::{ORGANIZATION, Reply, Request, V1, V2, exchange, plain, token, token_request};

const PATHS: [&str; 7] = [
    "/_emulator/faults",
    "/_emulator/scenario",
    "/_emulator/counts",
    "/_emulator/revoke",
    "/_emulator/rotate",
    "/_emulator/settings",
    "/_emulator/clock",
];

async fn emulator() -> Emulator {
    let builder = Emulator::builder().plain_http().admin();
    let builder = builder.clock_stands_at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000));
    builder.start().await.unwrap()
}

/// As `curl -d` does it.
async fn post(emulator: &Emulator, path: &str, body: &str) -> Reply {
    let reply = Request::post(path, body).send(emulator).await;
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    reply
}

async fn good(emulator: &Emulator, path: &str, body: &str) -> Value {
    let reply = post(emulator, path, body).await;
    assert_eq!(reply.status, 200, "{path} {body}: {reply:?}");
    reply.json()
}

#[tokio::test]
async fn there_is_none_unless_it_is_asked_for() {
    let emulator = plain().await;
    for path in PATHS {
        for method in ["GET", "POST", "DELETE"] {
            let reply = Request::new(method, path).send(&emulator).await;
            assert_eq!(reply.status, 404, "{method} {path}");
        }
    }
    assert_eq!(emulator.client_secret(), emulator.client_secret());
}

#[tokio::test]
async fn it_stands_behind_the_guard() {
    let emulator = emulator().await;
    let secret = emulator.client_secret();
    let rotate = Request::new("POST", "/_emulator/rotate");
    let foreign = rotate.clone().header("Host", "evil.example");
    let reply = exchange(&emulator, &foreign.bytes_without_host()).await;
    assert_eq!(reply.status, 403);
    for origin in ["null", "https://evil.example", emulator.origin()] {
        let reply = rotate
            .clone()
            .header("Origin", origin)
            .send(&emulator)
            .await;
        assert_eq!(reply.status, 403, "{origin}");
    }
    assert_eq!(emulator.client_secret(), secret);
}

#[tokio::test]
async fn it_asks_for_its_token() {
    let builder = Emulator::builder().plain_http().admin_token("the-word");
    assert!(!format!("{builder:?}").contains("the-word"));
    // The order is no matter.
    let emulator = builder.admin().start().await.unwrap();
    let secret = emulator.client_secret();
    let access_token = token(&emulator, V1).await;
    let rotate = Request::new("POST", "/_emulator/rotate");
    for authorizations in [
        &[][..],
        &["Bearer"],
        &["Bearer "],
        &["Bearer the-wor"],
        &["Bearer the-words"],
        &["Basic the-word"],
        &["the-word"],
        &["Bearer the-word", "Bearer the-word"],
        &[&format!("Bearer {access_token}")],
    ] {
        let mut request = rotate.clone();
        for authorization in authorizations {
            request = request.header("Authorization", authorization);
        }
        let reply = request.send(&emulator).await;
        assert_eq!(reply.status, 401, "{authorizations:?}");
        assert!(
            reply
                .header("www-authenticate")
                .unwrap()
                .starts_with("Bearer ")
        );
    }
    for path in PATHS.into_iter().chain(["/_emulator/", "/_emulator/x"]) {
        assert_eq!(
            Request::get(path).send(&emulator).await.status,
            401,
            "{path}"
        );
    }
    assert_eq!(emulator.client_secret(), secret);
    assert_eq!(rotate.bearer("the-word").send(&emulator).await.status, 200);
    assert_ne!(emulator.client_secret(), secret);

    for token in ["", "line\nbreak"] {
        let error = Emulator::builder().admin_token(token).start().await;
        assert!(matches!(
            error,
            Err(EmulatorError::Settings {
                setting: "admin token",
                ..
            })
        ));
    }
}

#[tokio::test]
async fn faults_are_listed_set_and_cleared() {
    let emulator = emulator().await;
    let list = || async { Request::get(PATHS[0]).send(&emulator).await.json() };
    let listed = list().await;
    let known = listed["known"].as_array().unwrap();
    assert_eq!(known.len(), Fault::all().len());
    let first = &known[0];
    assert_eq!(first["fault"], "reset-connection");
    assert_eq!(first["row"], "N1");
    assert_eq!(first["endpoints"], json!(["connection"]));
    assert!(first["description"].is_string());
    assert_eq!(listed["set"], json!([]));

    let set = good(&emulator, PATHS[0], r#"{"rule":"server-error:next=3"}"#).await;
    assert_eq!(set["rule"], "server-error@token:next=3");
    assert_eq!(
        token_request(&emulator, V2).send(&emulator).await.status,
        500
    );
    let expected = json!([{ "rule": "server-error@token:next=3", "seen": 1, "played": 1 }]);
    assert_eq!(list().await["set"], expected);
    assert_eq!(
        Request::new("DELETE", PATHS[0])
            .send(&emulator)
            .await
            .status,
        200
    );
    assert_eq!(list().await["set"], json!([]));
    assert_eq!(
        token_request(&emulator, V2).send(&emulator).await.status,
        200
    );

    // A fault at the API leaves the admin endpoint alone.
    good(&emulator, PATHS[0], r#"{"rule":"reset@api"}"#).await;
    assert_eq!(list().await["set"][0]["seen"], 0);

    for (body, title) in [
        (
            r#"{"rule":"sever-error"}"#,
            "there is no fault `sever-error`; the nearest is `server-error`",
        ),
        (r#"{"rule":"reset:next=0"}"#, "`next=0` is no schedule"),
        (
            r#"{"fault":"reset"}"#,
            "unknown field `fault`, expected `rule`",
        ),
        ("", "EOF while parsing"),
    ] {
        let reply = post(&emulator, PATHS[0], body).await;
        assert_eq!(reply.status, 400, "{body}");
        let told = reply.json()["errors"][0]["title"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(told.starts_with(title), "{told}");
    }
}

#[tokio::test]
async fn a_scenario_is_started() {
    let emulator = emulator().await;
    let scenario = "[[step]]\nfault = 'unavailable'\ncount = 1\n";
    assert_eq!(
        good(&emulator, PATHS[1], scenario).await,
        json!({ "steps": 1 })
    );
    assert_eq!(
        token_request(&emulator, V1).send(&emulator).await.status,
        503
    );
    assert_eq!(
        token_request(&emulator, V1).send(&emulator).await.status,
        200
    );
    let reply = post(&emulator, PATHS[1], "[[step]]\nfault = 'unavialable'").await;
    let title = reply.json()["errors"][0]["title"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        title,
        "line 2: there is no fault `unavialable`; the nearest is `unavailable`"
    );
    // All of a scenario goes with the faults.
    good(&emulator, PATHS[1], "[[step]]\nfault = 'unavailable'").await;
    Request::new("DELETE", PATHS[0]).send(&emulator).await;
    assert_eq!(
        token_request(&emulator, V1).send(&emulator).await.status,
        200
    );
}

#[tokio::test]
async fn it_does_what_the_handle_does() {
    let emulator = emulator().await;
    let access_token = token(&emulator, V2).await;
    let call = || async {
        let request = Request::get(ORGANIZATION).bearer(&access_token);
        request.send(&emulator).await.status
    };
    assert_eq!(call().await, 200);
    good(&emulator, "/_emulator/revoke", "").await;
    assert_eq!(call().await, 401);

    let rotated = good(&emulator, "/_emulator/rotate", "").await;
    assert_eq!(rotated["client_secret"], emulator.client_secret());

    let settings = r#"{"token_lifetime_ms":5000,"latency_ms":1}"#;
    let set = good(&emulator, "/_emulator/settings", settings).await;
    assert_eq!(set, json!({ "token_lifetime_ms": 5000, "latency_ms": 1 }));
    let set = good(&emulator, "/_emulator/settings", r#"{"latency_ms":0}"#).await;
    assert_eq!(set, json!({ "token_lifetime_ms": 5000, "latency_ms": 0 }));
    let access_token = token(&emulator, V2).await;
    let call = || async {
        let request = Request::get(ORGANIZATION).bearer(&access_token);
        request.send(&emulator).await.status
    };
    assert_eq!(call().await, 200);
    let clock = good(&emulator, "/_emulator/clock", r#"{"advance_ms":5000}"#).await;
    assert_eq!(clock, json!({ "now_ms": 1_005_000 }));
    assert_eq!(call().await, 401);

    let counted = Request::get("/_emulator/counts")
        .send(&emulator)
        .await
        .json();
    let counts = emulator.counts();
    let expected = json!({
        "connections": counts.connections,
        "token_requests": 2,
        "tokens_issued": 2,
        "token_requests_refused": 0,
        "api_authorized": 2,
        "api_unauthorized": 2,
        "api_forbidden": 0,
        "api_expired": 1,
        "faults_played": 0,
    });
    assert_eq!(counted, expected);

    for (method, path, status) in [
        ("PUT", PATHS[0], 405),
        ("GET", "/_emulator/rotate", 405),
        ("GET", "/_emulator/nothing", 404),
        ("GET", "/_emulator", 404),
    ] {
        let reply = Request::new(method, path).send(&emulator).await;
        assert_eq!(reply.status, status, "{method} {path}");
    }
}
