//! Keys that guard nothing, for tests, and what others have signed with them.
//!
//! Keys and signatures were made by an independent implementation (Python's
//! `cryptography`).

use crate::signer::SigningAlgorithm;

/// A private key and its public half, in PEM.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct TestKey {
    /// PKCS#8, as `openssl genpkey` writes it.
    pub private_pem: &'static str,
    /// The public half.
    pub public_pem: &'static str,
    /// What can be signed with it.
    pub algorithms: &'static [SigningAlgorithm],
}

/// An RSA key of 2048 bits.
pub const RSA: TestKey = TestKey {
    private_pem: include_str!("test_keys/rsa.pem"),
    public_pem: include_str!("test_keys/rsa-public.pem"),
    algorithms: &[SigningAlgorithm::Rs256, SigningAlgorithm::Ps256],
};

/// A key on the curve P-256.
pub const P256: TestKey = TestKey {
    private_pem: include_str!("test_keys/p256.pem"),
    public_pem: include_str!("test_keys/p256-public.pem"),
    algorithms: &[SigningAlgorithm::Es256],
};

/// An Ed25519 key.
pub const ED25519: TestKey = TestKey {
    private_pem: include_str!("test_keys/ed25519.pem"),
    public_pem: include_str!("test_keys/ed25519-public.pem"),
    algorithms: &[SigningAlgorithm::EdDsa],
};

#[cfg(test)]
pub(crate) use golden::{GOLDEN, TestSigner, test_assertion};

#[cfg(test)]
mod golden {
    use std::time::SystemTime;

    use async_trait::async_trait;

    use super::{ED25519, P256, RSA, TestKey};
    use crate::{
        client::ClientId,
        credentials::CredentialsError,
        protocol::{ClientAssertion, UnsignedAssertion},
        signer::{AssertionSigner, SigningAlgorithm},
    };

    /// An assertion, and what it says.
    pub(crate) struct Golden {
        #[cfg_attr(
            not(feature = "private-key-jwt"),
            expect(dead_code, reason = "for signers")
        )]
        pub(crate) key: TestKey,
        pub(crate) algorithm: SigningAlgorithm,
        pub(crate) key_id: Option<&'static str>,
        pub(crate) client: &'static str,
        pub(crate) audience: &'static str,
        pub(crate) id: &'static str,
        pub(crate) issued_at: u64,
        pub(crate) assertion: &'static str,
    }

    const fn golden(
        key: TestKey,
        algorithm: SigningAlgorithm,
        key_id: Option<&'static str>,
        assertion: &'static str,
    ) -> Golden {
        Golden {
            key,
            algorithm,
            key_id,
            client: "the client",
            audience: "https://auth.bloom.dev/oauth/token",
            id: "6a09e667f3bcc908bb67ae8584caa73b",
            issued_at: 1_800_000_000,
            assertion: assertion.trim_ascii_end(),
        }
    }

    pub(crate) const GOLDEN: [Golden; 4] = [
        golden(
            RSA,
            SigningAlgorithm::Rs256,
            Some("key \"1\""),
            include_str!("test_keys/rs256.jwt"),
        ),
        golden(
            RSA,
            SigningAlgorithm::Ps256,
            None,
            include_str!("test_keys/ps256.jwt"),
        ),
        golden(
            P256,
            SigningAlgorithm::Es256,
            Some("key-2"),
            include_str!("test_keys/es256.jwt"),
        ),
        golden(
            ED25519,
            SigningAlgorithm::EdDsa,
            None,
            include_str!("test_keys/eddsa.jwt"),
        ),
    ];

    /// Signs with a text that proves nothing.
    #[derive(Debug)]
    pub(crate) struct TestSigner([u8; 32]);

    impl TestSigner {
        /// With up to 32 bytes for the tag.
        pub(crate) fn new(tag_key: &str) -> Self {
            let mut key = [0; 32];
            key[..tag_key.len()].copy_from_slice(tag_key.as_bytes());
            Self(key)
        }
    }

    #[async_trait]
    impl AssertionSigner for TestSigner {
        fn algorithm(&self) -> SigningAlgorithm {
            SigningAlgorithm::Es256
        }

        fn tag_key(&self) -> &[u8; 32] {
            &self.0
        }

        async fn sign(&self, _: &[u8]) -> Result<Vec<u8>, CredentialsError> {
            Ok(b"a test signature, and no more than that".to_vec())
        }
    }

    pub(crate) fn test_assertion() -> ClientAssertion {
        let client = ClientId::new("my-id").unwrap();
        let (audience, now) = ("https://a.test", SystemTime::UNIX_EPOCH);
        UnsignedAssertion::new(SigningAlgorithm::Es256, None, &client, audience, "1", now)
            .sign_with(b"a test signature, and no more than that")
    }
}
