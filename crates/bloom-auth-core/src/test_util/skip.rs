//! What tests tell their runner beside their outcome: that this machine cannot
//! run them, so that they are counted, not passed over; and which of many
//! cases passed. And what it tells them: whether there is time.

use std::{
    ffi::OsString,
    fs, io,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

/// The folder where tests that could not run leave a note. `cargo xtask test`
/// sets it, and counts the notes; it knows this name too.
const FOLDER: &str = "BLOOM_AUTH_TEST_SKIPS";

/// The folder where cases within a test leave a note when they pass. As above.
const PASSED_FOLDER: &str = "BLOOM_AUTH_TEST_PASSED";

/// Set if there is time. As above.
const LONG: &str = "BLOOM_AUTH_TEST_LONG";

/// Says that `test` cannot run here, and why; it should then return.
///
/// A reason is a tool that is missing (see [`tool`]), or a right: who is not
/// root cannot become another user.
/// `cargo xtask test` counts the test as skipped, and as failed in CI, where
/// nothing may be skipped. With plain `cargo test`, a line on stderr is all.
///
/// # Panics
///
/// If the note cannot be left: the test would count as passed.
#[expect(
    clippy::panic,
    reason = "a skip that nobody hears of must fail the test"
)]
pub fn skip(test: &str, reason: &str) {
    let text = format!("{test}: {reason}\n");
    let noted = match variable(FOLDER) {
        Some(folder) => note(Path::new(&folder), test, &text),
        // Not by `eprintln!`, which is captured while a test goes well.
        None => io::stderr().write_all(format!("SKIPPED {text}").as_bytes()),
    };
    if let Err(error) = noted {
        panic!("cannot note that `{test}` is skipped: {error}");
    }
}

/// Says that the case of this name, one of many within a test, passed.
///
/// `cargo xtask test` takes it for a test of its own where it counts which
/// faults are covered. With plain `cargo test` nothing happens.
///
/// # Panics
///
/// If the note cannot be left: what the case covers would count as untested.
#[expect(clippy::panic, reason = "as for skips")]
pub fn passed(case: &str) {
    let Some(folder) = variable(PASSED_FOLDER) else {
        return;
    };
    if let Err(error) = note(Path::new(&folder), case, &format!("{case}\n")) {
        panic!("cannot note that `{case}` passed: {error}");
    }
}

/// Whether there is time for the long form of a test, which takes minutes or
/// hours: `cargo xtask test --long` says so.
#[must_use]
pub fn is_long() -> bool {
    variable(LONG).is_some()
}

/// Whether this tool is installed: `<name> --version` runs and ends well.
#[must_use]
pub fn tool(name: &str) -> bool {
    let mut command = Command::new(name);
    command.arg("--version").stdin(Stdio::null());
    command.output().is_ok_and(|output| output.status.success())
}

#[expect(
    clippy::disallowed_methods,
    reason = "how the runner of the tests talks to them"
)]
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// Leaves the note, in a file of its own.
fn note(folder: &Path, test: &str, text: &str) -> io::Result<()> {
    // Tests of two crates may have one name. And `::` cannot be in the names
    // of files everywhere.
    let name = test.replace(|c: char| !c.is_alphanumeric() && c != '_', "-");
    fs::write(folder.join(format!("{name}.{}", std::process::id())), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_leaves_one_note_however_often_it_says_so() {
        let name = format!("bloom-auth-skip-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).unwrap();
        note(&folder, "tests::a", "tests::a: needs strace\n").unwrap();
        note(&folder, "tests::a", "tests::a: needs strace, and root\n").unwrap();
        note(&folder, "tests::b", "tests::b: needs root\n").unwrap();

        let entries = fs::read_dir(&folder).unwrap();
        let mut notes: Vec<String> = entries
            .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
            .collect();
        notes.sort();
        fs::remove_dir_all(&folder).unwrap();
        let expected = [
            "tests::a: needs strace, and root\n",
            "tests::b: needs root\n",
        ];
        assert_eq!(notes, expected);
    }

    #[test]
    fn a_note_that_cannot_be_left_is_an_error() {
        let folder = std::env::temp_dir().join("bloom-auth-skip/no-such-folder");
        note(&folder, "a", "a: needs strace\n").unwrap_err();
    }

    #[test]
    fn tools_are_found_if_they_run() {
        // Cargo runs these tests, or whoever does knows where it is.
        assert!(tool(env!("CARGO")));
        assert!(!tool("no-such-tool"));
    }
}
