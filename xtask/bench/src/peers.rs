//! Measures whole processes that each print an access token which they need not fetch:
//! `bloom-auth token` with its file cache, and Python clients with caches of their own. And one
//! that does nothing but read a file.

use std::{
    env, fmt, fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{Problem, percentile};

/// Python must take at least as many times the time of the command line tool.
const LEAST_OF_PYTHON: f64 = 20.0;
/// The tool may take as many times the time of the program that only reads, and as many times its
/// instructions.
pub(crate) const MOST_OF_READING: f64 = 3.0;

/// Good for longer than all of this takes.
const LIFETIME: u64 = 86_400;

/// Where everything is.
#[derive(Clone, Copy, Debug)]
pub struct Setup<'a> {
    /// The command line tool.
    pub binary: &'a Path,
    /// A Python that finds the clients' packages.
    pub python: &'a Path,
    /// The folder of the clients' scripts.
    pub scripts: &'a Path,
    /// For caches; it is emptied.
    pub folder: &'a Path,
    /// How often each program is measured; they take turns.
    pub rounds: usize,
}

/// A program that is measured, and what it must print.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) command: Command,
    prints: String,
}

/// What was measured; its text is the table.
#[derive(Debug)]
pub struct Report {
    bloom_auth: Times,
    reads_a_file: Times,
    python: Vec<Times>,
}

/// Of one program.
#[derive(Debug)]
struct Times {
    name: &'static str,
    median: Duration,
    min: Duration,
}

/// Prepares the caches, and runs each program in turn, round by round.
///
/// # Errors
///
/// If a program fails or prints another token, if the tool sends more than the one token request
/// that fills its cache, or if a file is not to be had.
pub fn measure(setup: &Setup<'_>) -> Result<Report, Problem> {
    let Setup { folder, rounds, .. } = *setup;
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    let token = crate::token();
    let server = TokenServer::start(&token)?;
    let mut programs = programs(setup, &server, &token)?;

    let mut times = vec![Vec::with_capacity(rounds); programs.len()];
    // The first round loads the programs from the disk.
    for round in 0..=rounds {
        for (program, times) in programs.iter_mut().zip(&mut times) {
            let time = run(program)?;
            if round > 0 {
                times.push(time);
            }
        }
    }
    let requests = server.requests();
    if requests != 1 {
        return Err(format!("{requests} token requests, expected the first alone").into());
    }
    let names = programs.iter().map(|program| program.name);
    let mut all = names.zip(times).map(|(name, times)| summary(name, times));
    let mut next = || all.next().ok_or("nothing was measured")?;
    Ok(Report {
        bloom_auth: next()?,
        reads_a_file: next()?,
        python: all.collect::<Result<_, _>>()?,
    })
}

/// All of them, with full caches, in the order of [`Report`].
fn programs(setup: &Setup<'_>, server: &TokenServer, token: &str) -> Result<Vec<Program>, Problem> {
    let Setup { folder, .. } = *setup;
    let line = format!("{token}\n");
    let mut programs = Vec::from(warm(setup.binary, folder, server, token)?);
    for (name, script) in [
        ("Python, msal", "msal_client.py"),
        ("Python, Authlib", "authlib_client.py"),
    ] {
        let script = setup.scripts.join(script);
        let cache = folder.join(name);
        // Given a token, a script puts it into its cache.
        let mut fill = command_of(setup.python, &script, &cache);
        fill.args([token, &LIFETIME.to_string()]);
        run(&mut Program {
            name,
            command: fill,
            prints: String::new(),
        })?;
        programs.push(Program {
            name,
            command: command_of(setup.python, &script, &cache),
            prints: line.clone(),
        });
    }
    Ok(programs)
}

/// The tool with its token in the cache, and the program that reads the same file.
pub(crate) fn warm(
    binary: &Path,
    folder: &Path,
    server: &TokenServer,
    token: &str,
) -> Result<[Program; 2], Problem> {
    let cache = folder.join("bloom-auth");
    let mut command = command(binary);
    command
        .arg("token")
        .env("BLOOM_CLIENT_ID", "bench")
        .env(
            "BLOOM_CLIENT_SECRET",
            "a secret for benchmarks, of 32 characters and more",
        )
        .env("BLOOM_TOKEN_URL", &server.url)
        .env("BLOOM_ALLOW_INSECURE_LOOPBACK", "true")
        .env("BLOOM_CACHE", "file")
        .env("BLOOM_CACHE_DIR", &cache)
        .env("NO_PROXY", "127.0.0.1")
        // No settings but these.
        .env("HOME", folder)
        .env("XDG_CONFIG_HOME", folder);
    let mut bloom_auth = Program {
        name: "bloom-auth token",
        command,
        prints: format!("{token}\n"),
    };
    run(&mut bloom_auth)?;

    let mut reads_a_file = self::command(&reads_a_file()?);
    let record = cache.is_dir().then(|| largest(&cache)).transpose()?;
    reads_a_file.arg(
        record
            .flatten()
            .ok_or("the tool left nothing in its cache")?,
    );
    Ok([
        bloom_auth,
        Program {
            name: "reads a file",
            command: reads_a_file,
            prints: String::new(),
        },
    ])
}

fn command_of(python: &Path, script: &Path, cache: &Path) -> Command {
    let mut command = command(python);
    command.arg(script).arg(cache);
    command
}

/// Without settings of whoever measures.
fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("BLOOM_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null()).stderr(Stdio::inherit());
    command
}

/// It is built beside this program.
fn reads_a_file() -> Result<PathBuf, Problem> {
    let name = format!("reads_a_file{}", env::consts::EXE_SUFFIX);
    Ok(env::current_exe()?.with_file_name(name))
}

/// From before the process is started until it has ended.
#[expect(
    clippy::disallowed_methods,
    reason = "what is measured is the time that really passes"
)]
fn run(program: &mut Program) -> Result<Duration, Problem> {
    let start = Instant::now();
    let output = program.command.output();
    let time = start.elapsed();
    let output = output.map_err(|error| format!("{}: {error}", program.name))?;
    if !output.status.success() {
        return Err(format!("{}: {}", program.name, output.status).into());
    }
    if output.stdout != program.prints.as_bytes() {
        let printed = String::from_utf8_lossy(&output.stdout);
        return Err(format!("{} printed {printed:?}", program.name).into());
    }
    Ok(time)
}

/// The largest file below a folder: a record rather than a lock.
fn largest(folder: &Path) -> Result<Option<PathBuf>, Problem> {
    let mut largest = None;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir()? {
            let path = entry?.path();
            let metadata = path.symlink_metadata()?;
            if metadata.is_dir() {
                folders.push(path);
            } else if metadata.is_file() {
                largest = largest.max(Some((metadata.len(), path)));
            }
        }
    }
    Ok(largest.map(|(_, path)| path))
}

fn summary(name: &'static str, mut times: Vec<Duration>) -> Result<Times, Problem> {
    times.sort();
    Ok(Times {
        name,
        median: percentile(&times, 50).ok_or("nothing was measured")?,
        min: percentile(&times, 0).ok_or("nothing was measured")?,
    })
}

/// Gives the same token to everyone, over plain HTTP, until the process ends.
#[derive(Debug)]
pub struct TokenServer {
    url: String,
    requests: Arc<AtomicUsize>,
}

impl TokenServer {
    /// One that is ready for requests.
    ///
    /// # Errors
    ///
    /// If loopback has no free port.
    pub fn start(token: &str) -> Result<Self, Problem> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let url = format!("http://{}/oauth/token", listener.local_addr()?);
        let body = format!(
            r#"{{"access_token":"{token}","expires_in":{LIFETIME},"token_type":"Bearer"}}"#
        );
        let requests = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                seen.fetch_add(1, Ordering::SeqCst);
                // Whoever gets no answer says so.
                let _ = answer(&stream, &body);
            }
        });
        Ok(Self { url, requests })
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn answer(mut stream: &TcpStream, body: &str) -> Result<(), Problem> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
        if line.is_empty() {
            break;
        }
    }
    std::io::copy(&mut reader.take(length), &mut std::io::sink())?;
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    )?;
    Ok(())
}

impl Report {
    /// Whether the tool is as quick as we promise.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let python = |python| ratio(python, &self.bloom_auth) >= LEAST_OF_PYTHON;
        self.python.iter().all(python)
            && ratio(&self.bloom_auth, &self.reads_a_file) <= MOST_OF_READING
    }
}

/// Of the medians, which count.
fn ratio(dividend: &Times, divisor: &Times) -> f64 {
    dividend.median.as_secs_f64() / divisor.median.as_secs_f64()
}

/// Of the least times, for comparison: what differs much from that of the medians was measured on
/// a machine that had other work.
fn least_ratio(dividend: &Times, divisor: &Times) -> f64 {
    dividend.min.as_secs_f64() / divisor.min.as_secs_f64()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bloom_auth, reading) = (&self.bloom_auth, &self.reads_a_file);
        for times in [bloom_auth, reading].into_iter().chain(&self.python) {
            let Times { name, median, min } = times;
            writeln!(f, "{name:<24}median {median:.2?}, min {min:.2?}")?;
        }
        let of_reading = ratio(bloom_auth, reading);
        let least = least_ratio(bloom_auth, reading);
        writeln!(
            f,
            "bloom-auth token takes {of_reading:.1} times as long as it takes to read a file \
             (at most {MOST_OF_READING}; of the minima {least:.1})"
        )?;
        for python in &self.python {
            let (name, times) = (python.name, ratio(python, bloom_auth));
            let least = least_ratio(python, bloom_auth);
            writeln!(
                f,
                "{name} takes {times:.1} times as long as bloom-auth token (at least \
                 {LEAST_OF_PYTHON}; of the minima {least:.1})"
            )?;
        }
        let verdict = if self.is_good() { "good" } else { "too slow" };
        writeln!(f, "peers: {verdict}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(name: &'static str, microseconds: u64) -> Times {
        let time = Duration::from_micros(microseconds);
        summary(name, vec![time * 3, time, time / 2]).unwrap()
    }

    fn report(bloom_auth: u64, python: u64) -> Report {
        Report {
            bloom_auth: times("bloom-auth token", bloom_auth),
            reads_a_file: times("reads a file", 1000),
            python: vec![times("Python, a", 90_000), times("Python, b", python)],
        }
    }

    #[test]
    fn all_that_was_promised_must_hold() {
        assert!(report(3000, 60_000).is_good());
        assert!(!report(3000, 59_999).is_good());
        assert!(!report(3001, 90_000).is_good());
    }

    #[test]
    fn a_report_has_every_program_and_every_ratio() {
        assert_eq!(
            report(2000, 60_000).to_string(),
            "bloom-auth token        median 2.00ms, min 1.00ms\n\
             reads a file            median 1.00ms, min 500.00µs\n\
             Python, a               median 90.00ms, min 45.00ms\n\
             Python, b               median 60.00ms, min 30.00ms\n\
             bloom-auth token takes 2.0 times as long as it takes to read a file (at most 3; of the minima 2.0)\n\
             Python, a takes 45.0 times as long as bloom-auth token (at least 20; of the minima 45.0)\n\
             Python, b takes 30.0 times as long as bloom-auth token (at least 20; of the minima 30.0)\n\
             peers: good\n"
        );
    }
}
