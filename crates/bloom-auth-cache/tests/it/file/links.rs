//! What is not a plain file or directory of this user alone: never read,
//! never followed, replaced where it stands in the way.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, chown, symlink},
        net::UnixListener,
    },
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use bloom_auth_cache::FileCache;
use bloom_auth_core::{Lease, TokenCache as _, chain, test_util::skip};
use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    process::geteuid,
};

use super::support::{Place, Warnings, access, files, name, record};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Puts something in the place of the record: it is a miss with this warning,
/// and a store replaces it with a file of mode 0600.
async fn check(what: &str, problem: &str, plant: impl FnOnce(&Path, &Path)) {
    let (place, warnings) = (Place::new(), Warnings::capture());
    place.store("first", 100).await;
    let file = place.file();
    let elsewhere = place.directory.path().join("elsewhere");
    plant(&file, &elsewhere);
    let target = fs::read(&elsewhere).ok();
    for _ in 0..3 {
        assert_eq!(place.token().await, None, "{what}");
    }
    let lines = warnings.take();
    assert_eq!(lines.len(), 1, "{what}: {lines:#?}");
    assert!(lines[0].contains(problem), "{what}: {lines:?}");

    place.store("healed", 10).await;
    assert_eq!(place.token().await.as_deref(), Some("healed"), "{what}");
    let metadata = fs::symlink_metadata(&file).unwrap();
    assert!(metadata.is_file(), "{what}");
    assert_eq!(metadata.mode() & 0o7777, 0o600, "{what}");
    assert_eq!(
        fs::read(&elsewhere).ok(),
        target,
        "{what}: what it led to has changed"
    );
    assert!(place.temporary_files().is_empty(), "{what}");
}

#[tokio::test]
async fn d11_a_link_in_the_place_of_a_record_is_not_followed() {
    check("a link to a record", "it is a link", |file, elsewhere| {
        fs::rename(file, elsewhere).unwrap();
        symlink(elsewhere, file).unwrap();
    })
    .await;
    check("a dangling link", "it is a link", |file, elsewhere| {
        fs::remove_file(file).unwrap();
        symlink(elsewhere, file).unwrap();
    })
    .await;
    check(
        "a second name",
        "a second name elsewhere",
        |file, elsewhere| {
            fs::hard_link(file, elsewhere).unwrap();
        },
    )
    .await;
}

#[tokio::test]
async fn d11_what_is_no_file_is_not_read() {
    check("a pipe", "not a regular file", |file, _| {
        fs::remove_file(file).unwrap();
        let made = Command::new("mkfifo")
            .args(["-m", "600"])
            .arg(file)
            .status();
        assert!(made.unwrap().success());
    })
    .await;
    check("a socket", "not a regular file", |file, _| {
        fs::remove_file(file).unwrap();
        drop(UnixListener::bind(file).unwrap());
    })
    .await;
    // A directory cannot be replaced by a file: it costs a warning each time.
    let place = Place::new();
    place.store("first", 100).await;
    let file = place.file();
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert_eq!(place.token().await, None);
    assert!(place.cache.store(&access(), &record("t", 1)).await.is_err());
    assert!(place.temporary_files().is_empty());
}

#[tokio::test]
async fn d13_a_record_that_others_may_read_or_write_is_not_read() {
    for wide in [0o604, 0o640, 0o644, 0o660, 0o666, 0o601, 0o602, 0o620] {
        let what = format!("mode {wide:o}");
        check(&what, "others may read or write it", |file, _| {
            set_mode(file, wide)
        })
        .await;
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn d13_a_record_of_another_user_is_not_read() {
    let test = "d13_a_record_of_another_user_is_not_read";
    if !geteuid().is_root() {
        return skip(test, "only root can give a file to another user");
    }
    check("another user's", "belongs to another user", |file, _| {
        chown(file, Some(65_534), None).unwrap();
    })
    .await;
}

#[tokio::test]
async fn d13_a_directory_that_others_may_enter_is_not_used() {
    for wide in [0o755, 0o777, 0o750, 0o701, 0o770, 0o1777] {
        let place = Place::new();
        place.store("first", 100).await;
        set_mode(place.path(), wide);
        let before = files(place.path());
        let errors = [
            place.cache.load(&access()).await.map(drop),
            place.cache.store(&access(), &record("t", 1)).await,
            place.cache.lease(&access()).await.map(drop),
            place
                .cache
                .remove(&access(), &record("first", 1).token().hash())
                .await,
        ];
        for error in errors {
            let error = chain(&error.unwrap_err());
            assert!(error.contains("chmod 700"), "{wide:o}: {error}");
            assert!(
                error.contains(&format!("{wide:04o}")[1..]),
                "{wide:o}: {error}"
            );
        }
        assert_eq!(files(place.path()), before, "{wide:o}");
        // As the error says.
        set_mode(place.path(), 0o700);
        assert_eq!(place.token().await.as_deref(), Some("first"));
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn d13_a_directory_of_another_user_is_not_used() {
    let test = "d13_a_directory_of_another_user_is_not_used";
    if !geteuid().is_root() {
        return skip(test, "only root can give a directory to another user");
    }
    let place = Place::new();
    place.store("first", 100).await;
    chown(place.path(), Some(65_534), None).unwrap();
    assert_eq!(mode(place.path()), 0o700);
    let before = files(place.path());
    let hash = record("first", 1).token().hash();
    let errors = [
        place.cache.load(&access()).await.map(drop),
        place.cache.store(&access(), &record("t", 1)).await,
        place.cache.lease(&access()).await.map(drop),
        place.cache.remove(&access(), &hash).await,
    ];
    for error in errors {
        let error = chain(&error.unwrap_err());
        assert!(error.contains("belongs to another user"), "{error}");
    }
    assert_eq!(files(place.path()), before);
    // The control.
    chown(place.path(), Some(geteuid().as_raw()), None).unwrap();
    assert_eq!(place.token().await.as_deref(), Some("first"));
}

#[tokio::test]
async fn d11_a_directory_that_is_a_link_or_a_file_is_not_used() {
    let place = Place::new();
    place.store("first", 100).await;
    let link = place.directory.path().join("link");
    symlink(place.path(), &link).unwrap();
    let plain = place.directory.path().join("plain");
    fs::write(&plain, "").unwrap();
    for path in [&link, &link.join(""), &link.join("."), &plain] {
        let cache = FileCache::in_directory(path).unwrap();
        let error = chain(&cache.store(&access(), &record("t", 1)).await.unwrap_err());
        assert!(error.contains("name a directory itself"), "{error}");
        assert!(cache.load(&access()).await.is_err());
    }
    // Links above it are the user's business.
    let above = place.directory.path().join("above");
    symlink(place.directory.path(), &above).unwrap();
    let cache = FileCache::in_directory(above.join("cache")).unwrap();
    assert!(cache.load(&access()).await.unwrap().is_some());
}

#[tokio::test]
async fn d13_what_is_created_is_for_this_user_alone() {
    let directory = tempfile::tempdir().unwrap();
    let deep = directory.path().join("a/b/cache");
    let cache = FileCache::in_directory(&deep).unwrap();
    // Nothing is created by looking.
    assert!(cache.load(&access()).await.unwrap().is_none());
    cache
        .remove(&access(), &record("t", 1).token().hash())
        .await
        .unwrap();
    assert!(files(directory.path()).is_empty());
    drop(cache.lease(&access()).await.unwrap());
    cache.store(&access(), &record("t", 1)).await.unwrap();
    for path in [
        directory.path().join("a"),
        directory.path().join("a/b"),
        deep.clone(),
    ] {
        assert_eq!(mode(&path), 0o700, "{path:?}");
    }
    for file in files(&deep) {
        assert_eq!(mode(&file), 0o600, "{file:?}");
    }
    assert_eq!(files(&deep).len(), 3);
}

/// The files that are locked, of the usual entry.
async fn lock_files(place: &Place) -> Vec<std::path::PathBuf> {
    place.store("first", 100).await;
    drop(place.cache.lease(&access()).await.unwrap());
    let files = files(place.path()).into_iter();
    files
        .filter(|file| !name(file).ends_with(".token"))
        .collect()
}

/// Puts something in the place of a file.
type Plant = fn(&Path);

#[tokio::test]
async fn d11_d13_a_lock_file_that_others_could_have_locked_is_replaced() {
    let plants: [(&str, Plant); 7] = [
        ("mode 0644", |file| set_mode(file, 0o644)),
        ("mode 0660", |file| set_mode(file, 0o660)),
        ("a second name", |file| {
            fs::hard_link(file, file.with_file_name(format!("{}.other", name(file)))).unwrap()
        }),
        ("a link", |file| {
            fs::remove_file(file).unwrap();
            symlink("/nonexistent/elsewhere", file).unwrap();
        }),
        ("a socket", |file| {
            fs::remove_file(file).unwrap();
            drop(UnixListener::bind(file).unwrap());
        }),
        ("a pipe", |file| {
            fs::remove_file(file).unwrap();
            let made = Command::new("mkfifo")
                .args(["-m", "600"])
                .arg(file)
                .status();
            assert!(made.unwrap().success());
        }),
        ("another user's", |file| {
            chown(file, Some(65_534), None).unwrap()
        }),
    ];
    let is_possible = |what| geteuid().is_root() || what != "another user's";
    for (what, plant) in plants.into_iter().filter(|(what, _)| is_possible(*what)) {
        let place = Place::new();
        let locks = lock_files(&place).await;
        assert_eq!(locks.len(), 2);
        // Somebody has it open, and locked.
        let held: Vec<_> = locks
            .iter()
            .map(|file| fs::File::open(file).unwrap())
            .collect();
        for (file, held) in locks.iter().zip(&held) {
            held.try_lock().unwrap();
            plant(file);
        }
        let lease = place.cache.lease(&access()).await.unwrap();
        assert!(matches!(lease, Lease::Granted(_)), "{what}: {lease:?}");
        assert!(
            matches!(place.cache.lease(&access()).await.unwrap(), Lease::Held),
            "{what}"
        );
        let hash = record("first", 100).token().hash();
        place.cache.remove(&access(), &hash).await.unwrap();
        assert_eq!(place.token().await, None, "{what}");
        for file in locks {
            assert_eq!(
                fs::symlink_metadata(&file).unwrap().mode() & 0o7777,
                0o600,
                "{what}"
            );
        }
    }
}

#[tokio::test]
async fn d19_a_lock_that_cannot_be_had_costs_no_record() {
    let (place, warnings) = (Place::new(), Warnings::capture());
    for file in lock_files(&place).await {
        fs::remove_file(&file).unwrap();
        // Not to be replaced by a file.
        fs::create_dir(&file).unwrap();
    }
    assert!(matches!(
        place.cache.lease(&access()).await.unwrap(),
        Lease::NotNeeded
    ));
    assert!(matches!(
        place.cache.lease(&access()).await.unwrap(),
        Lease::NotNeeded
    ));
    let lines = warnings.take();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].contains("cannot be locked"), "{lines:?}");
    place.store("second", 10).await;
    assert_eq!(place.token().await.as_deref(), Some("second"));
    // A removal without the lock could take away what is newer.
    place
        .cache
        .remove(&access(), &record("second", 10).token().hash())
        .await
        .unwrap();
    assert_eq!(place.token().await.as_deref(), Some("second"));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn x16_root_leaves_nothing_in_the_home_of_a_user() {
    if !geteuid().is_root() {
        return skip(
            "x16_root_leaves_nothing_in_the_home_of_a_user",
            "only root is root",
        );
    }
    let home = tempfile::tempdir().unwrap();
    chown(home.path(), Some(65_534), None).unwrap();
    let cache = FileCache::in_directory(home.path().join(".cache/bloom-auth")).unwrap();
    let error = chain(&cache.store(&access(), &record("t", 1)).await.unwrap_err());
    assert!(error.contains("in a directory of another user"), "{error}");
    assert!(cache.load(&access()).await.unwrap().is_none());
    assert!(files(home.path()).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn d12_nothing_is_written_where_a_swapped_directory_leads() {
    let place = Place::new();
    place.store("first", 1000).await;
    let path = place.path().to_owned();
    let [link, elsewhere] = ["link", "elsewhere"].map(|name| place.directory.path().join(name));
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, &link).unwrap();
    set_mode(&elsewhere, 0o700);

    let (stop, naive) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let swapper = thread::spawn({
        let (stop, naive) = (Arc::clone(&stop), Arc::clone(&naive));
        move || {
            while !stop.load(Ordering::Relaxed) {
                renameat_with(CWD, &path, CWD, &link, RenameFlags::EXCHANGE).unwrap();
                // The control: whoever follows the path writes elsewhere.
                fs::write(path.join("naive"), "").unwrap();
                naive.fetch_add(1, Ordering::Relaxed);
                renameat_with(CWD, &path, CWD, &link, RenameFlags::EXCHANGE).unwrap();
            }
        }
    });
    let (mut stored, mut refused, mut ago) = (0, 0, 900);
    while ago > 0 || stored == 0 || refused == 0 {
        ago = u64::saturating_sub(ago, 1);
        match place.cache.store(&access(), &record("t", ago)).await {
            Ok(()) => stored += 1,
            Err(_) => refused += 1,
        }
    }
    stop.store(true, Ordering::Relaxed);
    swapper.join().unwrap();
    assert!(naive.load(Ordering::Relaxed) > 0);
    assert_eq!(files(&elsewhere), [elsewhere.join("naive")]);
    assert_eq!(place.token().await.as_deref(), Some("t"));
}
