//! `BloomAuth::api`: requests to the API go by the settings of token requests,
//! and loopback is reached without the proxy of the environment.

use std::process::Command;

use bloom_auth::{BloomAuth, ClientId, ClientSecret, Environment, ErrorKind, RequestError};
use bloom_auth_core::test_util::{ScriptedServer, Turn};
use bloom_auth_emulator::Emulator;

use super::{Variables, text_of};

const ORGANIZATION: &str = "/v2/core/organization";
const CONSUMERS: &str = "/v2/core/consumers";

/// By variables, with the emulator's certificate in a file.
fn by_variables(emulator: &Emulator, ca_file: &str) -> BloomAuth {
    let variables = Variables::new([
        ("BLOOM_CLIENT_ID", emulator.client_id()),
        ("BLOOM_CLIENT_SECRET", &emulator.client_secret()),
        ("BLOOM_TOKEN_URL", &emulator.v1_token_url()),
        ("BLOOM_API_URL", &emulator.api_url()),
        ("BLOOM_AUDIENCE", emulator.audience()),
        ("BLOOM_CA_FILE", ca_file),
    ]);
    variables.build().unwrap()
}

/// By code, for an API at this URL.
fn by_code(emulator: &Emulator, api_url: &str) -> BloomAuth {
    let environment = Environment::custom(emulator.v1_token_url(), api_url)
        .audience(emulator.audience())
        .build()
        .unwrap();
    BloomAuth::builder()
        .environment(environment)
        .client(
            ClientId::new(emulator.client_id()).unwrap(),
            ClientSecret::new(emulator.client_secret()).unwrap(),
        )
        .root_certificate(emulator.ca_pem().unwrap())
        .build()
        .unwrap()
}

#[tokio::test]
async fn a1_a10_a_revoked_token_costs_one_token_request_and_nobody_a_401() {
    let emulator = Emulator::start().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    std::fs::write(&ca, emulator.ca_pem().unwrap()).unwrap();
    let url = emulator.api_url();
    let all = [
        by_variables(&emulator, text_of(&ca)),
        by_code(&emulator, &url),
    ];
    let mut before = emulator.counts();
    for auth in all {
        let response = auth.api().get(ORGANIZATION).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let first = auth.try_authorization().unwrap();

        emulator.revoke_all();
        let consumer = serde_json::json!({ "first_name": "Ada" });
        let request = auth.api().post(CONSUMERS).json(&consumer);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 201);
        let added: serde_json::Value = response.json().await.unwrap();
        assert_eq!(added["data"]["attributes"], consumer);
        assert_ne!(auth.try_authorization().unwrap(), first);

        let counts = emulator.counts();
        assert_eq!(counts.token_requests, before.token_requests + 2);
        assert_eq!(counts.api_unauthorized, before.api_unauthorized + 1);
        assert_eq!(counts.api_authorized, before.api_authorized + 2);
        before = counts;

        // The second revocation within the cool-down is the caller's to see.
        emulator.revoke_all();
        let response = auth.api().get(ORGANIZATION).send().await.unwrap();
        assert_eq!(response.status(), 401);
        let counts = emulator.counts();
        assert_eq!(counts.token_requests, before.token_requests);
        assert_eq!(counts.api_unauthorized, before.api_unauthorized + 1);
        before = counts;
    }
}

/// The same certificates are trusted, and no others: neither for the token nor,
/// with a token at hand, for the API.
#[tokio::test]
async fn the_api_is_trusted_as_the_authorization_server_is() {
    let (emulator, other) = (
        Emulator::start().await.unwrap(),
        Emulator::start().await.unwrap(),
    );
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    std::fs::write(&ca, other.ca_pem().unwrap()).unwrap();
    let auth = by_variables(&emulator, text_of(&ca));
    let error = auth.api().get(ORGANIZATION).send().await.unwrap_err();
    let RequestError::Token(error) = error else {
        panic!("{error:?}");
    };
    assert_eq!(error.kind(), ErrorKind::Tls);

    let auth = by_code(&emulator, &other.api_url());
    auth.token().await.unwrap();
    let error = auth.api().get(ORGANIZATION).send().await.unwrap_err();
    assert!(matches!(error, RequestError::Http(_)), "{error:?}");
    let counts = other.counts();
    assert_eq!((counts.api_authorized, counts.api_unauthorized), (0, 0));
    assert!(counts.connections > 0);
}

/// Set in the second process.
const CHILD: &str = "BLOOM_AUTH_TEST_CALLED";

/// A host that is not taken for loopback, and from which nothing could leave
/// the machine: no host at all, or this one.
const NOT_LOOPBACK: &str = "0.0.0.0:1";

/// Each variable that names a proxy, and whether that is one for https.
const PROXY_VARIABLES: [(&str, bool); 6] = [
    ("HTTP_PROXY", false),
    ("http_proxy", false),
    ("HTTPS_PROXY", true),
    ("https_proxy", true),
    ("ALL_PROXY", true),
    ("all_proxy", true),
];

#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "the child is told apart by its environment"
)]
async fn n26_api_requests_to_loopback_do_without_the_proxy() {
    const TEST: &str = "settings::called::n26_api_requests_to_loopback_do_without_the_proxy";
    if std::env::var_os(CHILD).is_some() {
        return call_loopback_and_elsewhere().await;
    }
    for (variable, is_for_https) in PROXY_VARIABLES {
        let refusal = "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n";
        let proxy = ScriptedServer::start([Turn::new().send(refusal)]);
        let proxy = proxy.await.unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        for (name, _) in PROXY_VARIABLES {
            command.env_remove(name);
        }
        command
            .args(["--exact", TEST, "--nocapture"])
            .env_remove("NO_PROXY")
            .env_remove("no_proxy")
            .env(CHILD, "1")
            .env(variable, proxy.origin());
        // Elsewhere, as the proxy has to go on.
        let output = tokio::task::spawn_blocking(move || command.output());
        let output = output.await.unwrap().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{variable}: {text}\n{errors}");
        assert!(text.contains("1 passed"), "{text}");

        let seen = proxy.seen();
        let requests = seen.requests.iter();
        let requests: Vec<_> = requests
            .map(|request| String::from_utf8_lossy(request).to_lowercase())
            .collect();
        // The control: API requests to elsewhere do take the proxy.
        assert_eq!(requests.len(), usize::from(is_for_https), "{variable}");
        assert_eq!(seen.connections, requests.len(), "{variable}");
        for request in requests {
            let line = format!("connect {NOT_LOOPBACK} http/1.1\r\n");
            assert!(request.starts_with(&line), "{variable}: {request}");
            // Whatever a proxy is told, the token is not among it.
            assert!(!request.contains("bearer"), "{variable}: {request}");
        }
    }
}

async fn call_loopback_and_elsewhere() {
    let emulator = Emulator::start().await.unwrap();
    let url = emulator.api_url();
    for url in [url.clone(), url.replace("127.0.0.1", "localhost")] {
        let auth = by_code(&emulator, &url);
        let response = auth.api().get(ORGANIZATION).send().await.unwrap();
        assert_eq!(response.status(), 200, "{url}");
    }
    assert_eq!(emulator.counts().api_authorized, 2);
    // Nobody listens there: the failure may be the proxy's or this.
    let auth = by_code(&emulator, &format!("https://{NOT_LOOPBACK}"));
    let error = auth.api().get(ORGANIZATION).send().await.unwrap_err();
    assert!(matches!(error, RequestError::Http(_)), "{error:?}");
}
