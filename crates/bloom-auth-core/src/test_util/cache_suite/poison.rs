//! Entries that somebody has changed where they are kept.

use async_trait::async_trait;
use tokio::time::timeout;

use super::{
    PATIENCE, assert_is,
    keys::{base, every_key},
    load, record, remove, store,
};
use crate::{
    cache::{CacheAccess, CacheRecord, TokenCache},
    entropy::Entropy as _,
    test_util::SeededEntropy,
};

/// The bytes of a cache that keeps its records outside the process, as whoever
/// can write there sees and changes them. Implement it in the test of such a
/// cache, for [`poisoned_entries_are_misses`].
///
/// ```
/// use std::{fs, path::PathBuf};
///
/// use async_trait::async_trait;
/// use bloom_auth_core::{CacheAccess, test_util::cache_suite::RawEntries};
///
/// /// Of a cache with one file, for a test that knows its name.
/// struct OneFile(PathBuf);
///
/// #[async_trait]
/// impl RawEntries for OneFile {
///     async fn read(&self, _: &CacheAccess) -> Option<Vec<u8>> {
///         fs::read(&self.0).ok()
///     }
///
///     async fn write(&self, _: &CacheAccess, bytes: &[u8]) {
///         fs::write(&self.0, bytes).unwrap();
///     }
/// }
/// ```
#[async_trait]
pub trait RawEntries: Send + Sync {
    /// The bytes under this key, if there are any.
    async fn read(&self, access: &CacheAccess) -> Option<Vec<u8>>;

    /// Puts these bytes there, whatever they are, in place of what is there.
    async fn write(&self, access: &CacheAccess, bytes: &[u8]);
}

/// How many of an entry's bits [`poisoned_entries_are_misses`] changes, one at
/// a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BitFlips {
    /// Each of them: some thousands of writes and loads.
    All,
    /// One in each of the first and the last bytes, and some between: for a
    /// cache that is slow.
    Sample,
}

/// An entry that is not exactly what was stored under its key is a miss,
/// never a record, an error or a panic; it is in nobody's way, and the next
/// store takes its place. The cache is empty at first.
///
/// Entries that are as they were stored, and only from another time, are left
/// to the engine, which looks at a record's times itself.
///
/// Not part of [`all`](super::all): it needs the cache's bytes.
pub async fn poisoned_entries_are_misses(
    cache: &dyn TokenCache,
    raw: &dyn RawEntries,
    flips: BitFlips,
) {
    let access = base();
    let stored = record("stored", 100);
    let victim = Victim { cache, raw, access };
    let entry = victim.entry(&stored).await;

    for (what, bytes) in strangers(&entry) {
        victim.check(&stored, &what, &bytes).await;
    }
    for (what, access) in every_key().into_iter().skip(1) {
        store(cache, &access, &record("of-another-key", 50)).await;
        let Some(bytes) = raw.read(&access).await else {
            panic!("there are no bytes after a store under `{what}`");
        };
        let what = format!("a copy of the entry of `{what}`");
        victim.check(&stored, &what, &bytes).await;
    }
    for length in lengths(entry.len()) {
        let bytes = entry.get(..length).unwrap_or_default();
        let what = format!("the first {length} of {} bytes", entry.len());
        victim.misses(&what, bytes).await;
    }
    for bit in bits(entry.len(), flips) {
        let mut bytes = entry.clone();
        if let Some(byte) = bytes.get_mut(bit / 8) {
            *byte ^= 1 << (bit % 8);
        }
        let what = format!("bit {bit} of {} bytes changed", entry.len());
        victim.misses(&what, &bytes).await;
    }
    victim.heals("after all of these").await;
}

/// Whose entry is changed.
struct Victim<'a> {
    cache: &'a dyn TokenCache,
    raw: &'a dyn RawEntries,
    access: CacheAccess,
}

impl Victim<'_> {
    /// The bytes of this record; also the control that they are the ones that
    /// the cache reads.
    async fn entry(&self, stored: &CacheRecord) -> Vec<u8> {
        store(self.cache, &self.access, stored).await;
        let Some(entry) = self.raw.read(&self.access).await else {
            panic!("there are no bytes after a store");
        };
        self.raw.write(&self.access, b"").await;
        self.misses("no byte at all", b"").await;
        self.raw.write(&self.access, &entry).await;
        let found = load(self.cache, &self.access).await;
        assert_is(found.as_ref(), stored, "with its bytes put back");
        entry
    }

    /// Every operation meets these bytes.
    async fn check(&self, stored: &CacheRecord, what: &str, bytes: &[u8]) {
        self.misses(what, bytes).await;
        self.heals(&format!("after a load of {what}")).await;
        self.raw.write(&self.access, bytes).await;
        remove(self.cache, &self.access, &stored.token().hash()).await;
        self.raw.write(&self.access, bytes).await;
        self.heals(&format!("over {what}")).await;
    }

    async fn misses(&self, what: &str, bytes: &[u8]) {
        self.raw.write(&self.access, bytes).await;
        let load = timeout(PATIENCE, self.cache.load(&self.access));
        match load.await {
            Ok(Ok(None)) => {}
            Ok(Ok(Some(_))) => panic!("{what}: it was taken for a record"),
            Ok(Err(error)) => panic!("{what}: `load` failed: {error}"),
            Err(_) => panic!("{what}: `load` is stuck"),
        }
    }

    /// Also a record that was sent earlier than what the entry may claim.
    async fn heals(&self, when: &str) {
        let new = record("new", 1000);
        store(self.cache, &self.access, &new).await;
        let found = load(self.cache, &self.access).await;
        assert_is(found.as_ref(), &new, &format!("stored {when}"));
    }
}

/// Bytes that no store has written like this.
fn strangers(entry: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut strangers = Vec::new();
    for (what, tail) in [
        ("a zero", &b"\0"[..]),
        ("a line break", b"\n"),
        ("a kilobyte", &[b'x'; 1024]),
        ("a copy of itself", entry),
    ] {
        let what = format!("the entry with {what} after it");
        strangers.push((what, [entry, tail].concat()));
    }
    strangers.push(("a zero before the entry".into(), [b"\0", entry].concat()));
    for text in ["{}", "[]", "null", "\"\"", "0", "\n"] {
        strangers.push((format!("the text `{text:?}`"), text.into()));
    }
    strangers.push(("deep brackets".into(), vec![b'['; 100_000]));
    for byte in [0, 0xff] {
        for length in [entry.len(), 1024 * 1024] {
            let what = format!("{length} bytes of {byte}");
            strangers.push((what, vec![byte; length]));
        }
    }
    let mut reversed = entry.to_vec();
    reversed.reverse();
    strangers.push(("the entry's bytes in reverse".into(), reversed));
    for length in [1, 2, 7, 12, 16, 32, 64, 100, entry.len(), 1000, 65_537] {
        strangers.push((format!("{length} bytes of noise"), noise(length)));
    }
    strangers
}

/// The same bytes every time, without a pattern.
fn noise(length: usize) -> Vec<u8> {
    let numbers = SeededEntropy::new(u64::try_from(length).unwrap_or(u64::MAX));
    let bytes = std::iter::repeat_with(|| numbers.draw().to_le_bytes());
    bytes.flatten().take(length).collect()
}

/// To how many bytes an entry is cut: each number, of a long entry all that
/// are near its ends and some between.
pub(super) fn lengths(entry: usize) -> impl Iterator<Item = usize> {
    (0..entry).filter(move |length| is_sampled(*length, entry, 512))
}

/// Which bits are changed.
pub(super) fn bits(entry: usize, flips: BitFlips) -> impl Iterator<Item = usize> {
    let is_chosen = move |bit: &usize| match flips {
        BitFlips::All => true,
        // Another bit of each byte.
        BitFlips::Sample => bit % 8 == bit / 8 % 8 && is_sampled(bit / 8, entry, 128),
    };
    (0..entry * 8).filter(is_chosen)
}

/// Whether this one is among about so many out of all, most of them near the
/// ends.
fn is_sampled(n: usize, all: usize, many: usize) -> bool {
    let near = many / 4;
    let step = (all / (many / 2)).max(1);
    n < near || n + near >= all || n.is_multiple_of(step)
}
