//! `exec`: a program in our place.

use std::{
    io::{BufRead as _, BufReader},
    os::unix::process::ExitStatusExt as _,
    process::{Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{User, run};

#[tokio::test(flavor = "multi_thread")]
async fn the_program_has_the_token_and_not_the_secret() {
    let user = User::new().await;
    let token = user.run(["token"]).ok();
    let script = "echo $BLOOM_ACCESS_TOKEN; echo \"secret: $BLOOM_CLIENT_SECRET\"; \
                  echo $BLOOM_ACCESS_TOKEN_EXPIRES_AT | grep -c T; echo \"$@\"; ulimit -c";
    let all = [
        "exec",
        "--",
        "sh",
        "-c",
        script,
        "sh",
        "--client-secret",
        "a b",
    ];
    let printed = user.run(all).ok();
    // The limit on core dumps is the one that was found.
    let limit = run(Command::new("sh").args(["-c", "ulimit -c"])).ok();
    assert_eq!(
        printed,
        format!("{token}secret: \n1\n--client-secret a b\n{limit}")
    );
    assert_eq!(user.token_requests(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_exit_code_is_the_programs() {
    let user = User::new().await;
    for code in [0, 1, 5, 77] {
        let script = format!("exit {code}");
        let ran = user.run(["exec", "--", "sh", "-c", &script]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(code), ""));
    }
    let error = user.run(["exec", "--", "/nowhere/at-all"]).failed(127);
    assert!(error.contains("cannot be started"), "{error}");
    let plain = user.file("plain", "no program");
    user.run(["exec", "--", plain.to_str().unwrap()])
        .failed(126);
    // Without a token nothing is run.
    let mut refused = user.command(["exec", "--", "echo", "ran"]);
    run(refused.env("BLOOM_CLIENT_SECRET", "0123456789abcdef0123456789abcdef")).failed(3);
}

#[tokio::test(flavor = "multi_thread")]
async fn x11_signals_are_the_programs() {
    let user = User::new().await;
    let script = "trap 'echo got it; exit 9' TERM; echo ready; while :; do sleep 0.05; done";
    let mut child = user
        .command(["exec", "--", "sh", "-c", script])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "got it");
    assert_eq!(child.wait().unwrap().code(), Some(9));

    let ran = user
        .command(["exec", "--", "sh", "-c", "kill -KILL $$"])
        .status()
        .unwrap();
    assert_eq!(ran.signal(), Some(9));
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn x11_a_signal_that_was_ignored_stays_so_however_long_the_token_takes() {
    let user = User::new().await;
    let script = "trap '' INT; exec \"$0\" exec --cache none -- grep SigIgn /proc/self/status";
    let binary = env!("CARGO_BIN_EXE_bloom-auth");
    for latency in [Duration::ZERO, Duration::from_millis(300)] {
        user.emulator.set_latency(latency);
        let mut command = Command::new("sh");
        command.args(["-c", script, binary]);
        command.envs(
            user.command([""])
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        let printed = run(&mut command).ok();
        let mask = printed.trim().rsplit('\t').next().unwrap();
        let mask = u64::from_str_radix(mask, 16).unwrap();
        assert_eq!(mask & 0b10, 0b10, "{latency:?}: {printed}");
    }
}
