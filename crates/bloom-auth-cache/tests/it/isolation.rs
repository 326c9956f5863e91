//! However many use a cache at once, nobody gets the token of another key.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use bloom_auth_cache::MemoryCache;
use bloom_auth_core::{
    AuthVersion, CacheAccess, CacheError, CacheRecord, ClientCredentials, ClientId, ClientSecret,
    Clock, Entropy as _, Environment, SystemClock, TokenCache, TokenHash, protocol::TokenRequest,
    test_util::SeededEntropy,
};
use tokio::task::JoinSet;

use crate::support::{HOUR, record};

const KEYS: usize = 1024;
const TASKS: usize = 8;
/// Loads of a cache in memory: about a second, also in a debug build. A cache
/// that is slower takes fewer.
const GETS: usize = 1_000_000;
/// Of the same key, sent one after the other.
const TOKENS: usize = 4;

/// A key, and the tokens that are its own: each names its key.
struct Owner {
    access: CacheAccess,
    prefix: String,
    records: Vec<CacheRecord>,
}

/// Keys that differ in the client id, the secret or the scopes alone.
fn owners() -> Arc<[Owner]> {
    let now = SystemClock::new().now().system_time();
    let owner = |n: usize| {
        let id = ClientId::new(format!("client-{}", n / 16)).unwrap();
        let secret = format!("the secret of a client, no. {}, 0123456789", n / 4 % 4);
        let credentials = ClientCredentials::new(id, ClientSecret::new(secret).unwrap());
        let scopes = format!("read:{}", n % 4).parse().unwrap();
        let request = TokenRequest::new(Environment::sandbox(AuthVersion::V2)).with_scopes(scopes);
        let prefix = format!("token-of-{n}-");
        let records = (0..TOKENS)
            .map(|k| {
                let sent_at = now - HOUR / 2 + HOUR / 8 * u32::try_from(k).unwrap();
                record(&format!("{prefix}{k}"), sent_at, HOUR)
            })
            .collect();
        Owner {
            access: CacheAccess::new(&request, &credentials),
            prefix,
            records,
        }
    };
    (0..KEYS).map(owner).collect()
}

/// What the loads found.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    right: usize,
    wrong: usize,
    missing: usize,
}

/// Numbers without a pattern that the keys share.
struct Numbers(SeededEntropy);

impl Numbers {
    fn next(&mut self) -> usize {
        usize::try_from(self.0.draw() >> 33).unwrap()
    }
}

/// Loads this often, all tasks together; every 64th load comes after a store,
/// and every 256th after a removal.
async fn tally(cache: Arc<dyn TokenCache>, gets: usize) -> Tally {
    let owners = owners();
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let (cache, owners) = (Arc::clone(&cache), Arc::clone(&owners));
        tasks.spawn(async move {
            let seed = u64::try_from(task).unwrap() << 32;
            let mut numbers = Numbers(SeededEntropy::new(seed));
            let mut tally = Tally::default();
            for get in 0..gets / TASKS {
                let other = &owners[numbers.next() % KEYS];
                let its = &other.records[numbers.next() % TOKENS];
                if get % 64 == 0 {
                    cache.store(&other.access, its).await.unwrap();
                }
                if get % 256 == 128 {
                    let hash = its.token().hash();
                    cache.remove(&other.access, &hash).await.unwrap();
                }
                let owner = &owners[numbers.next() % KEYS];
                match cache.load(&owner.access).await.unwrap() {
                    None => tally.missing += 1,
                    Some(found) if found.token().expose().starts_with(&owner.prefix) => {
                        tally.right += 1;
                    }
                    Some(_) => tally.wrong += 1,
                }
            }
            tally
        });
    }
    let mut sum = Tally::default();
    for tally in tasks.join_all().await {
        sum.right += tally.right;
        sum.wrong += tally.wrong;
        sum.missing += tally.missing;
    }
    sum
}

/// Fails if any of this many loads gives a token of another key.
pub(crate) async fn check(cache: Arc<dyn TokenCache>, gets: usize) {
    let tally = tally(cache, gets).await;
    assert_eq!(tally.wrong, 0, "{tally:?}");
    assert_eq!(tally.right + tally.missing, gets / TASKS * TASKS);
    // The control: there was something to mix up.
    assert!(tally.right > gets / 20, "{tally:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn c20_a_cache_in_memory_never_mixes_keys() {
    check(Arc::new(MemoryCache::new()), GETS).await;
}

#[cfg(feature = "moka")]
#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn c20_a_bounded_cache_never_mixes_keys() {
    // With room for all, and with evictions all the time.
    for max in [2 * KEYS, KEYS / 4] {
        let cache = bloom_auth_cache::MokaCache::new(max).unwrap();
        check(Arc::new(cache.clone()), GETS).await;
        let expected = if max < KEYS { max } else { KEYS / 2 };
        let len = cache.len();
        assert!((expected * 9 / 10..=max).contains(&len), "{max}: {len}");
    }
}

/// Gives every thousandth load what was found before.
#[derive(Debug, Default)]
struct Mixed {
    cache: MemoryCache,
    loads: AtomicUsize,
    last: std::sync::Mutex<Option<CacheRecord>>,
}

#[async_trait]
impl TokenCache for Mixed {
    async fn load(&self, access: &CacheAccess) -> Result<Option<CacheRecord>, CacheError> {
        let found = self.cache.load(access).await?;
        let last = std::mem::replace(&mut *self.last.lock().unwrap(), found.clone());
        let is_odd = self.loads.fetch_add(1, Ordering::Relaxed) % 1000 == 999;
        Ok(if is_odd { last } else { found })
    }

    async fn store(&self, access: &CacheAccess, record: &CacheRecord) -> Result<(), CacheError> {
        self.cache.store(access, record).await
    }

    async fn remove(&self, access: &CacheAccess, token: &TokenHash) -> Result<(), CacheError> {
        self.cache.remove(access, token).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn a_cache_that_mixes_keys_at_times_is_caught() {
    let tally = tally(Arc::new(Mixed::default()), 100_000).await;
    assert!((1..=100).contains(&tally.wrong), "{tally:?}");
}
