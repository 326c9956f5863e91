//! The one place that reads the system clock.

use std::time::{Duration, SystemTime};

/// Milliseconds since the Unix epoch; zero on a machine set before it.
#[expect(
    clippy::disallowed_methods,
    reason = "the emulator is a peer of the code under test, and like a real server has its own clock"
)]
pub(crate) fn unix_millis() -> u64 {
    let since_epoch = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    saturating_millis(since_epoch)
}

/// Whole milliseconds of `duration`, or as many as fit.
pub(crate) fn saturating_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
