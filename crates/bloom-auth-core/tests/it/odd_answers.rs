//! What the engine says about answers that it takes though they are odd.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use bloom_auth_core::{
    AuthVersion, Environment, TokenProvider,
    test_util::{Reply, ScriptedTransport, TokioClock},
};
use http::{StatusCode, header::CONTENT_TYPE};
use tracing::{
    Dispatch, Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
    subscriber::{DefaultGuard, NoSubscriber},
};

use crate::support::{Draw, credentials, paused};

/// The events of this thread, until it is dropped.
struct Events {
    lines: Lines,
    _guard: DefaultGuard,
    _second: Dispatch,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Events {
    fn capture() -> Self {
        let lines = Lines::default();
        // While there is but one subscriber, tracing asks the thread that
        // reaches an event first, which may be another test's, and takes its
        // answer for all.
        let second = Dispatch::new(NoSubscriber::new());
        Self {
            _guard: tracing::subscriber::set_default(lines.clone()),
            _second: second,
            lines,
        }
    }

    /// Those since the last call that are warnings or hold these words.
    fn take(&self, words: &str) -> Vec<String> {
        let mut lines = std::mem::take(&mut *self.lines.0.lock().unwrap());
        lines.retain(|line| line.starts_with("WARN") || line.contains(words));
        lines
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("bloom_auth.")
    }

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let mut line = Line(format!("{} {}", metadata.level(), metadata.target()));
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0 += &match field.name() {
            "message" => format!(": {value:?}"),
            name => format!(" {name}={value:?}"),
        };
    }
}

fn reply(fields: &str) -> Reply {
    let body = format!(r#"{{"access_token":"canary","token_type":"bearer"{fields}}}"#);
    Reply::answer(StatusCode::OK, body).with_header(CONTENT_TYPE, "application/json")
}

#[test]
fn p19_an_assumed_lifetime_is_said() {
    let events = Events::capture();
    paused().block_on(async {
        for (fields, assumed) in [
            ("", true),
            (r#","expires_in":null"#, true),
            (r#","expires_in":{"seconds":100}"#, true),
            (r#","expires_in":"soon""#, true),
            (r#","expires_in":"100""#, false),
            (r#","expires_in":100"#, false),
        ] {
            let transport = ScriptedTransport::new([reply(fields)]);
            let provider = crate::support::provider(transport);
            provider.token().await.unwrap();
            let said = events.take("no lifetime");
            let expected = if assumed {
                vec![
                    "WARN bloom_auth.fetch: the token response names no lifetime: assuming a \
                     short one lifetime=300",
                ]
            } else {
                vec![]
            };
            assert_eq!(said, expected, "{fields}");
        }
    });
}

#[test]
fn p32_json_of_another_content_type_is_said() {
    let events = Events::capture();
    paused().block_on(async {
        for (header, said) in [
            (Some("application/json"), None),
            (Some("Application/JSON; charset=utf-8"), None),
            (Some("text/plain; charset=utf-8"), Some("text/plain")),
            (Some("\"canary\""), Some("unknown type")),
            (None, Some("unknown type")),
        ] {
            let mut reply = Reply::token("canary", 100);
            if let Some(header) = header {
                reply = reply.with_header(CONTENT_TYPE, header);
            }
            let provider = crate::support::provider(ScriptedTransport::new([reply]));
            provider.token().await.unwrap();
            let expected = said.map(|name| {
                format!(
                    "DEBUG bloom_auth.fetch: the token response is JSON under another content \
                     type: taking it content_type={name:?}"
                )
            });
            assert_eq!(events.take("content type"), Vec::from_iter(expected));
        }
    });
}

#[test]
fn p34_fewer_scopes_than_asked_for_are_shown_and_said() {
    let events = Events::capture();
    paused().block_on(async {
        for (granted, missing) in [
            (Some("a:all"), Some("b:all c:all")),
            (Some("d:all b:all"), Some("a:all c:all")),
            (Some(""), Some("a:all b:all c:all")),
            (Some("c:all b:all a:all d:all"), None),
            // Who names none grants what was asked for (RFC 6749, section 5.1).
            (None, None),
        ] {
            let fields = match granted {
                Some(scope) => format!(r#","expires_in":100,"scope":"{scope}""#),
                None => r#","expires_in":100"#.to_owned(),
            };
            let provider = TokenProvider::builder(
                Environment::sandbox(AuthVersion::V2),
                credentials(),
                ScriptedTransport::new([reply(&fields)]),
            )
            .scopes("a:all b:all c:all".parse().unwrap())
            .clock(TokioClock::new())
            .entropy(Draw::default())
            .build()
            .unwrap();
            let token = provider.token().await.unwrap();
            let scopes = token.scopes().map(ToString::to_string);
            let sorted = granted.map(|scope| {
                let mut scopes: Vec<_> = scope.split(' ').collect();
                scopes.sort_unstable();
                scopes.join(" ")
            });
            assert_eq!(scopes, sorted);
            let expected = missing.map(|missing| {
                format!(
                    "WARN bloom_auth.fetch: the authorization server granted less than was asked \
                     for missing={missing}"
                )
            });
            assert_eq!(events.take("granted"), Vec::from_iter(expected));
        }
    });
}
