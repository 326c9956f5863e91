//! The tracing events of the engine. Their targets and field names are
//! stable; none holds a secret or a token.

use std::time::Duration;

use super::{failure::Failure, state::Reason};
use crate::{
    error::{Error, chain},
    scope::Scopes,
    token::AccessToken,
};

pub(super) fn token_received(reason: Reason, attempt: u32, token: &AccessToken, lifetime: u64) {
    tracing::info!(
        target: "bloom_auth.fetch",
        reason = reason.name(),
        attempt,
        outcome = "token",
        from = "server",
        lifetime = lifetime / 1_000_000_000,
        fingerprint = %token.fingerprint(),
        "access token fetched",
    );
}

pub(super) fn token_loaded(token: &AccessToken) {
    tracing::debug!(
        target: "bloom_auth.fetch",
        outcome = "token",
        from = "cache",
        fingerprint = %token.fingerprint(),
        "access token found in the cache",
    );
}

pub(super) fn attempt_failed(reason: Reason, attempt: u32, failure: &Failure) {
    tracing::warn!(
        target: "bloom_auth.fetch",
        reason = reason.name(),
        attempt,
        outcome = ?failure.error.kind(),
        error = chain(&failure.error),
        "token request failed",
    );
}

/// Also of fetches that got no further than the credentials source.
pub(super) fn fetch_failed(error: &Error) {
    tracing::warn!(
        target: "bloom_auth.fetch",
        outcome = ?error.kind(),
        error = chain(error),
        "no access token was fetched",
    );
}

pub(super) fn lifetime_unknown(assumed: Duration) {
    tracing::warn!(
        target: "bloom_auth.fetch",
        lifetime = assumed.as_secs(),
        "the token response names no lifetime: assuming a short one",
    );
}

/// For those who look for what is odd about a server; nothing depends on it.
pub(super) fn content_type_wrong(content_type: &str) {
    tracing::debug!(
        target: "bloom_auth.fetch",
        content_type,
        "the token response is JSON under another content type: taking it",
    );
}

pub(super) fn scopes_missing(missing: &Scopes) {
    tracing::warn!(
        target: "bloom_auth.fetch",
        %missing,
        "the authorization server granted less than was asked for",
    );
}

pub(super) fn record_over(token: &AccessToken) {
    tracing::debug!(
        target: "bloom_auth.cache",
        fingerprint = %token.fingerprint(),
        "the cached token is over, or claims to come from the future",
    );
}

pub(super) fn cache_failed(operation: &'static str, error: &str) {
    tracing::warn!(
        target: "bloom_auth.cache",
        operation,
        error,
        "the token cache failed: going on without it",
    );
}

pub(super) fn rejected(token: &AccessToken, outcome: &'static str) {
    tracing::warn!(
        target: "bloom_auth.reject",
        outcome,
        fingerprint = %token.fingerprint(),
        "the API rejected an access token",
    );
}
