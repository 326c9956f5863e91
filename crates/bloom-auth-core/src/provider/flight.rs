//! One fetch for everyone: the task that makes it, and those who wait for it.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

use super::{
    events,
    failure::Failure,
    fetch::{End, Fetch, Fetched},
    shared::Shared,
};
use crate::{
    clock::Timestamp,
    error::{Error, ErrorKind},
};

type Outcome = Option<Result<Fetched, Error>>;

/// A fetch under way, as those who wait see it.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    pub(crate) generation: u64,
    outcome: watch::Receiver<Outcome>,
    progress: Progress,
}

/// How waiting for a flight ended.
pub(crate) enum Landing {
    /// With the one result that all who wait share.
    Outcome(Result<Fetched, Error>),
    /// Without a result: its runtime was shut down, or somebody else fetches.
    Lost,
    /// It has been silent for too long; nobody may be driving its runtime.
    Stalled,
}

impl Flight {
    /// How much longer it may be silent before it is taken for dead.
    pub(crate) fn patience_left(&self, now: Timestamp, patience: Duration) -> Duration {
        let silence = now.monotonic.saturating_sub(self.progress.last());
        patience.saturating_sub(Duration::from_nanos(silence))
    }

    /// Waits for the result, and keeps the time of the flight, since whoever
    /// should keep it may have stopped.
    ///
    /// Dropping this future changes nothing for the flight.
    pub(crate) async fn landing(mut self, shared: &Shared) -> Landing {
        loop {
            let patience = self.patience_left(shared.now(), shared.patience());
            if patience.is_zero() {
                return Landing::Stalled;
            }
            let outcome = self.outcome.wait_for(Option::is_some);
            match tokio::time::timeout(patience, outcome).await {
                Ok(Ok(outcome)) => match &*outcome {
                    Some(result) => return Landing::Outcome(result.clone()),
                    None => return Landing::Lost,
                },
                Ok(Err(_)) => return Landing::Lost,
                // There may have been progress meanwhile: look again.
                Err(_) => {}
            }
        }
    }
}

/// When a flight last got a step further, in monotonic nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Progress(Arc<AtomicU64>);

impl Progress {
    pub(crate) fn mark(&self, now: u64) {
        self.0.store(now, Ordering::Relaxed);
    }

    fn last(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A flight that is ready to take off, and what those who wait hold of it.
pub(crate) fn prepare(fetch: Fetch) -> (Task, Flight) {
    let (sender, outcome) = watch::channel(None);
    let flight = Flight {
        generation: fetch.generation,
        outcome,
        progress: fetch.progress.clone(),
    };
    let task = Task {
        fetch,
        outcome: sender,
        landed: false,
        is_polled: AtomicBool::new(false),
    };
    (task, flight)
}

pub(crate) fn progress(now: u64) -> Progress {
    Progress(Arc::new(AtomicU64::new(now)))
}

/// The flight's own task. Wherever it ends, also by a panic, by its runtime's
/// end or by being aborted, it reports back.
pub(crate) struct Task {
    fetch: Fetch,
    outcome: watch::Sender<Outcome>,
    landed: bool,
    /// Whether the fetch is being polled: a task that is dropped meanwhile has
    /// panicked. That its thread panics would prove nothing, for a runtime may
    /// be dropped by a panic elsewhere.
    is_polled: AtomicBool,
}

impl Task {
    pub(crate) async fn run(mut self) {
        let end = {
            let mut fetch = pin!(self.fetch.run());
            poll_fn(|context| {
                self.is_polled.store(true, Ordering::Relaxed);
                let end = fetch.as_mut().poll(context);
                self.is_polled.store(false, Ordering::Relaxed);
                end
            })
            .await
        };
        let Fetch {
            shared, generation, ..
        } = &self.fetch;
        let outcome = match end {
            Ok(fetched) => Some(Ok(fetched)),
            Err(End::Failed(failure)) => {
                let error = shared.failed(*generation, failure);
                events::fetch_failed(&error);
                Some(Err(error))
            }
            Err(End::Unchanged) => shared.unchanged().map(Err),
            Err(End::Elsewhere) => None,
        };
        self.land(outcome);
    }

    fn land(&mut self, outcome: Outcome) {
        self.landed = true;
        let generation = self.fetch.generation;
        self.fetch.shared.finished(generation);
        if outcome.is_some() {
            self.outcome.send_replace(outcome);
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if self.landed {
            return;
        }
        if !self.is_polled.load(Ordering::Relaxed) {
            // The runtime is shutting down, or the provider is gone.
            self.land(None);
            return;
        }
        let failure = Failure::later(Error::new(ErrorKind::Internal));
        let error = self.fetch.shared.failed(self.fetch.generation, failure);
        self.land(Some(Err(error.clone())));
        // If it was a subscriber that panicked, it may again, and a second panic
        // during the first ends the process.
        let _ = catch_unwind(AssertUnwindSafe(|| events::fetch_failed(&error)));
    }
}
