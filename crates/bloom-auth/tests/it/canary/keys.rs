//! What the canary test does with clients that have a private key and no
//! secret.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bloom_auth::{
    AssertionSigner, BloomAuth, ClientCredentials, ClientId, CredentialsError, Environment,
    PrivateKey, SigningAlgorithm,
};
use bloom_auth_core::test_util::{P256, RSA, TestKey};
use bloom_auth_emulator::Emulator;

use super::{Echo, ID, SECRET, report};

const KEYS: [TestKey; 2] = [RSA, P256];

/// The private keys in the forms in which they could get out: as they stand in
/// their files, and as bytes in hexadecimal or as numbers.
pub(super) fn texts() -> Vec<String> {
    let mut texts = Vec::new();
    for key in KEYS {
        let lines = key.private_pem.lines();
        let lines: Vec<_> = lines.filter(|line| !line.starts_with('-')).collect();
        let der = STANDARD.decode(lines.concat()).unwrap();
        // Behind the first bytes, which all keys of a kind have in common.
        let part = &der[40..64];
        texts.extend(lines.iter().skip(1).map(|line| (*line).to_owned()));
        texts.push(part.iter().map(|byte| format!("{byte:02x}")).collect());
        texts.push(format!("{part:?}").trim_matches(['[', ']']).to_owned());
    }
    texts
}

/// A private key that remembers the assertions which it has signed.
#[derive(Clone, Debug)]
struct Remembering {
    key: PrivateKey,
    signed: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl AssertionSigner for Remembering {
    fn algorithm(&self) -> SigningAlgorithm {
        self.key.algorithm()
    }

    fn tag_key(&self) -> &[u8; 32] {
        self.key.tag_key()
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CredentialsError> {
        let signature = self.key.sign(message).await?;
        let message = std::str::from_utf8(message).unwrap();
        let assertion = format!("{message}.{}", URL_SAFE_NO_PAD.encode(&signature));
        self.signed.lock().unwrap().push(assertion);
        Ok(signature)
    }
}

/// A client without a secret: tokens are fetched, and a server refuses and
/// repeats the assertions. Returns the tokens and the assertions.
pub(super) async fn days() -> Vec<String> {
    let mut secrets = Vec::new();
    let server = Echo::start();
    for key in KEYS {
        let emulator = Emulator::builder()
            .client(ID, SECRET)
            .client_public_key(key.public_pem)
            .start()
            .await
            .unwrap();
        let signer = Remembering {
            key: PrivateKey::from_pem(key.private_pem).unwrap(),
            signed: Arc::default(),
        };
        let credentials =
            ClientCredentials::with_signer(ClientId::new(ID).unwrap(), signer.clone());
        let certificate =
            ClientCredentials::with_certificate(ClientId::new(ID).unwrap(), key.private_pem);
        eprintln!("{signer:?} {credentials:#?} {certificate:?}");
        let echoes = (0..Echo::KINDS).map(|kind| server.url((kind, Echo::BODY)));
        for url in [emulator.v1_token_url()].into_iter().chain(echoes) {
            let environment = Environment::custom(url, "https://api.test")
                .audience(emulator.audience())
                .allow_insecure_loopback()
                .build()
                .unwrap();
            let auth = BloomAuth::builder()
                .environment(environment)
                .credentials(credentials.clone())
                .root_certificate(emulator.ca_pem().unwrap())
                .build()
                .unwrap();
            for result in [auth.token().await, auth.refresh().await] {
                match result {
                    Ok(token) => secrets.push(token.expose().to_owned()),
                    Err(error) => report(&error),
                }
            }
            eprintln!("{auth:?} {:?}", auth.status());
        }
        assert_eq!(emulator.counts().tokens_issued, 2);
        let signed = signer.signed.lock().unwrap();
        assert!(signed.len() >= 2 + Echo::KINDS);
        secrets.extend(signed.iter().cloned());
    }
    secrets
}
