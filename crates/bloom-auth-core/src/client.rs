//! Who the application is: client id, client secret, and the two together.

use std::{fmt, sync::Arc};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

use crate::error::ConfigurationError;

const MAX_CLIENT_ID_BYTES: usize = 1024;
const MAX_CLIENT_SECRET_BYTES: usize = 4096;

/// Secrets shorter than this could be guessed, so nothing is sealed with them.
const MIN_SEAL_MATERIAL_CHARS: usize = 32;

/// The public name of a client (RFC 6749, section 2.2).
///
/// Not a secret: it may be printed.
///
/// # Example
///
/// ```
/// use bloom_auth_core::ClientId;
///
/// assert_eq!(ClientId::new("my-backend")?.as_str(), "my-backend");
/// assert!(ClientId::new("").is_err());
/// assert!(ClientId::new("line\nbreak").is_err());
/// # Ok::<(), bloom_auth_core::ConfigurationError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientId(Arc<str>);

impl ClientId {
    /// Takes a client id as the authorization server gave it.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`] if it is empty, has a control character, or is
    /// longer than 1024 bytes.
    pub fn new(id: impl AsRef<str>) -> Result<Self, ConfigurationError> {
        let id = id.as_ref();
        check("client id", id, MAX_CLIENT_ID_BYTES)?;
        Ok(Self(id.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The secret of a client: never printed, zeroized when the last clone is
/// dropped, never serializable.
///
/// Cloning shares the one copy in memory.
///
/// # Example
///
/// ```
/// use bloom_auth_core::ClientSecret;
///
/// let secret = ClientSecret::new("correct horse battery staple".to_owned())?;
/// assert_eq!(format!("{secret:?}"), "ClientSecret([redacted])");
/// # Ok::<(), bloom_auth_core::ConfigurationError>(())
/// ```
#[derive(Clone)]
pub struct ClientSecret(Arc<Zeroizing<Box<str>>>);

impl ClientSecret {
    /// Takes a client secret and zeroizes the string it came in.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`] if it is empty, has a control character (a line
    /// break from a file, most often), or is longer than 4096 bytes. The error
    /// says where the fault is and never what the secret is.
    pub fn new(secret: impl Into<String>) -> Result<Self, ConfigurationError> {
        // The copy is exactly sized: turning the `String` itself into a box
        // could reallocate and leave an un-zeroized copy behind.
        let secret = Zeroizing::new(secret.into());
        check("client secret", &secret, MAX_CLIENT_SECRET_BYTES)?;
        Ok(Self(Arc::new(Zeroizing::new(Box::from(secret.as_str())))))
    }

    /// The secret itself, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret([redacted])")
    }
}

/// A client id with its secret: what a token request proves.
#[derive(Clone, Debug)]
pub struct ClientCredentials {
    id: ClientId,
    secret: ClientSecret,
}

impl ClientCredentials {
    /// Puts an id and a secret together.
    #[must_use]
    pub fn new(id: ClientId, secret: ClientSecret) -> Self {
        Self { id, secret }
    }

    /// The client id.
    #[must_use]
    pub fn id(&self) -> &ClientId {
        &self.id
    }

    /// The client secret.
    #[must_use]
    pub fn secret(&self) -> &ClientSecret {
        &self.secret
    }

    /// A tag that is equal for equal credentials and says nothing about them.
    #[must_use]
    pub fn tag(&self) -> CredentialTag {
        CredentialTag::of(self)
    }

    /// Key material for sealing tokens at rest: the client secret, if it has
    /// at least 32 characters.
    ///
    /// `None` means that the secret could be guessed, and a token sealed with
    /// it would let whoever reads the cache test guesses offline.
    #[must_use]
    pub fn seal_material(&self) -> Option<&[u8]> {
        let secret = self.secret.expose();
        (secret.chars().count() >= MIN_SEAL_MATERIAL_CHARS).then_some(secret.as_bytes())
    }
}

/// A keyed hash of client credentials: it tells credentials apart without
/// holding them, and is never printed.
///
/// It is HMAC-SHA-256 under the secret, so that nobody computes it who does
/// not hold the secret already. It keeps one tenant's token from another who
/// knows the client id but not the secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CredentialTag([u8; 32]);

impl CredentialTag {
    fn of(credentials: &ClientCredentials) -> Self {
        // HMAC takes keys of every length, so this cannot fail; an error would
        // yield a tag that no real credentials have.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(credentials.secret.expose().as_bytes())
        else {
            return Self([0; 32]);
        };
        mac.update(b"bloom-auth credential tag v1\0");
        mac.update(credentials.id.as_str().as_bytes());
        Self(mac.finalize().into_bytes().into())
    }

    /// The tag's bytes, for keyed hashes over a whole cache key. Do not print
    /// or store them as they are.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for CredentialTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CredentialTag([redacted])")
    }
}

/// Reads bytes as a secret: UTF-8, one trailing line break trimmed. The
/// buffer is zeroized.
pub(crate) fn secret_from_bytes(mut bytes: Vec<u8>) -> Result<ClientSecret, ConfigurationError> {
    let result = match std::str::from_utf8(&bytes) {
        Ok(text) => ClientSecret::new(trim_one_newline(text)),
        Err(error) => Err(ConfigurationError::new(
            "client secret",
            format!("is not UTF-8 at byte {}", error.valid_up_to()),
            "store the secret as the plain text that Bloom gave",
        )),
    };
    bytes.zeroize();
    result
}

/// Text without one trailing `\n` or `\r\n`, which editors and `echo` add.
pub(crate) fn trim_one_newline(text: &str) -> &str {
    match text.strip_suffix('\n') {
        Some(line) => line.strip_suffix('\r').unwrap_or(line),
        None => text,
    }
}

fn check(what: &'static str, value: &str, max: usize) -> Result<(), ConfigurationError> {
    let fix = "use the value that Bloom gave, without quotes or line breaks";
    if value.is_empty() {
        return Err(ConfigurationError::new(what, "is empty", fix));
    }
    if value.len() > max {
        let problem = format!("is {} bytes long, more than {max}", value.len());
        return Err(ConfigurationError::new(what, problem, fix));
    }
    if let Some((offset, _)) = value.char_indices().find(|(_, c)| c.is_control()) {
        let problem = format!("has a control character at byte {offset}");
        return Err(ConfigurationError::new(what, problem, fix));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k4_ids_and_secrets_that_cannot_be_are_refused_by_place_not_by_content() {
        for (value, problem) in [
            ("", "is empty"),
            ("hunter2\n", "has a control character at byte 7"),
            ("\0hunter2", "has a control character at byte 0"),
            ("hunter2\u{85}", "has a control character at byte 7"),
        ] {
            for error in [
                ClientId::new(value).unwrap_err(),
                ClientSecret::new(value).unwrap_err(),
            ] {
                let text = format!("{error} {error:?}");
                assert!(text.contains(problem), "{value:?}: {text}");
                assert!(!text.contains("hunter2"), "{text}");
            }
        }
        assert!(ClientId::new("x".repeat(MAX_CLIENT_ID_BYTES + 1)).is_err());
        assert!(ClientSecret::new("x".repeat(MAX_CLIENT_SECRET_BYTES + 1)).is_err());
    }

    #[test]
    fn p38_one_trailing_newline_is_trimmed_and_no_more() {
        for (bytes, secret) in [
            ("s3cret", Some("s3cret")),
            ("s3cret\n", Some("s3cret")),
            ("s3cret\r\n", Some("s3cret")),
            (" s3cret ", Some(" s3cret ")),
            ("s3cret\n\n", None),
            ("s3\ncret", None),
            ("\n", None),
        ] {
            let read = secret_from_bytes(bytes.into()).ok();
            assert_eq!(read.as_ref().map(ClientSecret::expose), secret, "{bytes:?}");
        }
        assert!(secret_from_bytes(vec![b'a', 0xff]).is_err());
    }

    #[test]
    fn the_tag_tells_apart_id_and_secret() {
        let tag = |id: &str, secret: &str| {
            ClientCredentials::new(
                ClientId::new(id).unwrap(),
                ClientSecret::new(secret).unwrap(),
            )
            .tag()
        };
        assert_eq!(tag("a", "s"), tag("a", "s"));
        assert_ne!(tag("a", "s"), tag("a", "t"));
        assert_ne!(tag("a", "s"), tag("b", "s"));
        assert_eq!(
            format!("{:?} {:#?}", tag("a", "s"), tag("a", "s")),
            "CredentialTag([redacted]) CredentialTag([redacted])"
        );
    }

    #[test]
    fn short_secrets_seal_nothing() {
        let material = |secret: &str| {
            ClientCredentials::new(
                ClientId::new("a").unwrap(),
                ClientSecret::new(secret).unwrap(),
            )
            .seal_material()
            .map(<[u8]>::len)
        };
        assert_eq!(material(&"x".repeat(31)), None);
        assert_eq!(material(&"x".repeat(32)), Some(32));
        assert_eq!(material(&"é".repeat(31)), None);
    }
}
