//! What the caches agree on: when a record is of no more use, and which of two
//! stays.

use std::time::{Duration, SystemTime};

use bloom_auth_core::CacheRecord;

/// The engine believes no record that was sent further in the future than this.
const MAX_CLOCK_DIFFERENCE: Duration = Duration::from_secs(300);

/// Whether the record has expired.
pub(crate) fn is_over(record: &CacheRecord, now: SystemTime) -> bool {
    record.token().expires_at() <= now
}

/// Whether the record is from when a clock was wrong.
pub(crate) fn is_ahead(record: &CacheRecord, now: SystemTime) -> bool {
    let ahead = record.sent_at().duration_since(now);
    ahead.is_ok_and(|ahead| ahead > MAX_CLOCK_DIFFERENCE)
}

/// Whether the record may keep its place: it has not expired, and is not from
/// when a clock was wrong. Such a one would be kept as the one that was sent
/// last, and never be of use.
pub(crate) fn is_of_use(record: &CacheRecord, now: SystemTime) -> bool {
    !is_over(record, now) && !is_ahead(record, now)
}

/// Whether the record that is there stays when another one comes: it was sent
/// later, and is of use.
pub(crate) fn stays(there: &CacheRecord, coming: &CacheRecord, now: SystemTime) -> bool {
    there.sent_at() > coming.sent_at() && is_of_use(there, now)
}
