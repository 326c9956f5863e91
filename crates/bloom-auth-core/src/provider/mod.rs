//! The engine: one good token for all callers, for as few requests as can be.
//!
//! - [`timing`] fixes a token's deadlines; [`state`] decides what to do for a
//!   caller; [`failure`] and [`backoff`] say what follows from a fault. All of
//!   it is pure.
//! - [`fetch`] takes the steps of one fetch, with [`lease_poll`] to say whose
//!   turn it is where a cache is shared; [`flight`] shares its outcome
//!   among those who wait, [`limit`] keeps many fetches from being made at
//!   once.
//! - [`shared`] holds the lock. This module is the shell: it reads the clock,
//!   and starts fetches.

mod answer;
mod assertion;
mod backoff;
mod budget;
mod builder;
mod cache_gate;
mod events;
mod failure;
mod fetch;
mod flight;
mod lease_poll;
mod limit;
mod published;
mod settings;
mod shared;
#[cfg(test)]
#[cfg(feature = "test-util")]
mod simulation;
mod state;
mod status;
mod tasks;
mod timing;
mod tombstones;
mod warm;

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, atomic::AtomicU32},
    time::Duration,
};

use http::HeaderValue;
use tokio::runtime::Handle;

pub use budget::TokenBudget;
pub use builder::TokenProviderBuilder;
pub use limit::FetchLimit;
pub(crate) use published::Prepared;
pub use state::Rejection;
pub use status::{Counts, Status, TokenState};
pub use warm::KeepWarm;

use self::{
    fetch::Fetch,
    flight::{Flight, Landing},
    published::Glimpse,
    shared::Shared,
    state::{Ask, Decision, Origin},
    timing::Freshness,
};
use crate::{
    clock::{AnyClock, system_time},
    credentials::CredentialsSource,
    environment::Environment,
    error::{Error, ErrorKind},
    token::AccessToken,
    transport::Transport,
};

/// A caller goes round at most this often: each time, a fetch was lost with
/// its runtime, or brought a token that was over or rejected meanwhile.
const MAX_ROUNDS: usize = 8;

/// How long a caller waits for a credentials source while the credentials that
/// it last gave are refused.
const RECHECK_PATIENCE: Duration = Duration::from_millis(100);

/// Always has a valid access token, at the cost of some tens of nanoseconds.
///
/// It fetches a token when one is first asked for, serves it to every caller
/// until shortly before it expires, and replaces it in the background before
/// that. Clones share everything. Nothing is spawned by building it; a fetch
/// runs as a task of the caller's tokio runtime (which needs its time driver),
/// and the last clone to be dropped aborts it.
///
/// While the token is fresh, no call allocates. A fetch allocates 29 times,
/// beside what the transport and a cache do.
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
    shared: Arc<Shared>,
    owner: Arc<Owner>,
}

/// Held by every clone of the provider, and by nothing else: when it is
/// dropped, so is every task.
struct Owner(Arc<Shared>);

impl TokenProvider {
    fn new(shared: Arc<Shared>) -> Self {
        Self::of(Arc::new(Owner(shared)))
    }

    fn of(owner: Arc<Owner>) -> Self {
        let shared = Arc::clone(&owner.0);
        Self { shared, owner }
    }

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
    #[inline]
    pub async fn token(&self) -> Result<AccessToken, Error> {
        if let Some(token) = self.fresh_token() {
            return Ok(token);
        }
        self.obtain_boxed(Ask::Usable).await
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
    #[inline]
    pub async fn authorization(&self) -> Result<HeaderValue, Error> {
        if let Some(value) = self.shared.published.fresh(Prepared::authorization) {
            return Ok(value);
        }
        let token = self.obtain_boxed(Ask::Usable).await?;
        Ok(token.authorization())
    }

    /// The current token, if it is fresh: neither due for a refresh nor expired.
    ///
    /// It only reads: it never waits, starts nothing and needs no runtime. For
    /// those who drive [`token`](Self::token) in a runtime of their own, and
    /// need not go there while this has one.
    #[must_use]
    #[inline]
    pub fn fresh_token(&self) -> Option<AccessToken> {
        self.shared.published.fresh(Prepared::token)
    }

    /// The current token as a header value, if a usable one is held; never
    /// waits.
    ///
    /// Where it is called inside a tokio runtime, it starts a fetch if one is
    /// due, so that a later call finds a token.
    #[must_use]
    #[inline]
    pub fn try_authorization(&self) -> Option<HeaderValue> {
        let fresh = self.shared.published.fresh(Prepared::authorization);
        if fresh.is_some() {
            return fresh;
        }
        self.try_authorization_slowly()
    }

    #[cold]
    fn try_authorization_slowly(&self) -> Option<HeaderValue> {
        match self.step(Ask::Usable) {
            Step::Token(token) => {
                self.shared.counters.served_due.add();
                Some(token.authorization())
            }
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
        let shared = &self.shared;
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
        self.obtain_boxed(Ask::Newer).await
    }

    /// What the provider holds and has done, for health endpoints.
    #[must_use]
    pub fn status(&self) -> Status {
        let shared = &self.shared;
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
        self.shared.request.environment()
    }

    /// What a caller with a lock can see of the token.
    #[inline]
    pub(crate) fn glimpse<T>(
        &self,
        clock: &AnyClock,
        monotonic: u64,
        take: impl FnOnce(&Prepared) -> T,
    ) -> Option<Glimpse<T>> {
        self.shared.published.glimpse(clock, monotonic, take)
    }

    /// Whether anybody would notice if this handle were dropped: another one
    /// exists, or a fetch is under way (or in a runtime that nobody drives, for
    /// as long as that exists).
    pub(crate) fn is_in_use(&self) -> bool {
        // In this order: whoever starts a fetch has a handle meanwhile.
        Arc::strong_count(&self.owner) > 1 || !self.shared.engine().tasks.is_empty()
    }

    /// What a call does that finds no fresh token. On the heap, and made when it
    /// is needed, so that calls which find one are not made to carry it.
    #[cold]
    fn obtain_boxed(&self, ask: Ask) -> BoxFuture<'_, Result<AccessToken, Error>> {
        Box::pin(self.obtain(ask))
    }

    async fn obtain(&self, ask: Ask) -> Result<AccessToken, Error> {
        let shared = &self.shared;
        for _ in 0..MAX_ROUNDS {
            let flight = match self.step(ask) {
                Step::Token(token) => {
                    shared.counters.served_due.add();
                    return Ok(token);
                }
                Step::Fail(error) => return Err(error),
                // Waiting needs the timer of a runtime, also for a fetch that
                // another one drives.
                Step::Wait(_) if Handle::try_current().is_err() => {
                    return Err(Error::new(ErrorKind::Runtime));
                }
                Step::Wait(flight) => flight,
            };
            let generation = flight.generation;
            let landing = if shared.refusal().is_none() {
                flight.landing(shared).await
            } else {
                // The source is being asked whether the credentials have
                // changed. That is worth a moment, and no more.
                let landing = flight.landing(shared);
                match tokio::time::timeout(RECHECK_PATIENCE, landing).await {
                    Ok(landing) => landing,
                    Err(_) => match shared.refusal() {
                        Some(refusal) => return Err(refusal),
                        // They have: now the server is being asked.
                        None => continue,
                    },
                }
            };
            match landing {
                Landing::Outcome(Err(error)) => return Err(error),
                Landing::Outcome(Ok(fetched)) => {
                    let is_new = ask == Ask::Usable || fetched.origin == Origin::Server;
                    if is_new && shared.still_good(&fetched) {
                        return Ok(fetched.token);
                    }
                }
                Landing::Lost => {}
                Landing::Stalled => shared.engine().state.let_go(generation),
            }
        }
        Err(Error::new(ErrorKind::Interrupted))
    }

    /// Decides once for a caller, and starts the fetch that was decided on.
    fn step(&self, ask: Ask) -> Step {
        let shared = &self.shared;
        let now = shared.now();
        let mut engine = shared.engine();
        // Not only those who wait find out that nobody drives a flight: while
        // a token is due, nobody waits.
        if let Some(flight) = &engine.flight
            && flight.patience_left(now, shared.patience()).is_zero()
        {
            let generation = flight.generation;
            engine.state.let_go(generation);
        }
        let (token, reason) = match engine.state.decide(now, ask) {
            Decision::Serve(token) => return Step::Token(token),
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
            refusals_elsewhere: AtomicU32::new(0),
        });
        engine.flight = Some(flight.clone());
        // The newest task has a place before it can be over.
        let given_up = engine.tasks.reserve(generation);
        drop(engine);
        if let Some(given_up) = given_up {
            given_up.abort();
        }
        shared.counters.fetches.add();
        // Without the lock: a runtime that is shutting down drops the task at
        // once, and the task then reports back.
        let task = runtime.spawn(task.run()).abort_handle();
        shared.own(generation, task);
        token.map_or(Step::Wait(flight), Step::Token)
    }
}

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a caller gets to do.
enum Step {
    Token(AccessToken),
    Wait(Flight),
    Fail(Error),
}

impl Drop for Owner {
    fn drop(&mut self) {
        for task in self.0.take_tasks() {
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

#[cfg(test)]
mod tests;
