//! Compact JSON Web Signatures (RFC 7515) by one Ed25519 key.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::EmulatorError;

const HEADER: &str = r#"{"alg":"EdDSA","typ":"JWT"}"#;

/// Signs payloads, and opens what it has signed.
pub(crate) struct Signer {
    key: Ed25519KeyPair,
    header: String,
}

impl Signer {
    /// The same seed gives the same key, and the key the same signatures.
    pub(crate) fn from_seed(seed: &[u8; 32]) -> Result<Self, EmulatorError> {
        let key = Ed25519KeyPair::from_seed_unchecked(seed)
            .map_err(|error| EmulatorError::Certificate(Box::new(error)))?;
        Ok(Self {
            key,
            header: URL_SAFE_NO_PAD.encode(HEADER),
        })
    }

    pub(crate) fn sign(&self, payload: &[u8]) -> String {
        let mut token = format!("{}.{}", self.header, URL_SAFE_NO_PAD.encode(payload));
        let signature = self.key.sign(token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature.as_ref(), &mut token);
        token
    }

    /// The payload, if this very key has signed the token. The header must be
    /// ours to the byte, so a token cannot choose its algorithm.
    pub(crate) fn open(&self, token: &str) -> Option<Vec<u8>> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        if header != self.header {
            return None;
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        UnparsedPublicKey::new(&ED25519, self.key.public_key())
            .verify(signed.as_bytes(), &signature)
            .ok()?;
        URL_SAFE_NO_PAD.decode(payload).ok()
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_what_it_signed() {
        let signer = Signer::from_seed(&[1; 32]).unwrap();
        let token = signer.sign(b"payload");
        assert_eq!(token.split('.').count(), 3);
        assert_eq!(signer.open(&token).as_deref(), Some(&b"payload"[..]));
    }

    #[test]
    fn opens_nothing_else() {
        let signer = Signer::from_seed(&[1; 32]).unwrap();
        let token = signer.sign(br#"{"scope":"read"}"#);
        let parts: Vec<&str> = token.split('.').collect();
        let [header, payload, signature] = parts.try_into().unwrap();
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        let raised = URL_SAFE_NO_PAD.encode(r#"{"scope":"write"}"#);
        let foreign = Signer::from_seed(&[2; 32])
            .unwrap()
            .sign(br#"{"scope":"read"}"#);
        for wrong in [
            String::new(),
            ".".to_owned(),
            "..".to_owned(),
            "a.b.c".to_owned(),
            format!("{header}.{payload}"),
            format!("{header}.{payload}."),
            format!("{none}.{payload}."),
            format!("{none}.{payload}.{signature}"),
            format!("{header}.{raised}.{signature}"),
            format!("{header}.{payload}.{signature}="),
            format!("{header}.{payload}.{signature}."),
            format!(".{header}.{payload}.{signature}"),
            format!("{header}.{payload}.x.{signature}"),
            token.to_ascii_uppercase(),
            format!(" {token}"),
            foreign,
        ] {
            assert_eq!(signer.open(&wrong), None, "{wrong}");
        }
        assert!(signer.open(&token).is_some());
    }
}
