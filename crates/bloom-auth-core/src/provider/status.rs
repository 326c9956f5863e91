//! What the provider says of itself to health endpoints and operators.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use crate::{error::Error, token::Fingerprint};

/// A snapshot of a provider, free of secrets.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// Whether there is a usable token.
    pub token: TokenState,
    /// The short name of the token that is held.
    pub fingerprint: Option<Fingerprint>,
    /// When the held token is refreshed, if it is asked for then.
    pub refresh_at: Option<SystemTime>,
    /// When the held token is served no more, a little before it expires.
    pub unusable_at: Option<SystemTime>,
    /// Whether a fetch is under way.
    pub is_fetching: bool,
    /// How long the server will not be asked, after a failure or a refusal,
    /// unless refused credentials change.
    pub held_back_for: Option<Duration>,
    /// What the last fetch failed with, if no fetch has succeeded since.
    pub last_error: Option<Error>,
    /// What has happened since the provider was built.
    pub counts: Counts,
}

/// Whether a token can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenState {
    /// There has been none, or it was rejected.
    Absent,
    /// It is served.
    Fresh,
    /// It is served, and the next one is fetched when it is asked for.
    Due,
    /// It is not served any more.
    Expired,
}

/// Counts since a provider was built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Fetches that were started: whether they asked the server, found a token
    /// in the cache, or found refused credentials unchanged.
    pub fetches: u64,
    /// Token requests that were sent to the server, retries included.
    pub token_requests: u64,
    /// Token requests that were repeated because a fault may have passed.
    pub retries: u64,
    /// Tokens that the server gave and that could be used.
    pub tokens_received: u64,
    /// Fetches that the server refused for the client or the request.
    pub refusals: u64,
    /// Fetches that failed, refusals included.
    pub failures: u64,
    /// Tokens that came from the cache.
    pub cache_hits: u64,
    /// Calls of the cache that failed or took too long.
    pub cache_errors: u64,
    /// Times that a due token was served.
    pub served_due: u64,
    /// Current tokens that were dropped because the API rejected them.
    pub rejections: u64,
}

/// [`Counts`] as they are counted. Nothing on the path of a fresh token
/// touches them.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) fetches: Counter,
    pub(crate) token_requests: Counter,
    pub(crate) retries: Counter,
    pub(crate) tokens_received: Counter,
    pub(crate) refusals: Counter,
    pub(crate) failures: Counter,
    pub(crate) cache_hits: Counter,
    pub(crate) cache_errors: Counter,
    pub(crate) served_due: Counter,
    pub(crate) rejections: Counter,
}

impl Counters {
    pub(crate) fn read(&self) -> Counts {
        Counts {
            fetches: self.fetches.get(),
            token_requests: self.token_requests.get(),
            retries: self.retries.get(),
            tokens_received: self.tokens_received.get(),
            refusals: self.refusals.get(),
            failures: self.failures.get(),
            cache_hits: self.cache_hits.get(),
            cache_errors: self.cache_errors.get(),
            served_due: self.served_due.get(),
            rejections: self.rejections.get(),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
