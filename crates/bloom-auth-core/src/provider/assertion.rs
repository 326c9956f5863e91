//! The step of a fetch in which a client without a secret signs its assertion.

use std::time::SystemTime;

use tokio::time::Instant;
use zeroize::Zeroizing;

use super::{
    failure::Failure,
    fetch::{Fetch, shielded},
};
use crate::{
    client::ClientCredentials,
    clock::Timestamp,
    credentials::CredentialsError,
    entropy::Entropy,
    error::{Error, ErrorKind},
    protocol::{ClientAssertion, UnsignedAssertion},
    signer::AssertionSigner,
};

impl Fetch {
    /// The credentials as this attempt presents them: those with a signer come
    /// with a new assertion, which no other attempt has used.
    pub(super) async fn presented(
        &self,
        credentials: &ClientCredentials,
        deadline: Instant,
    ) -> Result<ClientCredentials, Failure> {
        let Some(signer) = credentials.signer() else {
            return Ok(credentials.clone());
        };
        let shared = &self.shared;
        let now = shared.now();
        let requests = shared.counters.token_requests.get();
        let id = assertion_id(&*shared.entropy, now, requests);
        let audience = match credentials.assertion_audience() {
            Some(audience) => audience.to_owned(),
            None => shared.request.environment().token_url().to_string(),
        };
        let call = sign(signer, credentials, &audience, &id, now.system_time());
        let error = match self.until(deadline, shielded(call)).await {
            Some(Some(Ok(assertion))) => {
                self.mark();
                return Ok(credentials.with_assertion(assertion));
            }
            Some(Some(Err(error))) => Error::with_source(ErrorKind::Credentials, error),
            Some(None) => Error::new(ErrorKind::Internal),
            None => {
                let late = "the signer of assertions did not answer in time";
                Error::with_source(ErrorKind::Credentials, late)
            }
        };
        Err(Failure::later(error))
    }
}

/// Foreign code runs in here, and only when it is polled.
async fn sign(
    signer: &dyn AssertionSigner,
    credentials: &ClientCredentials,
    audience: &str,
    id: &str,
    now: SystemTime,
) -> Result<ClientAssertion, CredentialsError> {
    let unsigned = UnsignedAssertion::for_signer(signer, credentials.id(), audience, id, now);
    // With it and the message, whoever finds it in memory has the assertion.
    let signature = Zeroizing::new(signer.sign(unsigned.message()).await?);
    Ok(unsigned.sign_with(&signature))
}

/// 128 random bits; and the moment and the number of the request, so that a
/// server takes no assertion for a repeated one even where there is no
/// randomness.
fn assertion_id(entropy: &dyn Entropy, now: Timestamp, requests: u64) -> String {
    let (high, low) = (entropy.draw(), entropy.draw());
    format!("{high:016x}{low:016x}-{:x}-{requests:x}", now.wall)
}
