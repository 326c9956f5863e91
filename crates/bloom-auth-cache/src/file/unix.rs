//! [`Folder`] on Unix: every operation is relative to the opened directory,
//! follows no link, and checks what it has opened.

use std::{
    fs::{DirBuilder, File},
    io::{self, Write as _},
    os::{fd::OwnedFd, unix::fs::DirBuilderExt as _},
    path::Path,
    time::{Duration, SystemTime},
};

use rustix::{
    fs::{
        AtFlags, Dir, FileType, Mode, OFlags, Stat, fchmod, fstat, openat, renameat, statat,
        unlinkat,
    },
    io::Errno,
    process::{Uid, geteuid},
};

use super::folder::{Contents, Folder, NOT_A_FILE, read_at_most};

const OWNER_ONLY: Mode = Mode::RUSR.union(Mode::WUSR);
const OWNER_DIRECTORY: Mode = Mode::RWXU;
const OTHERS: Mode = Mode::RWXG.union(Mode::RWXO);

/// Never through a link, never inherited by a program that is started, and
/// never waiting for the other end of a pipe.
const SAFELY: OFlags = OFlags::NOFOLLOW
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK);

/// A directory by its descriptor: whatever becomes of its path, this is the
/// directory that was checked.
#[derive(Debug)]
pub(super) struct UnixFolder(OwnedFd);

impl Folder for UnixFolder {
    fn open(path: &Path, create: bool) -> io::Result<Option<Self>> {
        let open = || {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | SAFELY;
            rustix::fs::open(path, flags, Mode::empty())
        };
        let mut is_new = false;
        let opened = match open() {
            Err(Errno::NOENT) if create => {
                create_for(path, geteuid())?;
                is_new = true;
                open()
            }
            opened => opened,
        };
        let directory = match opened {
            Ok(directory) => directory,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP | Errno::MLINK | Errno::NOTDIR) => {
                return Err(io::Error::other(
                    "it is a link or no directory: name a directory itself",
                ));
            }
            Err(error) => return Err(error.into()),
        };
        if fstat(&directory)?.st_uid != geteuid().as_raw() {
            return Err(io::Error::other(
                "it belongs to another user: name a directory in it, which will be created",
            ));
        }
        if is_new {
            // The umask may have taken more away than it should.
            fchmod(&directory, OWNER_DIRECTORY)?;
        }
        let mode = Mode::from_raw_mode(fstat(&directory)?.st_mode);
        if mode.intersects(OTHERS) {
            let mode = mode.as_raw_mode();
            return Err(io::Error::other(format!(
                "others may look into it (mode {mode:04o}): name a directory in it, which will be \
                 created, or run `chmod 700` on it if it is for nothing else",
            )));
        }
        Ok(Some(Self(directory)))
    }

    fn read(&self, name: &str, max: usize) -> io::Result<Contents> {
        let flags = OFlags::RDONLY | SAFELY;
        let file = match openat(&self.0, name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(Contents::Absent),
            Err(Errno::LOOP | Errno::MLINK) => return Ok(Contents::Refused("it is a link")),
            // A socket, or a device without a driver.
            Err(Errno::NXIO | Errno::NODEV) => return Ok(Contents::Refused(NOT_A_FILE)),
            Err(Errno::ACCESS | Errno::PERM) => {
                return Ok(Contents::Refused("this user may not read it"));
            }
            Err(error) => return Err(error.into()),
        };
        let stat = fstat(&file)?;
        if let Some(reason) = objection(&stat) {
            return Ok(Contents::Refused(reason));
        }
        read_at_most(File::from(file), max)
    }

    fn create(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | SAFELY;
        let file = openat(&self.0, name, flags, OWNER_ONLY)?;
        // The umask may have taken away the owner's own right to read it.
        fchmod(&file, OWNER_ONLY)?;
        let mut file = File::from(file);
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.0, from, &self.0, to)?)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.0)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.0, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn open_lock(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | SAFELY;
        let mut is_replaced = false;
        loop {
            let file = match openat(&self.0, name, flags, OWNER_ONLY) {
                Ok(file) => Some(file),
                // A link, a directory, or a file that this user may not open.
                Err(Errno::LOOP | Errno::MLINK | Errno::ISDIR | Errno::ACCESS | Errno::NXIO) => {
                    None
                }
                Err(error) => return Err(error.into()),
            };
            if let Some(file) = file {
                let stat = fstat(&file)?;
                if objection(&stat).is_none() {
                    // The umask may have taken away the right to open it again.
                    fchmod(&file, OWNER_ONLY)?;
                    return Ok(File::from(file));
                }
            }
            // Others could hold a lock on it. It is replaced once.
            if is_replaced {
                return Err(io::Error::other("the lock file is not this user's alone"));
            }
            self.remove(name)?;
            is_replaced = true;
        }
    }

    fn is_current(&self, name: &str, file: &File) -> io::Result<bool> {
        let held = fstat(file)?;
        match statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(named) => Ok((named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn modified(&self, name: &str) -> io::Result<Option<SystemTime>> {
        match statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if is_ours(&stat) => {
                let seconds = u64::try_from(stat.st_mtime).unwrap_or(0);
                Ok(SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)))
            }
            Ok(_) | Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn names(&self, max: usize) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.0)?.take(max) {
            if let Ok(name) = entry?.file_name().to_str() {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }
}

/// Creates a directory and those above it, unless it would lie in one that
/// belongs to some other user: a program that root runs with the home of a user
/// must not leave there what that user cannot use.
fn create_for(path: &Path, user: Uid) -> io::Result<()> {
    let mut above = path.ancestors().skip(1);
    if let Some(parent) = above.find_map(|path| rustix::fs::stat(path).ok())
        && parent.st_uid != user.as_raw()
        && parent.st_uid != Uid::ROOT.as_raw()
    {
        return Err(io::Error::other(
            "it would have to be created in a directory of another user: name another one",
        ));
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700).create(path)
}

/// Why a file that was opened is not to be read, or locked.
fn objection(stat: &Stat) -> Option<&'static str> {
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Some(NOT_A_FILE);
    }
    if stat.st_uid != geteuid().as_raw() {
        return Some("it belongs to another user");
    }
    if Mode::from_raw_mode(stat.st_mode).intersects(OTHERS) {
        return Some("others may read or write it");
    }
    // One that was replaced a moment ago has no name any more.
    if stat.st_nlink > 1 {
        return Some("it has a second name elsewhere");
    }
    None
}

fn is_ours(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
        && stat.st_uid == geteuid().as_raw()
}

#[cfg(test)]
mod tests;
