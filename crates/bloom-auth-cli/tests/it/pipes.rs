//! Outputs that are closed, full, or wait for nobody.

use std::{
    fs::{File, OpenOptions},
    process::Stdio,
};

use crate::support::{ORGANIZATION, User};

const EVERY: [&[&str]; 7] = [
    &["token"],
    &["token", "--format", "json"],
    &["request", "GET", ORGANIZATION],
    &["status"],
    &["cache", "path"],
    &["completions", "bash"],
    &["man"],
];

#[tokio::test(flavor = "multi_thread")]
async fn x12_a_pipe_that_is_closed_early_is_fine() {
    let user = User::new().await;
    user.run(["token"]).ok();
    for args in EVERY
        .iter()
        .copied()
        .chain([&["--help"][..], &["emulator", "--list-faults"]])
    {
        let (reader, writer) = std::io::pipe().unwrap();
        // Closed before anything is written.
        drop(reader);
        let output = user.command(args).stdout(writer).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), stderr.as_str()),
            (Some(0), ""),
            "{args:?}"
        );
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn x13_an_output_that_takes_nothing_is_a_failure_that_shows_no_token() {
    let user = User::new().await;
    let token = user.run(["token"]).ok();
    for args in EVERY {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        // Open, but not for writing.
        let closed = File::open("/dev/null").unwrap();
        for stdout in [full, closed] {
            let output = user
                .command(args)
                .stdout(Stdio::from(stdout))
                .output()
                .unwrap();
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(6), "{args:?}: {stderr}");
            assert!(stderr.starts_with("error: the standard output cannot be written to"));
            assert!(!stderr.contains(token.trim()), "{stderr}");
        }
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn x13_help_that_does_not_get_there_is_a_failure() {
    let user = User::new().await;
    for args in [&["--help"][..], &["token", "--help"], &["--version"]] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = user.command(args).stdout(full).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(6), "{args:?}: {stderr}");
        assert!(stderr.starts_with("error: the standard output cannot be written to"));
    }
}
