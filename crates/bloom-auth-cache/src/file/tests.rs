//! The protocol over folders that are not this platform's: the portable one,
//! and one in which names are taken already.

use std::{
    cell::{Cell, RefCell},
    fs::File,
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bloom_auth_core::{
    AuthVersion, CacheAccess, CacheError, CacheRecord, ClientCredentials, ClientId, ClientSecret,
    Clock as _, Environment, Lease, LeaseGuard, Refusal, RefusalKind, SystemClock, TokenCache,
    TokenHash,
    protocol::TokenRequest,
    test_util::cache_suite::{self, Leases},
};
use tempfile::TempDir;

use super::{
    Platform,
    folder::{Contents, Folder},
    lock::Lock,
    portable::PortableFolder,
    protocol::{Protocol, Right},
};
use crate::Sealer;

/// A cache over the portable folder, as `FileCache` is one over the
/// platform's.
#[derive(Debug)]
struct PortableCache(TempDir);

impl PortableCache {
    async fn run<T: Send + 'static>(
        &self,
        access: &CacheAccess,
        call: impl FnOnce(&Protocol<'_, PortableFolder>, &CacheAccess) -> T + Send + 'static,
    ) -> T {
        let (directory, access) = (self.0.path().join("cache"), access.clone());
        let call = move || {
            let now = SystemClock::new().now().system_time();
            call(&Protocol::new(&directory, &Sealer::new(), now), &access)
        };
        tokio::task::spawn_blocking(call).await.unwrap()
    }
}

#[async_trait]
impl TokenCache for PortableCache {
    async fn load(&self, access: &CacheAccess) -> Result<Option<CacheRecord>, CacheError> {
        let done = self
            .run(access, |protocol, access| protocol.load(access))
            .await?;
        Ok(done.value)
    }

    async fn store(&self, access: &CacheAccess, record: &CacheRecord) -> Result<(), CacheError> {
        let record = record.clone();
        let stored = self.run(access, move |protocol, access| {
            protocol.store(access, &record, true)
        });
        stored.await.map(drop)
    }

    async fn remove(&self, access: &CacheAccess, token: &TokenHash) -> Result<(), CacheError> {
        let token = *token;
        self.run(access, move |protocol, access| {
            protocol.remove(access, &token)
        })
        .await
    }

    async fn lease(&self, access: &CacheAccess) -> Result<Lease, CacheError> {
        let done = self
            .run(access, |protocol, access| protocol.lease(access))
            .await?;
        Ok(match done.value {
            Right::Granted(lock) => Lease::Granted(LeaseGuard::new(lock)),
            Right::Held => Lease::Held,
            Right::Unsupported => Lease::NotNeeded,
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn k5_k6_the_portable_folder_conforms() {
    let make = || std::future::ready(PortableCache(tempfile::tempdir().unwrap()));
    assert_eq!(cache_suite::all(make).await, Leases::Exercised);
}

thread_local! {
    /// How many more names are taken on this thread.
    static TAKEN: Cell<u32> = const { Cell::new(0) };
    /// Whether what is old cannot be removed, and how often that was tried.
    static STUCK: Cell<Option<u32>> = const { Cell::new(None) };

    /// How many more lock files are removed once they are open.
    static REMOVED: Cell<u32> = const { Cell::new(0) };

    /// How far the clock of the file system is behind ours.
    static BEHIND: Cell<Duration> = const { Cell::new(Duration::ZERO) };

    /// Somebody else's lock, and how often it is asked for before he frees it.
    static HELD: RefCell<Option<(u32, Lock)>> = const { RefCell::new(None) };

    /// Whether the directory cannot be listed.
    static UNLISTED: Cell<bool> = const { Cell::new(false) };
}

/// The platform's folder, in which somebody has been before, and in which all
/// but records is old.
struct Crowded(Platform);

impl Folder for Crowded {
    fn create(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let taken = TAKEN.get();
        if taken > 0 {
            TAKEN.set(taken - 1);
            // Somebody else's, and so it stays.
            self.0.create(name, b"planted")?;
        }
        self.0.create(name, bytes)
    }

    fn open(path: &Path, create: bool) -> io::Result<Option<Self>> {
        Ok(Platform::open(path, create)?.map(Self))
    }

    fn read(&self, name: &str, max: usize) -> io::Result<Contents> {
        self.0.read(name, max)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        for lock in self.0.names(100)? {
            if lock.ends_with(".v1.lock") {
                let lock = Lock::try_take(&self.0, &lock)?;
                assert!(lock.is_none(), "it is replaced without the lock");
            }
        }
        self.0.rename(from, to)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        if let Some(tries) = STUCK.get().filter(|_| name.starts_with(".bloom-auth-")) {
            STUCK.set(Some(tries + 1));
            return Err(io::Error::other("it is stuck"));
        }
        self.0.remove(name)
    }

    fn open_lock(&self, name: &str) -> io::Result<File> {
        let held = HELD.take();
        HELD.set(held.and_then(|(asked, lock)| Some((asked.checked_sub(1)?, lock))));
        let file = self.0.open_lock(name)?;
        let removed = REMOVED.get();
        if removed > 0 {
            REMOVED.set(removed - 1);
            self.0.remove(name)?;
        }
        Ok(file)
    }

    fn is_current(&self, name: &str, file: &File) -> io::Result<bool> {
        self.0.is_current(name, file)
    }

    fn modified(&self, name: &str) -> io::Result<Option<SystemTime>> {
        let modified = self.0.modified(name)?;
        let is_leftover = STUCK.get().is_some() && name.starts_with(".bloom-auth-");
        let age = Duration::from_secs(if is_leftover { 7200 } else { 0 });
        Ok(modified.map(|modified| modified - age - BEHIND.get()))
    }

    fn names(&self, max: usize) -> io::Result<Vec<String>> {
        if UNLISTED.get() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.0.names(max)
    }
}

fn access() -> CacheAccess {
    let (id, secret) = (ClientId::new("client"), ClientSecret::new("x".repeat(32)));
    let credentials = ClientCredentials::new(id.unwrap(), secret.unwrap());
    CacheAccess::new(
        &TokenRequest::new(Environment::sandbox(AuthVersion::V1)),
        &credentials,
    )
}

/// The name of a file of an entry whose name has this digit alone.
fn named(digit: char, ending: &str) -> String {
    format!("{}{ending}", digit.to_string().repeat(64))
}

#[test]
fn a_refusal_is_found_until_there_is_a_token() {
    let (directory, access) = (tempfile::tempdir().unwrap(), access());
    let (path, sealer) = (directory.path().join("cache"), Sealer::new());
    let now = SystemClock::new().now().system_time();
    let protocol = Protocol::<PortableFolder>::new(&path, &sealer, now);
    assert_eq!(protocol.load_refusal(&access).unwrap(), None.into());
    let refusal = Refusal::new(RefusalKind::Client, now, Duration::from_secs(8), 2);
    let name = protocol.store_refusal(&access, &refusal).unwrap();
    assert!(name.ends_with(".v1.refusal") && path.join(&name).exists());
    let found = protocol.load_refusal(&access).unwrap();
    assert_eq!(found, Some(refusal).into());
    let record = CacheRecord::new("t", None, now, Duration::from_secs(60)).unwrap();
    protocol.store(&access, &record, false).unwrap();
    assert_eq!(protocol.load_refusal(&access).unwrap(), None.into());
}

#[test]
fn t6_a_record_from_the_future_is_a_miss_that_says_so() {
    let (directory, access) = (tempfile::tempdir().unwrap(), access());
    let (path, sealer) = (directory.path().join("cache"), Sealer::new());
    let now = SystemClock::new().now().system_time();
    let protocol = Protocol::<PortableFolder>::new(&path, &sealer, now);
    for (ahead, is_found) in [(300, true), (301, false)] {
        let sent_at = now + Duration::from_secs(ahead);
        let record = CacheRecord::new("t", None, sent_at, Duration::from_secs(60)).unwrap();
        let name = protocol.store(&access, &record, false).unwrap();
        let done = protocol.load(&access).unwrap();
        assert_eq!(done.value.is_some(), is_found, "{ahead}");
        let notice = done.notice.map(|notice| notice.file);
        assert_eq!(notice, (!is_found).then_some(name), "{ahead}");
    }
}

#[test]
fn entries_are_listed_and_cleared_and_what_is_not_ours_stays() {
    let (directory, access) = (tempfile::tempdir().unwrap(), access());
    let (path, sealer) = (directory.path().join("cache"), Sealer::new());
    let now = SystemClock::new().now().system_time();
    let protocol = Protocol::<Platform>::new(&path, &sealer, now);
    assert!(protocol.entries().unwrap().is_empty());
    assert_eq!(protocol.clear().unwrap(), 0);

    let record = CacheRecord::new("t", None, now, Duration::from_secs(60)).unwrap();
    let refusal = Refusal::new(RefusalKind::Client, now, Duration::from_secs(8), 2);
    let record = protocol.store(&access, &record, false).unwrap();
    let refusal = protocol.store_refusal(&access, &refusal).unwrap();
    let temporary = format!(".bloom-auth-{:032x}.tmp", 1);
    for name in [temporary, named('0', ".v1.lock"), named('0', ".v1.lease")] {
        std::fs::write(path.join(name), "").unwrap();
    }
    let mut others = vec![
        "notes.txt".to_owned(),
        ".bloom-auth-1.tmp".to_owned(),
        format!(".bloom-auth-{}.tmp", "g".repeat(32)),
        named('0', ".v2.token"),
        named('g', ".v1.token"),
        named('0', "0.v1.token"),
    ];
    for name in &others {
        std::fs::write(path.join(name), "").unwrap();
    }
    // Of the right name, and no file.
    others.push(named('1', ".v1.token"));
    std::fs::create_dir(path.join(named('1', ".v1.token"))).unwrap();

    let entries = protocol.entries().unwrap();
    let listed = entries.iter().map(|entry| (&entry.name, entry.is_refusal));
    assert!(
        listed.eq([(&refusal, true), (&record, false)]),
        "{entries:?}"
    );
    assert_eq!(protocol.clear().unwrap(), 2);
    let left = std::fs::read_dir(&path).unwrap();
    let mut left: Vec<_> = left
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    others.sort();
    assert_eq!(left, others);
}

#[test]
fn a_sweep_removes_what_is_old_and_nothing_else() {
    const HOUR: u64 = 3600;
    const MONTH: u64 = 30 * 86_400;
    let (directory, access) = (tempfile::tempdir().unwrap(), access());
    let (path, sealer) = (directory.path().join("cache"), Sealer::new());
    let now = SystemClock::new().now().system_time();
    let record = CacheRecord::new("t", None, now, Duration::from_secs(60)).unwrap();
    let protocol = Protocol::<Platform>::new(&path, &sealer, now);
    let name = protocol.store(&access, &record, false).unwrap();
    let written = path.join(&name).metadata().unwrap().modified().unwrap();
    let temporary = |n: u32| format!(".bloom-auth-{n:032x}.tmp");
    let files = [
        (temporary(1), HOUR - 60, true),
        (temporary(2), HOUR + 60, false),
        (named('2', ".v1.token"), MONTH - 60, true),
        (named('3', ".v1.token"), MONTH + 60, false),
        (named('4', ".v1.refusal"), MONTH - 60, true),
        (named('5', ".v1.refusal"), MONTH + 60, false),
        (named('6', ".v1.lease"), MONTH - 60, true),
        (named('7', ".v1.lease"), MONTH + 60, false),
        (named('8', ".v1.lock"), MONTH + 60, false),
        // Its entry is there.
        (named('2', ".v1.lock"), MONTH + 60, true),
        ("notes.txt".to_owned(), 100 * MONTH, true),
        (named('g', ".v1.token"), 100 * MONTH, true),
    ];
    for (name, age, _) in &files {
        let file = File::create(path.join(name)).unwrap();
        file.set_modified(written - Duration::from_secs(*age))
            .unwrap();
    }
    protocol.store(&access, &record, true).unwrap();
    for (name, age, stays) in &files {
        assert_eq!(path.join(name).exists(), *stays, "{name} {age}");
    }
    assert!(protocol.load(&access).unwrap().value.is_some());
}

#[test]
fn d27_leftovers_that_cannot_be_removed_cost_nothing() {
    let (directory, access) = (tempfile::tempdir().unwrap(), access());
    let (path, sealer) = (directory.path().join("cache"), Sealer::new());
    let now = SystemClock::new().now().system_time();
    let record = CacheRecord::new("t", None, now, Duration::from_secs(60)).unwrap();
    let protocol = Protocol::<Crowded>::new(&path, &sealer, now);
    protocol.store(&access, &record, false).unwrap();
    for n in 0..3 {
        std::fs::write(path.join(format!(".bloom-auth-{n:032x}.tmp")), "").unwrap();
    }
    STUCK.set(Some(0));
    protocol.store(&access, &record, true).unwrap();
    // One that cannot be removed is no reason to leave the others.
    assert_eq!(STUCK.take(), Some(3));
    assert!(protocol.load(&access).unwrap().value.is_some());
}

#[test]
fn d16_a_temporary_name_that_is_taken_is_left_alone() {
    let access = access();
    let now = SystemClock::new().now().system_time();
    let record = CacheRecord::new("t", None, now, Duration::from_secs(60)).unwrap();

    for (taken, is_stored) in [(0, true), (1, true), (4, true), (5, false)] {
        let directory = tempfile::tempdir().unwrap();
        let path: PathBuf = directory.path().join("cache");
        let sealer = Sealer::new();
        let protocol = Protocol::<Crowded>::new(&path, &sealer, now);
        TAKEN.set(taken);
        assert_eq!(
            protocol.store(&access, &record, false).is_ok(),
            is_stored,
            "{taken}"
        );
        let found = protocol.load(&access).unwrap().value;
        assert_eq!(found.is_some(), is_stored, "{taken}");
        let planted = std::fs::read_dir(&path)
            .unwrap()
            .filter(|entry| std::fs::read(entry.as_ref().unwrap().path()).unwrap() == b"planted");
        assert_eq!(planted.count(), usize::try_from(taken).unwrap());
    }
}

#[cfg(unix)]
#[test]
fn x7_a_lock_on_a_file_that_has_lost_its_name_does_not_count() {
    for (removed, is_taken) in [(0, true), (1, true), (3, true), (4, false)] {
        let directory = tempfile::tempdir().unwrap();
        let folder = Crowded::open(&directory.path().join("cache"), true);
        let folder = folder.unwrap().unwrap();
        REMOVED.set(removed);
        let lock = Lock::try_take(&folder, "lock").unwrap();
        assert_eq!(lock.is_some(), is_taken, "{removed}");
        // What was taken is what the others ask for.
        let other = Lock::try_take(&folder, "lock").unwrap();
        assert_eq!(other.is_none(), is_taken, "{removed}");
    }
}

#[test]
fn d27_a_sweep_goes_by_the_file_systems_clock_and_fails_without_harm() {
    let access = access();
    let now = SystemClock::new().now().system_time();
    let record = CacheRecord::new("t", None, now, Duration::from_secs(60)).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    let sealer = Sealer::new();
    let protocol = Protocol::<Crowded>::new(&path, &sealer, now);
    protocol.store(&access, &record, false).unwrap();
    // A writer is at it just now.
    let temporary = path.join(format!(".bloom-auth-{:032x}.tmp", 1));
    std::fs::write(&temporary, "").unwrap();
    BEHIND.set(Duration::from_secs(2 * 3600));
    let stored = protocol.store(&access, &record, true);
    BEHIND.set(Duration::ZERO);
    assert!(stored.is_ok());
    assert!(temporary.exists());
    // Whatever becomes of the sweep, the record is kept.
    UNLISTED.set(true);
    let stored = protocol.store(&access, &record, true);
    UNLISTED.set(false);
    assert!(stored.is_ok());
}

#[test]
fn a_writer_waits_for_another_one_and_not_for_ever() {
    let access = access();
    let now = SystemClock::new().now().system_time();
    let record = CacheRecord::new("t", None, now, Duration::from_secs(60)).unwrap();
    for (asked, is_removed) in [(0, true), (1, true), (249, true), (250, false)] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache");
        let sealer = Sealer::new();
        let protocol = Protocol::<Crowded>::new(&path, &sealer, now);
        protocol.store(&access, &record, false).unwrap();
        let folder = Platform::open(&path, false).unwrap().unwrap();
        let names = folder.names(100).unwrap();
        let name = names.iter().find(|name| name.ends_with(".v1.lock"));
        let lock = Lock::try_take(&folder, name.unwrap()).unwrap();
        HELD.set(Some((asked, lock.unwrap())));
        protocol.remove(&access, &record.token().hash()).unwrap();
        HELD.set(None);
        let found = protocol.load(&access).unwrap().value;
        assert_eq!(found.is_none(), is_removed, "{asked}");
    }
}
