//! Many providers behind one call: a key's provider is built when it is first
//! asked for, and goes when it has not been for long.
//!
//! - [`eviction`] says who goes; it is pure.
//! - [`shard`] holds the locks. This module is the shell: it reads the clock,
//!   and calls the factory.

mod builder;
mod eviction;
mod shard;

use std::{
    fmt,
    hash::{BuildHasher, Hash, RandomState},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use http::HeaderValue;

pub use builder::TokenProvidersBuilder;

use self::{eviction::Limits, shard::Shard};
use crate::{
    clock::AnyClock,
    error::{ConfigurationError, Error},
    provider::{Prepared, Rejection, TokenProvider},
    token::AccessToken,
};

/// How a key's provider is built.
type Factory<K> = dyn Fn(&K) -> Result<TokenProvider, ConfigurationError> + Send + Sync;

/// A [`TokenProvider`] for each key (a tenant, an audience, a set of scopes),
/// all behind one call.
///
/// A provider is built by the factory when its key is first asked for. Keys
/// have nothing to do with each other: each has its own token, its own single
/// fetch, and its own trouble. Clones share everything, and nothing is spawned.
///
/// # What is kept
///
/// At most [`max_providers`](TokenProvidersBuilder::max_providers), beyond those
/// in use. When another provider is built, those go that nobody has asked for
/// during [`idle_after`](TokenProvidersBuilder::idle_after), and then, of too
/// many, the least recently used, by an order that is precise to about a second,
/// and above some thousand providers is that of a part of them. In a process
/// that builds no more, idle ones stay.
///
/// A provider that is in use stays: while a call waits for it, while it
/// fetches, and as long as somebody holds a handle from [`get`](Self::get). So
/// there are never two of a key that anybody could tell apart, unless one was
/// [removed](Self::remove).
///
/// With a provider goes its token, and what it remembers of failures and
/// rejections. A key that comes back costs a token request, even if its last
/// token would still be good; a [`TokenCache`](crate::TokenCache) that the
/// providers share saves that.
///
/// # Keys
///
/// Their `Eq` runs under a lock, and must not call back; everything else of a
/// key, the factory, and what providers are made of is called and dropped
/// without one. If one of them panics, the panic is that of the call,
/// and others are not harmed.
///
/// # Example
///
/// ```
/// use bloom_auth_core::{
///     AuthVersion, ClientCredentials, ClientId, ClientSecret, ConfigurationError, Environment,
///     TokenProvider, TokenProviders,
/// };
/// # use bloom_auth_core::{RequestBody, ResponseBody, Transport, TransportError};
/// #
/// # #[derive(Clone, Debug)]
/// # struct MyTransport;
/// #
/// # #[async_trait::async_trait]
/// # impl Transport for MyTransport {
/// #     async fn send(
/// #         &self,
/// #         request: http::Request<RequestBody>,
/// #     ) -> Result<http::Response<ResponseBody>, TransportError> {
/// #         let is_acme = request.into_body().as_bytes().windows(4).any(|it| it == b"acme");
/// #         let mut body = ResponseBody::new();
/// #         body.push(br#"{"token_type":"Bearer","access_token":""#)?;
/// #         body.push(if is_acme { b"abc\"}" } else { b"xyz\"}" })?;
/// #         Ok(http::Response::new(body))
/// #     }
/// # }
/// #
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
///
/// fn credentials(tenant: &str) -> Result<ClientCredentials, ConfigurationError> {
///     let secret = ClientSecret::new(format!("{tenant}'s, from a vault"))?;
///     Ok(ClientCredentials::new(ClientId::new(tenant)?, secret))
/// }
///
/// let transport = MyTransport; // one for all: it is costly to build
/// let providers = TokenProviders::builder(move |tenant: &String| {
///     let environment = Environment::sandbox(AuthVersion::V1);
///     TokenProvider::builder(environment, credentials(tenant)?, transport.clone()).build()
/// })
/// .build()?;
///
/// assert_eq!(providers.authorization(&"acme".to_owned()).await?, "Bearer abc");
/// assert_eq!(providers.authorization(&"zeta".to_owned()).await?, "Bearer xyz");
/// assert_eq!(providers.len(), 2);
/// # Ok(())
/// # }
/// ```
pub struct TokenProviders<K>(Arc<Inner<K>>);

struct Inner<K> {
    factory: Box<Factory<K>>,
    clock: AnyClock,
    limits: Limits,
    /// Chooses the shard.
    hasher: RandomState,
    /// Their number is a power of two.
    shards: Box<[Shard<K>]>,
    /// How many providers there are in all shards.
    total: AtomicUsize,
}

impl<K: Eq + Hash + Clone + Send + Sync + 'static> TokenProviders<K> {
    /// A builder for the providers that this factory builds.
    ///
    /// The factory should build a new provider each time: a handle that it
    /// keeps for itself keeps the provider in use. Calls that ask for a key at
    /// the same time may each have a provider built; they all get the same one,
    /// and the others are dropped unused.
    pub fn builder<F>(factory: F) -> TokenProvidersBuilder<K>
    where
        F: Fn(&K) -> Result<TokenProvider, ConfigurationError> + Send + Sync + 'static,
    {
        TokenProvidersBuilder::new(Box::new(factory))
    }

    /// The current access token of this key: see [`TokenProvider::token`].
    ///
    /// # Errors
    ///
    /// [`Error`] as there, and of kind
    /// [`Configuration`](crate::ErrorKind::Configuration) if the factory
    /// fails. That is not kept: the next call asks the factory again.
    ///
    /// # Cancellation
    ///
    /// Dropping the future takes nothing from other callers: the fetch goes on,
    /// and its result is kept.
    pub async fn token(&self, key: &K) -> Result<AccessToken, Error> {
        if let Some(token) = self.fresh(key, Prepared::token) {
            return Ok(token);
        }
        let provider = self.get(key)?;
        provider.token().await
    }

    /// The current token of this key as the value of an `Authorization` header:
    /// see [`TokenProvider::authorization`].
    ///
    /// # Errors
    ///
    /// As [`token`](Self::token).
    ///
    /// # Cancellation
    ///
    /// As [`token`](Self::token).
    pub async fn authorization(&self, key: &K) -> Result<HeaderValue, Error> {
        if let Some(value) = self.fresh(key, Prepared::authorization) {
            return Ok(value);
        }
        let provider = self.get(key)?;
        provider.authorization().await
    }

    /// The current token of this key as a header value, if a usable one is
    /// held; never waits, except for the factory. See
    /// [`TokenProvider::try_authorization`].
    ///
    /// Also `None` if the factory fails; [`get`](Self::get) says why.
    #[must_use]
    pub fn try_authorization(&self, key: &K) -> Option<HeaderValue> {
        if let Some(value) = self.fresh(key, Prepared::authorization) {
            return Some(value);
        }
        self.get(key).ok()?.try_authorization()
    }

    /// Says that the API refused this very token (401) of this key: see
    /// [`TokenProvider::reject`].
    ///
    /// The key's provider is built if there is none (any more), since a cache
    /// may still have the token.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`] of the factory.
    pub fn reject(&self, key: &K, token: &AccessToken) -> Result<Rejection, ConfigurationError> {
        Ok(self.get(key)?.reject(token))
    }

    /// What is taken from this key's token, if it is there and fresh: the path
    /// of nearly every call. The handle of the provider is not cloned, whose
    /// count every caller would write.
    #[inline]
    fn fresh<T>(&self, key: &K, take: impl FnOnce(&Prepared) -> T) -> Option<T> {
        let inner = &*self.0;
        let now = inner.clock.monotonic();
        let hash = inner.hasher.hash_one(key);
        let shard = inner.shard(hash);
        let glimpse = shard.read(key, hash, now, inner.limits, |provider| {
            provider.glimpse(&inner.clock, now, take)
        })?;
        // A foreign clock is asked, and dropped, without the lock.
        glimpse.if_fresh()
    }

    /// The provider of this key; built if there is none.
    ///
    /// It stays, also if too many are there, as long as the handle exists.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`] of the factory. It is not kept: the next call
    /// asks the factory again.
    pub fn get(&self, key: &K) -> Result<TokenProvider, ConfigurationError> {
        let inner = &*self.0;
        let hash = inner.hasher.hash_one(key);
        let shard = inner.shard(hash);
        // Each round is a removal that came between: what the factory built may
        // be what was to be removed.
        loop {
            let now = inner.clock.monotonic();
            let absent = match shard.get(key, hash, now, inner.limits) {
                Ok(provider) => return Ok(provider),
                Err(absent) => absent,
            };
            let built = (inner.factory)(key)?;
            let (key, now) = (key.clone(), inner.clock.monotonic());
            let added = shard.add(&absent, key, built, now, inner.limits, &inner.total);
            if let Some(provider) = added {
                return Ok(provider);
            }
        }
    }

    /// Forgets the provider of this key, and returns whether there was one:
    /// for a tenant that is gone or has other settings now.
    ///
    /// Whoever has a handle of it or waits for it can go on; without either, a
    /// fetch of it ends. Calls that begin after this get a provider that the
    /// factory builds after this.
    pub fn remove(&self, key: &K) -> bool {
        let hash = self.0.hasher.hash_one(key);
        self.0.shard(hash).remove(key, hash, &self.0.total)
    }

    /// How many providers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.total.load(Ordering::Relaxed)
    }

    /// Whether there is no provider.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K> Inner<K> {
    #[expect(
        clippy::indexing_slicing,
        reason = "the remainder is less than the number of shards, which is not 0"
    )]
    fn shard(&self, hash: u64) -> &Shard<K> {
        match &*self.shards {
            [only] => only,
            shards => &shards[shard::number(hash, shards.len())],
        }
    }
}

impl<K> Clone for TokenProviders<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K> fmt::Debug for TokenProviders<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let providers = self.0.total.load(Ordering::Relaxed);
        write!(f, "TokenProviders({providers})")
    }
}
