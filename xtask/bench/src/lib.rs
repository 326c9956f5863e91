//! What benchmarks have in common.
//!
//! The modules measure calls, turn by turn in one process. The rest measures how long the library
//! takes to start, each time in a new process: nothing is warm in it but what the disk keeps.
//!
//! There, a benchmark calls [`main`] with its scenarios. The parent prepares a folder for each, then runs
//! itself again and again as a child, which starts once and prints what it measured.

pub mod allocations;
pub mod fleet;
pub mod floors;
pub mod herd;
pub mod hot_path;
pub mod instructions;
pub mod interleave;
pub mod keyed;
pub mod machine;
pub mod page;
pub mod peers;
pub mod plot;
pub mod results;
pub mod statistics;
pub mod table;
pub mod verdict;

use std::{
    env,
    error::Error,
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use bloom_auth_core::{ClientCredentials, ClientId, ClientSecret, ConfigurationError};

/// What may go wrong, which ends the benchmark.
pub type Problem = Box<dyn Error>;

/// How many processes a scenario is measured in.
const PROCESSES: usize = 200;
/// The same in the short form, which shows that it runs.
const PROCESSES_QUICK: usize = 5;

/// The first argument of a child, before the scenario and its folder.
const CHILD: &str = "--child";

/// A way to start.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// What it is called in the report.
    pub name: &'static str,
    /// How many token requests a start makes, exactly.
    pub requests: usize,
    /// Puts into an empty folder what every child finds there; runs once, in the parent.
    pub prepare: fn(&Path) -> Result<(), Problem>,
    /// Starts, with that folder; runs in a child.
    pub start: fn(&Path) -> Result<Start, Problem>,
}

/// What a child measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// From before the provider is built until its first token is there.
    pub time: Duration,
    /// The token requests that this took.
    pub requests: usize,
}

impl Start {
    /// Measures `work`, which says how many token requests it made.
    ///
    /// # Errors
    ///
    /// Those of `work`.
    #[expect(
        clippy::disallowed_methods,
        reason = "what is measured is the time that really passes"
    )]
    pub async fn measure(
        work: impl AsyncFnOnce() -> Result<usize, Problem>,
    ) -> Result<Self, Problem> {
        let start = Instant::now();
        let requests = work().await?;
        let time = start.elapsed();
        Ok(Self { time, requests })
    }

    /// The line that a child prints.
    fn print(self) -> String {
        format!("{} {}", self.time.as_nanos(), self.requests)
    }

    fn parse(line: &str) -> Option<Self> {
        let (nanoseconds, requests) = line.trim_end().split_once(' ')?;
        Some(Self {
            time: Duration::from_nanos(nanoseconds.parse().ok()?),
            requests: requests.parse().ok()?,
        })
    }
}

/// A client id and secret that no server knows.
///
/// # Errors
///
/// None that a benchmark should see.
pub fn credentials() -> Result<ClientCredentials, ConfigurationError> {
    let secret = ClientSecret::new("a secret for benchmarks, of 32 characters and more")?;
    Ok(ClientCredentials::new(ClientId::new("bench")?, secret))
}

/// As long as Bloom's tokens are.
#[must_use]
pub fn token() -> String {
    "x".repeat(900)
}

/// Parent and child; `folder` is for whatever the scenarios keep on disk.
///
/// # Errors
///
/// Any [`Problem`] of a scenario; a start that made more or fewer token requests than it should.
pub fn main(scenarios: &[Scenario], folder: &Path) -> Result<(), Problem> {
    let args: Vec<String> = env::args().skip(1).collect();
    if let [child, name, folder] = args.as_slice()
        && child == CHILD
    {
        let scenario = scenarios.iter().find(|scenario| scenario.name == name);
        let start = scenario.ok_or("no such scenario")?.start;
        println!("{}", start(Path::new(folder))?.print());
        return Ok(());
    }
    // Cargo says `--bench` when it measures; without, this is a mere test.
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    let processes = if has("--bench") && !has("--quick") {
        PROCESSES
    } else {
        PROCESSES_QUICK
    };
    for scenario in scenarios {
        let report = measure(scenario, &folder.join(scenario.name), processes)
            .map_err(|problem| format!("{}: {problem}", scenario.name))?;
        println!("{report}");
    }
    Ok(())
}

/// Runs the children of a scenario, one after the other.
fn measure(scenario: &Scenario, folder: &Path, processes: usize) -> Result<String, Problem> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    (scenario.prepare)(folder)?;

    let mut starts = Vec::with_capacity(processes);
    // The first child loads the program from the disk, which is no business of the library's.
    for round in 0..=processes {
        let mut child = Command::new(env::current_exe()?);
        child.args([CHILD, scenario.name]).arg(folder);
        let output = child.stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            return Err(format!("a child failed: {}", output.status).into());
        }
        let line = String::from_utf8(output.stdout)?;
        let start = Start::parse(&line).ok_or_else(|| format!("a child said {line:?}"))?;
        if round > 0 {
            starts.push(start);
        }
    }
    report(scenario, &starts)
}

/// The line for a scenario.
fn report(scenario: &Scenario, starts: &[Start]) -> Result<String, Problem> {
    let Scenario { name, requests, .. } = scenario;
    if let Some(start) = starts.iter().find(|start| start.requests != *requests) {
        let count = start.requests;
        return Err(format!("{count} token requests in a start, expected {requests}").into());
    }
    let mut times: Vec<Duration> = starts.iter().map(|start| start.time).collect();
    times.sort();
    let percentile = |percent| percentile(&times, percent).ok_or("nothing was measured");
    Ok(format!(
        "{name:<24}median {:.1?}, p90 {:.1?}, min {:.1?}; {} processes, {} token requests",
        percentile(50)?,
        percentile(90)?,
        percentile(0)?,
        starts.len(),
        starts.iter().map(|start| start.requests).sum::<usize>(),
    ))
}

/// The least of the sorted times that so many percent of them do not exceed.
fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCENARIO: Scenario = Scenario {
        name: "warm_start",
        requests: 0,
        prepare: |_| Ok(()),
        start: |_| Err("is not run".into()),
    };

    fn starts(microseconds: &[u64], requests: usize) -> Vec<Start> {
        let start = |&time| Start {
            time: Duration::from_micros(time),
            requests,
        };
        microseconds.iter().map(start).collect()
    }

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let times: Vec<Duration> = (1..=10).map(Duration::from_micros).collect();
        let check = |times: &[Duration], percent, microseconds: Option<u64>| {
            let expected = microseconds.map(Duration::from_micros);
            assert_eq!(percentile(times, percent), expected, "{percent}");
        };
        check(&times, 0, Some(1));
        check(&times, 50, Some(5));
        check(&times, 90, Some(9));
        check(&times, 91, Some(10));
        check(&times, 100, Some(10));
        check(&times[..1], 90, Some(1));
        check(&[], 50, None);
    }

    #[test]
    fn a_report_says_what_was_measured_in_any_order() {
        let report = report(&SCENARIO, &starts(&[30, 10, 20], 0)).unwrap();
        assert_eq!(
            report,
            "warm_start              median 20.0µs, p90 30.0µs, min 10.0µs; 3 processes, \
             0 token requests"
        );
    }

    #[test]
    fn other_counts_of_token_requests_are_no_result() {
        let mut starts = starts(&[10, 20], 0);
        starts[1].requests = 1;
        let problem = report(&SCENARIO, &starts).unwrap_err();
        assert_eq!(
            problem.to_string(),
            "1 token requests in a start, expected 0"
        );
        assert!(report(&SCENARIO, &[]).is_err());
    }

    #[test]
    fn what_a_child_prints_is_what_the_parent_reads() {
        let start = Start {
            time: Duration::new(2, 3),
            requests: 4,
        };
        assert_eq!(Start::parse(&format!("{}\n", start.print())), Some(start));
        for line in ["", "1", "1 2 3", "a 1", "warning"] {
            assert_eq!(Start::parse(line), None, "{line:?}");
        }
    }
}
