//! Where the token lies: in one place, or in many.
//!
//! A token starts in one place, behind a lock that its readers take for a
//! moment. That is all that most tokens need, those of many tenants above all.
//! Only when threads keep meeting there is the token *spread*: into slots on
//! cache lines of their own, each with a copy of its own, so that a reader
//! writes nothing that another core reads or writes: not even the count of who
//! shares a header's bytes. It stays spread from then on.
//!
//! Whoever publishes writes the first place and every slot before it returns.
//! So nothing outlives a rejection or the provider in some thread's pocket.

use super::{
    Prepared, readers,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError, RwLock, TryLockError},
};

/// A token for its readers.
#[derive(Debug, Default)]
pub(crate) struct Places {
    pub(super) first: Mutex<First>,
    pub(super) slots: OnceLock<Box<[Slot]>>,
}

#[derive(Debug, Default)]
pub(super) struct First {
    pub(super) prepared: Option<Prepared>,
    crowd: Crowd,
}

/// On cache lines of its own; processors fetch them in pairs.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Slot(pub(super) RwLock<Option<Prepared>>);

/// How often readers met lately.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    since: u64,
    meetings: u32,
}

impl Crowd {
    const WHILE: u64 = 1_000_000_000;

    /// Counts a meeting, and says whether there have been so many within a
    /// second that it was no accident.
    pub(super) fn meets(&mut self, now: u64) -> bool {
        if now.saturating_sub(self.since) >= Self::WHILE {
            self.since = now;
            self.meetings = 0;
        }
        self.meetings = self.meetings.saturating_add(1);
        self.meetings >= readers::CROWD
    }
}

impl Places {
    /// What is taken from what is published, fresh or not. `now` is monotonic, and tells whether
    /// readers meet often.
    #[inline]
    pub(crate) fn read<T>(&self, now: u64, take: impl FnOnce(Option<&Prepared>) -> T) -> T {
        if let Some(slot) = self.slot() {
            let prepared = slot.0.read().unwrap_or_else(PoisonError::into_inner);
            return take(prepared.as_ref());
        }
        let first = match self.first.try_lock() {
            Ok(first) => first,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => self.meet(now),
        };
        take(first.prepared.as_ref())
    }

    /// This thread's slot, once the token is spread.
    #[inline]
    pub(super) fn slot(&self) -> Option<&Slot> {
        let slots = self.slots.get()?;
        // Their number is a power of two.
        slots.get(readers::number() & (slots.len() - 1))
    }

    /// Waits for whoever reads or publishes at this moment; spreads the token
    /// if that happens often.
    #[cold]
    pub(super) fn meet(&self, now: u64) -> MutexGuard<'_, First> {
        let mut first = self.first();
        if first.crowd.meets(now) {
            // Under this lock, as whatever is published: no slot misses it.
            self.slots.get_or_init(|| {
                let copy = || first.prepared.as_ref().map(Prepared::separate);
                let slots = 0..readers::slots();
                slots.map(|_| Slot(RwLock::new(copy()))).collect()
            });
        }
        first
    }

    /// Publishes this, or that there is nothing. No reader finds what was there
    /// before once this has returned.
    pub(crate) fn set(&self, prepared: Option<Prepared>) {
        let mut first = self.first();
        for slot in self.slots.get().into_iter().flatten() {
            let copy = prepared.as_ref().map(Prepared::separate);
            let mut place = slot.0.write().unwrap_or_else(PoisonError::into_inner);
            let before = std::mem::replace(&mut *place, copy);
            // No reader waits for memory to be given back.
            drop(place);
            drop(before);
        }
        first.prepared = prepared;
    }

    fn first(&self) -> MutexGuard<'_, First> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
