//! What every caller reads while the token is fresh: the hot path.

#[cfg(test)]
pub(super) mod model;
mod places;
mod readers;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderValue;

use self::places::Places;
use super::state::Held;
use crate::{
    clock::{AnyClock, SystemClock, Timestamp},
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
        match &self.clock {
            AnyClock::System(clock) => self.fresh_at(clock.monotonic(), *clock, take),
            AnyClock::Other(clock) => {
                let now = clock.now();
                self.places.read(now.monotonic, |prepared| {
                    let prepared = prepared.filter(|it| it.is_fresh(now))?;
                    Some(take(prepared))
                })
            }
        }
    }

    /// The same for a caller with a lock, under which no foreign clock is asked:
    /// the answer may have to wait until it is free. `monotonic` is what this
    /// clock of the caller's shows.
    #[inline]
    pub(crate) fn glimpse<T>(
        &self,
        clock: &AnyClock,
        monotonic: u64,
        take: impl FnOnce(&Prepared) -> T,
    ) -> Option<Glimpse<T>> {
        match (&self.clock, clock) {
            (AnyClock::System(clock), AnyClock::System(others)) if clock == others => {
                self.fresh_at(monotonic, *clock, take).map(Glimpse::Fresh)
            }
            _ => self.places.read(monotonic, |prepared| {
                let prepared = prepared?;
                Some(Glimpse::Unknown {
                    taken: take(prepared),
                    fresh_until: prepared.fresh_until,
                    clock: self.clock.clone(),
                })
            }),
        }
    }

    #[inline]
    fn fresh_at<T>(
        &self,
        monotonic: u64,
        clock: SystemClock,
        take: impl FnOnce(&Prepared) -> T,
    ) -> Option<T> {
        self.places.read(monotonic, |prepared| {
            let is_fresh = |it: &&Prepared| it.is_fresh_within_tick(monotonic, || clock.wall());
            Some(take(prepared.filter(is_fresh)?))
        })
    }
}

/// What was taken from a token under a lock.
pub(crate) enum Glimpse<T> {
    Fresh(T),
    /// The clock has yet to be asked.
    Unknown {
        taken: T,
        fresh_until: FreshUntil,
        clock: AnyClock,
    },
}

impl<T> Glimpse<T> {
    /// What was taken, if the token is fresh.
    #[inline]
    pub(crate) fn if_fresh(self) -> Option<T> {
        match self {
            Self::Fresh(taken) => Some(taken),
            Self::Unknown {
                taken,
                fresh_until,
                clock,
            } => fresh_until.is_after(clock.now()).then_some(taken),
        }
    }
}

/// No moment that a clock shows while a token is fresh.
const NEVER: u64 = u64::MAX;

/// A token that is ready to be handed out.
#[derive(Debug)]
pub(crate) struct Prepared {
    fresh_until: FreshUntil,
    /// When the wall clock was asked last, and had nothing against the token;
    /// by the monotonic one.
    wall_asked_at: AtomicU64,
    authorization: HeaderValue,
    token: AccessToken,
}

/// When a token is due, by either clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FreshUntil {
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
            wall_asked_at: AtomicU64::new(NEVER),
            authorization: held.token.authorization(),
            token: held.token.clone(),
        }
    }

    /// One for other threads, which write nothing that is near to what users of
    /// this one write.
    pub(crate) fn separate(&self) -> Self {
        let token = self.token.separate();
        Self {
            fresh_until: self.fresh_until,
            wall_asked_at: AtomicU64::new(NEVER),
            authorization: token.authorization(),
            token,
        }
    }

    pub(crate) fn is_fresh(&self, now: Timestamp) -> bool {
        self.fresh_until.is_after(now)
    }

    /// Whether it is fresh, where the wall clock is asked once in each tick of
    /// the monotonic one. They tick together, each 10 ms or more often: until the
    /// next tick the wall clock shows what it has shown, unless it is set or the
    /// machine wakes from a suspend, which is then noticed at that tick. That is
    /// far inside the leeway, and saves a third of the time that a call takes. A
    /// clock without ticks is asked each time.
    #[inline]
    fn is_fresh_within_tick(&self, monotonic: u64, wall: impl FnOnce() -> u64) -> bool {
        if monotonic >= self.fresh_until.monotonic {
            return false;
        }
        if self.wall_asked_at.load(Ordering::Relaxed) == monotonic {
            return true;
        }
        let is_fresh = wall() < self.fresh_until.wall;
        if is_fresh {
            self.wall_asked_at.store(monotonic, Ordering::Relaxed);
        }
        is_fresh
    }

    // Called, and so written to where its caller wants it: inlined, it is moved
    // there by loads that wait for its stores, which takes longer than the call.
    #[inline(never)]
    pub(crate) fn authorization(&self) -> HeaderValue {
        self.authorization.clone()
    }

    #[inline]
    pub(crate) fn token(&self) -> AccessToken {
        self.token.clone()
    }
}
