//! How many token requests of many providers may be under way at once.
//!
//! A semaphore would do, were it not for runtimes that stand still: a place
//! that such a one has, or is given, would be lost for everyone. So a place is
//! given for a time, after which whoever waits takes it away.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use crate::error::ConfigurationError;

/// How many token requests may be under way at once, for all providers that
/// were built with clones of it.
///
/// A process that keeps tokens for many tenants asks for all of them when it
/// starts. With a limit those requests do not arrive together: the first ones
/// are sent, and the others wait for a place, in the order in which they came.
/// Providers have no limit of their own, and different limits have nothing to
/// do with each other: one for each authorization server is a good choice.
///
/// What is limited is token requests alone. A token that is held or that a
/// cache has is served without a place, and so is a pause before a retry spent
/// without one.
///
/// # How long it is waited for
///
/// Up to the [fetch timeout](crate::TokenProviderBuilder::fetch_timeout), which
/// then starts anew for the token requests. Without a place by then, the fetch
/// fails with an error of kind [`Timeout`](crate::ErrorKind::Timeout), with
/// nothing sent, and is over like any other that failed: a usable token is
/// served on, and the next fetch waits for its time.
///
/// A request gives its place back when it is answered, at the latest at its
/// [attempt timeout](crate::TokenProviderBuilder::attempt_timeout), and when
/// its provider or its runtime is dropped. From a runtime that stands still,
/// since nobody drives it, the place is taken a little later than that: such a
/// request is the one that may be under way beyond the limit.
///
/// # Example
///
/// ```
/// use bloom_auth_core::{
///     AuthVersion, ClientCredentials, ClientId, ClientSecret, Environment, FetchLimit,
///     TokenProvider, TokenProviders,
/// };
/// # #[derive(Clone, Debug)]
/// # struct MyTransport;
/// #
/// # #[async_trait::async_trait]
/// # impl bloom_auth_core::Transport for MyTransport {
/// #     async fn send(
/// #         &self,
/// #         _: http::Request<bloom_auth_core::RequestBody>,
/// #     ) -> Result<
/// #         http::Response<bloom_auth_core::ResponseBody>,
/// #         bloom_auth_core::TransportError,
/// #     > {
/// #         std::future::pending().await
/// #     }
/// # }
/// # let transport = MyTransport;
///
/// let limit = FetchLimit::new(8)?;
/// let providers = TokenProviders::builder(move |tenant: &String| {
///     let secret = ClientSecret::new(format!("{tenant}'s, from a vault"))?;
///     let credentials = ClientCredentials::new(ClientId::new(tenant)?, secret);
///     let environment = Environment::sandbox(AuthVersion::V1);
///     TokenProvider::builder(environment, credentials, transport.clone())
///         .fetch_limit(limit.clone())
///         .build()
/// })
/// .build()?;
/// # Ok::<(), bloom_auth_core::ConfigurationError>(())
/// ```
#[derive(Clone)]
pub struct FetchLimit(Arc<Mutex<Queue>>);

/// How long a place is kept for somebody whose turn it is. Who comes later is
/// the next one in the queue.
const CALL: Duration = Duration::from_secs(1);

/// Those who wait look about so often within that time, all together.
const LOOKS: usize = 64;

impl FetchLimit {
    /// A limit of so many token requests at once.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`] if it is 0: no token could ever be fetched.
    pub fn new(max: usize) -> Result<Self, ConfigurationError> {
        if max == 0 {
            return Err(ConfigurationError::new(
                "fetch limit",
                "is 0",
                "allow at least one token request at a time",
            ));
        }
        Ok(Self(Arc::new(Mutex::new(Queue::new(max)))))
    }

    /// Waits for a place to keep for so long, behind those who wait already.
    ///
    /// Dropping the future gives the turn to the next one.
    pub(super) async fn place(&self, time: Duration) -> Place {
        let turn = Arc::new(Notify::new());
        let place = Place {
            limit: self.clone(),
            ticket: self.with(Queue::ticket),
        };
        loop {
            let now = Instant::now();
            let look_again_at = self.with(|queue| {
                queue.take_back(now);
                queue.ask(place.ticket, time, &turn, now)
            });
            let Some(look_again_at) = look_again_at else {
                return place;
            };
            // Called, or somebody's time is over: either way, look again.
            let _ = timeout_at(look_again_at, turn.notified()).await;
        }
    }

    fn with<T>(&self, change: impl FnOnce(&mut Queue) -> T) -> T {
        // Nothing panics under the lock, and the queue is whole at any time.
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut queue);
        let called = std::mem::take(&mut queue.called);
        drop(queue);
        for turn in called {
            turn.notify_one();
        }
        result
    }
}

impl fmt::Debug for FetchLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (taken, max) = self.with(|queue| (queue.taken.len(), queue.max));
        write!(f, "FetchLimit({taken} of {max})")
    }
}

/// The right to have a token request under way; free again when dropped.
pub(super) struct Place {
    limit: FetchLimit,
    ticket: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let now = Instant::now();
        self.limit.with(|queue| queue.leave(self.ticket, now));
    }
}

/// Who has a place and who waits for one, by tickets, of which the lowest is
/// the first.
struct Queue {
    max: usize,
    last_ticket: u64,
    /// With the moment at which the place may be taken away.
    taken: BTreeMap<u64, Instant>,
    /// The same, by that moment.
    overdue: BTreeSet<(Instant, u64)>,
    waiting: BTreeMap<u64, Arc<Notify>>,
    /// Those who are to be told that they have a place: without the lock.
    called: Vec<Arc<Notify>>,
}

impl Queue {
    fn new(max: usize) -> Self {
        Self {
            max,
            last_ticket: 0,
            taken: BTreeMap::new(),
            overdue: BTreeSet::new(),
            waiting: BTreeMap::new(),
            called: Vec::new(),
        }
    }

    fn ticket(&mut self) -> u64 {
        self.last_ticket += 1;
        self.last_ticket
    }

    /// `None` if this ticket has a place, which is then its own for so long;
    /// else it waits, and the moment at which a place may be overdue.
    fn ask(
        &mut self,
        ticket: u64,
        time: Duration,
        turn: &Arc<Notify>,
        now: Instant,
    ) -> Option<Instant> {
        if !self.taken.contains_key(&ticket) {
            self.waiting.insert(ticket, Arc::clone(turn));
            self.hand_out(now);
        }
        if self.taken.contains_key(&ticket) {
            self.give(ticket, now + time);
            return None;
        }
        // Whoever is called meanwhile may stand still, and then its place is
        // overdue before any that is taken now. One of those who wait finds that
        // out; they look as often together, however many they are.
        let many = u32::try_from(self.waiting.len() / LOOKS).unwrap_or(u32::MAX);
        let next = now + CALL + CALL.saturating_mul(many);
        Some(self.overdue.first().map_or(next, |(at, _)| next.min(*at)))
    }

    fn leave(&mut self, ticket: u64, now: Instant) {
        self.waiting.remove(&ticket);
        self.take(ticket);
        self.hand_out(now);
    }

    /// Takes back what is overdue.
    fn take_back(&mut self, now: Instant) {
        while let Some((at, ticket)) = self.overdue.first().copied()
            && at <= now
        {
            self.take(ticket);
        }
        self.hand_out(now);
    }

    fn hand_out(&mut self, now: Instant) {
        while self.taken.len() < self.max
            && let Some((ticket, turn)) = self.waiting.pop_first()
        {
            self.give(ticket, now + CALL);
            self.called.push(turn);
        }
    }

    fn give(&mut self, ticket: u64, until: Instant) {
        self.take(ticket);
        self.taken.insert(ticket, until);
        self.overdue.insert((until, ticket));
    }

    fn take(&mut self, ticket: u64) {
        if let Some(until) = self.taken.remove(&ticket) {
            self.overdue.remove(&(until, ticket));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn k14_a_limit_that_cannot_work_is_refused() {
        let error = FetchLimit::new(0).unwrap_err();
        assert_eq!(error.setting(), "fetch limit");
        for max in [1, usize::MAX] {
            let limit = FetchLimit::new(max).unwrap();
            assert_eq!(format!("{limit:?}"), format!("FetchLimit(0 of {max})"));
        }
    }

    #[derive(Clone, Debug)]
    enum Event {
        Come,
        /// One of those who came looks whether it is its turn.
        Look(prop::sample::Index),
        Leave(prop::sample::Index),
        Pass(u64),
    }

    fn events() -> impl Strategy<Value = Event> {
        prop_oneof![
            2 => Just(Event::Come),
            3 => any::<prop::sample::Index>().prop_map(Event::Look),
            2 => any::<prop::sample::Index>().prop_map(Event::Leave),
            1 => (0..5_000_u64).prop_map(Event::Pass),
        ]
    }

    proptest! {
        #[test]
        fn f9_places_are_few_and_none_is_free_while_somebody_waits(
            max in 1..4_usize,
            events in prop::collection::vec(events(), 1..100),
        ) {
            let time = Duration::from_secs(3);
            let mut queue = Queue::new(max);
            let mut now = Instant::now();
            // Who came and has not left, and until when a place is kept for it.
            let mut here: Vec<(u64, Option<Instant>)> = Vec::new();
            let turn = Arc::new(Notify::new());
            for event in events {
                match event {
                    Event::Come => here.push((queue.ticket(), None)),
                    Event::Pass(millis) => now += Duration::from_millis(millis),
                    Event::Look(_) | Event::Leave(_) if here.is_empty() => {}
                    Event::Leave(index) => {
                        let (ticket, _) = here.remove(index.index(here.len()));
                        queue.leave(ticket, now);
                    }
                    Event::Look(index) => {
                        let index = index.index(here.len());
                        queue.take_back(now);
                        let wait = queue.ask(here[index].0, time, &turn, now);
                        // There is always a moment to look again.
                        prop_assert!(wait.is_none_or(|at| at > now));
                        here[index].1 = wait.is_none().then_some(now + time);
                    }
                }
                queue.called.clear();
                prop_assert!(queue.taken.len() <= max);
                prop_assert!(queue.waiting.is_empty() || queue.taken.len() == max);
                let by_time: BTreeSet<_> = queue.taken.iter().map(|(it, at)| (*at, *it)).collect();
                prop_assert_eq!(&by_time, &queue.overdue);
                // Nothing is kept of those who left, and nothing taken too soon
                // from those who are here.
                let known = queue.taken.keys().chain(queue.waiting.keys());
                for ticket in known {
                    prop_assert!(here.iter().any(|(it, _)| it == ticket));
                }
                for (ticket, until) in &here {
                    if until.is_some_and(|until| until > now) {
                        prop_assert!(queue.taken.contains_key(ticket));
                    }
                }
            }
        }
    }
}
