//! The settings of an [`AuthorizedClient`].

use std::{fmt, sync::Arc, time::Duration};

use bloom_auth_core::{Bearer, ConfigurationError};
use reqwest::{Client, ClientBuilder, Url, redirect::Policy};

use super::{AuthorizedClient, error::RequestError};
use crate::{
    settings::{Clients, HttpSettings, check_timeout},
    tls,
    transport::ReqwestTransport,
    url::is_loopback,
};

/// How long a request may take, until its answer is read.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Where the HTTP client comes from.
pub(super) enum Source {
    /// Built here when it is needed, with redirects that are followed here.
    Own(Box<Clients>),
    /// The caller's, with whatever it does about redirects.
    Brought(Client),
}

impl Source {
    /// The client for this destination.
    pub(super) fn client(&self, url: &Url) -> Result<&Client, RequestError> {
        match self {
            // reqwest would call it a connection that could not be opened.
            Self::Own(_) if url.scheme() == "https" && !tls::IS_BUILT_IN => {
                Err(ConfigurationError::new(
                    "API URL",
                    "is https, and this build has no TLS",
                    tls::HOW_TO_BUILD_IT_IN,
                )
                .into())
            }
            Self::Own(clients) => Ok(clients.get(is_loopback(url))?),
            Self::Brought(client) => Ok(client),
        }
    }
}

type Configure = dyn Fn(ClientBuilder) -> ClientBuilder + Send + Sync;

/// Builds an [`AuthorizedClient`].
///
/// ```no_run
/// # fn run(
/// #     provider: bloom_auth_core::TokenProvider,
/// #     transport: bloom_auth_reqwest::ReqwestTransport,
/// # ) -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// use bloom_auth_reqwest::AuthorizedClient;
///
/// let client = AuthorizedClient::builder(provider)
///     .settings_of(&transport)
///     .allow_origin("https://files.example.com")?
///     .timeout(Duration::from_secs(10))
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct AuthorizedClientBuilder {
    bearer: Bearer,
    http: HttpSettings,
    timeout: Duration,
    configure: Option<Arc<Configure>>,
}

impl AuthorizedClientBuilder {
    pub(super) fn new(bearer: Bearer) -> Self {
        Self {
            bearer,
            http: HttpSettings::default(),
            timeout: TIMEOUT,
            configure: None,
        }
    }

    /// Goes to the API as this transport goes to the authorization server: by
    /// the same TLS library, root certificates, client certificate, HTTP
    /// version, connect timeout and user agent.
    pub fn settings_of(mut self, transport: &ReqwestTransport) -> Self {
        self.http = transport.settings().clone();
        self
    }

    /// Lets the token go to another origin as well; see
    /// [`Bearer::allow_origin`].
    ///
    /// # Errors
    ///
    /// As [`Bearer::allow_origin`].
    pub fn allow_origin(mut self, origin: impl AsRef<str>) -> Result<Self, ConfigurationError> {
        self.bearer = self.bearer.allow_origin(origin)?;
        Ok(self)
    }

    /// Sets how long a request may take, until its answer is read: 30 s by
    /// default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets up the HTTP client further, or otherwise: default headers, a pool,
    /// a proxy. It is asked once for each of two clients, that for loopback
    /// and that for all else.
    ///
    /// Only the redirect policy stays what it is: redirects are followed by
    /// [`AuthorizedClient`] itself. Default headers are put into every request,
    /// also into one that a redirect sends to another origin: credentials do not
    /// belong there, but into
    /// [the headers of a request](super::RequestBuilder::header).
    pub fn configure(
        mut self,
        configure: impl Fn(ClientBuilder) -> ClientBuilder + Send + Sync + 'static,
    ) -> Self {
        self.configure = Some(Arc::new(configure));
        self
    }

    /// Checks the settings. The HTTP client is built by the first request.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`] if the time limit is zero.
    pub fn build(self) -> Result<AuthorizedClient, ConfigurationError> {
        check_timeout("timeout", self.timeout)?;
        self.http.check()?;
        Ok(self.into_client())
    }

    pub(super) fn into_client(mut self) -> AuthorizedClient {
        let environment = self.bearer.provider().environment();
        self.http.insecure_loopback = environment.is_insecure_loopback();
        let (timeout, configure) = (self.timeout, self.configure);
        let clients = Clients::new(self.http, move |builder| {
            let builder = builder.timeout(timeout);
            let builder = match &configure {
                Some(configure) => configure(builder),
                None => builder,
            };
            builder.redirect(Policy::none())
        });
        AuthorizedClient::with(self.bearer, Source::Own(Box::new(clients)))
    }
}

impl fmt::Debug for AuthorizedClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizedClientBuilder")
            .field("bearer", &self.bearer)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
