//! What an answer of the token endpoint comes to: no clock, no await, no I/O.

use http::Response;

use super::{failure::Failure, settings::Settings, timing::Deadlines};
use crate::{
    client::{ClientCredentials, CredentialTag},
    clock::{Timestamp, nanos},
    error::{Error, ErrorKind},
    protocol::{ExpiresIn, TokenResponse, retry_after::retry_after},
    transport::ResponseBody,
};

const SECOND: u64 = 1_000_000_000;

/// Reads an answer that was received at this moment, to a request that showed
/// these credentials; the tag is that of the ones that they were made of.
pub(crate) fn read(
    response: &Response<ResponseBody>,
    shown: &ClientCredentials,
    tag: CredentialTag,
    settings: &Settings,
    received: Timestamp,
) -> Result<TokenResponse, Failure> {
    TokenResponse::decode(response, shown).map_err(|error| {
        let (now, max) = (received.system_time(), settings.max_retry_after);
        let after = retry_after(response.headers(), now, max);
        Failure::of_response(error, after, tag)
    })
}

/// How long a token lives by its answer, in nanoseconds, as far as that is
/// believed.
pub(crate) fn lifetime(response: &TokenResponse, settings: &Settings) -> u64 {
    let lifetime = match response.expires_in() {
        ExpiresIn::Seconds(seconds) => seconds.saturating_mul(SECOND),
        ExpiresIn::Over => 0,
        ExpiresIn::Unknown => nanos(settings.default_lifetime),
    };
    lifetime.min(settings.timing().max_lifetime)
}

/// The deadlines of a token that lives so long.
pub(crate) fn deadlines(
    lifetime: u64,
    settings: &Settings,
    sent: Timestamp,
    received: Timestamp,
    draw: u64,
) -> Result<Deadlines, Failure> {
    Deadlines::of_answer(&settings.timing(), lifetime, sent, received, draw)
        .ok_or_else(|| Failure::later(Error::new(ErrorKind::ExpiredOnArrival)))
}
