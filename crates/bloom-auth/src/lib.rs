//! Access tokens for Bloom Credit's API.

#![forbid(unsafe_code)]

mod auth;
mod settings;

pub use auth::{BloomAuth, BloomAuthBuilder};
#[doc(inline)]
pub use bloom_auth_cache::MemoryCache;
#[doc(inline)]
pub use bloom_auth_core::{
    AccessToken, AuthVersion, CacheAccess, CacheError, CacheKey, CacheRecord, ClientAuthentication,
    ClientCredentials, ClientId, ClientSecret, Clock, ConfigurationError, Counts, CredentialsError,
    CredentialsSource, Entropy, Environment, EnvironmentBuilder, EnvironmentCredentials, Error,
    ErrorKind, FileCredentials, Fingerprint, Lease, LeaseGuard, Recovery, Rejection, ResponseBody,
    Scopes, Status, SystemClock, Timestamp, TokenCache, TokenHash, TokenProvider, TokenState,
    Transport, TransportError, TransportErrorKind,
};
#[doc(inline)]
pub use bloom_auth_reqwest::{ReqwestTransport, ReqwestTransportBuilder};
