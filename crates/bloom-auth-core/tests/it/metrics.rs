//! The numbers that a monitoring system gets, through a recorder that keeps
//! what it is told.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bloom_auth_core::{
    StatusMetrics, TokenProvider, TransportErrorKind,
    test_util::{Reply, ScriptedTransport},
};
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString,
    Unit, with_local_recorder,
};
use tokio::time::advance;

use crate::support::{paused, provider, settle, token_reply};

/// The last value of each number, and the kinds in which it came.
#[derive(Clone, Default)]
struct Numbers(Arc<Mutex<BTreeMap<String, (&'static str, f64)>>>);

/// One of them.
struct Cell(Numbers, String, &'static str);

impl Cell {
    fn put(&self, value: f64) {
        let Self(numbers, name, kind) = self;
        let mut numbers = numbers.0.lock().unwrap();
        numbers.insert(name.clone(), (*kind, value));
    }
}

impl CounterFn for Cell {
    fn increment(&self, _: u64) {
        panic!("counts are absolute");
    }

    fn absolute(&self, value: u64) {
        self.put(u32::try_from(value).unwrap().into());
    }
}

impl GaugeFn for Cell {
    fn increment(&self, _: f64) {
        panic!("gauges are set");
    }

    fn decrement(&self, _: f64) {
        panic!("gauges are set");
    }

    fn set(&self, value: f64) {
        self.put(value);
    }
}

impl Numbers {
    fn cell(&self, key: &Key, kind: &'static str) -> Arc<Cell> {
        let labels = key.labels();
        let labels: Vec<String> = labels
            .map(|label| format!("{}={}", label.key(), label.value()))
            .collect();
        let name = [&[key.name().to_owned()], &labels[..]].concat().join(" ");
        Arc::new(Cell(self.clone(), name, kind))
    }

    fn publish(&self, metrics: &StatusMetrics, provider: &TokenProvider) {
        with_local_recorder(self, || metrics.publish(&provider.status()));
    }

    #[track_caller]
    fn check(&self, expected: &[(&str, f64)]) {
        let numbers = self.0.lock().unwrap();
        for (name, expected) in expected {
            let (_, value) = numbers[&format!("bloom_auth_{name}")];
            assert!((value - expected).abs() < 1e-6, "{name}: {value}");
        }
    }
}

impl Recorder for Numbers {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.cell(key, "counter"))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.cell(key, "gauge"))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        panic!("there are no histograms");
    }
}

/// A provider that gets a token for 100 s, and no other.
fn scripted() -> TokenProvider {
    let fails = Reply::failure(TransportErrorKind::Tls);
    provider(ScriptedTransport::new([token_reply("A", 100), fails]))
}

#[test]
fn the_numbers_follow_the_provider() {
    paused().block_on(async {
        let provider = scripted();
        let (numbers, metrics) = (Numbers::default(), StatusMetrics::new());
        numbers.publish(&metrics, &provider);
        numbers.check(&[
            ("token_usable", 0.0),
            ("token_refresh_timestamp_seconds", 0.0),
            ("token_unusable_timestamp_seconds", 0.0),
            ("fetching", 0.0),
            ("held_back_seconds", 0.0),
            ("fetches_total", 0.0),
        ]);

        provider.token().await.unwrap();
        let status = provider.status();
        numbers.publish(&metrics, &provider);
        let seconds = |time: Option<SystemTime>| {
            let since = time.unwrap().duration_since(UNIX_EPOCH);
            since.unwrap().as_secs_f64()
        };
        numbers.check(&[
            ("token_usable", 1.0),
            (
                "token_refresh_timestamp_seconds",
                seconds(status.refresh_at),
            ),
            (
                "token_unusable_timestamp_seconds",
                seconds(status.unusable_at),
            ),
            ("fetches_total", 1.0),
            ("token_requests_total", 1.0),
            ("tokens_received_total", 1.0),
        ]);
        assert!(status.refresh_at < status.unusable_at);

        // Due: it is served while the refresh is under way, which fails.
        advance(Duration::from_secs(90)).await;
        provider.token().await.unwrap();
        numbers.publish(&metrics, &provider);
        numbers.check(&[
            ("token_usable", 1.0),
            ("fetching", 1.0),
            ("served_due_total", 1.0),
        ]);
        settle().await;
        numbers.publish(&metrics, &provider);
        let held_back = provider.status().held_back_for.unwrap();
        numbers.check(&[
            ("fetching", 0.0),
            ("held_back_seconds", held_back.as_secs_f64()),
            ("fetches_total", 2.0),
            ("failures_total", 1.0),
            ("refusals_total", 0.0),
        ]);
        assert!(held_back > Duration::ZERO);

        advance(Duration::from_secs(10)).await;
        numbers.publish(&metrics, &provider);
        numbers.check(&[("token_usable", 0.0)]);
    });
}

#[test]
fn labels_are_on_every_number_and_are_all_there_is() {
    paused().block_on(async {
        let provider = scripted();
        provider.token().await.unwrap();
        let numbers = Numbers::default();
        let metrics = StatusMetrics::new();
        let metrics = metrics.label("service", "orders").label("region", "eu");
        numbers.publish(&metrics, &provider);
        let numbers = numbers.0.lock().unwrap();
        assert!(!numbers.is_empty());
        for name in numbers.keys() {
            assert!(name.ends_with(" service=orders region=eu"), "{name}");
            assert!(!name.contains("canary"), "{name}");
        }
    });
}

#[test]
fn the_documentation_names_what_is_published() {
    paused().block_on(async {
        let provider = scripted();
        let numbers = Numbers::default();
        numbers.publish(&StatusMetrics::new(), &provider);
        let numbers = numbers.0.lock().unwrap();
        let published: BTreeSet<(&str, &str)> = numbers
            .iter()
            .map(|(name, (kind, _))| (name.as_str(), *kind))
            .collect();

        let source = include_str!("../../src/metrics.rs");
        let documented: BTreeSet<(&str, &str)> = source
            .lines()
            .filter_map(|line| line.strip_prefix("/// | `")?.split_once("` | "))
            .map(|(name, rest)| (name, rest.split(" |").next().unwrap()))
            .collect();
        assert_eq!(published, documented);
    });
}

/// Serving tokens costs nothing more: the recorder hears of
/// [`StatusMetrics::publish`] alone.
#[test]
fn a_call_tells_the_recorder_nothing() {
    let numbers = Numbers::default();
    with_local_recorder(&numbers, || {
        paused().block_on(async {
            let provider = scripted();
            provider.token().await.unwrap();
            provider.token().await.unwrap();
        });
    });
    assert!(numbers.0.lock().unwrap().is_empty());
}
