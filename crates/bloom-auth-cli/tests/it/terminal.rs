//! What a person at a terminal sees, who is a pseudoterminal here.

use std::{
    fs::{File, OpenOptions},
    io::Read as _,
    process::{Command, Stdio},
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::support::User;

/// A terminal, and what was shown on it.
struct Terminal {
    user: File,
    shown: JoinHandle<Vec<u8>>,
}

impl Terminal {
    fn open() -> Self {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        let name = ptsname(&controller, Vec::new()).unwrap();
        let name = name.to_str().unwrap();
        let user = OpenOptions::new()
            .read(true)
            .write(true)
            .open(name)
            .unwrap();
        let mut controller = File::from(controller);
        let shown = thread::spawn(move || {
            let (mut shown, mut bytes) = (Vec::new(), [0; 4096]);
            // It ends with an error when the last user is gone.
            while let Ok(count @ 1..) = controller.read(&mut bytes) {
                shown.extend_from_slice(&bytes[..count]);
            }
            shown
        });
        Self { user, shown }
    }

    fn stdio(&self) -> Stdio {
        self.user.try_clone().unwrap().into()
    }

    fn shown(self) -> String {
        let Self { user, shown } = self;
        drop(user);
        String::from_utf8(shown.join().unwrap()).unwrap()
    }
}

fn wait(mut command: Command) -> Option<i32> {
    let code = command.status().unwrap().code();
    // It holds the terminal open.
    drop(command);
    code
}

#[tokio::test(flavor = "multi_thread")]
async fn s2_a_terminal_gets_the_token_and_nothing_else() {
    let user = User::new().await;
    let token = user.run(["token"]).ok();
    let terminal = Terminal::open();
    let mut command = user.command(["token"]);
    command.stdout(terminal.stdio()).stderr(terminal.stdio());
    assert_eq!(wait(command), Some(0));
    assert_eq!(terminal.shown().replace("\r\n", "\n"), token);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_of_life_is_shown_after_a_while_and_gone_in_the_end() {
    let user = User::new().await;
    user.emulator.set_latency(Duration::from_millis(1500));
    let terminal = Terminal::open();
    let mut command = user.command(["token"]);
    command.stdout(Stdio::null()).stderr(terminal.stdio());
    assert_eq!(wait(command), Some(0));
    let shown = terminal.shown();
    assert!(shown.contains("asking for an access token"), "{shown:?}");
    assert!(shown.ends_with("\r\u{1b}[K"), "{shown:?}");
    // Not in a pipe, and not where there is nothing to wait for.
    let ran = user.run(["token", "--refresh"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let terminal = Terminal::open();
    let mut command = user.command(["token"]);
    command.stdout(Stdio::null()).stderr(terminal.stdio());
    assert_eq!(wait(command), Some(0));
    assert_eq!(terminal.shown(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn colours_and_the_bar_are_for_a_terminal_that_wants_them() {
    let user = User::new().await;
    user.run(["token"]).ok();
    let piped = user.run(["status"]).ok();
    assert!(
        !piped.contains('\u{1b}') && !piped.contains('\u{2588}'),
        "{piped}"
    );
    for (variable, colours) in [(None, true), (Some(("NO_COLOR", "1")), false)] {
        let terminal = Terminal::open();
        let mut command = user.command(["status"]);
        command.stdout(terminal.stdio()).stderr(Stdio::null());
        command.envs(variable);
        assert_eq!(wait(command), Some(0));
        let shown = terminal.shown();
        assert_eq!(shown.contains('\u{1b}'), colours, "{shown}");
        assert!(shown.contains('\u{2588}'), "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s1_a_secret_is_not_typed_where_it_would_show() {
    let user = User::new().await;
    let terminal = Terminal::open();
    let mut command = user.command(["token", "--secret-stdin"]);
    command.stdin(terminal.stdio());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("terminal"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_api_says_commands_no_terminal() {
    let user = User::new().await;
    let body = "{\"name\":\"a\u{9b}2Jb\"}";
    user.run(["request", "POST", "/v2/core/consumers", "--data", body])
        .ok();
    let list = ["request", "GET", "/v2/core/consumers"];
    assert!(user.run(list).ok().contains("a\u{9b}2Jb"));
    let terminal = Terminal::open();
    let mut command = user.command(list);
    command.stdout(terminal.stdio()).stderr(Stdio::null());
    assert_eq!(wait(command), Some(0));
    let Terminal { user, shown } = terminal;
    drop(user);
    let shown = shown.join().unwrap();
    let shown = String::from_utf8_lossy(&shown);
    assert!(
        shown.contains("?2Jb") && !shown.contains('\u{9b}'),
        "{shown}"
    );
}
