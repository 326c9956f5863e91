//! The same for poisoned entries, with a cache that keeps bytes.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::*;

/// What a [`Bytes`] cache does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    ChecksNothing,
    ChecksForAnyKey,
    ChecksForTheClientId,
    ChecksNoTimes,
    IgnoresWhatFollows,
    PanicsWhenShort,
    Complains,
    ComplainsAboutRemovals,
    KeepsWhatItCannotRead,
    MakesRoomWhenLoaded,
    BelievesClaims,
    KeepsARecordAside,
}

/// Keeps `check ‖ sent at ‖ lifetime ‖ length of the token ‖ token`. Its check
/// finds changes, if not forgeries.
#[derive(Debug)]
struct Bytes {
    flaw: Flaw,
    entries: Mutex<HashMap<CacheKey, Vec<u8>>>,
    aside: Mutex<HashMap<CacheKey, CacheRecord>>,
}

impl Bytes {
    fn new(flaw: Flaw) -> Self {
        Self {
            flaw,
            entries: Mutex::default(),
            aside: Mutex::default(),
        }
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    fn entry(&self, access: &CacheAccess) -> Option<Vec<u8>> {
        self.entries.lock().unwrap().get(access.key()).cloned()
    }

    fn check(&self, access: &CacheAccess, content: &[u8]) -> [u8; 8] {
        let mut hasher = DefaultHasher::new();
        match self.flaw {
            Flaw::ChecksNothing => return [0; 8],
            Flaw::ChecksForAnyKey => {}
            Flaw::ChecksForTheClientId => format!("{:?}", access.key()).hash(&mut hasher),
            _ => access.key().hash(&mut hasher),
        }
        let skipped = if self.has(Flaw::ChecksNoTimes) { 16 } else { 0 };
        content.get(skipped..).hash(&mut hasher);
        hasher.finish().to_le_bytes()
    }

    fn encode(&self, access: &CacheAccess, record: &CacheRecord) -> Vec<u8> {
        let token = record.token().expose().as_bytes();
        let content = [
            &record.sent_at_nanos().to_le_bytes(),
            &record.lifetime_nanos().to_le_bytes(),
            &(token.len() as u64).to_le_bytes(),
            token,
        ]
        .concat();
        [&self.check(access, &content), &content[..]].concat()
    }

    fn decode(&self, access: &CacheAccess, entry: &[u8]) -> Option<CacheRecord> {
        if self.has(Flaw::PanicsWhenShort) {
            let _ = &entry[..8];
        }
        let number = |at: usize| {
            let bytes = entry.get(at..at + 8)?;
            Some(u64::from_le_bytes(bytes.try_into().ok()?))
        };
        let length = usize::try_from(number(24)?).ok()?;
        let end = length.checked_add(32)?;
        let token = entry.get(32..end)?;
        if !self.has(Flaw::IgnoresWhatFollows) && end != entry.len() {
            return None;
        }
        if !self.has(Flaw::ChecksNothing) && self.check(access, &entry[8..end]) != entry[..8] {
            return None;
        }
        let scopes = "read:a write:a".parse().ok();
        let sent_at = crate::clock::system_time(number(8)?);
        let lifetime = Duration::from_nanos(number(16)?);
        CacheRecord::new(std::str::from_utf8(token).ok()?, scopes, sent_at, lifetime).ok()
    }
}

#[async_trait]
impl TokenCache for Bytes {
    async fn load(&self, access: &CacheAccess) -> Result<Option<CacheRecord>, CacheError> {
        let Some(entry) = self.entry(access) else {
            return Ok(None);
        };
        if self.has(Flaw::KeepsARecordAside) {
            return Ok(self.aside.lock().unwrap().get(access.key()).cloned());
        }
        match self.decode(access, &entry) {
            None if self.has(Flaw::MakesRoomWhenLoaded) => {
                self.entries.lock().unwrap().remove(access.key());
                Ok(None)
            }
            None if self.has(Flaw::Complains) => Err(CacheError::new("the entry is damaged")),
            found => Ok(found),
        }
    }

    async fn store(&self, access: &CacheAccess, record: &CacheRecord) -> Result<(), CacheError> {
        let there = self.entry(access).unwrap_or_default();
        let found = self.decode(access, &there);
        let mut is_kept = found
            .as_ref()
            .is_some_and(|found| found.sent_at() > record.sent_at());
        if self.has(Flaw::KeepsWhatItCannotRead) && !there.is_empty() {
            is_kept = true;
        }
        if self.has(Flaw::MakesRoomWhenLoaded) && !there.is_empty() && found.is_none() {
            is_kept = true;
        }
        if self.has(Flaw::BelievesClaims) {
            let claim = there.get(8..16).and_then(|bytes| bytes.try_into().ok());
            let claim = u64::from_le_bytes(claim.unwrap_or_default());
            is_kept = claim > record.sent_at_nanos();
        }
        if !is_kept {
            let (key, entry) = (access.key().clone(), self.encode(access, record));
            self.entries.lock().unwrap().insert(key, entry);
            let (key, record) = (access.key().clone(), record.clone());
            self.aside.lock().unwrap().insert(key, record);
        }
        Ok(())
    }

    async fn remove(&self, access: &CacheAccess, token: &TokenHash) -> Result<(), CacheError> {
        let Some(entry) = self.entry(access) else {
            return Ok(());
        };
        match self.decode(access, &entry) {
            Some(found) if found.token().hash() == *token => {
                self.entries.lock().unwrap().remove(access.key());
            }
            None if self.has(Flaw::ComplainsAboutRemovals) => {
                return Err(CacheError::new("the entry is damaged"));
            }
            _ => {}
        }
        Ok(())
    }
}

#[async_trait]
impl RawEntries for Bytes {
    async fn read(&self, access: &CacheAccess) -> Option<Vec<u8>> {
        self.entry(access)
    }

    async fn write(&self, access: &CacheAccess, bytes: &[u8]) {
        let mut entries = self.entries.lock().unwrap();
        entries.insert(access.key().clone(), bytes.to_vec());
    }
}

/// Runs the check; what it panics with is the error.
async fn run(flaw: Flaw, flips: BitFlips) -> Result<(), String> {
    outcome(async move {
        let cache = Bytes::new(flaw);
        poisoned_entries_are_misses(&cache, &cache, flips).await;
    })
    .await
}

#[tokio::test]
async fn a_cache_that_is_right_passes() {
    for flips in [BitFlips::All, BitFlips::Sample] {
        assert_eq!(run(Flaw::None, flips).await, Ok(()));
    }
    // The rest of the suite has nothing against such a cache.
    let cache = Bytes::new(Flaw::None);
    removal_is_of_this_very_token(&cache).await;
    another_secret_gets_nothing(&cache).await;
}

#[tokio::test]
async fn every_flaw_is_caught() {
    for (flaw, complaint) in [
        (
            Flaw::ChecksNothing,
            "a copy of the entry of `another secret`: it was taken for a record",
        ),
        (
            Flaw::ChecksForAnyKey,
            "a copy of the entry of `another secret`: it was taken for a record",
        ),
        (
            Flaw::ChecksForTheClientId,
            "a copy of the entry of `another secret`: it was taken for a record",
        ),
        (Flaw::ChecksNoTimes, "changed: it was taken for a record"),
        (
            Flaw::IgnoresWhatFollows,
            "the entry with a zero after it: it was taken for a record",
        ),
        (Flaw::PanicsWhenShort, "range end index 8 out of range"),
        (
            Flaw::Complains,
            "no byte at all: `load` failed: the entry is damaged",
        ),
        (
            Flaw::ComplainsAboutRemovals,
            "`remove` failed: the entry is damaged",
        ),
        (
            Flaw::KeepsWhatItCannotRead,
            "stored after a load of the entry with a zero after it: there is no record",
        ),
        (
            Flaw::MakesRoomWhenLoaded,
            "stored over the entry with a zero after it: there is no record",
        ),
        (
            Flaw::BelievesClaims,
            "stored after a load of the entry with a zero after it: there is no record",
        ),
        (
            Flaw::KeepsARecordAside,
            "no byte at all: it was taken for a record",
        ),
    ] {
        for flips in [BitFlips::All, BitFlips::Sample] {
            let found = run(flaw, flips).await;
            let found = found.expect_err(&format!("{flaw:?} is not caught"));
            assert!(found.contains(complaint), "{flaw:?}: {found}");
        }
    }
}

#[test]
fn samples_are_small_and_reach_both_ends() {
    use super::super::poison::{bits, lengths};

    for size in [1, 5, 100, 400, 5000, 100_000] {
        let lengths: Vec<_> = lengths(size).collect();
        assert!(lengths.len() <= 1024.min(size), "{size}");
        assert!(lengths.starts_with(&[0]) && lengths.ends_with(&[size - 1]));
        assert_eq!(bits(size, BitFlips::All).count(), 8 * size);
        let bytes: Vec<_> = bits(size, BitFlips::Sample).map(|bit| bit / 8).collect();
        assert!(bytes.len() <= 256.min(size), "{size}: {}", bytes.len());
        assert!(bytes.starts_with(&[0]) && bytes.ends_with(&[size - 1]));
    }
}
