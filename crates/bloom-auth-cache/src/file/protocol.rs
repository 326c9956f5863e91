//! The file cache's protocol: how records are found, replaced, removed and
//! swept, and how the right to fetch is taken, over any [`Folder`].
//!
//! Files of an entry, in one directory:
//!
//! - `NAME.v1.token`: the sealed record; it is only ever replaced as a whole.
//! - `NAME.v1.refusal`: a sealed refusal, in the same way.
//! - `NAME.v1.lock`: locked for the moments of a store or a removal.
//! - `NAME.v1.lease`: locked by whoever is fetching.
//!
//! NAME is the entry's [name](Sealer::name) in hexadecimal digits, and `v1` the
//! version of the format, so that versions do not meet. Locks are the
//! kernel's, which frees them when their holder dies; their files are empty. A
//! record is written to `.bloom-auth-RANDOM.tmp` first. What a killed writer has
//! left behind is swept when it is an hour old, and the files of an entry that
//! nobody has renewed when they are 30 days old; a lock file only by who has the
//! lock.

use std::{
    io,
    marker::PhantomData,
    path::Path,
    thread,
    time::{Duration, SystemTime},
};

use bloom_auth_core::{CacheAccess, CacheError, CacheRecord, Refusal, TokenHash};

use super::{
    folder::{Contents, Folder},
    lock::Lock,
};
use crate::{
    rules,
    seal::{MAX_SEALED_BYTES, SealError, Sealer},
};

/// How often and how long a writer waits for another one to be done: half a
/// second in all, for disks that are slow to write.
const LOCK_TRIES: u32 = 250;
const LOCK_PAUSE: Duration = Duration::from_millis(2);

/// How often a name that is taken is given up for another.
const NAME_TRIES: u32 = 4;

const RECORD: &str = ".v1.token";
const REFUSAL: &str = ".v1.refusal";
const LOCK: &str = ".v1.lock";
const LEASE: &str = ".v1.lease";
const TEMPORARY: (&str, &str) = (".bloom-auth-", ".tmp");

/// Leftovers of killed writers, and entries that no token outlives.
const MAX_TEMPORARY_AGE: Duration = Duration::from_secs(3600);
const MAX_ENTRY_AGE: Duration = Duration::from_secs(30 * 86_400);

/// The work of one sweep is bounded: names that are read, files that are
/// looked at.
const MAX_NAMES: usize = 65_536;
const MAX_LOOKS: usize = 256;

/// A file of a [`FileCache`](super::FileCache), as far as it can be told without
/// the secret that it is sealed under: not whose token it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileCacheEntry {
    /// The name of the file.
    pub name: String,
    /// When it was written.
    pub modified: SystemTime,
    /// Whether it holds a refusal of the server instead of a token.
    pub is_refusal: bool,
}

/// A result, and what is worth a warning to whoever asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Done<T> {
    pub(super) value: T,
    pub(super) notice: Option<Notice>,
}

/// Something that is wrong with an entry, and costs no more than a fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Notice {
    /// The file at fault.
    pub(super) file: String,
    pub(super) problem: String,
}

impl<T> From<T> for Done<T> {
    fn from(value: T) -> Self {
        Self {
            value,
            notice: None,
        }
    }
}

/// Whether the right to fetch was to be had.
#[derive(Debug)]
pub(super) enum Right {
    Granted(Lock),
    Held,
    /// Locks do not work here.
    Unsupported,
}

/// The protocol in one directory.
pub(super) struct Protocol<'a, F> {
    directory: &'a Path,
    sealer: &'a Sealer,
    now: SystemTime,
    folder: PhantomData<F>,
}

/// What is found under a name.
enum Found<T> {
    Nothing,
    Entry(T),
    Useless(String),
}

impl<'a, F: Folder> Protocol<'a, F> {
    pub(super) fn new(directory: &'a Path, sealer: &'a Sealer, now: SystemTime) -> Self {
        Self {
            directory,
            sealer,
            now,
            folder: PhantomData,
        }
    }

    pub(super) fn load(
        &self,
        access: &CacheAccess,
    ) -> Result<Done<Option<CacheRecord>>, CacheError> {
        let names = Names::new(self.sealer, access)?;
        let Some(folder) = self.open()? else {
            return Ok(None.into());
        };
        let notice = match self.look(&folder, &names, access)? {
            Found::Entry(record) => return Ok(Some(record).into()),
            Found::Nothing => None,
            Found::Useless(problem) => Some(Notice {
                file: names.record,
                problem,
            }),
        };
        let value = match self.sealer.previous(access, self.now) {
            Some(previous) => {
                let names = Names::new(self.sealer, &previous)?;
                match self.look(&folder, &names, &previous)? {
                    Found::Entry(record) => Some(record),
                    Found::Nothing | Found::Useless(_) => None,
                }
            }
            None => None,
        };
        Ok(Done { value, notice })
    }

    /// Returns the name of the file, in which nothing is wrong any more.
    pub(super) fn store(
        &self,
        access: &CacheAccess,
        record: &CacheRecord,
        sweep: bool,
    ) -> Result<String, CacheError> {
        let names = Names::new(self.sealer, access)?;
        let folder = self.open_or_create()?;
        // Written before the lock is taken, since it is disks that are slow.
        let sealed = self.sealer.seal(access, record)?;
        let temporary = Self::write(&folder, &sealed)
            .map_err(|error| self.error("could not be written to", error))?;
        // Without the lock a later record might be overwritten, and be fetched
        // again: less of a loss than not to keep this one.
        let lock = Self::lock_for_writing(&folder, &names);
        // What cannot be read is of no use to anybody.
        let current = self.look(&folder, &names, access);
        if let Ok(Found::Entry(current)) = current
            && rules::stays(&current, record, self.now)
        {
            let _ = folder.remove(&temporary);
            return Ok(names.record);
        }
        Self::rename(&folder, &temporary, &names.record)
            .map_err(|error| self.error("could not be written to", error))?;
        // There is a token, so the credentials are good. If this fails, that
        // is found out a little later.
        let _ = folder.remove(&names.refusal);
        drop(lock);
        folder
            .sync()
            .map_err(|error| self.error("could not be written to", error))?;
        if sweep {
            // Whatever goes wrong with leftovers, the record is kept.
            let _ = Self::sweep(&folder, &names.record);
        }
        Ok(names.record)
    }

    pub(super) fn remove(&self, access: &CacheAccess, token: &TokenHash) -> Result<(), CacheError> {
        let Some(folder) = self.open()? else {
            return Ok(());
        };
        self.remove_from(&folder, access, token)?;
        // It may have been found there.
        match self.sealer.previous(access, self.now) {
            Some(previous) => self.remove_from(&folder, &previous, token),
            None => Ok(()),
        }
    }

    fn remove_from(
        &self,
        folder: &F,
        access: &CacheAccess,
        token: &TokenHash,
    ) -> Result<(), CacheError> {
        let names = Names::new(self.sealer, access)?;
        let Some(_lock) = Self::lock_for_writing(folder, &names) else {
            // A newer record could be taken away. The rejected token is not
            // served by whoever has rejected it, and others will do the same.
            return Ok(());
        };
        match self.look(folder, &names, access)? {
            Found::Entry(record) if record.token().hash() == *token => folder
                .remove(&names.record)
                .map_err(|error| self.error("could not be written to", error)),
            _ => Ok(()),
        }
    }

    pub(super) fn load_refusal(
        &self,
        access: &CacheAccess,
    ) -> Result<Done<Option<Refusal>>, CacheError> {
        let names = Names::new(self.sealer, access)?;
        let Some(folder) = self.open()? else {
            return Ok(None.into());
        };
        let open = |bytes: &[u8]| self.sealer.open_refusal(access, bytes);
        Ok(match self.read(&folder, &names.refusal, open)? {
            Found::Entry(refusal) => Some(refusal).into(),
            Found::Nothing => None.into(),
            Found::Useless(problem) => Done {
                value: None,
                notice: Some(Notice {
                    file: names.refusal,
                    problem,
                }),
            },
        })
    }

    pub(super) fn store_refusal(
        &self,
        access: &CacheAccess,
        refusal: &Refusal,
    ) -> Result<String, CacheError> {
        let names = Names::new(self.sealer, access)?;
        let folder = self.open_or_create()?;
        let sealed = self.sealer.seal_refusal(access, refusal)?;
        Self::write(&folder, &sealed)
            .and_then(|temporary| Self::rename(&folder, &temporary, &names.refusal))
            .and_then(|()| folder.sync())
            .map_err(|error| self.error("could not be written to", error))?;
        Ok(names.refusal)
    }

    /// Asks once for the right to fetch.
    pub(super) fn lease(&self, access: &CacheAccess) -> Result<Done<Right>, CacheError> {
        let names = Names::new(self.sealer, access)?;
        let folder = self.open_or_create()?;
        match Lock::try_take(&folder, &names.lease) {
            Ok(Some(lock)) => Ok(Right::Granted(lock).into()),
            Ok(None) => Ok(Right::Held.into()),
            Err(error) => Ok(Done {
                value: Right::Unsupported,
                notice: Some(Notice {
                    file: names.lease,
                    problem: format!("it cannot be locked ({error}): processes may fetch at once"),
                }),
            }),
        }
    }

    fn open(&self) -> Result<Option<F>, CacheError> {
        F::open(self.directory, false).map_err(|error| self.error("cannot be used", error))
    }

    fn open_or_create(&self) -> Result<F, CacheError> {
        let folder = F::open(self.directory, true);
        // Removed at once by somebody else, if it is not there.
        folder
            .and_then(|folder| folder.ok_or_else(|| io::ErrorKind::NotFound.into()))
            .map_err(|error| self.error("cannot be used", error))
    }

    fn error(&self, problem: &str, source: io::Error) -> CacheError {
        // Quoted: a path may hold anything.
        let directory = self.directory;
        CacheError::new(format!("the cache directory {directory:?} {problem}")).with_source(source)
    }

    /// The record under its name.
    fn look(
        &self,
        folder: &F,
        names: &Names,
        access: &CacheAccess,
    ) -> Result<Found<CacheRecord>, CacheError> {
        let found = self.read(folder, &names.record, |bytes| {
            self.sealer.open(access, bytes)
        })?;
        Ok(match found {
            Found::Entry(record) if rules::is_ahead(&record, self.now) => {
                let problem = "it claims to come from the future: a clock is or was wrong";
                Found::Useless(problem.to_owned())
            }
            found => found,
        })
    }

    fn read<T>(
        &self,
        folder: &F,
        name: &str,
        open: impl FnOnce(&[u8]) -> Result<T, SealError>,
    ) -> Result<Found<T>, CacheError> {
        let contents = folder
            .read(name, MAX_SEALED_BYTES)
            .map_err(|error| self.error("could not be read", error))?;
        let bytes = match contents {
            Contents::Absent => return Ok(Found::Nothing),
            Contents::Refused(problem) => return Ok(Found::Useless(problem.to_owned())),
            Contents::Bytes(bytes) => bytes,
        };
        match open(&bytes) {
            Ok(entry) => Ok(Found::Entry(entry)),
            Err(error @ SealError::NoKey) => Err(error.into()),
            Err(error) => Ok(Found::Useless(error.to_string())),
        }
    }

    /// Writes a file of a name that nobody knows, and makes it durable.
    fn write(folder: &F, bytes: &[u8]) -> io::Result<String> {
        let mut taken = 0;
        loop {
            let temporary = temporary_name()?;
            let error = match folder.create(&temporary, bytes) {
                Ok(()) => return Ok(temporary),
                Err(error) => error,
            };
            if error.kind() != io::ErrorKind::AlreadyExists {
                let _ = folder.remove(&temporary);
                return Err(error);
            }
            // It was there before us: not ours to remove.
            if taken == NAME_TRIES {
                return Err(error);
            }
            taken += 1;
        }
    }

    /// Puts a file that was written under its name.
    fn rename(folder: &F, temporary: &str, name: &str) -> io::Result<()> {
        folder.rename(temporary, name).inspect_err(|_| {
            let _ = folder.remove(temporary);
        })
    }

    /// What is kept, whosever it is; no more than a sweep would read.
    pub(super) fn entries(&self) -> Result<Vec<FileCacheEntry>, CacheError> {
        let Some(folder) = self.open()? else {
            return Ok(Vec::new());
        };
        let names = folder.names(MAX_NAMES);
        let names = names.map_err(|error| self.error("cannot be read", error))?;
        let mut entries = Vec::new();
        for name in names {
            if let Some(Kind::Entry(_)) = Kind::of(&name)
                // Gone meanwhile, or not ours.
                && let Ok(Some(modified)) = folder.modified(&name)
            {
                let is_refusal = name.ends_with(REFUSAL);
                entries.push(FileCacheEntry {
                    name,
                    modified,
                    is_refusal,
                });
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Removes every entry, and what killed writers have left; returns how many
    /// entries there were. Locks that somebody holds stay.
    pub(super) fn clear(&self) -> Result<usize, CacheError> {
        let Some(folder) = self.open()? else {
            return Ok(0);
        };
        let error = |error| self.error("cannot be cleared", error);
        let names = folder.names(MAX_NAMES).map_err(error)?;
        let mut removed = 0;
        for name in &names {
            match Kind::of(name) {
                Some(Kind::Temporary) => folder.remove(name).map_err(error)?,
                Some(Kind::Entry(_)) if folder.modified(name).map_err(error)?.is_some() => {
                    folder.remove(name).map_err(error)?;
                    removed += 1;
                }
                _ => {}
            }
        }
        for name in &names {
            if let Some(Kind::Lock(entry)) = Kind::of(name) {
                Self::remove_lock(&folder, name, entry).map_err(error)?;
            }
        }
        folder.sync().map_err(error)?;
        Ok(removed)
    }

    /// Waits a moment for whoever is writing; `None` if that takes longer, or
    /// locks do not work here.
    fn lock_for_writing(folder: &F, names: &Names) -> Option<Lock> {
        for _ in 0..LOCK_TRIES {
            match Lock::try_take(folder, &names.lock) {
                Ok(Some(lock)) => return Some(lock),
                Ok(None) => thread::sleep(LOCK_PAUSE),
                Err(_) => return None,
            }
        }
        None
    }

    /// Removes what killed writers have left, and entries that nobody can use
    /// any more. The file that was written just now tells the time, since the
    /// file system's clock may be another than ours.
    fn sweep(folder: &F, just_written: &str) -> io::Result<()> {
        let Some(now) = folder.modified(just_written)? else {
            return Ok(());
        };
        let names = folder.names(MAX_NAMES)?;
        let ours: Vec<_> = names
            .iter()
            .filter(|name| Kind::of(name).is_some())
            .collect();
        // Not always the same ones, if there are more than can be looked at.
        let draw = getrandom::u64().unwrap_or_default();
        let start = usize::try_from(draw).unwrap_or_default() % ours.len().max(1);
        let looks = ours.len().min(MAX_LOOKS);
        for name in ours.iter().cycle().skip(start).take(looks) {
            let modified = folder.modified(name).ok().flatten();
            let age = modified.and_then(|modified| now.duration_since(modified).ok());
            let (Some(kind), Some(age)) = (Kind::of(name), age) else {
                continue;
            };
            // What cannot be removed is no reason to leave the rest.
            let _ = match kind {
                Kind::Temporary if age > MAX_TEMPORARY_AGE => folder.remove(name),
                Kind::Entry(entry) if age > MAX_ENTRY_AGE => {
                    Self::remove_entry(folder, name, entry, modified)
                }
                Kind::Lock(entry) if age > MAX_ENTRY_AGE => Self::remove_lock(folder, name, entry),
                _ => Ok(()),
            };
        }
        Ok(())
    }

    /// Removes an entry, unless somebody writes it or has written it since.
    fn remove_entry(
        folder: &F,
        name: &str,
        entry: &str,
        modified: Option<SystemTime>,
    ) -> io::Result<()> {
        let lock = format!("{entry}{LOCK}");
        let Some(_lock) = Lock::try_take(folder, &lock)? else {
            return Ok(());
        };
        if folder.modified(name)? == modified {
            folder.remove(name)?;
        }
        // To lock it may have made it. Who wants it makes another one.
        folder.remove(&lock)
    }

    /// Removes a lock file, if its entry is gone and nobody has the lock.
    /// Whoever opened the file before finds out that it is not the one to lock.
    fn remove_lock(folder: &F, name: &str, entry: &str) -> io::Result<()> {
        if folder.modified(&format!("{entry}{RECORD}"))?.is_some() {
            return Ok(());
        }
        match Lock::try_take(folder, name)? {
            Some(_lock) => folder.remove(name),
            None => Ok(()),
        }
    }
}

/// What a file of ours is.
enum Kind<'a> {
    Temporary,
    /// Of this name.
    Entry(&'a str),
    /// Of the entry with this name.
    Lock(&'a str),
}

impl<'a> Kind<'a> {
    /// `None` if the file is not ours, whatever else it is.
    fn of(name: &'a str) -> Option<Self> {
        let is_hex = |text: &str, length| {
            text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        let (before, after) = TEMPORARY;
        let random = name
            .strip_prefix(before)
            .and_then(|name| name.strip_suffix(after));
        if random.is_some_and(|random| is_hex(random, 32)) {
            return Some(Self::Temporary);
        }
        let (entry, ending) = name.split_at_checked(64)?;
        match ending {
            _ if !is_hex(entry, 64) => None,
            RECORD | REFUSAL => Some(Self::Entry(entry)),
            LOCK | LEASE => Some(Self::Lock(entry)),
            _ => None,
        }
    }
}

/// The names of an entry's files.
struct Names {
    record: String,
    refusal: String,
    lock: String,
    lease: String,
}

impl Names {
    fn new(sealer: &Sealer, access: &CacheAccess) -> Result<Self, SealError> {
        let name = hex(&sealer.name(access)?);
        Ok(Self {
            record: format!("{name}{RECORD}"),
            refusal: format!("{name}{REFUSAL}"),
            lock: format!("{name}{LOCK}"),
            lease: format!("{name}{LEASE}"),
        })
    }
}

fn temporary_name() -> io::Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)
        .map_err(|_| SealError::NoRandomness)
        .map_err(io::Error::other)?;
    let (before, after) = TEMPORARY;
    Ok(format!("{before}{}{after}", hex(&random)))
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    let digits = digits.filter_map(|digit| char::from_digit(digit.into(), 16));
    digits.collect()
}
