//! Builds a provider, and refuses settings that cannot work.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{
    FetchLimit, TokenBudget, TokenProvider,
    published::Published,
    settings::Settings,
    shared::{Engine, Shared},
    status::Counters,
};
use crate::{
    cache::TokenCache,
    clock::{AnyClock, Clock},
    credentials::CredentialsSource,
    entropy::{Entropy, SystemEntropy},
    environment::{ClientAuthentication, Environment},
    error::ConfigurationError,
    protocol::TokenRequest,
    scope::Scopes,
    transport::Transport,
};

/// Builds a [`TokenProvider`]. Every setting has a default; nothing is
/// contacted, and nothing is spawned.
#[must_use]
pub struct TokenProviderBuilder {
    request: TokenRequest,
    credentials: Arc<dyn CredentialsSource>,
    transport: Arc<dyn Transport>,
    cache: Option<Arc<dyn TokenCache>>,
    limit: Option<FetchLimit>,
    budget: Option<TokenBudget>,
    clock: AnyClock,
    entropy: Arc<dyn Entropy>,
    settings: Settings,
}

impl TokenProviderBuilder {
    pub(super) fn new(
        environment: Environment,
        credentials: Arc<dyn CredentialsSource>,
        transport: Arc<dyn Transport>,
    ) -> Self {
        Self {
            request: TokenRequest::new(environment),
            credentials,
            transport,
            cache: None,
            limit: None,
            budget: None,
            clock: AnyClock::default(),
            entropy: Arc::new(SystemEntropy::new()),
            settings: Settings::default(),
        }
    }

    /// Sets the scopes to ask for. V2 needs at least one, V1 takes none.
    pub fn scopes(mut self, scopes: Scopes) -> Self {
        self.request = self.request.with_scopes(scopes);
        self
    }

    /// Sets how the client proves who it is: `client_secret_post` by default.
    pub fn client_authentication(mut self, authentication: ClientAuthentication) -> Self {
        self.request = self.request.with_authentication(authentication);
        self
    }

    /// Adds a parameter to the token request. Not for secrets: it becomes part
    /// of cache keys.
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.request = self.request.with_parameter(name, value);
        self
    }

    /// Shares tokens with others through this cache. By default tokens live in
    /// this provider alone.
    pub fn cache(mut self, cache: impl TokenCache + 'static) -> Self {
        self.cache = Some(Arc::new(cache));
        self
    }

    /// Limits how many token requests this provider and all others with a clone
    /// of the limit have under way at once. There is no limit by default.
    pub fn fetch_limit(mut self, limit: FetchLimit) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Limits how many token requests this provider and all others with a clone
    /// of the budget send in a period. There is no limit by default.
    pub fn token_budget(mut self, budget: TokenBudget) -> Self {
        self.budget = Some(budget);
        self
    }

    /// Sets the clock: that of the operating system by default.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = AnyClock::Other(Arc::new(clock));
        self
    }

    /// Sets the randomness for jitter: that of the operating system by
    /// default.
    pub fn entropy(mut self, entropy: impl Entropy + 'static) -> Self {
        self.entropy = Arc::new(entropy);
        self
    }

    /// Sets how long before its expiry a token is refreshed: 5 min by default,
    /// a fifth of the lifetime for short-lived tokens. Up to twice this time,
    /// by chance.
    pub fn margin(mut self, margin: Duration) -> Self {
        self.settings.margin = margin;
        self
    }

    /// Sets how long before its expiry a token is served no more: 10 s by
    /// default, a twentieth of the lifetime for short-lived tokens.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.settings.leeway = leeway;
        self
    }

    /// Sets the lifetime of tokens whose server names none: 5 min by default.
    pub fn default_lifetime(mut self, lifetime: Duration) -> Self {
        self.settings.default_lifetime = lifetime;
        self
    }

    /// Sets the longest lifetime that is believed: 7 days by default.
    pub fn max_lifetime(mut self, lifetime: Duration) -> Self {
        self.settings.max_lifetime = lifetime;
        self
    }

    /// Sets how long one token request may take: 10 s by default.
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.settings.attempt_timeout = timeout;
        self
    }

    /// Sets how long the token requests of one fetch may take together: 20 s
    /// by default. A wait for a place under a [`FetchLimit`] may come on top, and
    /// take as long.
    pub fn fetch_timeout(mut self, timeout: Duration) -> Self {
        self.settings.fetch_timeout = timeout;
        self
    }

    /// Sets the longest `Retry-After` that is obeyed: 5 min by default. Up to half
    /// as much is waited on top, 30 s at most, so that a fleet which was told the
    /// same moment does not come back in it.
    pub fn max_retry_after(mut self, max: Duration) -> Self {
        self.settings.max_retry_after = max;
        self
    }

    /// Checks the settings and builds the provider.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`] if scopes, parameters and version do not go
    /// together, times contradict each other (the margin must be at least
    /// twice the leeway, an attempt must fit into a fetch), or the cache cannot
    /// keep tokens of credentials that are known already.
    pub fn build(self) -> Result<TokenProvider, ConfigurationError> {
        self.request.validate()?;
        self.settings.validate()?;
        if let (Some(cache), Some(credentials)) = (&self.cache, self.credentials.fixed()) {
            cache.check(credentials)?;
        }
        let shared = Arc::new(Shared {
            request: self.request,
            settings: self.settings,
            credentials: self.credentials,
            transport: self.transport,
            cache: self.cache,
            limit: self.limit,
            budget: self.budget,
            entropy: self.entropy,
            published: Published::new(self.clock),
            engine: Mutex::new(Engine::default()),
            counters: Counters::default(),
        });
        Ok(TokenProvider::new(shared))
    }
}

impl fmt::Debug for TokenProviderBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenProviderBuilder")
            .field("request", &self.request)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
