//! The engine: one good token for all callers, for as few requests as can be.
//!
//! - [`timing`] fixes a token's deadlines; [`state`] decides what to do for a
//!   caller; [`failure`] and [`backoff`] say what follows from a fault. All of
//!   it is pure.
//! - [`fetch`] takes the steps of one fetch, [`flight`] shares its outcome
//!   among those who wait.
//! - This module is the shell: it reads the clock, holds the lock, and starts
//!   fetches.

mod backoff;
mod builder;
mod cache_gate;
mod events;
mod failure;
mod fetch;
mod flight;
mod published;
mod settings;
mod state;
mod status;
mod timing;
mod tombstones;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::HeaderValue;
use tokio::{runtime::Handle, task::AbortHandle};

pub use builder::TokenProviderBuilder;
pub use state::Rejection;
pub use status::{Counts, Status, TokenState};

use self::{
    cache_gate::CacheGate,
    failure::{Class, Failure},
    fetch::Fetch,
    flight::{Flight, Landing},
    published::Published,
    settings::Settings,
    state::{Ask, Decision, Held, Origin, State},
    status::Counters,
    timing::Freshness,
};
use crate::{
    cache::TokenCache,
    clock::{Clock, Timestamp, system_time},
    credentials::CredentialsSource,
    entropy::Entropy,
    environment::Environment,
    error::{Error, ErrorKind},
    protocol::TokenRequest,
    token::{AccessToken, TokenHash},
    transport::Transport,
};

/// A caller goes round at most this often: each time, a fetch was lost with
/// its runtime, or brought a token that was over or rejected meanwhile.
const MAX_ROUNDS: usize = 8;

/// Always has a valid access token, at the cost of a memory read.
///
/// It fetches a token when one is first asked for, serves it to every caller
/// until shortly before it expires, and replaces it in the background before
/// that. Clones share everything. Nothing is spawned by building it; a fetch
/// runs as a task of the caller's tokio runtime (which needs its time driver),
/// and the last clone to be dropped aborts it.
///
/// # Example
///
/// ```no_run
/// # async fn run(
/// #     transport: impl bloom_auth_core::Transport + 'static,
/// # ) -> Result<(), Box<dyn std::error::Error>> {
/// use bloom_auth_core::{AuthVersion, Environment, EnvironmentCredentials, TokenProvider};
///
/// let provider = TokenProvider::builder(
///     Environment::sandbox(AuthVersion::V1),
///     EnvironmentCredentials::new(),
///     transport,
/// )
/// .build()?;
/// let header = provider.authorization().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TokenProvider {
    handle: Arc<Owner>,
}

/// Held by every clone of the provider, and by nothing else: when it is
/// dropped, so is every task.
struct Owner {
    shared: Arc<Shared>,
}

/// Held by the provider and by its tasks.
struct Shared {
    request: TokenRequest,
    settings: Settings,
    credentials: Arc<dyn CredentialsSource>,
    transport: Arc<dyn Transport>,
    cache: Option<Arc<dyn TokenCache>>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    published: Published,
    engine: Mutex<Engine>,
    counters: Counters,
}

#[derive(Default)]
struct Engine {
    state: State,
    /// The flight that `state` knows by its generation.
    flight: Option<Flight>,
    /// The newest flight's task, and that of the one it superseded, which may
    /// still bring a token.
    tasks: [Option<AbortHandle>; 2],
    gate: CacheGate,
}

impl TokenProvider {
    /// A builder for a provider that gets tokens of this environment, with
    /// these credentials, through this transport.
    pub fn builder(
        environment: Environment,
        credentials: impl CredentialsSource + 'static,
        transport: impl Transport + 'static,
    ) -> TokenProviderBuilder {
        TokenProviderBuilder::new(environment, Arc::new(credentials), Arc::new(transport))
    }

    /// The current access token; fetched if there is none.
    ///
    /// Ready at once, without a wait, whenever a usable token is held.
    ///
    /// # Errors
    ///
    /// [`Error`] if no usable token is held and none could be fetched. Everyone
    /// who waited for the same fetch gets the same error. After a failure,
    /// calls fail at once until [`Error::retry_after`] has passed.
    ///
    /// # Cancellation
    ///
    /// Dropping the future takes nothing from other callers: the fetch goes on.
    pub async fn token(&self) -> Result<AccessToken, Error> {
        let shared = &self.handle.shared;
        if let Some(token) = shared.published.fresh(shared.now(), AccessToken::clone) {
            return Ok(token);
        }
        self.obtain(Ask::Usable).await
    }

    /// The current token as the value of an `Authorization` header, marked
    /// sensitive; fetched if there is none.
    ///
    /// # Errors
    ///
    /// As [`token`](Self::token).
    ///
    /// # Cancellation
    ///
    /// As [`token`](Self::token).
    pub async fn authorization(&self) -> Result<HeaderValue, Error> {
        let shared = &self.handle.shared;
        if let Some(value) = shared
            .published
            .fresh(shared.now(), AccessToken::authorization)
        {
            return Ok(value);
        }
        let token = self.obtain(Ask::Usable).await?;
        Ok(token.authorization())
    }

    /// The current token as a header value, if a usable one is held; never
    /// waits.
    ///
    /// Where it is called inside a tokio runtime, it starts a fetch if one is
    /// due, so that a later call finds a token.
    #[must_use]
    pub fn try_authorization(&self) -> Option<HeaderValue> {
        let shared = &self.handle.shared;
        if let Some(value) = shared
            .published
            .fresh(shared.now(), AccessToken::authorization)
        {
            return Some(value);
        }
        match self.step(Ask::Usable) {
            Step::Token(token) => Some(token.authorization()),
            Step::Wait(_) | Step::Fail(_) => None,
        }
    }

    /// Says that the API refused this very token (401), so that it is not
    /// served again, nor brought back by a cache.
    ///
    /// The next call of [`token`](Self::token) gets another. A rejection of a
    /// token that is no longer current changes nothing for the newer one, and
    /// at most one rejection in 30 s drops a token: an API that refuses every
    /// token does not cause a fetch each time.
    #[expect(
        clippy::must_use_candidate,
        reason = "it acts; the result is for the curious"
    )]
    pub fn reject(&self, token: &AccessToken) -> Rejection {
        let shared = &self.handle.shared;
        let now = shared.now();
        let mut engine = shared.engine();
        let rejection = engine.state.reject(token, now);
        if rejection == Rejection::Dropped {
            shared.published.set(None);
            shared.counters.rejections.add();
        }
        drop(engine);
        let outcome = match rejection {
            Rejection::Dropped => "dropped",
            Rejection::NotCurrent => "not current",
            Rejection::CoolingDown { .. } => "cooling down",
        };
        events::rejected(token, outcome);
        rejection
    }

    /// Fetches a new token from the server now, whatever is held, and returns
    /// it; joins a fetch that is under way.
    ///
    /// The held token stays in service until the new one is there, and after a
    /// failure. Not needed in normal use.
    ///
    /// # Errors
    ///
    /// As [`token`](Self::token); also while the provider holds back after a
    /// failure.
    ///
    /// # Cancellation
    ///
    /// As [`token`](Self::token).
    pub async fn refresh(&self) -> Result<AccessToken, Error> {
        self.obtain(Ask::Newer).await
    }

    /// What the provider holds and has done, for health endpoints.
    #[must_use]
    pub fn status(&self) -> Status {
        let shared = &self.handle.shared;
        let now = shared.now();
        let engine = shared.engine();
        let state = &engine.state;
        let held = state.held();
        let left = |until: u64| Duration::from_nanos(until.saturating_sub(now.monotonic));
        Status {
            token: held.map_or(TokenState::Absent, |held| {
                match held.deadlines.freshness(now) {
                    Freshness::Fresh => TokenState::Fresh,
                    Freshness::Due => TokenState::Due,
                    Freshness::Expired => TokenState::Expired,
                }
            }),
            fingerprint: held.map(|held| held.token.fingerprint()),
            refresh_at: held.map(|held| system_time(held.deadlines.refresh_at.wall)),
            unusable_at: held.map(|held| system_time(held.deadlines.unusable_at.wall)),
            is_fetching: state.flight().is_some(),
            held_back_for: state.held_back_until(now).map(left),
            last_error: state.last_error().cloned(),
            counts: shared.counters.read(),
        }
    }

    /// Where the tokens come from and what they are for.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        self.handle.shared.request.environment()
    }

    async fn obtain(&self, ask: Ask) -> Result<AccessToken, Error> {
        let shared = &self.handle.shared;
        for _ in 0..MAX_ROUNDS {
            let flight = match self.step(ask) {
                Step::Token(token) => return Ok(token),
                Step::Fail(error) => return Err(error),
                Step::Wait(flight) => flight,
            };
            let generation = flight.generation;
            match flight.landing(shared).await {
                Landing::Outcome(Err(error)) => return Err(error),
                Landing::Outcome(Ok(fetched)) => {
                    let is_new = ask == Ask::Usable || fetched.origin == Origin::Server;
                    if is_new && shared.still_good(&fetched) {
                        return Ok(fetched.token);
                    }
                }
                Landing::Lost => {}
                Landing::Stalled => shared.engine().state.superseded(generation),
            }
        }
        Err(Error::new(ErrorKind::Interrupted))
    }

    /// Decides once for a caller, and starts the fetch that was decided on.
    fn step(&self, ask: Ask) -> Step {
        let shared = &self.handle.shared;
        let now = shared.now();
        let mut engine = shared.engine();
        let (token, reason) = match engine.state.decide(now, ask) {
            Decision::Serve(token) => {
                shared.counters.served_due.add();
                return Step::Token(token);
            }
            Decision::ServeAndFetch(token, reason) => (Some(token), reason),
            Decision::Fetch(reason) => (None, reason),
            Decision::Fail(error) => return Step::Fail(error),
            Decision::Join => {
                return match &engine.flight {
                    Some(flight) => Step::Wait(flight.clone()),
                    None => Step::Fail(Error::new(ErrorKind::Interrupted)),
                };
            }
        };
        if token.is_some() {
            shared.counters.served_due.add();
        }
        let Ok(runtime) = Handle::try_current() else {
            return token.map_or_else(|| Step::Fail(Error::new(ErrorKind::Runtime)), Step::Token);
        };
        let (generation, attempts) = engine.state.started();
        let (task, flight) = flight::prepare(Fetch {
            shared: Arc::clone(shared),
            generation,
            attempts,
            reason,
            progress: flight::progress(now.monotonic),
        });
        engine.flight = Some(flight.clone());
        drop(engine);
        shared.counters.fetches.add();
        // Without the lock: a runtime that is shutting down drops the task at
        // once, and the task then reports back.
        let task = runtime.spawn(task.run()).abort_handle();
        shared.engine().own(task);
        token.map_or(Step::Wait(flight), Step::Token)
    }
}

/// What a caller gets to do.
enum Step {
    Token(AccessToken),
    Wait(Flight),
    Fail(Error),
}

impl Shared {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn engine(&self) -> MutexGuard<'_, Engine> {
        // Nothing of ours panics under the lock, and the state is whole
        // between any two statements.
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a flight may be silent before it is taken for dead: an attempt
    /// timeout, and an eighth of it for the report.
    fn patience(&self) -> Duration {
        let attempt = self.settings.attempt_timeout;
        attempt + attempt / 8
    }

    fn publish(&self, held: Held, origin: Origin) -> bool {
        let mut engine = self.engine();
        let is_current = engine.state.succeeded(held, origin);
        if is_current {
            self.published.set(engine.state.held());
            if origin == Origin::Cache
                && let Some(held) = engine.state.held()
            {
                events::token_loaded(&held.token);
            }
        }
        is_current
    }

    fn failed(&self, generation: u64, failure: Failure) -> Error {
        self.counters.failures.add();
        if matches!(failure.class, Class::Refused(_)) {
            self.counters.refusals.add();
        }
        let (now, draw) = (self.now(), self.entropy.draw());
        self.engine().state.failed(generation, failure, now, draw)
    }

    fn unchanged(&self) -> Option<Error> {
        let now = self.now();
        self.engine().state.unchanged(now)
    }

    fn finished(&self, generation: u64) {
        let mut engine = self.engine();
        engine.state.finished(generation);
        if engine
            .flight
            .as_ref()
            .is_some_and(|flight| flight.generation == generation)
        {
            engine.flight = None;
        }
    }

    fn take_rejected(&self) -> Vec<TokenHash> {
        self.engine().state.take_rejected()
    }

    fn has_usable_token(&self) -> bool {
        let now = self.now();
        let engine = self.engine();
        let held = engine.state.held();
        held.is_some_and(|held| held.deadlines.freshness(now) != Freshness::Expired)
    }

    /// Whether a token that was waited for can still be served: whoever waited
    /// may have been asleep for long.
    fn still_good(&self, fetched: &fetch::Fetched) -> bool {
        let now = self.now();
        fetched.deadlines.freshness(now) != Freshness::Expired
            && !self.engine().state.is_rejected(&fetched.token.hash())
    }

    fn cache_is_open(&self) -> bool {
        let now = self.now();
        self.engine().gate.is_open(now.monotonic)
    }

    fn cache_answered(&self, well: bool) {
        let now = self.now();
        let mut engine = self.engine();
        if well {
            engine.gate.succeeded();
        } else {
            engine.gate.failed(now.monotonic);
        }
    }
}

impl Engine {
    /// Keeps the handle of a new task; what it pushes out has been silent for
    /// two patiences and is given up.
    fn own(&mut self, task: AbortHandle) {
        self.tasks.swap(0, 1);
        let [newest, _] = &mut self.tasks;
        if let Some(given_up) = newest.replace(task) {
            given_up.abort();
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        for task in self.shared.engine().tasks.iter().flatten() {
            task.abort();
        }
    }
}

impl fmt::Debug for TokenProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenProvider")
            .field("environment", self.environment())
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}
