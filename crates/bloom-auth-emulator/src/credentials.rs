//! The client credentials the emulator knows, and the comparison with what a
//! request presents.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use aws_lc_rs::digest::{self, Digest, SHA256};
use subtle::{Choice, ConstantTimeEq as _};

use crate::assertion::{Assertions, PublicKey};

/// A client id and secret as a request presents them.
///
/// One request may have two readings: see [`crate::client_authentication`].
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Presented {
    pub(crate) id: String,
    pub(crate) secret: String,
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presented")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// The one client that is registered.
pub(crate) struct Client {
    id: String,
    id_digest: Digest,
    secret: Mutex<Secret>,
    assertions: Mutex<Assertions>,
}

struct Secret {
    text: String,
    digest: Digest,
}

impl Client {
    pub(crate) fn new(id: String, secret: String) -> Self {
        Self {
            id_digest: sha256(&id),
            id,
            secret: Mutex::new(Secret::new(secret)),
            assertions: Mutex::default(),
        }
    }

    /// The client proves who it is by assertions alone, if there is a key.
    pub(crate) fn with_key(mut self, key: Option<PublicKey>) -> Self {
        self.assertions = Mutex::new(Assertions::with_key(key));
        self
    }

    /// What the client's assertions are verified with.
    pub(crate) fn assertions(&self) -> MutexGuard<'_, Assertions> {
        let lock = self.assertions.lock();
        lock.unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn secret(&self) -> String {
        self.secret
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .text
            .clone()
    }

    /// From here on only `secret` is accepted.
    pub(crate) fn rotate(&self, secret: String) {
        *self.secret.lock().unwrap_or_else(PoisonError::into_inner) = Secret::new(secret);
    }

    /// Whether one of the readings is this client, in a time that tells nothing
    /// of the stored credentials: both digests of every reading are compared,
    /// whether or not the id is known.
    pub(crate) fn accepts(&self, readings: &[Presented]) -> bool {
        let secret = self
            .secret
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .digest;
        readings
            .iter()
            .fold(Choice::from(0), |accepted, reading| {
                let id = sha256(&reading.id).as_ref().ct_eq(self.id_digest.as_ref());
                let secret = sha256(&reading.secret).as_ref().ct_eq(secret.as_ref());
                accepted | (id & secret)
            })
            .into()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// A secret that is only ever compared.
pub(crate) struct Password(Digest);

impl Password {
    pub(crate) fn new(text: &str) -> Self {
        Self(sha256(text))
    }

    /// In a time that tells nothing of it.
    pub(crate) fn is(&self, text: &str) -> bool {
        sha256(text).as_ref().ct_eq(self.0.as_ref()).into()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Password").finish_non_exhaustive()
    }
}

impl Secret {
    fn new(text: String) -> Self {
        Self {
            digest: sha256(&text),
            text,
        }
    }
}

fn sha256(text: &str) -> Digest {
    digest::digest(&SHA256, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presented(id: &str, secret: &str) -> Presented {
        Presented {
            id: id.into(),
            secret: secret.into(),
        }
    }

    #[test]
    fn any_reading_may_match_but_only_as_a_whole() {
        let client = Client::new("id".into(), "secret".into());
        let right = presented("id", "secret");
        let wrong_id = presented("di", "secret");
        let wrong_secret = presented("id", "secre");
        for (readings, accepted) in [
            (vec![], false),
            (vec![right.clone()], true),
            (vec![wrong_id.clone()], false),
            (vec![wrong_secret.clone()], false),
            (vec![wrong_id.clone(), wrong_secret.clone()], false),
            (vec![wrong_id, right.clone()], true),
            (vec![right, wrong_secret], true),
            (vec![presented("", "")], false),
        ] {
            assert_eq!(client.accepts(&readings), accepted, "{readings:?}");
        }
    }

    #[test]
    fn rotation_replaces_the_secret_at_once() {
        let client = Client::new("id".into(), "old".into());
        client.rotate("new".into());
        assert!(!client.accepts(&[presented("id", "old")]));
        assert!(client.accepts(&[presented("id", "new")]));
        assert_eq!(client.secret(), "new");
    }

    #[test]
    fn debug_shows_no_secret() {
        let client = Client::new("the-id".into(), "the-hidden".into());
        let shown = format!("{client:?} {client:#?} {:?}", presented("the-id", "hidden"));
        assert!(shown.contains("the-id") && !shown.contains("hidden"));
    }
}
