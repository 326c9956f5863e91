//! System calls that fail, lie, or are the last one of their process, by
//! strace, which counts the calls of each thread; a dry run tells which there
//! are.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::{net::UnixDatagram, process::ExitStatusExt as _},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use bloom_auth_cache::FileCache;
use bloom_auth_core::{
    AuthVersion, ClientCredentials, ClientId, ClientSecret, Environment, Lease, TokenCache as _,
    TokenProvider, chain,
    test_util::{Reply, ScriptedTransport, skip, tool},
};
use rustix::{
    process::{PTracer, set_ptracer},
    thread::gettid,
};

use super::support::{
    Place, SECRET, access, access_of, block_on, child, record, role, say, this_binary,
};

/// The calls in which a store can go wrong.
const CALLS: &str = "?open,openat,fstat,newfstatat,fchmod,read,write,fsync,renameat,renameat2,unlinkat,\
                     flock,mkdir,close";

const REPORT: &str = "report";

/// What a child does once strace is there. It reports through a socket, since
/// its own writes would be counted with those that are to fail.
fn act(role: &str, directory: &Path) {
    let cache = FileCache::in_directory(directory.join("cache")).unwrap();
    // Where only ancestors may trace a process, it has to agree.
    let _ = set_ptracer(PTracer::Any);
    // The thread whose calls are not those of the cache.
    say("ready", &gettid().as_raw_nonzero().to_string());
    io::stdin().lines().next().unwrap().unwrap();
    let outcome = block_on(async {
        match role {
            "store" => {
                let stored = cache.store(&access(), &record("new", 10)).await;
                stored.map_or_else(|error| chain(&error), |()| "stored".to_owned())
            }
            "lease" => format!("{:?}", cache.lease(&access()).await),
            "token" => token(cache).await,
            role => panic!("{role}"),
        }
    });
    let socket = UnixDatagram::unbound().unwrap();
    socket
        .send_to(outcome.as_bytes(), directory.join(REPORT))
        .unwrap();
}

/// Gets a token as a program would, and says how long that took.
async fn token(cache: FileCache) -> String {
    let (id, secret) = (ClientId::new("client"), ClientSecret::new(SECRET));
    let credentials = ClientCredentials::new(id.unwrap(), secret.unwrap());
    let environment = Environment::sandbox(AuthVersion::V1);
    let transport = ScriptedTransport::new([Reply::token("fetched", 3600)]);
    let provider = TokenProvider::builder(environment, credentials, transport.clone())
        .cache(cache)
        .build()
        .unwrap();
    let start = tokio::time::Instant::now();
    let token = provider.token().await.unwrap();
    let requests = transport.request_count();
    format!(
        "{} {requests} {}",
        token.expose(),
        start.elapsed().as_millis()
    )
}

/// What became of a child under strace.
struct Run {
    /// What it reported, unless it was killed before.
    outcome: Option<String>,
    was_killed: bool,
    /// What it wrote to stderr.
    errors: String,
    /// The calls of the cache's own threads in order, each with how many of
    /// its name its thread had made by then, as strace counts them.
    calls: Vec<(String, usize)>,
}

impl Run {
    #[track_caller]
    fn outcome(&self) -> &str {
        let Some(outcome) = &self.outcome else {
            panic!("it reported nothing:\n{}", self.errors);
        };
        outcome
    }
}

/// Runs this test as a child in this role, with these faults from the moment
/// on at which it is ready. `None` if processes cannot be traced here.
fn strace(test: &str, role: &str, directory: &Path, faults: &[String]) -> Option<Run> {
    let [log, report] = ["strace.log", REPORT].map(|name| directory.join(name));
    let _ = fs::remove_file(&report);
    let socket = UnixDatagram::bind(&report).unwrap();
    let mut traced = child(Command::new(this_binary()), test, role, directory)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(traced.stdout.take().unwrap()).lines();
    let waiting = lines
        .find_map(|line| {
            line.unwrap()
                .strip_prefix("child-ready=")
                .map(str::to_owned)
        })
        .unwrap();

    let pid = traced.id().to_string();
    let mut tracer = Command::new("strace");
    tracer.args(["-f", "-p", &pid, "-o"]).arg(&log);
    tracer.arg(format!("--trace={CALLS}"));
    tracer.args(faults.iter().map(|fault| format!("--inject={fault}")));
    let mut tracer = tracer.stderr(Stdio::piped()).spawn().unwrap();
    let mut attached = String::new();
    let mut errors = BufReader::new(tracer.stderr.take().unwrap());
    errors.read_line(&mut attached).unwrap();
    let is_attached = attached.contains("attached");
    traced.stdin.take().unwrap().write_all(b"\n").unwrap();
    let output = traced.wait_with_output().unwrap();
    tracer.wait().unwrap();
    if !is_attached {
        assert!(attached.contains("not permitted"), "{attached}");
        skip(test, "processes cannot be traced here");
        return None;
    }

    socket.set_nonblocking(true).unwrap();
    let mut bytes = [0; 4096];
    let outcome = socket.recv(&mut bytes).ok();
    let outcome = outcome.map(|length| String::from_utf8(bytes[..length].to_vec()).unwrap());
    let mut calls: Vec<(String, String)> = Vec::new();
    for line in fs::read_to_string(&log).unwrap().lines() {
        let (thread, call) = line.split_once(char::is_whitespace).unwrap();
        let Some((name, _)) = call.trim_start().split_once('(') else {
            continue;
        };
        let is_cache = thread != pid && thread != waiting;
        if is_cache && !name.starts_with(['<', '+', '-']) {
            calls.push((thread.to_owned(), name.to_owned()));
        }
    }
    let numbered = calls.iter().enumerate().map(|(n, call)| {
        let so_far = calls[..=n].iter().filter(|other| *other == call);
        (call.1.clone(), so_far.count())
    });
    Some(Run {
        outcome,
        was_killed: output.status.signal() == Some(9),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
        calls: numbered.collect(),
    })
}

/// A role, and the calls that it makes when nothing fails.
struct Script {
    test: &'static str,
    role: &'static str,
    calls: Vec<(String, usize)>,
}

impl Script {
    /// `None` if there is no strace here.
    fn new(test: &'static str, role: &'static str) -> Option<Self> {
        if !tool("strace") {
            skip(test, "it needs strace");
            return None;
        }
        let place = old();
        let run = strace(test, role, place.directory.path(), &[])?;
        assert!(!run.calls.is_empty());
        let calls = run.calls;
        Some(Self { test, role, calls })
    }

    /// The last call of this name before the record is written, at which this
    /// happens.
    fn before_writing(&self, name: &str, fault: &str) -> String {
        format!("{name}:{fault}:when={}", self.last_before("write", name))
    }

    /// The call that opens the record which is there, after that.
    fn when_looking(&self, fault: &str) -> String {
        format!(
            "openat:{fault}:when={}",
            self.last_before("renameat", "openat")
        )
    }

    fn last_before(&self, next: &str, name: &str) -> usize {
        let next = self.calls.iter().position(|(call, _)| call == next);
        let mut before = self.calls[..next.unwrap()].iter().rev();
        let (_, when) = before.find(|(call, _)| call == name).unwrap();
        *when
    }

    /// The calls until all is on the disk.
    fn until_durable(&self) -> &[(String, usize)] {
        let is_sync = |(name, _): &(String, usize)| name == "fsync";
        let durable = self.calls.iter().rposition(is_sync).unwrap();
        &self.calls[..=durable]
    }

    fn run(&self, place: &Place, faults: &[String]) -> Run {
        strace(self.test, self.role, place.directory.path(), faults).unwrap()
    }
}

/// A place with a record.
fn old() -> Place {
    let place = Place::new();
    block_on(place.store("old", 1000));
    place
}

#[track_caller]
fn check_store(script: &Script, faults: &[String], outcome: &str, token: Option<&str>) {
    let place = old();
    let run = script.run(&place, faults);
    assert!(
        run.outcome().contains(outcome),
        "{faults:?}: {}",
        run.outcome()
    );
    assert_eq!(block_on(place.token()).as_deref(), token, "{faults:?}");
    assert!(place.temporary_files().is_empty(), "{faults:?}");
    // Once the fault is over, all is well.
    block_on(place.store("next", 5));
    assert_eq!(
        block_on(place.token()).as_deref(),
        Some("next"),
        "{faults:?}"
    );
}

#[test]
fn d1_d3_d4_a_store_that_fails_leaves_the_old_record_and_no_leftover() {
    const TEST: &str =
        "file::injected::d1_d3_d4_a_store_that_fails_leaves_the_old_record_and_no_leftover";
    if let Some((role, directory)) = role() {
        return act(&role, &directory);
    }
    let Some(script) = Script::new(TEST, "store") else {
        return;
    };
    check_store(&script, &[], "stored", Some("new"));
    let (directory, _) = &script.calls[0];
    for (fault, outcome) in [
        ("write:error=ENOSPC:when=1".to_owned(), "No space left"),
        ("write:error=EDQUOT:when=1".to_owned(), "quota"),
        ("write:error=EIO:when=1".to_owned(), "os error 5"),
        ("fsync:error=EIO:when=1".to_owned(), "os error 5"),
        (
            script.before_writing("fchmod", "error=EPERM"),
            "not permitted",
        ),
        (
            script.before_writing("openat", "error=EROFS"),
            "Read-only file system",
        ),
        (
            script.before_writing("openat", "error=ENOSPC"),
            "No space left",
        ),
        (
            script.before_writing("openat", "error=EMFILE"),
            "Too many open files",
        ),
        (
            format!("{directory}:error=EMFILE:when=1"),
            "Too many open files",
        ),
        (
            format!("{directory}:error=EACCES:when=1"),
            "Permission denied",
        ),
    ] {
        check_store(&script, &[fault], outcome, Some("old"));
    }
    // The record is in its place; whether it would survive a power cut, nobody
    // knows.
    check_store(
        &script,
        &["fsync:error=EIO:when=2".to_owned()],
        "os error 5",
        Some("new"),
    );
    // Interrupted calls are repeated.
    let fault = "write:error=EINTR:when=1".to_owned();
    check_store(&script, &[fault], "stored", Some("new"));
}

#[test]
fn d13_a_record_that_may_not_be_read_is_replaced() {
    const TEST: &str = "file::injected::d13_a_record_that_may_not_be_read_is_replaced";
    if let Some((role, directory)) = role() {
        return act(&role, &directory);
    }
    let Some(script) = Script::new(TEST, "store") else {
        return;
    };
    for error in ["EACCES", "EPERM", "EIO", "ESTALE"] {
        let fault = script.when_looking(&format!("error={error}"));
        check_store(&script, &[fault], "stored", Some("new"));
    }
}

#[test]
fn d2_a_write_that_lies_is_found_out() {
    const TEST: &str = "file::injected::d2_a_write_that_lies_is_found_out";
    if let Some((role, directory)) = role() {
        return act(&role, &directory);
    }
    let Some(script) = Script::new(TEST, "store") else {
        return;
    };
    // "Written", five bytes of it, and nothing was: the rest follows.
    let fault = "write:retval=5:when=1".to_owned();
    check_store(&script, &[fault], "stored", None);
    // No progress is an error and no endless loop.
    let fault = "write:retval=0:when=1".to_owned();
    check_store(&script, &[fault], "could not be written to", Some("old"));
}

#[test]
fn d18_a_rename_that_fails_leaves_the_old_record_and_no_leftover() {
    const TEST: &str =
        "file::injected::d18_a_rename_that_fails_leaves_the_old_record_and_no_leftover";
    if let Some((role, directory)) = role() {
        return act(&role, &directory);
    }
    let Some(script) = Script::new(TEST, "store") else {
        return;
    };
    for (error, outcome) in [
        ("EXDEV", "cross-device"),
        ("EBUSY", "busy"),
        ("EACCES", "Permission denied"),
        ("ENOSPC", "No space left"),
    ] {
        let fault = format!("renameat:error={error}");
        check_store(&script, &[fault], outcome, Some("old"));
    }
    // What cannot be removed then is a leftover, to be swept.
    let place = old();
    let faults = [
        "renameat:error=EBUSY:when=1".to_owned(),
        "unlinkat:error=EBUSY".to_owned(),
    ];
    assert!(script.run(&place, &faults).outcome().contains("busy"));
    assert_eq!(place.temporary_files().len(), 1);
    assert_eq!(block_on(place.token()).as_deref(), Some("old"));
}

#[test]
fn d19_where_locks_do_not_work_records_are_kept_all_the_same() {
    const TEST: &str = "file::injected::d19_where_locks_do_not_work_records_are_kept_all_the_same";
    if let Some((role, directory)) = role() {
        return act(&role, &directory);
    }
    let Some(store) = Script::new(TEST, "store") else {
        return;
    };
    let Some(lease) = Script::new(TEST, "lease") else {
        return;
    };
    for error in ["ENOLCK", "ENOSYS", "EOPNOTSUPP", "EIO"] {
        let fault = format!("flock:error={error}");
        check_store(&store, std::slice::from_ref(&fault), "stored", Some("new"));
        assert_eq!(
            lease.run(&old(), &[fault]).outcome(),
            "Ok(NotNeeded)",
            "{error}"
        );
    }
    // The control.
    assert_eq!(lease.run(&old(), &[]).outcome(), "Ok(Granted(LeaseGuard))");
}

#[test]
fn d20_a_lock_call_that_hangs_keeps_nobody() {
    const TEST: &str = "file::injected::d20_a_lock_call_that_hangs_keeps_nobody";
    const HANGS: Duration = Duration::from_secs(8);
    if let Some((role, directory)) = role() {
        return act(&role, &directory);
    }
    if !tool("strace") {
        return skip(TEST, "it needs strace");
    }
    let place = Place::new();
    let fault = format!("flock:delay_enter={}s", HANGS.as_secs());
    let Some(run) = strace(TEST, "token", place.directory.path(), &[fault]) else {
        return;
    };
    let outcome = run.outcome();
    let words: Vec<_> = outcome.split(' ').collect();
    assert_eq!(words[..2], ["fetched", "1"], "{outcome}");
    // The process has not waited for the call either.
    let elapsed = Duration::from_millis(words[2].parse().unwrap());
    assert!(elapsed < HANGS, "{outcome}");
}

#[test]
fn d4_d5_where_nothing_can_be_kept_tokens_are_fetched() {
    const TEST: &str = "file::injected::d4_d5_where_nothing_can_be_kept_tokens_are_fetched";
    if let Some((role, directory)) = role() {
        return act(&role, &directory);
    }
    if !tool("strace") {
        return skip(TEST, "it needs strace");
    }
    for fault in [
        // The directory cannot be created.
        "mkdir:error=EROFS",
        "mkdir:error=EACCES",
        // It is there, and nothing can be created in it.
        "openat:error=EROFS",
        "openat:error=EACCES",
        // Something can, and not under its name.
        "renameat:error=EROFS",
        "renameat:error=EACCES",
    ] {
        let place = if fault.starts_with("mkdir") {
            Place::new()
        } else {
            old_of_another()
        };
        let faults = [fault.to_owned()];
        let Some(run) = strace(TEST, "token", place.directory.path(), &faults) else {
            return;
        };
        assert!(
            run.outcome().starts_with("fetched 1 "),
            "{fault}: {}",
            run.outcome()
        );
        let names = run.calls.iter().map(|(name, _)| name.as_str());
        let failed = fault.split(':').next();
        assert!(
            names.clone().any(|name| Some(name) == failed),
            "{fault}: {:?}",
            run.calls
        );
    }
}

/// A place with a record that is not the child's.
fn old_of_another() -> Place {
    let place = Place::new();
    let access = access_of("another", SECRET);
    block_on(place.cache.store(&access, &record("theirs", 1000))).unwrap();
    place
}

#[test]
fn d17_what_is_renamed_is_on_the_disk_already() {
    const TEST: &str = "file::injected::d17_what_is_renamed_is_on_the_disk_already";
    if let Some((role, directory)) = role() {
        return act(&role, &directory);
    }
    let Some(script) = Script::new(TEST, "store") else {
        return;
    };
    let order: Vec<_> = script
        .calls
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| ["write", "fsync", "renameat", "unlinkat"].contains(name))
        .collect();
    // In between a refusal is lifted; whoever waits is woken last, if he
    // sleeps already.
    let order = order.strip_suffix(&["write"]).unwrap_or(&order);
    assert_eq!(order, ["write", "fsync", "renameat", "unlinkat", "fsync"]);
}

#[test]
fn x3_a_writer_killed_at_any_call_leaves_the_old_record_or_the_new_one() {
    const TEST: &str =
        "file::injected::x3_a_writer_killed_at_any_call_leaves_the_old_record_or_the_new_one";
    if let Some((role, directory)) = role() {
        return act(&role, &directory);
    }
    let Some(script) = Script::new(TEST, "store") else {
        return;
    };
    let calls = script.until_durable();
    assert!(calls.len() > 12, "{calls:?}");
    let (mut old_ones, mut new_ones) = (0, 0);
    for (call, when) in calls {
        let place = old();
        let fault = format!("{call}:signal=SIGKILL:when={when}");
        let run = script.run(&place, std::slice::from_ref(&fault));
        assert!(run.was_killed, "{fault}: {:?}", run.outcome);
        block_on(async {
            match place.token().await.as_deref() {
                Some("old") => old_ones += 1,
                Some("new") => new_ones += 1,
                other => panic!("{fault}: {other:?}"),
            }
            assert!(place.temporary_files().len() <= 1, "{fault}");
            // Nothing is stuck: the first try of the next one succeeds.
            let lease = place.cache.lease(&access()).await.unwrap();
            assert!(matches!(lease, Lease::Granted(_)), "{fault}");
            place.store("next", 5).await;
            assert_eq!(place.token().await.as_deref(), Some("next"), "{fault}");
            let hash = record("next", 5).token().hash();
            place.cache.remove(&access(), &hash).await.unwrap();
            assert_eq!(place.token().await, None, "{fault}");
        });
    }
    assert!(
        old_ones > 8 && new_ones > 1,
        "{old_ones} old, {new_ones} new"
    );
}
