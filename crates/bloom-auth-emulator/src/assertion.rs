//! Client assertions (`private_key_jwt`; RFC 7523, section 3), verified with the
//! one public key that is registered.

use std::{collections::HashMap, fmt};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA256,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use tokio_rustls::rustls::pki_types::{SubjectPublicKeyInfoDer, pem::PemObject as _};

/// What an assertion is to a token endpoint.
pub(crate) const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How far a client's clock may be off, in seconds.
const LEEWAY: f64 = 5.0;

/// An assertion that stands for longer than this is refused: nobody would
/// remember its id for so long.
const LONGEST: f64 = 300.0;

/// No more ids are remembered, and none that is longer.
const MOST_IDS: usize = 100_000;
const MAX_ID_BYTES: usize = 256;

/// Why an assertion is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AssertionFault {
    NoKey,
    Type,
    Malformed,
    Algorithm,
    Signature,
    Client,
    Audience,
    Expired,
    Early,
    TooLong,
    Replayed,
    TooMany,
}

impl AssertionFault {
    /// For the developer, as authorization server V2 has it.
    pub(crate) fn hint(self) -> &'static str {
        match self {
            Self::NoKey => "No public key is registered for the client.",
            Self::Type => "The parameter client_assertion_type is missing, or of another kind.",
            Self::Malformed => "The client assertion is not a whole JSON Web Token.",
            Self::Algorithm => "The client assertion's alg is not one of the registered key.",
            Self::Signature => "The client assertion is not signed by the registered key.",
            Self::Client => "The client assertion's iss and sub are not the client.",
            Self::Audience => "The client assertion's aud is not this token endpoint.",
            Self::Expired => "The client assertion's exp is over.",
            Self::Early => "The client assertion's iat or nbf is in the future.",
            Self::TooLong => "The client assertion's exp is too far in the future.",
            Self::Replayed => "The client assertion's jti has been used before.",
            Self::TooMany => "Too many client assertions stand at once.",
        }
    }
}

/// A registered key, and the algorithms it is for: the key decides, never the
/// assertion.
pub(crate) struct PublicKey {
    algorithms: Vec<(&'static str, ParsedPublicKey)>,
}

impl PublicKey {
    /// Reads `-----BEGIN PUBLIC KEY-----`; the error is what is wrong with it.
    pub(crate) fn from_pem(pem: &str) -> Result<Self, &'static str> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| "is not a public key in PEM (`-----BEGIN PUBLIC KEY-----`)")?;
        let known = [
            (
                "RS256",
                ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &der),
            ),
            (
                "PS256",
                ParsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, &der),
            ),
            (
                "ES256",
                ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &der),
            ),
            ("EdDSA", ParsedPublicKey::new(&ED25519, &der)),
        ];
        let parsed = known.into_iter();
        let algorithms: Vec<_> = parsed
            .filter_map(|(name, key)| Some((name, key.ok()?)))
            .collect();
        if algorithms.is_empty() {
            return Err("is not an RSA, P-256 or Ed25519 key");
        }
        Ok(Self { algorithms })
    }

    /// The claims of an assertion that this key has signed.
    fn open(&self, assertion: &str) -> Result<Claims, AssertionFault> {
        let malformed = AssertionFault::Malformed;
        let (signed, signature) = assertion.rsplit_once('.').ok_or(malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(malformed)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed);
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| malformed)?;
        if header.crit.is_some() {
            return Err(malformed);
        }
        let key = self.algorithms.iter().find(|(name, _)| *name == header.alg);
        let (_, key) = key.ok_or(AssertionFault::Algorithm)?;
        key.verify_sig(signed.as_bytes(), &decode(signature)?)
            .map_err(|_| AssertionFault::Signature)?;
        serde_json::from_slice(&decode(claims)?).map_err(|_| malformed)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.algorithms.iter().map(|(name, _)| name);
        f.debug_list().entries(names).finish()
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    /// Extensions that must be understood; none is.
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    jti: String,
    exp: f64,
    iat: Option<f64>,
    nbf: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    fn has(&self, url: &str) -> bool {
        match self {
            Self::One(one) => one == url,
            Self::Many(many) => many.iter().any(|one| one == url),
        }
    }
}

/// Where and when a token is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival<'a> {
    /// The URL of the token endpoint, as its client calls it.
    pub(crate) url: &'a str,
    pub(crate) unix_millis: u64,
}

/// The registered key, and the ids of the assertions that have been used.
#[derive(Debug, Default)]
pub(crate) struct Assertions {
    key: Option<PublicKey>,
    used: HashMap<String, f64>,
}

impl Assertions {
    pub(crate) fn with_key(key: Option<PublicKey>) -> Self {
        let used = HashMap::new();
        Self { key, used }
    }

    pub(crate) fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// From here on only this key counts.
    pub(crate) fn rotate(&mut self, key: PublicKey) {
        self.key = Some(key);
    }

    /// Takes an assertion of this client, once.
    pub(crate) fn take(
        &mut self,
        assertion: &str,
        client_id: &str,
        arrival: Arrival<'_>,
    ) -> Result<(), AssertionFault> {
        let key = self.key.as_ref().ok_or(AssertionFault::NoKey)?;
        let claims = key.open(assertion)?;
        if claims.iss != client_id || claims.sub != client_id {
            return Err(AssertionFault::Client);
        }
        if !claims.aud.has(arrival.url) {
            return Err(AssertionFault::Audience);
        }
        #[expect(clippy::cast_precision_loss, reason = "exact until the year 287396")]
        let now = arrival.unix_millis as f64 / 1000.0;
        if claims.exp + LEEWAY <= now {
            return Err(AssertionFault::Expired);
        }
        let mut begins = [claims.iat, claims.nbf].into_iter().flatten();
        if begins.any(|begin| begin > now + LEEWAY) {
            return Err(AssertionFault::Early);
        }
        if claims.exp > now + LONGEST + LEEWAY {
            return Err(AssertionFault::TooLong);
        }
        if claims.jti.is_empty() || claims.jti.len() > MAX_ID_BYTES {
            return Err(AssertionFault::Malformed);
        }
        if self.used.len() >= MOST_IDS {
            self.used.retain(|_, until| *until > now);
            if self.used.len() >= MOST_IDS {
                return Err(AssertionFault::TooMany);
            }
        }
        match self.used.insert(claims.jti, claims.exp + LEEWAY) {
            None => Ok(()),
            Some(_) => Err(AssertionFault::Replayed),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use aws_lc_rs::{
        rand::SystemRandom,
        rsa::KeySize,
        signature::{
            ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
            RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
        },
    };
    use base64::engine::general_purpose::STANDARD;
    use serde_json::{Value, json};

    use super::*;

    pub(crate) const URL: &str = "https://127.0.0.1:1/oauth/token";
    pub(crate) const NOW: u64 = 1_800_000_000;

    /// A private key of a test's own.
    pub(crate) enum TestKey {
        Rsa(RsaKeyPair),
        P256(EcdsaKeyPair),
        Ed25519(Ed25519KeyPair),
    }

    impl TestKey {
        pub(crate) fn ed25519() -> Self {
            Self::Ed25519(Ed25519KeyPair::generate().unwrap())
        }

        fn p256() -> Self {
            Self::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
        }

        fn rsa() -> Self {
            Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
        }

        fn public_der(&self) -> Vec<u8> {
            use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
            let der: PublicKeyX509Der<'_> = match self {
                Self::Rsa(key) => key.public_key().as_der().unwrap(),
                Self::P256(key) => key.public_key().as_der().unwrap(),
                Self::Ed25519(key) => key.public_key().as_der().unwrap(),
            };
            der.as_ref().to_vec()
        }

        pub(crate) fn public_pem(&self) -> String {
            let body = STANDARD.encode(self.public_der());
            format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
        }

        fn algorithms(&self) -> &'static [&'static str] {
            match self {
                Self::Rsa(_) => &["RS256", "PS256"],
                Self::P256(_) => &["ES256"],
                Self::Ed25519(_) => &["EdDSA"],
            }
        }

        fn sign(&self, header: &Value, claims: &Value) -> String {
            let random = SystemRandom::new();
            let [header_text, claims] =
                [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
            let message = format!("{header_text}.{claims}");
            let signature = match self {
                Self::Rsa(key) => {
                    let padding = match header["alg"].as_str() {
                        Some("PS256") => &RSA_PSS_SHA256,
                        _ => &RSA_PKCS1_SHA256,
                    };
                    let mut signature = vec![0; key.public_modulus_len()];
                    key.sign(padding, &random, message.as_bytes(), &mut signature)
                        .unwrap();
                    signature
                }
                Self::P256(key) => key
                    .sign(&random, message.as_bytes())
                    .unwrap()
                    .as_ref()
                    .to_vec(),
                Self::Ed25519(key) => key.sign(message.as_bytes()).as_ref().to_vec(),
            };
            format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
        }

        /// A good assertion of the client `id`, under this id of its own.
        pub(crate) fn assertion(&self, jti: &str) -> String {
            let header = json!({ "alg": self.algorithms()[0], "typ": "JWT" });
            self.sign(&header, &claims(&[("jti", json!(jti))]))
        }
    }

    /// Good claims with these in the place of others; without those that are null.
    fn claims(changes: &[(&str, Value)]) -> Value {
        let mut claims = json!({
            "iss": "id", "sub": "id", "aud": URL, "jti": "1", "iat": NOW, "exp": NOW + 60,
        });
        for (name, value) in changes {
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(*name);
            } else {
                claims[*name] = value.clone();
            }
        }
        claims
    }

    fn registered(key: &TestKey) -> Assertions {
        let key = PublicKey::from_pem(&key.public_pem()).unwrap();
        Assertions::with_key(Some(key))
    }

    fn take(assertions: &mut Assertions, assertion: &str) -> Result<(), AssertionFault> {
        let unix_millis = NOW * 1000;
        let arrival = Arrival {
            url: URL,
            unix_millis,
        };
        assertions.take(assertion, "id", arrival)
    }

    #[test]
    fn each_key_takes_its_own_algorithms_alone() {
        let keys = [TestKey::rsa(), TestKey::p256(), TestKey::ed25519()];
        for (index, key) in keys.iter().enumerate() {
            let mut assertions = registered(key);
            for algorithm in ["RS256", "PS256", "ES256", "EdDSA", "none", "HS256", ""] {
                let header = json!({ "alg": algorithm });
                let expected = if key.algorithms().contains(&algorithm) {
                    Ok(())
                } else {
                    Err(AssertionFault::Algorithm)
                };
                let claims = claims(&[("jti", json!(algorithm))]);
                let assertion = key.sign(&header, &claims);
                assert_eq!(take(&mut assertions, &assertion), expected, "{algorithm}");
            }
            let other = match index {
                0 => TestKey::rsa(),
                1 => TestKey::p256(),
                _ => TestKey::ed25519(),
            };
            let forged = other.assertion("2");
            assert_eq!(
                take(&mut assertions, &forged),
                Err(AssertionFault::Signature)
            );
        }
    }

    #[test]
    fn a_public_key_is_no_shared_secret() {
        use aws_lc_rs::hmac;
        let key = TestKey::rsa();
        let mut assertions = registered(&key);
        let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
        for secret in [key.public_pem().into_bytes(), key.public_der()] {
            let message = format!("{}.{}", part(json!({ "alg": "HS256" })), part(claims(&[])));
            let secret = hmac::Key::new(hmac::HMAC_SHA256, &secret);
            let tag = URL_SAFE_NO_PAD.encode(hmac::sign(&secret, message.as_bytes()));
            let forged = format!("{message}.{tag}");
            assert_eq!(
                take(&mut assertions, &forged),
                Err(AssertionFault::Algorithm)
            );
        }
        let unsigned = format!("{}.{}.", part(json!({ "alg": "none" })), part(claims(&[])));
        assert_eq!(
            take(&mut assertions, &unsigned),
            Err(AssertionFault::Algorithm)
        );
    }

    #[test]
    fn claims_are_checked_one_by_one() {
        use AssertionFault::{Audience, Client, Early, Expired, Malformed, TooLong};
        let key = TestKey::ed25519();
        for (changes, expected) in [
            (vec![], Ok(())),
            (vec![("iss", json!("other"))], Err(Client)),
            (vec![("sub", json!("other"))], Err(Client)),
            (vec![("sub", Value::Null)], Err(Malformed)),
            (vec![("iss", json!(1))], Err(Malformed)),
            (vec![("aud", json!([]))], Err(Audience)),
            (vec![("aud", json!(["x", URL]))], Ok(())),
            (
                vec![("aud", json!("https://127.0.0.1:1/oauth2/token"))],
                Err(Audience),
            ),
            (vec![("aud", json!(format!("{URL}/")))], Err(Audience)),
            (vec![("aud", Value::Null)], Err(Malformed)),
            (vec![("exp", json!(NOW - 4))], Ok(())),
            (vec![("exp", json!(NOW - 5))], Err(Expired)),
            (vec![("exp", json!(NOW + 305))], Ok(())),
            (vec![("exp", json!(NOW + 306))], Err(TooLong)),
            (vec![("exp", json!(NOW as f64 + 0.5))], Ok(())),
            (vec![("exp", json!("2027"))], Err(Malformed)),
            (vec![("exp", Value::Null)], Err(Malformed)),
            (vec![("iat", json!(NOW + 5))], Ok(())),
            (vec![("iat", json!(NOW + 6))], Err(Early)),
            (vec![("iat", Value::Null)], Ok(())),
            (vec![("nbf", json!(NOW + 6))], Err(Early)),
            (vec![("jti", json!(""))], Err(Malformed)),
            (vec![("jti", json!("x".repeat(257)))], Err(Malformed)),
            (vec![("jti", Value::Null)], Err(Malformed)),
        ] {
            let assertion = key.sign(&json!({ "alg": "EdDSA" }), &claims(&changes));
            let mut assertions = registered(&key);
            assert_eq!(take(&mut assertions, &assertion), expected, "{changes:?}");
        }
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let key = TestKey::ed25519();
        let mut assertions = registered(&key);
        let good = key.assertion("1");
        let (signed, signature) = good.rsplit_once('.').unwrap();
        let (_, payload) = signed.split_once('.').unwrap();
        let critical = key.sign(&json!({ "alg": "EdDSA", "crit": ["x"] }), &claims(&[]));
        for wrong in [
            String::new(),
            "..".to_owned(),
            signed.to_owned(),
            format!("{good}="),
            format!("e30.{payload}.{signature}"),
            critical,
        ] {
            let refused = take(&mut assertions, &wrong);
            assert_eq!(refused, Err(AssertionFault::Malformed), "{wrong}");
        }
        let unsigned = format!("{signed}.");
        assert_eq!(
            take(&mut assertions, &unsigned),
            Err(AssertionFault::Signature)
        );
        assert_eq!(take(&mut assertions, &good), Ok(()));
    }

    #[test]
    fn an_assertion_is_taken_once_and_a_refused_one_is_not_used() {
        let key = TestKey::ed25519();
        let mut assertions = registered(&key);
        let elsewhere = Arrival {
            url: "https://elsewhere",
            unix_millis: NOW * 1000,
        };
        let assertion = key.assertion("1");
        let refused = assertions.take(&assertion, "id", elsewhere);
        assert_eq!(refused, Err(AssertionFault::Audience));
        assert_eq!(take(&mut assertions, &assertion), Ok(()));
        for _ in 0..2 {
            let refused = take(&mut assertions, &assertion);
            assert_eq!(refused, Err(AssertionFault::Replayed));
        }
        assert_eq!(take(&mut assertions, &key.assertion("2")), Ok(()));
    }

    #[test]
    fn another_key_replaces_the_one_before() {
        let (old, new) = (TestKey::ed25519(), TestKey::p256());
        let mut assertions = Assertions::default();
        assert_eq!(
            take(&mut assertions, &old.assertion("1")),
            Err(AssertionFault::NoKey)
        );
        for (key, other) in [(&old, &new), (&new, &old)] {
            assertions.rotate(PublicKey::from_pem(&key.public_pem()).unwrap());
            let id = key.algorithms()[0];
            assert_eq!(take(&mut assertions, &key.assertion(id)), Ok(()));
            assert_eq!(
                take(&mut assertions, &other.assertion("3")),
                Err(AssertionFault::Algorithm)
            );
        }
    }

    #[test]
    fn what_is_no_public_key_is_told() {
        for pem in [
            "",
            "text",
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        ] {
            assert!(PublicKey::from_pem(pem).is_err(), "{pem}");
        }
    }
}
