//! `emulator`: as a command of its own.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, ChildStdout, Command, Stdio},
};

use crate::support::{ORGANIZATION, bloom_auth, json, run, run_with_stdin};

/// An emulator in a process of its own, which ends with the test.
struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// What it printed to be pasted.
    variables: Vec<(String, String)>,
}

impl Running {
    fn start(args: &[&str], input: Option<&str>) -> Self {
        let mut command = bloom_auth();
        command.arg("emulator").args(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if input.is_some() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn().unwrap();
        if let Some(input) = input {
            use std::io::Write as _;
            child
                .stdin
                .take()
                .unwrap()
                .write_all(input.as_bytes())
                .unwrap();
        }
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut variables = Vec::new();
        loop {
            let mut line = String::new();
            assert_ne!(stdout.read_line(&mut line).unwrap(), 0, "it ended");
            let pair = line.trim_end().strip_prefix("export ").unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            let value = value
                .strip_prefix('\'')
                .unwrap()
                .strip_suffix('\'')
                .unwrap();
            variables.push((name.to_owned(), value.to_owned()));
            let last = ["BLOOM_ALLOW_INSECURE_LOOPBACK", "BLOOM_CA_FILE"];
            let last = if args.contains(&"--admin") {
                &["BLOOM_EMULATOR_ADMIN_TOKEN"][..]
            } else {
                &last
            };
            if last.contains(&name) {
                break;
            }
        }
        Self {
            child,
            stdout,
            variables,
        }
    }

    fn get(&self, name: &str) -> &str {
        let found = self.variables.iter().find(|(it, _)| it == name);
        &found.unwrap().1
    }

    fn client(&self, args: &[&str]) -> Command {
        let mut command = bloom_auth();
        command.args(args).env("BLOOM_CACHE", "none");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    #[cfg(unix)]
    fn end(mut self, signal: rustix::process::Signal) -> (Option<i32>, String) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
        let code = self.child.wait().unwrap().code();
        let mut stderr = String::new();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut stderr)
            .unwrap();
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
        (code, stderr)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(unix)]
#[test]
fn s12_what_it_prints_works_and_it_ends_cleanly() {
    use rustix::process::Signal;

    let mut secrets = Vec::new();
    for signal in [Signal::INT, Signal::TERM] {
        let emulator = Running::start(&[], None);
        run(&mut emulator.client(&["request", "GET", ORGANIZATION])).ok();
        let secret = emulator.get("BLOOM_CLIENT_SECRET").to_owned();
        let (code, log) = emulator.end(signal);
        assert_eq!(code, Some(0));
        // A line for each request, and none of them has the secret.
        let requests: Vec<_> = log.lines().filter(|line| line.contains("path=")).collect();
        assert_eq!(requests.len(), 2, "{log}");
        assert!(
            requests[0].ends_with("method=POST path=/oauth/token status=200"),
            "{log}"
        );
        assert!(!log.contains(&secret), "{log}");
        secrets.push(secret);
    }
    // Random at every start.
    assert_ne!(secrets[0], secrets[1]);
}

#[test]
fn s9_each_has_a_port_of_its_own_or_an_error_says_that_it_is_taken() {
    let (one, other) = (Running::start(&[], None), Running::start(&[], None));
    let (one, other) = (one.get("BLOOM_API_URL"), other.get("BLOOM_API_URL"));
    assert_ne!(one, other);
    let port = one.rsplit_once(':').unwrap().1;
    let error = run(bloom_auth().args(["emulator", "--port", port])).failed(2);
    assert!(
        error.contains(&format!("127.0.0.1:{port}")) && error.contains("--port"),
        "{error}"
    );
}

#[test]
fn tls_has_its_authority_in_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    let emulator = Running::start(&["--tls-ca-file", ca.to_str().unwrap()], None);
    assert!(
        emulator
            .get("BLOOM_TOKEN_URL")
            .starts_with("https://127.0.0.1:")
    );
    run(&mut emulator.client(&["token"])).ok();
    let mut untrusting = emulator.client(&["token"]);
    run(untrusting.env_remove("BLOOM_CA_FILE")).failed(4);
}

#[test]
fn credentials_lifetime_and_dialect_can_be_given() {
    let secret = "fixed-0123456789abcdef0123456789";
    let args = [
        "--client-id",
        "me",
        "--secret-stdin",
        "--lifetime",
        "90s",
        "--auth-version",
        "v2",
        "--audience",
        "mine",
    ];
    let emulator = Running::start(&args, Some(secret));
    assert_eq!(emulator.get("BLOOM_CLIENT_ID"), "me");
    assert_eq!(emulator.get("BLOOM_CLIENT_SECRET"), secret);
    let token = run(&mut emulator.client(&["token", "--format", "json"])).ok();
    let token = json(&token);
    assert!(
        (80..=90).contains(&token["expires_in"].as_u64().unwrap()),
        "{token}"
    );
    assert_eq!(token["audience"], "mine");
    assert_eq!(token["scope"], "data-access:all furnishment:all");
    let mut without = bloom_auth();
    let error = run(without.args(["emulator", "--client-id", "me"])).failed(2);
    assert!(error.contains("--secret-stdin"), "{error}");
    let mut empty = bloom_auth();
    run_with_stdin(
        empty.args(["emulator", "--client-id", "me", "--secret-stdin"]),
        b"",
    )
    .failed(2);
}

#[test]
fn s10_faults_quotas_and_scenarios_are_played() {
    let emulator = Running::start(&["--fault", "unavailable", "--latency", "1ms"], None);
    run(&mut emulator.client(&["token"])).failed(4);

    let emulator = Running::start(&["--quota", "1/day"], None);
    run(&mut emulator.client(&["token"])).ok();
    let error = run(&mut emulator.client(&["token"])).failed(4);
    assert!(error.contains("slow down"), "{error}");

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("scenario.toml");
    std::fs::write(&path, "[[step]]\nfault = 'unavailable'\ncount = 3\n").unwrap();
    let emulator = Running::start(&["--scenario", path.to_str().unwrap()], None);
    run(&mut emulator.client(&["token"])).failed(4);
    run(&mut emulator.client(&["token"])).ok();

    std::fs::write(&path, "[[step]]\nfault = 'unavailabel'\n").unwrap();
    let mut wrong = bloom_auth();
    let error = run(wrong.args(["emulator", "--scenario", path.to_str().unwrap()])).failed(2);
    assert!(
        error.contains("line 2") && error.contains("`unavailable`"),
        "{error}"
    );
    let faults = run(bloom_auth().args(["emulator", "--list-faults"])).ok();
    assert!(
        faults.lines().count() > 20 && faults.contains("unavailable"),
        "{faults}"
    );
}

#[test]
fn s10_the_same_seed_gives_the_same_transcript() {
    let transcript = || {
        let args = [
            "--seed",
            "7",
            "--clock-stands-at",
            "4000000000",
            "--fault",
            "unavailable:probability=0.4",
        ];
        let emulator = Running::start(&args, None);
        let mut transcript = emulator.get("BLOOM_CLIENT_SECRET").to_owned();
        for _ in 0..4 {
            let ran = run(&mut emulator.client(&["token", "-v"]));
            transcript += &ran.stdout;
            transcript += &ran.stderr.matches("503").count().to_string();
        }
        transcript
    };
    assert_eq!(transcript(), transcript());
}

#[test]
fn the_admin_endpoint_is_for_those_who_have_its_token() {
    let emulator = Running::start(&["--admin"], None);
    let url = emulator.get("BLOOM_EMULATOR_ADMIN").to_owned();
    assert!(url.ends_with("/_emulator"), "{url}");
    assert_eq!(emulator.get("BLOOM_EMULATOR_ADMIN_TOKEN").len(), 32);
    // The access token is not it.
    let ran = run(&mut emulator.client(&["request", "GET", "/_emulator/counts"]));
    assert_eq!(ran.code, Some(5), "{}", ran.stderr);
    let mut stream = std::net::TcpStream::connect(
        url.trim_start_matches("http://")
            .trim_end_matches("/_emulator"),
    )
    .unwrap();
    let host = stream.peer_addr().unwrap();
    let request = format!(
        "GET /_emulator/counts HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {}\r\n\
         Connection: close\r\n\r\n",
        emulator.get("BLOOM_EMULATOR_ADMIN_TOKEN")
    );
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
