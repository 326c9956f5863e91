//! What every HTTP client of this crate is built with, and the clients, built
//! when they are first needed.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::OnceLock,
    time::Duration,
};

use bloom_auth_core::{ConfigurationError, chain};
use http::HeaderValue;
use reqwest::{Client, ClientBuilder};

use crate::tls::Tls;

/// The name of the crate that people depend on and will look for, though the
/// request is made by this one; all of ours have the same version.
const USER_AGENT: &str = concat!("bloom-auth/", env!("CARGO_PKG_VERSION"));

/// Whom to trust and how to get there: what does not depend on what a client
/// is for.
#[derive(Clone)]
pub(crate) struct HttpSettings {
    pub(crate) insecure_loopback: bool,
    pub(crate) connect_timeout: Duration,
    pub(crate) tls: Tls,
    user_agent: HeaderValue,
    #[cfg(feature = "http2")]
    pub(crate) http2: bool,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            insecure_loopback: false,
            connect_timeout: Duration::from_secs(3),
            tls: Tls::default(),
            user_agent: HeaderValue::from_static(USER_AGENT),
            #[cfg(feature = "http2")]
            http2: false,
        }
    }
}

impl HttpSettings {
    /// Sets what the client calls itself.
    pub(crate) fn set_user_agent(&mut self, user_agent: &str) -> Result<(), ConfigurationError> {
        let is_good = |byte: &u8| matches!(byte, b' '..=b'~');
        let value = HeaderValue::from_str(user_agent).ok();
        let value = value.filter(|value| {
            let bytes = value.as_bytes();
            bytes.iter().all(is_good) && !bytes.trim_ascii().is_empty()
        });
        self.user_agent = value.ok_or_else(|| {
            ConfigurationError::new(
                "user agent",
                "is empty, or holds something else than printable ASCII",
                "give a name and a version, such as `my-service/1.2`",
            )
        })?;
        Ok(())
    }

    /// Finds what can be found without building a client.
    pub(crate) fn check(&self) -> Result<(), ConfigurationError> {
        check_timeout("connect timeout", self.connect_timeout)?;
        self.tls.check()
    }

    /// To be added to: pool, redirects, retries and time limits are reqwest's
    /// defaults.
    pub(crate) fn client_builder(&self, is_loopback: bool) -> reqwest::Result<ClientBuilder> {
        let mut builder = Client::builder()
            .user_agent(self.user_agent.clone())
            .referer(false)
            .https_only(!self.insecure_loopback)
            .no_hickory_dns()
            .connect_timeout(self.connect_timeout);
        if !self.is_http2() {
            builder = builder.http1_only();
        }
        if is_loopback {
            // The name is not looked up: it must mean this machine. The port
            // is taken from the URL.
            let loopback = [
                SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
                SocketAddr::from((Ipv6Addr::LOCALHOST, 0)),
            ];
            builder = builder.no_proxy().resolve_to_addrs("localhost", &loopback);
        }
        self.tls.apply(builder)
    }

    #[cfg(feature = "http2")]
    fn is_http2(&self) -> bool {
        self.http2
    }

    #[cfg(not(feature = "http2"))]
    #[expect(clippy::unused_self, reason = "the same shape as with the feature")]
    fn is_http2(&self) -> bool {
        false
    }
}

/// No time at all is a mistake, not a wish.
pub(crate) fn check_timeout(
    setting: &'static str,
    timeout: Duration,
) -> Result<(), ConfigurationError> {
    if timeout.is_zero() {
        return Err(ConfigurationError::new(setting, "is zero", "give it time"));
    }
    Ok(())
}

/// What a client is for: its pool, redirects, retries and time limits.
type Purpose = dyn Fn(ClientBuilder) -> ClientBuilder + Send + Sync;

/// Two clients with the same settings: one for loopback, which no proxy may
/// stand before, and one for everywhere else. Each is built by the first
/// request that needs it.
pub(crate) struct Clients {
    settings: HttpSettings,
    purpose: Box<Purpose>,
    remote: OnceLock<Client>,
    loopback: OnceLock<Client>,
}

impl Clients {
    pub(crate) fn new(
        settings: HttpSettings,
        purpose: impl Fn(ClientBuilder) -> ClientBuilder + Send + Sync + 'static,
    ) -> Self {
        Self {
            settings,
            purpose: Box::new(purpose),
            remote: OnceLock::new(),
            loopback: OnceLock::new(),
        }
    }

    pub(crate) fn settings(&self) -> &HttpSettings {
        &self.settings
    }

    /// The client for this destination.
    pub(crate) fn get(&self, is_loopback: bool) -> Result<&Client, ConfigurationError> {
        let slot = if is_loopback {
            &self.loopback
        } else {
            &self.remote
        };
        if let Some(client) = slot.get() {
            return Ok(client);
        }
        let client = self.builder(is_loopback).and_then(ClientBuilder::build);
        let client = client.map_err(|error| {
            // The most common reason: no root certificates on the machine.
            ConfigurationError::new(
                "HTTP client",
                format!("cannot be built ({})", chain(&error.without_url())),
                "install the system's CA certificates (Debian: `ca-certificates`), or give \
                 root certificates of your own",
            )
        })?;
        Ok(slot.get_or_init(|| client))
    }

    fn builder(&self, is_loopback: bool) -> reqwest::Result<ClientBuilder> {
        let builder = self.settings.client_builder(is_loopback)?;
        Ok((self.purpose)(builder))
    }

    /// Lets a test go to loopback as to any other host, with names of its own.
    #[cfg(test)]
    pub(crate) fn resolve_loopback_by(
        &self,
        resolver: std::sync::Arc<impl reqwest::dns::Resolve + 'static>,
    ) {
        let builder = self.builder(false).unwrap().no_proxy();
        let client = builder.dns_resolver(resolver).build();
        self.loopback.set(client.unwrap()).unwrap();
    }
}

#[cfg(test)]
mod tests;
