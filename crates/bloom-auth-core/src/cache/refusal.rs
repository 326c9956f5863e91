//! What caches remember of a server that said no.

use std::time::{Duration, SystemTime};

use crate::clock::{nanos, system_time, wall_nanos};

/// A refusal from a clock this far ahead of ours is as old as "now"; beyond
/// it, the refusal is not believed.
const MAX_CLOCK_DIFFERENCE: u64 = 300 * 1_000_000_000;

/// Whatever a cache says, a refusal is over then.
const MAX_WAIT: u64 = 300 * 1_000_000_000;

/// That a server refused credentials, or what they asked for, as caches keep
/// it. Its times are wall-clock times, as those of a [`CacheRecord`](crate::CacheRecord).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    kind: RefusalKind,
    refused_at: u64,
    wait: u64,
    refusals: u32,
}

/// What was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusalKind {
    /// The client, or its secret.
    Client,
    /// What it asked for: scope, audience, parameters.
    Request,
}

impl Refusal {
    /// The refusal of this moment, which was that many in a row, and after
    /// which the server is not asked for this long.
    #[must_use]
    pub fn new(kind: RefusalKind, refused_at: SystemTime, wait: Duration, refusals: u32) -> Self {
        Self {
            kind,
            refused_at: wall_nanos(refused_at),
            wait: nanos(wait),
            refusals,
        }
    }

    /// What was refused.
    #[must_use]
    pub fn kind(&self) -> RefusalKind {
        self.kind
    }

    /// When the server refused it.
    #[must_use]
    pub fn refused_at(&self) -> SystemTime {
        system_time(self.refused_at)
    }

    /// For how long from then on the server is not asked.
    #[must_use]
    pub fn wait(&self) -> Duration {
        Duration::from_nanos(self.wait)
    }

    /// How many refusals there had been in a row.
    #[must_use]
    pub fn refusals(&self) -> u32 {
        self.refusals
    }

    /// For how long it is still in force; zero if it is over, or claims to
    /// come from more than five minutes in the future. Five minutes at most,
    /// whatever it says.
    #[must_use]
    pub fn left(&self, now: SystemTime) -> Duration {
        let now = wall_nanos(now);
        if self.refused_at > now.saturating_add(MAX_CLOCK_DIFFERENCE) {
            return Duration::ZERO;
        }
        let age = now.saturating_sub(self.refused_at);
        Duration::from_nanos(self.wait.min(MAX_WAIT).saturating_sub(age))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t6_a_refusal_is_in_force_for_its_time_and_no_longer_than_any() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let refusal = |wait| {
            let refused_at = at(1000);
            Refusal::new(
                RefusalKind::Client,
                refused_at,
                Duration::from_secs(wait),
                1,
            )
        };
        for (wait, now, left) in [
            (8, 1000, 8),
            (8, 1007, 1),
            (8, 1008, 0),
            (8, 100_000_000_000, 0),
            // A clock that is ahead, a little and a lot.
            (8, 700, 8),
            (8, 699, 0),
            (8, 0, 0),
            // More than there is.
            (u64::MAX, 1000, 300),
            (u64::MAX, 1299, 1),
            (0, 1000, 0),
        ] {
            let left = Duration::from_secs(left);
            assert_eq!(refusal(wait).left(at(now)), left, "{wait} {now}");
        }
    }

    #[test]
    fn a_refusal_gives_back_what_it_was_made_of() {
        let (at, wait) = (
            SystemTime::UNIX_EPOCH + Duration::from_secs(9),
            Duration::from_secs(8),
        );
        for kind in [RefusalKind::Client, RefusalKind::Request] {
            let refusal = Refusal::new(kind, at, wait, 4);
            assert_eq!((refusal.kind(), refusal.refused_at()), (kind, at));
            assert_eq!((refusal.wait(), refusal.refusals()), (wait, 4));
        }
    }
}
