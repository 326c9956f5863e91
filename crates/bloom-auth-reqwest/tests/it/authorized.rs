//! `AuthorizedClient` as its users meet it: the token in every request, another
//! one when the API refuses it, and nothing where it must not go.

use std::{error::Error as _, time::Duration};

use bloom_auth_core::{
    Bearer, ErrorKind, Recovery, TokenState, Verdict, test_util::ScriptedServer,
};
use bloom_auth_reqwest::{AuthorizedClient, RequestError};
use reqwest::{Body, StatusCode};
use tokio::task::JoinSet;

use crate::{
    api_server::{Answer, ApiServer, Arrived, Hold},
    support::{api_provider, chain_of},
};

const CHALLENGE: &str = "www-authenticate: Bearer error=\"invalid_token\"\r\n";

/// Refuses the token A.
fn refuses_a(request: &Arrived) -> Answer {
    match request.token() {
        Some("Bearer A") => (401, CHALLENGE.to_owned()),
        _ => (200, String::new()),
    }
}

fn origin(server: &ApiServer) -> String {
    format!("http://{}", server.address)
}

fn client(api: &ApiServer) -> AuthorizedClient {
    AuthorizedClient::new(api_provider(&origin(api), &["A", "B", "C"]).0)
}

/// The tokens that requests carried.
fn tokens(api: &ApiServer) -> Vec<String> {
    let tokens = api
        .log()
        .into_iter()
        .map(|(_, token)| token.unwrap_or_default());
    tokens
        .map(|token| token.trim_start_matches("Bearer ").to_owned())
        .collect()
}

#[tokio::test]
async fn a1_a_refused_token_is_replaced_and_the_request_sent_once_more() {
    let api = ApiServer::start(refuses_a).await;
    let (provider, transport) = api_provider(&origin(&api), &["A", "B", "C"]);
    let client = AuthorizedClient::new(provider);
    let request = client
        .get("/v2/x")
        .query(&[("page", "2")])
        .header("x-own", "kept");
    assert_eq!(request.send().await.unwrap().status(), 200);
    assert_eq!(tokens(&api), ["A", "B"]);
    for request in api.requests() {
        assert_eq!(
            (request.method.as_str(), request.path.as_str()),
            ("GET", "/v2/x?page=2")
        );
        assert_eq!(request.header("x-own"), Some("kept"));
    }
    assert_eq!(transport.request_count(), 2);
}

#[tokio::test]
async fn a1_what_is_sent_once_more_is_all_of_the_request() {
    let api = ApiServer::start(refuses_a).await;
    let request = client(&api).get("/v2/x").version(http::Version::HTTP_10);
    let request = request.header("x-many", "1").header("x-many", "2");
    assert_eq!(request.send().await.unwrap().status(), 200);
    let heads: Vec<_> = api.requests().iter().map(Arrived::lines).collect();
    let [first, second] = heads.as_slice() else {
        panic!("{heads:?}");
    };
    assert!(first[0].ends_with("http/1.0"), "{first:?}");
    assert_eq!(
        first
            .iter()
            .filter(|line| line.starts_with("x-many"))
            .count(),
        2
    );
    assert_eq!(first, second);
}

#[tokio::test]
async fn a_replay_has_the_time_limit_of_the_request() {
    // Which never comes about.
    let hold = Hold {
        token: "Bearer B",
        count: 1_000,
    };
    let api = ApiServer::start_with_hold(hold, refuses_a).await;
    // The client's own is longer than the test has patience.
    let (provider, _) = api_provider(&origin(&api), &["A", "B"]);
    let client = AuthorizedClient::builder(provider).timeout(Duration::from_secs(3_600));
    let request = client
        .build()
        .unwrap()
        .get("/")
        .timeout(Duration::from_millis(200));
    let sent = tokio::time::timeout(Duration::from_secs(30), request.send()).await;
    assert!(sent.expect("it waits").unwrap_err().is_timeout());
    assert_eq!(tokens(&api), ["A"]);
}

#[tokio::test]
async fn a10_what_is_not_idempotent_is_sent_once_more_with_its_body() {
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let api = ApiServer::start(refuses_a).await;
        let request = client(&api).request(method.parse().unwrap(), "/v2/x");
        let response = request.json(&["hello"]).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(tokens(&api), ["A", "B"]);
        for request in api.requests() {
            assert_eq!(
                (request.method.as_str(), request.body.as_str()),
                (method, "[\"hello\"]")
            );
            assert_eq!(request.header("content-type"), Some("application/json"));
        }
    }
}

#[tokio::test]
async fn a10_who_wants_no_replay_has_none() {
    let api = ApiServer::start(refuses_a).await;
    let (provider, transport) = api_provider(&origin(&api), &["A", "B"]);
    let client = AuthorizedClient::new(Bearer::new(provider).without_replay());
    assert_eq!(
        client.post("/x").body("x").send().await.unwrap().status(),
        401
    );
    assert_eq!(
        (tokens(&api), transport.request_count()),
        (vec!["A".to_owned()], 1)
    );
    assert_eq!(
        client.post("/x").body("x").send().await.unwrap().status(),
        200
    );
}

#[tokio::test]
async fn a9_a_stream_is_sent_once() {
    let api = ApiServer::start(refuses_a).await;
    let client = client(&api);
    // A body whose bytes are not at hand; here, another body.
    let stream = || {
        Body::wrap(http_body_util::Full::new(bytes::Bytes::from_static(
            b"hello",
        )))
    };
    let response = client.post("/v2/x").body(stream()).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        client.bearer().provider().status().token,
        TokenState::Absent
    );
    assert_eq!(tokens(&api), ["A"]);
    let response = client.post("/v2/x").body(stream()).send().await.unwrap();
    assert_eq!(
        (response.status(), tokens(&api)),
        (StatusCode::OK, vec!["A".to_owned(), "B".to_owned()])
    );
    assert_eq!(
        api.requests().pop().unwrap().body.matches("hello").count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a4_a_thousand_401s_on_real_connections_cause_one_token_request() {
    let calls = with_open_files(1_000);
    let hold = Hold {
        token: "Bearer A",
        count: calls,
    };
    let api = ApiServer::start_with_hold(hold, refuses_a).await;
    let (provider, transport) = api_provider(&origin(&api), &["A", "B", "C"]);
    // Nothing here is about time.
    let client = AuthorizedClient::builder(provider).timeout(Duration::from_secs(300));
    let client = client.build().unwrap();
    let mut all = JoinSet::new();
    for _ in 0..calls {
        let client = client.clone();
        all.spawn(async move { client.get("/v2/x").send().await.unwrap().status() });
    }
    let statuses = all.join_all().await;
    assert!(statuses.iter().all(|status| *status == 200));
    let tokens = tokens(&api);
    let count = |name| tokens.iter().filter(|token| *token == name).count();
    assert_eq!(
        (count("A"), count("B"), tokens.len()),
        (calls, calls, 2 * calls)
    );
    assert_eq!(transport.request_count(), 2);
}

/// How many connections a test can have that wants so many: each is two open
/// files, and some systems grant few.
fn with_open_files(wanted: usize) -> usize {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        let _ = setrlimit(Resource::Nofile, limit);
        let granted = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let granted = usize::try_from(granted).unwrap_or(usize::MAX);
        wanted.min(granted.saturating_sub(200) / 4)
    }
    #[cfg(not(unix))]
    wanted.min(100)
}

#[tokio::test]
async fn a6_a7_a8_every_other_answer_is_passed_on() {
    for (status, headers) in [
        (
            403,
            "www-authenticate: Bearer error=\"insufficient_scope\", scope=\"a\"\r\n",
        ),
        (
            400,
            "www-authenticate: Bearer error=\"invalid_request\"\r\n",
        ),
        (429, "retry-after: 7\r\n"),
        (503, ""),
        (200, ""),
    ] {
        let api = ApiServer::start(move |_| (status, headers.to_owned())).await;
        let client = client(&api);
        let response = client.get("/").send().await.unwrap();
        assert_eq!(response.status().as_u16(), status);
        let verdict = Verdict::of(response.status(), response.headers());
        match status {
            403 => assert_eq!(verdict, Verdict::ScopeMissing("a".parse().ok())),
            _ => assert_eq!(verdict, Verdict::PassedOn),
        }
        assert_eq!(tokens(&api), ["A"]);
        assert_eq!(client.bearer().provider().status().token, TokenState::Fresh);
    }
}

#[tokio::test]
async fn a13_a_header_of_the_caller_is_left_alone() {
    let api = ApiServer::start(|_| (401, CHALLENGE.to_owned())).await;
    let (provider, transport) = api_provider(&origin(&api), &["A"]);
    let client = AuthorizedClient::new(provider);
    let request = client.get("/").header("authorization", "Basic b3du");
    assert_eq!(request.send().await.unwrap().status(), 401);
    assert_eq!(api.log(), [("/".to_owned(), Some("Basic b3du".to_owned()))]);
    assert_eq!(transport.request_count(), 0);
}

#[tokio::test]
async fn a12_a15_a_url_elsewhere_is_refused_before_anything_is_sent() {
    let (api, other) = (
        ApiServer::start(refuses_a).await,
        ApiServer::start(refuses_a).await,
    );
    let (provider, transport) = api_provider(&origin(&api), &["T"]);
    let client = AuthorizedClient::new(provider);
    for url in [
        format!("{}/x?secret", origin(&other)),
        format!("http://localhost:{}/x?secret", api.address.port()),
        format!("https://{}/x?secret", api.address),
        format!("http://user:secret@{}/x", api.address),
        "http://example.test/x?secret".to_owned(),
        "HTTPS://example.test/x?secret".to_owned(),
    ] {
        let error = client.get(&url).send().await.unwrap_err();
        assert!(
            matches!(error, RequestError::Configuration(_)),
            "{url}: {error:?}"
        );
        assert_eq!(error.recovery(), Recovery::FixConfiguration);
        assert!(!format!("{} {error:?}", chain_of(&error)).contains("secret"));
    }
    assert_eq!(
        (transport.request_count(), other.log(), api.log()),
        (0, vec![], vec![])
    );
    // The whole URL of the API itself is fine.
    let response = client
        .get(format!("{}/x", origin(&api)))
        .send()
        .await
        .unwrap();
    assert_eq!(
        (response.status(), transport.request_count()),
        (StatusCode::OK, 1)
    );
}

#[tokio::test]
async fn a15_no_path_leads_to_another_host() {
    let api = ApiServer::start(|_| (200, String::new())).await;
    let base = format!("{}/base", origin(&api));
    let client = AuthorizedClient::new(api_provider(&base, &["T"]).0);
    for (path, expected) in [
        ("v2/x", "/base/v2/x"),
        ("/v2/x", "/base/v2/x"),
        ("", "/base/"),
        ("//evil.test/x", "/base/evil.test/x"),
        ("\\\\evil.test\\x", "/base///evil.test/x"),
        ("@evil.test/", "/base/@evil.test/"),
        (":80/x", "/base/:80/x"),
        ("../x", "/x"),
        ("x?y=http://evil.test/", "/base/x?y=http://evil.test/"),
        ("a b", "/base/a%20b"),
        ("javascript:x", "/base/javascript:x"),
    ] {
        assert_eq!(client.get(path).send().await.unwrap().status(), 200);
        assert_eq!(
            api.log().pop().unwrap(),
            (expected.to_owned(), Some("Bearer T".to_owned())),
            "{path}"
        );
    }
}

#[tokio::test]
async fn errors_say_what_to_do_and_hold_no_url() {
    // Nobody listens.
    let server = ScriptedServer::start([]).await.unwrap();
    let gone = server.origin();
    drop(server);
    let client = AuthorizedClient::new(api_provider(&gone, &["T"]).0);
    let error = client.get("/x?canary").send().await.unwrap_err();
    assert!(
        matches!(&error, RequestError::Http(error) if error.is_connect()),
        "{error:?}"
    );
    assert_eq!(
        error.recovery(),
        Recovery::Retry {
            after: Duration::ZERO
        }
    );
    assert!(!format!("{} {error:?}", chain_of(&error)).contains("canary"));
    // No token.
    let api = ApiServer::start(refuses_a).await;
    let client = AuthorizedClient::new(api_provider(&origin(&api), &[]).0);
    let error = client.get("/x?canary").send().await.unwrap_err();
    let RequestError::Token(token) = &error else {
        panic!("{error:?}");
    };
    assert_eq!((token.kind(), api.log()), (ErrorKind::Connect, vec![]));
    assert_eq!(error.recovery(), token.recovery());
    assert!(
        error
            .source()
            .is_some_and(|source| source.to_string() == token.to_string())
    );
    // What is no request.
    let error = client
        .get("/x")
        .header("no header", "x")
        .send()
        .await
        .unwrap_err();
    assert_eq!(error.recovery(), Recovery::FixProgram);
    let text = format!("{client:?} {:?}", client.get("/x?canary"));
    assert!(!text.contains("canary"), "{text}");
}

#[tokio::test]
async fn a_time_limit_is_the_clients_or_the_requests() {
    // Which never comes about.
    let hold = Hold {
        token: "Bearer A",
        count: 1_000,
    };
    let api = ApiServer::start_with_hold(hold, |_| (200, String::new())).await;
    let (provider, _) = api_provider(&origin(&api), &["A"]);
    let short = Duration::from_millis(50);
    let client = AuthorizedClient::builder(provider.clone()).timeout(short);
    let client = client.build().unwrap();
    assert!(client.get("/").send().await.unwrap_err().is_timeout());
    let client = AuthorizedClient::new(provider.clone());
    let error = client.get("/").timeout(short).send().await.unwrap_err();
    assert!(error.is_timeout());
    assert!(matches!(error.recovery(), Recovery::Retry { .. }));
    let never = AuthorizedClient::builder(provider).timeout(Duration::ZERO);
    assert!(never.build().is_err());
}

#[tokio::test]
async fn one_pool_serves_all_clones_and_what_is_configured_holds() {
    let api = ApiServer::start(|_| (302, "location: /x\r\n".to_owned())).await;
    let (provider, _) = api_provider(&origin(&api), &["A"]);
    let client = AuthorizedClient::builder(provider).configure(|builder| {
        let policy = reqwest::redirect::Policy::limited(50);
        builder.user_agent("my-backend/1").redirect(policy)
    });
    let client = client.build().unwrap();
    // The redirects stay ours: ten of them.
    let error = client.clone().get("/").send().await.unwrap_err();
    assert!(matches!(error, RequestError::TooManyRedirects));
    assert_eq!((api.requests().len(), api.connections()), (11, 1));
    assert_eq!(api.requests()[0].header("user-agent"), Some("my-backend/1"));
}
