//! [`PrivateKey`]: a signer with the key in memory.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256,
        RSA_PSS_SHA256, RsaKeyPair,
    },
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{
    client::check,
    credentials::CredentialsError,
    error::ConfigurationError,
    pem::{self, KeyFormat, PemKey},
    signer::{AssertionSigner, SigningAlgorithm},
};

const SETTING: &str = "private key";
const MAX_KEY_ID_BYTES: usize = 1024;
const MIN_RSA_BITS: usize = 2048;

const KINDS: &str = "use an RSA key of at least 2048 bits, a P-256 key or an Ed25519 key";

/// The private key of a client that proves who it is by signed assertions
/// (`private_key_jwt`): RSA, P-256 or Ed25519. Feature `private-key-jwt`.
///
/// Never printed, and zeroized when the last clone is dropped; clones share
/// the one copy in memory.
///
/// # Example
///
/// ```no_run
/// use bloom_auth_core::{ClientCredentials, ClientId, PrivateKey};
///
/// let key = PrivateKey::from_pem(std::fs::read("/run/secrets/bloom-key.pem")?)?;
/// let key = key.with_key_id("2026-11")?; // where the server knows it by one
/// let credentials = ClientCredentials::with_signer(ClientId::new("my-backend")?, key);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct PrivateKey {
    held: Arc<Held>,
    algorithm: SigningAlgorithm,
    key_id: Option<Arc<str>>,
}

struct Held {
    pair: Pair,
    tag_key: Zeroizing<[u8; 32]>,
}

enum Pair {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl PrivateKey {
    /// Reads a private key in PEM: PKCS#8 (`BEGIN PRIVATE KEY`), and the older
    /// forms of RSA (`BEGIN RSA PRIVATE KEY`) and P-256 (`BEGIN EC PRIVATE
    /// KEY`) keys. Other things in the same text, such as certificates, are
    /// passed over. The buffer is zeroized.
    ///
    /// An RSA key signs with `RS256`, a P-256 key with `ES256`, an Ed25519 key
    /// with `EdDSA`.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`] if there is no private key or more than one, or
    /// it is encrypted, of another kind, an RSA key of fewer than 2048 bits, or
    /// damaged. It says what is wrong with the key and shows nothing of it.
    pub fn from_pem(pem: impl Into<Vec<u8>>) -> Result<Self, ConfigurationError> {
        let pem = Zeroizing::new(pem.into());
        let PemKey { format, der } = pem::private_key(SETTING, &pem)?;
        let (pair, algorithm) = match Kind::of(format, &der) {
            Kind::Rsa => (rsa(format, &der)?, SigningAlgorithm::Rs256),
            Kind::Ec => (p256(format, &der)?, SigningAlgorithm::Es256),
            Kind::Ed25519 => {
                let pair = Ed25519KeyPair::from_pkcs8(&der).map_err(|_| damaged())?;
                (Pair::Ed25519(pair), SigningAlgorithm::EdDsa)
            }
            Kind::Other => {
                let problem = "is of a kind that nothing is signed with here";
                return Err(ConfigurationError::new(SETTING, problem, KINDS));
            }
        };
        let tag_key = tag_key(&der);
        Ok(Self {
            held: Arc::new(Held { pair, tag_key }),
            algorithm,
            key_id: None,
        })
    }

    /// Sets the name by which the authorization server knows the key (`kid`):
    /// needed where it knows several keys of the client.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`] if it is empty, has a control character, or is
    /// longer than 1024 bytes.
    pub fn with_key_id(mut self, id: impl AsRef<str>) -> Result<Self, ConfigurationError> {
        check("private key id", id.as_ref(), MAX_KEY_ID_BYTES)?;
        self.key_id = Some(id.as_ref().into());
        Ok(self)
    }

    /// Signs in another way that the key can be used in: an RSA key with
    /// [`Ps256`](SigningAlgorithm::Ps256).
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`] if the key is of another kind.
    pub fn with_algorithm(
        mut self,
        algorithm: SigningAlgorithm,
    ) -> Result<Self, ConfigurationError> {
        use SigningAlgorithm::{EdDsa, Es256, Ps256, Rs256};
        match (&self.held.pair, algorithm) {
            (Pair::Rsa(_), Rs256 | Ps256) | (Pair::P256(_), Es256) | (Pair::Ed25519(_), EdDsa) => {
                self.algorithm = algorithm;
                Ok(self)
            }
            _ => Err(ConfigurationError::new(
                SETTING,
                format!("cannot sign with {}", algorithm.name()),
                "choose an algorithm for its kind of key, or another key",
            )),
        }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({}, [redacted])", self.algorithm.name())
    }
}

/// Signs at once, which takes a millisecond or so with RSA.
#[async_trait]
impl AssertionSigner for PrivateKey {
    fn algorithm(&self) -> SigningAlgorithm {
        self.algorithm
    }

    fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    fn tag_key(&self) -> &[u8; 32] {
        &self.held.tag_key
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CredentialsError> {
        let random = SystemRandom::new();
        let signature = match &self.held.pair {
            Pair::Rsa(pair) => {
                let padding = match self.algorithm {
                    SigningAlgorithm::Ps256 => &RSA_PSS_SHA256,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut signature)
                    .map(|()| signature)
            }
            Pair::P256(pair) => pair
                .sign(&random, message)
                .map(|signature| signature.as_ref().to_vec()),
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        };
        signature.map_err(|_| CredentialsError::new("the private key did not sign"))
    }
}

enum Kind {
    Rsa,
    Ec,
    Ed25519,
    Other,
}

impl Kind {
    fn of(format: KeyFormat, der: &[u8]) -> Self {
        let oid = match format {
            KeyFormat::Pkcs1 => return Self::Rsa,
            KeyFormat::Sec1 => return Self::Ec,
            KeyFormat::Pkcs8 => pkcs8_algorithm(der).unwrap_or_default(),
        };
        match oid {
            b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01" => Self::Rsa,
            b"\x2a\x86\x48\xce\x3d\x02\x01" => Self::Ec,
            b"\x2b\x65\x70" => Self::Ed25519,
            _ => Self::Other,
        }
    }
}

/// The object identifier of the algorithm in a PKCS#8 key (RFC 5208, section
/// 5): a sequence of the version, a sequence that begins with the identifier,
/// and more.
fn pkcs8_algorithm(der: &[u8]) -> Option<&[u8]> {
    let (key, _) = der_value(0x30, der)?;
    let (_, rest) = der_value(0x02, key)?;
    let (algorithm, _) = der_value(0x30, rest)?;
    der_value(0x06, algorithm).map(|(oid, _)| oid)
}

/// The content of the first value, which must have this tag, and what follows.
fn der_value(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[found, length], rest) = der.split_first_chunk()?;
    if found != tag {
        return None;
    }
    if length < 0x80 {
        return rest.split_at_checked(length.into());
    }
    let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
    if digits.len() > 4 {
        return None;
    }
    let length = digits
        .iter()
        .fold(0, |sum, digit| sum << 8 | usize::from(*digit));
    rest.split_at_checked(length)
}

fn rsa(format: KeyFormat, der: &[u8]) -> Result<Pair, ConfigurationError> {
    let too_short = || {
        let problem = "is an RSA key of fewer than 2048 bits: such keys can be broken";
        ConfigurationError::new(SETTING, problem, KINDS)
    };
    let pair = match format {
        KeyFormat::Pkcs1 => RsaKeyPair::from_der(der),
        _ => RsaKeyPair::from_pkcs8(der),
    };
    let pair = pair.map_err(|error| match error.description_() {
        "TooSmall" => too_short(),
        "TooLarge" => {
            let problem = "is an RSA key of more bits than anyone uses";
            ConfigurationError::new(SETTING, problem, KINDS)
        }
        _ => damaged(),
    })?;
    if pair.public_modulus_len() * 8 < MIN_RSA_BITS {
        return Err(too_short());
    }
    Ok(Pair::Rsa(pair))
}

fn p256(format: KeyFormat, der: &[u8]) -> Result<Pair, ConfigurationError> {
    let pair = match format {
        KeyFormat::Sec1 => {
            EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der)
        }
        _ => EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der),
    };
    pair.map(Pair::P256).map_err(|_| {
        let problem = "is damaged, or of another elliptic curve than P-256";
        ConfigurationError::new(SETTING, problem, KINDS)
    })
}

fn damaged() -> ConfigurationError {
    let fix = "give the file as it was made (`openssl pkey -in FILE -noout -check` checks it)";
    ConfigurationError::new(SETTING, "is damaged", fix)
}

/// Only who has the private key can compute it.
fn tag_key(der: &[u8]) -> Zeroizing<[u8; 32]> {
    // HMAC takes keys of every length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(der) else {
        return Zeroizing::new([0; 32]);
    };
    mac.update(b"bloom-auth private key tag v1");
    Zeroizing::new(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED, ED25519 as ED25519_VERIFICATION, KeyPair as _,
        RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey,
        VerificationAlgorithm,
    };
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

    use super::*;
    use crate::{
        client::{ClientCredentials, ClientId},
        test_keys::{ED25519, GOLDEN, P256, RSA},
    };

    const RSA_PKCS1: &str = include_str!("test_keys/rsa-pkcs1.pem");
    const P256_SEC1: &str = include_str!("test_keys/p256-sec1.pem");

    /// The public half: of RSA in PKCS#1, of P-256 a point, of Ed25519 as it is.
    fn public_half(key: &PrivateKey) -> &[u8] {
        match &key.held.pair {
            Pair::Rsa(pair) => pair.public_key().as_ref(),
            Pair::P256(pair) => pair.public_key().as_ref(),
            Pair::Ed25519(pair) => pair.public_key().as_ref(),
        }
    }

    fn verifies(key: &PrivateKey, message: &[u8], signature: &[u8]) -> bool {
        let algorithm: &'static dyn VerificationAlgorithm = match key.algorithm() {
            SigningAlgorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
            SigningAlgorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
            SigningAlgorithm::Es256 => &ECDSA_P256_SHA256_FIXED,
            SigningAlgorithm::EdDsa => &ED25519_VERIFICATION,
        };
        let key = UnparsedPublicKey::new(algorithm, public_half(key));
        key.verify(message, signature).is_ok()
    }

    #[tokio::test]
    async fn what_is_signed_is_what_others_sign() {
        for golden in GOLDEN {
            let key = PrivateKey::from_pem(golden.key.private_pem).unwrap();
            let key = key.with_algorithm(golden.algorithm).unwrap();
            let (message, signature) = golden.assertion.rsplit_once('.').unwrap();
            let message = message.as_bytes();
            let theirs = URL_SAFE_NO_PAD.decode(signature).unwrap();
            let ours = key.sign(message).await.unwrap();
            assert!(verifies(&key, message, &theirs), "{key:?}");
            assert!(verifies(&key, message, &ours), "{key:?}");
            assert!(!verifies(&key, b"another message", &ours), "{key:?}");
            assert_eq!(ours.len(), theirs.len(), "{key:?}");
            // The others draw a number for each signature.
            let same = matches!(
                golden.algorithm,
                SigningAlgorithm::Rs256 | SigningAlgorithm::EdDsa
            );
            assert_eq!(ours == theirs, same, "{key:?}");
        }
    }

    #[tokio::test]
    async fn older_forms_hold_the_same_key() {
        for (old, new) in [(RSA_PKCS1, RSA), (P256_SEC1, P256)] {
            let old = PrivateKey::from_pem(old).unwrap();
            let new = PrivateKey::from_pem(new.private_pem).unwrap();
            assert_eq!(public_half(&old), public_half(&new));
            let signature = old.sign(b"message").await.unwrap();
            assert!(verifies(&new, b"message", &signature));
        }
    }

    #[test]
    fn each_kind_of_key_signs_in_its_own_ways_alone() {
        use SigningAlgorithm::{EdDsa, Es256, Ps256, Rs256};
        for key in [RSA, P256, ED25519] {
            let private = PrivateKey::from_pem(key.private_pem).unwrap();
            assert_eq!(Some(&private.algorithm()), key.algorithms.first());
            for algorithm in [Rs256, Ps256, Es256, EdDsa] {
                let chosen = private.clone().with_algorithm(algorithm);
                assert_eq!(chosen.is_ok(), key.algorithms.contains(&algorithm));
            }
        }
    }

    #[test]
    fn k4_a_key_that_cannot_be_used_is_told_without_showing_it() {
        let cut = |pem: &str| {
            let lines: Vec<_> = pem.lines().collect();
            let kept = [&lines[..1], &lines[2..]].concat();
            kept.join("\n")
        };
        let other = "-----BEGIN PRIVATE KEY-----\nMAsCAQAwBQYDK2VuBAA=\n-----END PRIVATE KEY-----";
        for (pem, problem) in [
            (
                include_str!("test_keys/rsa-1024.pem").to_owned(),
                "fewer than 2048 bits",
            ),
            (
                include_str!("test_keys/p384.pem").to_owned(),
                "another elliptic curve than P-256",
            ),
            (other.to_owned(), "of a kind that nothing is signed with"),
            (cut(RSA_PKCS1), "is damaged"),
            (cut(P256_SEC1), "is damaged"),
            (
                RSA.private_pem.replace("MIIE", "MAAA"),
                "of a kind that nothing is signed with",
            ),
            (RSA.public_pem.to_owned(), "this is a public key"),
            (String::new(), "no private key was found"),
        ] {
            let error = PrivateKey::from_pem(pem.as_str()).unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(text.starts_with("private key is "), "{text}");
            assert!(text.contains(problem), "{problem}: {text}");
            for line in pem.lines().filter(|line| !line.starts_with('-')) {
                assert!(!text.contains(line), "{text}");
            }
        }
        // Every prefix of a key is refused as well, and none panics.
        for length in 0..ED25519.private_pem.trim_end().len() {
            assert!(PrivateKey::from_pem(&ED25519.private_pem[..length]).is_err());
        }
    }

    #[test]
    fn nothing_of_it_is_printed() {
        for key in [RSA, P256, ED25519] {
            let private = PrivateKey::from_pem(key.private_pem).unwrap();
            let credentials =
                ClientCredentials::with_signer(ClientId::new("id").unwrap(), private.clone());
            assert_eq!(
                format!("{private:?}"),
                format!("PrivateKey({}, [redacted])", private.algorithm().name())
            );
            assert_eq!(
                format!("{credentials:?}"),
                "ClientCredentials { id: ClientId(\"id\"), method: PrivateKeyJwt, .. }"
            );
        }
    }

    #[test]
    fn the_tag_tells_apart_keys_and_what_an_assertion_says() {
        let id = ClientId::new("id").unwrap();
        let key = |pem: &str| PrivateKey::from_pem(pem).unwrap();
        let tag = |key| ClientCredentials::with_signer(id.clone(), key).tag();
        let rsa = key(RSA.private_pem);
        let ps256 = rsa.clone().with_algorithm(SigningAlgorithm::Ps256);
        let tags = [
            tag(rsa.clone()),
            tag(ps256.unwrap()),
            tag(rsa.clone().with_key_id("1").unwrap()),
            tag(rsa.clone().with_key_id("2").unwrap()),
            tag(key(P256.private_pem)),
            tag(key(ED25519.private_pem)),
        ];
        for (i, a) in tags.iter().enumerate() {
            for (j, b) in tags.iter().enumerate() {
                assert_eq!(a == b, i == j, "{i} and {j}");
            }
        }
        assert_eq!(tags[0], tag(key(RSA.private_pem)));
        assert!(rsa.with_key_id("").is_err());
    }
}
