//! The notes that tests leave: that they could not run for want of a tool or a right, or which of
//! their cases passed.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::sys;

/// Notes of one kind.
pub(crate) struct Kind {
    /// Tells tests where to leave their notes; core's `test_util` knows these names too.
    pub(crate) variable: &'static str,
    /// Within the target directory.
    folder: &'static str,
}

/// That a test could not run.
pub(crate) const SKIPS: Kind = Kind {
    variable: "BLOOM_AUTH_TEST_SKIPS",
    folder: "test-skips",
};

/// That a case within a test passed.
pub(crate) const PASSED: Kind = Kind {
    variable: "BLOOM_AUTH_TEST_PASSED",
    folder: "test-passed",
};

/// The folder for the notes of this run, empty.
pub(crate) fn folder(kind: &Kind) -> anyhow::Result<PathBuf> {
    let target = sys::workspace()?.target_directory;
    let folder = target.join(kind.folder).into_std_path_buf();
    empty(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    Ok(folder)
}

fn empty(folder: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::create_dir_all(folder)
}

/// A line for each note, `<test>: <reason>` or a name, in order.
pub(crate) fn read(folder: &Path) -> anyhow::Result<Vec<String>> {
    let context = || format!("cannot read {}", folder.display());
    let mut notes = Vec::new();
    for entry in folder.read_dir().with_context(context)? {
        let entry = entry.with_context(context)?;
        let note = fs::read(entry.path()).with_context(context)?;
        let note = String::from_utf8_lossy(&note).trim().to_owned();
        // Whatever became of the note, it was left.
        notes.push(if note.is_empty() {
            entry.file_name().to_string_lossy().into_owned()
        } else {
            note
        });
    }
    notes.sort();
    Ok(notes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_those_of_this_run() {
        let folder = std::env::temp_dir().join(format!("xtask-skips-{}", std::process::id()));
        empty(&folder).unwrap();
        fs::write(folder.join("a.1"), "of the run before: needs strace\n").unwrap();
        empty(&folder).unwrap();
        assert_eq!(read(&folder).unwrap(), Vec::<String>::new());

        fs::write(folder.join("b.2"), "tests::b: needs root\n").unwrap();
        fs::write(folder.join("a.3"), "a: needs strace\n").unwrap();
        fs::write(folder.join("c.4"), "").unwrap();
        let notes = read(&folder).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(notes, ["a: needs strace", "c.4", "tests::b: needs root"]);
        assert!(
            read(&folder).is_err(),
            "no folder is not a folder without notes"
        );
    }

    #[test]
    fn the_tests_know_the_folders_by_the_same_names() {
        let helper = include_str!("../../../crates/bloom-auth-core/src/test_util/skip.rs");
        for (name, kind) in [("FOLDER", SKIPS), ("PASSED_FOLDER", PASSED)] {
            let variable = kind.variable;
            assert!(helper.contains(&format!("const {name}: &str = \"{variable}\";")));
        }
    }
}
