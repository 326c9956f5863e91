//! Parts whose calls take as long as a test wants.

use std::{fmt, future::Future};

use async_trait::async_trait;
use bloom_auth_core::{
    CacheAccess, CacheError, CacheRecord, ClientCredentials, CredentialsError, CredentialsSource,
    Lease, RequestBody, ResponseBody, TokenCache, TokenHash, Transport, TransportError,
};
use http::{Request, Response};

/// How long calls take.
pub(crate) trait Pace: fmt::Debug + Send + Sync {
    /// Makes the call, in the middle of several polls.
    fn slow<T: Send>(&self, call: impl Future<Output = T> + Send)
    -> impl Future<Output = T> + Send;
}

/// A part, and the pace of its calls.
#[derive(Debug)]
pub(crate) struct Slow<T, P>(pub(crate) T, pub(crate) P);

#[async_trait]
impl<T: Transport, P: Pace> Transport for Slow<T, P> {
    async fn send(
        &self,
        request: Request<RequestBody>,
    ) -> Result<Response<ResponseBody>, TransportError> {
        self.1.slow(self.0.send(request)).await
    }
}

#[async_trait]
impl<T: CredentialsSource, P: Pace> CredentialsSource for Slow<T, P> {
    async fn credentials(&self) -> Result<ClientCredentials, CredentialsError> {
        self.1.slow(self.0.credentials()).await
    }
}

#[async_trait]
impl<T: TokenCache, P: Pace> TokenCache for Slow<T, P> {
    async fn load(&self, access: &CacheAccess) -> Result<Option<CacheRecord>, CacheError> {
        self.1.slow(self.0.load(access)).await
    }

    async fn store(&self, access: &CacheAccess, record: &CacheRecord) -> Result<(), CacheError> {
        self.1.slow(self.0.store(access, record)).await
    }

    async fn remove(&self, access: &CacheAccess, token: &TokenHash) -> Result<(), CacheError> {
        self.1.slow(self.0.remove(access, token)).await
    }

    async fn lease(&self, access: &CacheAccess) -> Result<Lease, CacheError> {
        self.1.slow(self.0.lease(access)).await
    }
}
