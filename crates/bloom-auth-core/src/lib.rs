//! Token model, OAuth 2.0 client credentials protocol and token engine for
//! Bloom Credit's API, for any HTTP client.
//!
//! Most programs want the facade, `bloom-auth`, which brings an HTTP client.
//! This crate is for those who have one of their own: implement
//! [`Transport`], which has one method, and the whole engine is yours.
//!
//! ```
//! use std::sync::Arc;
//!
//! use async_trait::async_trait;
//! use bloom_auth_core::{
//!     AuthVersion, ClientCredentials, ClientId, ClientSecret, Environment, RequestBody,
//!     ResponseBody, TokenProvider, Transport, TransportError,
//! };
//! use http::{Request, Response};
//!
//! /// Stands for an HTTP client; `examples/custom_transport.rs` has a real one.
//! #[derive(Debug)]
//! struct MyTransport;
//!
//! #[async_trait]
//! impl Transport for MyTransport {
//!     async fn send(
//!         &self,
//!         request: Request<RequestBody>,
//!     ) -> Result<Response<ResponseBody>, TransportError> {
//!         assert_eq!(request.uri(), "https://auth.bloom.dev/oauth/token");
//!         let mut body = ResponseBody::new();
//!         body.push(br#"{"access_token":"abc","token_type":"Bearer","expires_in":86400}"#)?;
//!         Ok(Response::new(body))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let credentials = ClientCredentials::new(
//!     ClientId::new("my-backend")?,
//!     ClientSecret::new("from a vault".to_owned())?,
//! );
//! let environment = Environment::sandbox(AuthVersion::V1);
//! let provider = TokenProvider::builder(environment, credentials, MyTransport).build()?;
//!
//! assert_eq!(provider.authorization().await?, "Bearer abc");
//! # Ok(())
//! # }
//! ```
//!
//! # What is where
//!
//! - [`TokenProvider`]: the engine. It decides when to fetch, shares each fetch
//!   among all callers, and says of itself what it does ([`Status`]).
//! - [`Bearer`]: puts the token into requests to the API, and replaces it when
//!   the API refuses it.
//! - [`TokenProviders`]: one engine for each of many keys, such as tenants;
//!   [`FetchLimit`]: how many of them may ask at once.
//! - [`Environment`], [`Scopes`], [`ClientAuthentication`]: what to ask for.
//! - [`CredentialsSource`]: who asks; [`EnvironmentCredentials`],
//!   [`FileCredentials`], or [`ClientCredentials`] that never change: with a
//!   secret, an [`AssertionSigner`], or a client certificate.
//! - [`Transport`], [`TokenCache`], [`Clock`], [`Entropy`]: what to plug in.
//! - [`Error`], with [`Error::kind`] and [`Error::recovery`]: why there is no
//!   token, and what makes it work again.
//! - [`protocol`]: the wire, without I/O.
//!
//! # Events
//!
//! The engine, the file cache and the facade emit [`tracing`] events. Targets,
//! levels and fields are as stable as the rest of the interface; messages are
//! not. None holds a secret or a token.
//!
//! | target | level | fields | crate | when |
//! |---|---|---|---|---|
//! | `bloom_auth.fetch` | info | `reason`, `attempt`, `outcome`, `from`, `lifetime`, `fingerprint` | `bloom-auth-core` | the server gave a token |
//! | `bloom_auth.fetch` | debug | `outcome`, `from`, `fingerprint` | `bloom-auth-core` | the cache held one |
//! | `bloom_auth.fetch` | warn | `reason`, `attempt`, `outcome`, `error` | `bloom-auth-core` | a token request failed, or its assertion could not be signed |
//! | `bloom_auth.fetch` | warn | `outcome`, `error` | `bloom-auth-core` | the whole fetch failed, or got no credentials |
//! | `bloom_auth.fetch` | warn | `lifetime` | `bloom-auth-core` | the server named no lifetime, so this one is assumed |
//! | `bloom_auth.fetch` | debug | `content_type` | `bloom-auth-core` | a token response does not call itself JSON, and is one |
//! | `bloom_auth.fetch` | warn | `missing` | `bloom-auth-core` | these scopes were asked for and not granted |
//! | `bloom_auth.cache` | warn | `operation`, `error` | `bloom-auth-core` | a call of the cache failed or took too long |
//! | `bloom_auth.cache` | debug | `fingerprint` | `bloom-auth-core` | a cached token is over, or claims to come from the future |
//! | `bloom_auth.reject` | warn | `outcome`, `fingerprint` | `bloom-auth-core` | the API rejected a token |
//! | `bloom_auth.api` | warn | `missing`, `fingerprint` | `bloom-auth-core` | the API wants a scope that the token does not have; `missing` if it says which |
//! | `bloom_auth.cache` | warn | `directory`, `file`, `problem` | `bloom-auth-cache` | a file of the cache is of no use: once, until that changes |
//! | `bloom_auth.cache` | warn | `server`, `key`, `problem` | `bloom-auth-cache` | an entry in Redis is of no use: once, until that changes |
//! | `bloom_auth.cache` | warn | `server`, `problem` | `bloom-auth-cache` | a Redis server went out of reach: once a minute at most |
//! | `bloom_auth.cache` | info | `server` | `bloom-auth-cache` | it is of use again |
//! | `bloom_auth.cache` | warn | `error` | `bloom-auth` | there is no place for a file cache, so tokens are kept in memory |
//!
//! `reason` says why there was a fetch, `attempt` counts from 1, `outcome` is
//! `token`, the kind of an error or what a rejection came to, `from` is `server`
//! or `cache`, `lifetime` is in seconds, `fingerprint` is the short name of a
//! token, and `error` holds an error with its causes.
//!
//! How often things happen is in [`Status::counts`], too.
//!
//! # Crate features
//!
//! - `private-key-jwt`: `PrivateKey`, which signs assertions for clients that
//!   have no secret; and `PrivateKeyFile`, which reads one from a file.
//! - `metrics`: `StatusMetrics`, which publishes a provider's [`Status`] through
//!   the `metrics` crate.
//! - `test-util`: clocks, a scripted transport and server, conformance suites
//!   for [`Transport`] and [`TokenCache`], mocks of the traits. For tests alone,
//!   and not covered by the promises of semantic versioning.

#![forbid(unsafe_code)]
// On docs.rs, items say which feature they need.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod bearer;
mod cache;
mod client;
mod clock;
mod credentials;
mod entropy;
mod environment;
mod error;
#[cfg(feature = "metrics")]
mod metrics;
mod pem;
#[cfg(feature = "private-key-jwt")]
mod private_key;
pub mod protocol;
mod provider;
mod providers;
mod scope;
mod signer;
#[cfg(any(test, feature = "test-util"))]
#[cfg_attr(
    not(feature = "test-util"),
    expect(dead_code, unreachable_pub, reason = "public with that feature")
)]
mod test_keys;
#[cfg(feature = "test-util")]
pub mod test_util;
mod token;
mod transport;
mod url;

pub use bearer::{Attachment, Bearer, Exchange, Origin, Verdict};
pub use cache::{
    CacheAccess, CacheError, CacheKey, CacheRecord, Lease, LeaseGuard, Refusal, RefusalKind,
    TokenCache,
};
pub use client::{ClientCredentials, ClientId, ClientSecret, CredentialTag};
pub use clock::{Clock, SystemClock, Timestamp};
#[cfg(feature = "private-key-jwt")]
pub use credentials::PrivateKeyFile;
pub use credentials::{
    CredentialsError, CredentialsSource, EnvironmentCredentials, EnvironmentLookup, FileCredentials,
};
pub use entropy::{Entropy, SystemEntropy};
pub use environment::{AuthVersion, ClientAuthentication, Environment, EnvironmentBuilder};
pub use error::{ConfigurationError, Error, ErrorKind, Recovery, chain};
#[cfg(feature = "metrics")]
pub use metrics::StatusMetrics;
#[cfg(feature = "private-key-jwt")]
pub use private_key::PrivateKey;
pub use provider::{
    Counts, FetchLimit, KeepWarm, Rejection, Status, TokenBudget, TokenProvider,
    TokenProviderBuilder, TokenState,
};
pub use providers::{TokenProviders, TokenProvidersBuilder};
pub use scope::Scopes;
pub use signer::{AssertionSigner, SigningAlgorithm};
pub use token::{AccessToken, Fingerprint, TokenHash};
pub use transport::{
    MAX_BODY_BYTES, RequestBody, ResponseBody, Transport, TransportError, TransportErrorKind,
};
pub use url::is_loopback;
