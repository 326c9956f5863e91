//! What the tests of this binary share.

use std::time::{Duration, SystemTime};

use bloom_auth_core::{
    AuthVersion, CacheAccess, CacheRecord, ClientCredentials, ClientId, ClientSecret, Environment,
    protocol::TokenRequest,
};

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn credentials(id: &str) -> ClientCredentials {
    let secret = ClientSecret::new("canary-of-the-secret").unwrap();
    ClientCredentials::new(ClientId::new(id).unwrap(), secret)
}

pub(crate) fn access(id: &str) -> CacheAccess {
    CacheAccess::new(
        &TokenRequest::new(Environment::sandbox(AuthVersion::V1)),
        &credentials(id),
    )
}

pub(crate) fn record(token: &str, sent_at: SystemTime, lifetime: Duration) -> CacheRecord {
    CacheRecord::new(token, None, sent_at, lifetime).unwrap()
}
