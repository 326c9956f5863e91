//! mockall's mocks of the traits, for expectations on calls. They cannot model
//! a call that stays pending: use [`ScriptedTransport`](super::ScriptedTransport)
//! for that.

use std::fmt;

use async_trait::async_trait;
use http::{Request, Response};
use mockall::mock;

use crate::{
    cache::{CacheAccess, CacheError, CacheRecord, Lease, TokenCache},
    client::ClientCredentials,
    credentials::{CredentialsError, CredentialsSource},
    token::TokenHash,
    transport::{RequestBody, ResponseBody, Transport, TransportError},
};

mock! {
    /// A mock of [`Transport`].
    pub Transport {}

    #[async_trait]
    impl Transport for Transport {
        async fn send(
            &self,
            request: Request<RequestBody>,
        ) -> Result<Response<ResponseBody>, TransportError>;
    }

    impl fmt::Debug for Transport {
        fn fmt<'a>(&self, f: &mut fmt::Formatter<'a>) -> fmt::Result;
    }
}

mock! {
    /// A mock of [`CredentialsSource`].
    pub CredentialsSource {}

    #[async_trait]
    impl CredentialsSource for CredentialsSource {
        async fn credentials(&self) -> Result<ClientCredentials, CredentialsError>;
    }

    impl fmt::Debug for CredentialsSource {
        fn fmt<'a>(&self, f: &mut fmt::Formatter<'a>) -> fmt::Result;
    }
}

mock! {
    /// A mock of [`TokenCache`].
    pub TokenCache {}

    #[async_trait]
    impl TokenCache for TokenCache {
        async fn load(&self, access: &CacheAccess) -> Result<Option<CacheRecord>, CacheError>;
        async fn store(&self, access: &CacheAccess, record: &CacheRecord) -> Result<(), CacheError>;
        async fn remove(&self, access: &CacheAccess, token: &TokenHash) -> Result<(), CacheError>;
        async fn lease(&self, access: &CacheAccess) -> Result<Lease, CacheError>;
    }

    impl fmt::Debug for TokenCache {
        fn fmt<'a>(&self, f: &mut fmt::Formatter<'a>) -> fmt::Result;
    }
}
