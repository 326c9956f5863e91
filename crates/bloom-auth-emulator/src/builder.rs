//! The settings of an emulator, checked when it starts.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    Emulator, EmulatorError, FaultRule, Scenario, TokenQuota,
    admin::Admin,
    app::App,
    assertion::PublicKey,
    clock::Clock,
    guard::Guard,
    random::Seed,
    server::{Listener, Server},
    state::Shared,
    tls::Tls,
};

/// The settings of an [`Emulator`]; made by [`Emulator::builder`].
///
/// ```
/// use std::time::Duration;
/// use bloom_auth_emulator::Emulator;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), bloom_auth_emulator::EmulatorError> {
/// let emulator = Emulator::builder()
///     .client("my-client", "my-secret")
///     .audience("api.bloomcredit.io")
///     .token_lifetime(Duration::from_secs(60))
///     .start()
///     .await?;
/// assert_eq!(emulator.client_id(), "my-client");
/// assert!(emulator.origin().starts_with("https://127.0.0.1:"));
/// # Ok(())
/// # }
/// ```
#[must_use = "an emulator runs only once it is started"]
pub struct EmulatorBuilder {
    https: bool,
    port: u16,
    client: Option<(String, String)>,
    public_key: Option<String>,
    audience: String,
    token_lifetime: Duration,
    latency: Duration,
    seed: Option<u64>,
    clock_stands_at: Option<SystemTime>,
    faults: Vec<FaultRule>,
    scenario: Option<Scenario>,
    quotas: Vec<TokenQuota>,
    /// Whether there is an admin endpoint, and the token that it asks for.
    admin: Option<Option<String>>,
}

impl EmulatorBuilder {
    pub(crate) fn new() -> Self {
        Self {
            https: true,
            port: 0,
            client: None,
            public_key: None,
            audience: "dev-api".to_owned(),
            token_lifetime: Duration::from_secs(86_400),
            latency: Duration::ZERO,
            seed: None,
            clock_stands_at: None,
            faults: Vec::new(),
            scenario: None,
            quotas: Vec::new(),
            admin: None,
        }
    }

    /// Serves HTTP without TLS. The default is HTTPS, with certificates made at
    /// the start: see [`Emulator::ca_pem`].
    pub fn plain_http(mut self) -> Self {
        self.https = false;
        self
    }

    /// Listens on this port of 127.0.0.1. The default, 0, takes any free one.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Registers this client. The default is an id of 32 and a secret of 64
    /// random characters, new at every start.
    ///
    /// Neither may be empty nor have control characters.
    pub fn client(mut self, id: impl Into<String>, secret: impl Into<String>) -> Self {
        self.client = Some((id.into(), secret.into()));
        self
    }

    /// Registers this public key of the client (`-----BEGIN PUBLIC KEY-----`, of
    /// RSA with 2048 bits or more, P-256 or Ed25519). The client then proves who
    /// it is by assertions that the private key has signed (`private_key_jwt`,
    /// RFC 7523, with `RS256`, `PS256`, `ES256` or `EdDSA`), and its secret is
    /// refused.
    ///
    /// An assertion names the client as `iss` and `sub` and the token endpoint,
    /// by its URL, as `aud`; it has an `exp` within five minutes and a `jti` that
    /// was not used before. `iat` and `nbf` are heeded if they are there.
    ///
    /// The default is none: the client has a secret.
    pub fn client_public_key(mut self, pem: impl Into<String>) -> Self {
        self.public_key = Some(pem.into());
        self
    }

    /// The one audience that access tokens are granted for. The default is
    /// `dev-api`, that of Bloom's Sandbox.
    ///
    /// It may not be empty nor have control characters.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = audience.into();
        self
    }

    /// How long an access token stands. The default is a day. See
    /// [`Emulator::set_token_lifetime`].
    pub fn token_lifetime(mut self, lifetime: Duration) -> Self {
        self.token_lifetime = lifetime;
        self
    }

    /// How long a token endpoint holds its answers back. The default is zero.
    /// See [`Emulator::set_latency`].
    pub fn latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// Draws everything random from this seed: client credentials that are not
    /// [given](Self::client), the ids of tokens and consumers, the key that signs
    /// tokens, and which requests a fault of some probability is played at.
    ///
    /// With the same seed, and a [clock that stands](Self::clock_stands_at), the
    /// same requests in the same order get the same answers, byte by byte; the
    /// port, the certificates and what TLS negotiates are not drawn from it. The
    /// default is a seed of the operating system. Credentials from a seed of one's
    /// own can be guessed by whoever may guess the seed.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Has the emulator's clock stand at this time; it moves by
    /// [`Emulator::advance_clock`] alone. The default is the system clock.
    ///
    /// It is what tokens are dated and expire by, what quotas refill by, and what
    /// `Date` says. Timeouts and delays are not its matter.
    pub fn clock_stands_at(mut self, time: SystemTime) -> Self {
        self.clock_stands_at = Some(time);
        self
    }

    /// Plays a fault from the start, after those that were given before. See
    /// [`Emulator::set_fault`].
    pub fn fault(mut self, rule: impl Into<FaultRule>) -> Self {
        self.faults.push(rule.into());
        self
    }

    /// Plays this scenario from the start. See [`Emulator::set_scenario`].
    pub fn scenario(mut self, scenario: Scenario) -> Self {
        self.scenario = Some(scenario);
        self
    }

    /// Grants so many tokens in a period, next to the quotas that were given
    /// before; beyond that a token request gets status 429, `Retry-After`, and
    /// an error in the dialect of its endpoint.
    ///
    /// Good answers tell how much is left: those of V1 in `X-RateLimit-*` and
    /// `Auth0-Client-Quota-Limit`, as Auth0, those of V2 in `X-RateLimit-*`, as a
    /// gateway before Hydra.
    ///
    /// ```
    /// use bloom_auth_emulator::{Emulator, TokenQuota};
    ///
    /// // What Auth0 is known to grant.
    /// let builder = Emulator::builder()
    ///     .token_quota(TokenQuota::per_hour(10))
    ///     .token_quota(TokenQuota::per_day(50));
    /// # let _ = builder;
    /// ```
    pub fn token_quota(mut self, quota: TokenQuota) -> Self {
        self.quotas.push(quota);
        self
    }

    /// Serves the [admin endpoint](crate#the-admin-endpoint), which there is not
    /// by default.
    ///
    /// Every program on this machine can use it, and with it read the client
    /// secret: see [`admin_token`](Self::admin_token).
    pub fn admin(mut self) -> Self {
        self.admin = Some(self.admin.flatten());
        self
    }

    /// Serves the admin endpoint to those whose requests carry
    /// `Authorization: Bearer` and this token, which may not be empty nor have
    /// control characters.
    pub fn admin_token(mut self, token: impl Into<String>) -> Self {
        self.admin = Some(Some(token.into()));
        self
    }

    /// Starts the emulator in the current Tokio runtime, which must have its
    /// I/O and time drivers enabled.
    ///
    /// # Errors
    ///
    /// [`EmulatorError::Settings`] if a setting cannot be used, and the other
    /// kinds of [`EmulatorError`] if the machine refuses what is needed.
    pub async fn start(self) -> Result<Emulator, EmulatorError> {
        self.check()?;
        let port = self.port;
        let key = self.public_key.as_deref().map(PublicKey::from_pem);
        let key = key.transpose().map_err(EmulatorError::public_key)?;
        let scheme = if self.https { "https" } else { "http" };
        let seed = match self.seed {
            Some(seed) => Seed::from_number(seed),
            None => Seed::from_system()?,
        };
        let clock = self.clock_stands_at.map(Clock::standing_at);
        let clock = clock.unwrap_or_default();
        let shared = Shared::new(self.client, key, self.audience, scheme, &seed, clock)?;
        let shared = Arc::new(shared);
        shared.set_token_lifetime(self.token_lifetime);
        shared.set_latency(self.latency);
        shared.quotas.set(&self.quotas);
        for rule in self.faults {
            shared.faults.add(rule);
        }
        if let Some(scenario) = self.scenario {
            shared.faults.start(scenario);
        }
        let admin = self
            .admin
            .map(|token| Admin::new(token.as_deref(), Arc::clone(&shared)));
        let (acceptors, ca_pem) = if self.https {
            let tls = Tls::generate()?;
            (Some(tls.acceptors), Some(tls.ca_pem))
        } else {
            (None, None)
        };
        let listener = Listener::bind(port)
            .await
            .map_err(|source| EmulatorError::Bind { port, source })?;
        let guard = Guard::new(listener.address().port(), self.https);
        let app = App::new(Arc::clone(&shared), guard, admin);
        Ok(Emulator::new(
            shared,
            Server::start(listener, app, acceptors),
            ca_pem,
        ))
    }

    fn check(&self) -> Result<(), EmulatorError> {
        let (id, secret) = match &self.client {
            Some((id, secret)) => (Some(id), Some(secret)),
            None => (None, None),
        };
        for (setting, value) in [
            ("client id", id),
            ("client secret", secret),
            ("audience", Some(&self.audience)),
            ("admin token", self.admin.as_ref().and_then(Option::as_ref)),
        ] {
            let problem = match value {
                Some(value) if value.is_empty() => "is empty",
                Some(value) if value.chars().any(char::is_control) => "has a control character",
                _ => continue,
            };
            return Err(EmulatorError::Settings { setting, problem });
        }
        Ok(())
    }
}

impl fmt::Debug for EmulatorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmulatorBuilder")
            .field("https", &self.https)
            .field("port", &self.port)
            .field("client_id", &self.client.as_ref().map(|(id, _)| id))
            .field("audience", &self.audience)
            .field("token_lifetime", &self.token_lifetime)
            .field("latency", &self.latency)
            .field("clock_stands_at", &self.clock_stands_at)
            .field("faults", &self.faults)
            .field("quotas", &self.quotas)
            .field("admin", &self.admin.is_some())
            .finish_non_exhaustive()
    }
}
