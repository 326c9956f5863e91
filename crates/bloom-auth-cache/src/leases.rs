//! The leases of a cache whose users are all in one process.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bloom_auth_core::{CacheKey, Lease, LeaseGuard};

/// A lease that is older than a fetch takes, with the default settings, lapses:
/// its holder's runtime stands still.
const LEASE_NANOS: u64 = 60 * 1_000_000_000;

/// Fewer entries than this are not worth looking for lapsed ones among them.
const FEW: usize = 64;

/// Who may fetch, by key. Clones share the one table, and so do the guards
/// that it gives out.
#[derive(Clone, Default)]
pub(crate) struct Leases(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    entries: HashMap<CacheKey, Entry>,
    owners: u64,
    /// Looked through for what has lapsed when it has grown to this.
    full_at: usize,
}

/// Who has a lease, and until when it counts (monotonic).
struct Entry {
    owner: u64,
    until: u64,
}

impl Leases {
    /// The lease for this key, unless somebody has it and it has not lapsed at
    /// this moment of the monotonic clock.
    pub(crate) fn ask(&self, key: &CacheKey, now: u64) -> Lease {
        let mut table = lock(&self.0);
        if table
            .entries
            .get(key)
            .is_some_and(|entry| now < entry.until)
        {
            return Lease::Held;
        }
        table.sweep(now);
        table.owners += 1;
        let owner = table.owners;
        let until = now.saturating_add(LEASE_NANOS);
        table.entries.insert(key.clone(), Entry { owner, until });
        Lease::Granted(LeaseGuard::new(Leased {
            leases: self.clone(),
            key: key.clone(),
            owner,
        }))
    }
}

impl Table {
    /// Guards that are never dropped leave entries that nobody asks for again.
    /// Those are let go when the table has doubled, which bounds it by twice
    /// the leases that count, and costs each of them little.
    fn sweep(&mut self, now: u64) {
        if self.entries.len() < self.full_at.max(FEW) {
            return;
        }
        self.entries.retain(|_, entry| now < entry.until);
        self.full_at = self.entries.len().saturating_mul(2);
    }
}

/// Frees its lease when it is dropped, if that has not lapsed and gone to
/// somebody else.
struct Leased {
    leases: Leases,
    key: CacheKey,
    owner: u64,
}

impl Drop for Leased {
    fn drop(&mut self) {
        let mut table = lock(&self.leases.0);
        let entry = table.entries.get(&self.key);
        if entry.is_some_and(|entry| entry.owner == self.owner) {
            table.entries.remove(&self.key);
        }
    }
}

fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    // It is whole between any two statements, whoever panicked.
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use bloom_auth_core::{
        AuthVersion, CacheAccess, ClientCredentials, ClientId, ClientSecret, Environment,
        protocol::TokenRequest,
    };

    use super::*;

    fn key(id: &str) -> CacheKey {
        let id = ClientId::new(id).unwrap();
        let credentials = ClientCredentials::new(id, ClientSecret::new("secret").unwrap());
        let request = TokenRequest::new(Environment::sandbox(AuthVersion::V1));
        CacheAccess::new(&request, &credentials).key().clone()
    }

    fn granted(lease: Lease) -> LeaseGuard {
        match lease {
            Lease::Granted(guard) => guard,
            lease => panic!("{lease:?}"),
        }
    }

    #[test]
    fn c14_a_panic_under_the_lock_does_no_harm() {
        let leases = Leases::default();
        let panicking = leases.clone();
        let thread = std::thread::spawn(move || {
            let _table = panicking.0.lock().unwrap();
            panic!("under the lock");
        });
        assert!(thread.join().is_err());
        assert!(leases.0.is_poisoned());
        for _ in 0..2 {
            let guard = granted(leases.ask(&key("id"), 0));
            assert!(matches!(leases.ask(&key("id"), 0), Lease::Held));
            drop(guard);
        }
    }

    #[test]
    fn guards_that_are_never_dropped_do_not_fill_the_table() {
        let leases = Leases::default();
        let mut now = 0;
        let mut stuck = Vec::new();
        for n in 0..2000 {
            stuck.push(granted(leases.ask(&key(&format!("client-{n}")), now)));
            // A hundred count at any one time.
            now += LEASE_NANOS / 100;
            let size = lock(&leases.0).entries.len();
            assert!(size <= 202, "{size} after {n}");
        }
        // What still counts was not let go, and what is late frees nothing.
        let last = key("client-1999");
        assert!(matches!(leases.ask(&last, now), Lease::Held));
        let taken = granted(leases.ask(&key("client-0"), now));
        drop(stuck);
        assert!(matches!(leases.ask(&key("client-0"), now), Lease::Held));
        drop(taken);
        assert!(lock(&leases.0).entries.is_empty());
    }
}
