//! [`ReqwestTransport`]: one request at a time, with no habits that could
//! leak a secret.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use bloom_auth_core::{
    ConfigurationError, MAX_BODY_BYTES, RequestBody, ResponseBody, Transport, TransportError,
    TransportErrorKind, is_loopback,
};
use http::{Request, Response, uri::Scheme};
use reqwest::{ClientBuilder, redirect::Policy, retry};

use crate::{
    classify::classify,
    settings::{Clients, HttpSettings, check_timeout},
    tls,
};

/// Carries token requests through [`reqwest`].
///
/// https only (plain http to loopback where it was allowed by name), redirects
/// refused, no compression, no cookies, no retries of its own, no connection
/// kept for later. Proxies are taken from the environment (`HTTPS_PROXY`,
/// `ALL_PROXY`, `NO_PROXY`), and never for loopback. The HTTP client is built by the first
/// request.
pub struct ReqwestTransport {
    clients: Clients,
}

/// Builds a [`ReqwestTransport`].
#[must_use]
pub struct ReqwestTransportBuilder {
    http: HttpSettings,
    timeout: Duration,
}

impl ReqwestTransport {
    /// A builder with the defaults.
    pub fn builder() -> ReqwestTransportBuilder {
        ReqwestTransportBuilder {
            http: HttpSettings::default(),
            timeout: Duration::from_secs(10),
        }
    }
}

impl ReqwestTransport {
    pub(crate) fn settings(&self) -> &HttpSettings {
        self.clients.settings()
    }
}

/// What is particular to clients for token requests.
fn for_tokens(builder: ClientBuilder, timeout: Duration) -> ClientBuilder {
    builder
        .redirect(Policy::none())
        .retry(retry::never())
        // Whatever features of reqwest the rest of the program turns on.
        .no_gzip()
        .no_brotli()
        .no_deflate()
        .no_zstd()
        // A pooled connection belongs to the runtime that opened it, and the
        // next token request is hours away.
        .pool_max_idle_per_host(0)
        .timeout(timeout)
}

#[async_trait]
impl Transport for ReqwestTransport {
    async fn send(
        &self,
        request: Request<RequestBody>,
    ) -> Result<Response<ResponseBody>, TransportError> {
        let is_loopback = is_loopback(request.uri());
        let is_https = request.uri().scheme() == Some(&Scheme::HTTPS);
        let is_allowed = is_loopback && self.clients.settings().insecure_loopback;
        if !is_https && !is_allowed {
            return Err(configuration(ConfigurationError::new(
                "token URL",
                "is not https",
                "use https; plain http goes to loopback only, and only where it is allowed",
            )));
        }
        // reqwest would call it a connection that could not be opened, and that
        // is tried again.
        if is_https && !tls::IS_BUILT_IN {
            return Err(configuration(ConfigurationError::new(
                "token URL",
                "is https, and this build has no TLS",
                tls::HOW_TO_BUILD_IT_IN,
            )));
        }
        let client = self.clients.get(is_loopback).map_err(configuration)?;
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
            .field(
                "insecure_loopback",
                &self.clients.settings().insecure_loopback,
            )
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
        self.http.tls.trust(pem.as_ref())?;
        Ok(self)
    }

    /// Shows this certificate to a server that asks for one (mutual TLS): in
    /// PEM, the client's own certificate, those that link it to its root if
    /// there are any, and the private key, not encrypted. In the place of one
    /// that was given before.
    ///
    /// native-tls takes keys in PKCS#8 alone (`-----BEGIN PRIVATE KEY-----`).
    /// The copy of the key that is held here is zeroized; an HTTP client makes
    /// more of them.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`] that says what is missing or cannot be read, and
    /// never shows any of it; or if this crate was built without a TLS
    /// feature.
    pub fn client_certificate(mut self, pem: impl AsRef<[u8]>) -> Result<Self, ConfigurationError> {
        self.http.tls.present(pem.as_ref())?;
        Ok(self)
    }

    /// Does TLS by the platform's own library (OpenSSL on Linux) instead of
    /// rustls. Without the feature `rustls` that is so anyway.
    ///
    /// Certificates are checked by the library that is in use when they are
    /// given, so choose it first. The binding to OpenSSL takes a connection
    /// that somebody cut for one that the server closed: of an answer that
    /// tells no length, half may be taken for the whole. It is no token then,
    /// as half an object is no JSON.
    #[cfg(feature = "native-tls")]
    pub fn native_tls(mut self) -> Self {
        self.http.tls.use_native();
        self
    }

    /// Lets the server choose HTTP/2 when TLS is set up; by default, and with
    /// plain http, it is HTTP/1.1. One connection for each request all the
    /// same.
    #[cfg(feature = "http2")]
    pub fn http2(mut self) -> Self {
        self.http.http2 = true;
        self
    }

    /// Sets the `User-Agent` header: `bloom-auth/` and the version by default.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`] if it is empty or not printable ASCII.
    pub fn user_agent(mut self, user_agent: impl AsRef<str>) -> Result<Self, ConfigurationError> {
        self.http.set_user_agent(user_agent.as_ref())?;
        Ok(self)
    }

    /// Allows plain http, to this machine's loopback addresses only.
    pub fn allow_insecure_loopback(mut self) -> Self {
        self.http.insecure_loopback = true;
        self
    }

    /// Sets how long opening a connection may take, TLS included: 3 s by
    /// default.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.http.connect_timeout = timeout;
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
    /// [`ConfigurationError`] if a timeout is zero, or the TLS library that was
    /// chosen last cannot use the client certificate.
    pub fn build(self) -> Result<ReqwestTransport, ConfigurationError> {
        self.http.check()?;
        check_timeout("timeout", self.timeout)?;
        let timeout = self.timeout;
        let clients = Clients::new(self.http, move |builder| for_tokens(builder, timeout));
        Ok(ReqwestTransport { clients })
    }
}

impl fmt::Debug for ReqwestTransportBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReqwestTransportBuilder")
            .field("insecure_loopback", &self.http.insecure_loopback)
            .field("connect_timeout", &self.http.connect_timeout)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

fn configuration(error: ConfigurationError) -> TransportError {
    TransportError::new(TransportErrorKind::Configuration, error)
}

#[cfg(test)]
mod tests;
