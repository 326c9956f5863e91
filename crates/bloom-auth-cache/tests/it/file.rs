//! `FileCache`: conformance, what is on the disk, and what becomes of it in
//! every kind of trouble. Processes are real ones: this test binary again.

mod contents;
mod damage;
mod entries;
#[cfg(target_os = "linux")]
mod injected;
#[cfg(unix)]
mod kills;
#[cfg(unix)]
mod links;
pub(crate) mod support;
#[cfg(unix)]
mod sweep;

use std::{
    fs,
    future::ready,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bloom_auth_cache::{FileCache, Sealer};
use bloom_auth_core::{
    CacheAccess, TokenCache,
    test_util::{
        cache_suite::{self, BitFlips, Leases, RawEntries},
        is_long,
    },
};
use tempfile::TempDir;

use crate::isolation;

/// Makes caches in directories of their own, and keeps those as long as the
/// test runs.
#[derive(Default)]
struct Directories(Mutex<Vec<TempDir>>);

impl Directories {
    fn cache(&self, sealer: Sealer) -> FileCache {
        let directory = tempfile::tempdir().unwrap();
        let cache = FileCache::builder()
            .directory(directory.path().join("cache"))
            .sealer(sealer);
        self.0.lock().unwrap().push(directory);
        cache.build().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn k5_k6_it_conforms() {
    let directories = Directories::default();
    let make = || ready(directories.cache(Sealer::new()));
    assert_eq!(cache_suite::all(make).await, Leases::Exercised);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn k5_k6_it_conforms_with_a_given_key_behind_a_pointer_to_the_trait() {
    let directories = Directories::default();
    let make = || {
        let cache = directories.cache(Sealer::with_key([7; 32]));
        ready(Arc::new(cache) as Arc<dyn TokenCache>)
    };
    assert_eq!(cache_suite::all(make).await, Leases::Exercised);
}

#[tokio::test]
async fn k9_it_remembers_refusals() {
    let directories = Directories::default();
    let cache = directories.cache(Sealer::new());
    cache_suite::a_refusal_is_remembered_for_its_key_alone(&cache).await;
}

#[expect(
    clippy::disallowed_methods,
    reason = "it is the environment of this process that is looked at"
)]
#[test]
fn without_a_directory_it_is_the_environment_that_names_one() {
    let cache = FileCache::builder().lookup(|name| std::env::var_os(name));
    let expected = cache.build().map(|cache| cache.directory().to_owned());
    let found = FileCache::new().map(|cache| cache.directory().to_owned());
    assert_eq!(found, expected);
}

/// The bytes of a cache's entries.
struct Files(PathBuf);

impl Files {
    fn path(&self, access: &CacheAccess) -> PathBuf {
        let name = Sealer::new().name(access).unwrap();
        let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
        self.0.join(format!("{name}.v1.token"))
    }
}

#[async_trait]
impl RawEntries for Files {
    async fn read(&self, access: &CacheAccess) -> Option<Vec<u8>> {
        fs::read(self.path(access)).ok()
    }

    async fn write(&self, access: &CacheAccess, bytes: &[u8]) {
        fs::write(self.path(access), bytes).unwrap();
    }
}

#[tokio::test]
async fn r7_r8_poisoned_files_are_misses() {
    let directories = Directories::default();
    let cache = directories.cache(Sealer::new());
    let files = Files(cache.directory().to_owned());
    cache_suite::poisoned_entries_are_misses(&cache, &files, BitFlips::Sample).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn c20_a_cache_in_files_never_mixes_keys() {
    let directories = Directories::default();
    let cache = directories.cache(Sealer::new());
    let gets = if is_long() { 1_000_000 } else { 20_000 };
    isolation::check(Arc::new(cache), gets).await;
}
