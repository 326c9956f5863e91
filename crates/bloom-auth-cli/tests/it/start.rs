//! What a command does before it is of use, by strace: a token that is in the
//! cache costs no socket, no TLS, and no more than the cache's own thread.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use bloom_auth_core::test_util::{skip, tool};
use bloom_auth_emulator::Emulator;

use crate::support::{Ran, User, run};

const TEST: &str = "start::a_token_that_is_in_the_cache_costs_no_socket_no_tls_and_no_runtime";

/// The threads of the cache, as long as Linux shows names.
const CACHE: &str = "bloom-auth-cach";

/// What a process did that takes time.
#[derive(Debug)]
struct Trace {
    /// Calls that make sockets or use them.
    sockets: Vec<String>,
    /// The threads' names, in any order.
    threads: Vec<String>,
    opened: BTreeSet<String>,
}

impl Trace {
    /// Of what strace wrote with `--follow-forks`.
    fn parse(log: &str) -> Self {
        let mut trace = Self {
            sockets: Vec::new(),
            threads: Vec::new(),
            opened: BTreeSet::new(),
        };
        let mut clones = 0;
        for line in log.lines() {
            // The process's number is before each call.
            let Some((_, call)) = line.split_once(' ') else {
                continue;
            };
            let call = call.trim_start();
            let quoted = call.split('"').nth(1).unwrap_or_default().to_owned();
            match call.split('(').next().unwrap_or_default() {
                "socket" | "connect" => trace.sockets.push(call.to_owned()),
                "clone" | "clone3" if call.contains("CLONE_THREAD") => clones += 1,
                "prctl" if call.contains("PR_SET_NAME") => trace.threads.push(quoted),
                "open" | "openat" => {
                    trace.opened.insert(quoted);
                }
                _ => {}
            }
        }
        // One that gives itself no name counts too.
        let nameless = clones - trace.threads.len().min(clones);
        trace.threads.extend(vec![String::new(); nameless]);
        trace
    }

    fn has_opened(&self, path: &Path) -> bool {
        self.opened.iter().any(|opened| Path::new(opened) == path)
    }
}

/// Runs the command under strace; `None` if processes cannot be traced here.
fn trace(user: &User, command: &Command) -> Option<(Ran, Trace)> {
    let log = user.home().join("strace.log");
    let mut strace = Command::new("strace");
    strace
        .args(["--follow-forks", "--string-limit=4096"])
        .arg("--trace=socket,connect,clone,?clone3,prctl,?open,openat")
        .arg("--output")
        .arg(&log)
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear();
    for (name, value) in command.get_envs() {
        strace.envs(value.map(|value| (name, value)));
    }
    let ran = run(&mut strace);
    if ran.stderr.contains("not permitted") {
        return None;
    }
    let log = fs::read_to_string(&log).unwrap();
    Some((ran, Trace::parse(&log)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_in_the_cache_costs_no_socket_no_tls_and_no_runtime() {
    if !tool("strace") {
        skip(TEST, "needs strace: apt-get install strace");
        return;
    }
    let user = User::of(Emulator::builder()).await;
    // What the platform trusts, and where it is read from.
    let roots = user.file("roots.pem", user.emulator.ca_pem().unwrap());
    let mut token = user.command(["token"]);
    token.env("SSL_CERT_FILE", &roots);

    let Some((ran, cold)) = trace(&user, &token) else {
        skip(TEST, "processes cannot be traced here");
        return;
    };
    let fetched = ran.ok();
    // A process that dumps no core shows what is in its memory to root alone.
    if !cold.opened.iter().any(|opened| opened.ends_with(".token")) {
        skip(TEST, "needs root, to see which files are opened");
        return;
    }
    // Planted: all that is looked for is found where it is.
    assert!(cold.sockets.iter().any(|call| call.starts_with("connect(")));
    assert!(cold.has_opened(&roots), "{cold:?}");
    assert!(cold.threads.len() > 1, "{cold:?}");

    let (ran, warm) = trace(&user, &token).unwrap();
    assert_eq!(ran.ok(), fetched);
    assert_eq!(user.token_requests(), 1);
    assert_eq!(warm.sockets, [""; 0]);
    assert!(!warm.has_opened(&roots), "{warm:?}");
    assert_eq!(warm.threads, [CACHE], "{warm:?}");
}

#[test]
fn every_thread_counts_whether_it_has_a_name_or_not() {
    let trace = Trace::parse(concat!(
        "7 openat(AT_FDCWD, \"/etc/a\", O_RDONLY|O_CLOEXEC) = 3\n",
        "7 clone3({flags=CLONE_VM|CLONE_THREAD|CLONE_SETTLS, stack=0x7f}) = 8\n",
        "8 prctl(PR_SET_NAME, \"tokio-rt-worker\") = 0\n",
        "7 prctl(PR_SET_DUMPABLE, SUID_DUMP_DISABLE) = 0\n",
        "7 clone(child_stack=0x7f, flags=CLONE_VM|CLONE_THREAD) = 9\n",
        "7 clone(child_stack=NULL, flags=CLONE_CHILD_SETTID|SIGCHLD) = 10\n",
        "10 socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, IPPROTO_IP) = 4\n",
        "7 +++ exited with 0 +++\n",
    ));
    assert_eq!(trace.threads, ["tokio-rt-worker", ""]);
    assert_eq!(trace.sockets.len(), 1);
    assert!(trace.has_opened(Path::new("/etc/a")));
}
