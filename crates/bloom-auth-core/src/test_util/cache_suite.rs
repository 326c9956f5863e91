//! What every [`TokenCache`] must do, as code: call [`all`] in a test.
//!
//! The checks need a tokio runtime, one with several threads for the races
//! among them to be real, and they panic with what the cache did wrong. They
//! store nothing that expires within the hour, by the system's clock.
//!
//! ```
//! use bloom_auth_core::{TokenCache, test_util::cache_suite::{self, Leases}};
//!
//! # async fn test<C: TokenCache + 'static>(new_cache: impl Fn() -> C + Send + Sync) {
//! let leases = cache_suite::all(|| std::future::ready(new_cache())).await;
//! // Of a cache that coordinates fetches:
//! assert_eq!(leases, Leases::Exercised);
//! # }
//! ```
//!
//! A cache that keeps its records outside the process also calls
//! [`poisoned_entries_are_misses`], which needs to see its bytes.

#![expect(
    clippy::panic,
    reason = "a suite says what is wrong as a test does: by panicking"
)]

mod cancellation;
mod keys;
mod leases;
mod poison;
mod races;
mod records;
mod refusals;

#[cfg(test)]
mod tests;

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::{Duration, SystemTime},
};

use tokio::time::timeout;

pub use cancellation::{
    a_cancelled_call_leaves_the_cache_usable, a_cancelled_lease_call_holds_nothing,
    a_cancelled_waiter_harms_nobody,
};
pub use keys::{
    another_secret_gets_nothing, order_within_a_key_does_not_matter,
    whatever_is_in_the_key_keeps_records_apart,
};
pub use leases::{
    a_lease_ends_with_its_guard, a_lease_is_exclusive_for_its_key,
    a_lease_of_a_dead_holder_becomes_free, one_of_many_who_ask_gets_the_lease,
};
pub use poison::{BitFlips, RawEntries, poisoned_entries_are_misses};
pub use races::{
    concurrent_removals_spare_what_is_newer, concurrent_users_of_many_keys_do_not_mix,
    concurrent_writers_leave_the_latest,
};
pub use records::{
    a_later_record_replaces_an_earlier_one_and_not_the_reverse, an_empty_cache_has_nothing,
    an_expired_record_is_in_nobodys_way, records_come_back_as_they_were,
    removal_is_of_this_very_token,
};
pub use refusals::a_refusal_is_remembered_for_its_key_alone;

use crate::{
    cache::{CacheAccess, CacheError, CacheRecord, Lease, TokenCache},
    clock::{Clock as _, SystemClock},
    scope::Scopes,
    token::TokenHash,
};

/// No call takes this long, nor does a lease to become free, unless the cache
/// is stuck.
const PATIENCE: Duration = Duration::from_secs(30);

const HOUR: Duration = Duration::from_secs(3600);

/// Whether the checks of leases had leases to check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a cache that gives out no leases passes their checks with nothing checked"]
#[non_exhaustive]
pub enum Leases {
    /// The cache coordinates fetches, and does it right.
    Exercised,
    /// The cache gives out no leases ([`Lease::NotNeeded`]).
    NotNeeded,
}

/// Runs every check of the suite, each with an empty cache of its own.
pub async fn all<C, F>(make: impl Fn() -> F + Send + Sync) -> Leases
where
    C: TokenCache + 'static,
    F: Future<Output = C> + Send,
{
    let shared = async || {
        let cache: Arc<dyn TokenCache> = Arc::new(make().await);
        cache
    };

    another_secret_gets_nothing(&make().await).await;
    whatever_is_in_the_key_keeps_records_apart(&make().await).await;
    order_within_a_key_does_not_matter(&make().await).await;

    an_empty_cache_has_nothing(&make().await).await;
    records_come_back_as_they_were(&make().await).await;
    a_later_record_replaces_an_earlier_one_and_not_the_reverse(&make().await).await;
    removal_is_of_this_very_token(&make().await).await;
    an_expired_record_is_in_nobodys_way(&make().await).await;

    concurrent_users_of_many_keys_do_not_mix(&shared().await).await;
    concurrent_writers_leave_the_latest(&shared().await).await;
    concurrent_removals_spare_what_is_newer(&shared().await).await;
    a_cancelled_call_leaves_the_cache_usable(&make().await).await;

    let leases = [
        a_lease_is_exclusive_for_its_key(&make().await).await,
        a_lease_ends_with_its_guard(&shared().await).await,
        a_lease_of_a_dead_holder_becomes_free(&shared().await).await,
        one_of_many_who_ask_gets_the_lease(&shared().await).await,
        a_cancelled_lease_call_holds_nothing(&make().await).await,
        a_cancelled_waiter_harms_nobody(&make().await).await,
    ];
    let [first, ..] = leases;
    assert!(
        leases.iter().all(|leases| *leases == first),
        "the cache gives out leases at times, and at times says that none are needed"
    );
    first
}

async fn load(cache: &dyn TokenCache, access: &CacheAccess) -> Option<CacheRecord> {
    call("load", cache.load(access)).await
}

async fn store(cache: &dyn TokenCache, access: &CacheAccess, record: &CacheRecord) {
    call("store", cache.store(access, record)).await;
}

async fn remove(cache: &dyn TokenCache, access: &CacheAccess, token: &TokenHash) {
    call("remove", cache.remove(access, token)).await;
}

async fn lease(cache: &dyn TokenCache, access: &CacheAccess) -> Lease {
    call("lease", cache.lease(access)).await
}

async fn call<T>(name: &str, call: impl Future<Output = Result<T, CacheError>>) -> T {
    match timeout(PATIENCE, call).await {
        Ok(Ok(value)) => value,
        Ok(Err(error)) => panic!("`{name}` failed: {error}"),
        Err(_) => panic!("`{name}` is stuck"),
    }
}

/// Polls a call this many times, and drops it if it is not ready by then.
async fn cut_short<T>(
    mut call: Pin<Box<dyn Future<Output = T> + Send + '_>>,
    polls: usize,
) -> Option<T> {
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        let poll = call.as_mut().poll(context).map(Some);
        if left == 0 && poll.is_pending() {
            return Poll::Ready(None);
        }
        poll
    })
    .await
}

/// A record that was sent this many seconds ago, and lives for an hour more.
fn record(token: &str, seconds_ago: u64) -> CacheRecord {
    let ago = Duration::from_secs(seconds_ago);
    let scopes = "read:a write:a".parse().ok();
    record_of(token, scopes, before_now(ago), HOUR + ago)
}

fn record_of(
    token: &str,
    scopes: Option<Scopes>,
    sent_at: SystemTime,
    lifetime: Duration,
) -> CacheRecord {
    match CacheRecord::new(token, scopes, sent_at, lifetime) {
        Ok(record) => record,
        Err(error) => panic!("the suite made a bad record: {error}"),
    }
}

fn before_now(time: Duration) -> SystemTime {
    let now = SystemClock::new().now().system_time();
    now.checked_sub(time).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Fails unless it is this record, to the nanosecond.
fn assert_is(found: Option<&CacheRecord>, record: &CacheRecord, when: &str) {
    let Some(found) = found else {
        panic!("{when}: there is no record");
    };
    let (token, expected) = (found.token(), record.token());
    assert_eq!(token.expose(), expected.expose(), "{when}: another token");
    assert_eq!(token.scopes(), expected.scopes(), "{when}: other scopes");
    assert_eq!(
        found.sent_at(),
        record.sent_at(),
        "{when}: another time of sending"
    );
    assert_eq!(
        found.lifetime(),
        record.lifetime(),
        "{when}: another lifetime"
    );
    assert_eq!(
        token.expires_at(),
        expected.expires_at(),
        "{when}: another expiry"
    );
}
