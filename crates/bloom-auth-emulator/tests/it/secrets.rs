//! Secrets: random at every start, shown nowhere.

use std::{
    io,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bloom_auth_emulator::Emulator;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{
    CONSUMERS, ORGANIZATION, Request, V1, V2, encode, form_with, good_form, plain, token,
    token_request,
};

#[tokio::test]
async fn s12_credentials_are_random_at_every_start() {
    let (one, other) = (plain().await, plain().await);
    assert_ne!(one.client_id(), other.client_id());
    assert_ne!(one.client_secret(), other.client_secret());
    for emulator in [&one, &other] {
        let (id, secret) = (emulator.client_id(), emulator.client_secret());
        assert_eq!(id.len(), 32);
        assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
        assert_eq!(secret.len(), 64);
        let url_safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        assert!(secret.bytes().all(url_safe), "{secret}");
    }
    // The credentials of one are nothing to the other.
    let reply = token_request(&one, V1).send(&other).await;
    // (The request named the host it was sent to, so it is the client that is refused.)
    assert_eq!(reply.refusal(), (401, "access_denied".to_owned()));
    assert_ne!(one.rotate_secret(), one.rotate_secret());
}

#[tokio::test]
async fn s12_debug_shows_no_secret() {
    let builder = Emulator::builder()
        .plain_http()
        .client("the-id", "the-hidden-secret");
    let mut shown = format!("{builder:?} {builder:#?}");
    let emulator = builder.start().await.unwrap();
    shown.push_str(&format!("{emulator:?} {emulator:#?}"));
    let rotated = emulator.rotate_secret();
    shown.push_str(&format!("{emulator:?} {emulator:#?}"));
    assert!(
        shown.contains("the-id") && shown.contains(emulator.origin()),
        "{shown}"
    );
    assert!(
        !shown.contains("hidden") && !shown.contains(&rotated),
        "{shown}"
    );
    // The search finds a secret where there is one.
    assert!(format!("{shown}{}", emulator.client_secret()).contains(&rotated));
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn s12_nothing_secret_is_logged_at_any_level() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .with_ansi(false)
        .finish();
    // While there is but one subscriber, tracing asks the thread that reaches an
    // event first, which may be another test's, and takes its answer for all.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let _guard = tracing::subscriber::set_default(subscriber);

    for builder in [Emulator::builder(), Emulator::builder().plain_http()] {
        let emulator = builder.start().await.unwrap();
        let first_secret = emulator.client_secret();
        let mut secrets = vec![first_secret.clone()];
        for path in [V1, V2] {
            let token = token(&emulator, path).await;
            Request::get(ORGANIZATION)
                .bearer(&token)
                .send(&emulator)
                .await;
            // Astray: in the query, the path, the method, the wrong header.
            let query = format!("{CONSUMERS}?access_token={token}");
            Request::get(&query).send(&emulator).await;
            let query = format!("{path}?{}", encode(&good_form(&emulator)));
            Request::post(&query, "").send(&emulator).await;
            Request::get(&format!("/{first_secret}"))
                .send(&emulator)
                .await;
            Request::new(&first_secret, CONSUMERS).send(&emulator).await;
            Request::post(path, "")
                .bearer(&first_secret)
                .send(&emulator)
                .await;
            let audience = form_with(&emulator, "audience", Some(&first_secret));
            Request::post(path, audience).send(&emulator).await;
            let basic = STANDARD.encode(format!("{}:{first_secret}", emulator.client_id()));
            let header = format!("Basic {basic}");
            let request = Request::post(path, "grant_type=x").header("Authorization", &header);
            request.send(&emulator).await;
            secrets.extend([token, basic]);
        }
        secrets.push(emulator.rotate_secret());
        token_request(&emulator, V1).send(&emulator).await;
        emulator.shutdown().await;

        let text = log.text();
        for secret in secrets {
            assert!(!text.contains(&secret), "{text}");
            // Nor half of it.
            assert!(!text.contains(&secret[..secret.len() / 2]), "{text}");
        }
    }
    // There was something to find.
    let text = log.text();
    for expected in [
        "DEBUG bloom_auth_emulator: ",
        "method=\"POST\" path=\"/oauth/token\" status=200",
        "method=\"POST\" path=\"/oauth2/token\" status=401",
        "method=\"GET\" path=\"/v2/core/organization\" status=200",
        "method=\"GET\" path=\"(unknown)\" status=404",
        "method=\"(other)\" path=\"/v2/core/consumers\" status=405",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}
