//! Who signs the assertions of a client that has a private key and no secret.

use std::{fmt, sync::Arc};

use async_trait::async_trait;

use crate::credentials::CredentialsError;

/// Signs the assertions with which a client proves who it is
/// (`private_key_jwt`; RFC 7523).
///
/// With the feature `private-key-jwt`, `PrivateKey` is one that has the key in
/// memory; implement the trait for a key in an HSM or a key management
/// service.
///
/// # Contract
///
/// - [`sign`](Self::sign) is asked once for every token request, each time
///   with another message, and must not ask the same provider for a token.
/// - Everything else is asked often, must not wait, and gives the same for as
///   long as the signer lives. Another key is another signer, given by the
///   [`CredentialsSource`](crate::CredentialsSource).
///
/// # Example
///
/// ```
/// use async_trait::async_trait;
/// use bloom_auth_core::{AssertionSigner, CredentialsError, SigningAlgorithm};
///
/// /// A key that does not leave a key management service.
/// #[derive(Debug)]
/// struct KmsKey {
///     name: String,
///     tag_key: TagKey,
/// }
/// # struct TagKey([u8; 32]);
/// # impl std::fmt::Debug for TagKey {
/// #     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str("TagKey") }
/// # }
/// # async fn call_the_service(_: &str, _: &[u8]) -> Result<Vec<u8>, std::io::Error> { Ok(vec![]) }
///
/// #[async_trait]
/// impl AssertionSigner for KmsKey {
///     fn algorithm(&self) -> SigningAlgorithm {
///         SigningAlgorithm::Rs256
///     }
///
///     fn key_id(&self) -> Option<&str> {
///         Some("2026-11")
///     }
///
///     fn tag_key(&self) -> &[u8; 32] {
///         &self.tag_key.0 // made by the service when this was made, with `HMAC(key, "tag")`
///     }
///
///     async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CredentialsError> {
///         let signature = call_the_service(&self.name, message).await;
///         signature.map_err(|error| {
///             CredentialsError::new("the key management service did not sign").with_source(error)
///         })
///     }
/// }
/// ```
#[async_trait]
pub trait AssertionSigner: fmt::Debug + Send + Sync {
    /// How it signs.
    fn algorithm(&self) -> SigningAlgorithm;

    /// The name by which the authorization server knows the key (`kid`), if
    /// it has one. Not a secret.
    fn key_id(&self) -> Option<&str> {
        None
    }

    /// A key for the [tag of the credentials](crate::CredentialTag), which
    /// keeps the token of one client from another one who shares its cache and
    /// only claims its client id.
    ///
    /// Only who may sign with the key may be able to compute it: never the
    /// public key, its hash or the key id. Good ones are a value derived from the
    /// private key, an HMAC that the service which holds the key computes over a
    /// fixed text, or the hash of a signature of a fixed text, if the algorithm
    /// always gives the same (`RS256`, `EdDSA`). A random value is good as well,
    /// but finds no token that another process has cached.
    fn tag_key(&self) -> &[u8; 32];

    /// Signs the message, in the form that JSON Web Signatures have (RFC 7518,
    /// section 3; RFC 8037): for `ES256` both numbers of 32 bytes, without ASN.1.
    ///
    /// # Errors
    ///
    /// [`CredentialsError`] if it cannot; its text holds no secret. The token
    /// request is not sent then.
    ///
    /// # Cancellation
    ///
    /// The future is dropped when the engine's attempt timeout has passed.
    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CredentialsError>;
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: AssertionSigner + ?Sized> AssertionSigner for Arc<T> {
    fn algorithm(&self) -> SigningAlgorithm {
        (**self).algorithm()
    }

    fn key_id(&self) -> Option<&str> {
        (**self).key_id()
    }

    fn tag_key(&self) -> &[u8; 32] {
        (**self).tag_key()
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CredentialsError> {
        (**self).sign(message).await
    }
}

/// How an assertion is signed (RFC 7518, section 3.1; RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SigningAlgorithm {
    /// `RS256`: RSA, PKCS #1 v1.5, SHA-256.
    Rs256,
    /// `PS256`: RSA, PSS, SHA-256.
    Ps256,
    /// `ES256`: ECDSA on P-256, SHA-256.
    Es256,
    /// `EdDSA`, on Ed25519.
    EdDsa,
}

impl SigningAlgorithm {
    /// The name that it has in the header of an assertion.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}
