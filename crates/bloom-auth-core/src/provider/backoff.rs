//! How long to wait: within a fetch, between fetches, and after a refusal.

use super::timing::share;

const SECOND: u64 = 1_000_000_000;

/// Attempts of a fetch after one that succeeded.
pub(crate) const MAX_ATTEMPTS: u32 = 3;

/// A `Retry-After` up to this long is waited for within the fetch; a longer
/// one ends the fetch, and callers fail fast until it is over.
pub(crate) const MAX_WAIT_IN_FETCH: u64 = 2 * SECOND;

const FIRST_PAUSE: u64 = SECOND / 4;
const FIRST_BACKOFF: u64 = 2 * SECOND;
const MAX_BACKOFF: u64 = 60 * SECOND;
const FIRST_DENIAL: u64 = SECOND;
const MAX_DENIAL: u64 = 300 * SECOND;

/// Between attempt `n` (from 1) and the next of one fetch: full jitter over a
/// quarter of a second, doubling.
pub(crate) fn pause(attempt: u32, draw: u64) -> u64 {
    share(doubled(FIRST_PAUSE, attempt, MAX_WAIT_IN_FETCH), draw)
}

/// Between the `n`th failed fetch in a row (from 1) and the next: 2 s
/// doubling to 60 s, of which at least half.
pub(crate) fn backoff(failures: u32, draw: u64) -> u64 {
    let whole = doubled(FIRST_BACKOFF, failures, MAX_BACKOFF);
    whole - share(whole / 2, draw)
}

/// After the `n`th refusal in a row (from 1): 1 s doubling to 5 min.
pub(crate) fn denial(refusals: u32) -> u64 {
    doubled(FIRST_DENIAL, refusals, MAX_DENIAL)
}

fn doubled(first: u64, nth: u32, max: u64) -> u64 {
    let factor = 1_u64.checked_shl(nth.saturating_sub(1)).unwrap_or(u64::MAX);
    first.saturating_mul(factor).min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_by_the_table() {
        let seconds = |nanos: u64| nanos as f64 / SECOND as f64;
        let rows = [
            (1, 0.25, 2.0, 1.0),
            (2, 0.5, 4.0, 2.0),
            (3, 1.0, 8.0, 4.0),
            (4, 2.0, 16.0, 8.0),
            (5, 2.0, 32.0, 16.0),
            (6, 2.0, 60.0, 32.0),
            (9, 2.0, 60.0, 256.0),
            (10, 2.0, 60.0, 300.0),
            (64, 2.0, 60.0, 300.0),
            (65, 2.0, 60.0, 300.0),
            (u32::MAX, 2.0, 60.0, 300.0),
        ];
        for (nth, pause_max, backoff_max, denied) in rows {
            assert_eq!(seconds(pause(nth, u64::MAX)), pause_max, "{nth}");
            assert_eq!(pause(nth, 0), 0, "{nth}");
            assert_eq!(seconds(backoff(nth, 0)), backoff_max, "{nth}");
            assert_eq!(seconds(backoff(nth, u64::MAX)), backoff_max / 2.0, "{nth}");
            assert_eq!(seconds(denial(nth)), denied, "{nth}");
        }
    }
}
