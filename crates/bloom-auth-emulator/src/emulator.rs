//! The handle to a running emulator.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use crate::{
    Counts, EmulatorBuilder, EmulatorError, FaultRule, FaultStatus, Scenario, TokenQuota,
    assertion::PublicKey, oauth::Dialect, server::Server, state::Shared,
};

/// A running emulator.
///
/// It runs until it is [shut down](Self::shutdown) or dropped. When the drop
/// returns, its port refuses connections; those that are open break off.
pub struct Emulator {
    shared: Arc<Shared>,
    server: Server,
    origin: String,
    ca_pem: Option<String>,
}

impl Emulator {
    /// Begins the settings of an emulator.
    pub fn builder() -> EmulatorBuilder {
        EmulatorBuilder::new()
    }

    /// Starts an emulator with the default settings: HTTPS on any free port,
    /// random client credentials, access tokens that stand for a day.
    ///
    /// # Errors
    ///
    /// As of [`EmulatorBuilder::start`].
    pub async fn start() -> Result<Self, EmulatorError> {
        Self::builder().start().await
    }

    pub(crate) fn new(shared: Arc<Shared>, server: Server, ca_pem: Option<String>) -> Self {
        Self {
            origin: format!("{}://{}", shared.scheme, server.address()),
            shared,
            server,
            ca_pem,
        }
    }

    /// The id of the one client that is registered.
    #[must_use]
    pub fn client_id(&self) -> &str {
        self.shared.client.id()
    }

    /// The secret of the client as it is now: see [`Self::rotate_secret`].
    #[must_use]
    pub fn client_secret(&self) -> String {
        self.shared.client.secret()
    }

    /// The one audience that access tokens are granted for.
    #[must_use]
    pub fn audience(&self) -> &str {
        self.shared.tokens.audience()
    }

    /// Scheme, address and port, such as `https://127.0.0.1:41234`.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The URL of the token endpoint of authorization server V1.
    #[must_use]
    pub fn v1_token_url(&self) -> String {
        format!("{}{}", self.origin, Dialect::V1.path())
    }

    /// The URL of the token endpoint of authorization server V2.
    #[must_use]
    pub fn v2_token_url(&self) -> String {
        format!("{}{}", self.origin, Dialect::V2.path())
    }

    /// The base URL of the API, without a slash at its end; paths such as
    /// `/v2/core/organization` follow it.
    #[must_use]
    pub fn api_url(&self) -> String {
        self.origin.clone()
    }

    /// The address that is listened on; its IP address is always 127.0.0.1.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The certificate, as PEM, of the authority that signed the server's;
    /// `None` for [plain HTTP](EmulatorBuilder::plain_http).
    ///
    /// A client has to trust it. The server's certificate is for `127.0.0.1`,
    /// `::1` and `localhost`.
    #[must_use]
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// Replaces the client secret by a new random one, which is returned. The
    /// old one is refused at once; access tokens that were issued stand.
    #[expect(
        clippy::must_use_candidate,
        reason = "it is called for its effect; `client_secret` has the secret as well"
    )]
    pub fn rotate_secret(&self) -> String {
        self.shared.rotate_secret()
    }

    /// Replaces the client's public key by this one, or registers it if there was
    /// none: see [`EmulatorBuilder::client_public_key`]. What the old one has
    /// signed is refused at once; access tokens that were issued stand.
    ///
    /// # Errors
    ///
    /// [`EmulatorError::Settings`] if it is not a key of one of those kinds in
    /// PEM; nothing has changed then.
    pub fn rotate_public_key(&self, pem: &str) -> Result<(), EmulatorError> {
        let key = PublicKey::from_pem(pem).map_err(EmulatorError::public_key)?;
        self.shared.client.assertions().rotate(key);
        Ok(())
    }

    /// Revokes one access token; nothing happens if it is not of this emulator.
    pub fn revoke(&self, token: &str) {
        self.shared.tokens.revoke(token, self.shared.clock.now());
    }

    /// Revokes every access token issued so far.
    pub fn revoke_all(&self) {
        self.shared.tokens.revoke_all();
    }

    /// How long access tokens stand from now on; those that were issued keep
    /// theirs.
    ///
    /// It is held in milliseconds; `expires_in` has whole seconds, rounded
    /// down. With [`Duration::ZERO`] a token has expired when it arrives. More
    /// than 2^31 - 1 seconds, about 68 years, count as that.
    pub fn set_token_lifetime(&self, lifetime: Duration) {
        self.shared.set_token_lifetime(lifetime);
    }

    /// How long a token endpoint holds back the answers it decides on from now
    /// on, good and bad, in whole milliseconds.
    ///
    /// The access token is issued, counted and begins to age before the delay.
    pub fn set_latency(&self, latency: Duration) {
        self.shared.set_latency(latency);
    }

    /// Plays a fault, after those that are set already.
    ///
    /// ```
    /// use bloom_auth_emulator::{Emulator, FaultRule};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::builder().plain_http().start().await?;
    /// // The next two token requests fail, and then every tenth hangs.
    /// emulator.set_fault("server-error:next=2".parse::<FaultRule>()?);
    /// emulator.set_fault("no-answer:every=10".parse::<FaultRule>()?);
    /// assert_eq!(emulator.faults().len(), 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_fault(&self, rule: impl Into<FaultRule>) {
        self.shared.faults.add(rule.into());
    }

    /// Starts a scenario from its first steps, in the place of one that is under
    /// way.
    pub fn set_scenario(&self, scenario: Scenario) {
        self.shared.faults.start(scenario);
    }

    /// Sets no fault and no scenario any more.
    pub fn clear_faults(&self) {
        self.shared.faults.clear();
    }

    /// The faults that are set, in their order, and how often each was played.
    #[must_use]
    pub fn faults(&self) -> Vec<FaultStatus> {
        self.shared.faults.statuses()
    }

    /// Grants so many tokens in each of these periods from now on, and forgets
    /// what was counted so far; with none, as many as are asked for.
    pub fn set_token_quotas(&self, quotas: &[TokenQuota]) {
        self.shared.quotas.set(quotas);
    }

    /// Puts the emulator's clock forward, so that tokens age and quotas refill at
    /// once. Timeouts and delays are not its matter.
    pub fn advance_clock(&self, by: Duration) {
        self.shared.clock.advance(by);
    }

    /// What has been counted since the start, at one instant.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.counters.snapshot()
    }

    /// Takes no more connections, lets the requests under way finish for up to
    /// five seconds, and returns when nothing runs any more.
    pub async fn shutdown(mut self) {
        self.server.shutdown().await;
    }
}

impl fmt::Debug for Emulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emulator")
            .field("origin", &self.origin)
            .field("client_id", &self.client_id())
            .field("audience", &self.audience())
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}
