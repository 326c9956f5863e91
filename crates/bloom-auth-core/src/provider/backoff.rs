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
///
/// Of the longest wait goes off what the failed request took, up to half of it:
/// those whom a silent server keeps waiting then find out that it is back as
/// soon as those whom it refuses at once.
pub(crate) fn backoff(failures: u32, took: u64, draw: u64) -> u64 {
    let longest = MAX_BACKOFF - took.min(MAX_BACKOFF / 2);
    let whole = doubled(FIRST_BACKOFF, failures, longest);
    whole - share(whole / 2, draw)
}

/// What the server asked for, and up to half as much on top, 30 s at most: those
/// who were told the same moment do not all come back in it.
pub(crate) fn patience(asked: u64, draw: u64) -> u64 {
    asked.saturating_add(share((asked / 2).min(MAX_BACKOFF / 2), draw))
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
            assert_eq!(seconds(backoff(nth, 0, 0)), backoff_max, "{nth}");
            assert_eq!(
                seconds(backoff(nth, 0, u64::MAX)),
                backoff_max / 2.0,
                "{nth}"
            );
            assert_eq!(seconds(denial(nth)), denied, "{nth}");
        }
    }

    #[test]
    fn f3_what_a_request_took_goes_off_the_longest_wait() {
        for (failures, took, draw, wait) in [
            // In whole seconds: 60 s, or 30 s with the most jitter.
            (9, 0, 0, 60),
            (9, 10, 0, 50),
            (9, 10, u64::MAX, 25),
            // Half is left, however long it took.
            (9, 30, 0, 30),
            (9, 300, 0, 30),
            (9, 300, u64::MAX, 15),
            (9, u64::MAX / SECOND, 0, 30),
            // Nothing goes off a shorter wait.
            (1, 10, 0, 2),
            (5, 10, 0, 32),
            (5, 300, 0, 30),
        ] {
            let got = backoff(failures, took * SECOND, draw) / SECOND;
            assert_eq!(got, wait, "{failures} {took} {draw}");
        }
    }

    #[test]
    fn f7_those_who_are_told_one_moment_do_not_all_come_back_in_it() {
        for (asked, most) in [(0, 0), (10, 15), (60, 90), (300, 330)] {
            let (asked, most) = (asked * SECOND, most * SECOND);
            assert_eq!(patience(asked, 0), asked);
            assert_eq!(patience(asked, u64::MAX), most);
        }
        assert_eq!(patience(u64::MAX, u64::MAX), u64::MAX);
    }
}
