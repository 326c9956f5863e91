//! Leftovers of killed writers, and records that nobody renews.

use std::{
    fs::{self, File},
    os::unix::fs::{PermissionsExt as _, chown, symlink},
    path::PathBuf,
    time::Duration,
};

use bloom_auth_cache::FileCache;
use bloom_auth_core::{CacheRecord, Clock as _, TokenCache as _, test_util::ManualClock};

use rustix::{
    fs::{AtFlags, CWD, Timespec, Timestamps, utimensat},
    process::geteuid,
};

use super::support::{Place, access, with_ending};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// A file that was last written this long ago, by the file system's clock.
fn plant(place: &Place, name: &str, age: u64) -> PathBuf {
    let path = place.path().join(name);
    let file = File::create(&path).unwrap();
    file.set_permissions(fs::Permissions::from_mode(0o600))
        .unwrap();
    let now = file.metadata().unwrap().modified().unwrap();
    file.set_modified(now - Duration::from_secs(age)).unwrap();
    path
}

fn temporary(n: u32) -> String {
    format!(".bloom-auth-{n:032x}.tmp")
}

/// Another cache in the same directory: a new one sweeps at its first store.
async fn store_anew(place: &Place) {
    let cache = FileCache::in_directory(place.path()).unwrap();
    cache
        .store(&access(), &super::support::record("t", 1))
        .await
        .unwrap();
}

#[tokio::test]
async fn d27_leftovers_of_ours_are_swept_and_nothing_else() {
    let place = Place::new();
    place.store("t", 100).await;
    let entry = |n: u32, ending: &str| format!("{n:064x}.v1.{ending}");
    let swept = [
        plant(&place, &temporary(1), HOUR + 60),
        plant(&place, &temporary(2), 30 * DAY),
        plant(&place, &entry(1, "token"), 30 * DAY + 60),
        plant(&place, &entry(1, "refusal"), 30 * DAY + 60),
        // Of an entry that is gone.
        plant(&place, &entry(2, "lock"), 30 * DAY + 60),
        plant(&place, &entry(2, "lease"), 30 * DAY + 60),
    ];
    let kept = [
        // A writer may still be at it, or have the clock of another machine.
        plant(&place, &temporary(3), HOUR - 60),
        plant(&place, &temporary(4), 0),
        plant(&place, &entry(3, "token"), 30 * DAY - 60),
        plant(&place, &entry(3, "lock"), 365 * DAY),
        plant(&place, &entry(3, "lease"), 365 * DAY),
        plant(&place, &entry(4, "lock"), 30 * DAY - 60),
        // Somebody else's, or another version's.
        plant(&place, &format!("{:064x}.v2.token", 4), 365 * DAY),
        plant(&place, &format!("{:063x}.v1.token", 5), 365 * DAY),
        plant(&place, &format!("{:065x}.v1.token", 5), 365 * DAY),
        plant(&place, "production.v1.token", 365 * DAY),
        plant(&place, ".bloom-auth-short.tmp", 365 * DAY),
        plant(
            &place,
            ".bloom-auth-0000000000000000000000000000000g.tmp",
            365 * DAY,
        ),
        plant(&place, ".tmp-00000000000000000000000000000001", 365 * DAY),
        plant(&place, "notes.txt", 365 * DAY),
    ];
    // A lease of an entry that never got its first token.
    let held = plant(&place, &entry(6, "lease"), 365 * DAY);
    let lock = File::open(&held).unwrap();
    lock.try_lock().unwrap();
    let target = plant(&place, "target", 365 * DAY);
    let link = place.path().join(temporary(5));
    symlink(&target, &link).unwrap();
    store_anew(&place).await;
    for path in swept {
        assert!(!path.exists(), "{path:?}");
    }
    for path in kept.iter().chain([&target, &link, &held]) {
        assert!(fs::symlink_metadata(path).is_ok(), "{path:?}");
    }
    lock.unlock().unwrap();
    store_anew(&place).await;
    assert!(!held.exists());
}

#[tokio::test]
async fn d27_what_is_not_ours_is_no_leftover() {
    let place = Place::new();
    place.store("t", 100).await;
    let then = Timespec {
        tv_sec: 1_000_000_000,
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: then,
        last_modification: then,
    };
    // Old itself, and not only what it leads to.
    let link = place.path().join(temporary(1));
    symlink("/nonexistent/elsewhere", &link).unwrap();
    utimensat(CWD, &link, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    let mut kept = vec![link];
    if geteuid().is_root() {
        let path = plant(&place, &temporary(2), 365 * DAY);
        chown(&path, Some(65_534), None).unwrap();
        kept.push(path);
    }
    // The control: what is ours goes.
    let swept = plant(&place, &temporary(3), 365 * DAY);
    store_anew(&place).await;
    assert!(!swept.exists());
    for path in kept {
        assert!(fs::symlink_metadata(&path).is_ok(), "{path:?}");
    }
}

#[tokio::test]
async fn d27_a_sweep_of_records_is_bounded_and_gets_to_everything_in_the_end() {
    let place = Place::new();
    place.store("t", 100).await;
    let records = |place: &Place| with_ending(place.files(), ".token").len();
    for n in 0..1000 {
        plant(&place, &format!("{n:064x}.v1.token"), 31 * DAY);
    }
    let mut left = vec![1001];
    while left.last() != Some(&1) {
        store_anew(&place).await;
        left.push(records(&place));
        assert!(left.len() < 20, "{left:?}");
    }
    // Some each time, and not all at once.
    assert!(left.len() > 4, "{left:?}");
    // Nor is it always the same ones that are looked at: old ones are found
    // among many that stay.
    for n in 0..600 {
        let age = if n % 20 == 0 { 31 * DAY } else { DAY };
        plant(&place, &format!("{n:064x}.v1.token"), age);
    }
    for sweeps in 0.. {
        assert!(sweeps < 200, "{} records", records(&place));
        if records(&place) == 571 {
            break;
        }
        store_anew(&place).await;
    }
}

#[tokio::test]
async fn d27_a_sweep_is_bounded_and_gets_to_everything_in_the_end() {
    let place = Place::new();
    place.store("t", 100).await;
    for n in 0..1000 {
        plant(&place, &temporary(n), 2 * HOUR);
    }
    let mut left = vec![1000];
    while left.last() != Some(&0) {
        store_anew(&place).await;
        left.push(place.temporary_files().len());
        assert!(left.len() < 10, "{left:?}");
    }
    // Some each time, and not all at once.
    assert!(left.len() > 2, "{left:?}");
    assert!(left.is_sorted_by(|more, fewer| more > fewer), "{left:?}");
}

#[tokio::test]
async fn d27_one_cache_sweeps_once_an_hour() {
    let (place, clock) = (Place::new(), ManualClock::new());
    let cache = FileCache::builder()
        .directory(place.path())
        .clock(clock.clone());
    let cache = cache.build().unwrap();
    let store = async || {
        let now = clock.now().system_time();
        let record = CacheRecord::new("t", None, now, Duration::from_secs(HOUR)).unwrap();
        cache.store(&access(), &record).await.unwrap();
    };
    store().await;
    let leftover = plant(&place, &temporary(1), 2 * HOUR);
    clock.advance(Duration::from_secs(HOUR - 1));
    store().await;
    assert!(leftover.exists());
    clock.advance(Duration::from_secs(1));
    store().await;
    assert!(!leftover.exists());
}
