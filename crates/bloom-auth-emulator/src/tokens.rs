//! The access tokens: what they claim, and whether one still stands.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use serde::Deserialize;
use serde_json::json;

use crate::{EmulatorError, jws::Signer};

/// Marks every access token as the emulator's; `.invalid` never resolves
/// (RFC 2606), so no real authorization server has this name.
pub(crate) const ISSUER: &str = "https://emulator.bloom-auth.invalid/";

/// Issues and verifies the access tokens of one emulator.
#[derive(Debug)]
pub(crate) struct Tokens {
    signer: Signer,
    audience: String,
    subject: String,
    revocations: Mutex<Revocations>,
}

/// What a good access token says.
#[derive(Debug, Deserialize)]
pub(crate) struct Claims {
    iss: String,
    aud: String,
    jti: String,
    scope: String,
    /// The exact expiry in milliseconds; `exp` has only seconds.
    exp_ms: u64,
    /// Tokens of an earlier generation were all revoked.
    r#gen: u64,
}

/// What is wrong with an access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenFault {
    /// Not signed by this emulator, or not a token at all.
    Foreign,
    /// Signed by this emulator, but for another issuer or audience.
    Elsewhere,
    Expired,
    Revoked,
}

#[derive(Debug, Default)]
struct Revocations {
    generation: u64,
    /// The ids that were revoked one by one, each with its expiry, after which
    /// there is nothing left to remember.
    until: HashMap<String, u64>,
}

impl Tokens {
    /// The seed is that of the key that signs.
    pub(crate) fn new(
        audience: String,
        subject: String,
        seed: &[u8; 32],
    ) -> Result<Self, EmulatorError> {
        Ok(Self {
            signer: Signer::from_seed(seed)?,
            audience,
            subject,
            revocations: Mutex::default(),
        })
    }

    pub(crate) fn audience(&self) -> &str {
        &self.audience
    }

    /// A token that stands from `now` for `lifetime`, both in milliseconds.
    pub(crate) fn issue(&self, id: &str, scope: &str, now: u64, lifetime: u64) -> String {
        let generation = self.revocations().generation;
        let exp_ms = now.saturating_add(lifetime);
        let claims = json!({
            "iss": ISSUER,
            "sub": self.subject,
            "aud": self.audience,
            "iat": now / 1000,
            "exp": exp_ms.div_ceil(1000),
            "exp_ms": exp_ms,
            "gen": generation,
            "jti": id,
            "scope": scope,
        });
        self.signer.sign(claims.to_string().as_bytes())
    }

    pub(crate) fn verify(&self, token: &str, now: u64) -> Result<Claims, TokenFault> {
        let claims = self.read(token).ok_or(TokenFault::Foreign)?;
        if claims.iss != ISSUER || claims.aud != self.audience {
            return Err(TokenFault::Elsewhere);
        }
        if now >= claims.exp_ms {
            return Err(TokenFault::Expired);
        }
        let revocations = self.revocations();
        if claims.r#gen < revocations.generation || revocations.until.contains_key(&claims.jti) {
            return Err(TokenFault::Revoked);
        }
        Ok(claims)
    }

    /// Remembers that the token is revoked; one that is not ours needs no
    /// remembering.
    pub(crate) fn revoke(&self, token: &str, now: u64) {
        let Some(claims) = self.read(token) else {
            return;
        };
        let mut revocations = self.revocations();
        revocations.until.retain(|_, expiry| *expiry > now);
        revocations.until.insert(claims.jti, claims.exp_ms);
    }

    pub(crate) fn revoke_all(&self) {
        let mut revocations = self.revocations();
        revocations.generation += 1;
        revocations.until.clear();
    }

    fn read(&self, token: &str) -> Option<Claims> {
        serde_json::from_slice(&self.signer.open(token)?).ok()
    }

    fn revocations(&self) -> std::sync::MutexGuard<'_, Revocations> {
        self.revocations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claims {
    /// Whether one of the scopes is granted.
    pub(crate) fn grant_any(&self, scopes: &[&str]) -> bool {
        self.scope.split(' ').any(|scope| scopes.contains(&scope))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Tokens {
        Tokens::new("dev-api".into(), "client".into(), &[1; 32]).unwrap()
    }

    #[test]
    fn a_token_stands_until_its_last_millisecond() {
        let tokens = tokens();
        let token = tokens.issue("id", "a b", 1_500, 1_250);
        for (now, expired) in [
            (0, false),
            (1_500, false),
            (2_749, false),
            (2_750, true),
            (9_999, true),
        ] {
            let fault = tokens.verify(&token, now).err();
            assert_eq!(fault, expired.then_some(TokenFault::Expired), "at {now}");
        }
    }

    #[test]
    fn exp_rounds_up_and_iat_down() {
        let tokens = tokens();
        let token = tokens.issue("id", "a", 1_500, 1_250);
        let claims: serde_json::Value =
            serde_json::from_slice(&tokens.signer.open(&token).unwrap()).unwrap();
        assert_eq!(
            claims,
            json!({
                "iss": ISSUER, "sub": "client", "aud": "dev-api", "iat": 1, "exp": 3,
                "exp_ms": 2_750, "gen": 0, "jti": "id", "scope": "a",
            })
        );
    }

    #[test]
    fn a_lifetime_of_zero_has_expired_at_once() {
        let tokens = tokens();
        let token = tokens.issue("id", "a", 5, 0);
        assert_eq!(tokens.verify(&token, 5).err(), Some(TokenFault::Expired));
    }

    #[test]
    fn issuer_and_audience_count() {
        let tokens = tokens();
        let claims = |iss: &str, aud: &str| {
            let claims = json!({
                "iss": iss, "aud": aud, "jti": "id", "scope": "a", "exp_ms": 9, "gen": 0,
            });
            tokens.signer.sign(claims.to_string().as_bytes())
        };
        assert!(tokens.verify(&claims(ISSUER, "dev-api"), 0).is_ok());
        for (iss, aud) in [
            ("https://auth.bloom.dev/", "dev-api"),
            (ISSUER, "api.bloomcredit.io"),
            ("", ""),
        ] {
            let fault = tokens.verify(&claims(iss, aud), 0).err();
            assert_eq!(fault, Some(TokenFault::Elsewhere), "{iss} {aud}");
        }
        let not_claims = tokens.signer.sign(b"{}");
        let fault = tokens.verify(&not_claims, 0).err();
        assert_eq!(fault, Some(TokenFault::Foreign));
    }

    #[test]
    fn revocation_hits_one_token_or_all_so_far() {
        let tokens = tokens();
        let (one, other) = (
            tokens.issue("one", "a", 0, 9),
            tokens.issue("other", "a", 0, 9),
        );
        tokens.revoke(&one, 0);
        tokens.revoke("not a token", 0);
        assert_eq!(tokens.verify(&one, 0).err(), Some(TokenFault::Revoked));
        assert_eq!(tokens.verify(&other, 0).err(), None);
        tokens.revoke_all();
        assert_eq!(tokens.verify(&one, 0).err(), Some(TokenFault::Revoked));
        assert_eq!(tokens.verify(&other, 0).err(), Some(TokenFault::Revoked));
        assert_eq!(
            tokens.verify(&tokens.issue("new", "a", 0, 9), 0).err(),
            None
        );
    }

    #[test]
    fn revocations_are_forgotten_once_the_token_has_expired() {
        let tokens = tokens();
        for now in 0..100 {
            let token = tokens.issue(&format!("{now}"), "a", now, 3);
            tokens.revoke(&token, now);
        }
        assert_eq!(tokens.revocations().until.len(), 3);
    }

    #[test]
    fn scopes_are_compared_whole() {
        let tokens = tokens();
        let token = tokens.issue("id", "read:consumers-x data-access:all", 0, 9);
        let claims = tokens.verify(&token, 0).unwrap();
        assert!(claims.grant_any(&["other", "data-access:all"]));
        assert!(!claims.grant_any(&["read:consumers", "data-access", ""]));
    }
}
