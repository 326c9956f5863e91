//! What all connections share.

use std::{
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    EmulatorError,
    api::Consumers,
    assertion::PublicKey,
    clock::{self, Clock},
    counts::Counters,
    credentials::Client,
    faults::Faults,
    quota::Quotas,
    random::{Random, Seed},
    tokens::Tokens,
};

/// The longest lifetime of an access token: `expires_in` then fits 31 bits.
const LONGEST: Duration = Duration::from_secs(i32::MAX as u64);

pub(crate) struct Shared {
    pub(crate) client: Client,
    pub(crate) tokens: Tokens,
    pub(crate) clock: Clock,
    pub(crate) secrets: Random,
    pub(crate) token_ids: Random,
    pub(crate) consumer_ids: Random,
    pub(crate) counters: Counters,
    pub(crate) consumers: Consumers,
    /// `https` or `http`.
    pub(crate) scheme: &'static str,
    pub(crate) faults: Faults,
    pub(crate) quotas: Quotas,
    token_lifetime_millis: AtomicU64,
    latency_millis: AtomicU64,
    /// The body of the last token response.
    previous: Mutex<Option<String>>,
}

impl Shared {
    pub(crate) fn new(
        client: Option<(String, String)>,
        key: Option<PublicKey>,
        audience: String,
        scheme: &'static str,
        seed: &Seed,
        clock: Clock,
    ) -> Result<Self, EmulatorError> {
        let secrets = seed.random("client credentials");
        let (id, secret) = client.unwrap_or_else(|| (secrets.client_id(), secrets.client_secret()));
        Ok(Self {
            tokens: Tokens::new(audience, id.clone(), &seed.bytes("signing key"))?,
            client: Client::new(id, secret).with_key(key),
            clock,
            secrets,
            token_ids: seed.random("token ids"),
            consumer_ids: seed.random("consumer ids"),
            counters: Counters::default(),
            consumers: Consumers::default(),
            scheme,
            token_lifetime_millis: AtomicU64::new(0),
            latency_millis: AtomicU64::new(0),
            faults: Faults::new(seed.random("faults")),
            quotas: Quotas::default(),
            previous: Mutex::default(),
        })
    }

    pub(crate) fn token_lifetime_millis(&self) -> u64 {
        self.token_lifetime_millis.load(Ordering::Relaxed)
    }

    pub(crate) fn set_token_lifetime(&self, lifetime: Duration) {
        let millis = clock::saturating_millis(lifetime.min(LONGEST));
        self.token_lifetime_millis.store(millis, Ordering::Relaxed);
    }

    pub(crate) fn latency(&self) -> Duration {
        Duration::from_millis(self.latency_millis.load(Ordering::Relaxed))
    }

    pub(crate) fn set_latency(&self, latency: Duration) {
        let millis = clock::saturating_millis(latency);
        self.latency_millis.store(millis, Ordering::Relaxed);
    }

    /// Replaces the client secret by a new random one.
    pub(crate) fn rotate_secret(&self) -> String {
        let secret = self.secrets.client_secret();
        self.client.rotate(secret.clone());
        secret
    }

    pub(crate) fn previous(&self) -> Option<String> {
        let previous = self.previous.lock();
        previous.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_previous(&self, body: Option<String>) {
        *self.previous.lock().unwrap_or_else(PoisonError::into_inner) = body;
    }
}

/// The last token response holds a token.
impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}
