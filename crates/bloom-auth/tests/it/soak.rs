//! A process that asks for tokens at full speed, in every way, while tokens
//! expire every second or so, servers fail at random and one is hostile:
//! nothing that it holds grows, and no promise is broken.
//!
//! The process is this test binary again, so that its memory is its own; the
//! servers are here. `cargo xtask stress` lets it go on for minutes.

mod caller;
mod load;
mod measure;
mod random;
mod servers;
mod verdict;

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use self::{
    caller::{Nature, Place, Tally},
    load::Places,
    measure::Held,
    random::Random,
    servers::Servers,
    verdict::Sample,
};

/// Set by `cargo xtask stress`.
const MINUTES: &str = "BLOOM_AUTH_SOAK_MINUTES";
const SEED: &str = "BLOOM_AUTH_SOAK_SEED";

/// What a child process is to do; a process without it is a parent.
const ROLE: &str = "BLOOM_AUTH_TEST_ROLE";

/// What the parent tells the child.
const CALM: &str = "BLOOM_AUTH_SOAK_CALM";
const TROUBLED: &str = "BLOOM_AUTH_SOAK_TROUBLED";
const HOSTILE: &str = "BLOOM_AUTH_SOAK_HOSTILE";
const DIRECTORY: &str = "BLOOM_AUTH_SOAK_DIRECTORY";
#[cfg(feature = "redis")]
const REDIS: &str = "BLOOM_AUTH_SOAK_REDIS";
const ROUNDS_VARIABLE: &str = "BLOOM_AUTH_SOAK_ROUNDS";
const MILLIS: &str = "BLOOM_AUTH_SOAK_MILLIS";

const ID: &str = "soaked-client";
const SECRET: &str = "a secret of the soaked client, long enough to seal with";
const AUDIENCE: &str = "dev-api";

/// Of the short form, and of each form the least: everything is built, called
/// and dropped as often.
const ROUNDS: u32 = 3;

#[expect(
    clippy::disallowed_methods,
    reason = "the child is told apart, and told what to do, by its environment"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[test]
fn x18_nothing_grows_through_very_many_refreshes() {
    const TEST: &str = "soak::x18_nothing_grows_through_very_many_refreshes";
    if variable(ROLE).is_some() {
        return child();
    }
    let minutes = variable(MINUTES).map(|minutes| minutes.parse::<u32>().unwrap());
    let (rounds, time) = minutes.map_or((ROUNDS, Duration::from_secs(2)), |minutes| {
        (minutes.max(ROUNDS), Duration::from_secs(60))
    });
    let seed = variable(SEED).map_or(1, |seed| seed.parse().unwrap());
    let soak = soak(TEST, "soak", rounds, time, seed);
    let is_long = minutes.is_some();
    if is_long {
        for trend in verdict::trends(&soak.samples) {
            println!("{trend}");
        }
    }
    let mut faults = soak.faults(is_long);
    faults.extend(verdict::remains(&soak.rests, is_long));
    assert!(faults.is_empty(), "with seed {seed}: {faults:#?}");
}

#[test]
fn a_soak_finds_what_is_planted() {
    const TEST: &str = "soak::a_soak_finds_what_is_planted";
    if variable(ROLE).is_some() {
        return child();
    }
    let soak = soak(TEST, "planted", 3, Duration::from_millis(500), 1);
    let remains = verdict::remains(&soak.rests, false);
    for what in ["memory", "descriptors", "threads"] {
        let is_found = remains.iter().any(|line| line.contains(what));
        assert!(is_found, "{what}: {remains:?}");
    }
}

/// What came of it.
struct Soak {
    samples: Vec<Sample>,
    /// When it was over.
    last: Sample,
    /// At the end of each round, when all was dropped.
    rests: Vec<Held>,
    complaints: Vec<String>,
    token_requests: u64,
    faults_met: u64,
    hostile_turns: u64,
}

impl Soak {
    /// What is wrong, apart from what stayed.
    fn faults(&self, is_long: bool) -> Vec<String> {
        let mut faults = self.complaints.clone();
        // Or else nothing was tried.
        let last = self.last;
        for (what, count) in [
            ("calls", last.calls),
            ("answers of the API", last.answers),
            ("token requests", self.token_requests),
            ("hostile turns", self.hostile_turns),
            ("faults", self.faults_met),
        ] {
            // On a busy machine, a moment may be too short for a fault.
            if count == 0 && (is_long || what != "faults") {
                faults.push(format!("there were no {what}"));
            }
        }
        faults
    }
}

/// Starts servers and a child that is soaked for that many rounds of that long, and
/// watches.
fn soak(test: &str, role: &str, rounds: u32, time: Duration, seed: u64) -> Soak {
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let mut servers = Servers::start(random.fork());
    let directory = tempfile::tempdir().unwrap();
    // The control does without.
    #[cfg(feature = "redis")]
    let redis = (role == "soak")
        .then(|| crate::redis::server::any("soak, its tokens in Redis"))
        .flatten()
        .map(|kind| crate::redis::server::Server::start(kind, &[]));
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env_clear()
        .env(ROLE, role)
        // With more, each keeps as much as it ever had at once, and it takes
        // hours until all of them have met their worst moment.
        .env("MALLOC_ARENA_MAX", "1")
        .env(CALM, servers.calm.origin())
        .env(TROUBLED, servers.troubled.origin())
        .env(HOSTILE, servers.hostile.origin())
        .env(DIRECTORY, directory.path())
        .env(ROUNDS_VARIABLE, rounds.to_string())
        .env(MILLIS, time.as_millis().to_string())
        .env(SEED, seed.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    #[cfg(feature = "redis")]
    if let Some(redis) = &redis {
        command.env(REDIS, redis.url());
    }
    let mut child = command.spawn().unwrap();
    let mut soak = Soak {
        samples: Vec::new(),
        last: Sample::default(),
        rests: Vec::new(),
        complaints: Vec::new(),
        token_requests: 0,
        faults_met: 0,
        hostile_turns: 0,
    };
    let mut tell_at = 0.0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let (what, text) = line.split_once('=').unwrap_or_default();
        match what {
            "child-sample" => {
                let sample: Sample = text.parse().unwrap();
                soak.samples.push(sample);
                servers.shuffle();
                if sample.at >= tell_at {
                    tell_at += 10.0;
                    tell(&sample, &servers);
                }
            }
            "child-rest" => {
                let rest: Sample = text.parse().unwrap();
                println!("all dropped: {:?}", rest.held);
                soak.rests.push(rest.held);
                soak.last = rest;
            }
            "child-complaint" => soak.complaints.push(text.to_owned()),
            "child-longest" => println!("the longest call took {text} ms"),
            _ => {}
        }
    }
    let status = child.wait().unwrap();
    assert!(status.success(), "with seed {seed}: {status}");
    let counts = servers.counts();
    soak.token_requests = counts.iter().map(|counts| counts.token_requests).sum();
    soak.faults_met = counts.iter().map(|counts| counts.faults_played).sum();
    soak.hostile_turns = servers.hostile.seen().connections as u64;
    tell(&soak.last, &servers);
    soak
}

/// A line for whoever looks on.
fn tell(sample: &Sample, servers: &Servers) {
    let counts = servers.counts();
    let token_requests: u64 = counts.iter().map(|counts| counts.token_requests).sum();
    let faults: u64 = counts.iter().map(|counts| counts.faults_played).sum();
    let Sample { held, .. } = sample;
    println!(
        "{:6.0} s: {} calls, {} answers, {} failed where nothing is promised, {} promises broken, \
         {token_requests} token requests, {faults} faults and {} hostile connections met, \
         {} KiB resident, {} KiB of it written, {} KiB allocated, {} descriptors, {} threads, {} tasks",
        sample.at,
        sample.calls,
        sample.answers,
        sample.unpromised,
        sample.broken,
        servers.hostile.seen().connections,
        held.resident,
        held.written,
        held.heap,
        held.descriptors,
        held.threads,
        held.tasks,
    );
}

/// In the child: is soaked, and tells the parent.
fn child() {
    let get = |name: &str| variable(name).unwrap();
    let place = |nature, name| Place {
        nature,
        origin: get(name),
        audience: AUDIENCE.to_owned(),
    };
    let places = Places {
        calm: place(Nature::Calm, CALM),
        troubled: place(Nature::Troubled, TROUBLED),
        hostile: place(Nature::Hostile, HOSTILE),
        directory: get(DIRECTORY).into(),
        #[cfg(feature = "redis")]
        redis: variable(REDIS),
    };
    let time = Duration::from_millis(get(MILLIS).parse().unwrap());
    let rounds: u32 = get(ROUNDS_VARIABLE).parse().unwrap();
    let every = Duration::from_secs(1).min(time / 5);
    let mut random = Random::new(get(SEED).parse().unwrap());
    let is_planted = get(ROLE) == "planted";

    let threads = Held::now(0).threads;
    let tally = Arc::new(Tally::new());
    let mut kept = Vec::new();
    for _ in 0..rounds {
        load::run(&places, time, every, &mut random, &tally, |sample| {
            say("sample", &sample.to_string());
            if is_planted {
                kept.push(plant());
            }
        });
        // What was planted stays on purpose, and is not waited for.
        let rest = load::at_rest(threads + kept.len() as u64, &tally);
        say("rest", &tally.sample(rest).to_string());
    }
    for complaint in &*tally.complaints.lock().unwrap() {
        say("complaint", &complaint.replace('\n', " "));
    }
    say("longest", &tally.longest.load(Relaxed).to_string());
}

/// What a leak keeps: memory, a descriptor, a thread.
fn plant() -> (Vec<u8>, std::fs::File, std::sync::mpsc::Sender<()>) {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || receiver.recv());
    let file = std::fs::File::open("/dev/null").unwrap();
    (vec![0; 64 << 10], file, sender)
}

/// A line for the parent.
fn say(what: &str, text: &str) {
    // The harness begins lines of its own.
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nchild-{what}={text}").unwrap();
    out.flush().unwrap();
}
