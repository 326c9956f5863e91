//! The one token that every caller reads: the hot path.

use std::sync::{PoisonError, RwLock};

use super::{state::Held, timing::Freshness};
use crate::{clock::Timestamp, token::AccessToken};

/// A copy of the held token behind a lock that readers share. It is written
/// under the engine's lock, so that both change in the same order.
#[derive(Debug, Default)]
pub(crate) struct Published(RwLock<Option<Held>>);

impl Published {
    /// The token, if it is fresh: neither due nor expired.
    pub(crate) fn fresh<T>(
        &self,
        now: Timestamp,
        read: impl FnOnce(&AccessToken) -> T,
    ) -> Option<T> {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        held.as_ref()
            .filter(|held| held.deadlines.freshness(now) == Freshness::Fresh)
            .map(|held| read(&held.token))
    }

    pub(crate) fn set(&self, held: Option<&Held>) {
        let mut published = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *published = held.cloned();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::provider::timing::{Deadlines, TimingPolicy};

    #[test]
    fn c14_a_panic_under_the_lock_does_no_harm() {
        const SECOND: u64 = 1_000_000_000;
        let now = Timestamp::new(SECOND, SECOND);
        let policy = TimingPolicy {
            margin: 300 * SECOND,
            leeway: 10 * SECOND,
            max_lifetime: 86_400 * SECOND,
        };
        let deadlines = Deadlines::of_answer(&policy, 3600 * SECOND, now, now, 0).unwrap();
        let held = Held {
            token: AccessToken::from_text("a", deadlines.expires_at.wall, None).unwrap(),
            deadlines,
            generation: 1,
        };
        let published = Published::default();
        let thread = thread::scope(|scope| {
            let panics = || {
                let _published = published.0.write();
                panic!("as a bug of ours may");
            };
            scope.spawn(panics).join()
        });
        assert!(thread.is_err() && published.0.is_poisoned());
        published.set(Some(&held));
        assert_eq!(published.fresh(now, AccessToken::clone), Some(held.token));
        published.set(None);
        assert_eq!(published.fresh(now, AccessToken::clone), None);
    }
}
