//! Whose turn it is to fetch, among all who share a cache: what follows when the
//! lease was asked for, and the look into the cache after that found nothing.

#[cfg(test)]
mod model;

use super::{state::Reason, timing::share};

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1000 * MILLISECOND;

/// One search for a token among those who share a cache.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeasePoll {
    is_ahead: bool,
    patience: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It is ours, with the lease or without.
    Fetch,
    /// Ask for the lease again.
    Again,
    /// Leave it to whoever has the lease: there is no hurry.
    Elsewhere,
}

impl LeasePoll {
    /// Waiting is over at a random moment, so that not all who wait for a lease
    /// that is never freed fetch at once.
    pub(crate) fn new(reason: Reason, draw: u64) -> Self {
        Self {
            is_ahead: reason == Reason::Due,
            patience: 5 * SECOND + share(5 * SECOND, draw),
        }
    }

    /// How long, in nanoseconds, to give whoever has the lease before the next
    /// look into the cache.
    pub(crate) fn pause(self, draw: u64) -> u64 {
        if self.is_ahead {
            SECOND + share(SECOND, draw)
        } else {
            10 * MILLISECOND + share(90 * MILLISECOND, draw)
        }
    }

    /// What to do after that look has found nothing; `waited` is counted from
    /// the first time that the lease was asked for.
    pub(crate) fn turn(self, is_granted: bool, waited: u64, is_running_out: bool) -> Turn {
        if is_granted || waited > self.patience {
            Turn::Fetch
        } else if !self.is_ahead {
            Turn::Again
        } else if is_running_out {
            // Whoever has the lease may never free it, and there is not much
            // time left.
            Turn::Fetch
        } else {
            Turn::Elsewhere
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Turn::*, *};

    #[test]
    fn turns() {
        let cold = LeasePoll::new(Reason::Cold, u64::MAX);
        let due = LeasePoll::new(Reason::Due, u64::MAX);
        let long = 10 * SECOND;
        for (poll, is_granted, waited, is_running_out, turn) in [
            (cold, true, 0, false, Fetch),
            (cold, false, 0, false, Again),
            (cold, false, 0, true, Again),
            (cold, false, long, true, Again),
            (cold, false, long + 1, false, Fetch),
            (due, true, 0, false, Fetch),
            (due, false, 0, false, Elsewhere),
            (due, false, 0, true, Fetch),
            (due, false, long + 1, false, Fetch),
        ] {
            let case = (poll, is_granted, waited, is_running_out);
            assert_eq!(
                poll.turn(is_granted, waited, is_running_out),
                turn,
                "{case:?}"
            );
        }
    }

    #[test]
    fn waits_are_spread() {
        for (reason, least, most) in [
            (Reason::Cold, 10 * MILLISECOND, 100 * MILLISECOND),
            (Reason::Due, SECOND, 2 * SECOND),
        ] {
            let [first, last] = [0, u64::MAX].map(|draw| LeasePoll::new(reason, draw));
            assert_eq!((first.patience, last.patience), (5 * SECOND, 10 * SECOND));
            assert_eq!((first.pause(0), first.pause(u64::MAX)), (least, most));
        }
    }
}
