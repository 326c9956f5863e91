//! What may lie under the names of a cache, and how many of them.

use std::{collections::BTreeSet, fs, sync::Arc};

use bloom_auth_core::TokenCache as _;
use tokio::task::JoinSet;

use super::support::{Place, SECRET, access, access_of, files, name, record};

#[tokio::test]
async fn d23_names_say_nothing_and_never_meet() {
    let place = Place::new();
    // Names that a file system could take for one another, or for paths.
    let ids = [
        "a",
        "A",
        "../a",
        "a/b",
        "a.",
        "CON",
        "é",
        &*"x".repeat(1000),
    ];
    let other = "A SECRET OF MORE THAN 32 CHARACTERS";
    for id in ids {
        for secret in [SECRET, other] {
            let access = access_of(id, secret);
            place
                .cache
                .store(&access, &record(&format!("t{}", id.len()), 10))
                .await
                .unwrap();
        }
    }
    let names: BTreeSet<String> = place
        .files()
        .iter()
        .filter_map(|file| name(file).strip_suffix(".v1.token").map(str::to_owned))
        .collect();
    assert_eq!(names.len(), 2 * ids.len());
    for name in &names {
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        assert!(name.len() == 64 && name.bytes().all(is_hex), "{name}");
    }
    // Nothing but the cache is in the directory above.
    assert_eq!(files(place.directory.path()), [place.path()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn d24_files_that_vanish_are_misses() {
    let place = Arc::new(Place::new());
    place.store("t", 10).await;
    let file = place.file();
    let mut tasks = JoinSet::new();
    for _ in 0..4 {
        let place = Arc::clone(&place);
        tasks.spawn(async move {
            for _ in 0..500 {
                let token = place.token().await;
                assert!(token.is_none_or(|token| token == "t"));
            }
        });
    }
    // By renaming it back and forth: whole at every moment, and often away.
    let away = file.with_extension("away");
    while !tasks.is_empty() {
        fs::rename(&file, &away).unwrap();
        fs::rename(&away, &file).unwrap();
        while let Some(result) = tasks.try_join_next() {
            result.unwrap();
        }
    }
    assert_eq!(place.token().await.as_deref(), Some("t"));
}

#[tokio::test]
async fn d22_many_entries_cost_an_entry_nothing() {
    let place = Place::new();
    place.store("ours", 10).await;
    let (file, before) = (place.file(), place.files().len());
    for n in 0..10_000 {
        fs::write(place.path().join(format!("{n:064x}.v1.token")), "another's").unwrap();
    }
    // Neither read nor written when ours is.
    place.store("ours-again", 5).await;
    assert_eq!(place.token().await.as_deref(), Some("ours-again"));
    assert_eq!(place.files().len(), before + 10_000);
    let untouched = place.files().into_iter().filter(|other| {
        *other != file && fs::read_to_string(other).is_ok_and(|text| text == "another's")
    });
    assert_eq!(untouched.count(), 10_000);
}

#[tokio::test]
async fn a_lease_and_a_lock_leave_nothing_but_empty_files() {
    let place = Place::new();
    drop(place.cache.lease(&access()).await.unwrap());
    place.store("t", 10).await;
    let hash = record("t", 10).token().hash();
    place.cache.remove(&access(), &hash).await.unwrap();
    let files = place.files();
    assert_eq!(files.len(), 2, "{files:?}");
    for file in files {
        assert_eq!(fs::read(&file).unwrap(), b"", "{file:?}");
    }
}
