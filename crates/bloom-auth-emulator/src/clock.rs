//! The emulator's clock, and the one place that reads the system's.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

/// The system clock, or one that stands; both can be put forward.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// In milliseconds since the Unix epoch.
    stands_at: Option<u64>,
    advanced: AtomicU64,
}

impl Clock {
    /// A clock that stands at this time until it is put forward.
    pub(crate) fn standing_at(time: SystemTime) -> Self {
        Self {
            stands_at: Some(millis_since_epoch(time)),
            advanced: AtomicU64::new(0),
        }
    }

    /// Milliseconds since the Unix epoch.
    pub(crate) fn now(&self) -> u64 {
        let now = self.stands_at.unwrap_or_else(system_millis);
        now.saturating_add(self.advanced.load(Ordering::Relaxed))
    }

    pub(crate) fn advance(&self, by: Duration) {
        let add = |advanced: u64| Some(advanced.saturating_add(saturating_millis(by)));
        // It cannot fail: there is always a next value.
        let _ = self
            .advanced
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// A number of seconds from now as an HTTP date (RFC 9110, section 5.6.7).
    pub(crate) fn http_date(&self, seconds_from_now: i64) -> String {
        let now = (self.now() / 1000).min(LATEST);
        let then = now.saturating_add_signed(seconds_from_now).min(LATEST);
        httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(then))
    }
}

/// The end of the year 9999, past which there is no HTTP date.
const LATEST: u64 = 253_402_300_799;

#[expect(
    clippy::disallowed_methods,
    reason = "the emulator is a peer of the code under test, and like a real server has its own clock"
)]
fn system_millis() -> u64 {
    millis_since_epoch(SystemTime::now())
}

/// Zero for what is before the epoch.
fn millis_since_epoch(time: SystemTime) -> u64 {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH);
    saturating_millis(since_epoch.unwrap_or_default())
}

/// Whole milliseconds of `duration`, or as many as fit.
pub(crate) fn saturating_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_stands_moves_only_when_it_is_told() {
        let clock = Clock::standing_at(SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777));
        assert_eq!(clock.now(), 784_111_777_000);
        assert_eq!(clock.http_date(0), "Sun, 06 Nov 1994 08:49:37 GMT");
        clock.advance(Duration::from_millis(3_500));
        assert_eq!(clock.now(), 784_111_780_500);
        assert_eq!(clock.http_date(-3), "Sun, 06 Nov 1994 08:49:37 GMT");
        clock.advance(Duration::MAX);
        assert_eq!(clock.now(), u64::MAX);
        assert_eq!(clock.http_date(9), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn the_system_clock_can_be_put_forward() {
        let (clock, system) = (Clock::default(), Clock::default());
        clock.advance(Duration::from_secs(1_000_000));
        assert!(clock.now() >= system.now() + 999_000_000);
    }
}
