//! What is asked of the server for an entry.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use bloom_auth_core::{CacheAccess, CacheError, CacheRecord, Lease, Refusal, TokenHash};
use redis::{Cmd, Value};

use super::{hex, lease, server::Failure, server::Server};
use crate::{
    rules,
    seal::{MAX_SEALED_BYTES, SealError, Sealer},
};

/// One byte more than any record, to know what is too large.
pub(super) const MAX_READ: usize = MAX_SEALED_BYTES + 1;

/// Entries with a later expiry are let go all the same.
const MAX_LIFE: Duration = Duration::from_secs(30 * 86_400);

/// How often a store or a removal begins anew since somebody else was faster.
/// Of those who store at once, one gets on each time.
const ROUNDS: u32 = 64;

/// More entries than this are not remembered as having been warned of.
const MAX_WARNED: usize = 1024;

/// Replaces the record if it is the one that was seen; else gives the one that
/// is there. A value of another type is not ours and in the way.
const REPLACE: &str = "\
local there = redis.pcall('GETRANGE', KEYS[1], 0, ARGV[3])
if type(there) == 'table' then there = '' end
if there ~= ARGV[1] then return there end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[4])
redis.call('DEL', KEYS[2])
return 1";

/// Removes the record if it is the one that was seen.
const REMOVE: &str = "\
if redis.call('GETRANGE', KEYS[1], 0, ARGV[2]) == ARGV[1] then
    return redis.call('DEL', KEYS[1])
end
return 0";

/// The entries of a cache at one moment.
pub(super) struct Entries<'a> {
    pub(super) server: &'a Arc<Server>,
    pub(super) sealer: &'a Sealer,
    pub(super) prefix: &'a str,
    pub(super) notices: &'a Notices,
    pub(super) now: SystemTime,
}

/// What is under a key.
enum Found<T> {
    Nothing,
    Entry(T),
    Useless(String),
}

/// The names of an entry's keys.
struct Keys {
    record: String,
    refusal: String,
    lease: String,
}

impl Entries<'_> {
    pub(super) async fn load(
        &self,
        access: &CacheAccess,
    ) -> Result<Option<CacheRecord>, CacheError> {
        let key = self.keys(access)?.record;
        let bytes = self.read(&key).await?;
        if let Some(record) = self.of_use(&key, self.open(access, bytes)?) {
            return Ok(Some(record));
        }
        let Some(previous) = self.sealer.previous(access, self.now) else {
            return Ok(None);
        };
        let bytes = self.read(&self.keys(&previous)?.record).await?;
        match self.open(&previous, bytes)? {
            Found::Entry(record) => Ok(Some(record)),
            Found::Nothing | Found::Useless(_) => Ok(None),
        }
    }

    pub(super) async fn store(
        &self,
        access: &CacheAccess,
        record: &CacheRecord,
    ) -> Result<(), CacheError> {
        let keys = self.keys(access)?;
        let Ok(left) = record.token().expires_at().duration_since(self.now) else {
            // Of no more use to anybody.
            return Ok(());
        };
        let sealed = self.sealer.seal(access, record)?;
        let mut seen = Vec::new();
        for _ in 0..ROUNDS {
            let mut command = Cmd::new();
            command.arg("EVAL").arg(REPLACE).arg(2);
            command.arg(&keys.record).arg(&keys.refusal);
            command.arg(&seen).arg(&sealed);
            command.arg(MAX_SEALED_BYTES).arg(millis(left));
            let replaced = self.server.call(&command, |value| match value {
                Value::Int(1) => Some(None),
                Value::BulkString(there) => Some(Some(there)),
                _ => None,
            });
            let replaced = replaced.await.map_err(|failure| self.error(failure))?;
            let Some(there) = replaced else {
                self.notices.clear(&keys.record);
                return Ok(());
            };
            seen.clone_from(&there);
            if let Found::Entry(there) = self.open(access, Some(there))?
                && rules::stays(&there, record, self.now)
            {
                return Ok(());
            }
        }
        Err(CacheError::new("others store the same entry all the time"))
    }

    pub(super) async fn remove(
        &self,
        access: &CacheAccess,
        token: &TokenHash,
    ) -> Result<(), CacheError> {
        self.remove_one(access, token).await?;
        // It may have been found there.
        match self.sealer.previous(access, self.now) {
            Some(previous) => self.remove_one(&previous, token).await,
            None => Ok(()),
        }
    }

    async fn remove_one(&self, access: &CacheAccess, token: &TokenHash) -> Result<(), CacheError> {
        let key = self.keys(access)?.record;
        for _ in 0..ROUNDS {
            let Some(bytes) = self.read(&key).await? else {
                return Ok(());
            };
            match self.open(access, Some(bytes.clone()))? {
                Found::Entry(record) if record.token().hash() == *token => {}
                _ => return Ok(()),
            }
            let mut command = Cmd::new();
            command.arg("EVAL").arg(REMOVE).arg(1).arg(&key);
            command.arg(&bytes).arg(MAX_SEALED_BYTES);
            let removed = self.server.call(&command, |value| match value {
                Value::Int(removed) => Some(removed != 0),
                _ => None,
            });
            if removed.await.map_err(|failure| self.error(failure))? {
                return Ok(());
            }
            // Another one came meanwhile, or this one once more.
        }
        Err(CacheError::new("others store the same entry all the time"))
    }

    pub(super) async fn lease(&self, access: &CacheAccess) -> Result<Lease, CacheError> {
        let key = self.keys(access)?.lease;
        let lease = lease::ask(self.server, key).await;
        lease.map_err(|failure| self.error(failure))
    }

    pub(super) async fn load_refusal(
        &self,
        access: &CacheAccess,
    ) -> Result<Option<Refusal>, CacheError> {
        let key = self.keys(access)?.refusal;
        let bytes = self.read(&key).await?;
        let found = found(bytes, |bytes| self.sealer.open_refusal(access, bytes))?;
        Ok(self.of_use(&key, found))
    }

    pub(super) async fn store_refusal(
        &self,
        access: &CacheAccess,
        refusal: &Refusal,
    ) -> Result<(), CacheError> {
        let key = self.keys(access)?.refusal;
        let left = refusal.left(self.now);
        if left.is_zero() {
            return Ok(());
        }
        let sealed = self.sealer.seal_refusal(access, refusal)?;
        let mut command = Cmd::new();
        command.arg("SET").arg(&key).arg(&sealed);
        command.arg("PX").arg(millis(left));
        let stored = self.server.call(&command, |value| match value {
            Value::Okay => Some(()),
            _ => None,
        });
        stored.await.map_err(|failure| self.error(failure))?;
        self.notices.clear(&key);
        Ok(())
    }

    fn keys(&self, access: &CacheAccess) -> Result<Keys, SealError> {
        let name = hex(&self.sealer.name(access)?);
        let prefix = self.prefix;
        let key = |kind: char| format!("{prefix}:{{{name}}}:{kind}");
        Ok(Keys {
            record: key('t'),
            refusal: key('r'),
            lease: key('l'),
        })
    }

    /// The bytes under a key, as far as they may be a record; a value of
    /// another type has none that could be one.
    async fn read(&self, key: &str) -> Result<Option<Vec<u8>>, CacheError> {
        let mut command = Cmd::new();
        command
            .arg("GETRANGE")
            .arg(key)
            .arg(0)
            .arg(MAX_SEALED_BYTES);
        let read = self.server.call(&command, |value| match value {
            // As is no value at all.
            Value::BulkString(bytes) if bytes.is_empty() => Some(None),
            Value::BulkString(bytes) => Some(Some(bytes)),
            _ => None,
        });
        match read.await {
            Err(Failure::Refused(problem)) if problem.is_wrong_type() => Ok(Some(vec![0])),
            read => read.map_err(|failure| self.error(failure)),
        }
    }

    fn open(
        &self,
        access: &CacheAccess,
        bytes: Option<Vec<u8>>,
    ) -> Result<Found<CacheRecord>, CacheError> {
        let found = found(bytes, |bytes| self.sealer.open(access, bytes))?;
        Ok(match found {
            Found::Entry(record) if rules::is_ahead(&record, self.now) => {
                let problem = "it claims to come from the future: a clock is or was wrong";
                Found::Useless(problem.to_owned())
            }
            // Whoever has put it back: the times inside it decide.
            Found::Entry(record) if rules::is_over(&record, self.now) => Found::Nothing,
            found => found,
        })
    }

    fn of_use<T>(&self, key: &str, found: Found<T>) -> Option<T> {
        match found {
            Found::Entry(entry) => Some(entry),
            Found::Nothing => None,
            Found::Useless(problem) => {
                self.notices.tell(self.server, key, &problem);
                None
            }
        }
    }

    fn error(&self, failure: Failure) -> CacheError {
        failure.into_error(self.server)
    }
}

fn found<T>(
    bytes: Option<Vec<u8>>,
    open: impl FnOnce(&[u8]) -> Result<T, SealError>,
) -> Result<Found<T>, CacheError> {
    let Some(bytes) = bytes else {
        return Ok(Found::Nothing);
    };
    match open(&bytes) {
        Ok(entry) => Ok(Found::Entry(entry)),
        Err(error @ SealError::NoKey) => Err(error.into()),
        Err(error) => Ok(Found::Useless(error.to_string())),
    }
}

/// The server takes no zero, and forgets what nobody renews.
fn millis(left: Duration) -> u64 {
    let millis = left.min(MAX_LIFE).as_millis();
    u64::try_from(millis).unwrap_or(u64::MAX).max(1)
}

/// By key: the problem that was warned of, and has not gone away since.
#[derive(Debug, Default)]
pub(super) struct Notices(Mutex<HashMap<String, String>>);

impl Notices {
    /// Warns once of a problem, until it is gone.
    fn tell(&self, server: &Server, key: &str, problem: &str) {
        let mut warned = self.warned();
        if warned.len() >= MAX_WARNED {
            warned.clear();
        }
        let before = warned.insert(key.to_owned(), problem.to_owned());
        drop(warned);
        if before.as_deref() != Some(problem) {
            let server = server.address();
            tracing::warn!(
                target: "bloom_auth.cache",
                %server,
                key,
                problem,
                "an entry of the token cache is of no use",
            );
        }
    }

    fn clear(&self, key: &str) {
        self.warned().remove(key);
    }

    fn warned(&self) -> MutexGuard<'_, HashMap<String, String>> {
        // It is whole between any two statements, whoever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
