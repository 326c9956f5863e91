//! Files that are not what they should be: a miss, one warning, and the next
//! store heals it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use bloom_auth_cache::{FileCache, Sealer};
use bloom_auth_core::{
    CacheAccess, CacheRecord, ClientSecret, Clock as _, TokenCache as _, test_util::ManualClock,
};

use super::support::{
    Place, SECRET, Warnings, access, access_of, files, name, record, with_ending,
};

/// Where the record of this access is.
fn file_of(directory: &Path, access: &CacheAccess) -> PathBuf {
    let name = Sealer::new().name(access).unwrap();
    let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
    directory.join(format!("{name}.v1.token"))
}

/// A load of this damage is a miss with one warning, however often it is
/// tried; then a store heals it.
async fn check(place: &Place, warnings: &Warnings, what: &str, problem: &str) {
    for _ in 0..3 {
        assert_eq!(place.token().await, None, "{what}");
    }
    let lines = warnings.take();
    assert_eq!(lines.len(), 1, "{what}: {lines:#?}");
    assert!(lines[0].contains("bloom_auth.cache"), "{what}: {lines:?}");
    assert!(lines[0].contains(problem), "{what}: {lines:?}");
    place.store("healed", 10).await;
    assert_eq!(place.token().await.as_deref(), Some("healed"), "{what}");
    assert_eq!(warnings.take(), [""; 0], "{what}");
}

#[tokio::test]
async fn d7_d9_a_file_that_was_cut_off_or_overwritten_is_a_miss_and_heals() {
    let (place, warnings) = (Place::new(), Warnings::capture());
    place.store("first", 100).await;
    let file = place.file();
    let whole = fs::read(&file).unwrap();
    for length in 0..whole.len() {
        fs::write(&file, &whole[..length]).unwrap();
        let problem = if length < 65 {
            "not a whole record"
        } else {
            "it was changed"
        };
        check(&place, &warnings, &format!("{length} bytes"), problem).await;
    }
    // A short new one over a long old one.
    let long = [&whole[..], &whole[30..]].concat();
    fs::write(&file, long).unwrap();
    check(&place, &warnings, "trailing bytes", "it was changed").await;
    fs::write(&file, &whole).unwrap();
    assert_eq!(place.token().await.as_deref(), Some("first"));
}

#[tokio::test]
async fn each_problem_of_each_file_is_warned_of_once_until_it_is_gone() {
    let (place, warnings) = (Place::new(), Warnings::capture());
    let other = access_of("another client", SECRET);
    let (ours, theirs) = (
        file_of(place.path(), &access()),
        file_of(place.path(), &other),
    );
    for access in [&access(), &other] {
        place.cache.store(access, &record("t", 100)).await.unwrap();
    }
    let warned = async |access: &CacheAccess| {
        assert!(place.cache.load(access).await.unwrap().is_none());
        let lines = warnings.take();
        assert!(lines.len() <= 1, "{lines:?}");
        lines.first().cloned().unwrap_or_default()
    };
    fs::write(&ours, "short").unwrap();
    fs::write(&theirs, "short").unwrap();
    for access in [&access(), &other] {
        assert!(warned(access).await.contains("not a whole record"));
        assert_eq!(warned(access).await, "");
    }
    // Another problem of the same file.
    fs::write(&ours, [&b"bloomtok\x02"[..], &[0; 100]].concat()).unwrap();
    assert!(warned(&access()).await.contains("another version (2)"));
    assert_eq!(warned(&access()).await, "");
    // A file that is well again changes nothing for the others.
    place.store("healed", 10).await;
    assert_eq!(place.token().await.as_deref(), Some("healed"));
    assert_eq!(warned(&other).await, "");
    fs::write(&ours, "short").unwrap();
    assert!(warned(&access()).await.contains("not a whole record"));
}

#[tokio::test]
async fn what_was_warned_of_is_not_remembered_without_bound() {
    let (place, warnings) = (Place::new(), Warnings::capture());
    place.store("ours", 100).await;
    let directory = place.path().to_owned();
    let damaged = async |n: usize| {
        let access = access_of(&format!("client-{n}"), SECRET);
        fs::write(file_of(&directory, &access), "short").unwrap();
        assert!(place.cache.load(&access).await.unwrap().is_none());
        warnings.take().len()
    };
    assert_eq!([damaged(0).await, damaged(0).await], [1, 0]);
    for n in 1..=1024 {
        assert_eq!(damaged(n).await, 1, "{n}");
    }
    assert_eq!(damaged(0).await, 1);
}

#[tokio::test]
async fn d8_every_flipped_bit_of_a_file_is_a_miss() {
    let place = Place::new();
    place.store("token", 100).await;
    let file = place.file();
    let whole = fs::read(&file).unwrap();
    for bit in 0..8 * whole.len() {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        fs::write(&file, damaged).unwrap();
        assert_eq!(place.token().await, None, "bit {bit}");
    }
    fs::write(&file, whole).unwrap();
    assert_eq!(place.token().await.as_deref(), Some("token"));
}

#[tokio::test]
async fn d10_another_version_is_neither_read_nor_overwritten() {
    let (place, warnings) = (Place::new(), Warnings::capture());
    place.store("ours", 100).await;
    let file = place.file();
    assert!(name(&file).ends_with(".v1.token"), "{file:?}");
    // The next version will have names of its own, beside ours.
    let theirs = file.with_file_name(name(&file).replace(".v1.", ".v2."));
    fs::write(&theirs, "a format of the future").unwrap();
    place.store("ours-again", 50).await;
    assert_eq!(place.token().await.as_deref(), Some("ours-again"));
    assert_eq!(
        fs::read_to_string(&theirs).unwrap(),
        "a format of the future"
    );
    assert_eq!(warnings.take(), [""; 0]);
    // Under our name, it is of no use.
    let mut newer = fs::read(&file).unwrap();
    newer[8] = 2;
    fs::write(&file, newer).unwrap();
    check(&place, &warnings, "version 2", "another version (2)").await;
}

#[tokio::test]
async fn r8_the_entry_of_another_key_is_a_miss() {
    let (place, warnings) = (Place::new(), Warnings::capture());
    for other in [
        access_of("another client", SECRET),
        access_of("client", "another secret of over 32 characters"),
    ] {
        place
            .cache
            .store(&other, &record("theirs", 10))
            .await
            .unwrap();
        let theirs = place.file();
        place.store("ours", 100).await;
        let ours = files(place.path())
            .into_iter()
            .find(|file| name(file).ends_with(".token") && *file != theirs);
        fs::copy(&theirs, ours.unwrap()).unwrap();
        check(&place, &warnings, "a copy", "for another client").await;
        fs::remove_dir_all(place.path()).unwrap();
    }
}

#[tokio::test]
async fn d22_a_huge_file_is_not_read() {
    let (place, warnings) = (Place::new(), Warnings::capture());
    place.store("first", 100).await;
    let file = fs::OpenOptions::new()
        .write(true)
        .open(place.file())
        .unwrap();
    // A hole: it takes no space, and would take 1 TiB of memory.
    file.set_len(1 << 40).unwrap();
    check(&place, &warnings, "a terabyte", "larger than any record").await;
    let file = fs::OpenOptions::new()
        .write(true)
        .open(place.file())
        .unwrap();
    file.set_len(256 * 1024 + 1).unwrap();
    check(
        &place,
        &warnings,
        "a byte too many",
        "larger than any record",
    )
    .await;
}

#[tokio::test]
async fn t6_a_record_from_the_future_is_a_miss() {
    let (directory, clock) = (tempfile::tempdir().unwrap(), ManualClock::new());
    let cache = FileCache::builder()
        .directory(directory.path().join("cache"))
        .clock(clock.clone());
    let cache = cache.build().unwrap();
    let warnings = Warnings::capture();
    let now = clock.now().system_time();
    let minute = Duration::from_secs(60);
    for (ahead, is_found) in [
        (5 * minute, true),
        (5 * minute + Duration::from_nanos(1), false),
    ] {
        let record = CacheRecord::new("t", None, now + ahead, 60 * minute).unwrap();
        cache.store(&access(), &record).await.unwrap();
        let found = cache.load(&access()).await.unwrap();
        assert_eq!(found.is_some(), is_found, "{ahead:?}");
        // One of now takes its place only if that one is not believed.
        let record = CacheRecord::new("now", None, now, 60 * minute).unwrap();
        cache.store(&access(), &record).await.unwrap();
        let found = cache.load(&access()).await.unwrap().unwrap();
        assert_eq!(found.token().expose() == "now", !is_found, "{ahead:?}");
    }
    let lines = warnings.take();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("claims to come from the future"),
        "{lines:?}"
    );
}

#[tokio::test]
async fn k7_a_rotated_secret_is_a_miss_unless_the_previous_one_is_given() {
    let (directory, clock) = (tempfile::tempdir().unwrap(), ManualClock::new());
    let cache = |sealer| {
        let cache = FileCache::builder().directory(directory.path().join("cache"));
        cache.clock(clock.clone()).sealer(sealer).build().unwrap()
    };
    let now = clock.now().system_time();
    let record = |token| CacheRecord::new(token, None, now, Duration::from_secs(3600)).unwrap();
    let rotated = access_of("client", "the secret after it, of 32 characters");
    let strict = cache(Sealer::new());
    strict.store(&access(), &record("before")).await.unwrap();
    assert!(strict.load(&rotated).await.unwrap().is_none());

    let (secret, until) = (ClientSecret::new(SECRET), now + Duration::from_secs(60));
    let lenient = cache(Sealer::new().previous_secret(secret.unwrap(), until));
    let token = async || {
        let found = lenient.load(&rotated).await.unwrap();
        found.map(|record| record.token().expose().to_owned())
    };
    assert_eq!(token().await.as_deref(), Some("before"));
    // It is for loading only: what is stored, is stored under the new one.
    lenient.store(&rotated, &record("after")).await.unwrap();
    assert_eq!(token().await.as_deref(), Some("after"));
    assert!(strict.load(&rotated).await.unwrap().is_some());
    let hash = |token| record(token).token().hash();
    lenient.remove(&rotated, &hash("after")).await.unwrap();
    assert_eq!(token().await.as_deref(), Some("before"));
    // What was found there and rejected is removed there.
    lenient.remove(&rotated, &hash("before")).await.unwrap();
    assert_eq!(token().await, None);
    strict.store(&access(), &record("before")).await.unwrap();
    assert_eq!(token().await.as_deref(), Some("before"));
    // Nor does it matter that there is a file under the new one, if that is of
    // no use.
    lenient.store(&rotated, &record("after")).await.unwrap();
    let before = file_of(strict.directory(), &access());
    for file in with_ending(files(strict.directory()), ".token") {
        if file != before {
            fs::write(file, "short").unwrap();
        }
    }
    assert_eq!(token().await.as_deref(), Some("before"));
    clock.advance(Duration::from_secs(60));
    assert_eq!(token().await, None);
}

#[tokio::test]
async fn k7_a_previous_secret_that_could_be_guessed_is_no_trouble() {
    let directory = tempfile::tempdir().unwrap();
    let (secret, until) = (
        ClientSecret::new("short").unwrap(),
        ManualClock::new().now().system_time() + Duration::from_secs(365 * 86_400),
    );
    let cache = FileCache::builder()
        .directory(directory.path().join("cache"))
        .sealer(Sealer::new().previous_secret(secret, until))
        .build()
        .unwrap();
    assert!(cache.load(&access()).await.unwrap().is_none());
    cache.store(&access(), &record("t", 1)).await.unwrap();
    assert!(cache.load(&access()).await.unwrap().is_some());
    cache
        .remove(&access(), &record("t", 1).token().hash())
        .await
        .unwrap();
    assert!(cache.load(&access()).await.unwrap().is_none());
}
