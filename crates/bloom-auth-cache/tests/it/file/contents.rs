//! Looking into the directory, and clearing it.

use std::fs;

use bloom_auth_cache::{FileCache, Sealer};
use bloom_auth_core::{Clock as _, Lease, SystemClock, TokenCache as _};

use crate::support::{HOUR, access, record};

#[tokio::test]
async fn it_tells_what_is_there_and_clears_it_but_for_what_is_not_its_own() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("cache");
    let cache = FileCache::builder()
        .directory(&directory)
        .sealer(Sealer::with_key([7; 32]))
        .build()
        .unwrap();
    // Nothing is made by looking.
    assert_eq!(
        (cache.entries().unwrap(), cache.clear().unwrap()),
        (vec![], 0)
    );
    assert!(!directory.exists());

    let now = SystemClock::new().now().system_time();
    for client in ["a", "b"] {
        let record = record("canary", now, HOUR);
        cache.store(&access(client), &record).await.unwrap();
    }
    fs::write(directory.join("notes.txt"), "mine").unwrap();
    let held = cache.lease(&access("c")).await.unwrap();
    assert!(matches!(held, Lease::Granted(_)));

    let entries = cache.entries().unwrap();
    assert_eq!(entries.len(), 2);
    assert!(
        entries
            .iter()
            .all(|entry| !entry.is_refusal && entry.name.ends_with(".token"))
    );
    assert!(!format!("{entries:?}").contains("canary"));

    assert_eq!(cache.clear().unwrap(), 2);
    assert_eq!(cache.entries().unwrap(), []);
    assert!(cache.load(&access("a")).await.unwrap().is_none());
    assert_eq!(fs::read(directory.join("notes.txt")).unwrap(), b"mine");
    // Whoever fetches goes on with their right to it.
    assert!(matches!(
        cache.lease(&access("c")).await.unwrap(),
        Lease::Held
    ));
    drop(held);
    assert_eq!(cache.clear().unwrap(), 0);
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
}
