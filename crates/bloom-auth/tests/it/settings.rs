//! The facade as it is set up from the environment: each variable does what
//! it says, and nothing happens until a token is asked for.

mod cached;
mod called;
#[cfg(feature = "rustls")]
mod client_certificate;
mod emulated;
#[cfg(feature = "private-key-jwt")]
mod keyed;
mod wrong;
mod wrong_files;

use std::{
    collections::HashMap,
    ffi::OsString,
    path::Path,
    sync::{Arc, Mutex},
};

use bloom_auth::{
    AuthVersion, BloomAuth, ClientId, ClientSecret, ConfigurationError, Environment, TokenState,
};
use bloom_auth_core::test_util::{ScriptedServer, Turn};

const ID: &str = "the-client";
const SECRET: &str = "canary-of-the-secret";

/// Variables and their values.
type Pairs<'a> = &'a [(&'a str, &'a str)];

/// Variables as an environment would hold them. Clones are the same ones.
#[derive(Clone, Debug, Default)]
struct Variables(Arc<Mutex<HashMap<String, OsString>>>);

impl Variables {
    fn new<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let variables = Self::default();
        for (name, value) in pairs {
            variables.set(name, value);
        }
        variables
    }

    /// A client id and a secret, and no more.
    fn minimal() -> Self {
        Self::new([("BLOOM_CLIENT_ID", ID), ("BLOOM_CLIENT_SECRET", SECRET)])
    }

    fn set(&self, name: &str, value: impl Into<OsString>) {
        self.0.lock().unwrap().insert(name.to_owned(), value.into());
    }

    fn unset(&self, name: &str) {
        self.0.lock().unwrap().remove(name);
    }

    fn build(&self) -> Result<BloomAuth, ConfigurationError> {
        let Self(variables) = self.clone();
        BloomAuth::from_lookup(move |name| variables.lock().unwrap().get(name).cloned())
    }
}

/// A server that gives a token to everyone.
async fn token_server() -> ScriptedServer {
    let body = r#"{"access_token":"t","expires_in":3600,"token_type":"Bearer"}"#;
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    ScriptedServer::start([Turn::new().send(answer)])
        .await
        .unwrap()
}

/// The request line, the `authorization` header, and the body.
fn parts(request: &[u8]) -> (String, Option<String>, String) {
    let text = String::from_utf8(request.to_vec()).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let line = lines.next().unwrap().to_owned();
    let authorization = lines.find_map(|line| line.strip_prefix("authorization: "));
    (line, authorization.map(str::to_owned), body.to_owned())
}

#[test]
fn a_client_id_and_a_secret_are_all_that_is_needed() {
    let auth = Variables::minimal().build().unwrap();
    assert_eq!(*auth.environment(), Environment::sandbox(AuthVersion::V1));
    assert_eq!(auth.status().token, TokenState::Absent);
}

#[test]
fn the_environment_follows_its_variables() {
    use AuthVersion::{V1, V2};
    let custom = |token_url: &str, api_url: &str, audience: &str| {
        let builder = Environment::custom(token_url, api_url).audience(audience);
        builder.allow_insecure_loopback().build().unwrap()
    };
    let (sandbox_token, sandbox_api) = (
        "https://auth.bloom.dev/oauth/token",
        "https://sandbox.bloom.dev/",
    );
    let rows: [(Pairs, Environment); 11] = [
        (
            &[("BLOOM_ENVIRONMENT", "sandbox")],
            Environment::sandbox(V1),
        ),
        (
            &[("BLOOM_ENVIRONMENT", "production")],
            Environment::production(V1),
        ),
        (&[("BLOOM_AUTH_VERSION", "v1")], Environment::sandbox(V1)),
        (
            &[
                ("BLOOM_AUTH_VERSION", "v2"),
                ("BLOOM_SCOPE", "data-access:all"),
            ],
            Environment::sandbox(V2),
        ),
        (
            &[
                ("BLOOM_ENVIRONMENT", "production"),
                ("BLOOM_AUTH_VERSION", "v2"),
                ("BLOOM_SCOPE", "data-access:all"),
            ],
            Environment::production(V2),
        ),
        (
            &[("BLOOM_TOKEN_URL", "https://a.test/token?x=y")],
            custom("https://a.test/token?x=y", sandbox_api, "dev-api"),
        ),
        (
            &[("BLOOM_API_URL", "https://b.test/api")],
            custom(sandbox_token, "https://b.test/api", "dev-api"),
        ),
        (
            &[("BLOOM_AUDIENCE", "my api")],
            custom(sandbox_token, sandbox_api, "my api"),
        ),
        (
            &[
                ("BLOOM_ALLOW_INSECURE_LOOPBACK", "true"),
                ("BLOOM_TOKEN_URL", "http://127.0.0.1:1/t"),
                ("BLOOM_API_URL", "http://[::1]:2/"),
            ],
            custom("http://127.0.0.1:1/t", "http://[::1]:2/", "dev-api"),
        ),
        (
            &[
                ("BLOOM_ALLOW_INSECURE_LOOPBACK", "1"),
                ("BLOOM_API_URL", "http://localhost/"),
            ],
            custom(sandbox_token, "http://localhost/", "dev-api"),
        ),
        (
            &[("BLOOM_ALLOW_INSECURE_LOOPBACK", "false")],
            Environment::sandbox(V1),
        ),
    ];
    for (pairs, environment) in rows {
        let variables = Variables::minimal();
        for (name, value) in pairs {
            variables.set(name, value);
        }
        assert_eq!(
            *variables.build().unwrap().environment(),
            environment,
            "{pairs:?}"
        );
    }
}

#[tokio::test]
async fn the_token_request_follows_its_variables() {
    let server = token_server().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    std::fs::write(&file, "secret-of-a-file\n").unwrap();
    let file = file.to_str().unwrap();

    const POST: &str = "grant_type=client_credentials&client_id=the-client\
                        &client_secret=canary-of-the-secret";
    let with = |rest: &str| format!("{POST}{rest}");
    let basic = |pair: &str| {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        Some(format!("Basic {}", STANDARD.encode(pair)))
    };
    let rows: [(Pairs, Option<String>, String); 7] = [
        (&[], None, with("&audience=dev-api")),
        (
            &[("BLOOM_CLIENT_AUTH", "post")],
            None,
            with("&audience=dev-api"),
        ),
        (
            &[("BLOOM_CLIENT_AUTH", "basic")],
            basic("the-client:canary-of-the-secret"),
            "grant_type=client_credentials&audience=dev-api".to_owned(),
        ),
        (
            &[("BLOOM_AUDIENCE", "my api")],
            None,
            with("&audience=my%20api"),
        ),
        (
            &[
                ("BLOOM_AUTH_VERSION", "v2"),
                (
                    "BLOOM_SCOPE",
                    "furnishment:all  data-access:all furnishment:all",
                ),
            ],
            None,
            with("&audience=dev-api&scope=data-access%3Aall%20furnishment%3Aall"),
        ),
        (
            &[
                ("BLOOM_CLIENT_ID", "c&=+\u{e9}"),
                ("BLOOM_CLIENT_SECRET", " s\"e%c "),
            ],
            None,
            "grant_type=client_credentials&client_id=c%26%3D%2B%C3%A9\
             &client_secret=%20s%22e%25c%20&audience=dev-api"
                .to_owned(),
        ),
        (
            &[
                ("BLOOM_CLIENT_SECRET", ""),
                ("BLOOM_CLIENT_SECRET_FILE", file),
            ],
            None,
            "grant_type=client_credentials&client_id=the-client\
             &client_secret=secret-of-a-file&audience=dev-api"
                .to_owned(),
        ),
    ];
    for (n, (pairs, authorization, body)) in rows.into_iter().enumerate() {
        let variables = Variables::minimal();
        variables.set(
            "BLOOM_TOKEN_URL",
            format!("{}/some/token?x=y", server.origin()),
        );
        variables.set("BLOOM_ALLOW_INSECURE_LOOPBACK", "true");
        for (name, value) in pairs {
            match *value {
                "" => variables.unset(name),
                value => variables.set(name, value),
            }
        }
        let auth = variables.build().unwrap();
        assert_eq!(auth.authorization().await.unwrap(), "Bearer t", "{pairs:?}");
        let requests = server.seen().requests;
        assert_eq!(requests.len(), n + 1);
        let line = "POST /some/token?x=y HTTP/1.1".to_owned();
        assert_eq!(
            parts(&requests[n]),
            (line, authorization, body),
            "{pairs:?}"
        );
    }
}

#[tokio::test]
async fn k7_variables_that_change_are_read_again() {
    let server = token_server().await;
    let variables = Variables::minimal();
    variables.set("BLOOM_TOKEN_URL", format!("{}/token", server.origin()));
    variables.set("BLOOM_ALLOW_INSECURE_LOOPBACK", "true");
    let auth = variables.build().unwrap();
    auth.token().await.unwrap();
    variables.set("BLOOM_CLIENT_SECRET", "rotated");
    // The token that there is serves on.
    auth.token().await.unwrap();
    assert_eq!(server.seen().requests.len(), 1);
    auth.provider().refresh().await.unwrap();
    let requests = server.seen().requests;
    assert!(
        parts(&requests[0])
            .2
            .contains("&client_secret=canary-of-the-secret&")
    );
    assert!(parts(&requests[1]).2.contains("&client_secret=rotated&"));
}

#[tokio::test]
async fn a_user_agent_of_ones_own_is_sent() {
    let default = format!("bloom-auth/{}", env!("CARGO_PKG_VERSION"));
    for (user_agent, expected) in [(None, default.as_str()), (Some("a/1"), "a/1")] {
        let server = token_server().await;
        let environment = Environment::custom(server.origin(), server.origin());
        let mut builder = BloomAuth::builder()
            .environment(environment.allow_insecure_loopback().build().unwrap())
            .client(
                ClientId::new(ID).unwrap(),
                ClientSecret::new(SECRET).unwrap(),
            );
        if let Some(user_agent) = user_agent {
            builder = builder.user_agent(user_agent);
        }
        builder.build().unwrap().token().await.unwrap();
        let request = String::from_utf8(server.seen().requests[0].to_vec()).unwrap();
        let header = format!("\r\nuser-agent: {expected}\r\n");
        assert!(request.contains(&header), "{request}");
    }
    let builder = BloomAuth::builder().user_agent("two\nlines");
    let credentials = (
        ClientId::new(ID).unwrap(),
        ClientSecret::new(SECRET).unwrap(),
    );
    let error = builder.client(credentials.0, credentials.1).build();
    assert_eq!(error.unwrap_err().setting(), "user agent");
}

#[test]
fn debug_shows_settings_and_no_secret() {
    let auth = Variables::minimal().build().unwrap();
    let shown = format!("{auth:?} {auth:#?}");
    assert!(shown.contains("auth.bloom.dev"), "{shown}");
    // The control: the secret is found where it is shown.
    assert!(format!("{:?}", Variables::minimal()).contains(SECRET));
    assert!(!shown.contains(SECRET), "{shown}");
}

#[tokio::test]
async fn building_it_contacts_nobody_and_spawns_nothing() {
    let server = token_server().await;
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let before = tasks();
    let variables = Variables::minimal();
    variables.set("BLOOM_TOKEN_URL", format!("{}/token", server.origin()));
    variables.set("BLOOM_ALLOW_INSECURE_LOOPBACK", "true");
    let auth = variables.build().unwrap();
    tokio::task::yield_now().await;
    assert_eq!((tasks(), server.seen().connections), (before, 0));
    // The control: a fetch is one task and one connection.
    assert!(auth.try_authorization().is_none());
    assert_eq!(tasks(), before + 1);
    auth.token().await.unwrap();
    assert_eq!(server.seen().connections, 1);
}

#[test]
fn it_is_built_without_a_runtime() {
    assert!(tokio::runtime::Handle::try_current().is_err());
    let auth = Variables::minimal().build().unwrap();
    assert!(auth.try_authorization().is_none());
    assert_eq!(auth.status().counts.fetches, 0);
}

fn text_of(path: &Path) -> &str {
    path.to_str().unwrap()
}
