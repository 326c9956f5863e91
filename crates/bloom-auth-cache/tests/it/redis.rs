//! `RedisCache`: conformance on real servers, what is kept there, and what
//! becomes of it in every kind of trouble.

mod entries;
mod leases;
mod scripted;
mod server;
mod troubles;

use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use bloom_auth_cache::{FileCache, RedisCache, RedisCacheBuilder, Sealer, Tiered};
use bloom_auth_core::{
    CacheAccess, TokenCache,
    test_util::cache_suite::{self, BitFlips, Leases, RawEntries},
};

use tokio::task::JoinSet;

use self::server::{Kind, Server};
use crate::isolation;

/// A prefix that no other test has.
fn prefix() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("test-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A cache with keys of its own, which has time enough on a busy machine.
fn builder(server: &Server) -> RedisCacheBuilder {
    RedisCache::builder(server.url())
        .prefix(prefix())
        .timeout(std::time::Duration::from_secs(10))
}

fn cache(server: &Server) -> RedisCache {
    builder(server).build().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn k5_k6_it_conforms() {
    let mut suites = JoinSet::new();
    for kind in server::kinds("redis::k5_k6_it_conforms") {
        suites.spawn(cache_suite::all(move || ready(cache(server::shared(kind)))));
    }
    for leases in suites.join_all().await {
        assert_eq!(leases, Leases::Exercised);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn k5_k6_it_conforms_behind_files() {
    let Some(kind) = server::any("redis::k5_k6_it_conforms_behind_files") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let make = || {
        let files = FileCache::in_directory(directory.path().join(prefix())).unwrap();
        ready(Tiered::new(files, cache(server::shared(kind))))
    };
    assert_eq!(cache_suite::all(make).await, Leases::Exercised);
}

#[tokio::test]
async fn k5_k6_it_conforms_with_a_given_key_behind_a_pointer_to_the_trait() {
    let Some(kind) = server::any("redis::k5_k6_it_conforms_with_a_given_key") else {
        return;
    };
    let make = || -> Arc<dyn TokenCache> {
        let cache = builder(server::shared(kind)).sealer(Sealer::with_key([7; 32]));
        Arc::new(cache.build().unwrap())
    };
    cache_suite::another_secret_gets_nothing(&make()).await;
    cache_suite::whatever_is_in_the_key_keeps_records_apart(&make()).await;
    cache_suite::records_come_back_as_they_were(&make()).await;
    cache_suite::removal_is_of_this_very_token(&make()).await;
}

#[tokio::test]
async fn k9_it_remembers_refusals() {
    for kind in server::kinds("redis::k9_it_remembers_refusals") {
        let cache = cache(server::shared(kind));
        cache_suite::a_refusal_is_remembered_for_its_key_alone(&cache).await;
    }
}

/// The bytes of a cache's entries.
struct Values(Kind, String);

impl Values {
    fn key(&self, access: &CacheAccess) -> String {
        let name = Sealer::new().name(access).unwrap();
        let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}:{{{name}}}:t", self.1)
    }
}

#[async_trait]
impl RawEntries for Values {
    async fn read(&self, access: &CacheAccess) -> Option<Vec<u8>> {
        server::shared(self.0).client().get(&self.key(access))
    }

    async fn write(&self, access: &CacheAccess, bytes: &[u8]) {
        let key = self.key(access);
        let mut client = server::shared(self.0).client();
        client.call(&[b"SET", key.as_bytes(), bytes]);
    }
}

#[tokio::test]
async fn r7_r8_poisoned_values_are_misses() {
    for kind in server::kinds("redis::r7_r8_poisoned_values_are_misses") {
        let prefix = prefix();
        let cache = builder(server::shared(kind)).prefix(&prefix);
        let cache = cache.build().unwrap();
        let values = Values(kind, prefix);
        cache_suite::poisoned_entries_are_misses(&cache, &values, BitFlips::Sample).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c20_a_cache_in_redis_never_mixes_keys() {
    if let Some(kind) = server::any("redis::c20_a_cache_in_redis_never_mixes_keys") {
        isolation::check(Arc::new(cache(server::shared(kind))), 20_000).await;
    }
}
