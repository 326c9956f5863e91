//! Where a secret could be seen by others: output at any level, the list of
//! processes, core dumps.

use std::process::Command;

use bloom_auth_emulator::{Emulator, FaultRule};

use crate::support::{ORGANIZATION, User, run};

/// The forms in which a value could stand in an output.
fn forms(value: &str) -> Vec<String> {
    let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
    let percent: String = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
    vec![
        value.to_owned(),
        hex,
        percent,
        value.chars().rev().collect(),
    ]
}

#[track_caller]
fn holds_none(shown: &str, secrets: &[&str]) {
    for secret in secrets {
        for form in forms(secret) {
            assert!(!shown.contains(&form), "{form} is in {shown}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s12_no_output_at_any_level_shows_a_secret_or_a_token_that_was_not_asked_for() {
    let rule: FaultRule = "unavailable:first=1".parse().unwrap();
    let user = User::of(Emulator::builder().plain_http().fault(rule)).await;
    let secret = user.emulator.client_secret();
    let wrong = "canary-0123456789abcdef0123456789abcdef";
    // Planted: what is looked for is found where it is.
    let token = user.run(["token", "--quiet"]);
    let token = token.stdout.trim().to_owned();
    let control = user.run(["token", "-vvv"]);
    assert!(control.stdout.contains(&token));
    holds_none(&control.stderr, &[&secret, &token]);
    for level in ["-q", "-v", "-vv", "-vvv"] {
        for args in [
            &["status"][..],
            &["status", "--json"],
            &["doctor"],
            &["doctor", "--json"],
            &["cache", "list"],
            &["cache", "list", "--json"],
            &["request", "GET", ORGANIZATION, "--include"],
            &["request", "GET", "/v2/core/nothing"],
            &["exec", "--", "true"],
        ] {
            for with in [secret.as_str(), wrong] {
                let mut command = user.command([level].iter().chain(args));
                let ran = run(command.env("BLOOM_CLIENT_SECRET", with));
                let shown = format!("{}{}", ran.stdout, ran.stderr);
                holds_none(&shown, &[&secret, &token, wrong]);
            }
        }
        let ran = user.run(["token", "--refresh", level]);
        holds_none(&ran.stderr, &[&secret, ran.stdout.trim()]);
    }
    // Wrong settings of every kind, one of which is the secret itself.
    for variable in [
        "BLOOM_CLIENT_SECRET_FILE",
        "BLOOM_TOKEN_URL",
        "BLOOM_API_URL",
        "BLOOM_AUTH_VERSION",
        "BLOOM_CACHE",
        "BLOOM_CACHE_DIR",
        "BLOOM_CA_FILE",
        "BLOOM_CLIENT_AUTH",
        "BLOOM_ENVIRONMENT",
    ] {
        let mut command = user.command(["token", "-vvv"]);
        let ran = run(command.env(variable, wrong));
        if !["BLOOM_CA_FILE"].contains(&variable) {
            holds_none(&format!("{}{}", ran.stdout, ran.stderr), &[&secret, wrong]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_says_commands_no_terminal_and_repeats_no_secret() {
    for fault in ["hostile-description", "echo"] {
        let rule: FaultRule = fault.parse().unwrap();
        let user = User::of(Emulator::builder().plain_http().fault(rule)).await;
        let ran = user.run(["token", "-vvv"]);
        assert_eq!(ran.code, Some(3), "{}", ran.stderr);
        holds_none(&ran.stderr, &[&user.emulator.client_secret()]);
        let harmless = |c: char| c == '\n' || !c.is_control();
        assert!(ran.stderr.chars().all(harmless), "{:?}", ran.stderr);
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn s1_the_list_of_processes_shows_no_secret_and_no_token() {
    let user = User::new().await;
    let secret = user.emulator.client_secret();
    let token = user.run(["token"]).ok();
    // Looked at from a program that we run, and so of every process there is.
    let script = "tr '\\0' ' ' < /proc/self/cmdline; cat /proc/[0-9]*/cmdline 2>/dev/null | tr \
                  '\\0' ' '";
    let planted = "planted-0123456789";
    let seen = user.run(["exec", "--", "sh", "-c", script, planted]).ok();
    assert!(seen.contains(planted));
    assert!(!seen.contains(&secret) && !seen.contains(token.trim()));
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn no_core_is_dumped_of_a_process_that_holds_a_secret() {
    use std::{os::unix::process::ExitStatusExt as _, process::Stdio, time::Duration};

    use rustix::process::{Pid, Signal, kill_process};

    let rule: FaultRule = "no-answer".parse().unwrap();
    let user = User::of(Emulator::builder().plain_http().fault(rule)).await;
    // As large cores as there may be, for whoever wants them.
    let mut command = Command::new("sh");
    let binary = env!("CARGO_BIN_EXE_bloom-auth");
    let ours = user.command(["token"]);
    command
        .args(["-c", "ulimit -c $(ulimit -H -c); exec \"$0\" token", binary])
        .env_clear()
        .envs(
            ours.get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .current_dir(user.home())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let pid = Pid::from_child(&child);
    while user.emulator.counts().faults_played == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let raw = pid.as_raw_nonzero();
    let limits = std::fs::read_to_string(format!("/proc/{raw}/limits")).unwrap();
    let cores = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let soft = cores.unwrap().split_whitespace().nth(4).unwrap();
    assert_eq!(soft, "0", "{limits}");
    // What is not dumpable belongs to root, so that its user cannot look either.
    use std::os::unix::fs::MetadataExt as _;
    let owner = std::fs::metadata(format!("/proc/{raw}/environ"))
        .unwrap()
        .uid();
    assert_eq!(owner, 0);
    kill_process(pid, Signal::ABORT).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(6));
    assert!(!status.core_dumped());

    // Planted: where cores can be had, a program without our precautions dumps.
    let control = Command::new("sh")
        .args(["-c", "ulimit -c $(ulimit -H -c); kill -ABRT $$"])
        .current_dir(user.home())
        .status()
        .unwrap();
    assert_eq!(control.signal(), Some(6));
    if !control.core_dumped() {
        println!("this machine dumps no cores at all");
    }
}
