//! The events of the engine, compared with those that the documentation names.

use std::{path::Path, time::Duration};

use bloom_auth_core::{
    AuthVersion, Bearer, CacheAccess, ClientCredentials, ClientId, ClientSecret, Environment,
    ErrorKind, Origin, TokenProvider, TransportErrorKind,
    protocol::TokenRequest,
    test_util::{
        EventLog, Reply, ScriptedTransport, TokioClock, documented_events, emitted_events,
    },
};
use http::{HeaderMap, HeaderValue, StatusCode, header::WWW_AUTHENTICATE};
use tokio::time::advance;
use tracing::{
    Dispatch, Event, Metadata, Subscriber,
    span::{Attributes, Id, Record},
    subscriber::NoSubscriber,
};

use crate::support::{
    Mood, SECRET, TestCache, builder, credentials, name, paused, provider, settle, token_reply,
};

/// Lets every event happen once.
async fn everything() {
    // A token of the server, rejected; then trouble.
    let fails = Reply::failure(TransportErrorKind::Tls);
    let broken = provider(ScriptedTransport::new([token_reply("A", 100), fails]));
    let token = broken.token().await.unwrap();
    let bearer = Bearer::new(broken.clone());
    let url = "https://sandbox.bloom.dev/".parse().unwrap();
    let attached = bearer.attach(Origin::of(&url), &mut HeaderMap::new()).await;
    let challenge = r#"Bearer error="insufficient_scope", scope="read""#;
    let challenge = HeaderValue::from_static(challenge);
    let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, challenge)]);
    let (attachment, status) = (attached.unwrap().unwrap(), StatusCode::FORBIDDEN);
    let _ = bearer.judge(&attachment, Origin::of(&url), status, &headers);
    broken.reject(&token);
    broken.token().await.unwrap_err();

    // No lifetime, and fewer scopes than were asked for.
    let body = r#"{"access_token":"canary-b","token_type":"Bearer","scope":"read"}"#;
    let vague = ScriptedTransport::new([Reply::answer(StatusCode::OK, body)]);
    let environment = Environment::sandbox(AuthVersion::V2);
    let vague = TokenProvider::builder(environment, credentials(), vague)
        .scopes("read write".parse().unwrap())
        .clock(TokioClock::new());
    vague.build().unwrap().token().await.unwrap();

    // A cache with a token, with one that is over, and one that fails.
    let id = ClientId::new("client").unwrap();
    let known = ClientCredentials::new(id, ClientSecret::new(SECRET).unwrap());
    let request = TokenRequest::new(Environment::sandbox(AuthVersion::V1));
    let access = CacheAccess::new(&request, &known);
    for (age, mood) in [(10, Mood::Works), (200, Mood::Works), (10, Mood::Fails)] {
        let (cache, clock) = (TestCache::default(), TokioClock::new());
        cache.put(&access, "C", 100, &clock, age);
        cache.set_mood(mood);
        let transport = ScriptedTransport::new([token_reply("D", 100)]);
        let cached = builder(credentials(), transport).clock(clock).cache(cache);
        cached.build().unwrap().token().await.unwrap();
        advance(Duration::from_secs(1)).await;
        settle().await;
    }
}

#[test]
fn the_documentation_names_every_event_and_no_other() {
    let log = EventLog::new();
    tracing::subscriber::with_default(log.clone(), || paused().block_on(everything()));
    let documented = documented_events(env!("CARGO_PKG_NAME"));
    assert_eq!(log.seen(), documented);
    // What the run above does not come to would be missed otherwise.
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    assert_eq!(emitted_events(&source).unwrap(), documented.len());
}

/// One that panics at every event of ours.
struct Panics {
    /// As for `EventLog`: tracing is to ask this one, whatever others said.
    _second: Dispatch,
}

impl Subscriber for Panics {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("bloom_auth")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        panic!("a subscriber with a bug, at {:?}", event.metadata().name());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[test]
fn c9_a_subscriber_that_panics_costs_a_call_and_no_token() {
    let panics = Panics {
        _second: Dispatch::new(NoSubscriber::new()),
    };
    tracing::subscriber::with_default(panics, || {
        paused().block_on(async {
            let transport = ScriptedTransport::new([token_reply("A", 100)]);
            let good = provider(transport.clone());
            let error = good.token().await.unwrap_err();
            // And not the end of the process, though it panics again for this error.
            assert_eq!(error.kind(), ErrorKind::Internal);
            assert_eq!(name(&good.token().await.unwrap()), "A");
            assert_eq!(transport.request_count(), 1);
        });
    });
}
