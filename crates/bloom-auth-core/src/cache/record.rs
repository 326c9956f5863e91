//! What caches keep.

use std::time::{Duration, SystemTime};

use crate::{
    clock::{nanos, wall_nanos},
    protocol::ResponseError,
    scope::Scopes,
    token::AccessToken,
};

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
    /// [`ResponseError`] if the token is empty, or could not stand in a header.
    pub fn new(
        token: &str,
        scopes: Option<Scopes>,
        sent_at: SystemTime,
        lifetime: Duration,
    ) -> Result<Self, ResponseError> {
        if token.is_empty() {
            let field = "access_token";
            return Err(ResponseError::Missing { field });
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_could_be_no_header_is_refused() {
        let record =
            |token| CacheRecord::new(token, None, SystemTime::UNIX_EPOCH, Duration::from_secs(1));
        assert!(record("abc").is_ok());
        assert!(record("a\r\nb").is_err());
    }

    #[test]
    fn a_record_of_no_token_is_refused() {
        let (sent_at, lifetime) = (SystemTime::UNIX_EPOCH, Duration::from_secs(1));
        let error = CacheRecord::new("", None, sent_at, lifetime).unwrap_err();
        let field = "access_token";
        assert_eq!(error, ResponseError::Missing { field });
    }

    #[test]
    fn a_record_gives_back_what_it_was_made_of() {
        let sent_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
        let lifetime = Duration::from_secs(60);
        let record = CacheRecord::new("abc", None, sent_at, lifetime).unwrap();
        assert_eq!(record.token().expose(), "abc");
        assert_eq!(record.token().expires_at(), sent_at + lifetime);
        assert_eq!((record.sent_at(), record.lifetime()), (sent_at, lifetime));
        assert_eq!(record.sent_at_nanos(), 1_790_000_000_000_000_000);
        assert_eq!(record.lifetime_nanos(), 60_000_000_000);
    }
}
