//! A part of the map: the lock, and what is done under it.
//!
//! The key's `Eq` runs under the lock, since a map cannot do without it. No
//! other foreign code does: hashes are given, and what is taken out is dropped
//! when the lock is free.

use std::sync::{
    PoisonError, RwLock, RwLockWriteGuard,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use hashbrown::HashTable;

use super::eviction::{Limits, Rank, cut};
use crate::provider::TokenProvider;

const SECOND: u64 = 1_000_000_000;

const REMOVAL_SLOTS: usize = 64;

/// Idleness is told to this part of its time.
const PRECISION: u64 = 16;

/// On a cache line of its own, since the lock of a shard is written by everyone
/// who reads in it.
#[repr(align(64))]
pub(super) struct Shard<K>(RwLock<Entries<K>>);

struct Entries<K> {
    /// By a hash that is made once for the shard, the table and the rest.
    table: HashTable<Entry<K>>,
    /// How many entries there have been.
    added: u64,
    /// How many times one was to be removed, by a part of the key's hash: the
    /// removal of one key holds up few others.
    removals: [u64; REMOVAL_SLOTS],
    /// How many may come before the next search for some that may go.
    respite: usize,
    /// When to look for idle ones.
    sweep_at: u64,
}

struct Entry<K> {
    key: K,
    provider: TokenProvider,
    /// Monotonic nanoseconds.
    last_used: AtomicU64,
    number: u64,
    hash: u64,
}

impl<K> Entry<K> {
    fn is_used(&self, now: u64, limits: Limits) {
        // Not written each time: it would take the cache line away from the
        // others who read it.
        let precision = SECOND.min(limits.idle_after / PRECISION);
        let last_used = self.last_used.load(Ordering::Relaxed);
        if now.saturating_sub(last_used) > precision {
            self.last_used.fetch_max(now, Ordering::Relaxed);
        }
    }

    fn rank(&self) -> Rank {
        (self.last_used.load(Ordering::Relaxed), self.number)
    }
}

/// No provider was there.
pub(super) struct Absent {
    hash: u64,
    slot: usize,
    removals: u64,
}

impl<K: Eq> Shard<K> {
    pub(super) fn new() -> Self {
        Self(RwLock::new(Entries {
            table: HashTable::new(),
            added: 0,
            removals: [0; REMOVAL_SLOTS],
            respite: 0,
            sweep_at: 0,
        }))
    }

    /// Reads what a provider has, if it is there. The hash is the key's, by
    /// whatever hasher, always the same.
    #[inline]
    pub(super) fn read<T>(
        &self,
        key: &K,
        hash: u64,
        now: u64,
        limits: Limits,
        read: impl FnOnce(&TokenProvider) -> Option<T>,
    ) -> Option<T> {
        let entries = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.table.find(hash, |entry| entry.key == *key)?;
        entry.is_used(now, limits);
        read(&entry.provider)
    }

    pub(super) fn get(
        &self,
        key: &K,
        hash: u64,
        now: u64,
        limits: Limits,
    ) -> Result<TokenProvider, Absent> {
        let entries = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match entries.table.find(hash, |entry| entry.key == *key) {
            Some(entry) => {
                entry.is_used(now, limits);
                Ok(entry.provider.clone())
            }
            None => {
                let slot = slot(hash);
                let removals = entries.removals.get(slot).copied().unwrap_or_default();
                Err(Absent {
                    hash,
                    slot,
                    removals,
                })
            }
        }
    }

    /// Adds a provider that was built since `absent`, unless somebody else was
    /// faster; returns the one that is there now. `None` if something was
    /// removed meanwhile: what was built may be what was to be removed.
    pub(super) fn add(
        &self,
        absent: &Absent,
        key: K,
        built: TokenProvider,
        now: u64,
        limits: Limits,
        total: &AtomicUsize,
    ) -> Option<TokenProvider> {
        // Values are dropped in the reverse order: the lock is free when foreign
        // code is dropped, which these and the parameters hold.
        let mut evicted = Vec::new();
        let mut locked = self.write(total);
        if locked.entries.removals.get(absent.slot) != Some(&absent.removals) {
            return None;
        }
        let found = locked.entries.table.find(absent.hash, |it| it.key == key);
        if let Some(entry) = found {
            entry.is_used(now, limits);
            return Some(entry.provider.clone());
        }
        locked.make_room(&mut evicted, now, limits);
        let entries = &mut *locked.entries;
        let entry = Entry {
            key,
            provider: built.clone(),
            last_used: AtomicU64::new(now),
            number: entries.added,
            hash: absent.hash,
        };
        entries.added += 1;
        entries
            .table
            .insert_unique(absent.hash, entry, |entry| entry.hash);
        Some(built)
    }

    /// Removes a provider, and sees to it that one which is being built is
    /// built anew.
    pub(super) fn remove(&self, key: &K, hash: u64, total: &AtomicUsize) -> bool {
        let mut locked = self.write(total);
        if let Some(removals) = locked.entries.removals.get_mut(slot(hash)) {
            *removals += 1;
        }
        let found = locked
            .entries
            .table
            .find_entry(hash, |entry| entry.key == *key);
        let removed = found.ok().map(|found| found.remove().0);
        drop(locked);
        removed.is_some()
    }

    fn write<'a>(&'a self, total: &'a AtomicUsize) -> Locked<'a, K> {
        let entries = self.0.write().unwrap_or_else(PoisonError::into_inner);
        Locked {
            before: entries.table.len(),
            entries,
            total,
        }
    }
}

/// Which of so many shards, a power of two, has this hash: by bits that say
/// nothing of its place in there. The table goes by the lowest and by the seven
/// highest; a shard whose hashes had those in common would have its entries in
/// few places, and look through most of them for each.
pub(super) fn number(hash: u64, shards: usize) -> usize {
    // The remainder by a power of two: that higher bits are lost does not count.
    (hash >> 40) as usize % shards
}

/// By bits that have chosen neither the shard nor the place in its table.
fn slot(hash: u64) -> usize {
    (hash >> 32) as usize % REMOVAL_SLOTS
}

/// A shard that is locked. However that ends, by a panic of the key too, the
/// total is right afterwards.
struct Locked<'a, K> {
    entries: RwLockWriteGuard<'a, Entries<K>>,
    before: usize,
    total: &'a AtomicUsize,
}

impl<K> Locked<'_, K> {
    /// Takes out who has to go before one is added.
    fn make_room(&mut self, evicted: &mut Vec<Entry<K>>, now: u64, limits: Limits) {
        let entries = &mut *self.entries;
        let len = entries.table.len();
        let total = self.total.load(Ordering::Relaxed);
        let mut surplus = limits.surplus(total, len);
        if surplus > 0 && entries.respite > 0 {
            entries.respite -= 1;
            surplus = 0;
        }
        if surplus == 0 && now < entries.sweep_at {
            return;
        }
        let sweep_in = SECOND.max(limits.idle_after / PRECISION);
        entries.sweep_at = now.saturating_add(sweep_in);
        let uses = entries.table.iter();
        let uses = uses.map(|entry| (entry.rank(), entry.provider.is_in_use()));
        let cut = cut(uses, now, limits.idle_after, surplus);
        // A call cannot have begun to use one: that takes the lock. What keeps one
        // warm can; its fetch is then given up with it.
        let goes = |entry: &Entry<K>| Some(entry.rank()) <= cut && !entry.provider.is_in_use();
        evicted.extend(entries.table.extract_if(|entry| goes(entry)));
        entries.respite = Limits::respite(surplus, evicted.len(), len);
    }
}

impl<K> Drop for Locked<'_, K> {
    fn drop(&mut self) {
        let after = self.entries.table.len();
        if after >= self.before {
            self.total.fetch_add(after - self.before, Ordering::Relaxed);
        } else {
            self.total.fetch_sub(self.before - after, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shard_slot_and_place_are_chosen_by_different_bits() {
        let decisive = |choose: fn(u64) -> usize| {
            let bits = (0..64).map(|bit| 1_u64 << bit);
            bits.filter(|bit| choose(*bit) != choose(0)).sum::<u64>()
        };
        assert_eq!(decisive(|hash| number(hash, 256)), 0xff << 40);
        assert_eq!(decisive(slot), 0x3f << 32);
    }
}
