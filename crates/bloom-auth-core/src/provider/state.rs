//! What the provider knows, and what it decides from it: no clock, no await,
//! no lock, no I/O.
//!
//! Every moment is a parameter. The shell around this (`provider/mod.rs`)
//! reads the clock, holds the lock, runs the fetches, and reports back what
//! became of them.

use std::time::Duration;

use super::{
    backoff::{MAX_ATTEMPTS, backoff, denial, patience},
    failure::{Class, Failure},
    timing::{Deadlines, Freshness, share},
    tombstones::Tombstones,
};
use crate::{
    client::CredentialTag,
    clock::{Timestamp, nanos},
    error::Error,
    token::{AccessToken, TokenHash},
};

const SECOND: u64 = 1_000_000_000;

/// At most one rejection drops a token in this time: an API that answers 401
/// to every token must not make us fetch without end.
const REJECTION_INTERVAL: u64 = 30 * SECOND;

/// While refused, the credentials source is asked at most this often whether
/// the credentials have changed.
const RECHECK_INTERVAL: u64 = SECOND;

/// A token with its deadlines.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) token: AccessToken,
    pub(crate) deadlines: Deadlines,
    /// Of the fetch that brought it. Tells which of two tokens is newer, which
    /// the wall clock could not: it may be set back.
    pub(crate) generation: u64,
}

/// Where a token came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Cache,
    Server,
}

/// What a caller wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// A usable token.
    Usable,
    /// A token newer than what is held.
    Newer,
}

/// What is to be done for a caller.
#[derive(Debug)]
pub(crate) enum Decision {
    /// Serve it.
    Serve(AccessToken),
    /// Serve it and start a fetch that nobody waits for.
    ServeAndFetch(AccessToken, Reason),
    /// Wait for the fetch that is under way.
    Join,
    /// Start a fetch and wait for it.
    Fetch(Reason),
    /// Fail at once; the error says for how long that will be so.
    Fail(Error),
}

/// Why a token is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// There has been none.
    Cold,
    /// The one there was has expired.
    Expired,
    /// The one there is will expire soon.
    Due,
    /// The API refused the one there was.
    Rejected,
    /// The caller wants a newer one.
    Forced,
    /// The credentials with this tag were refused; if the source has others
    /// now, fetch with them.
    Recheck(CredentialTag),
}

impl Reason {
    /// The stable name for events.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Expired => "expired",
            Self::Due => "due",
            Self::Rejected => "rejected",
            Self::Forced => "forced",
            Self::Recheck(_) => "recheck",
        }
    }
}

/// What became of a rejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// It was the current token. It is dropped, and the next call fetches
    /// another.
    Dropped,
    /// It was not the current token: a newer one is held, or it had been
    /// rejected before. Nothing is fetched for it.
    NotCurrent,
    /// It is the current token, but another one was rejected a moment ago: a
    /// fresh token did not help then. It is kept, and the caller should see
    /// its 401.
    CoolingDown {
        /// When a rejection will count again.
        after: Duration,
    },
}

/// No fetch before this moment, and the error to answer with until then.
#[derive(Debug)]
struct Hold {
    until: u64,
    error: Error,
}

/// Credentials that were refused.
#[derive(Debug)]
struct Denial {
    hold: Hold,
    tag: CredentialTag,
    refusals: u32,
    recheck_at: u64,
}

/// Everything the engine decides from.
#[derive(Debug, Default)]
pub(crate) struct State {
    held: Option<Held>,
    /// The generation of the fetch under way.
    flight: Option<u64>,
    generations: u64,
    failures: u32,
    backoff: Option<Hold>,
    denial: Option<Denial>,
    tombstones: Tombstones,
    /// Since there is no token any more: why.
    dropped: Option<Reason>,
    rejected_at: Option<u64>,
    last_try_taken: bool,
    /// Errors that are over. Their sources are foreign code, so they are
    /// dropped by the shell, without the lock.
    discarded: Vec<Error>,
}

impl State {
    /// What to do for a caller now.
    pub(crate) fn decide(&self, now: Timestamp, ask: Ask) -> Decision {
        let held = self
            .held
            .as_ref()
            .map(|held| (held, held.deadlines.freshness(now)))
            .filter(|(_, freshness)| *freshness != Freshness::Expired);
        let reason = match (ask, held) {
            (Ask::Newer, _) => Reason::Forced,
            (Ask::Usable, Some((held, Freshness::Fresh))) => {
                return Decision::Serve(held.token.clone());
            }
            (Ask::Usable, Some(_)) => Reason::Due,
            (Ask::Usable, None) => match (&self.held, self.dropped) {
                (Some(_), _) => Reason::Expired,
                (None, Some(reason)) => reason,
                (None, None) => Reason::Cold,
            },
        };
        let permission = self.may_fetch(now, reason);
        match (permission, held) {
            (Permission::Yes(reason), Some((held, _))) if ask == Ask::Usable => {
                Decision::ServeAndFetch(held.token.clone(), reason)
            }
            (_, Some((held, _))) if ask == Ask::Usable => Decision::Serve(held.token.clone()),
            (Permission::Yes(reason), _) => Decision::Fetch(reason),
            (Permission::UnderWay, _) => Decision::Join,
            (Permission::No(error), _) => Decision::Fail(error),
        }
    }

    fn may_fetch(&self, now: Timestamp, reason: Reason) -> Permission {
        if self.flight.is_some() {
            return Permission::UnderWay;
        }
        let refuse = |hold: &Hold| {
            let left = hold.until.saturating_sub(now.monotonic);
            Permission::No(hold.error.after(Duration::from_nanos(left)))
        };
        match (&self.denial, &self.backoff) {
            (Some(denial), _) if now.monotonic < denial.hold.until => {
                if now.monotonic >= denial.recheck_at {
                    Permission::Yes(Reason::Recheck(denial.tag))
                } else {
                    refuse(&denial.hold)
                }
            }
            (_, Some(backoff)) if now.monotonic < backoff.until => refuse(backoff),
            _ => Permission::Yes(reason),
        }
    }

    /// A fetch starts. Returns its generation and how many attempts it has.
    pub(crate) fn started(&mut self) -> (u64, u32) {
        self.generations += 1;
        self.flight = Some(self.generations);
        let attempts = if self.failures == 0 { MAX_ATTEMPTS } else { 1 };
        (self.generations, attempts)
    }

    /// A fetch is over, or has been silent for too long: the next caller may
    /// start another. What a silent one still brings is welcome.
    pub(crate) fn let_go(&mut self, generation: u64) {
        if self.flight == Some(generation) {
            self.flight = None;
        }
    }

    /// A token came. Returns whether it is the current one now.
    ///
    /// An older one than what is held (a late answer) is not taken, nor one
    /// from a cache that was rejected. If the server itself gives a rejected
    /// token again, that token is all there is: it is taken, and the
    /// rejection forgotten. An answer to a request that was under way when it was rejected
    /// says nothing of the kind.
    pub(crate) fn succeeded(&mut self, held: Held, origin: Origin, now: Timestamp) -> bool {
        let hash = held.token.hash();
        let is_rejected = match origin {
            Origin::Cache => self.tombstones.holds(&hash),
            Origin::Server => self.tombstones.holds_since(&hash, held.generation),
        };
        if is_rejected {
            return false;
        }
        self.failures = 0;
        self.last_try_taken = false;
        let backoff = self.backoff.take().map(|backoff| backoff.error);
        let denial = self.denial.take().map(|denial| denial.hold.error);
        self.discarded
            .extend([backoff, denial].into_iter().flatten());
        let is_late = |current: &Held| {
            current.generation > held.generation
                && current.deadlines.freshness(now) != Freshness::Expired
        };
        if self.held.as_ref().is_some_and(is_late) {
            return false;
        }
        self.tombstones.lift(&hash);
        self.held = Some(held);
        if self.dropped.take() == Some(Reason::Rejected) && origin == Origin::Cache {
            // The rejection has cost no fetch.
            self.rejected_at = None;
        }
        true
    }

    /// A fetch failed. Returns the error for those who waited, with the time
    /// until the next one; that of a superseded fetch changes nothing.
    pub(crate) fn failed(
        &mut self,
        generation: u64,
        failure: Failure,
        now: Timestamp,
        draw: u64,
    ) -> Error {
        if self.flight != Some(generation) {
            return failure.error;
        }
        self.failures = self.failures.saturating_add(1);
        let asked = failure.retry_after.map_or(0, nanos);
        let wait = match failure.class {
            Class::Refused(tag) => {
                let (refusals, wait) = self.next_refusal(failure.refusals_elsewhere);
                let wait = wait.max(asked);
                self.deny(tag, refusals, wait, &failure.error, now);
                wait
            }
            Class::RefusedElsewhere(tag) => {
                // The time that is left of it, and not a refusal more.
                let refusals = self.refusals().max(failure.refusals_elsewhere);
                self.deny(tag, refusals, asked, &failure.error, now);
                asked
            }
            Class::Passing | Class::Later => {
                let wait = self.wait_after_trouble(asked, failure.took, now, draw);
                let backoff = self.backoff.replace(Hold {
                    until: now.monotonic.saturating_add(wait),
                    error: failure.error.clone(),
                });
                self.discarded.extend(backoff.map(|backoff| backoff.error));
                // These are other credentials, or its time is over.
                self.credentials_changed();
                wait
            }
        };
        failure.error.after(Duration::from_nanos(wait))
    }

    fn deny(
        &mut self,
        tag: CredentialTag,
        refusals: u32,
        wait: u64,
        error: &Error,
        now: Timestamp,
    ) {
        let denial = self.denial.replace(Denial {
            hold: Hold {
                until: now.monotonic.saturating_add(wait),
                error: error.clone(),
            },
            tag,
            refusals,
            recheck_at: now.monotonic.saturating_add(RECHECK_INTERVAL),
        });
        let errors = [
            self.backoff.take().map(|backoff| backoff.error),
            denial.map(|denial| denial.hold.error),
        ];
        self.discarded.extend(errors.into_iter().flatten());
    }

    /// How many refusals there have been in a row.
    fn refusals(&self) -> u32 {
        self.denial.as_ref().map_or(0, |denial| denial.refusals)
    }

    /// How many refusals in a row the next one makes, after so many that others
    /// have met, and how long the server is not asked then.
    pub(crate) fn next_refusal(&self, elsewhere: u32) -> (u32, u64) {
        let refusals = self.refusals().max(elsewhere).saturating_add(1);
        (refusals, denial(refusals))
    }

    /// The credentials are others than those that were refused: the refusal is
    /// in force no more. Another one would be the next in a row.
    pub(crate) fn credentials_changed(&mut self) {
        if let Some(denial) = &mut self.denial {
            denial.hold.until = 0;
        }
    }

    /// The error of the refusal that is in force.
    pub(crate) fn refusal(&self, now: Timestamp) -> Option<Error> {
        let hold = &self.denial.as_ref()?.hold;
        let left = hold.until.checked_sub(now.monotonic)?;
        (left > 0).then(|| hold.error.after(Duration::from_nanos(left)))
    }

    /// The credentials that were refused are still the ones there are.
    /// Returns the error of the refusal.
    pub(crate) fn unchanged(&mut self, now: Timestamp) -> Option<Error> {
        let denial = self.denial.as_mut()?;
        denial.recheck_at = now.monotonic.saturating_add(RECHECK_INTERVAL);
        self.refusal(now)
    }

    /// The backoff; or, if the token at hand would be gone by then, one last
    /// try at a random moment in the second half of the time that it has,
    /// unless the server asked for more patience.
    fn wait_after_trouble(&mut self, asked: u64, took: u64, now: Timestamp, draw: u64) -> u64 {
        let wait = backoff(self.failures, took, draw).max(patience(asked, draw));
        let Some(held) = &self.held else { return wait };
        let unusable_at = held.deadlines.unusable_at;
        let left = (unusable_at.monotonic.saturating_sub(now.monotonic))
            .min(unusable_at.wall.saturating_sub(now.wall));
        if left == 0 || wait < left || self.last_try_taken {
            return wait;
        }
        let earliest = asked.max(left / 2);
        if earliest >= left {
            return wait;
        }
        self.last_try_taken = true;
        earliest + share(left - 1 - earliest, draw)
    }

    /// The API refused this token.
    pub(crate) fn reject(&mut self, token: &AccessToken, now: Timestamp) -> Rejection {
        let hash = token.hash();
        if self.tombstones.holds(&hash) {
            return Rejection::NotCurrent;
        }
        let is_current = self.held.as_ref().is_some_and(|held| held.token == *token);
        if is_current {
            if let Some(rejected_at) = self.rejected_at {
                let again_at = rejected_at.saturating_add(REJECTION_INTERVAL);
                if now.monotonic < again_at {
                    let after = Duration::from_nanos(again_at - now.monotonic);
                    return Rejection::CoolingDown { after };
                }
            }
            self.held = None;
            self.dropped = Some(Reason::Rejected);
            self.rejected_at = Some(now.monotonic);
        }
        self.tombstones
            .add(hash, token.expires_at(), self.generations, now);
        if is_current {
            Rejection::Dropped
        } else {
            Rejection::NotCurrent
        }
    }

    /// Whether this token was rejected, and must not come back from a cache.
    pub(crate) fn is_rejected(&self, hash: &TokenHash) -> bool {
        self.tombstones.holds(hash)
    }

    /// The rejected tokens that caches have not been told of yet.
    pub(crate) fn untold_rejections(&self) -> Vec<TokenHash> {
        self.tombstones.untold()
    }

    pub(crate) fn rejection_told(&mut self, hash: &TokenHash) {
        self.tombstones.told(hash);
    }

    /// What the shell has to drop, without the lock.
    #[must_use]
    pub(crate) fn take_discarded(&mut self) -> Vec<Error> {
        std::mem::take(&mut self.discarded)
    }

    pub(crate) fn is_fresh(&self, now: Timestamp) -> bool {
        let held = self.held.as_ref();
        held.is_some_and(|held| held.deadlines.freshness(now) == Freshness::Fresh)
    }

    /// For how long there is nothing to do without a caller, in nanoseconds.
    pub(crate) fn rest(&self, now: Timestamp) -> u64 {
        if self.flight.is_some() {
            return SECOND;
        }
        let fresh_for = |held: &Held| held.deadlines.fresh_for(now);
        let fresh_for = self.held.as_ref().map_or(0, fresh_for);
        let held_back_until = self.held_back_until(now).unwrap_or_default();
        fresh_for.max(held_back_until.saturating_sub(now.monotonic))
    }

    pub(crate) fn held(&self) -> Option<&Held> {
        self.held.as_ref()
    }

    pub(crate) fn flight(&self) -> Option<u64> {
        self.flight
    }

    pub(crate) fn last_error(&self) -> Option<&Error> {
        let denial = self.denial.as_ref().map(|denial| &denial.hold);
        let hold = self.backoff.as_ref().or(denial)?;
        Some(&hold.error)
    }

    /// The moment (monotonic) before which no fetch starts, if that is to
    /// come.
    pub(crate) fn held_back_until(&self, now: Timestamp) -> Option<u64> {
        let denial = self.denial.as_ref().map(|denial| denial.hold.until);
        let backoff = self.backoff.as_ref().map(|backoff| backoff.until);
        denial.max(backoff).filter(|until| now.monotonic < *until)
    }
}

enum Permission {
    Yes(Reason),
    UnderWay,
    No(Error),
}

#[cfg(test)]
mod tests;
