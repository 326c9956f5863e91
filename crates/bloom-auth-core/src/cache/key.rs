//! What a token belongs to: the key of every cache, and what opens an entry.

use std::{fmt, sync::Arc};

use zeroize::Zeroizing;

use crate::{
    client::{ClientCredentials, ClientId, ClientSecret, CredentialTag, Method},
    environment::{AuthVersion, ClientAuthentication},
    protocol::TokenRequest,
    scope::Scopes,
};

/// What a token belongs to. Two keys are equal only if everything is equal
/// that decides which token a server would give, the secret included.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CacheKey(Arc<KeyFields>);

#[derive(Clone, PartialEq, Eq, Hash)]
struct KeyFields {
    token_url: String,
    auth_version: AuthVersion,
    method: Method,
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
            method: credentials.method(request.authentication()),
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
    pub fn canonical_bytes(&self) -> Zeroizing<Vec<u8>> {
        // Counted first: a buffer that had to grow would leave the tag behind.
        let mut length = 0;
        self.write(Canonical(&mut |bytes| length += bytes.len()));
        let mut canonical = Zeroizing::new(Vec::with_capacity(length));
        self.write(Canonical(&mut |bytes| canonical.extend_from_slice(bytes)));
        canonical
    }

    fn write(&self, mut to: Canonical<'_>) {
        // A new field makes this fail to compile, and must be written too.
        let KeyFields {
            token_url,
            auth_version,
            method,
            client_id,
            credential_tag,
            audience,
            scopes,
            parameters,
        } = &*self.0;
        to.field(token_url.as_bytes());
        to.field(match auth_version {
            AuthVersion::V1 => b"v1",
            AuthVersion::V2 => b"v2",
        });
        to.field(method.name().as_bytes());
        to.field(client_id.as_str().as_bytes());
        to.field(credential_tag.as_bytes());
        to.number(usize::from(audience.is_some()));
        if let Some(audience) = audience {
            to.field(audience.as_bytes());
        }
        to.number(scopes.len());
        for scope in scopes.iter() {
            to.field(scope.as_bytes());
        }
        to.number(parameters.len());
        for (name, value) in parameters {
            to.field(name.as_bytes());
            to.field(value.as_bytes());
        }
    }
}

/// Takes bytes that can be divided in one way only.
struct Canonical<'a>(&'a mut dyn FnMut(&[u8]));

impl Canonical<'_> {
    fn field(&mut self, bytes: &[u8]) {
        self.number(bytes.len());
        self.0(bytes);
    }

    fn number(&mut self, number: usize) {
        let number = u64::try_from(number).unwrap_or(u64::MAX);
        self.0(&number.to_be_bytes());
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
    authentication: ClientAuthentication,
}

impl CacheAccess {
    /// Access to the token that these credentials get with this request.
    #[must_use]
    pub fn new(request: &TokenRequest, credentials: &ClientCredentials) -> Self {
        Self {
            key: CacheKey::new(request, credentials),
            credentials: credentials.clone(),
            authentication: request.authentication(),
        }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &CacheKey {
        &self.key
    }

    /// The tag of the credentials; see there what it is good for.
    #[must_use]
    pub fn credential_tag(&self) -> CredentialTag {
        self.key.0.credential_tag
    }

    /// The same access with another secret of the same client: what a cache
    /// needs to find entries from before a rotation, also from before the client
    /// was given a private key in the place of a secret.
    #[must_use]
    pub fn with_secret(&self, secret: ClientSecret) -> Self {
        let credentials = ClientCredentials::new(self.credentials.id().clone(), secret);
        let fields = KeyFields {
            method: credentials.method(self.authentication),
            credential_tag: credentials.tag(),
            ..(*self.key.0).clone()
        };
        Self {
            key: CacheKey(Arc::new(fields)),
            credentials,
            authentication: self.authentication,
        }
    }

    /// Key material for sealing records that leave the process's memory:
    /// `None` if there is no client secret or it is too short for it, and then
    /// nothing may leave it but sealed with a key of its own.
    #[must_use]
    pub fn seal_material(&self) -> Option<&[u8]> {
        self.credentials.seal_material()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        client::ClientSecret,
        environment::Environment,
        test_keys::{ED25519, P256, TestSigner},
    };

    fn signer(id: &str, tag_key: &str) -> ClientCredentials {
        ClientCredentials::with_signer(ClientId::new(id).unwrap(), TestSigner::new(tag_key))
    }

    fn certificate(id: &str, pem: &str) -> ClientCredentials {
        ClientCredentials::with_certificate(ClientId::new(id).unwrap(), pem).unwrap()
    }

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
            (v1(), signer("id", "secret")),
            (v1(), signer("id", "other secret")),
            (v1(), signer("other id", "secret")),
            (
                v1(),
                signer("id", "secret").with_assertion_audience("x").unwrap(),
            ),
            (v1(), certificate("id", ED25519.private_pem)),
            (v1(), certificate("id", P256.private_pem)),
            (v1(), certificate("other id", P256.private_pem)),
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
                v2("a b").with_parameter("q", "1"),
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
        // Each is itself, and two pairs of fourteen are the same.
        assert_eq!(equal, 4 * (14 + 2 * 2));
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
        assert_eq!(*key.canonical_bytes(), expected);
    }

    #[test]
    fn who_has_no_secret_has_a_method_of_their_own() {
        let request = |authentication| {
            let request = TokenRequest::new(Environment::sandbox(AuthVersion::V1));
            request.with_authentication(authentication)
        };
        let (post, basic) = (
            request(ClientAuthentication::Post),
            request(ClientAuthentication::Basic),
        );
        for (credentials, method) in [
            (signer("id", "secret"), "private_key_jwt"),
            (certificate("id", P256.private_pem), "tls_client_auth"),
        ] {
            let key = CacheKey::new(&post, &credentials);
            // How a secret is sent changes nothing here.
            assert_eq!(key, CacheKey::new(&basic, &credentials));
            let bytes = key.canonical_bytes();
            let has = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
            assert!(has(method.as_bytes()) && !has(b"client_secret"));
            assert_eq!(CacheAccess::new(&post, &credentials).seal_material(), None);
            // The record from when the client had a secret.
            let old = self::credentials("id", "the old secret");
            for request in [&post, &basic] {
                let secret = old.secret().unwrap().clone();
                let access = CacheAccess::new(request, &credentials).with_secret(secret);
                assert_eq!(access.key(), CacheAccess::new(request, &old).key());
            }
        }
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
}
