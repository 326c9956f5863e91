//! What every caller reads while the token is fresh: the hot path.

#[cfg(test)]
pub(super) mod model;
mod places;
mod readers;
#[cfg(test)]
mod tests;

use http::HeaderValue;

use self::places::Places;
use super::state::Held;
use crate::{
    clock::{AnyClock, Timestamp},
    token::AccessToken,
};

/// What `places` is made of; the model of it brings others.
mod sync {
    pub(super) use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, RwLock, TryLockError};
}

/// All that a call touches that finds a fresh token. It begins with a cache
/// line, and goes not far into the third: a process with many providers waits
/// for each.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Published {
    places: Places,
    clock: AnyClock,
}

impl Published {
    pub(crate) fn new(clock: AnyClock) -> Self {
        Self {
            places: Places::default(),
            clock,
        }
    }

    pub(crate) fn clock(&self) -> &AnyClock {
        &self.clock
    }

    /// Publishes the token that is held, or that there is none. Called under the
    /// engine's lock, so that both change in the same order.
    pub(crate) fn set(&self, held: Option<&Held>) {
        self.places.set(held.map(Prepared::new));
    }

    /// What is taken from the token, if it is fresh: neither due nor expired.
    ///
    /// The clock that goes on during a suspend is too dear to be asked each
    /// time; the wall clock is asked, and goes on as well.
    #[inline]
    pub(crate) fn fresh<T>(&self, take: impl FnOnce(&Prepared) -> T) -> Option<T> {
        let now = self.clock.now();
        self.places.read(now.monotonic, |prepared| {
            prepared.is_fresh(now).then(|| take(prepared))
        })?
    }

    /// The same for a caller with a lock, under which no clock is asked: the
    /// answer is put off. `now` is monotonic, and need not be precise.
    #[inline]
    pub(crate) fn glimpse<T>(
        &self,
        now: u64,
        take: impl FnOnce(&Prepared) -> T,
    ) -> Option<Glimpse<T>> {
        self.places.read(now, |prepared| Glimpse {
            taken: take(prepared),
            fresh_until: prepared.fresh_until,
            clock: self.clock.clone(),
        })
    }
}

/// What was taken from a token without a look at the clock.
pub(crate) struct Glimpse<T> {
    taken: T,
    fresh_until: FreshUntil,
    clock: AnyClock,
}

impl<T> Glimpse<T> {
    /// What was taken, if the token is fresh. `now` is by that clock, and saves
    /// asking the provider's, if they agree.
    #[inline]
    pub(crate) fn if_fresh(self, clock: &AnyClock, now: Timestamp) -> Option<T> {
        let now = if self.clock.is_known_to_agree_with(clock) {
            now
        } else {
            self.clock.now()
        };
        self.fresh_until.is_after(now).then_some(self.taken)
    }
}

/// A token that is ready to be handed out.
#[derive(Debug)]
pub(crate) struct Prepared {
    fresh_until: FreshUntil,
    authorization: HeaderValue,
    token: AccessToken,
}

/// When a token is due, by either clock.
#[derive(Clone, Copy, Debug)]
struct FreshUntil {
    monotonic: u64,
    wall: u64,
}

impl FreshUntil {
    fn is_after(self, now: Timestamp) -> bool {
        now.monotonic < self.monotonic && now.wall < self.wall
    }
}

impl Prepared {
    pub(crate) fn new(held: &Held) -> Self {
        let (refresh, unusable) = (held.deadlines.refresh_at, held.deadlines.unusable_at);
        Self {
            fresh_until: FreshUntil {
                monotonic: refresh.monotonic.min(unusable.monotonic),
                wall: refresh.wall.min(unusable.wall),
            },
            authorization: held.token.authorization(),
            token: held.token.clone(),
        }
    }

    /// One that shares no memory with this one.
    pub(crate) fn separate(&self) -> Self {
        let token = self.token.separate();
        Self {
            fresh_until: self.fresh_until,
            authorization: token.authorization(),
            token,
        }
    }

    pub(crate) fn is_fresh(&self, now: Timestamp) -> bool {
        self.fresh_until.is_after(now)
    }

    pub(crate) fn authorization(&self) -> HeaderValue {
        self.authorization.clone()
    }

    pub(crate) fn token(&self) -> AccessToken {
        self.token.clone()
    }
}
