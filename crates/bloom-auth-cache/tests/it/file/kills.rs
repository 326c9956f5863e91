//! Processes that are killed, and what they held.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Child, Command},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use bloom_auth_cache::FileCache;
use bloom_auth_core::{
    CacheRecord, Clock as _, Entropy as _, Lease, SystemClock, SystemEntropy, TokenCache as _,
    test_util::is_long,
};
use rustix::io::{FdFlags, fcntl_setfd};

use super::support::{
    Place, access, block_on, child, files, record, role, say, this_binary, with_ending,
};

/// What a child does until it is killed.
fn act(role: &str, directory: &Path) {
    let cache = FileCache::in_directory(directory.join("cache")).unwrap();
    block_on(async {
        match role {
            "hold" => {
                let lease = cache.lease(&access()).await.unwrap();
                assert!(matches!(lease, Lease::Granted(_)));
                say("ready", "");
                std::future::pending().await
            }
            "write" => {
                say("ready", "");
                let pid = std::process::id();
                for n in 0_u64.. {
                    let now = SystemClock::new().now().system_time();
                    // Of many lengths, so that a mixture would not open.
                    let token = format!(
                        "{pid}-{n}-{}",
                        "x".repeat(usize::try_from(n % 900).unwrap())
                    );
                    let record = CacheRecord::new(&token, None, now, Duration::from_secs(3600));
                    cache.store(&access(), &record.unwrap()).await.unwrap();
                }
            }
            role => panic!("{role}"),
        }
    });
}

/// A child that has begun.
fn start(test: &str, role: &str, place: &Place) -> Child {
    let directory = place.directory.path();
    let mut child = child(Command::new(this_binary()), test, role, directory)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    while lines.next().unwrap().unwrap() != "child-ready=" {}
    child
}

/// `kill -9`; it is gone when this returns.
fn kill(mut child: Child) {
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
}

async fn lease(place: &Place) -> Lease {
    place.cache.lease(&access()).await.unwrap()
}

#[test]
fn x5_a_lease_dies_with_its_holder() {
    const TEST: &str = "file::kills::x5_a_lease_dies_with_its_holder";
    if let Some((role, directory)) = role() {
        return act(&role, &directory);
    }
    for _ in 0..10 {
        let place = Place::new();
        let holder = start(TEST, "hold", &place);
        block_on(async {
            for _ in 0..10 {
                assert!(matches!(lease(&place).await, Lease::Held));
            }
            kill(holder);
            // At the first try: it is the kernel that frees it.
            let lease = lease(&place).await;
            assert!(matches!(lease, Lease::Granted(_)));
        });
        // Nobody has removed the file, however old: it is what excludes.
        assert_eq!(with_ending(place.files(), ".lease").len(), 1);
    }
}

#[test]
fn x4_writers_killed_at_random_tear_nothing_and_block_nobody() {
    const TEST: &str = "file::kills::x4_writers_killed_at_random_tear_nothing_and_block_nobody";
    if let Some((role, directory)) = role() {
        return act(&role, &directory);
    }
    let kills = if is_long() { 1000 } else { 100 };
    let place = Arc::new(Place::new());
    block_on(place.store("first", 1000));
    let stop = Arc::new(AtomicBool::new(false));
    // Readers, of whom none ever finds nothing.
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (place, stop) = (Arc::clone(&place), Arc::clone(&stop));
            thread::spawn(move || {
                let mut reads = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    assert!(block_on(place.token()).is_some(), "after {reads} reads");
                    reads += 1;
                }
                reads
            })
        })
        .collect();

    let mut written = std::collections::BTreeSet::new();
    for round in 0..kills {
        let writers = [start(TEST, "write", &place), start(TEST, "write", &place)];
        // A random number of loads later.
        let loads = SystemEntropy::new().draw() % 32;
        block_on(async {
            for _ in 0..loads {
                let token = place.token().await.unwrap();
                let writer = token.split('-').next().unwrap();
                // Not the parent's own.
                written.extend(writer.parse::<u32>());
            }
            for writer in writers {
                kill(writer);
            }
            assert!(
                matches!(lease(&place).await, Lease::Granted(_)),
                "round {round}"
            );
            // And so is the lock for writing.
            for file in with_ending(place.files(), ".lock") {
                fs::File::open(file).unwrap().try_lock().unwrap();
            }
            let now = SystemClock::new().now().system_time();
            let token = format!("parent-{round}");
            let record = CacheRecord::new(&token, None, now, Duration::from_secs(3600)).unwrap();
            place.cache.store(&access(), &record).await.unwrap();
            assert_eq!(
                place.token().await.as_deref(),
                Some(&*token),
                "round {round}"
            );
        });
    }
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        assert!(reader.join().unwrap() > kills);
    }
    // They did write, and what is left of them is at most a file each.
    assert!(written.len() > 2, "{written:?}");
    assert!(place.temporary_files().len() as u64 <= 2 * kills);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn x7_lock_files_that_somebody_removes_are_no_trouble() {
    let place = Arc::new(Place::new());
    place.store("first", 100_000).await;
    let stop = Arc::new(AtomicBool::new(false));
    let remover = thread::spawn({
        let (place, stop) = (Arc::clone(&place), Arc::clone(&stop));
        move || {
            let mut removed = 0;
            while !stop.load(Ordering::Relaxed) {
                for file in files(place.path()) {
                    let is_lock = file
                        .extension()
                        .is_some_and(|it| it == "lock" || it == "lease");
                    removed += usize::from(is_lock && fs::remove_file(&file).is_ok());
                }
            }
            removed
        }
    });
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..4 {
        let place = Arc::clone(&place);
        tasks.spawn(async move {
            for n in 0..200 {
                let mine = record(&format!("t{task}"), 4 * (1000 - n) + task);
                place.cache.store(&access(), &mine).await.unwrap();
                assert!(place.cache.load(&access()).await.unwrap().is_some());
                drop(place.cache.lease(&access()).await.unwrap());
            }
        });
    }
    tasks.join_all().await;
    stop.store(true, Ordering::Relaxed);
    assert!(remover.join().unwrap() > 0);
    // Whoever locked a file that lost its name has no lease that excludes.
    let held = lease(&place).await;
    assert!(matches!(held, Lease::Granted(_)));
    assert!(matches!(lease(&place).await, Lease::Held));
}

#[cfg(target_os = "linux")]
#[test]
fn x10_programs_that_are_started_inherit_no_lock() {
    let place = Place::new();
    block_on(place.store("t", 10));
    let lease = block_on(lease(&place));
    assert!(matches!(lease, Lease::Granted(_)));
    let inherited = || {
        let mut list = Command::new("ls");
        let output = list.args(["-l", "/proc/self/fd"]).output().unwrap();
        let output = String::from_utf8(output.stdout).unwrap();
        output.matches(place.path().to_str().unwrap()).count()
    };
    assert_eq!(inherited(), 0);
    // The control: one that is not closed is seen.
    let leaked = fs::File::open(place.file()).unwrap();
    fcntl_setfd(&leaked, FdFlags::empty()).unwrap();
    assert_eq!(inherited(), 1);
}
