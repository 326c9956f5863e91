//! The access token: cheap to clone, ready to be a header, never printed.

use std::{fmt, sync::Arc, time::SystemTime};

use bytes::Bytes;
use http::HeaderValue;
use sha2::{Digest, Sha256};

use crate::{
    clock::system_time,
    protocol::{
        ResponseError,
        response::{BEARER, bearer},
    },
    scope::Scopes,
};

/// An access token with what is known of it. Clones share one copy.
///
/// `Debug` shows its [fingerprint](Self::fingerprint), never the token.
#[derive(Clone)]
pub struct AccessToken(Arc<Inner>);

struct Inner {
    bearer: HeaderValue,
    hash: TokenHash,
    expires_at: u64,
    scopes: Option<Scopes>,
}

impl AccessToken {
    pub(crate) fn new(bearer: HeaderValue, expires_at: u64, scopes: Option<Scopes>) -> Self {
        let hash = TokenHash(Sha256::digest(secret_part(&bearer)).into());
        // The first clone of a value makes its bytes countable, which takes
        // memory: now, and not when a caller asks.
        drop(bearer.clone());
        Self(Arc::new(Inner {
            bearer,
            hash,
            expires_at,
            scopes,
        }))
    }

    /// Takes a token as text, as a cache has kept it.
    pub(crate) fn from_text(
        token: &str,
        expires_at: u64,
        scopes: Option<Scopes>,
    ) -> Result<Self, ResponseError> {
        Ok(Self::new(bearer(token)?, expires_at, scopes))
    }

    /// The same token for other threads, which write nothing that is near to
    /// what users of this one write.
    pub(crate) fn separate(&self) -> Self {
        let Inner {
            bearer,
            hash,
            expires_at,
            scopes,
        } = &*self.0;
        // The bytes are those of a header value, so the fallback is never
        // taken.
        let copy = Bytes::from_owner(CountedApart(bearer.clone()));
        let copy = HeaderValue::from_maybe_shared(copy);
        let mut copy = copy.unwrap_or_else(|_| bearer.clone());
        copy.set_sensitive(true);
        Self(Arc::new(Inner {
            bearer: copy,
            hash: *hash,
            expires_at: *expires_at,
            scopes: scopes.clone(),
        }))
    }

    /// The value for the `Authorization` header: `Bearer …`, marked sensitive,
    /// so that HTTP libraries keep it out of their logs.
    #[must_use]
    pub fn authorization(&self) -> HeaderValue {
        self.0.bearer.clone()
    }

    /// The token itself. Prefer [`authorization`](Self::authorization): what
    /// is no string cannot be logged by mistake.
    #[must_use]
    pub fn expose(&self) -> &str {
        // The header was made from a string, so the fallback is never taken.
        std::str::from_utf8(secret_part(&self.0.bearer)).unwrap_or_default()
    }

    /// When it expires, by the wall clock, counted from the moment at which
    /// it was asked for. The provider stops serving it a little earlier.
    #[must_use]
    pub fn expires_at(&self) -> SystemTime {
        system_time(self.0.expires_at)
    }

    /// The scopes that the server granted, if it named them.
    #[must_use]
    pub fn scopes(&self) -> Option<&Scopes> {
        self.0.scopes.as_ref()
    }

    /// A short name for logs: it tells tokens apart and leads back to none.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let [a, b, c, d, ..] = self.0.hash.0;
        Fingerprint([a, b, c, d])
    }

    /// The whole hash, to compare tokens without holding them.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        self.0.hash
    }
}

impl PartialEq for AccessToken {
    fn eq(&self, other: &Self) -> bool {
        self.0.hash == other.0.hash
    }
}

impl Eq for AccessToken {}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken")
            .field("fingerprint", &self.fingerprint())
            .field("expires_at", &self.expires_at())
            .field("scopes", &self.0.scopes)
            .finish_non_exhaustive()
    }
}

/// A header whose users are counted on cache lines that hold nothing else;
/// processors fetch them in pairs.
///
/// `Bytes` keeps its count before the owner of the bytes, in one block with it,
/// which the owner's alignment makes whole lines. Left to itself, the count
/// takes 24 bytes, and allocators that lay such blocks side by side put those
/// of two threads on one line.
#[repr(align(128))]
struct CountedApart(HeaderValue);

impl AsRef<[u8]> for CountedApart {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

fn secret_part(bearer: &HeaderValue) -> &[u8] {
    bearer.as_bytes().get(BEARER.len()..).unwrap_or_default()
}

/// The SHA-256 of an access token.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The hash's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "TokenHash({})", Fingerprint([a, b, c, d]))
    }
}

/// The first four bytes of a token's SHA-256, as eight hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 4]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_a_fingerprint_and_no_token() {
        let token = AccessToken::from_text("abc", 1_000_000_000, None).unwrap();
        for text in [format!("{token:?}"), format!("{token:#?}")] {
            // SHA-256 of "abc" is ba7816bf 8f01cfea …
            assert!(text.contains("ba7816bf"), "{text}");
            assert!(!text.contains("abc"), "{text}");
        }
        assert_eq!(format!("{:?}", token.hash()), "TokenHash(ba7816bf)");
        assert!(!format!("{:?}", token.authorization()).contains("abc"));
        assert_eq!(token.expose(), "abc");
        assert_eq!(token.authorization(), "Bearer abc");
    }

    #[test]
    fn a_separate_token_is_the_same_and_counted_apart() {
        let token = AccessToken::from_text("abc", 1, None).unwrap();
        let separate = token.separate();
        assert_eq!(separate, token);
        assert_eq!(separate.expires_at(), token.expires_at());
        assert!(separate.authorization().is_sensitive());
        drop(token);
        assert_eq!(separate.authorization(), "Bearer abc");
        // Two cache lines: the count is before the owner, in the same block.
        assert_eq!(align_of::<CountedApart>(), 128);
    }

    #[test]
    fn tokens_are_equal_by_their_text() {
        let token = |text: &str, at| AccessToken::from_text(text, at, None).unwrap();
        assert_eq!(token("a", 1), token("a", 2));
        assert_ne!(token("a", 1), token("b", 1));
    }
}
