//! [`ReqwestTransport`]: one request at a time, with no habits that could
//! leak a secret.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::OnceLock,
    time::Duration,
};

use async_trait::async_trait;
use bloom_auth_core::{
    ConfigurationError, MAX_BODY_BYTES, RequestBody, ResponseBody, Transport, TransportError,
    TransportErrorKind, chain, is_loopback,
};
use http::{Request, Response, uri::Scheme};
use reqwest::{Client, ClientBuilder, redirect::Policy, retry};

use crate::{classify::classify, roots::Roots};

const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// Carries token requests through [`reqwest`].
///
/// https only (plain http to loopback where it was allowed by name), redirects
/// refused, no compression, no cookies, no retries of its own, no connection
/// kept for later. Proxies are taken from the environment (`HTTPS_PROXY`,
/// `ALL_PROXY`, `NO_PROXY`), and never for loopback. The HTTP client is built by the first
/// request.
pub struct ReqwestTransport {
    settings: ReqwestTransportBuilder,
    client: OnceLock<Client>,
    loopback_client: OnceLock<Client>,
}

/// Builds a [`ReqwestTransport`].
#[must_use]
pub struct ReqwestTransportBuilder {
    insecure_loopback: bool,
    connect_timeout: Duration,
    timeout: Duration,
    roots: Roots,
}

impl ReqwestTransport {
    /// A builder with the defaults.
    pub fn builder() -> ReqwestTransportBuilder {
        ReqwestTransportBuilder {
            insecure_loopback: false,
            connect_timeout: Duration::from_secs(3),
            timeout: Duration::from_secs(10),
            roots: Roots::default(),
        }
    }

    /// The client for this destination, built when it is first needed.
    fn client(&self, is_loopback: bool) -> Result<&Client, TransportError> {
        let slot = if is_loopback {
            &self.loopback_client
        } else {
            &self.client
        };
        if let Some(client) = slot.get() {
            return Ok(client);
        }
        let client = self.settings.client(is_loopback)?;
        Ok(slot.get_or_init(|| client))
    }
}

#[async_trait]
impl Transport for ReqwestTransport {
    async fn send(
        &self,
        request: Request<RequestBody>,
    ) -> Result<Response<ResponseBody>, TransportError> {
        let is_loopback = is_loopback(request.uri());
        let is_https = request.uri().scheme() == Some(&Scheme::HTTPS);
        let is_allowed = is_loopback && self.settings.insecure_loopback;
        if !is_https && !is_allowed {
            return Err(configuration(ConfigurationError::new(
                "token URL",
                "is not https",
                "use https; plain http goes to loopback only, and only where it is allowed",
            )));
        }
        // reqwest would call it a connection that could not be opened, and that
        // is tried again.
        if is_https && cfg!(not(feature = "rustls")) {
            return Err(configuration(ConfigurationError::new(
                "token URL",
                "is https, and this build has no TLS",
                "build with the feature `rustls`",
            )));
        }
        let client = self.client(is_loopback)?;
        let request = request.map(RequestBody::into_bytes);
        let request = request.try_into().map_err(classify)?;
        let mut response = client.execute(request).await.map_err(classify)?;
        if response
            .content_length()
            .is_some_and(|len| len > MAX_BODY_BYTES as u64)
        {
            return Err(TransportErrorKind::BodyTooLarge.into());
        }
        let mut body = ResponseBody::new();
        while let Some(chunk) = response.chunk().await.map_err(classify)? {
            body.push(&chunk)?;
        }
        let mut answer = Response::new(body);
        *answer.status_mut() = response.status();
        *answer.headers_mut() = std::mem::take(response.headers_mut());
        Ok(answer)
    }
}

impl fmt::Debug for ReqwestTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReqwestTransport")
            .field("insecure_loopback", &self.settings.insecure_loopback)
            .finish_non_exhaustive()
    }
}

impl ReqwestTransportBuilder {
    /// Trusts these root certificates, in PEM, instead of the platform's. May
    /// be called more than once.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`] if there is none, or one that cannot be read, or
    /// if this crate was built without a TLS feature.
    pub fn with_root_certificate(
        mut self,
        pem: impl AsRef<[u8]>,
    ) -> Result<Self, ConfigurationError> {
        self.roots.add(pem.as_ref())?;
        Ok(self)
    }

    /// Allows plain http, to this machine's loopback addresses only.
    pub fn allow_insecure_loopback(mut self) -> Self {
        self.insecure_loopback = true;
        self
    }

    /// Sets how long opening a connection may take, TLS included: 3 s by
    /// default.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets how long a request may take in all: 10 s by default. The engine
    /// has an attempt timeout of its own; the shorter of the two counts.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Checks the settings. The HTTP client is built by the first request, so
    /// that a program which finds its token in a cache loads no TLS.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`] if a timeout is zero.
    pub fn build(self) -> Result<ReqwestTransport, ConfigurationError> {
        for (setting, timeout) in [
            ("connect timeout", self.connect_timeout),
            ("timeout", self.timeout),
        ] {
            if timeout.is_zero() {
                return Err(ConfigurationError::new(setting, "is zero", "give it time"));
            }
        }
        Ok(ReqwestTransport {
            settings: self,
            client: OnceLock::new(),
            loopback_client: OnceLock::new(),
        })
    }

    fn client(&self, is_loopback: bool) -> Result<Client, TransportError> {
        self.client_builder(is_loopback).build().map_err(|error| {
            // The most common reason: no root certificates on the machine.
            TransportError::new(
                TransportErrorKind::Configuration,
                ConfigurationError::new(
                    "HTTP client",
                    format!("cannot be built ({})", chain(&error.without_url())),
                    "install the system's CA certificates (Debian: `ca-certificates`), or give \
                     root certificates of your own",
                ),
            )
        })
    }

    fn client_builder(&self, is_loopback: bool) -> ClientBuilder {
        let mut builder = Client::builder()
            .user_agent(USER_AGENT)
            .redirect(Policy::none())
            .referer(false)
            .retry(retry::never())
            .https_only(!self.insecure_loopback)
            .http1_only()
            // Whatever features of reqwest the rest of the program turns on.
            .no_gzip()
            .no_brotli()
            .no_deflate()
            .no_zstd()
            .no_hickory_dns()
            // A pooled connection belongs to the runtime that opened it, and
            // the next token request is hours away.
            .pool_max_idle_per_host(0)
            .connect_timeout(self.connect_timeout)
            .timeout(self.timeout);
        if is_loopback {
            // The name is not looked up: it must mean this machine. The port
            // is taken from the URL.
            let loopback = [
                SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
                SocketAddr::from((Ipv6Addr::LOCALHOST, 0)),
            ];
            builder = builder.no_proxy().resolve_to_addrs("localhost", &loopback);
        }
        self.roots.apply(builder)
    }
}

impl fmt::Debug for ReqwestTransportBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReqwestTransportBuilder")
            .field("insecure_loopback", &self.insecure_loopback)
            .field("connect_timeout", &self.connect_timeout)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

fn configuration(error: ConfigurationError) -> TransportError {
    TransportError::new(TransportErrorKind::Configuration, error)
}

#[cfg(test)]
mod tests;
