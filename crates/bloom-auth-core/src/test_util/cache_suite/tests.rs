//! The suite's positive controls: a cache that is right passes, and each of
//! those that are wrong in one way fails the check that looks for it.

mod poisoned;

use std::{
    collections::HashMap,
    future::ready,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use tokio::task::{JoinSet, yield_now};

use super::*;
use crate::cache::{CacheKey, LeaseGuard};

/// What a [`Flawed`] cache does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    /// Its keys are without the field by which this one of [`keys::every_key`]
    /// differs.
    Ignores(usize),
    StartsFull,
    ForgetsScopes,
    RoundsTimes,
    KeepsEarlier,
    TakesEarlier,
    KeepsOnTie,
    RemovesWhateverIsThere,
    RemovesNothing,
    RefusesToRemoveNothing,
    RemembersRemoved,
    KeepsExpired,
    ProlongsExpired,
    MixesUpLoads,
    RacyStore,
    RacyRemove,
    BreaksWhenCancelled,
    NoLeases,
    NoSecondLease,
    TwoLeases,
    OneLeaseForAll,
    FreesAllLeases,
    NeverFrees,
    FreesInRuntimeOnly,
    RacyLease,
    LeaksWhenCancelled,
    KeepsWhenPanicking,
    FreesInItsRuntime,
    CancelledWaiterFrees,
    CancelledWaiterQueues,
    Fails,
    Hangs,
}

#[derive(Debug)]
struct Flawed {
    flaw: Flaw,
    state: Arc<Mutex<State>>,
    is_busy: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    records: HashMap<CacheKey, CacheRecord>,
    removed: Vec<TokenHash>,
    leases: HashMap<CacheKey, usize>,
    asked: Option<CacheKey>,
    waiters: usize,
}

impl Flawed {
    fn new(flaw: Flaw) -> Self {
        let state = Arc::default();
        Self {
            flaw,
            state,
            is_busy: AtomicBool::new(false),
        }
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, access: &CacheAccess) -> CacheKey {
        let Flaw::Ignores(n) = self.flaw else {
            return access.key().clone();
        };
        let keys = keys::every_key();
        let is_mistaken = keys[n].1.key() == access.key();
        if is_mistaken {
            keys[0].1.key()
        } else {
            access.key()
        }
        .clone()
    }

    /// Where a real cache would wait for a disk or a server.
    async fn wait(&self) -> Result<(), CacheError> {
        if self.has(Flaw::BreaksWhenCancelled) && self.is_busy.swap(true, Ordering::SeqCst) {
            return Err(CacheError::new("the connection is busy"));
        }
        yield_now().await;
        self.is_busy.store(false, Ordering::SeqCst);
        match self.flaw {
            Flaw::Fails => Err(CacheError::new("no connection")),
            Flaw::Hangs => std::future::pending().await,
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl TokenCache for Flawed {
    async fn load(&self, access: &CacheAccess) -> Result<Option<CacheRecord>, CacheError> {
        let mut key = self.key(access);
        self.state().asked = Some(key.clone());
        self.wait().await?;
        if self.has(Flaw::MixesUpLoads) {
            key = self.state().asked.clone().unwrap();
        }
        if self.has(Flaw::StartsFull) {
            return Ok(Some(record("from-nowhere", 0)));
        }
        let Some(found) = self.state().records.get(&key).cloned() else {
            return Ok(None);
        };
        let token = found.token();
        let (mut scopes, mut sent_at) = (token.scopes().cloned(), found.sent_at());
        match self.flaw {
            Flaw::ForgetsScopes => scopes = None,
            Flaw::RoundsTimes => {
                let since = sent_at.duration_since(SystemTime::UNIX_EPOCH).unwrap();
                sent_at = SystemTime::UNIX_EPOCH + Duration::from_millis(since.as_millis() as u64);
            }
            Flaw::ProlongsExpired if is_over(&found) => {
                sent_at = before_now(Duration::ZERO);
            }
            _ => {}
        }
        Ok(Some(record_of(
            token.expose(),
            scopes,
            sent_at,
            found.lifetime(),
        )))
    }

    async fn store(&self, access: &CacheAccess, record: &CacheRecord) -> Result<(), CacheError> {
        let key = self.key(access);
        let mut there = self.state().records.get(&key).cloned();
        self.wait().await?;
        if !self.has(Flaw::RacyStore) {
            there = self.state().records.get(&key).cloned();
        }
        let is_kept = there.is_some_and(|there| match self.flaw {
            Flaw::KeepsEarlier => true,
            Flaw::TakesEarlier => false,
            Flaw::KeepsOnTie => there.sent_at() >= record.sent_at(),
            Flaw::KeepsExpired if is_over(&there) => true,
            _ => there.sent_at() > record.sent_at(),
        });
        let mut state = self.state();
        let is_refused =
            self.has(Flaw::RemembersRemoved) && state.removed.contains(&record.token().hash());
        if !is_kept && !is_refused {
            state.records.insert(key, record.clone());
        }
        Ok(())
    }

    async fn remove(&self, access: &CacheAccess, token: &TokenHash) -> Result<(), CacheError> {
        let key = self.key(access);
        let holds_it = |state: &State| {
            let there = state.records.get(&key);
            there.is_some_and(|there| there.token().hash() == *token)
        };
        let mut is_same = holds_it(&self.state());
        self.wait().await?;
        let mut state = self.state();
        if !self.has(Flaw::RacyRemove) {
            is_same = holds_it(&state);
        }
        if self.has(Flaw::RefusesToRemoveNothing) && !state.records.contains_key(&key) {
            return Err(CacheError::new("there is nothing to remove"));
        }
        if is_same && !self.has(Flaw::RemovesNothing) || self.has(Flaw::RemovesWhateverIsThere) {
            state.records.remove(&key);
        }
        state.removed.push(*token);
        Ok(())
    }

    async fn lease(&self, access: &CacheAccess) -> Result<Lease, CacheError> {
        let key = match self.flaw {
            Flaw::OneLeaseForAll => keys::base().key().clone(),
            _ => self.key(access),
        };
        let limit = if self.has(Flaw::TwoLeases) { 2 } else { 1 };
        let is_free = |state: &State| state.leases.get(&key).is_none_or(|out| *out < limit);
        let was_free = is_free(&self.state());
        self.wait().await?;
        let mut waiter = false;
        {
            let mut state = self.state();
            let is_free = is_free(&state);
            match self.flaw {
                Flaw::NoLeases => return Ok(Lease::NotNeeded),
                Flaw::NoSecondLease if !is_free => return Ok(Lease::NotNeeded),
                Flaw::RacyLease if was_free => {}
                Flaw::CancelledWaiterFrees if !is_free => waiter = true,
                Flaw::CancelledWaiterQueues if !is_free => {
                    state.waiters += 1;
                    waiter = true;
                }
                _ if !is_free => return Ok(Lease::Held),
                // Whoever waits in the queue goes first.
                _ if state.waiters > 0 => return Ok(Lease::Held),
                _ => {}
            }
            if !waiter {
                *state.leases.entry(key.clone()).or_default() += 1;
            }
        }
        if self.has(Flaw::LeaksWhenCancelled) {
            self.wait().await?;
        }
        let guard = Guard {
            flaw: self.flaw,
            state: Arc::clone(&self.state),
            key,
            runtime: tokio::runtime::Handle::current(),
        };
        if waiter {
            // As if to hear of the lease when it is free.
            self.wait().await?;
            self.state().waiters = 0;
            std::mem::forget(guard);
            return Ok(Lease::Held);
        }
        Ok(Lease::Granted(LeaseGuard::new(guard)))
    }
}

struct Guard {
    flaw: Flaw,
    state: Arc<Mutex<State>>,
    key: CacheKey,
    runtime: tokio::runtime::Handle,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match self.flaw {
            Flaw::NeverFrees => {}
            Flaw::FreesInRuntimeOnly if tokio::runtime::Handle::try_current().is_err() => {}
            Flaw::FreesAllLeases => state.leases.clear(),
            Flaw::KeepsWhenPanicking if std::thread::panicking() => {}
            Flaw::FreesInItsRuntime => {
                let (state, key) = (Arc::clone(&self.state), self.key.clone());
                self.runtime.spawn(async move {
                    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                    state.leases.remove(&key);
                });
            }
            _ => {
                state.leases.remove(&self.key);
            }
        }
    }
}

fn is_over(record: &CacheRecord) -> bool {
    record.token().expires_at() < before_now(Duration::ZERO)
}

/// Runs the suite; what it panics with is the error.
async fn run(flaw: Flaw) -> Result<Leases, String> {
    outcome(all(move || ready(Flawed::new(flaw)))).await
}

/// What a task ends with; what it panics with is the error.
async fn outcome<T: Send + 'static>(
    check: impl Future<Output = T> + Send + 'static,
) -> Result<T, String> {
    let mut tasks = JoinSet::new();
    tasks.spawn(check);
    let outcome = tasks.join_next().await.unwrap();
    outcome.map_err(|error| {
        let panic = error.into_panic();
        let text = panic.downcast_ref::<String>().cloned();
        text.unwrap_or_else(|| panic.downcast_ref::<&str>().unwrap().to_string())
    })
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_is_right_passes() {
    assert_eq!(run(Flaw::None).await, Ok(Leases::Exercised));
    assert_eq!(run(Flaw::NoLeases).await, Ok(Leases::NotNeeded));
}

#[tokio::test(start_paused = true)]
async fn a_key_without_any_one_field_is_caught() {
    let found = run(Flaw::Ignores(1)).await.unwrap_err();
    assert!(
        found.contains("the same client id and another secret"),
        "{found}"
    );
    for (n, (what, _)) in keys::every_key().iter().enumerate().skip(2) {
        let found = run(Flaw::Ignores(n)).await.unwrap_err();
        assert!(
            found.contains(&format!("`{what}` was given")),
            "{what}: {found}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn every_flaw_is_caught_by_the_check_that_looks_for_it() {
    for (flaw, complaint) in [
        (Flaw::StartsFull, "another secret"),
        (Flaw::ForgetsScopes, "other scopes"),
        (Flaw::RoundsTimes, "another time of sending"),
        (Flaw::KeepsEarlier, "in another order: another token"),
        (
            Flaw::TakesEarlier,
            "after a record that was sent earlier: another token",
        ),
        (
            Flaw::KeepsOnTie,
            "after a record that was sent at the same time",
        ),
        (
            Flaw::RemovesWhateverIsThere,
            "after the removal of another token",
        ),
        (Flaw::RemovesNothing, "still there after its removal"),
        (
            Flaw::RefusesToRemoveNothing,
            "`remove` failed: there is nothing to remove",
        ),
        (
            Flaw::RemembersRemoved,
            "after the removal of the token that it replaced: there is no record",
        ),
        (Flaw::KeepsExpired, "after a record that has expired"),
        (
            Flaw::ProlongsExpired,
            "a record that has expired: another time of sending",
        ),
        (Flaw::MixesUpLoads, "others use other keys at the same time"),
        (Flaw::RacyStore, "after many stores at once: "),
        (Flaw::RacyRemove, "stored while an older token was removed"),
        (Flaw::BreaksWhenCancelled, "the connection is busy"),
        (Flaw::NoSecondLease, "it is said not to be needed"),
        (
            Flaw::TwoLeases,
            "while the lease is out: it was granted once more",
        ),
        (Flaw::OneLeaseForAll, "while leases for other keys are out"),
        (
            Flaw::FreesAllLeases,
            "after the lease for another key was freed",
        ),
        (Flaw::NeverFrees, "after its guard was dropped"),
        (Flaw::FreesInRuntimeOnly, "in a thread without a runtime"),
        (Flaw::RacyLease, "not granted to exactly one"),
        (
            Flaw::LeaksWhenCancelled,
            "a call for it was dropped at poll 2",
        ),
        (
            Flaw::KeepsWhenPanicking,
            "the task that held it has panicked",
        ),
        (
            Flaw::FreesInItsRuntime,
            "the runtime that held it was dropped",
        ),
        (
            Flaw::CancelledWaiterFrees,
            "went away at poll 2: it was granted once more",
        ),
        (
            Flaw::CancelledWaiterQueues,
            "after its guard was dropped, after somebody who asked for it went away",
        ),
        (Flaw::Fails, "`store` failed: no connection"),
        (Flaw::Hangs, "`store` is stuck"),
    ] {
        let found = run(flaw)
            .await
            .expect_err(&format!("{flaw:?} is not caught"));
        assert!(found.contains(complaint), "{flaw:?}: {found}");
    }
}
