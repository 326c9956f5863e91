//! A cache that a simulated fleet shares, and what goes wrong with it.

use std::{
    ops::Range,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::{Instant, sleep};

use super::random::Random;
use crate::{
    cache::{CacheAccess, CacheError, CacheRecord, Lease, LeaseGuard, TokenCache},
    token::TokenHash,
};

/// How a shared cache behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Well,
    /// Every call fails.
    Down,
    /// No call is ever answered.
    Hangs,
    /// Nothing is kept, and everyone gets the lease.
    Forgets,
    /// It gives an old record, or one from the future; and somebody holds the
    /// lease who never frees it.
    Lies,
}

impl Mood {
    const TROUBLE: [Self; 4] = [Self::Down, Self::Hangs, Self::Forgets, Self::Lies];
}

#[derive(Debug, Default)]
struct Store {
    first: Option<CacheRecord>,
    record: Option<CacheRecord>,
    lease: Option<u64>,
    leases: u64,
    loads: u64,
}

#[derive(Clone, Debug)]
pub(super) struct SharedCache {
    store: Arc<Mutex<Store>>,
    moods: Arc<[(Range<u64>, Mood)]>,
    began: Instant,
}

impl SharedCache {
    /// One that is well for ever.
    pub(super) fn new() -> Self {
        Self {
            store: Arc::default(),
            moods: Arc::default(),
            began: Instant::now(),
        }
    }

    /// One that is well and in trouble by turns, for one to ten minutes each,
    /// until this second.
    pub(super) fn that_comes_and_goes(seed: u64, until: u64) -> Self {
        let mut random = Random::new(!seed);
        let mut moods = Vec::new();
        let mut now = 0;
        while now < until {
            let well = random.between(60, 600);
            let bad = random.between(60, 600);
            let mood = Mood::TROUBLE[(random.draw() % 4) as usize];
            moods.push((now + well..now + well + bad, mood));
            now += well + bad;
        }
        Self {
            moods: moods.into(),
            ..Self::new()
        }
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap()
    }

    /// Takes the time of a call, and tells what comes of it.
    async fn mood(&self) -> Result<Mood, CacheError> {
        let now = self.began.elapsed().as_secs();
        let trouble = self.moods.iter().find(|(time, _)| time.contains(&now));
        let mood = trouble.map_or(Mood::Well, |(_, mood)| *mood);
        match mood {
            Mood::Down => Err(CacheError::new("no connection")),
            Mood::Hangs => std::future::pending().await,
            mood => {
                sleep(Duration::from_millis(2)).await;
                Ok(mood)
            }
        }
    }
}

/// Frees the lease if it is still the same one.
struct Holder(SharedCache, u64);

impl Drop for Holder {
    fn drop(&mut self) {
        let mut store = self.0.store();
        if store.lease == Some(self.1) {
            store.lease = None;
        }
    }
}

#[async_trait]
impl TokenCache for SharedCache {
    async fn load(&self, _: &CacheAccess) -> Result<Option<CacheRecord>, CacheError> {
        let mood = self.mood().await?;
        let mut store = self.store();
        store.loads += 1;
        Ok(match mood {
            Mood::Forgets => None,
            Mood::Lies if store.loads.is_multiple_of(2) => store.first.clone(),
            Mood::Lies => store.record.as_ref().map(|record| {
                let later = Duration::from_secs(86_400);
                let sent_at = record.sent_at_nanos() + crate::clock::nanos(later);
                CacheRecord::of(record.token().clone(), sent_at, record.lifetime_nanos())
            }),
            _ => store.record.clone(),
        })
    }

    async fn store(&self, _: &CacheAccess, record: &CacheRecord) -> Result<(), CacheError> {
        if self.mood().await? == Mood::Forgets {
            return Ok(());
        }
        let mut store = self.store();
        store.first.get_or_insert_with(|| record.clone());
        let is_later = |held: &CacheRecord| held.sent_at() > record.sent_at();
        if !store.record.as_ref().is_some_and(is_later) {
            store.record = Some(record.clone());
        }
        Ok(())
    }

    async fn remove(&self, _: &CacheAccess, token: &TokenHash) -> Result<(), CacheError> {
        self.mood().await?;
        let mut store = self.store();
        store.record.take_if(|held| held.token().hash() == *token);
        Ok(())
    }

    async fn lease(&self, _: &CacheAccess) -> Result<Lease, CacheError> {
        let mood = self.mood().await?;
        let mut store = self.store();
        if mood == Mood::Lies || mood == Mood::Well && store.lease.is_some() {
            return Ok(Lease::Held);
        }
        store.leases += 1;
        let lease = store.leases;
        store.lease = Some(lease);
        Ok(Lease::Granted(LeaseGuard::new(Holder(self.clone(), lease))))
    }
}
