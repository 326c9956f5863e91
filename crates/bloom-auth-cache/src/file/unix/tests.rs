//! What other users get to see of the files while they are written. Umask and
//! user belong to a process, so this is done by children: this test binary
//! again.

use std::{
    fs::{self, File, Permissions},
    io::{BufRead as _, BufReader, Write as _},
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        process::CommandExt as _,
    },
    path::Path,
    process::{Child, Command, Stdio},
};

use bloom_auth_core::test_util::skip;
use rustix::{
    fs::{Mode, RawMode},
    process::umask,
};

use super::{Contents, Folder as _, UnixFolder};

const ROLE: &str = "BLOOM_AUTH_TEST_ROLE";
const DIRECTORY: &str = "BLOOM_AUTH_TEST_DIRECTORY";

/// Nobody, on most systems; in any case not us.
const OTHER_USER: u32 = 65_534;

const WRITES: usize = 10_000;
const CONTROL: &str = "control";

/// Starts this binary, or a copy of it, with this one test in this role.
fn child(program: &Path, test: &str, role: &str, directory: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .env(DIRECTORY, directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

/// The lines that the child says, from its first on.
fn lines(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines
        .map(Result::unwrap)
        .filter_map(|line| line.strip_prefix("child-").map(str::to_owned))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the child is told apart by its environment"
)]
fn role() -> Option<(String, std::path::PathBuf)> {
    Some((
        std::env::var(ROLE).ok()?,
        std::env::var_os(DIRECTORY)?.into(),
    ))
}

fn open(directory: &Path) -> UnixFolder {
    UnixFolder::open(directory, true).unwrap().unwrap()
}

#[test]
fn d14_whatever_the_umask_files_are_for_their_owner_alone() {
    const TEST: &str = "file::unix::tests::d14_whatever_the_umask_files_are_for_their_owner_alone";
    if let Some((role, directory)) = role() {
        umask(Mode::from_raw_mode(
            RawMode::from_str_radix(&role, 8).unwrap(),
        ));
        let folder = open(&directory);
        folder.create("temporary", b"sealed").unwrap();
        folder.rename("temporary", "record").unwrap();
        drop(folder.open_lock("lock").unwrap());
        // It is of use to its owner.
        assert_eq!(
            folder.read("record", 100).unwrap(),
            Contents::Bytes(b"sealed".to_vec())
        );
        return;
    }
    for mask in ["000", "022", "002", "077", "777"] {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("cache");
        let program = std::env::current_exe().unwrap();
        let output = child(&program, TEST, mask, &directory).output().unwrap();
        assert!(output.status.success(), "{mask}: {output:?}");
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!(mode(&directory), 0o700, "{mask}");
        assert_eq!(mode(&directory.join("record")), 0o600, "{mask}");
        // A lock file is opened anew by everyone who wants the lock.
        assert_eq!(mode(&directory.join("lock")) & 0o077, 0, "{mask}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn d15_no_other_user_gets_a_file_open_while_it_is_written() {
    const TEST: &str = "file::unix::tests::d15_no_other_user_gets_a_file_open_while_it_is_written";
    if let Some((role, directory)) = role() {
        return match role.as_str() {
            "write" => write(&directory),
            "read" => read(&directory),
            role => panic!("{role}"),
        };
    }
    if !rustix::process::geteuid().is_root() {
        return skip(TEST, "only root can become another user");
    }
    // Where it takes no time to make a file durable, and where the other user
    // can start a copy of this program. Its directory is open, so that it is
    // the files alone that keep him out.
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    };
    let place = tempfile::tempdir_in(parent).unwrap();
    let open_to_all = Permissions::from_mode(0o755);
    fs::set_permissions(place.path(), open_to_all.clone()).unwrap();
    let directory = place.path().join("cache");
    fs::create_dir(&directory).unwrap();
    fs::set_permissions(&directory, open_to_all.clone()).unwrap();
    let programs = tempfile::tempdir().unwrap();
    fs::set_permissions(programs.path(), open_to_all.clone()).unwrap();
    let program = programs.path().join("tests");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, open_to_all).unwrap();
    // The control: one file that he may read.
    fs::write(directory.join(CONTROL), "").unwrap();
    fs::set_permissions(directory.join(CONTROL), Permissions::from_mode(0o644)).unwrap();

    let mut reader = child(&program, TEST, "read", &directory);
    let mut reader = reader.uid(OTHER_USER).gid(OTHER_USER).spawn().unwrap();
    let mut said = lines(&mut reader);
    assert_eq!(said.next().unwrap(), "ready");
    let writer = child(&program, TEST, "write", &directory).output().unwrap();
    assert!(writer.status.success(), "{writer:?}");
    reader.stdin.take().unwrap().write_all(b"stop\n").unwrap();
    let (refused, control, opened) = (said.next(), said.next(), said.next());
    assert!(reader.wait().unwrap().success());
    let count = |said: Option<String>| said.unwrap().parse::<usize>().unwrap();
    assert_eq!(count(opened), 0);
    assert!(count(control) > 100);
    assert!(count(refused) > 100);
}

/// Writes record after record as the cache does, with no umask to help.
fn write(directory: &Path) {
    umask(Mode::empty());
    let opened = rustix::fs::open(
        directory,
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY,
        Mode::empty(),
    );
    // Not by `open`, which would refuse it.
    let folder = UnixFolder(opened.unwrap());
    for n in 0..WRITES {
        let temporary = format!(".tmp-{n:032x}");
        folder.create(&temporary, &[b'x'; 1000]).unwrap();
        folder.rename(&temporary, "record").unwrap();
    }
}

/// Tries to open whatever there is until it is told to stop.
fn read(directory: &Path) {
    println!("\nchild-ready");
    let stop = std::thread::spawn(|| std::io::stdin().lines().next());
    let (mut refused, mut control, mut opened) = (0, 0, 0);
    while !stop.is_finished() {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            match File::open(entry.path()) {
                Ok(_) if entry.file_name() == CONTROL => control += 1,
                Ok(_) => opened += 1,
                Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => refused += 1,
                // It has another name already.
                Err(_) => {}
            }
        }
    }
    println!("\nchild-{refused}\nchild-{control}\nchild-{opened}");
}

#[cfg(target_os = "linux")]
#[test]
fn d22_a_file_that_is_longer_than_it_says_is_not_read() {
    // Files of the kernel say that they are empty.
    let opened = rustix::fs::open(
        "/proc/self",
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY,
        Mode::empty(),
    );
    let folder = UnixFolder(opened.unwrap());
    let name = "auxv";
    assert_eq!(fs::metadata(format!("/proc/self/{name}")).unwrap().len(), 0);
    let Contents::Bytes(whole) = folder.read(name, 1 << 16).unwrap() else {
        panic!("it is not read");
    };
    assert!(whole.len() > 16, "{whole:?}");
    for max in [16, whole.len() - 1] {
        let found = folder.read(name, max).unwrap();
        assert_eq!(
            found,
            Contents::Refused("it is larger than any record"),
            "{max}"
        );
    }
    let found = folder.read(name, whole.len()).unwrap();
    assert_eq!(found, Contents::Bytes(whole));
}

#[test]
fn d22_no_more_names_are_read_than_asked_for() {
    let place = tempfile::tempdir().unwrap();
    let folder = open(&place.path().join("cache"));
    for n in 0..20 {
        folder.create(&format!("file-{n}"), b"").unwrap();
    }
    let names = folder.names(1000).unwrap();
    let files = |names: &[String]| names.iter().filter(|it| it.starts_with("file-")).count();
    assert_eq!(files(&names), 20);
    assert_eq!(folder.names(8).unwrap().len(), 8);
}
