//! [`Folder`] by the standard library alone, for systems that are not Unix:
//! access rights are inherited from the directory above, and sealing protects
//! what is kept.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::folder::{Contents, Folder, NOT_A_FILE, read_at_most};

/// A directory by its path.
#[derive(Debug)]
pub(super) struct PortableFolder(PathBuf);

impl Folder for PortableFolder {
    fn open(path: &Path, create: bool) -> io::Result<Option<Self>> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(io::Error::other("it is no directory")),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(_) if create => fs::create_dir_all(path)?,
            Err(_) => return Ok(None),
        }
        Ok(Some(Self(path.to_owned())))
    }

    fn read(&self, name: &str, max: usize) -> io::Result<Contents> {
        let path = self.0.join(name);
        // Asked before opening: to open a pipe would wait for its other end.
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_file() => {}
            Ok(_) => return Ok(Contents::Refused(NOT_A_FILE)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Contents::Absent),
            Err(error) => return Err(error),
        }
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Contents::Absent),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Ok(Contents::Refused("this user may not read it"));
            }
            Err(error) => return Err(error),
        };
        read_at_most(file, max)
    }

    fn create(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .open(self.0.join(name))?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.0.join(from), self.0.join(to))
    }

    fn sync(&self) -> io::Result<()> {
        // A directory cannot be opened as a file on every system.
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.0.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn open_lock(&self, name: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        options.open(self.0.join(name))
    }

    fn is_current(&self, _: &str, _: &File) -> io::Result<bool> {
        // An open file keeps its name on Windows.
        Ok(true)
    }

    fn modified(&self, name: &str) -> io::Result<Option<SystemTime>> {
        match fs::symlink_metadata(self.0.join(name)) {
            Ok(metadata) if metadata.is_file() => Ok(metadata.modified().ok()),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn names(&self, max: usize) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.0)?.take(max) {
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }
}
