//! A lock on a file, which the kernel frees when its holder dies.

use std::{
    fs::{File, TryLockError},
    io, process,
};

use super::folder::Folder;

/// A file is looked up anew when it was replaced between two steps, but not
/// for ever.
const RACES: u32 = 4;

/// Holds the lock until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    process: u32,
}

impl Lock {
    /// Asks once; `None` if somebody else has the lock.
    pub(super) fn try_take(folder: &impl Folder, name: &str) -> io::Result<Option<Self>> {
        for _ in 0..RACES {
            let file = folder.open_lock(name)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            // Somebody may have removed the file after we had opened it, and
            // others lock the one that has its name now.
            if folder.is_current(name, &file)? {
                let process = process::id();
                return Ok(Some(Self { file, process }));
            }
        }
        Ok(None)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // To close the file is not enough where a forked process has it too,
        // and that process in turn must not free what it does not hold.
        if process::id() == self.process {
            // Closing it is all that is left to do about an error.
            let _ = self.file.unlock();
        }
    }
}
