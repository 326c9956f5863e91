//! The refusals that a cache in a process remembers.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use bloom_auth_core::{CacheKey, Refusal};

/// Fewer than this are not worth looking for those that are over among them.
const FEW: usize = 64;

/// By key.
#[derive(Default)]
pub(crate) struct Refusals(Mutex<Table>);

#[derive(Default)]
struct Table {
    entries: HashMap<CacheKey, Refusal>,
    /// Looked through for what is over when it has grown to this.
    full_at: usize,
}

impl Refusals {
    pub(crate) fn get(&self, key: &CacheKey) -> Option<Refusal> {
        self.table().entries.get(key).copied()
    }

    pub(crate) fn put(&self, key: &CacheKey, refusal: Refusal, now: SystemTime) {
        let mut table = self.table();
        if table.entries.len() >= table.full_at.max(FEW) {
            table
                .entries
                .retain(|_, refusal| !refusal.left(now).is_zero());
            table.full_at = table.entries.len().saturating_mul(2);
        }
        table.entries.insert(key.clone(), refusal);
    }

    /// There is a token, so these credentials are good.
    pub(crate) fn lift(&self, key: &CacheKey) {
        self.table().entries.remove(key);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // It is whole between any two statements, whoever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bloom_auth_core::{
        AuthVersion, CacheAccess, ClientCredentials, ClientId, ClientSecret, Environment,
        RefusalKind, protocol::TokenRequest,
    };

    use super::*;

    fn key(n: u64) -> CacheKey {
        let id = ClientId::new(format!("client-{n}")).unwrap();
        let credentials = ClientCredentials::new(id, ClientSecret::new("secret").unwrap());
        let request = TokenRequest::new(Environment::sandbox(AuthVersion::V1));
        CacheAccess::new(&request, &credentials).key().clone()
    }

    #[test]
    fn refusals_that_are_over_do_not_fill_the_table() {
        let refusals = Refusals::default();
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let refusal = |n| Refusal::new(RefusalKind::Client, at(n), Duration::from_secs(100), 1);
        for n in 0..2000 {
            refusals.put(&key(n), refusal(n), at(n));
            // A hundred are in force at any one time.
            assert!(refusals.table().entries.len() <= 202);
        }
        assert_eq!(refusals.get(&key(1999)), Some(refusal(1999)));
        assert_eq!(refusals.get(&key(1)), None);
    }
}
