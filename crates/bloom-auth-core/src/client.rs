//! Who the application is: its client id, and what proves that it is this
//! client.

use std::{fmt, sync::Arc};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

use crate::{
    environment::ClientAuthentication, error::ConfigurationError, pem, protocol::ClientAssertion,
    signer::AssertionSigner,
};

const MAX_CLIENT_ID_BYTES: usize = 1024;
const MAX_CLIENT_SECRET_BYTES: usize = 4096;
const MAX_AUDIENCE_BYTES: usize = 4096;

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

/// A client id with what proves it: a secret, a private key, or a certificate.
///
/// | made by | sent as | the server calls it |
/// |---|---|---|
/// | [`new`](Self::new) | the secret itself, as [`ClientAuthentication`] says | `client_secret_post`, `client_secret_basic` |
/// | [`with_signer`](Self::with_signer) | an assertion that is signed anew for every token request | `private_key_jwt` |
/// | [`with_certificate`](Self::with_certificate) | the client id alone; the transport presents the certificate | `tls_client_auth` |
#[derive(Clone)]
pub struct ClientCredentials {
    id: ClientId,
    proof: Proof,
    tag: CredentialTag,
}

#[derive(Clone)]
enum Proof {
    Secret(ClientSecret),
    Signer {
        signer: Arc<dyn AssertionSigner>,
        audience: Option<Arc<str>>,
    },
    /// What a signer has signed, for one token request.
    Assertion(ClientAssertion),
    Certificate,
}

impl ClientCredentials {
    /// Puts an id and a secret together.
    #[must_use]
    pub fn new(id: ClientId, secret: ClientSecret) -> Self {
        let tag = CredentialTag::of_secret(&id, &secret);
        let proof = Proof::Secret(secret);
        Self { id, proof, tag }
    }

    /// Puts an id and a signer together: the client proves who it is by
    /// assertions that the signer signs (`private_key_jwt`; RFC 7523), and no
    /// secret is sent.
    ///
    /// The signer's algorithm, key id and key for the tag are asked for now.
    #[must_use]
    pub fn with_signer(id: ClientId, signer: impl AssertionSigner + 'static) -> Self {
        Self::signed_by(id, Arc::new(signer), None)
    }

    /// Puts an id and a client certificate together (`tls_client_auth` and
    /// `self_signed_tls_client_auth`; RFC 8705): the transport presents the
    /// certificate and proves that it has the key, and the token request holds
    /// the client id alone.
    ///
    /// The transport must be given the certificate and its key by itself. The
    /// private key is wanted here as well, in PEM, alone or beside the
    /// certificate: only a hash of it is kept, for the [tag](CredentialTag) of
    /// the credentials, so that whoever shares a cache and knows the client id,
    /// which is public as the certificate is, is not handed the token. The buffer
    /// is zeroized.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`] if there is no private key in it, or more than
    /// one. It shows nothing of the key.
    ///
    /// # Example
    ///
    /// ```no_run
    /// use bloom_auth_core::{ClientCredentials, ClientId};
    ///
    /// let pem = std::fs::read("/run/secrets/bloom-client.pem")?;
    /// let credentials = ClientCredentials::with_certificate(ClientId::new("my-backend")?, pem)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_certificate(
        id: ClientId,
        key_pem: impl Into<Vec<u8>>,
    ) -> Result<Self, ConfigurationError> {
        let key_pem = Zeroizing::new(key_pem.into());
        let key = pem::private_key("private key of the client certificate", &key_pem)?;
        let tag = CredentialTag::of_certificate(&id, &key.der);
        let proof = Proof::Certificate;
        Ok(Self { id, proof, tag })
    }

    /// Sets whom the assertions are for (`aud`): the URL of the token endpoint
    /// by default. Some authorization servers want their issuer's name.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`] if it is empty, has a control character, is
    /// longer than 4096 bytes, or these credentials have no signer.
    pub fn with_assertion_audience(
        self,
        audience: impl AsRef<str>,
    ) -> Result<Self, ConfigurationError> {
        const SETTING: &str = "assertion audience";
        let (audience, fix) = (
            audience.as_ref(),
            "use the token endpoint's URL or the issuer's name, as the authorization server \
             wants it",
        );
        check_with_fix(SETTING, audience, MAX_AUDIENCE_BYTES, fix)?;
        let Proof::Signer { signer, .. } = self.proof else {
            return Err(ConfigurationError::new(
                SETTING,
                "is set, but nothing is signed with these credentials",
                "give it with a private key, or leave it out",
            ));
        };
        Ok(Self::signed_by(self.id, signer, Some(audience.into())))
    }

    fn signed_by(
        id: ClientId,
        signer: Arc<dyn AssertionSigner>,
        audience: Option<Arc<str>>,
    ) -> Self {
        let tag = CredentialTag::of_signer(&id, &*signer, audience.as_deref());
        let proof = Proof::Signer { signer, audience };
        Self { id, proof, tag }
    }

    /// The same client with an assertion that its signer has signed: what one
    /// token request presents. The engine does this by itself.
    #[must_use]
    pub fn with_assertion(&self, assertion: ClientAssertion) -> Self {
        Self {
            id: self.id.clone(),
            proof: Proof::Assertion(assertion),
            tag: self.tag,
        }
    }

    /// The client id.
    #[must_use]
    pub fn id(&self) -> &ClientId {
        &self.id
    }

    /// The client secret, if that is the proof.
    #[must_use]
    pub fn secret(&self) -> Option<&ClientSecret> {
        match &self.proof {
            Proof::Secret(secret) => Some(secret),
            _ => None,
        }
    }

    /// Who signs the assertions, if they are the proof.
    #[must_use]
    pub fn signer(&self) -> Option<&dyn AssertionSigner> {
        match &self.proof {
            Proof::Signer { signer, .. } => Some(&**signer),
            _ => None,
        }
    }

    /// Whom assertions are for, if it is not the token endpoint.
    #[must_use]
    pub fn assertion_audience(&self) -> Option<&str> {
        match &self.proof {
            Proof::Signer { audience, .. } => audience.as_deref(),
            _ => None,
        }
    }

    /// The signed assertion, in credentials for one token request.
    #[must_use]
    pub fn assertion(&self) -> Option<&ClientAssertion> {
        match &self.proof {
            Proof::Assertion(assertion) => Some(assertion),
            _ => None,
        }
    }

    /// How a token request with these credentials proves the client.
    pub(crate) fn method(&self, secret_is_sent: ClientAuthentication) -> Method {
        match (&self.proof, secret_is_sent) {
            (Proof::Secret(_), ClientAuthentication::Post) => Method::SecretPost,
            (Proof::Secret(_), ClientAuthentication::Basic) => Method::SecretBasic,
            (Proof::Signer { .. } | Proof::Assertion(_), _) => Method::PrivateKeyJwt,
            (Proof::Certificate, _) => Method::Certificate,
        }
    }

    /// A tag that is equal for equal credentials and says nothing about them.
    #[must_use]
    pub fn tag(&self) -> CredentialTag {
        self.tag
    }

    /// Key material for sealing tokens at rest: the client secret, if it has
    /// at least 32 characters.
    ///
    /// `None` means that there is no secret, or that it could be guessed, and a
    /// token sealed with it would let whoever reads the cache test guesses
    /// offline.
    #[must_use]
    pub fn seal_material(&self) -> Option<&[u8]> {
        let secret = self.secret()?.expose();
        (secret.chars().count() >= MIN_SEAL_MATERIAL_CHARS).then_some(secret.as_bytes())
    }
}

impl fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What a signer shows of itself is not ours to answer for.
        f.debug_struct("ClientCredentials")
            .field("id", &self.id)
            .field("method", &self.method(ClientAuthentication::Post))
            .finish_non_exhaustive()
    }
}

/// How a client proves who it is, by the names that servers have for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Method {
    SecretPost,
    SecretBasic,
    PrivateKeyJwt,
    Certificate,
}

impl Method {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SecretPost => "client_secret_post",
            Self::SecretBasic => "client_secret_basic",
            Self::PrivateKeyJwt => "private_key_jwt",
            Self::Certificate => "tls_client_auth",
        }
    }
}

/// A keyed hash of client credentials: it tells credentials apart without
/// holding them, and is never printed.
///
/// It is HMAC-SHA-256 under the secret or the private key (for another
/// [`AssertionSigner`], under what that [gives](AssertionSigner::tag_key)), so
/// that nobody computes it who does not hold that already. It keeps one
/// tenant's token from another who knows the client id but has no proof.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CredentialTag([u8; 32]);

impl CredentialTag {
    fn of_secret(id: &ClientId, secret: &ClientSecret) -> Self {
        Self::new(secret.expose().as_bytes(), |mac| {
            mac.update(b"bloom-auth credential tag v1\0");
            mac.update(id.as_str().as_bytes());
        })
    }

    /// With all that an assertion says of the client: where a server refused
    /// one, another may be taken.
    fn of_signer(id: &ClientId, signer: &dyn AssertionSigner, audience: Option<&str>) -> Self {
        Self::new(signer.tag_key(), |mac| {
            mac.update(b"bloom-auth credential tag v1, private_key_jwt\0");
            mac.update(signer.algorithm().name().as_bytes());
            for text in [Some(id.as_str()), signer.key_id(), audience] {
                // What may be absent comes behind its length, or the largest.
                let length = text.map_or(u64::MAX, |text| text.len() as u64);
                mac.update(&length.to_be_bytes());
                mac.update(text.unwrap_or_default().as_bytes());
            }
        })
    }

    fn of_certificate(id: &ClientId, private_key: &[u8]) -> Self {
        Self::new(private_key, |mac| {
            mac.update(b"bloom-auth credential tag v1, tls_client_auth\0");
            mac.update(id.as_str().as_bytes());
        })
    }

    fn new(key: &[u8], update: impl FnOnce(&mut Hmac<Sha256>)) -> Self {
        // HMAC takes keys of every length, so this cannot fail; an error would
        // yield a tag that no real credentials have.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
            return Self([0; 32]);
        };
        update(&mut mac);
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

pub(crate) fn check(what: &'static str, value: &str, max: usize) -> Result<(), ConfigurationError> {
    let fix = "use the value that Bloom gave, without quotes or line breaks";
    check_with_fix(what, value, max, fix)
}

fn check_with_fix(
    what: &'static str,
    value: &str,
    max: usize,
    fix: &'static str,
) -> Result<(), ConfigurationError> {
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
