//! Thousands of callers who find no token, all at once: how many requests arrive, and how long the
//! last caller waits.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use crate::{Problem, floors, hot_path::Issuer, interleave::timed};

/// How many callers there are.
pub const CALLERS: usize = 10_000;

/// How long the server takes.
pub const ANSWER: Duration = Duration::from_millis(50);

const WORKERS: usize = 2;

/// Of all rounds, in which the herd and its floor took turns.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Herd {
    /// How many callers there were.
    pub callers: usize,
    /// The most requests that arrived in a round.
    pub requests: usize,
    /// The least time of a round, in milliseconds.
    pub ours: f64,
    /// The same of timers.
    pub floor: f64,
}

/// Measures the herd and as many timers.
///
/// # Errors
///
/// If a caller gets no token.
pub fn measure(quick: bool) -> Result<Herd, Problem> {
    let (rounds, callers) = if quick { (2, 100) } else { (21, CALLERS) };
    let runtime = runtime()?;
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    let mut herd = Herd {
        callers,
        requests: 0,
        ours: f64::INFINITY,
        floor: f64::INFINITY,
    };
    for round in 0..rounds {
        for is_ours in [round % 2 == 0, round % 2 != 0] {
            if is_ours {
                let (times, requests) = timed(|| runtime.block_on(all_ask(callers)));
                herd.requests = herd.requests.max(requests?);
                herd.ours = herd.ours.min(milliseconds(times.1 - times.0));
            } else {
                let (times, ()) = timed(|| runtime.block_on(all_wait(callers)));
                herd.floor = herd.floor.min(milliseconds(times.1 - times.0));
            }
        }
    }
    Ok(herd)
}

/// The one that callers are tasks of.
///
/// # Errors
///
/// If no thread is to be had.
pub fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_time()
        .build()
}

/// As many callers of a new provider; returns how many requests arrived.
///
/// # Errors
///
/// If one of them gets no token.
pub async fn all_ask(callers: usize) -> Result<usize, Problem> {
    let issuer = Issuer::new(ANSWER);
    let provider = issuer.provider()?;
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..callers {
        let provider = provider.clone();
        all.spawn(async move { provider.authorization().await });
    }
    for got in all.join_all().await {
        got?;
    }
    Ok(issuer.requests())
}

/// As many who only wait for as long as the server takes.
pub async fn all_wait(callers: usize) {
    floors::timers(callers, ANSWER).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_herd_makes_one_request_and_takes_as_long_as_the_server() {
        let herd = measure(true).unwrap();
        assert_eq!((herd.callers, herd.requests), (100, 1));
        assert!(herd.ours >= 50.0 && herd.floor >= 50.0, "{herd:?}");
    }
}
