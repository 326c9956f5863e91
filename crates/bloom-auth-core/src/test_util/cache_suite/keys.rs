//! Whose record is whose.

use super::{assert_is, load, record, remove, store};
use crate::{
    cache::{CacheAccess, TokenCache},
    client::{ClientCredentials, ClientId, ClientSecret},
    environment::{AuthVersion, ClientAuthentication, Environment},
    error::ConfigurationError,
    protocol::TokenRequest,
};

/// A record is nothing to another tenant who knows the client id and has a
/// secret of his own.
pub async fn another_secret_gets_nothing(cache: &dyn TokenCache) {
    let theirs = record("of-the-owner", 10);
    let intruder = Key {
        secret: OTHER_SECRET,
        ..BASE
    }
    .access();
    store(cache, &base(), &theirs).await;
    assert!(
        load(cache, &intruder).await.is_none(),
        "a token was given to somebody with the same client id and another secret"
    );
    remove(cache, &intruder, &theirs.token().hash()).await;
    assert_is(
        load(cache, &base()).await.as_ref(),
        &theirs,
        "after a removal by somebody with the same client id and another secret",
    );
    store(cache, &intruder, &record("of-the-intruder", 0)).await;
    assert_is(
        load(cache, &base()).await.as_ref(),
        &theirs,
        "after a store by somebody with the same client id and another secret",
    );
}

/// No call for one key shows or changes what is under another, by whichever
/// field they differ.
pub async fn whatever_is_in_the_key_keeps_records_apart(cache: &dyn TokenCache) {
    let keys = every_key();
    let records: Vec<_> = (0..keys.len())
        .map(|n| record(&format!("token-{n}"), 10))
        .collect();
    for (n, ((stored, access), record)) in keys.iter().zip(&records).enumerate() {
        store(cache, access, record).await;
        for (other, access) in keys.iter().skip(n + 1) {
            assert!(
                load(cache, access).await.is_none(),
                "`{other}` was given a record of `{stored}`"
            );
            remove(cache, access, &record.token().hash()).await;
        }
    }
    for ((what, access), record) in keys.iter().zip(&records) {
        let when = format!("`{what}`, after the use of keys that differ from it");
        assert_is(load(cache, access).await.as_ref(), record, &when);
    }
}

/// The same scopes and parameters in another order are the same key.
pub async fn order_within_a_key_does_not_matter(cache: &dyn TokenCache) {
    let parameters: [&[_]; 2] = [&[("p", "1"), ("q", "2")], &[("q", "2"), ("p", "1")]];
    let [one, same] = parameters.map(|parameters| Key { parameters, ..BASE });
    let same = Key {
        scopes: "write:a  read:a read:a",
        ..same
    };
    let (one, same) = (one.access(), same.access());
    let (first, second) = (record("first", 20), record("second", 10));
    store(cache, &one, &first).await;
    let when = "the same scopes and parameters in another order";
    assert_is(load(cache, &same).await.as_ref(), &first, when);
    store(cache, &same, &second).await;
    assert_is(load(cache, &one).await.as_ref(), &second, when);
    remove(cache, &one, &second.token().hash()).await;
    assert!(
        load(cache, &same).await.is_none(),
        "{when}: still there after its removal"
    );
}

/// The parts of a key.
#[derive(Clone, Copy)]
struct Key {
    id: &'static str,
    secret: &'static str,
    token_url: &'static str,
    auth_version: AuthVersion,
    authentication: ClientAuthentication,
    audience: Option<&'static str>,
    scopes: &'static str,
    parameters: &'static [(&'static str, &'static str)],
}

// Long enough to seal with.
const SECRET: &str = "the secret of the conformance suite, 0123456789";
const OTHER_SECRET: &str = "another secret of the conformance suite, 0123456789";

const BASE: Key = Key {
    id: "client",
    secret: SECRET,
    token_url: "https://auth.test/token",
    auth_version: AuthVersion::V2,
    authentication: ClientAuthentication::Post,
    audience: Some("api"),
    scopes: "read:a write:a",
    parameters: &[("p", "ab")],
};

/// The key that most checks use.
pub(super) fn base() -> CacheAccess {
    BASE.access()
}

/// One of many keys that differ in the client id alone.
pub(super) fn numbered(n: usize) -> CacheAccess {
    access(&BASE, &format!("client-{n}"))
}

/// Keys that all differ, the first in nothing else from any other.
pub(super) fn every_key() -> Vec<(&'static str, CacheAccess)> {
    let keys = [
        ("the key", BASE),
        (
            "another secret",
            Key {
                secret: OTHER_SECRET,
                ..BASE
            },
        ),
        (
            "another client id",
            Key {
                id: "client2",
                ..BASE
            },
        ),
        (
            "a client id in capitals",
            Key {
                id: "CLIENT",
                ..BASE
            },
        ),
        (
            "another token host",
            Key {
                token_url: "https://auth2.test/token",
                ..BASE
            },
        ),
        (
            "another token path",
            Key {
                token_url: "https://auth.test/token2",
                ..BASE
            },
        ),
        (
            "another token port",
            Key {
                token_url: "https://auth.test:8443/token",
                ..BASE
            },
        ),
        (
            "another version",
            Key {
                auth_version: AuthVersion::V1,
                ..BASE
            },
        ),
        (
            "another client authentication",
            Key {
                authentication: ClientAuthentication::Basic,
                ..BASE
            },
        ),
        (
            "another audience",
            Key {
                audience: Some("api2"),
                ..BASE
            },
        ),
        (
            "no audience",
            Key {
                audience: None,
                ..BASE
            },
        ),
        (
            "a scope less",
            Key {
                scopes: "read:a",
                ..BASE
            },
        ),
        (
            "a scope more",
            Key {
                scopes: "read:a write:a write:b",
                ..BASE
            },
        ),
        ("no scope", Key { scopes: "", ..BASE }),
        (
            "another parameter's value",
            Key {
                parameters: &[("p", "ac")],
                ..BASE
            },
        ),
        (
            "another parameter's name",
            Key {
                parameters: &[("q", "ab")],
                ..BASE
            },
        ),
        (
            "a parameter more",
            Key {
                parameters: &[("p", "ab"), ("q", "")],
                ..BASE
            },
        ),
        (
            "no parameter",
            Key {
                parameters: &[],
                ..BASE
            },
        ),
        // The same characters one after the other, divided in another way.
        (
            "another end of a parameter's name",
            Key {
                parameters: &[("pa", "b")],
                ..BASE
            },
        ),
        (
            "another end of the audience",
            Key {
                audience: Some("api read:a"),
                scopes: "write:a",
                ..BASE
            },
        ),
    ];
    keys.map(|(what, key)| (what, key.access())).into()
}

impl Key {
    fn access(&self) -> CacheAccess {
        access(self, self.id)
    }
}

fn access(key: &Key, id: &str) -> CacheAccess {
    match try_access(key, id) {
        Ok(access) => access,
        Err(error) => panic!("the suite made a bad key: {error}"),
    }
}

fn try_access(key: &Key, id: &str) -> Result<CacheAccess, ConfigurationError> {
    let mut environment = Environment::custom(key.token_url, "https://api.test");
    if let Some(audience) = key.audience {
        environment = environment.audience(audience);
    }
    let environment = environment.auth_version(key.auth_version).build()?;
    let mut request = TokenRequest::new(environment)
        .with_authentication(key.authentication)
        .with_scopes(key.scopes.parse()?);
    for (name, value) in key.parameters {
        request = request.with_parameter(*name, *value);
    }
    let credentials = ClientCredentials::new(ClientId::new(id)?, ClientSecret::new(key.secret)?);
    Ok(CacheAccess::new(&request, &credentials))
}
