//! [`FileCache`]: tokens that outlive the process.

mod directory;
mod folder;
mod lock;
#[cfg(any(not(unix), test))]
mod portable;
mod protocol;
#[cfg(unix)]
mod unix;
mod worker;

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bloom_auth_core::{
    CacheAccess, CacheError, CacheRecord, ClientCredentials, Clock, ConfigurationError,
    EnvironmentLookup, Lease, LeaseGuard, Refusal, SystemClock, TokenCache, TokenHash,
};

pub use self::protocol::FileCacheEntry;
use self::{
    protocol::{Done, Notice, Protocol, Right},
    worker::Workers,
};
use crate::seal::Sealer;

#[cfg(unix)]
type Platform = unix::UnixFolder;
#[cfg(not(unix))]
type Platform = portable::PortableFolder;

/// Leftovers are swept by the first store, and then at most this often.
const SWEEP_INTERVAL: Duration = Duration::from_secs(3600);

/// More files than this are not remembered as having been warned of.
const MAX_WARNED: usize = 1024;

/// Keeps tokens in files, for the processes of one user on one machine: they
/// use one token, and fetch it once. A program that is started finds the token
/// that the last one has left.
///
/// Every record is [sealed](Sealer), always. A file that is damaged or not ours
/// alone is a miss and a warning, and the next token takes its place. What was
/// kept under a secret that was rotated, or by another version of the format,
/// has another name, and is not looked at.
///
/// The right to fetch is a lock on a file, which the kernel frees when its
/// holder dies. Where locks do not work (some network file systems),
/// processes may fetch at the same time, and nothing worse happens.
///
/// A process that forks while it fetches shares its lock with the child until
/// the fetch is over; should it end before that, the child keeps the lock as
/// long as it lives, and others wait for some seconds before each fetch. So fork
/// first, and build providers then.
///
/// Clones share what they know; caches with the same directory share the
/// files, in one process or in several.
///
/// # The directory
///
/// It and the files belong to this user, with modes 0700 and 0600. It is
/// created by the first call that needs it. One that belongs to another user,
/// that others may look into, or that is a link, is not used: the calls fail,
/// with what to do in the error, and the provider goes on without the cache. Of
/// our own files, those that lie there for long are removed: what a killed process has left half-written,
/// after an hour, and entries that nobody has renewed, after 30 days.
///
/// On systems other than Unix the rights are those of the directory above, and
/// links are followed.
///
/// # Cancellation
///
/// A call that was dropped may still take effect. Each is made on a thread of
/// its own, so that a file system that hangs stops no runtime.
///
/// At most eight calls are made at a time; more wait for their turn.
///
/// # Example
///
/// ```
/// # use bloom_auth_core::{ClientCredentials, Environment, TokenProvider, Transport};
/// use bloom_auth_cache::FileCache;
///
/// # fn build(
/// #     environment: Environment,
/// #     credentials: ClientCredentials,
/// #     transport: impl Transport + 'static,
/// # ) -> Result<(), bloom_auth_core::ConfigurationError> {
/// // Or `FileCache::new()`, for the platform's directory.
/// let cache = FileCache::in_directory("/var/cache/my-service/tokens")?;
/// let provider = TokenProvider::builder(environment, credentials, transport)
///     .cache(cache)
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct FileCache {
    inner: Arc<Inner>,
}

struct Inner {
    directory: PathBuf,
    sealer: Sealer,
    clock: Box<dyn Clock>,
    workers: Workers,
    /// Until when no sweep is due (monotonic).
    swept_until: Mutex<Option<u64>>,
    /// By file: the problem that was warned of, and has not gone away since.
    warned: Mutex<HashMap<String, String>>,
}

impl FileCache {
    /// A cache in the platform's directory for caches: `bloom-auth` in
    /// `$XDG_CACHE_HOME` or `~/.cache`, on macOS `~/Library/Caches`, on
    /// Windows `%LOCALAPPDATA%`. Nothing is opened yet.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`] if the environment names no such directory.
    pub fn new() -> Result<Self, ConfigurationError> {
        Self::builder().build()
    }

    /// A cache in this directory. Nothing is opened yet.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`] if the path is not absolute.
    pub fn in_directory(path: impl Into<PathBuf>) -> Result<Self, ConfigurationError> {
        Self::builder().directory(path).build()
    }

    /// A builder, for a cache with a key or a clock of one's own.
    pub fn builder() -> FileCacheBuilder {
        FileCacheBuilder {
            directory: None,
            #[expect(clippy::disallowed_methods, reason = "this is the look-up to inject")]
            lookup: Box::new(|name| std::env::var_os(name)),
            sealer: Sealer::new(),
            clock: Box::new(SystemClock::new()),
        }
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.inner.directory
    }

    /// What is kept in the directory, whosever it is, by name. Nothing is kept
    /// where there is no directory yet.
    ///
    /// It reads the directory on this thread.
    ///
    /// # Errors
    ///
    /// [`CacheError`] if the directory cannot be used, as of every call.
    pub fn entries(&self) -> Result<Vec<FileCacheEntry>, CacheError> {
        self.protocol().entries()
    }

    /// Removes everything that is kept in the directory, whosever it is, and
    /// says how many entries that was. Tokens that were handed out stand; the
    /// next fetch asks the server.
    ///
    /// It works on this thread.
    ///
    /// # Errors
    ///
    /// [`CacheError`] if the directory cannot be used, or a file not be removed.
    pub fn clear(&self) -> Result<usize, CacheError> {
        self.protocol().clear()
    }

    fn protocol(&self) -> Protocol<'_, Platform> {
        let now = self.inner.clock.now().system_time();
        Protocol::new(&self.inner.directory, &self.inner.sealer, now)
    }

    async fn run<T: Send + 'static>(
        &self,
        access: &CacheAccess,
        call: impl FnOnce(&Protocol<'_, Platform>, &CacheAccess) -> T + Send + 'static,
    ) -> Result<T, CacheError> {
        let (inner, access) = (Arc::clone(&self.inner), access.clone());
        let now = self.inner.clock.now().system_time();
        let call = move || {
            let protocol = Protocol::new(&inner.directory, &inner.sealer, now);
            call(&protocol, &access)
        };
        self.inner.workers.run(call).await
    }

    /// Warns once of a problem, until it is gone.
    fn tell<T>(&self, done: Done<T>) -> T {
        if let Some(Notice { file, problem }) = done.notice {
            let mut warned = lock(&self.inner.warned);
            if warned.len() >= MAX_WARNED {
                warned.clear();
            }
            let is_new = warned.get(&file) != Some(&problem);
            if is_new {
                warned.insert(file.clone(), problem.clone());
            }
            drop(warned);
            if is_new {
                tracing::warn!(
                    target: "bloom_auth.cache",
                    directory = ?self.inner.directory,
                    file,
                    problem,
                    "a file of the token cache is of no use",
                );
            }
        }
        done.value
    }

    fn is_sweep_due(&self) -> bool {
        let now = self.inner.clock.now().monotonic;
        let mut swept_until = lock(&self.inner.swept_until);
        if swept_until.is_some_and(|until| now < until) {
            return false;
        }
        let interval = u64::try_from(SWEEP_INTERVAL.as_nanos()).unwrap_or(u64::MAX);
        *swept_until = Some(now.saturating_add(interval));
        true
    }
}

#[async_trait]
impl TokenCache for FileCache {
    async fn load(&self, access: &CacheAccess) -> Result<Option<CacheRecord>, CacheError> {
        let done = self.run(access, |protocol, access| protocol.load(access));
        Ok(self.tell(done.await??))
    }

    async fn store(&self, access: &CacheAccess, record: &CacheRecord) -> Result<(), CacheError> {
        let record = record.clone();
        let sweep = self.is_sweep_due();
        let stored = self.run(access, move |protocol, access| {
            protocol.store(access, &record, sweep)
        });
        let file = stored.await??;
        lock(&self.inner.warned).remove(&file);
        Ok(())
    }

    async fn remove(&self, access: &CacheAccess, token: &TokenHash) -> Result<(), CacheError> {
        let token = *token;
        self.run(access, move |protocol, access| {
            protocol.remove(access, &token)
        })
        .await?
    }

    async fn lease(&self, access: &CacheAccess) -> Result<Lease, CacheError> {
        let done = self.run(access, |protocol, access| protocol.lease(access));
        Ok(match self.tell(done.await??) {
            Right::Granted(lock) => Lease::Granted(LeaseGuard::new(lock)),
            Right::Held => Lease::Held,
            Right::Unsupported => Lease::NotNeeded,
        })
    }

    async fn load_refusal(&self, access: &CacheAccess) -> Result<Option<Refusal>, CacheError> {
        let done = self.run(access, |protocol, access| protocol.load_refusal(access));
        Ok(self.tell(done.await??))
    }

    async fn store_refusal(
        &self,
        access: &CacheAccess,
        refusal: &Refusal,
    ) -> Result<(), CacheError> {
        let refusal = *refusal;
        let stored = self.run(access, move |protocol, access| {
            protocol.store_refusal(access, &refusal)
        });
        let file = stored.await??;
        lock(&self.inner.warned).remove(&file);
        Ok(())
    }

    fn check(&self, credentials: &ClientCredentials) -> Result<(), ConfigurationError> {
        self.inner.sealer.check(credentials)
    }
}

impl fmt::Debug for FileCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileCache")
            .field("directory", &self.inner.directory)
            .field("sealer", &self.inner.sealer)
            .finish_non_exhaustive()
    }
}

/// Builds a [`FileCache`].
#[must_use]
pub struct FileCacheBuilder {
    directory: Option<PathBuf>,
    lookup: Box<EnvironmentLookup>,
    sealer: Sealer,
    clock: Box<dyn Clock>,
}

impl FileCacheBuilder {
    /// Sets the directory: the platform's by default.
    pub fn directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.directory = Some(path.into());
        self
    }

    /// Sets the look-up of the variables that tell the platform's directory:
    /// the process's environment by default.
    pub fn lookup(
        mut self,
        lookup: impl Fn(&str) -> Option<OsString> + Send + Sync + 'static,
    ) -> Self {
        self.lookup = Box::new(lookup);
        self
    }

    /// Sets what seals the records: the client secret by default.
    pub fn sealer(mut self, sealer: Sealer) -> Self {
        self.sealer = sealer;
        self
    }

    /// Sets the clock: that of the operating system by default.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// Builds the cache. Nothing is opened yet.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`] if the directory is not absolute, or none was
    /// given and the environment names none.
    pub fn build(self) -> Result<FileCache, ConfigurationError> {
        let directory = match &self.directory {
            Some(path) => directory::given(path)?,
            None => directory::default(&*self.lookup)?,
        };
        Ok(FileCache {
            inner: Arc::new(Inner {
                directory,
                sealer: self.sealer,
                clock: self.clock,
                workers: Workers::new(),
                swept_until: Mutex::new(None),
                warned: Mutex::default(),
            }),
        })
    }
}

impl fmt::Debug for FileCacheBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileCacheBuilder")
            .field("directory", &self.directory)
            .field("sealer", &self.sealer)
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What they guard is whole between any two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
