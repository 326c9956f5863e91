//! What a provider says of itself, as numbers for the `metrics` crate.

use std::time::SystemTime;

use ::metrics::{Label, SharedString, counter, gauge};

use crate::provider::{Counts, Status, TokenState};

/// Publishes the [`Status`] of a provider through the [`metrics`](::metrics)
/// crate, to whichever recorder the program has installed.
///
/// Call [`publish`](Self::publish) when the numbers are wanted: in the handler
/// that a monitoring system scrapes, or every few seconds. Nothing runs between
/// the calls, and serving a token costs no more than it did.
///
/// The names are stable. Counters count from when the provider was built; a
/// gauge shows how things stand at the call.
///
/// | name | kind | what |
/// |---|---|---|
/// | `bloom_auth_fetches_total` | counter | fetches that were started |
/// | `bloom_auth_token_requests_total` | counter | token requests sent, retries included |
/// | `bloom_auth_retries_total` | counter | token requests that were repeated |
/// | `bloom_auth_tokens_received_total` | counter | tokens that the server gave and that could be used |
/// | `bloom_auth_refusals_total` | counter | fetches that the server refused |
/// | `bloom_auth_failures_total` | counter | fetches that failed, refusals included |
/// | `bloom_auth_cache_hits_total` | counter | tokens that came from the cache |
/// | `bloom_auth_cache_errors_total` | counter | calls of the cache that failed or took too long |
/// | `bloom_auth_served_due_total` | counter | times that a due token was served |
/// | `bloom_auth_rejections_total` | counter | current tokens that the API rejected |
/// | `bloom_auth_token_usable` | gauge | 1 if there is a token to serve, else 0 |
/// | `bloom_auth_token_refresh_timestamp_seconds` | gauge | when the token is refreshed, in seconds since 1970; 0 without one |
/// | `bloom_auth_token_unusable_timestamp_seconds` | gauge | when the token is served no more, in seconds since 1970; 0 without one |
/// | `bloom_auth_fetching` | gauge | 1 if a fetch is under way, else 0 |
/// | `bloom_auth_held_back_seconds` | gauge | how long the server will not be asked, after a failure; else 0 |
///
/// Times are timestamps rather than ages, so that a number that was scraped
/// late is not wrong. An alert may be
/// `bloom_auth_token_unusable_timestamp_seconds - time() < 60`.
///
/// # Labels
///
/// Where a program has several providers, give each a label to tell them
/// apart. Who can read the numbers can read the labels: let them hold neither
/// client ids nor secrets, and few different values.
///
/// # Examples
///
/// ```
/// use bloom_auth_core::{StatusMetrics, TokenProvider};
///
/// /// Keep one for as long as the provider.
/// fn metrics() -> StatusMetrics {
///     StatusMetrics::new().label("service", "orders")
/// }
///
/// fn scrape(provider: &TokenProvider, metrics: &StatusMetrics) {
///     metrics.publish(&provider.status());
///     // … then render what the recorder holds.
/// }
/// ```
#[derive(Clone, Debug, Default)]
pub struct StatusMetrics {
    labels: Vec<Label>,
}

impl StatusMetrics {
    /// Without labels.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more label on every number.
    #[must_use]
    pub fn label(mut self, name: impl Into<SharedString>, value: impl Into<SharedString>) -> Self {
        self.labels.push(Label::new(name.into(), value.into()));
        self
    }

    /// Sets every number to what `status` says.
    ///
    /// Counters never go back: publishing an older status, or that of another
    /// provider under the same labels, leaves the higher count.
    pub fn publish(&self, status: &Status) {
        self.counts(&status.counts);
        let is_usable = matches!(status.token, TokenState::Fresh | TokenState::Due);
        self.gauge("bloom_auth_token_usable", flag(is_usable));
        self.gauge(
            "bloom_auth_token_refresh_timestamp_seconds",
            timestamp(status.refresh_at),
        );
        self.gauge(
            "bloom_auth_token_unusable_timestamp_seconds",
            timestamp(status.unusable_at),
        );
        self.gauge("bloom_auth_fetching", flag(status.is_fetching));
        self.gauge(
            "bloom_auth_held_back_seconds",
            status.held_back_for.unwrap_or_default().as_secs_f64(),
        );
    }

    fn counts(&self, counts: &Counts) {
        // Whole, so that no count can be forgotten here.
        let Counts {
            fetches,
            token_requests,
            retries,
            tokens_received,
            refusals,
            failures,
            cache_hits,
            cache_errors,
            served_due,
            rejections,
        } = *counts;
        for (name, count) in [
            ("bloom_auth_fetches_total", fetches),
            ("bloom_auth_token_requests_total", token_requests),
            ("bloom_auth_retries_total", retries),
            ("bloom_auth_tokens_received_total", tokens_received),
            ("bloom_auth_refusals_total", refusals),
            ("bloom_auth_failures_total", failures),
            ("bloom_auth_cache_hits_total", cache_hits),
            ("bloom_auth_cache_errors_total", cache_errors),
            ("bloom_auth_served_due_total", served_due),
            ("bloom_auth_rejections_total", rejections),
        ] {
            counter!(name, self.labels.clone()).absolute(count);
        }
    }

    fn gauge(&self, name: &'static str, value: f64) {
        gauge!(name, self.labels.clone()).set(value);
    }
}

fn flag(is_so: bool) -> f64 {
    if is_so { 1.0 } else { 0.0 }
}

/// Seconds since 1970; 0 for none, and for what was before.
fn timestamp(time: Option<SystemTime>) -> f64 {
    let since = time.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    since.map_or(0.0, |since| since.as_secs_f64())
}
