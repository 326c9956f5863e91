//! No secret and no token in anything that is emitted, at any log level of any
//! crate, in any of eight encodings.
//!
//! The work is done in a child process, so that everything it emits can be
//! searched, panic messages included. The child is this test binary.

#[cfg(feature = "private-key-jwt")]
mod keys;
#[cfg(not(feature = "private-key-jwt"))]
mod keys {
    pub(super) fn texts() -> Vec<String> {
        Vec::new()
    }

    pub(super) async fn days() -> Vec<String> {
        Vec::new()
    }
}
mod requests;

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Command, Output},
    thread,
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use bloom_auth::{
    AuthVersion, BloomAuth, ClientAuthentication, ClientCredentials, ClientId, ClientSecret,
    Environment, TokenProvider,
};
use bloom_auth_core::test_util::{Reply, ScriptedTransport};
use bloom_auth_emulator::Emulator;
use tracing_subscriber::{filter::LevelFilter, layer::SubscriberExt as _};

const TEST: &str = "canary::n_no_secret_and_no_token_is_emitted";
const TOKENS_FILE: &str = "BLOOM_AUTH_CANARY_TOKENS";
const PLANT: &str = "BLOOM_AUTH_CANARY_PLANT";

/// What a mutilated echo would still show of the secret.
const PARTS: [&str; 2] = ["c4n4ry", "7f3a9d5e1b"];

const ID: &str = "canary-client";
/// Characters that each encoding has a form of its own for.
const SECRET: &str = "c4n4ry \"s\u{e9}cret\"+/%\\&=:7f3a9d5e1b";

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the child is told apart by its environment"
)]
fn n_no_secret_and_no_token_is_emitted() {
    if let Some(tokens_file) = std::env::var_os(TOKENS_FILE) {
        let tokens = child(std::env::var_os(PLANT).is_some());
        std::fs::write(tokens_file, tokens.join("\n")).unwrap();
        return;
    }
    for plant in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let tokens_file = directory.path().join("tokens");
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", TEST, "--nocapture"])
            .env(TOKENS_FILE, &tokens_file);
        if plant {
            command.env(PLANT, "1");
        }
        let output = command.output().unwrap();
        let emitted = emitted(&output);
        assert!(output.status.success(), "{emitted}");
        // Everybody was listened to.
        for source in [
            "bloom_auth.fetch",
            "bloom_auth.reject",
            "bloom_auth.api",
            "hyper_util",
            "rustls",
            "the script says so",
        ] {
            assert!(emitted.contains(source), "nothing of {source} was captured");
        }
        let tokens = std::fs::read_to_string(&tokens_file).unwrap();
        let tokens: Vec<_> = tokens.lines().collect();
        assert!(tokens.len() >= 5, "{} tokens", tokens.len());
        for part in PARTS {
            assert_eq!(emitted.contains(part), plant, "{part}");
        }
        let keys = keys::texts();
        let keys = keys.iter().map(String::as_str);
        for secret in tokens.iter().copied().chain([SECRET]).chain(keys) {
            for (encoding, needle) in encodings(secret) {
                assert_eq!(emitted.contains(&needle), plant, "{encoding} of {secret}");
            }
        }
    }
}

fn emitted(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("{out}\n{err}")
}

/// A text in the eight forms in which it could get out.
pub(crate) fn encodings(text: &str) -> [(&'static str, String); 8] {
    let percent = |safe: &dyn Fn(u8) -> bool| -> String {
        let encode = |byte: u8| {
            if byte.is_ascii_alphanumeric() || safe(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        };
        text.bytes().map(encode).collect()
    };
    let percent_encoded = percent(&|byte| b"-._~".contains(&byte));
    let form = percent(&|byte| b"-._* ".contains(&byte)).replace(' ', "+");
    let json = serde_json::to_string(text).unwrap();
    [
        ("raw", text.to_owned()),
        ("base64", STANDARD_NO_PAD.encode(text)),
        ("base64url", URL_SAFE_NO_PAD.encode(text)),
        ("percent", percent_encoded.clone()),
        ("form", form),
        (
            "hex",
            text.bytes().map(|byte| format!("{byte:02x}")).collect(),
        ),
        ("json", json.trim_matches('"').to_owned()),
        (
            "basic",
            STANDARD_NO_PAD.encode(format!("{ID}:{percent_encoded}")),
        ),
    ]
}

/// Does everything that could leak, with every log on, and returns the tokens.
fn child(plant: bool) -> Vec<String> {
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(std::io::stderr);
    let subscriber = tracing_subscriber::registry()
        .with(LevelFilter::TRACE)
        .with(layer);
    tracing::subscriber::set_global_default(subscriber).unwrap();
    log::set_logger(&Log).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let tokens = runtime.block_on(async {
        let mut tokens = good_days().await;
        bad_days().await;
        tokens.extend(requests::days().await);
        tokens.extend(keys::days().await);
        tokens
    });
    if plant {
        let keys = keys::texts();
        let secrets = tokens.iter().chain(&keys).map(String::as_str);
        for secret in secrets.chain([SECRET]) {
            for (encoding, text) in encodings(secret) {
                tracing::trace!("{encoding}: {text}");
            }
        }
    }
    tokens
}

/// Tokens are fetched, used, rejected and refreshed.
async fn good_days() -> Vec<String> {
    let mut tokens = Vec::new();
    let emulator = Emulator::builder()
        .client(ID, SECRET)
        .start()
        .await
        .unwrap();
    let ca = emulator.ca_pem().unwrap();
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([reqwest::Certificate::from_pem(ca.as_bytes()).unwrap()])
        .build()
        .unwrap();
    for (version, authentication) in [
        (AuthVersion::V1, ClientAuthentication::Post),
        (AuthVersion::V1, ClientAuthentication::Basic),
        (AuthVersion::V2, ClientAuthentication::Post),
        (AuthVersion::V2, ClientAuthentication::Basic),
    ] {
        let (url, scope) = match version {
            AuthVersion::V2 => (emulator.v2_token_url(), "data-access:all"),
            _ => (emulator.v1_token_url(), ""),
        };
        let environment = Environment::custom(url, emulator.api_url())
            .audience(emulator.audience())
            .auth_version(version)
            .build()
            .unwrap();
        let builder = BloomAuth::builder()
            .environment(environment)
            .credentials(credentials())
            .scopes(scope.parse().unwrap())
            .client_authentication(authentication)
            .root_certificate(ca);
        eprintln!("{builder:?} {builder:#?}");
        let auth = builder.build().unwrap();
        let token = auth.token().await.unwrap();
        let header = auth.authorization().await.unwrap();
        eprintln!("{token:?} {token:#?} {header:?} {:?}", token.hash());
        let url = format!("{}/v2/core/organization", emulator.origin());
        let call = || {
            client
                .get(&url)
                .header("authorization", token.authorization())
                .send()
        };
        assert!(call().await.unwrap().status().is_success());
        emulator.revoke(token.expose());
        assert_eq!(call().await.unwrap().status(), 401);
        eprintln!("{:?}", auth.reject(&token));
        let next = auth.token().await.unwrap();
        let last = auth.provider().refresh().await.unwrap();
        eprintln!("{auth:?} {auth:#?} {:?} {next:?} {last:?}", auth.status());
        tokens.extend([token, next, last].map(|token| token.expose().to_owned()));
    }
    tokens
}

/// The server refuses, and repeats what it was sent wherever it can; the
/// transport panics with the request in its hands.
async fn bad_days() {
    let server = Echo::start();
    for path in Echo::paths() {
        for authentication in [ClientAuthentication::Post, ClientAuthentication::Basic] {
            let environment = Environment::custom(server.url(path), "https://api.test")
                .allow_insecure_loopback()
                .build()
                .unwrap();
            let auth = BloomAuth::builder()
                .environment(environment)
                .credentials(credentials())
                .client_authentication(authentication)
                .build()
                .unwrap();
            for _ in 0..2 {
                match auth.token().await {
                    // An echo without a space in it could be a token.
                    Ok(token) => eprintln!("{token:?}"),
                    Err(error) => report(&error),
                }
            }
            eprintln!("{:?}", auth.status());
        }
    }
    let environment = Environment::sandbox(AuthVersion::V1);
    let transport = ScriptedTransport::new([Reply::panic()]);
    let provider = TokenProvider::builder(environment, credentials(), transport)
        .build()
        .unwrap();
    report(&provider.token().await.unwrap_err());
}

fn report(error: &bloom_auth::Error) {
    print_chain(error);
}

fn print_chain(error: &dyn std::error::Error) {
    eprintln!("{error} {error:?} {error:#?}");
    let mut source = error.source();
    while let Some(error) = source {
        eprintln!("{error} {error:?} {error:#?}");
        source = error.source();
    }
}

fn credentials() -> ClientCredentials {
    let id = ClientId::new(ID).unwrap();
    let credentials = ClientCredentials::new(id, ClientSecret::new(SECRET).unwrap());
    eprintln!("{credentials:?} {credentials:#?} {:?}", credentials.tag());
    credentials
}

/// What the echo gives beside scopes; in no text by chance.
const TOKEN: &str = "t0ken-of-the-echo-3b9c";

/// A token endpoint that answers with what it was sent.
struct Echo {
    port: u16,
}

impl Echo {
    const KINDS: usize = 7;
    /// The form that is what was sent, and nothing else.
    #[cfg_attr(
        not(feature = "private-key-jwt"),
        expect(dead_code, reason = "for keys")
    )]
    const BODY: usize = 9;

    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming() {
                Self::answer(&stream.unwrap());
            }
        });
        Self { port }
    }

    /// For each kind of answer, each form of the secret in it, and all of them.
    fn paths() -> impl Iterator<Item = (usize, usize)> {
        (0..Self::KINDS).flat_map(|kind| (0..=8).map(move |form| (kind, form)))
    }

    fn url(&self, (kind, form): (usize, usize)) -> String {
        format!("http://127.0.0.1:{}/{kind}{form}", self.port)
    }

    fn answer(mut stream: &TcpStream) {
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            reader.read_line(&mut head).unwrap();
        }
        let head = head.to_lowercase();
        let length = head.split("content-length: ").nth(1).unwrap();
        let length = length.split("\r\n").next().unwrap().parse().unwrap();
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let body = String::from_utf8(body).unwrap();
        let mut path = head.chars().filter(char::is_ascii_digit);
        let (kind, form) = (path.next().unwrap(), path.next().unwrap());
        let echoes = encodings(SECRET).map(|(_, echo)| echo);
        let echo = match echoes.get(form as usize - '0' as usize) {
            Some(echo) => echo.clone(),
            None if form == '9' => body.clone(),
            None => format!("{} {body}", echoes.join(" ")),
        };
        let text = serde_json::to_string(&echo).unwrap();
        let (status, header, body) = match kind {
            '0' => (
                401,
                "",
                format!(r#"{{"error":"invalid_client","error_description":{text}}}"#),
            ),
            '1' => (
                400,
                "",
                format!(r#"{{"error":{text},"error_hint":{text}}}"#),
            ),
            '2' => (
                200,
                "Content-Type: text/html\r\n",
                format!("<h1>{body}</h1>{text}"),
            ),
            '3' => (307, "LOCATION", body),
            '4' => (
                200,
                "",
                format!(r#"{{"access_token":{text},"token_type":"Bearer"}}"#),
            ),
            '5' => (
                200,
                "",
                format!(r#"{{"access_token":"x","token_type":{text}}}"#),
            ),
            _ => (
                200,
                "",
                format!(r#"{{"access_token":"{TOKEN}","token_type":"Bearer","scope":{text}}}"#),
            ),
        };
        let header = header.replace("LOCATION", &format!("Location: /?{body}\r\n"));
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status} X\r\n{header}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        stream.write_all(answer.as_bytes()).unwrap();
    }
}

/// Writes what crates log through `log`.
struct Log;

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        eprintln!("{} {}", record.target(), record.args());
    }

    fn flush(&self) {}
}
