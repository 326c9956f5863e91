//! Runs a program, passes its output on line by line, and lets the caller look at each line.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;

use anyhow::Context as _;

/// How long output may go on after the program itself has ended.
///
/// A process that a test left behind keeps our end of the pipe open, so waiting
/// for the end of the output could take forever.
const GRACE: Duration = Duration::from_secs(5);

/// A line of output, without its end.
#[derive(Debug)]
pub(crate) enum Line {
    Stdout(String),
    Stderr(String),
}

/// Runs `command`; every line goes to `look` and then to our own output.
pub(crate) fn run(
    command: &mut Command,
    mut look: impl FnMut(&Line),
) -> anyhow::Result<ExitStatus> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))?;

    let (sender, lines) = mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        forward(stdout, Line::Stdout, sender.clone());
    }
    if let Some(stderr) = child.stderr.take() {
        forward(stderr, Line::Stderr, sender.clone());
    }
    drop(sender);

    loop {
        match lines.recv_timeout(GRACE) {
            Ok(line) => {
                look(&line);
                match line {
                    Line::Stdout(line) => println!("{line}"),
                    Line::Stderr(line) => eprintln!("{line}"),
                }
            }
            Err(RecvTimeoutError::Timeout) if child.try_wait()?.is_none() => {}
            Err(RecvTimeoutError::Timeout) => {
                eprintln!("warning: a process that the program left behind holds its output open");
                break;
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    Ok(child.wait()?)
}

/// Sends each line of `from` until it ends or nobody listens.
fn forward(from: impl Read + Send + 'static, wrap: fn(String) -> Line, to: Sender<Line>) {
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches(['\r', '\n']).to_owned();
            if to.send(wrap(text)).is_err() {
                return;
            }
            line.clear();
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys;

    #[test]
    fn every_line_is_seen_and_the_status_returned() {
        let mut out = Vec::new();
        let mut err = Vec::new();
        let mut look = |line: &Line| match line {
            Line::Stdout(line) => out.push(line.clone()),
            Line::Stderr(line) => err.push(line.clone()),
        };
        let status = run(sys::cargo().arg("--version"), &mut look).unwrap();
        assert!(status.success());
        let status = run(sys::cargo().arg("--no-such-flag"), &mut look).unwrap();
        assert!(!status.success());

        assert!(out.first().unwrap().starts_with("cargo "), "{out:?}");
        assert!(
            err.iter().any(|line| line.contains("--no-such-flag")),
            "{err:?}"
        );
    }

    #[test]
    fn a_missing_program_is_an_error() {
        let error = run(&mut sys::command("no-such-program"), |_| {}).unwrap_err();
        assert!(error.to_string().contains("no-such-program"), "{error:#}");
    }
}
