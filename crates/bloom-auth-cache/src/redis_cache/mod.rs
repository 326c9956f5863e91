//! [`RedisCache`]: one token for the machines of a fleet.
//!
//! Keys of an entry, whose NAME is its [name](Sealer::name) in hexadecimal
//! digits. It stands in braces, so that the keys of an entry are on one node of
//! a cluster:
//!
//! - `PREFIX:{NAME}:t`: the sealed record, until it expires;
//! - `PREFIX:{NAME}:r`: a sealed refusal, while it is in force;
//! - `PREFIX:{NAME}:l`: the lease, with a random owner, for three seconds.
//!
//! A record is replaced and removed by scripts that compare it with the bytes on
//! which that was decided here, since only we can open it.

mod address;
mod entries;
mod guard;
mod lease;
mod open;
mod server;
mod tls;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bloom_auth_core::{
    CacheAccess, CacheError, CacheRecord, ClientCredentials, Clock, ConfigurationError, Lease,
    Refusal, SystemClock, TokenCache, TokenHash,
};
use zeroize::Zeroizing;

use self::{
    address::Address,
    entries::{Entries, MAX_READ, Notices},
    open::Opener,
    server::Server,
    tls::Roots,
};
use crate::seal::Sealer;

const DEFAULT_PREFIX: &str = "bloom-auth";
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1);
const MAX_TIMEOUT: Duration = Duration::from_secs(10);

/// Keeps tokens in Redis or Valkey, for all machines that use the same server:
/// they use one token, and one of them at a time fetches.
///
/// Every record is [sealed](Sealer), always, and the names of keys are keyed
/// hashes: who reads the server's memory or its files learns how many entries
/// there are, how large, and when they expire. A record that was changed, copied
/// to another key or planted is a miss and a warning, and the next token takes
/// its place. What was kept under a secret that was rotated has another name.
///
/// A server that is away, slow or out of order costs calls their time limit at
/// most, and the provider, which has limits of its own, goes on without it. A
/// connection that fails is opened again after a pause, which grows to a
/// second, and calls fail at once meanwhile.
///
/// Clones share the connection. There is one for each runtime of tokio's that
/// calls, which needs its timers and sockets as the provider does. It is opened
/// by the first call; nothing is opened by the builder.
///
/// # The server
///
/// Redis from 6.2 on, or Valkey; a single server, with replicas or a proxy before it if you
/// like. The names of keys are fit for a cluster, but other nodes of one are not looked up.
/// Nothing of it need be saved: a server that has lost everything costs one
/// token request.
///
/// A user of the server's needs the commands `GET`, `GETRANGE`, `SET`, `DEL`,
/// `PEXPIRE` and `EVAL` on the keys of the prefix:
///
/// ```text
/// ACL SETUSER bloom on >PASSWORD resetkeys ~bloom-auth:* -@all
///     +get +getrange +set +del +pexpire +eval +select
/// ```
///
/// # The URL
///
/// | URL | connection |
/// |---|---|
/// | `rediss://[user]:password@host[:port][/database]` | TLS |
/// | `redis://…` | plain TCP, to this machine alone unless that is [allowed](RedisCacheBuilder::allow_plaintext) |
/// | `unix:/path[?db=0&user=…&pass=…]` | a Unix socket |
///
/// Special characters in user and password are percent-encoded. Neither is
/// shown by `Debug`, in errors or in logs.
///
/// # Cancellation
///
/// A call that was dropped may still take effect. A lease that was asked for
/// and not received is freed.
///
/// # Example
///
/// ```
/// # use bloom_auth_core::{ClientCredentials, Environment, TokenProvider, Transport};
/// use bloom_auth_cache::RedisCache;
///
/// # fn build(
/// #     environment: Environment,
/// #     credentials: ClientCredentials,
/// #     transport: impl Transport + 'static,
/// # ) -> Result<(), bloom_auth_core::ConfigurationError> {
/// let cache = RedisCache::new("rediss://bloom:pass%40word@redis.internal:6379/0")?;
/// assert_eq!(format!("{cache:?}"), "RedisCache(rediss://redis.internal:6379/0)");
/// let provider = TokenProvider::builder(environment, credentials, transport)
///     .cache(cache)
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisCache {
    inner: Arc<Inner>,
}

struct Inner {
    server: Arc<Server>,
    sealer: Sealer,
    clock: Box<dyn Clock>,
    prefix: String,
    notices: Notices,
}

impl RedisCache {
    /// A cache on the server with this URL. Nothing is opened yet.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`] if the URL is not as above.
    pub fn new(url: &str) -> Result<Self, ConfigurationError> {
        Self::builder(url).build()
    }

    /// A builder, for a cache with a key, a clock, roots or a prefix of one's own.
    pub fn builder(url: impl Into<String>) -> RedisCacheBuilder {
        RedisCacheBuilder {
            url: Zeroizing::new(url.into()),
            allow_plaintext: false,
            root_certificate: None,
            prefix: DEFAULT_PREFIX.to_owned(),
            timeout: DEFAULT_TIMEOUT,
            sealer: Sealer::new(),
            clock: Box::new(SystemClock::new()),
        }
    }

    fn entries(&self) -> Entries<'_> {
        Entries {
            server: &self.inner.server,
            sealer: &self.inner.sealer,
            prefix: &self.inner.prefix,
            notices: &self.inner.notices,
            now: self.inner.clock.now().system_time(),
        }
    }
}

#[async_trait]
impl TokenCache for RedisCache {
    async fn load(&self, access: &CacheAccess) -> Result<Option<CacheRecord>, CacheError> {
        self.entries().load(access).await
    }

    async fn store(&self, access: &CacheAccess, record: &CacheRecord) -> Result<(), CacheError> {
        self.entries().store(access, record).await
    }

    async fn remove(&self, access: &CacheAccess, token: &TokenHash) -> Result<(), CacheError> {
        self.entries().remove(access, token).await
    }

    async fn lease(&self, access: &CacheAccess) -> Result<Lease, CacheError> {
        self.entries().lease(access).await
    }

    async fn load_refusal(&self, access: &CacheAccess) -> Result<Option<Refusal>, CacheError> {
        self.entries().load_refusal(access).await
    }

    async fn store_refusal(
        &self,
        access: &CacheAccess,
        refusal: &Refusal,
    ) -> Result<(), CacheError> {
        self.entries().store_refusal(access, refusal).await
    }

    fn check(&self, credentials: &ClientCredentials) -> Result<(), ConfigurationError> {
        self.inner.sealer.check(credentials)
    }
}

impl fmt::Debug for RedisCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisCache({})", self.inner.server.address())
    }
}

/// Builds a [`RedisCache`].
#[must_use]
pub struct RedisCacheBuilder {
    url: Zeroizing<String>,
    allow_plaintext: bool,
    root_certificate: Option<Vec<u8>>,
    prefix: String,
    timeout: Duration,
    sealer: Sealer,
    clock: Box<dyn Clock>,
}

impl RedisCacheBuilder {
    /// Allows plain TCP (`redis://`) to another machine, for networks that
    /// encrypt by themselves.
    ///
    /// Tokens are sealed all the same, but whoever is on the way reads the
    /// user and the password of the server, and could take entries away.
    pub fn allow_plaintext(mut self) -> Self {
        self.allow_plaintext = true;
        self
    }

    /// Trusts servers whose certificates these roots have signed, in PEM, and
    /// nobody else: for servers with a certificate authority of their own. By default,
    /// whom the platform trusts.
    pub fn root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_certificate = Some(pem.into());
        self
    }

    /// Sets what the names of all keys begin with: `bloom-auth` by default.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets how long a call waits for the server, once for each command that
    /// it needs: a second by default, ten at most. The provider has limits of
    /// its own: 100 ms while it has a usable token, and a second when not.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets what seals the records: the client secret by default.
    pub fn sealer(mut self, sealer: Sealer) -> Self {
        self.sealer = sealer;
        self
    }

    /// Sets the clock that tells what has expired: that of the operating
    /// system by default.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// Builds the cache. Nothing is opened yet.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`] for a URL that is not as [`RedisCache`] says,
    /// roots that are no certificates, a prefix that is empty, longer than 64
    /// characters or of other characters than letters, digits and `._:/-`, and a timeout of zero or more
    /// than ten seconds.
    pub fn build(self) -> Result<RedisCache, ConfigurationError> {
        let address = Address::parse(&self.url, self.allow_plaintext)?;
        let roots = match &self.root_certificate {
            Some(pem) => Roots::read(pem)?,
            None => Roots::Platform,
        };
        // Braces would decide which node of a cluster has the key.
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/-".contains(&byte);
        if !(1..=64).contains(&self.prefix.len()) || !self.prefix.bytes().all(is_plain) {
            return Err(ConfigurationError::new(
                "Redis prefix",
                "is empty, longer than 64 characters, or has others than letters, digits and `._:/-`",
                "use a short name, such as `bloom-auth`",
            ));
        }
        if self.timeout.is_zero() || self.timeout > MAX_TIMEOUT {
            return Err(ConfigurationError::new(
                "Redis timeout",
                "is zero, or longer than ten seconds",
                "leave it at one second, or set it to less",
            ));
        }
        let opener = Opener::new(address, roots, MAX_READ);
        Ok(RedisCache {
            inner: Arc::new(Inner {
                server: Arc::new(Server::new(opener, self.timeout)),
                sealer: self.sealer,
                clock: self.clock,
                prefix: self.prefix,
                notices: Notices::default(),
            }),
        })
    }
}

impl fmt::Debug for RedisCacheBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the URL, which nobody has checked yet.
        f.debug_struct("RedisCacheBuilder")
            .field("allow_plaintext", &self.allow_plaintext)
            .field("prefix", &self.prefix)
            .field("timeout", &self.timeout)
            .field("sealer", &self.sealer)
            .finish_non_exhaustive()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
