//! The assertion by which a client without a secret proves who it is: a JSON
//! Web Token about itself (RFC 7523, section 3; RFC 7515, section 7.1).

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use crate::{
    client::ClientId,
    signer::{AssertionSigner, SigningAlgorithm},
};

/// How long an assertion stands.
const LIFETIME: Duration = Duration::from_secs(60);

/// An assertion down to its bytes, but for the signature.
///
/// # Example
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// use bloom_auth_core::{ClientId, SigningAlgorithm, protocol::UnsignedAssertion};
///
/// let unsigned = UnsignedAssertion::new(
///     SigningAlgorithm::Es256,
///     Some("2026-11"),
///     &ClientId::new("my-backend")?,
///     "https://auth.bloom.dev/oauth/token",
///     "an id that is used once",
///     SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000),
/// );
/// assert!(unsigned.message().starts_with(b"eyJhbGciOiJFUzI1NiIs"));
/// let assertion = unsigned.sign_with(b"what the private key says of the message");
/// assert_eq!(assertion.expose().split('.').count(), 3);
/// # Ok::<(), bloom_auth_core::ConfigurationError>(())
/// ```
pub struct UnsignedAssertion(Zeroizing<Vec<u8>>);

impl UnsignedAssertion {
    /// Says that this client is itself (`iss` and `sub`), to this audience
    /// (`aud`), under an id (`jti`) that must never come again, for 60 seconds
    /// from that moment (`iat`, `exp`).
    #[must_use]
    pub fn new(
        algorithm: SigningAlgorithm,
        key_id: Option<&str>,
        client: &ClientId,
        audience: &str,
        id: &str,
        issued_at: SystemTime,
    ) -> Self {
        let header = header(algorithm, key_id);
        let claims = claims(client, audience, id, issued_at);
        let mut message = String::with_capacity(4 * (header.len() + claims.len()) / 3 + 8);
        URL_SAFE_NO_PAD.encode_string(header, &mut message);
        message.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut message);
        Self(Zeroizing::new(message.into_bytes()))
    }

    /// As this signer will sign it.
    pub(crate) fn for_signer(
        signer: &dyn AssertionSigner,
        client: &ClientId,
        audience: &str,
        id: &str,
        issued_at: SystemTime,
    ) -> Self {
        let (algorithm, key_id) = (signer.algorithm(), signer.key_id());
        Self::new(algorithm, key_id, client, audience, id, issued_at)
    }

    /// What is to be signed.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        &self.0
    }

    /// The whole assertion, with this signature of its message.
    #[must_use]
    pub fn sign_with(self, signature: &[u8]) -> ClientAssertion {
        // In one allocation, so that nothing is left un-zeroized by a buffer
        // that grew.
        let message = std::str::from_utf8(&self.0).unwrap_or_default();
        let room = message.len() + 1 + signature.len().div_ceil(3) * 4;
        let mut assertion = Zeroizing::new(String::with_capacity(room));
        assertion.push_str(message);
        assertion.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut assertion);
        ClientAssertion(Arc::new(assertion))
    }
}

impl fmt::Debug for UnsignedAssertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnsignedAssertion([redacted])")
    }
}

/// A signed assertion: for a minute, whoever has it is the client. Never
/// printed, and zeroized when the last clone is dropped.
#[derive(Clone)]
pub struct ClientAssertion(Arc<Zeroizing<String>>);

impl ClientAssertion {
    /// What the assertion is to the token endpoint (RFC 7523, section 2.2).
    pub const TYPE: &'static str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

    /// The assertion itself, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ClientAssertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientAssertion([redacted])")
    }
}

fn header(algorithm: SigningAlgorithm, key_id: Option<&str>) -> String {
    let algorithm = algorithm.name();
    match key_id {
        None => format!(r#"{{"alg":"{algorithm}","typ":"JWT"}}"#),
        Some(key_id) => format!(
            r#"{{"alg":"{algorithm}","typ":"JWT","kid":{}}}"#,
            json(key_id)
        ),
    }
}

fn claims(client: &ClientId, audience: &str, id: &str, issued_at: SystemTime) -> String {
    let issued_at = issued_at.duration_since(SystemTime::UNIX_EPOCH);
    // Whole seconds: some servers read no others.
    let issued_at = issued_at.unwrap_or_default().as_secs();
    let expires_at = issued_at.saturating_add(LIFETIME.as_secs());
    let (client, audience, id) = (json(client.as_str()), json(audience), json(id));
    format!(
        r#"{{"iss":{client},"sub":{client},"aud":{audience},"jti":{id},"iat":{issued_at},"exp":{expires_at}}}"#
    )
}

fn json(text: &str) -> serde_json::Value {
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_keys::GOLDEN;

    #[test]
    fn the_bytes_are_those_that_others_make() {
        for golden in GOLDEN {
            let unsigned = UnsignedAssertion::new(
                golden.algorithm,
                golden.key_id,
                &ClientId::new(golden.client).unwrap(),
                golden.audience,
                golden.id,
                SystemTime::UNIX_EPOCH + Duration::from_secs(golden.issued_at),
            );
            let (message, signature) = golden.assertion.rsplit_once('.').unwrap();
            assert_eq!(std::str::from_utf8(unsigned.message()), Ok(message));
            let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
            let assertion = unsigned.sign_with(&signature);
            assert_eq!(assertion.expose(), golden.assertion);
        }
    }

    #[test]
    fn it_stands_for_a_minute_from_whole_seconds() {
        let client = ClientId::new("id").unwrap();
        for (millis, times) in [
            (0, r#""iat":0,"exp":60}"#),
            (1_999, r#""iat":1,"exp":61}"#),
            (1_800_000_000_000, r#""iat":1800000000,"exp":1800000060}"#),
        ] {
            let moment = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
            let claims = claims(&client, "a", "j", moment);
            assert!(claims.ends_with(times), "{claims}");
        }
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert!(claims(&client, "a", "j", before).ends_with(r#""iat":0,"exp":60}"#));
    }

    #[test]
    fn no_text_gets_out_of_its_place() {
        let client = ClientId::new(r#"a","sub":"b"#).unwrap();
        let claims = claims(&client, "\\\"", "\u{1}\u{e9}", SystemTime::UNIX_EPOCH);
        let read: serde_json::Value = serde_json::from_str(&claims).unwrap();
        assert_eq!(read["iss"], r#"a","sub":"b"#);
        assert_eq!(read["sub"], read["iss"]);
        assert_eq!(read["aud"], "\\\"");
        assert_eq!(read["jti"], "\u{1}\u{e9}");
        let header = header(SigningAlgorithm::EdDsa, Some(r#"k","alg":"none"#));
        let read: serde_json::Value = serde_json::from_str(&header).unwrap();
        assert_eq!(
            (&read["alg"], &read["kid"]),
            (&"EdDSA".into(), &r#"k","alg":"none"#.into())
        );
    }

    #[test]
    fn nothing_of_it_is_printed() {
        let client = ClientId::new("id").unwrap();
        let algorithm = SigningAlgorithm::Rs256;
        let unsigned =
            UnsignedAssertion::new(algorithm, None, &client, "a", "j", SystemTime::UNIX_EPOCH);
        let shown = format!("{unsigned:?} {unsigned:#?}");
        let assertion = unsigned.sign_with(b"signature");
        let shown = format!("{shown} {assertion:?} {assertion:#?}");
        assert!(!shown.contains("eyJ"), "{shown}");
        for name in [
            "UnsignedAssertion([redacted])",
            "ClientAssertion([redacted])",
        ] {
            assert_eq!(shown.matches(name).count(), 2, "{shown}");
        }
    }

    #[test]
    fn it_is_made_in_one_piece_of_memory() {
        let client = ClientId::new("id").unwrap();
        let algorithm = SigningAlgorithm::Rs256;
        // In base64 these need no padding, so that there is no room left.
        for bytes in [0, 3, 96, 384] {
            let unsigned =
                UnsignedAssertion::new(algorithm, None, &client, "a", "j", SystemTime::UNIX_EPOCH);
            let assertion = unsigned.sign_with(&vec![0xff; bytes]);
            assert_eq!(assertion.0.capacity(), assertion.0.len(), "{bytes}");
        }
    }
}
