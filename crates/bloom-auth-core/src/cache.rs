//! Caches beyond the provider's own memory: the trait, its key and its
//! record.

use std::{
    any::Any,
    error::Error as StdError,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;

use crate::{
    client::{ClientCredentials, ClientId, ClientSecret, CredentialTag},
    clock::{nanos, wall_nanos},
    environment::{AuthVersion, ClientAuthentication},
    error::ConfigurationError,
    protocol::{ResponseError, TokenRequest},
    scope::Scopes,
    token::{AccessToken, TokenHash},
};

/// Keeps tokens for more than one provider: for a process, a machine, a
/// fleet.
///
/// A cache is advisory. The engine gives each call a time limit, treats every
/// error as a miss, checks every record's times itself, and skips a cache
/// that fails for a growing while. A cache in turn must never give a record
/// to a key that is not equal to the one it was stored under.
///
/// # Cancellation
///
/// Every future may be dropped at any point; the cache must stay usable and a
/// lease that was not returned must be free.
#[async_trait]
pub trait TokenCache: fmt::Debug + Send + Sync {
    /// The record under this key, if there is one.
    ///
    /// It may have expired: the engine checks.
    ///
    /// # Errors
    ///
    /// [`CacheError`] if the cache does not work; treated as a miss.
    async fn load(&self, access: &CacheAccess) -> Result<Option<CacheRecord>, CacheError>;

    /// Keeps a record, unless the one that is there was
    /// [sent](CacheRecord::sent_at) later. One that was sent more than five
    /// minutes in the future, by a clock that was wrong, does not count: it
    /// would stay for ever, and never be of use.
    ///
    /// # Errors
    ///
    /// [`CacheError`] if the cache does not work.
    async fn store(&self, access: &CacheAccess, record: &CacheRecord) -> Result<(), CacheError>;

    /// Removes the record under this key if it still holds this token; a
    /// newer one stays.
    ///
    /// # Errors
    ///
    /// [`CacheError`] if the cache does not work.
    async fn remove(&self, access: &CacheAccess, token: &TokenHash) -> Result<(), CacheError>;

    /// Asks once, without waiting, for the right to fetch a token for this
    /// key among all who share the cache.
    ///
    /// Correctness never depends on a lease, it only saves token requests.
    /// A cache that needs none keeps this default.
    ///
    /// # Errors
    ///
    /// [`CacheError`] if the cache does not work; the engine then fetches
    /// without a lease.
    async fn lease(&self, access: &CacheAccess) -> Result<Lease, CacheError> {
        let _ = access;
        Ok(Lease::NotNeeded)
    }

    /// Whether this cache can keep tokens that these credentials get: asked
    /// when a provider is built with credentials that
    /// [never change](crate::CredentialsSource::fixed). A cache that takes all
    /// keeps this default.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`] that says why not, and what to do.
    fn check(&self, credentials: &ClientCredentials) -> Result<(), ConfigurationError> {
        let _ = credentials;
        Ok(())
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: TokenCache + ?Sized> TokenCache for Arc<T> {
    async fn load(&self, access: &CacheAccess) -> Result<Option<CacheRecord>, CacheError> {
        (**self).load(access).await
    }

    async fn store(&self, access: &CacheAccess, record: &CacheRecord) -> Result<(), CacheError> {
        (**self).store(access, record).await
    }

    async fn remove(&self, access: &CacheAccess, token: &TokenHash) -> Result<(), CacheError> {
        (**self).remove(access, token).await
    }

    async fn lease(&self, access: &CacheAccess) -> Result<Lease, CacheError> {
        (**self).lease(access).await
    }

    fn check(&self, credentials: &ClientCredentials) -> Result<(), ConfigurationError> {
        (**self).check(credentials)
    }
}

/// What a token belongs to. Two keys are equal only if everything is equal
/// that decides which token a server would give, the secret included.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CacheKey(Arc<KeyFields>);

#[derive(Clone, PartialEq, Eq, Hash)]
struct KeyFields {
    token_url: String,
    auth_version: AuthVersion,
    authentication: ClientAuthentication,
    client_id: ClientId,
    credential_tag: CredentialTag,
    audience: Option<String>,
    scopes: Scopes,
    parameters: Vec<(String, String)>,
}

impl CacheKey {
    fn new(request: &TokenRequest, credentials: &ClientCredentials) -> Self {
        let environment = request.environment();
        let mut parameters = request.parameters().to_vec();
        parameters.sort();
        Self(Arc::new(KeyFields {
            token_url: environment.token_url().to_string(),
            auth_version: environment.auth_version(),
            authentication: request.authentication(),
            client_id: credentials.id().clone(),
            credential_tag: credentials.tag(),
            audience: environment.audience().map(str::to_owned),
            scopes: request.scopes().clone(),
            parameters,
        }))
    }

    /// The key as bytes: equal for equal keys, different for different ones,
    /// the same in every process and version. For keyed hashes and as
    /// associated data; they hold the [credential tag](CredentialTag), so do
    /// not print or store them as they are.
    ///
    /// Every field is written in a fixed order behind its length, as 64 bits,
    /// the most significant byte first; lists and what may be absent behind
    /// their number of items.
    #[must_use]
    pub fn canonical_bytes(&self) -> Vec<u8> {
        // A new field makes this fail to compile, and must be written too.
        let KeyFields {
            token_url,
            auth_version,
            authentication,
            client_id,
            credential_tag,
            audience,
            scopes,
            parameters,
        } = &*self.0;
        let mut bytes = Canonical::default();
        bytes.field(token_url.as_bytes());
        bytes.field(match auth_version {
            AuthVersion::V1 => b"v1",
            AuthVersion::V2 => b"v2",
        });
        bytes.field(match authentication {
            ClientAuthentication::Post => b"client_secret_post",
            ClientAuthentication::Basic => b"client_secret_basic",
        });
        bytes.field(client_id.as_str().as_bytes());
        bytes.field(credential_tag.as_bytes());
        bytes.number(usize::from(audience.is_some()));
        if let Some(audience) = audience {
            bytes.field(audience.as_bytes());
        }
        bytes.number(scopes.len());
        for scope in scopes.iter() {
            bytes.field(scope.as_bytes());
        }
        bytes.number(parameters.len());
        for (name, value) in parameters {
            bytes.field(name.as_bytes());
            bytes.field(value.as_bytes());
        }
        bytes.0
    }
}

/// Bytes that can be divided in one way only.
#[derive(Default)]
struct Canonical(Vec<u8>);

impl Canonical {
    fn field(&mut self, bytes: &[u8]) {
        self.number(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    fn number(&mut self, number: usize) {
        let number = u64::try_from(number).unwrap_or(u64::MAX);
        self.0.extend_from_slice(&number.to_be_bytes());
    }
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheKey")
            .field("client_id", &self.0.client_id)
            .field("audience", &self.0.audience)
            .field("scopes", &self.0.scopes)
            .finish_non_exhaustive()
    }
}

/// What a cache is asked about: the key, and the means to seal what it keeps.
#[derive(Clone, Debug)]
pub struct CacheAccess {
    key: CacheKey,
    credentials: ClientCredentials,
}

impl CacheAccess {
    /// Access to the token that these credentials get with this request.
    #[must_use]
    pub fn new(request: &TokenRequest, credentials: &ClientCredentials) -> Self {
        Self {
            key: CacheKey::new(request, credentials),
            credentials: credentials.clone(),
        }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &CacheKey {
        &self.key
    }

    /// The same access with another secret of the same client: what a cache
    /// needs to find entries from before a rotation.
    #[must_use]
    pub fn with_secret(&self, secret: ClientSecret) -> Self {
        let credentials = ClientCredentials::new(self.credentials.id().clone(), secret);
        let fields = KeyFields {
            credential_tag: credentials.tag(),
            ..(*self.key.0).clone()
        };
        Self {
            key: CacheKey(Arc::new(fields)),
            credentials,
        }
    }

    /// Key material for sealing records that leave the process's memory:
    /// `None` if the client secret is too short for it, and then nothing may
    /// leave it.
    #[must_use]
    pub fn seal_material(&self) -> Option<&[u8]> {
        self.credentials.seal_material()
    }
}

/// A token as caches keep it. Its times are wall-clock times, which mean the
/// same in every process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheRecord {
    token: AccessToken,
    sent_at: u64,
    lifetime: u64,
}

impl CacheRecord {
    /// A record from its parts, as a persistent cache reads them.
    ///
    /// # Errors
    ///
    /// [`ResponseError`] if the token could not stand in a header.
    pub fn new(
        token: &str,
        scopes: Option<Scopes>,
        sent_at: SystemTime,
        lifetime: Duration,
    ) -> Result<Self, ResponseError> {
        let (sent_at, lifetime) = (wall_nanos(sent_at), nanos(lifetime));
        let token = AccessToken::from_text(token, sent_at.saturating_add(lifetime), scopes)?;
        Ok(Self::of(token, sent_at, lifetime))
    }

    pub(crate) fn of(token: AccessToken, sent_at: u64, lifetime: u64) -> Self {
        Self {
            token,
            sent_at,
            lifetime,
        }
    }

    /// The token.
    #[must_use]
    pub fn token(&self) -> &AccessToken {
        &self.token
    }

    /// When the token was asked for.
    #[must_use]
    pub fn sent_at(&self) -> SystemTime {
        crate::clock::system_time(self.sent_at)
    }

    /// How long the token lives from then on.
    #[must_use]
    pub fn lifetime(&self) -> Duration {
        Duration::from_nanos(self.lifetime)
    }

    pub(crate) fn sent_at_nanos(&self) -> u64 {
        self.sent_at
    }

    pub(crate) fn lifetime_nanos(&self) -> u64 {
        self.lifetime
    }
}

/// The answer to [`TokenCache::lease`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Lease {
    /// This cache does not coordinate fetches: go ahead.
    NotNeeded,
    /// The right is yours until the guard is dropped, or the cache lets it
    /// lapse because that takes too long.
    Granted(LeaseGuard),
    /// Somebody else has it; ask again later.
    Held,
}

/// Holds a lease; dropping it frees the lease.
pub struct LeaseGuard {
    _guard: Box<dyn Any + Send + Sync>,
}

impl LeaseGuard {
    /// Wraps what frees the lease when it is dropped. Dropping must not block.
    #[must_use]
    pub fn new(guard: impl Any + Send + Sync) -> Self {
        Self {
            _guard: Box::new(guard),
        }
    }
}

impl fmt::Debug for LeaseGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeaseGuard")
    }
}

/// Why a cache did not work. The engine warns and goes on without it.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct CacheError {
    problem: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl CacheError {
    /// An error that says what did not work, without a token in it.
    #[must_use]
    pub fn new(problem: impl Into<String>) -> Self {
        Self {
            problem: problem.into(),
            source: None,
        }
    }

    /// The same with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{client::ClientSecret, environment::Environment};

    fn credentials(id: &str, secret: &str) -> ClientCredentials {
        let id = ClientId::new(id).unwrap();
        ClientCredentials::new(id, ClientSecret::new(secret).unwrap())
    }

    #[test]
    fn k6_whatever_decides_the_token_decides_the_key() {
        let v1 = || TokenRequest::new(Environment::sandbox(AuthVersion::V1));
        let custom = |audience: &str| {
            let builder = Environment::custom("https://a.test/token", "https://b.test");
            TokenRequest::new(builder.audience(audience).build().unwrap())
        };
        let v2 = |scopes: &str| {
            TokenRequest::new(Environment::sandbox(AuthVersion::V2))
                .with_scopes(scopes.parse().unwrap())
        };
        let basic = v1().with_authentication(ClientAuthentication::Basic);
        let accesses = [
            (v1(), credentials("id", "secret")),
            (v1(), credentials("id", "other secret")),
            (v1(), credentials("other id", "secret")),
            (basic, credentials("id", "secret")),
            (v1().with_parameter("t", "1"), credentials("id", "secret")),
            (v1().with_parameter("t", "2"), credentials("id", "secret")),
            (v2("a"), credentials("id", "secret")),
            (v2("a b"), credentials("id", "secret")),
            (custom("x"), credentials("id", "secret")),
            (custom("y"), credentials("id", "secret")),
        ];
        let keys: Vec<CacheKey> = accesses
            .iter()
            .map(|(request, credentials)| CacheKey::new(request, credentials))
            .collect();
        for (i, a) in keys.iter().enumerate() {
            for (j, b) in keys.iter().enumerate() {
                assert_eq!(a == b, i == j, "{i} and {j}");
            }
        }
        let (request, who) = (v2("b a"), credentials("id", "secret"));
        assert_eq!(CacheKey::new(&request, &who), keys[7]);
    }

    #[test]
    fn k5_k6_keys_are_equal_exactly_if_their_bytes_are() {
        let v2 = |scopes: &str| {
            TokenRequest::new(Environment::sandbox(AuthVersion::V2))
                .with_scopes(scopes.parse().unwrap())
        };
        let custom = |audience: Option<&str>| {
            let mut builder = Environment::custom("https://a.test/token", "https://b.test");
            if let Some(audience) = audience {
                builder = builder.audience(audience);
            }
            TokenRequest::new(builder.build().unwrap())
        };
        let basic =
            |request: TokenRequest| request.with_authentication(ClientAuthentication::Basic);
        let mut keys = Vec::new();
        // Texts that could be taken for one another if they were only joined.
        for (id, secret) in [("id", "s"), ("id", "s2"), ("ids", ""), ("i", "ds")] {
            let secret = format!("{secret}-0123456789");
            for request in [
                v2("a b"),
                v2("b a"),
                v2("ab"),
                v2(""),
                basic(v2("a b")),
                v2("a b").with_parameter("p", "1"),
                v2("a b").with_parameter("p1", ""),
                v2("a").with_parameter("b", ""),
                v2("a b").with_parameter("p", "1").with_parameter("q", "2"),
                v2("a b").with_parameter("q", "2").with_parameter("p", "1"),
                custom(None),
                custom(Some("a")),
                custom(Some("ab")),
            ] {
                keys.push(CacheKey::new(&request, &credentials(id, &secret)));
            }
        }
        let mut equal = 0;
        for a in &keys {
            for b in &keys {
                let same_bytes = a.canonical_bytes() == b.canonical_bytes();
                assert_eq!(same_bytes, a == b, "{a:?} {b:?}");
                equal += usize::from(same_bytes);
            }
        }
        // Each is itself, and two pairs of thirteen are the same.
        assert_eq!(equal, 4 * (13 + 2 * 2));
    }

    #[test]
    fn the_bytes_of_a_key_do_not_change() {
        let request = TokenRequest::new(Environment::sandbox(AuthVersion::V1));
        let key = CacheKey::new(&request, &credentials("id", "secret"));
        let mut expected = Vec::new();
        let tag = key.0.credential_tag;
        for field in [
            &b"https://auth.bloom.dev/oauth/token"[..],
            b"v1",
            b"client_secret_post",
            b"id",
            tag.as_bytes(),
        ] {
            expected.extend_from_slice(&[0; 7]);
            expected.push(u8::try_from(field.len()).unwrap());
            expected.extend_from_slice(field);
        }
        expected.extend_from_slice(b"\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x07dev-api");
        expected.extend_from_slice(&[0; 16]);
        assert_eq!(key.canonical_bytes(), expected);
    }

    #[test]
    fn access_with_another_secret_is_that_of_its_holder() {
        let request = TokenRequest::new(Environment::sandbox(AuthVersion::V1));
        let [old, new] = ["the old secret", "the new secret"]
            .map(|secret| CacheAccess::new(&request, &credentials("id", secret)));
        let secret = ClientSecret::new("the old secret").unwrap();
        assert_ne!(old.key(), new.key());
        assert_eq!(new.with_secret(secret).key(), old.key());
    }

    #[test]
    fn a_record_that_could_be_no_header_is_refused() {
        let record =
            |token| CacheRecord::new(token, None, SystemTime::UNIX_EPOCH, Duration::from_secs(1));
        assert!(record("abc").is_ok());
        assert!(record("a\r\nb").is_err());
    }
}
