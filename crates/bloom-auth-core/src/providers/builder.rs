//! Builds the providers' manager, and refuses settings that cannot work.

use std::{
    fmt,
    hash::{Hash, RandomState},
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use super::{Factory, Inner, TokenProviders, eviction::Limits, shard::Shard};
use crate::{
    clock::{AnyClock, Clock, nanos},
    error::ConfigurationError,
};

const MAX_PROVIDERS: usize = 10_000;
const IDLE_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Builds [`TokenProviders`]. Every setting has a default; the factory is not
/// called, and nothing is spawned.
#[must_use]
pub struct TokenProvidersBuilder<K> {
    factory: Box<Factory<K>>,
    max_providers: usize,
    idle_after: Duration,
    clock: AnyClock,
}

impl<K: Eq + Hash + Clone + Send + Sync + 'static> TokenProvidersBuilder<K> {
    pub(super) fn new(factory: Box<Factory<K>>) -> Self {
        Self {
            factory,
            max_providers: MAX_PROVIDERS,
            idle_after: IDLE_AFTER,
            clock: AnyClock::default(),
        }
    }

    /// Sets how many providers are kept: 10,000 by default, of which each takes
    /// less than 2 KB beside its token. The least recently used go when there
    /// are more.
    ///
    /// Those in use stay, so there are more of them for as long as more are in
    /// use; and, while nearly all are, a sixteenth more, so that the search for
    /// one that may go stays cheap.
    pub fn max_providers(mut self, max: usize) -> Self {
        self.max_providers = max;
        self
    }

    /// Sets how long a provider is kept that is not asked for: a day by
    /// default. It goes some time after that, when others are built.
    pub fn idle_after(mut self, time: Duration) -> Self {
        self.idle_after = time;
        self
    }

    /// Sets the clock that tells when a provider was last asked for: that of
    /// the operating system by default. The providers have clocks of their
    /// own.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = AnyClock::Other(Arc::new(clock));
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`] if no provider may be kept, or for no time.
    pub fn build(self) -> Result<TokenProviders<K>, ConfigurationError> {
        if self.max_providers == 0 {
            return Err(ConfigurationError::new(
                "maximum number of providers",
                "is 0",
                "use at least 1, and as many as there are keys in use if memory allows",
            ));
        }
        if self.idle_after.is_zero() {
            return Err(ConfigurationError::new(
                "idle time",
                "is zero",
                "use a time in which a provider that is needed is asked for",
            ));
        }
        let limits = Limits {
            max: self.max_providers,
            idle_after: nanos(self.idle_after),
        };
        Ok(TokenProviders(Arc::new(Inner {
            factory: self.factory,
            clock: self.clock,
            limits,
            hasher: RandomState::new(),
            shards: (0..limits.shards()).map(|_| Shard::new()).collect(),
            total: AtomicUsize::new(0),
        })))
    }
}

impl<K> fmt::Debug for TokenProvidersBuilder<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenProvidersBuilder")
            .field("max_providers", &self.max_providers)
            .field("idle_after", &self.idle_after)
            .finish_non_exhaustive()
    }
}
