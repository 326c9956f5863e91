//! `cargo xtask stress`: the soak test, for as long as is wanted, in the build that all tests have:
//! what overflows, or is asserted in debug builds alone, is found too.

use crate::{Verdict, servers, sys};

/// The one test, and what tells it how long it is to go on; it knows these names too.
const TEST: &str = "soak::x18_nothing_grows_through_very_many_refreshes";
const MINUTES: &str = "BLOOM_AUTH_SOAK_MINUTES";
const SEED: &str = "BLOOM_AUTH_SOAK_SEED";

/// Of the crate, what is soaked: caches, and every way to call.
const FEATURES: &str = "blocking,file,redis";

/// What is compared are the second minute and the last.
const FEWEST_MINUTES: u64 = 3;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Config {
    minutes: u64,
    /// Of all that is random.
    seed: u64,
}

impl Config {
    /// Ten minutes, and the same faults every time, unless told otherwise.
    pub(crate) fn new(minutes: Option<u64>, seed: Option<u64>) -> anyhow::Result<Self> {
        let minutes = minutes.unwrap_or(10);
        anyhow::ensure!(
            minutes >= FEWEST_MINUTES,
            "the second minute is compared with the last: give `--minutes {FEWEST_MINUTES}` or more"
        );
        let seed = seed.unwrap_or(1);
        Ok(Self { minutes, seed })
    }
}

pub(crate) fn run(config: &Config) -> anyhow::Result<Verdict> {
    anyhow::ensure!(
        cfg!(target_os = "linux"),
        "what a process holds is read from Linux's /proc: run it there"
    );
    servers::fetch();
    let mut cargo = sys::cargo();
    cargo.args(["test", "--locked", "--package", "bloom-auth"]);
    cargo.args(["--test", "it"]);
    cargo.args(["--features", FEATURES]);
    cargo.args(["--", "--exact", TEST, "--nocapture"]);
    cargo.env(MINUTES, config.minutes.to_string());
    cargo.env(SEED, config.seed.to_string());
    let status = cargo.status()?;
    if status.success() {
        println!("\nstress: passed");
        return Ok(Verdict::Passed);
    }
    println!("\nstress: failed, {status}");
    Ok(Verdict::Failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_minutes_are_too_few_to_be_compared() {
        let check = |minutes, seed, expected: Option<(u64, u64)>| {
            let config = Config::new(minutes, seed).ok();
            let expected = expected.map(|(minutes, seed)| Config { minutes, seed });
            assert_eq!(config, expected, "{minutes:?} {seed:?}");
        };
        check(None, None, Some((10, 1)));
        check(Some(3), Some(0), Some((3, 0)));
        check(Some(2), None, None);
        check(Some(0), None, None);
    }

    #[test]
    fn the_test_is_there() {
        let soak = include_str!("../../crates/bloom-auth/tests/it/soak.rs");
        for name in [TEST, MINUTES, SEED] {
            assert!(soak.contains(&format!("\"{name}\"")), "{name}");
        }
    }
}
