//! Stores and removals of one key that meet between two instructions, where a
//! cache in memory has no slower places.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bloom_auth_cache::MemoryCache;
use bloom_auth_core::{CacheRecord, Clock, SystemClock, TokenCache};
use tokio::task::JoinSet;

use crate::support::{HOUR, access, record};

const ROUNDS: usize = 20_000;

/// Records of which each was sent a microsecond after the one before.
fn records() -> Arc<[CacheRecord]> {
    let now = SystemClock::new().now().system_time();
    let record = |n| {
        let ago = std::time::Duration::from_micros(n);
        record(&format!("token-{n}"), now - ago, HOUR)
    };
    (0..2 * ROUNDS as u64).rev().map(record).collect()
}

/// Whoever has stored a record finds it, or one that was sent later, while
/// another task stores earlier and later ones.
async fn writers(cache: Arc<dyn TokenCache>) {
    let records = records();
    let mut tasks = JoinSet::new();
    for task in 0..4 {
        let (cache, records) = (Arc::clone(&cache), Arc::clone(&records));
        tasks.spawn(async move {
            let access = access("client");
            for mine in records.iter().skip(task).step_by(4) {
                cache.store(&access, mine).await.unwrap();
                let found = cache.load(&access).await.unwrap().unwrap();
                assert!(found.sent_at() >= mine.sent_at(), "an earlier one is back");
            }
        });
    }
    tasks.join_all().await;
    let last = records.last().unwrap();
    let found = cache.load(&access("client")).await.unwrap();
    assert_eq!(found.as_ref(), Some(last));
}

/// The removal of one token never takes away the next.
async fn removals(cache: Arc<dyn TokenCache>) {
    let records = records();
    let round = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    tasks.spawn({
        let (cache, records) = (Arc::clone(&cache), Arc::clone(&records));
        let round = Arc::clone(&round);
        async move {
            let access = access("client");
            while let Some(old) = records.get(2 * round.load(Ordering::SeqCst)) {
                let hash = old.token().hash();
                cache.remove(&access, &hash).await.unwrap();
            }
        }
    });
    tasks.spawn(async move {
        let access = access("client");
        for (n, pair) in records.chunks(2).enumerate() {
            cache.store(&access, &pair[0]).await.unwrap();
            round.store(n, Ordering::SeqCst);
            cache.store(&access, &pair[1]).await.unwrap();
            let found = cache.load(&access).await.unwrap();
            // Ends the other task also if this one fails.
            if found.as_ref() != Some(&pair[1]) || n + 1 == ROUNDS {
                round.store(ROUNDS, Ordering::SeqCst);
            }
            assert_eq!(found.as_ref(), Some(&pair[1]), "round {n}");
        }
    });
    tasks.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn stores_and_removals_are_one_step_each() {
    writers(Arc::new(MemoryCache::new())).await;
    removals(Arc::new(MemoryCache::new())).await;
}

#[cfg(feature = "moka")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn stores_and_removals_of_a_bounded_cache_are_one_step_each() {
    let new = || Arc::new(bloom_auth_cache::MokaCache::new(10).unwrap());
    writers(new()).await;
    removals(new()).await;
}
