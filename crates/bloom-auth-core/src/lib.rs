//! Skeleton.
#![forbid(unsafe_code)]

mod cache;
mod client;
mod clock;
mod credentials;
mod entropy;
mod environment;
mod error;
pub mod protocol;
mod provider;
mod scope;
#[cfg(feature = "test-util")]
pub mod test_util;
mod token;
mod transport;
mod url;

pub use cache::{CacheAccess, CacheError, CacheKey, CacheRecord, Lease, LeaseGuard, TokenCache};
pub use client::{ClientCredentials, ClientId, ClientSecret, CredentialTag};
pub use clock::{Clock, SystemClock, Timestamp};
pub use credentials::{
    CredentialsError, CredentialsSource, EnvironmentCredentials, EnvironmentLookup, FileCredentials,
};
pub use entropy::{Entropy, SystemEntropy};
pub use environment::{AuthVersion, ClientAuthentication, Environment, EnvironmentBuilder};
pub use error::{ConfigurationError, Error, ErrorKind, Recovery};
pub use provider::{Counts, Rejection, Status, TokenProvider, TokenProviderBuilder, TokenState};
pub use scope::Scopes;
pub use token::{AccessToken, Fingerprint, TokenHash};
pub use transport::{MAX_BODY_BYTES, ResponseBody, Transport, TransportError, TransportErrorKind};
pub use url::is_loopback;
