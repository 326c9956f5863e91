//! Clients that sign instead of sending a secret: a new assertion for every
//! attempt, and signers that fail, hang or panic.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bloom_auth_core::{
    AssertionSigner, ClientCredentials, ClientId, CredentialsError, ErrorKind, Recovery,
    SigningAlgorithm, TokenBudget, chain,
    test_util::{FixedEntropy, Reply, ScriptedTransport},
};
use http::StatusCode;
use tokio::time::{Instant, sleep};

use crate::support::{builder, name, paused, ready, token_reply};

/// What a signer does.
#[derive(Clone, Copy, Debug)]
enum Mood {
    Signs,
    Fails,
    Hangs,
    Panics,
}

/// A signer that does as it is told, and counts. Clones are the same one.
#[derive(Clone, Debug)]
struct Moody {
    mood: Arc<Mutex<Mood>>,
    asked: Arc<AtomicUsize>,
}

impl Moody {
    fn new(mood: Mood) -> Self {
        Self {
            mood: Arc::new(Mutex::new(mood)),
            asked: Arc::default(),
        }
    }

    fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn credentials(&self) -> ClientCredentials {
        ClientCredentials::with_signer(ClientId::new("the-client").unwrap(), self.clone())
    }
}

#[async_trait]
impl AssertionSigner for Moody {
    fn algorithm(&self) -> SigningAlgorithm {
        SigningAlgorithm::EdDsa
    }

    fn key_id(&self) -> Option<&str> {
        Some("the-key")
    }

    fn tag_key(&self) -> &[u8; 32] {
        &[7; 32]
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CredentialsError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Signs => Ok([b"signed: ", message].concat()),
            Mood::Fails => {
                let cause = std::io::Error::other("quota of the service is used up");
                Err(CredentialsError::new("the service did not sign").with_source(cause))
            }
            Mood::Hangs => std::future::pending().await,
            Mood::Panics => panic!("as a signer with a bug may"),
        }
    }
}

/// The header, the claims and whether the signature is that of `Moody`, of the
/// assertion in each request.
fn assertions(transport: &ScriptedTransport) -> Vec<(serde_json::Value, serde_json::Value)> {
    let read = |body: &[u8]| {
        let body = std::str::from_utf8(body).unwrap().to_owned();
        let kind = "client_assertion_type=\
             urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
        assert!(
            body.contains(&format!("&client_id=the-client&{kind}&")),
            "{body}"
        );
        assert!(!body.contains("client_secret"), "{body}");
        let (_, assertion) = body.split_once("&client_assertion=").unwrap();
        let assertion = assertion.split('&').next().unwrap();
        let (message, signature) = assertion.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        assert_eq!(signature, format!("signed: {message}").into_bytes());
        let (header, claims) = message.split_once('.').unwrap();
        let [header, claims] = [header, claims].map(|part| {
            let part = URL_SAFE_NO_PAD.decode(part).unwrap();
            serde_json::from_slice(&part).unwrap()
        });
        (header, claims)
    };
    let requests = transport.requests();
    requests.iter().map(|request| read(&request.body)).collect()
}

#[test]
fn every_attempt_has_an_assertion_of_its_own() {
    paused().block_on(async {
        let failure = || Reply::error(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable");
        let replies = [
            failure(),
            failure(),
            token_reply("A", 100),
            token_reply("B", 100),
        ];
        let transport = ScriptedTransport::new(replies);
        let signer = Moody::new(Mood::Signs);
        // Without randomness, each is another one all the same.
        let provider = builder(signer.credentials(), transport.clone());
        let provider = provider.entropy(FixedEntropy::LEAST).build().unwrap();
        assert_eq!(name(&provider.token().await.unwrap()), "A");
        sleep(Duration::from_secs(2)).await;
        assert_eq!(name(&provider.refresh().await.unwrap()), "B");
        assert_eq!((signer.asked(), transport.request_count()), (4, 4));

        let token_url = provider.environment().token_url().to_string();
        let mut ids = BTreeSet::new();
        for (header, claims) in assertions(&transport) {
            assert_eq!(header["alg"], "EdDSA");
            assert_eq!(header["kid"], "the-key");
            assert_eq!(claims["iss"], "the-client");
            assert_eq!(claims["sub"], "the-client");
            assert_eq!(claims["aud"], token_url);
            let (from, to) = (claims["iat"].as_u64(), claims["exp"].as_u64());
            assert_eq!(from.unwrap() + 60, to.unwrap());
            ids.insert(claims["jti"].as_str().unwrap().to_owned());
        }
        assert_eq!(ids.len(), 4, "{ids:?}");
        let times: Vec<_> = assertions(&transport)
            .iter()
            .map(|(_, claims)| claims["iat"].as_u64().unwrap())
            .collect();
        assert!(times.is_sorted() && times[3] >= times[0] + 2, "{times:?}");
    });
}

#[test]
fn an_audience_of_ones_own_takes_the_place_of_the_token_url() {
    paused().block_on(async {
        let transport = ScriptedTransport::new([token_reply("A", 100)]);
        let credentials = Moody::new(Mood::Signs).credentials();
        let credentials = credentials
            .with_assertion_audience("https://issuer.test/")
            .unwrap();
        let provider = builder(credentials, transport.clone()).build().unwrap();
        provider.token().await.unwrap();
        assert_eq!(assertions(&transport)[0].1["aud"], "https://issuer.test/");
    });
}

#[test]
fn a_signer_that_fails_hangs_or_panics_takes_no_token_away_and_heals() {
    for (mood, kind, seconds, cause) in [
        (
            Mood::Fails,
            ErrorKind::Credentials,
            0,
            "quota of the service is used up",
        ),
        (
            Mood::Hangs,
            ErrorKind::Credentials,
            10,
            "did not answer in time",
        ),
        (Mood::Panics, ErrorKind::Internal, 0, ""),
    ] {
        paused().block_on(async {
            let transport = ScriptedTransport::new([token_reply("A", 100), token_reply("B", 100)]);
            let signer = Moody::new(mood);
            let budget = TokenBudget::new(2, Duration::from_secs(3600)).unwrap();
            let provider = builder(signer.credentials(), transport.clone())
                .token_budget(budget)
                .build()
                .unwrap();
            // Without a token at hand.
            let start = Instant::now();
            let error = provider.token().await.unwrap_err();
            assert_eq!(error.kind(), kind, "{mood:?}");
            assert_eq!(start.elapsed().as_secs(), seconds, "{mood:?}");
            assert!(chain(&error).contains(cause), "{mood:?}: {}", chain(&error));
            if kind == ErrorKind::Credentials {
                assert_eq!(error.recovery(), Recovery::FixCredentials);
            }
            assert_eq!((signer.asked(), transport.request_count()), (1, 0));
            assert_eq!(provider.status().counts.token_requests, 0);

            signer.set(Mood::Signs);
            sleep(Duration::from_secs(2)).await;
            assert_eq!(name(&provider.token().await.unwrap()), "A", "{mood:?}");
            // With one at hand.
            signer.set(mood);
            assert_eq!(provider.refresh().await.unwrap_err().kind(), kind);
            assert_eq!(name(&ready(provider.token()).unwrap().unwrap()), "A");
            signer.set(Mood::Signs);
            sleep(Duration::from_secs(2)).await;
            // The budget of two has paid for no request that was not sent.
            assert_eq!(name(&provider.refresh().await.unwrap()), "B", "{mood:?}");
            assert_eq!(transport.request_count(), 2);
        });
    }
}

#[test]
fn a_refused_assertion_is_a_refused_client() {
    paused().block_on(async {
        let refusal = Reply::error(StatusCode::UNAUTHORIZED, "invalid_client");
        let transport = ScriptedTransport::new([refusal]);
        let signer = Moody::new(Mood::Signs);
        let provider = builder(signer.credentials(), transport.clone())
            .build()
            .unwrap();
        for _ in 0..10 {
            let error = provider.token().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ClientRefused);
        }
        assert_eq!((signer.asked(), transport.request_count()), (1, 1));
    });
}
