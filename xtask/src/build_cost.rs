//! `cargo xtask build-cost`: what our crates cost those who build them, beside crates that they
//! would build anyway.
//!
//! Each crate is the one dependency of an empty package of its own, built clean by one job, with
//! the versions of our lock file. What counts is the time of the processor, of all processes
//! together: the time on the wall says more of what else the machine had to do. They take turns,
//! and of each the least counts.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use crate::{Verdict, bench, sys};

pub(crate) struct Config {
    /// Build each once.
    pub(crate) quick: bool,
    /// Build with optimizations.
    pub(crate) release: bool,
}

/// How often each is built; the least of an odd machine's times is the best known.
const ROUNDS: usize = 3;

/// What one of ours may cost, beside one of others.
struct Pair {
    ours: Subject,
    other: Subject,
    /// The processor's time, in those of the other.
    most_times: f64,
    /// How many crates it may bring, itself included.
    most_crates: usize,
}

/// The one dependency of a package.
struct Subject {
    /// The package's name too.
    name: &'static str,
    /// Where the crate is and with what; `ROOT` is the repository.
    dependency: &'static str,
}

const PAIRS: &[Pair] = &[
    Pair {
        ours: Subject {
            name: "core",
            dependency: r#"bloom-auth-core = { path = "ROOT/crates/bloom-auth-core" }"#,
        },
        other: Subject {
            name: "oauth2",
            dependency: r#"oauth2 = { version = "5.0", default-features = false }"#,
        },
        most_times: 1.0,
        most_crates: 45,
    },
    Pair {
        ours: Subject {
            name: "facade",
            dependency: r#"bloom-auth = { path = "ROOT/crates/bloom-auth" }"#,
        },
        other: Subject {
            name: "reqwest",
            dependency: r#"reqwest = { version = "0.13.5", default-features = false, features = ["form", "json", "query", "rustls"] }"#,
        },
        most_times: 1.15,
        most_crates: 110,
    },
];

/// The least that a program can do with a token: print it.
const PROGRAMS: &[Program] = &[
    Program {
        name: "hello-facade",
        dependencies: r#"bloom-auth = { path = "ROOT/crates/bloom-auth" }
tokio = { version = "1.54", default-features = false, features = ["net", "rt", "time"] }"#,
        text: r#"fn main() -> Result<(), Box<dyn std::error::Error>> {
    let auth = bloom_auth::BloomAuth::from_env()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    println!("{}", runtime.block_on(auth.token())?.expose());
    Ok(())
}
"#,
    },
    Program {
        name: "hello-reqwest",
        dependencies: r#"reqwest = { version = "0.13.5", default-features = false, features = ["form", "json", "query", "rustls"] }
serde = { version = "1.0", features = ["derive"] }
tokio = { version = "1.54", default-features = false, features = ["net", "rt", "time"] }"#,
        text: r#"#[derive(serde::Deserialize)]
struct Answer {
    access_token: String,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let variable = |name| std::env::var(name).unwrap_or_default();
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", &variable("BLOOM_CLIENT_ID")),
        ("client_secret", &variable("BLOOM_CLIENT_SECRET")),
    ];
    let url = variable("BLOOM_TOKEN_URL");
    let client = reqwest::Client::builder().build()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer: Answer = runtime.block_on(async {
        let request = client.post(url).form(&form);
        request.send().await?.error_for_status()?.json().await
    })?;
    println!("{}", answer.access_token);
    Ok(())
}
"#,
    },
];

struct Program {
    name: &'static str,
    dependencies: &'static str,
    text: &'static str,
}

/// Builds everything, and holds it to what we promise.
pub(crate) fn run(config: &Config) -> anyhow::Result<Verdict> {
    anyhow::ensure!(
        cfg!(unix),
        "the processor's time of a build is told by a shell's `times`: run it on Linux or macOS"
    );
    let folder = sys::workspace()?
        .target_directory
        .join("build-cost")
        .into_std_path_buf();
    let mut report = String::new();
    let mut verdict = Verdict::Passed;
    for pair in PAIRS {
        if !pair.measure(&folder, config)?.write(pair, &mut report) {
            verdict = Verdict::Failed;
        }
    }
    println!("{report}");
    print!("{}", sizes(&folder)?);
    let word = match verdict {
        Verdict::Passed => "good",
        Verdict::Failed => "too much",
    };
    println!("build-cost: {word}");
    Ok(verdict)
}

/// Of a pair.
struct Measured {
    ours: Cost,
    other: Cost,
}

/// Of one crate with all that it depends on.
struct Cost {
    times: Vec<Duration>,
    crates: usize,
}

impl Cost {
    fn least(&self) -> Duration {
        self.times.iter().min().copied().unwrap_or_default()
    }
}

impl Pair {
    fn measure(&self, folder: &Path, config: &Config) -> anyhow::Result<Measured> {
        let ours = Scratch::library(folder, &self.ours)?;
        let other = Scratch::library(folder, &self.other)?;
        let (mut our_times, mut other_times) = (Vec::new(), Vec::new());
        for round in 1..=if config.quick { 1 } else { ROUNDS } {
            for (subject, scratch, times) in [
                (&self.ours, &ours, &mut our_times),
                (&self.other, &other, &mut other_times),
            ] {
                let time = scratch.build_clean(config.release)?;
                eprintln!("{} ({round}): {time:.1?}", subject.name);
                times.push(time);
            }
        }
        Ok(Measured {
            ours: Cost {
                times: our_times,
                crates: ours.crates()?,
            },
            other: Cost {
                times: other_times,
                crates: other.crates()?,
            },
        })
    }
}

impl Measured {
    /// Writes the lines of the pair; whether all of it is within bounds.
    fn write(&self, pair: &Pair, report: &mut String) -> bool {
        let (ours, other) = (&self.ours, &self.other);
        for (subject, cost) in [(&pair.ours, ours), (&pair.other, other)] {
            let (name, least, crates) = (subject.name, cost.least(), cost.crates);
            let _ = writeln!(
                report,
                "{name:<16}{least:.1?} of the processor, {crates} crates"
            );
        }
        let times = ours.least().as_secs_f64() / other.least().as_secs_f64();
        let is_quick = times <= pair.most_times;
        let is_small = ours.crates <= pair.most_crates;
        let verdict = |is_good| if is_good { "good" } else { "too much" };
        let _ = writeln!(
            report,
            "{} costs {times:.2} times what {} does (at most {}): {}",
            pair.ours.name,
            pair.other.name,
            pair.most_times,
            verdict(is_quick),
        );
        let _ = writeln!(
            report,
            "{} brings {} crates (at most {}): {}",
            pair.ours.name,
            ours.crates,
            pair.most_crates,
            verdict(is_small),
        );
        is_quick && is_small
    }
}

/// What the programs weigh, without their symbols.
fn sizes(folder: &Path) -> anyhow::Result<String> {
    let mut lines = String::new();
    let mut line = |name: &str, program: &Path| -> anyhow::Result<()> {
        let size = fs::metadata(program)
            .with_context(|| format!("cannot see {}", program.display()))?
            .len();
        let _ = writeln!(lines, "{name:<16}{:.2} MB", size as f64 / 1e6);
        Ok(())
    };
    line("bloom-auth (CLI)", &bench::tool()?)?;
    for program in PROGRAMS {
        let scratch = Scratch::program(folder, program)?;
        scratch.build(true)?;
        line(
            program.name,
            &scratch.target.join("release").join("scratch"),
        )?;
    }
    Ok(lines)
}

/// A package that is there to be built.
struct Scratch {
    folder: PathBuf,
    target: PathBuf,
}

impl Scratch {
    fn library(folder: &Path, subject: &Subject) -> anyhow::Result<Self> {
        let source = "//! Nothing but a dependency.\n";
        Self::new(
            &folder.join(subject.name),
            subject.dependency,
            "lib.rs",
            source,
        )
    }

    fn program(folder: &Path, program: &Program) -> anyhow::Result<Self> {
        let folder = folder.join(program.name);
        Self::new(&folder, program.dependencies, "main.rs", program.text)
    }

    fn new(folder: &Path, dependencies: &str, file: &str, source: &str) -> anyhow::Result<Self> {
        let context = || format!("cannot write into {}", folder.display());
        fs::create_dir_all(folder.join("src")).with_context(context)?;
        fs::write(folder.join("src").join(file), source).with_context(context)?;
        fs::write(folder.join("Cargo.toml"), manifest(dependencies)).with_context(context)?;
        // The versions that we test with; what is not ours is added to it.
        fs::copy(sys::root().join("Cargo.lock"), folder.join("Cargo.lock"))
            .context("cannot copy the lock file")?;
        let scratch = Self {
            folder: folder.to_owned(),
            target: folder.join("target"),
        };
        // What comes over a network is no cost of a build.
        sys::output(scratch.cargo().args(["fetch", "--quiet"]))?;
        Ok(scratch)
    }

    fn cargo(&self) -> Command {
        let mut cargo = sys::cargo();
        self.settle(&mut cargo);
        cargo
    }

    /// Where it runs, and nothing of the settings of whoever measures.
    fn settle(&self, command: &mut Command) {
        command
            .current_dir(&self.folder)
            .env("CARGO_TARGET_DIR", &self.target)
            // As crates from the registry are built.
            .env("CARGO_INCREMENTAL", "0")
            .env("RUSTFLAGS", "--cap-lints=allow")
            .env_remove("RUSTC_WRAPPER")
            .env_remove("CARGO_ENCODED_RUSTFLAGS");
    }

    fn build(&self, release: bool) -> anyhow::Result<Duration> {
        let mut shell = Command::new("sh");
        self.settle(&mut shell);
        // The second line that `times` prints is of the children, and of theirs.
        shell.args(["-c", r#""$@" >&2 && times"#, "sh"]);
        shell.arg(sys::cargo().get_program());
        shell.args(["build", "--quiet", "--jobs", "1", "--offline"]);
        if release {
            shell.arg("--release");
        }
        let output = sys::output(&mut shell)?;
        time_of_children(&output).with_context(|| format!("the shell's `times` said {output:?}"))
    }

    fn build_clean(&self, release: bool) -> anyhow::Result<Duration> {
        if self.target.exists() {
            fs::remove_dir_all(&self.target)
                .with_context(|| format!("cannot remove {}", self.target.display()))?;
        }
        self.build(release)
    }

    /// The distinct crates in its tree, without itself.
    fn crates(&self) -> anyhow::Result<usize> {
        let mut cargo = self.cargo();
        cargo.args(["tree", "--color", "never", "--prefix", "none"]);
        cargo.args(["--edges", "normal", "--offline"]);
        let output = sys::output(&mut cargo)?;
        Ok(crate::tidy::crates(&output).len().saturating_sub(1))
    }
}

fn manifest(dependencies: &str) -> String {
    // It is in the folder of a workspace, and is one of its own.
    let dependencies = dependencies.replace("ROOT", &sys::root().display().to_string());
    format!(
        "[workspace]\n\n[package]\nname = \"scratch\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
         [dependencies]\n{dependencies}\n\n[profile.release]\nstrip = \"symbols\"\n"
    )
}

/// What all children took of the processor, by their own work and the system's.
fn time_of_children(times: &str) -> Option<Duration> {
    let mut sum = Duration::ZERO;
    for time in times.lines().nth(1)?.split_whitespace() {
        let (minutes, seconds) = time.strip_suffix('s')?.split_once('m')?;
        let minutes = Duration::from_secs(60).checked_mul(minutes.parse().ok()?)?;
        sum += minutes + Duration::try_from_secs_f64(seconds.parse().ok()?).ok()?;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_children_is_the_second_line() {
        let check = |times, milliseconds: Option<u64>| {
            let expected = milliseconds.map(Duration::from_millis);
            assert_eq!(time_of_children(times), expected, "{times:?}");
        };
        check("0m0.010s 0m0.020s\n1m2.500s 0m0.250s\n", Some(62_750));
        check(
            "0m0.000000s 0m0.010000s\n0m0.500000s 0m0.000000s\n",
            Some(500),
        );
        for times in [
            "",
            "1m2.5s 0m0.2s\n",
            "\n1m2.5 0m0.2s\n",
            "\nxm2.5s\n",
            "\n0m-1s\n",
        ] {
            check(times, None);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_shell_tells_what_its_children_took() {
        let spin = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done";
        let script = format!("sh -c '{spin}' && times");
        let times = sys::output(Command::new("sh").args(["-c", &script])).unwrap();
        assert!(
            time_of_children(&times).unwrap() > Duration::ZERO,
            "{times}"
        );
    }

    fn measured(ours: u64, crates: usize) -> Measured {
        let cost = |times: &[u64], crates| Cost {
            times: times.iter().copied().map(Duration::from_secs).collect(),
            crates,
        };
        Measured {
            ours: cost(&[900, ours], crates),
            other: cost(&[100, 300], 70),
        }
    }

    #[test]
    fn all_that_was_promised_must_hold() {
        let check = |ours, crates, expected: bool, verdict: &str| {
            let mut report = String::new();
            let is_good = measured(ours, crates).write(&PAIRS[1], &mut report);
            assert_eq!(is_good, expected, "{report}");
            assert!(report.contains(verdict), "{report}");
        };
        check(
            115,
            110,
            true,
            "facade costs 1.15 times what reqwest does (at most 1.15): good",
        );
        check(
            116,
            110,
            false,
            "facade costs 1.16 times what reqwest does (at most 1.15): too much",
        );
        check(
            115,
            111,
            false,
            "facade brings 111 crates (at most 110): too much",
        );
    }

    #[test]
    fn a_package_finds_our_crates() {
        for pair in PAIRS {
            let text = manifest(pair.ours.dependency);
            assert!(!text.contains("ROOT"), "{text}");
            assert!(text.contains(&sys::root().display().to_string()), "{text}");
        }
    }
}
