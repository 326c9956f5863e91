//! Access tokens for Bloom Credit's API: fetched once, kept until they expire,
//! replaced before callers notice.
//!
//! [`BloomAuth`] is all that most programs need:
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use bloom_auth::BloomAuth;
//!
//! let auth = BloomAuth::from_env()?; // once, at the start
//! let response = auth.api().get("/v2/core/organization").send().await?;
//! # Ok(())
//! # }
//! ```
//!
//! It asks for a token when the first one is needed, shares it among all
//! callers, and fetches the next one in the background before the old one
//! expires. How it meets faults is said at [`TokenProvider`], [`Error`] and
//! [`Rejection`].
//!
//! The [`guide`] has a page for each way to call the API (reqwest, its
//! middlewares, tower, tonic, axum, any other client, no runtime at all), and for
//! workers, fleets, many tenants, clients without a secret, and tests of your own.
//!
//! # Settings
//!
//! [`BloomAuth::from_env`] reads these variables. One that is set, but empty, is
//! an error; and one of spaces alone, unless it is the secret, which may have any.
//!
//! | variable | value | default |
//! |---|---|---|
//! | `BLOOM_CLIENT_ID` | the client id | required |
//! | `BLOOM_CLIENT_SECRET` | the client secret | required, or the next |
//! | `BLOOM_CLIENT_SECRET_FILE` | a file that holds the secret, read again at every fetch | |
//! | `BLOOM_ENVIRONMENT` | `sandbox` or `production` | `sandbox` |
//! | `BLOOM_AUTH_VERSION` | `v1` or `v2` | `v1` |
//! | `BLOOM_SCOPE` | scopes, separated by spaces; `v2` needs one, `v1` takes none | |
//! | `BLOOM_AUDIENCE` | the audience | the environment's |
//! | `BLOOM_TOKEN_URL` | the token endpoint | the environment's |
//! | `BLOOM_API_URL` | the URL under which the API's paths stand | the environment's |
//! | `BLOOM_CLIENT_AUTH` | by what the client proves who it is: `post` or `basic`, its secret; `private_key_jwt` (feature `private-key-jwt`), assertions that it signs; `tls_client_auth`, its certificate | `post` |
//! | `BLOOM_PRIVATE_KEY_FILE` | for `private_key_jwt`: a PEM file of the client's private key (RSA, P-256 or Ed25519), read again at every fetch | |
//! | `BLOOM_PRIVATE_KEY_ID` | for `private_key_jwt`: the name by which the server knows the key (`kid`) | none |
//! | `BLOOM_ASSERTION_AUDIENCE` | for `private_key_jwt`: whom the assertions are for (`aud`) | the token endpoint |
//! | `BLOOM_CA_FILE` | a PEM file of root certificates to trust instead of the platform's | |
//! | `BLOOM_CLIENT_CERTIFICATE_FILE` | a PEM file of a client certificate and its private key, for servers that ask for one; for `tls_client_auth` it is the proof | |
//! | `BLOOM_ALLOW_INSECURE_LOOPBACK` | `true` allows plain http, to loopback only | `false` |
//! | `BLOOM_CACHE` | `memory` keeps tokens in memory alone (`none` is another word for it), `file` (feature `file`) in sealed files, for all processes of this user; the URL of a Redis or Valkey server (feature `redis`), such as `rediss://user:password@host:6379/0`, sealed there, for all machines that use it | `memory` |
//! | `BLOOM_CACHE_DIR` | an absolute path: where `file` keeps them; with the URL of a server, files there are asked first (feature `file`) | for `file`, `bloom-auth` in the platform's cache directory |
//!
//! `BLOOM_CACHE=file` needs the crate's feature `file`. With it, a client secret
//! of fewer than 32 characters (it could be guessed from the files), a client
//! without a secret (there is nothing to seal the files with) and a user without
//! a directory for caches are warned of by [`BloomAuth::from_env`], and tokens
//! are kept in memory. A directory that cannot be used is warned of by the first
//! fetch.
//!
//! With the URL of a server, clients that have nothing to seal with are warned of
//! in the same way; one that is away is warned of by the first fetch, and
//! providers go on without it. `redis://` is for servers on this machine, and
//! `unix:/path` for sockets; what else there is to know is with `RedisCache`.
//!
//! With `BLOOM_CACHE_DIR` as well, files in that directory are in front of the
//! server ([`Tiered`]): a program that starts finds its token there, and while
//! the server cannot be reached the processes of this user still share one.
//!
//! # Without the environment
//!
//! [`BloomAuth::builder`] takes the same settings as code, a
//! [`CredentialsSource`] of your own (a vault), and a [`TokenCache`] that
//! several providers share; [`BloomAuthBuilder::from_env`] joins these with the
//! variables. [`TokenProviders`] keeps a [`TokenProvider`] for each of many
//! tenants. With an HTTP client other than reqwest, depend on
//! `bloom-auth-core` alone.
//!
//! # Without a shared secret
//!
//! A client whose public key the authorization server knows signs an assertion
//! for each token request (`private_key_jwt`), and sends no secret. With the
//! feature `private-key-jwt`, `BloomAuthBuilder::private_key` takes the key, and
//! `PrivateKeyFile` reads it again at every fetch; an [`AssertionSigner`] of your
//! own signs with a key that does not leave its hardware or its service.
//!
//! With a client certificate (`tls_client_auth`) the transport proves who the
//! client is, and [`ClientCredentials::with_certificate`] says so. Give it the
//! private key as well: with something public in its place, whoever shares a
//! cache and knows the client id would be handed the token.
//!
//! A client without a secret has nothing to seal a `FileCache` with: give it a
//! random key of 32 bytes (`Sealer::with_key`).
//!
//! # Many clients
//!
//! [`TokenProviders`] keeps a provider for each of many keys, such as tenants;
//! one transport and one cache serve all of them:
//!
//! ```
//! use std::sync::Arc;
//!
//! use bloom_auth::{
//!     AuthVersion, ClientCredentials, ClientId, ClientSecret, Environment, MemoryCache,
//!     ReqwestTransport, TokenProvider, TokenProviders,
//! };
//!
//! # fn main() -> Result<(), bloom_auth::ConfigurationError> {
//! # let secret_of = |_: &str| "from a vault".to_owned();
//! let transport = Arc::new(ReqwestTransport::builder().build()?);
//! let cache = MemoryCache::new(); // or `MokaCache`, for thousands
//! let providers = TokenProviders::builder(move |tenant: &String| {
//!     let (id, secret) = (ClientId::new(tenant)?, ClientSecret::new(secret_of(tenant))?);
//!     let credentials = ClientCredentials::new(id, secret);
//!     let environment = Environment::sandbox(AuthVersion::V1);
//!     TokenProvider::builder(environment, credentials, transport.clone())
//!         .cache(cache.clone())
//!         .build()
//! })
//! .build()?;
//! // providers.authorization(&tenant).await
//! # Ok(())
//! # }
//! ```
//!
//! # Runtime
//!
//! A fetch is a task of the tokio runtime in which the caller runs; the
//! runtime needs its I/O and time drivers. Callers that find a usable token
//! need no runtime. Programs that have none use `blocking::BloomAuth` (feature
//! `blocking`), which shares the provider with async callers.
//!
//! # Crate features
//!
//! - `rustls` (default, and the only one that is): TLS by rustls with aws-lc-rs,
//!   on the platform's root certificates unless own ones are given.
//! - `blocking`: the module of that name, for programs without an async runtime.
//! - `file`: `FileCache` and `Sealer`; needed for `BLOOM_CACHE=file`.
//! - `http2`: HTTP/2 for token requests and the API, where [`BloomAuthBuilder`]
//!   is told so and the server agrees.
//! - `native-tls`: TLS by the platform's own library, where
//!   [`BloomAuthBuilder`] is told so or `rustls` is off. On Linux that is
//!   OpenSSL, whose headers are needed to build.
//! - `private-key-jwt`: `PrivateKey` and `PrivateKeyFile`, for clients that prove
//!   who they are by signed assertions in the place of a secret.
//! - `metrics`: `StatusMetrics`, which publishes a provider's [`Status`] through
//!   the `metrics` crate.
//! - `middleware`: `BearerMiddleware`, which puts the token into requests of
//!   clients that are built of `reqwest-middleware`.
//! - `moka`: `MokaCache`, which shares the tokens of thousands of clients
//!   within a bound.
//! - `redis`: `RedisCache`, which shares one token among the machines of a fleet,
//!   and `Sealer`.
//! - `tower`: `BearerLayer`, which puts the token into the requests of hyper,
//!   axum and tonic clients; made by `BloomAuth::bearer_layer`.

#![forbid(unsafe_code)]
// On docs.rs, items say which feature they need.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod auth;
#[cfg(feature = "blocking")]
pub mod blocking;
mod exchange;
// Pages to read, and code to test.
#[cfg(any(doc, doctest))]
pub mod guide;
mod http_options;
mod settings;

pub use auth::{BloomAuth, BloomAuthBuilder};
#[cfg(feature = "file")]
#[doc(inline)]
pub use bloom_auth_cache::{FileCache, FileCacheBuilder, FileCacheEntry};
#[cfg(any(feature = "file", feature = "redis"))]
#[doc(inline)]
pub use bloom_auth_cache::{MAX_SEALED_BYTES, SealError, Sealer};
#[doc(inline)]
pub use bloom_auth_cache::{MemoryCache, Tiered};
#[cfg(feature = "moka")]
#[doc(inline)]
pub use bloom_auth_cache::{MokaCache, MokaCacheBuilder};
#[cfg(feature = "redis")]
#[doc(inline)]
pub use bloom_auth_cache::{RedisCache, RedisCacheBuilder};
/// All of the core crate, for what is not here by name.
#[doc(no_inline)]
pub use bloom_auth_core as core;
#[cfg(feature = "metrics")]
#[doc(inline)]
pub use bloom_auth_core::StatusMetrics;
#[doc(inline)]
pub use bloom_auth_core::{
    AccessToken, AssertionSigner, Attachment, AuthVersion, Bearer, CacheAccess, CacheError,
    CacheKey, CacheRecord, ClientAuthentication, ClientCredentials, ClientId, ClientSecret, Clock,
    ConfigurationError, Counts, CredentialsError, CredentialsSource, Entropy, Environment,
    EnvironmentBuilder, EnvironmentCredentials, Error, ErrorKind, Exchange, FetchLimit,
    FileCredentials, Fingerprint, KeepWarm, Lease, LeaseGuard, Origin, Recovery, Rejection,
    RequestBody, ResponseBody, Scopes, SigningAlgorithm, Status, SystemClock, SystemEntropy,
    Timestamp, TokenBudget, TokenCache, TokenHash, TokenProvider, TokenProviders,
    TokenProvidersBuilder, TokenState, Transport, TransportError, TransportErrorKind, Verdict,
};
#[cfg(feature = "private-key-jwt")]
#[doc(inline)]
pub use bloom_auth_core::{PrivateKey, PrivateKeyFile};
#[cfg(feature = "middleware")]
#[doc(inline)]
pub use bloom_auth_reqwest::BearerMiddleware;
#[doc(inline)]
pub use bloom_auth_reqwest::{
    AuthorizedClient, AuthorizedClientBuilder, RequestBuilder, RequestError, ReqwestTransport,
    ReqwestTransportBuilder,
};
/// All of the tower crate, for what is not here by name.
#[cfg(feature = "tower")]
#[doc(no_inline)]
pub use bloom_auth_tower as tower;
#[cfg(feature = "tower")]
#[doc(inline)]
pub use bloom_auth_tower::{BearerLayer, BearerService};

// The project's first page: what it shows must compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
