//! What the provider's handles and its tasks share: the parts, the state, and
//! the one lock around it.
//!
//! Nothing foreign runs under the lock: no clock, no entropy, no subscriber, no
//! drop of somebody's error, no abort of a task.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::task::AbortHandle;

use super::{
    TokenBudget,
    cache_gate::CacheGate,
    events,
    failure::{Class, Failure},
    fetch::Fetched,
    flight::Flight,
    limit::FetchLimit,
    published::Published,
    settings::Settings,
    state::{Held, Origin, State},
    status::Counters,
    tasks::Tasks,
    timing::Freshness,
};
use crate::{
    cache::{Refusal, TokenCache},
    clock::{Timestamp, nanos},
    credentials::CredentialsSource,
    entropy::Entropy,
    error::Error,
    protocol::TokenRequest,
    token::{AccessToken, TokenHash},
    transport::Transport,
};

/// Held by the provider and by its tasks.
pub(super) struct Shared {
    pub(super) request: TokenRequest,
    pub(super) settings: Settings,
    pub(super) credentials: Arc<dyn CredentialsSource>,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) cache: Option<Arc<dyn TokenCache>>,
    pub(super) limit: Option<FetchLimit>,
    pub(super) budget: Option<TokenBudget>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) published: Published,
    pub(super) engine: Mutex<Engine>,
    pub(super) counters: Counters,
}

#[derive(Default)]
pub(super) struct Engine {
    pub(super) state: State,
    /// The flight that `state` knows by its generation.
    pub(super) flight: Option<Flight>,
    pub(super) tasks: Tasks<AbortHandle>,
    pub(super) gate: CacheGate,
}

impl Shared {
    pub(super) fn now(&self) -> Timestamp {
        self.published.clock().now_across_suspend()
    }

    pub(super) fn engine(&self) -> MutexGuard<'_, Engine> {
        // Nothing of ours panics under the lock, and the state is whole
        // between any two statements.
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a flight may be silent before it is taken for dead: an attempt
    /// timeout, and an eighth of it for the report.
    pub(super) fn patience(&self) -> Duration {
        let attempt = self.settings.attempt_timeout;
        attempt + attempt / 8
    }

    pub(super) fn publish(&self, held: Held, origin: Origin) -> bool {
        let token = held.token.clone();
        let now = self.now();
        let mut engine = self.engine();
        let is_current = engine.state.succeeded(held, origin, now);
        if is_current {
            self.published.set(engine.state.held());
        }
        let discarded = engine.state.take_discarded();
        drop(engine);
        // Subscribers and the sources of errors are foreign code.
        drop(discarded);
        if is_current && origin == Origin::Cache {
            events::token_loaded(&token);
        }
        is_current
    }

    pub(super) fn failed(&self, generation: u64, failure: Failure) -> Error {
        self.counters.failures.add();
        if matches!(failure.class, Class::Refused(_)) {
            self.counters.refusals.add();
        }
        let (now, draw) = (self.now(), self.entropy.draw());
        let mut engine = self.engine();
        let error = engine.state.failed(generation, failure, now, draw);
        let discarded = engine.state.take_discarded();
        drop(engine);
        drop(discarded);
        error
    }

    /// Whether this flight is still the one to fetch.
    pub(super) fn is_current(&self, generation: u64) -> bool {
        self.engine().state.flight() == Some(generation)
    }

    /// The error of the refusal that is in force, if one is.
    pub(super) fn refusal(&self) -> Option<Error> {
        let now = self.now();
        self.engine().state.refusal(now)
    }

    /// The refusal that this failure is, for others who share the cache.
    pub(super) fn refusal_of(&self, failure: &Failure) -> Option<Refusal> {
        let kind = failure.refusal_kind()?;
        let (refusals, wait) = self.engine().state.next_refusal(failure.refusals_elsewhere);
        let asked = failure.retry_after.map_or(0, nanos);
        let wait = Duration::from_nanos(wait.max(asked));
        Some(Refusal::new(kind, self.now().system_time(), wait, refusals))
    }

    /// The credentials are others than those that were refused.
    pub(super) fn credentials_changed(&self) {
        self.engine().state.credentials_changed();
    }

    pub(super) fn unchanged(&self) -> Option<Error> {
        let now = self.now();
        self.engine().state.unchanged(now)
    }

    pub(super) fn finished(&self, generation: u64) {
        let mut engine = self.engine();
        engine.state.let_go(generation);
        if engine
            .flight
            .as_ref()
            .is_some_and(|flight| flight.generation == generation)
        {
            engine.flight = None;
        }
        let handle = engine.tasks.remove(generation);
        drop(engine);
        drop(handle);
    }

    pub(super) fn untold_rejections(&self) -> Vec<TokenHash> {
        self.engine().state.untold_rejections()
    }

    pub(super) fn rejection_told(&self, hash: &TokenHash) {
        self.engine().state.rejection_told(hash);
    }

    pub(super) fn has_usable_token(&self) -> bool {
        let now = self.now();
        let engine = self.engine();
        let held = engine.state.held();
        held.is_some_and(|held| held.deadlines.freshness(now) != Freshness::Expired)
    }

    /// Whether half of the time is over in which the held token is due.
    pub(super) fn is_running_out(&self) -> bool {
        let now = self.now();
        let engine = self.engine();
        let held = engine.state.held();
        held.is_some_and(|held| held.deadlines.is_running_out(now))
    }

    pub(super) fn holds(&self, token: &AccessToken) -> bool {
        let engine = self.engine();
        engine.state.held().is_some_and(|held| held.token == *token)
    }

    /// Whether a token that was waited for can still be served: whoever waited
    /// may have been asleep for long.
    pub(super) fn still_good(&self, fetched: &Fetched) -> bool {
        let now = self.now();
        fetched.deadlines.freshness(now) != Freshness::Expired
            && !self.engine().state.is_rejected(&fetched.token.hash())
    }

    pub(super) fn cache_is_open(&self) -> bool {
        let now = self.now();
        self.engine().gate.is_open(now.monotonic)
    }

    pub(super) fn cache_answered(&self, well: bool) {
        let now = self.now();
        let mut engine = self.engine();
        if well {
            engine.gate.succeeded();
        } else {
            engine.gate.failed(now.monotonic);
        }
    }

    /// Keeps the handle of a new task, unless it has lost its place meanwhile:
    /// then it is over, or has been superseded twice.
    pub(super) fn own(&self, generation: u64, task: AbortHandle) {
        let without_place = self.engine().tasks.fill(generation, task);
        if let Some(task) = without_place {
            task.abort();
        }
    }

    /// The tasks that may still run.
    pub(super) fn take_tasks(&self) -> impl Iterator<Item = AbortHandle> {
        std::mem::take(&mut self.engine().tasks).into_handles()
    }
}
