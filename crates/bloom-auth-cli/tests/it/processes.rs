//! Many at once, and those that are ended before they are done.

use std::{process::Stdio, time::Duration};

use crate::support::User;

const MANY: usize = 64;
const ROUNDS: usize = 8;

/// Starts many at once; what they printed, or `None` if one of them warned that
/// the cache took longer than the library waits for it, on a machine that is too
/// busy to tell anything.
fn start_many(user: &User, args: &[&str]) -> Option<Vec<String>> {
    let child = |_| {
        let mut command = user.command(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let children: Vec<_> = (0..MANY).map(child).collect();
    let mut is_telling = true;
    let mut printed = Vec::new();
    for child in children {
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        // Even then everybody gets a token.
        assert!(output.status.success(), "{stderr}");
        is_telling &= stderr.is_empty();
        printed.push(String::from_utf8(output.stdout).unwrap());
    }
    is_telling.then_some(printed)
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_on_a_cold_cache_share_one_token_request() {
    for _ in 0..ROUNDS {
        let user = User::new().await;
        let Some(printed) = start_many(&user, &["token"]) else {
            continue;
        };
        assert_eq!(user.token_requests(), 1);
        assert!(printed.iter().all(|token| *token == printed[0]));

        // And who all want a newer one at once share one as well.
        let longer = Duration::from_secs(200_000);
        user.emulator.set_token_lifetime(longer);
        let Some(printed) = start_many(&user, &["token", "--min-lifetime", "100000"]) else {
            continue;
        };
        assert_eq!(user.token_requests(), 2);
        assert!(printed.iter().all(|token| *token == printed[0]));
        return;
    }
    panic!("{ROUNDS} times the cache took too long");
}

/// On Linux alone, which tells when a process catches signals.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn x11_a_signal_during_a_fetch_ends_it_with_its_code_and_leaves_nothing() {
    use bloom_auth_emulator::{Emulator, FaultRule};
    use rustix::process::{Pid, Signal, kill_process};

    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let rule: FaultRule = "no-answer".parse().unwrap();
        let user = User::of(Emulator::builder().plain_http().fault(rule)).await;
        let child = user
            .command(["token"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = Pid::from_child(&child);
        // The request is there, so the process has long been about it; its
        // handlers follow when a moment has passed.
        while user.token_requests() == 0 && user.emulator.counts().faults_played == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        wait_for_handlers(pid).await;
        kill_process(pid, signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code));
        assert!(
            output.stdout.is_empty() && output.stderr.is_empty(),
            "{output:?}"
        );
        let left: Vec<_> = user
            .cached()
            .into_iter()
            .filter(|name| name.ends_with("tmp"))
            .collect();
        assert_eq!(left, Vec::<String>::new());
        // Nobody has to wait for the one who is gone.
        user.emulator.clear_faults();
        user.run(["token"]).ok();
    }
}

/// Until the process catches both signals.
#[cfg(target_os = "linux")]
async fn wait_for_handlers(pid: rustix::process::Pid) {
    let path = format!("/proc/{}/status", pid.as_raw_nonzero());
    loop {
        let status = std::fs::read_to_string(&path).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = u64::from_str_radix(caught.unwrap().trim(), 16).unwrap();
        if caught & 1 << (15 - 1) != 0 && caught & 1 << (2 - 1) != 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
