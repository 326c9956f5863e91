//! The steps of a fetch: credentials, cache, lease, token request, store.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::Poll,
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{
    answer, events,
    failure::{Class, Failure},
    flight::Progress,
    lease_poll::{LeasePoll, Turn},
    limit::Place,
    shared::Shared,
    state::{Held, Origin, Reason},
    timing::{Deadlines, Freshness},
};
use crate::{
    cache::{CacheAccess, CacheError, CacheRecord, Lease, LeaseGuard, TokenCache},
    client::ClientCredentials,
    clock::{Timestamp, nanos},
    error::{Error, ErrorKind, chain},
    protocol::{ExpiresIn, TokenResponse, response::wrong_content_type},
    token::AccessToken,
};

/// What a cache may take when a usable token is at hand, and when none is. To
/// store, it always has the longer time: nobody who has the token waits for
/// that, and those who share the cache are waiting for it.
const CACHE_BUDGET_WARM: Duration = Duration::from_millis(100);
const CACHE_BUDGET_COLD: Duration = Duration::from_secs(1);
const STORE: &str = "store";

/// How often a token request that is under way is looked at, in case that the
/// machine was suspended meanwhile.
const SUSPEND_INTERVAL: Duration = Duration::from_secs(1);

/// Refusals of the same credentials that are further apart than this, and twice
/// the time that the first was in force, have nothing to do with each other.
const REFUSALS_IN_A_ROW: Duration = Duration::from_secs(60);

/// A fetch that got a token.
#[derive(Clone, Debug)]
pub(crate) struct Fetched {
    pub(crate) token: AccessToken,
    pub(crate) deadlines: Deadlines,
    pub(crate) origin: Origin,
}

/// A fetch that got none.
pub(crate) enum End {
    Failed(Failure),
    /// The refused credentials are still the ones there are.
    Unchanged,
    /// Somebody else who shares the cache is fetching, and there is no hurry.
    Elsewhere,
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// One fetch, in one task.
pub(crate) struct Fetch {
    pub(crate) shared: Arc<Shared>,
    pub(crate) generation: u64,
    pub(crate) attempts: u32,
    pub(crate) reason: Reason,
    pub(crate) progress: Progress,
    /// How many refusals in a row the cache knows of.
    pub(crate) refusals_elsewhere: AtomicU32,
}

/// How the search for a token among those who share the cache ended.
enum Search {
    Found(Fetched),
    /// Fetch, and keep the lease until the token is stored.
    Fetch(Option<LeaseGuard>),
    Elsewhere,
    /// Somebody who shares the cache was refused.
    Refused(Failure),
}

impl Fetch {
    pub(crate) async fn run(&self) -> Result<Fetched, End> {
        self.still_current()?;
        let credentials = match (self.credentials().await, self.reason) {
            (Ok(credentials), Reason::Recheck(refused)) if credentials.tag() == refused => {
                return Err(End::Unchanged);
            }
            // A source that fails meanwhile does not lift the refusal.
            (Err(_), Reason::Recheck(_)) => return Err(End::Unchanged),
            (Ok(credentials), Reason::Recheck(_)) => {
                // The source may have taken so long that others were refused
                // since.
                self.still_current()?;
                self.shared.credentials_changed();
                credentials
            }
            (credentials, _) => credentials?,
        };
        let refused = match self.run_with(&credentials, self.attempts).await {
            Err(End::Failed(failure)) if matches!(failure.class, Class::Refused(_)) => failure,
            end => return end,
        };
        // The secret may have been rotated between our asking for it and the
        // server's looking at it.
        match self.credentials().await {
            Ok(now) if now.tag() != credentials.tag() => self.run_with(&now, 1).await,
            _ => Err(refused.into()),
        }
    }

    /// A flight that was superseded, because nobody drove it for long, takes no
    /// further step when it wakes up: another one does.
    fn still_current(&self) -> Result<(), End> {
        if self.shared.is_current(self.generation) {
            return Ok(());
        }
        Err(End::Elsewhere)
    }

    async fn credentials(&self) -> Result<ClientCredentials, Failure> {
        self.mark();
        let limit = self.shared.settings.attempt_timeout;
        // A source that panics is one that fails, and lifts no refusal either.
        let call = shielded(async { self.shared.credentials.credentials().await });
        let error = match timeout(limit, call).await {
            Ok(Some(Ok(credentials))) => return Ok(credentials),
            Ok(Some(Err(error))) => Error::with_source(ErrorKind::Credentials, error),
            Ok(None) => Error::new(ErrorKind::Internal),
            Err(_) => {
                let late = "the credentials source did not answer in time";
                Error::with_source(ErrorKind::Credentials, late)
            }
        };
        Err(Failure::later(error))
    }

    async fn run_with(
        &self,
        credentials: &ClientCredentials,
        attempts: u32,
    ) -> Result<Fetched, End> {
        let access = CacheAccess::new(&self.shared.request, credentials);
        self.tell_rejected(&access).await;
        let lease = match self.search(&access).await {
            Search::Found(fetched) => return Ok(fetched),
            Search::Elsewhere => return Err(End::Elsewhere),
            Search::Refused(failure) => return Err(failure.into()),
            Search::Fetch(lease) => lease,
        };
        let answer = self.ask_server(credentials, attempts).await;
        // Stored before the lease is free, so that whoever gets it next finds
        // the token; and before anyone who waits goes on, so that a process
        // which ends then has kept it.
        match &answer {
            // One that was rejected meanwhile is for nobody.
            Ok((fetched, record)) if self.shared.still_good(fetched) => {
                self.store(&access, record).await;
            }
            Err(End::Failed(failure)) => self.store_refusal(&access, failure).await,
            _ => {}
        }
        shielded(async { drop(lease) }).await;
        answer.map(|(fetched, _)| fetched)
    }

    /// Looks for a token that somebody else has fetched, or gets the right to
    /// fetch one.
    async fn search(&self, access: &CacheAccess) -> Search {
        if self.shared.cache.is_none() || self.reason == Reason::Forced {
            return Search::Fetch(None);
        }
        if let Some(end) = self.look(access).await {
            return end;
        }
        let poll = LeasePoll::new(self.reason, self.shared.entropy.draw());
        let began = Instant::now();
        loop {
            let lease = match self.with_cache("lease", |cache| cache.lease(access)).await {
                Some(Lease::Held) => None,
                Some(Lease::Granted(lease)) => Some(lease),
                Some(Lease::NotNeeded) | None => return Search::Fetch(None),
            };
            if lease.is_none() {
                self.pause(poll.pause(self.shared.entropy.draw())).await;
            }
            // With the lease too: its last holder may just have stored.
            if let Some(end) = self.look(access).await {
                return end;
            }
            let is_running_out = self.shared.is_running_out();
            match poll.turn(lease.is_some(), nanos(began.elapsed()), is_running_out) {
                Turn::Fetch => return Search::Fetch(lease),
                Turn::Again => {}
                Turn::Elsewhere => return Search::Elsewhere,
            }
        }
    }

    /// What the cache has for us: a token, or a refusal.
    async fn look(&self, access: &CacheAccess) -> Option<Search> {
        if let Some(fetched) = self.load(access).await {
            return Some(Search::Found(fetched));
        }
        let failure = self.load_refusal(access).await?;
        Some(Search::Refused(failure))
    }

    /// A token from the cache that is better than what is held.
    async fn load(&self, access: &CacheAccess) -> Option<Fetched> {
        let record = self
            .with_cache("load", |cache| cache.load(access))
            .await??;
        let (now, draw) = (self.shared.now(), self.shared.entropy.draw());
        let timing = self.shared.settings.timing();
        let (lifetime, sent_at) = (record.lifetime_nanos(), record.sent_at_nanos());
        let Some(deadlines) = Deadlines::of_record(&timing, lifetime, sent_at, now, draw) else {
            events::record_over(record.token());
            return None;
        };
        // What is held is no worse. The held token itself is not taken again
        // for any reason: were the wall clock set back, it would live longer.
        let is_due = self.reason == Reason::Due && deadlines.freshness(now) == Freshness::Due;
        if is_due || self.shared.holds(record.token()) {
            return None;
        }
        let fetched = Fetched {
            token: record.token().clone(),
            deadlines,
            origin: Origin::Cache,
        };
        self.publish(&fetched).then(|| {
            self.shared.counters.cache_hits.add();
            fetched
        })
    }

    /// What somebody else was told about these credentials, if it is in force.
    async fn load_refusal(&self, access: &CacheAccess) -> Option<Failure> {
        let refusal = self
            .with_cache("load", |cache| cache.load_refusal(access))
            .await??;
        let now = self.shared.now().system_time();
        let left = refusal.left(now);
        // One that is over still tells how long the next one is to last, unless
        // it is long past.
        let age = now.duration_since(refusal.refused_at()).unwrap_or_default();
        let apart = refusal.wait().saturating_mul(2);
        if age < apart.saturating_add(REFUSALS_IN_A_ROW) {
            let refusals = refusal.refusals();
            self.refusals_elsewhere.store(refusals, Ordering::Relaxed);
        }
        (!left.is_zero()).then(|| Failure::elsewhere(&refusal, access.credential_tag(), left))
    }

    async fn store_refusal(&self, access: &CacheAccess, failure: &Failure) {
        if let Some(refusal) = self.shared.refusal_of(failure) {
            self.with_cache(STORE, |cache| cache.store_refusal(access, &refusal))
                .await;
        }
    }

    async fn store(&self, access: &CacheAccess, record: &CacheRecord) {
        self.with_cache(STORE, |cache| cache.store(access, record))
            .await;
    }

    /// Tells the cache of rejected tokens, so that others do not meet them.
    async fn tell_rejected(&self, access: &CacheAccess) {
        for hash in self.shared.untold_rejections() {
            let removed = self.with_cache("remove", |cache| cache.remove(access, &hash));
            if removed.await.is_none() {
                // It is left alone for a while now, and told later.
                return;
            }
            self.shared.rejection_told(&hash);
        }
    }

    /// Runs a call of the cache within its budget; `None` if there is no
    /// cache, it is being left alone, or it failed.
    async fn with_cache<'a, T, F>(
        &'a self,
        operation: &'static str,
        call: impl FnOnce(&'a dyn TokenCache) -> F,
    ) -> Option<T>
    where
        F: Future<Output = Result<T, CacheError>>,
    {
        let cache = self.shared.cache.as_deref()?;
        if !self.shared.cache_is_open() {
            return None;
        }
        let budget = if operation != STORE && self.shared.has_usable_token() {
            CACHE_BUDGET_WARM
        } else {
            CACHE_BUDGET_COLD
        };
        self.mark_for(nanos(budget));
        let result = timeout(budget, shielded(async { call(cache).await })).await;
        self.mark();
        let (value, error) = match result {
            Ok(Some(Ok(value))) => (Some(value), None),
            Ok(Some(Err(error))) => (None, Some(chain(&error))),
            Ok(None) => (None, Some("it panicked".to_owned())),
            Err(_) => (None, Some("no answer in time".to_owned())),
        };
        if let Some(error) = error {
            self.shared.counters.cache_errors.add();
            events::cache_failed(operation, &error);
        }
        self.shared.cache_answered(value.is_some());
        value
    }

    /// Asks the server, up to the given number of times, and publishes what it
    /// gives.
    async fn ask_server(
        &self,
        credentials: &ClientCredentials,
        attempts: u32,
    ) -> Result<(Fetched, CacheRecord), End> {
        let limit = self.shared.settings.fetch_timeout;
        let mut place = self.place(Instant::now() + limit).await?;
        let deadline = Instant::now() + limit;
        let mut attempt = 1;
        loop {
            self.still_current()?;
            let began = self.shared.now();
            let failure = match self.attempt(credentials, attempt, deadline).await {
                Ok(token) => return Ok(token),
                Err(failure) => Failure {
                    took: self.shared.now().since(began),
                    ..failure
                },
            };
            // Others may ask meanwhile.
            drop(place);
            events::attempt_failed(self.reason, attempt, &failure);
            let draw = self.shared.entropy.draw();
            let left = nanos(deadline.saturating_duration_since(Instant::now()));
            let Some(pause) = failure.pause_after(attempt, attempts, left, draw) else {
                return Err(failure.into());
            };
            self.pause(pause).await;
            // Without a place in time, the attempt that was made tells more.
            let Ok(next) = self.place(deadline).await else {
                return Err(failure.into());
            };
            place = next;
            attempt += 1;
            self.shared.counters.retries.add();
        }
    }

    /// Waits for a place under the limit, if there is one.
    async fn place(&self, deadline: Instant) -> Result<Option<Place>, Failure> {
        let Some(limit) = &self.shared.limit else {
            return Ok(None);
        };
        let patience = deadline.saturating_duration_since(Instant::now());
        self.mark_for(nanos(patience));
        match timeout_at(deadline, limit.place(self.shared.patience())).await {
            Ok(place) => Ok(Some(place)),
            Err(_) => {
                let full = "it was not asked: the fetch limit was reached all the time";
                let error = Error::with_source(ErrorKind::Timeout, full);
                Err(Failure::later(error))
            }
        }
    }

    async fn attempt(
        &self,
        credentials: &ClientCredentials,
        attempt: u32,
        deadline: Instant,
    ) -> Result<(Fetched, CacheRecord), Failure> {
        self.mark();
        let shared = &self.shared;
        let deadline = deadline.min(Instant::now() + shared.settings.attempt_timeout);
        let presented = self.presented(credentials, deadline).await?;
        if let Some(budget) = &shared.budget {
            budget
                .take(shared.now().monotonic)
                .map_err(Failure::over_budget)?;
        }
        let request = shared.request.encode(&presented);
        let sent = shared.now();
        shared.counters.token_requests.add();
        let response = match self.until(deadline, shared.transport.send(request)).await {
            Some(Ok(response)) => response,
            Some(Err(error)) => return Err(Failure::of_transport(error)),
            None => return Err(Failure::timeout()),
        };
        self.mark();
        let received = shared.now();
        let tag = credentials.tag();
        let decoded = answer::read(&response, &presented, tag, &shared.settings, received)
            .map_err(|failure| Failure {
                refusals_elsewhere: self.refusals_elsewhere.load(Ordering::Relaxed),
                ..failure
            })?;
        let accepted = self.accept(&decoded, attempt, sent, received);
        if let Some(content_type) = wrong_content_type(response.headers()) {
            events::content_type_wrong(&content_type);
        }
        accepted
    }

    /// Waits for a call up to this deadline, which also passes while the machine
    /// is suspended; tokio's timers stand still then.
    pub(super) async fn until<T>(
        &self,
        deadline: Instant,
        call: impl Future<Output = T>,
    ) -> Option<T> {
        let patience = deadline.saturating_duration_since(Instant::now());
        let start = self.shared.now();
        let mut call = pin!(call);
        let began = Instant::now();
        loop {
            // Less often the longer it takes: a timeout may be long.
            let interval = SUSPEND_INTERVAL.max(began.elapsed() / 8);
            let look_at = deadline.min(Instant::now() + interval);
            if let Ok(value) = timeout_at(look_at, call.as_mut()).await {
                return Some(value);
            }
            let passed = Duration::from_nanos(self.shared.now().since(start));
            if look_at == deadline || passed >= patience {
                return None;
            }
        }
    }

    fn accept(
        &self,
        response: &TokenResponse,
        attempt: u32,
        sent: Timestamp,
        received: Timestamp,
    ) -> Result<(Fetched, CacheRecord), Failure> {
        let shared = &self.shared;
        let lifetime = answer::lifetime(response, &shared.settings);
        let draw = shared.entropy.draw();
        let deadlines = answer::deadlines(lifetime, &shared.settings, sent, received, draw)?;
        let expires_at = deadlines.expires_at.wall;
        let scopes = response.scopes().cloned();
        let token = AccessToken::new(response.bearer().clone(), expires_at, scopes);
        let record = CacheRecord::of(token.clone(), sent.wall, lifetime);
        let fetched = Fetched {
            token,
            deadlines,
            origin: Origin::Server,
        };
        self.publish(&fetched);
        shared.counters.tokens_received.add();
        self.tell_received(response, attempt, &fetched.token, lifetime);
        Ok((fetched, record))
    }

    /// When the token is in service: a subscriber that panics does not cost it.
    fn tell_received(
        &self,
        response: &TokenResponse,
        attempt: u32,
        token: &AccessToken,
        lifetime: u64,
    ) {
        let shared = &self.shared;
        if response.expires_in() == ExpiresIn::Unknown {
            events::lifetime_unknown(shared.settings.default_lifetime);
        }
        if let Some(granted) = token.scopes() {
            let missing = shared.request.scopes().without(granted);
            if !missing.is_empty() {
                events::scopes_missing(&missing);
            }
        }
        events::token_received(self.reason, attempt, token, lifetime);
    }

    fn publish(&self, fetched: &Fetched) -> bool {
        let held = Held {
            token: fetched.token.clone(),
            deadlines: fetched.deadlines,
            generation: self.generation,
        };
        self.shared.publish(held, fetched.origin)
    }

    /// Waits between two steps. Those who wait for the flight do not take it
    /// for dead meanwhile, however short an attempt may be.
    async fn pause(&self, nanos: u64) {
        self.mark_for(nanos);
        sleep(Duration::from_nanos(nanos)).await;
    }

    /// Tells those who wait that this flight is alive.
    pub(super) fn mark(&self) {
        self.mark_for(0);
    }

    /// The same, and that its next sign may be this much later than usual.
    fn mark_for(&self, nanos: u64) {
        let now = self.shared.now().monotonic;
        self.progress.mark(now.saturating_add(nanos));
    }
}

/// Runs foreign code that may have bugs; `None` if it panics.
pub(super) async fn shielded<T>(call: impl Future<Output = T>) -> Option<T> {
    let mut call = pin!(call);
    poll_fn(|context| {
        // Whatever state the panic leaves behind is the foreign code's own.
        let poll = AssertUnwindSafe(|| call.as_mut().poll(context));
        match catch_unwind(poll) {
            Ok(poll) => poll.map(Some),
            Err(_) => Poll::Ready(None),
        }
    })
    .await
}
