//! [`BloomAuth`]: everything wired together.

use std::{fmt, path::PathBuf, sync::Arc};

#[cfg(feature = "private-key-jwt")]
use bloom_auth_core::PrivateKey;
use bloom_auth_core::{
    AccessToken, AuthVersion, ClientAuthentication, ClientCredentials, ClientId, ClientSecret,
    ConfigurationError, CredentialsSource, Environment, EnvironmentLookup, Error, FetchLimit,
    KeepWarm, Rejection, Scopes, Status, TokenBudget, TokenCache, TokenProvider,
};
use bloom_auth_reqwest::AuthorizedClient;
use zeroize::Zeroizing;

use crate::{
    exchange::TokenExchange,
    http_options::{ClientCertificate, HttpOptions},
    settings,
};

/// Always has a valid access token for Bloom's API.
///
/// Build one at the start of the program and clone it wherever it is needed:
/// clones share everything. See [`TokenProvider`] for what it promises.
///
/// # Example
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use bloom_auth::BloomAuth;
///
/// let auth = BloomAuth::from_env()?;
/// let response = auth.api().get("/v2/core/organization").send().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct BloomAuth {
    provider: TokenProvider,
    api: AuthorizedClient,
}

impl BloomAuth {
    #[cfg(feature = "blocking")]
    pub(crate) fn on(provider: TokenProvider) -> Self {
        let api = AuthorizedClient::new(provider.clone());
        Self { provider, api }
    }

    /// A builder; the credentials are all that must be set.
    pub fn builder() -> BloomAuthBuilder {
        BloomAuthBuilder {
            environment: Environment::sandbox(AuthVersion::V1),
            credentials: None,
            scopes: Scopes::default(),
            authentication: ClientAuthentication::Post,
            cache: None,
            budget: None,
            limit: None,
            allowed_origins: Vec::new(),
            exchange: TokenExchange::default(),
            http: HttpOptions::default(),
        }
    }

    /// Reads the settings from the environment; see [the crate's
    /// page](crate#settings) for the variables.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`] that names the variable, what is wrong with its
    /// value, and the fix.
    #[expect(clippy::disallowed_methods, reason = "this is the look-up to inject")]
    pub fn from_env() -> Result<Self, ConfigurationError> {
        Self::from_lookup(|name| std::env::var_os(name))
    }

    /// As [`from_env`](Self::from_env), with a look-up of one's own in the
    /// place of the process's environment.
    ///
    /// # Errors
    ///
    /// As [`from_env`](Self::from_env).
    pub fn from_lookup(
        lookup: impl Fn(&str) -> Option<std::ffi::OsString> + Send + Sync + 'static,
    ) -> Result<Self, ConfigurationError> {
        let builder = BloomAuthBuilder::from_lookup(lookup)?;
        builder.build().map_err(settings::under_its_variable)
    }

    /// The current access token; see [`TokenProvider::token`].
    ///
    /// # Errors
    ///
    /// As [`TokenProvider::token`].
    ///
    /// # Cancellation
    ///
    /// As [`TokenProvider::token`].
    pub async fn token(&self) -> Result<AccessToken, Error> {
        self.provider.token().await
    }

    /// The value for the `Authorization` header; see
    /// [`TokenProvider::authorization`].
    ///
    /// # Errors
    ///
    /// As [`TokenProvider::authorization`].
    ///
    /// # Cancellation
    ///
    /// As [`TokenProvider::authorization`].
    pub async fn authorization(&self) -> Result<http::HeaderValue, Error> {
        self.provider.authorization().await
    }

    /// The header's value if a usable token is held, without waiting; see
    /// [`TokenProvider::try_authorization`].
    #[must_use]
    pub fn try_authorization(&self) -> Option<http::HeaderValue> {
        self.provider.try_authorization()
    }

    /// Says that the API refused this token; see [`TokenProvider::reject`].
    #[expect(
        clippy::must_use_candidate,
        reason = "it acts; the result is for the curious"
    )]
    pub fn reject(&self, token: &AccessToken) -> Rejection {
        self.provider.reject(token)
    }

    /// Fetches a new token now, whatever is held; see
    /// [`TokenProvider::refresh`].
    ///
    /// # Errors
    ///
    /// As [`TokenProvider::refresh`].
    ///
    /// # Cancellation
    ///
    /// As [`TokenProvider::refresh`].
    pub async fn refresh(&self) -> Result<AccessToken, Error> {
        self.provider.refresh().await
    }

    /// Keeps a token at hand while nobody asks; see
    /// [`TokenProvider::keep_warm`].
    ///
    /// # Errors
    ///
    /// As [`TokenProvider::keep_warm`].
    pub fn keep_warm(&self) -> Result<KeepWarm, Error> {
        self.provider.keep_warm()
    }

    /// What is held and has been done; see [`TokenProvider::status`].
    #[must_use]
    pub fn status(&self) -> Status {
        self.provider.status()
    }

    /// Where the tokens come from and which API they are for.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        self.provider.environment()
    }

    /// A client for the API, with the token in every request: paths are those
    /// under the environment's API URL, and certificates, TLS library and user
    /// agent are those of token requests. One pool of connections serves all
    /// clones.
    ///
    /// ```no_run
    /// # async fn run(auth: bloom_auth::BloomAuth) -> Result<(), Box<dyn std::error::Error>> {
    /// let response = auth.api().get("/v2/core/organization").send().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// For one with other settings, see [`AuthorizedClient::builder`], and
    /// [`AuthorizedClient::with_client`] for a reqwest client of your own.
    #[must_use]
    pub fn api(&self) -> &AuthorizedClient {
        &self.api
    }

    /// A tower layer that puts the token into the requests of a client, such as
    /// hyper's or a tonic channel.
    ///
    /// ```
    /// # fn build<S>(auth: &bloom_auth::BloomAuth, client: S) {
    /// use tower::ServiceBuilder;
    ///
    /// let service = ServiceBuilder::new()
    ///     .layer(auth.bearer_layer().replay_cloned())
    ///     .service(client);
    /// # }
    /// ```
    #[cfg(feature = "tower")]
    pub fn bearer_layer(&self) -> bloom_auth_tower::BearerLayer {
        bloom_auth_tower::BearerLayer::new(self.provider.clone())
    }

    /// The engine, for all that it offers.
    #[must_use]
    pub fn provider(&self) -> &TokenProvider {
        &self.provider
    }

    /// The same provider for threads without a runtime; see [`crate::blocking`].
    ///
    /// Each has a thread of its own as soon as it fetches: make one, and clone
    /// it.
    #[cfg(feature = "blocking")]
    #[must_use]
    pub fn blocking(&self) -> crate::blocking::BloomAuth {
        self.clone().into()
    }
}

/// Builds a [`BloomAuth`]. Nothing is contacted, and nothing is spawned.
///
/// # Example
///
/// ```
/// use bloom_auth::{AuthVersion, BloomAuth, ClientId, ClientSecret, Environment};
///
/// let auth = BloomAuth::builder()
///     .environment(Environment::production(AuthVersion::V2))
///     .scopes("data-access:all".parse()?)
///     .client(ClientId::new("my-backend")?, ClientSecret::new("from a vault".to_owned())?)
///     .build()?;
/// # Ok::<(), bloom_auth::ConfigurationError>(())
/// ```
#[must_use]
pub struct BloomAuthBuilder {
    environment: Environment,
    credentials: Option<Arc<dyn CredentialsSource>>,
    scopes: Scopes,
    authentication: ClientAuthentication,
    cache: Option<Arc<dyn TokenCache>>,
    budget: Option<TokenBudget>,
    limit: Option<FetchLimit>,
    allowed_origins: Vec<String>,
    exchange: TokenExchange,
    http: HttpOptions,
}

impl BloomAuthBuilder {
    /// A builder with the settings of the environment, to add what the
    /// environment cannot say, such as a cache in memory that several share.
    ///
    /// ```no_run
    /// use bloom_auth::{BloomAuthBuilder, MemoryCache};
    ///
    /// let cache = MemoryCache::new();
    /// let auth = BloomAuthBuilder::from_env()?.cache(cache.clone()).build()?;
    /// # Ok::<(), bloom_auth::ConfigurationError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`BloomAuth::from_env`].
    #[expect(clippy::disallowed_methods, reason = "this is the look-up to inject")]
    pub fn from_env() -> Result<Self, ConfigurationError> {
        Self::from_lookup(|name| std::env::var_os(name))
    }

    /// As [`from_env`](Self::from_env), with a look-up of one's own in the
    /// place of the process's environment.
    ///
    /// # Errors
    ///
    /// As [`BloomAuth::from_env`].
    pub fn from_lookup(
        lookup: impl Fn(&str) -> Option<std::ffi::OsString> + Send + Sync + 'static,
    ) -> Result<Self, ConfigurationError> {
        let lookup: Arc<EnvironmentLookup> = Arc::new(lookup);
        settings::read(&lookup)
    }

    /// Sets the environment: Sandbox, Authorization V1 by default.
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = environment;
        self
    }

    /// Sets a client id and secret that never change.
    pub fn client(self, id: ClientId, secret: ClientSecret) -> Self {
        self.credentials(ClientCredentials::new(id, secret))
    }

    /// Sets a client id and a private key that never change: the client proves
    /// who it is by assertions that are signed with the key (`private_key_jwt`),
    /// and no secret is sent. Feature `private-key-jwt`.
    ///
    /// `PrivateKeyFile`, given to [`credentials`](Self::credentials), reads the
    /// key again at every fetch.
    ///
    /// ```no_run
    /// use bloom_auth::{BloomAuth, ClientId, PrivateKey};
    ///
    /// let key = PrivateKey::from_pem(std::fs::read("/run/secrets/bloom-key.pem")?)?;
    /// let auth = BloomAuth::builder()
    ///     .private_key(ClientId::new("my-backend")?, key)
    ///     .build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "private-key-jwt")]
    pub fn private_key(self, id: ClientId, key: PrivateKey) -> Self {
        self.credentials(ClientCredentials::with_signer(id, key))
    }

    /// Sets where the client's credentials come from, asked at every fetch.
    pub fn credentials(mut self, source: impl CredentialsSource + 'static) -> Self {
        self.credentials = Some(Arc::new(source));
        self
    }

    /// Sets the scopes to ask for: needed by V2, unknown to V1.
    pub fn scopes(mut self, scopes: Scopes) -> Self {
        self.scopes = scopes;
        self
    }

    /// Sets how a client secret is sent: `client_secret_post` by default. It
    /// makes no difference to a client that has none.
    pub fn client_authentication(mut self, authentication: ClientAuthentication) -> Self {
        self.authentication = authentication;
        self
    }

    /// Shares tokens through this cache, in the place of one that was set before
    /// or chosen by `BLOOM_CACHE`; by default they live in this [`BloomAuth`] and
    /// its clones alone.
    pub fn cache(mut self, cache: impl TokenCache + 'static) -> Self {
        self.cache = Some(Arc::new(cache));
        self
    }

    /// Limits how many token requests are sent in a period, here and by all
    /// others with a clone of the budget.
    pub fn token_budget(mut self, budget: TokenBudget) -> Self {
        self.budget = Some(budget);
        self
    }

    /// Limits how many token requests are under way at once, here and in all
    /// others with a clone of the limit.
    pub fn fetch_limit(mut self, limit: FetchLimit) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Sends no token request: what the cache holds is served, and without a
    /// usable token there a call fails with an error of kind
    /// [`Configuration`](crate::ErrorKind::Configuration). For tools that look
    /// and leave everything as it is.
    ///
    /// ```
    /// use bloom_auth::{BloomAuth, ClientId, ClientSecret, ErrorKind, MemoryCache};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), bloom_auth::ConfigurationError> {
    /// let auth = BloomAuth::builder()
    ///     .client(ClientId::new("my-backend")?, ClientSecret::new("from a vault")?)
    ///     .cache(MemoryCache::new())
    ///     .offline()
    ///     .build()?;
    /// let error = auth.token().await.unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Configuration);
    /// # Ok(())
    /// # }
    /// ```
    pub fn offline(mut self) -> Self {
        self.exchange.is_offline = true;
        self
    }

    /// Shows status and headers of every answer of the token endpoint to this
    /// function: when it was given (`Date`), how much is left of a quota. It is
    /// called by the task that fetches, so it must not block.
    ///
    /// The body, which holds the token, is not shown.
    ///
    /// ```
    /// use bloom_auth::BloomAuth;
    ///
    /// let builder = BloomAuth::builder().on_token_answer(|status, headers| {
    ///     if let Some(left) = headers.get("x-ratelimit-remaining") {
    ///         println!("{status}: {left:?} token requests are left");
    ///     }
    /// });
    /// # let _ = builder;
    /// ```
    pub fn on_token_answer(
        mut self,
        observer: impl Fn(http::StatusCode, &http::HeaderMap) + Send + Sync + 'static,
    ) -> Self {
        self.exchange.observer = Some(Arc::new(observer));
        self
    }

    /// Lets [`BloomAuth::api`] take the token to another origin as well, such as
    /// `https://files.example.com`. It is checked by [`build`](Self::build); see
    /// [`Bearer::allow_origin`](crate::Bearer::allow_origin).
    pub fn allow_origin(mut self, origin: impl Into<String>) -> Self {
        self.allowed_origins.push(origin.into());
        self
    }

    /// Trusts the root certificates in this PEM file instead of the
    /// platform's. The file is read by [`build`](Self::build).
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.http.ca_file = Some(path.into());
        self
    }

    /// Trusts these root certificates, in PEM, instead of the platform's.
    pub fn root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.http.root_certificates.push(pem.into());
        self
    }

    /// Shows this certificate to servers that ask for one (mutual TLS): in PEM,
    /// the client's own certificate, those that link it to its root if there
    /// are any, and the private key, not encrypted. It is checked by
    /// [`build`](Self::build), and takes the place of one that was set before.
    ///
    /// It is shown beside the client secret, not in its place, and does not tell
    /// caches whose token is whose: a cache that others use with a certificate
    /// of their own must not be shared with them.
    pub fn client_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        let pem = Zeroizing::new(pem.into());
        self.http.client_certificate = Some(ClientCertificate::Pem(pem));
        self
    }

    /// As [`client_certificate`](Self::client_certificate), from a file that
    /// holds certificates and key. The file is read by [`build`](Self::build).
    pub fn client_certificate_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.http.client_certificate = Some(ClientCertificate::File(path.into()));
        self
    }

    /// Sets the `User-Agent` of token requests and of those that
    /// [`BloomAuth::api`] makes: `bloom-auth/` and the version by default. It is
    /// checked by [`build`](Self::build).
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.http.user_agent = Some(user_agent.into());
        self
    }

    /// Does TLS by the platform's own library instead of rustls; see
    /// [`ReqwestTransportBuilder::native_tls`](crate::ReqwestTransportBuilder::native_tls).
    #[cfg(feature = "native-tls")]
    pub fn native_tls(mut self) -> Self {
        self.http.native_tls = true;
        self
    }

    /// Lets the server choose HTTP/2, here and for [`BloomAuth::api`]; see
    /// [`ReqwestTransportBuilder::http2`](crate::ReqwestTransportBuilder::http2).
    #[cfg(feature = "http2")]
    pub fn http2(mut self) -> Self {
        self.http.http2 = true;
        self
    }

    /// Checks all settings. The HTTP client is built by the first fetch.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`] if there are no credentials, a certificate
    /// cannot be read, scopes and version do not go together, or the cache cannot
    /// keep tokens of a client that is known already (a `FileCache`, and a
    /// secret of fewer than 32 characters, or none).
    pub fn build(self) -> Result<BloomAuth, ConfigurationError> {
        let Some(credentials) = self.credentials else {
            return Err(ConfigurationError::new(
                "credentials",
                "are missing",
                "give a client id and secret, or a source of credentials",
            ));
        };
        let is_insecure_loopback = self.environment.is_insecure_loopback();
        let transport = Arc::new(self.http.transport(is_insecure_loopback)?);
        let exchange = self.exchange.over(transport.clone());
        let mut provider = TokenProvider::builder(self.environment, credentials, exchange)
            .scopes(self.scopes)
            .client_authentication(self.authentication);
        if let Some(cache) = self.cache {
            provider = provider.cache(cache);
        }
        if let Some(budget) = self.budget {
            provider = provider.token_budget(budget);
        }
        if let Some(limit) = self.limit {
            provider = provider.fetch_limit(limit);
        }
        let provider = provider.build()?;
        let mut api = AuthorizedClient::builder(provider.clone()).settings_of(&transport);
        for origin in self.allowed_origins {
            api = api.allow_origin(origin)?;
        }
        let api = api.build()?;
        Ok(BloomAuth { provider, api })
    }
}

impl fmt::Debug for BloomAuthBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BloomAuthBuilder")
            .field("environment", &self.environment)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}
