//! What the file cache asks of a file system: the trait that its protocol is
//! written against, and the outcomes that it tells apart.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
    time::SystemTime,
};

/// An open directory that is safe to keep records in. Every name is that of
/// an entry in it, without a separator.
pub(super) trait Folder: Sized {
    /// Opens the directory; `None` if it does not exist and is not to be
    /// created. It belongs to this user, and to nobody else's eyes.
    fn open(path: &Path, create: bool) -> io::Result<Option<Self>>;

    /// Reads a whole file of at most this size, if it is a file of our own
    /// that nobody else could have read or written.
    fn read(&self, name: &str, max: usize) -> io::Result<Contents>;

    /// Creates a file that only this user can read, from its first moment on,
    /// writes the bytes and makes them durable. Fails if the name is taken;
    /// whatever else fails, the file may be there in part.
    fn create(&self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Gives a file another name, in the place of what has that name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Makes names durable.
    fn sync(&self) -> io::Result<()>;

    /// Removes a file; that there is none is no error.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Opens a file of our own to lock, and creates it if need be.
    fn open_lock(&self, name: &str) -> io::Result<File>;

    /// Whether this file still has that name. A lock on one that has lost it
    /// excludes nobody.
    fn is_current(&self, name: &str, file: &File) -> io::Result<bool>;

    /// When a file of our own was last written; `None` if it is not ours, no
    /// file, or gone.
    fn modified(&self, name: &str) -> io::Result<Option<SystemTime>>;

    /// The names in the directory, up to this number.
    fn names(&self, max: usize) -> io::Result<Vec<String>>;
}

/// What a file held.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Contents {
    Absent,
    Bytes(Vec<u8>),
    /// It is not read, for this reason.
    Refused(&'static str),
}

pub(super) const NOT_A_FILE: &str = "it is not a regular file";

/// Reads a file as far as the limit, whatever its size is said to be: it may
/// change meanwhile.
pub(super) fn read_at_most(file: File, max: usize) -> io::Result<Contents> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(&mut bytes)?;
    if bytes.len() > max {
        return Ok(Contents::Refused("it is larger than any record"));
    }
    Ok(Contents::Bytes(bytes))
}
