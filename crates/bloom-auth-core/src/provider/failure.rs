//! What a failed attempt means: the one place that classifies faults.

use std::time::Duration;

use http::StatusCode;

use super::backoff::{MAX_WAIT_IN_FETCH, pause};
use crate::{
    cache::{Refusal, RefusalKind},
    client::CredentialTag,
    clock::nanos,
    error::{Error, ErrorKind},
    protocol::{OAuthError, OAuthErrorCode, ResponseError},
    transport::{TransportError, TransportErrorKind},
};

/// A failed attempt or fetch.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) class: Class,
    /// What the server asked for, clamped.
    pub(crate) retry_after: Option<Duration>,
    /// How long the request took that failed, in nanoseconds.
    pub(crate) took: u64,
    /// How many refusals in a row others who share the cache have met.
    pub(crate) refusals_elsewhere: u32,
}

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// May pass at once: tried again within the fetch.
    Passing,
    /// May pass later: the fetch ends, the next one waits for its time.
    Later,
    /// Will not pass until something is corrected: fail fast, for longer each
    /// time, unless the credentials change.
    Refused(CredentialTag),
    /// Somebody who shares the cache was refused with these credentials a
    /// moment ago.
    RefusedElsewhere(CredentialTag),
}

impl Failure {
    /// A failure that may pass later.
    pub(crate) fn later(error: Error) -> Self {
        Self {
            error,
            class: Class::Later,
            retry_after: None,
            took: 0,
            refusals_elsewhere: 0,
        }
    }

    /// What a cache remembers of somebody else's fetch, which is in force for
    /// this long.
    pub(crate) fn elsewhere(refusal: &Refusal, tag: CredentialTag, left: Duration) -> Self {
        let kind = match refusal.kind() {
            RefusalKind::Client => ErrorKind::ClientRefused,
            RefusalKind::Request => ErrorKind::RequestRefused,
        };
        let source = "the server said so a moment ago to another one who shares the cache";
        Self {
            error: Error::with_source(kind, source),
            class: Class::RefusedElsewhere(tag),
            retry_after: Some(left),
            took: 0,
            refusals_elsewhere: refusal.refusals(),
        }
    }

    /// What others who share the cache may want to know of it.
    pub(crate) fn refusal_kind(&self) -> Option<RefusalKind> {
        match (self.class, self.error.kind()) {
            (Class::Refused(_), ErrorKind::ClientRefused) => Some(RefusalKind::Client),
            (Class::Refused(_), ErrorKind::RequestRefused) => Some(RefusalKind::Request),
            _ => None,
        }
    }

    /// How long to wait, after this attempt (from 1) of so many, before the next
    /// one of the same fetch, which has so much time left; `None` if there is to
    /// be none.
    pub(crate) fn pause_after(
        &self,
        attempt: u32,
        attempts: u32,
        left: u64,
        draw: u64,
    ) -> Option<u64> {
        let asked = self.retry_after.map_or(0, nanos);
        let again =
            self.class == Class::Passing && attempt < attempts && asked <= MAX_WAIT_IN_FETCH;
        let pause = again.then(|| pause(attempt, draw).max(asked));
        pause.filter(|pause| *pause < left)
    }

    /// Nothing was asked: there is room in the budget after this time.
    pub(crate) fn over_budget(relief: Duration) -> Self {
        Self {
            retry_after: Some(relief),
            ..Self::later(Error::new(ErrorKind::BudgetExhausted))
        }
    }

    /// No answer within the engine's own time limit.
    pub(crate) fn timeout() -> Self {
        Self {
            error: Error::new(ErrorKind::Timeout),
            class: Class::Passing,
            retry_after: None,
            took: 0,
            refusals_elsewhere: 0,
        }
    }

    /// No answer.
    pub(crate) fn of_transport(error: TransportError) -> Self {
        let (kind, class) = match error.kind() {
            TransportErrorKind::Connect => (ErrorKind::Connect, Class::Passing),
            TransportErrorKind::Timeout => (ErrorKind::Timeout, Class::Passing),
            TransportErrorKind::Interrupted => (ErrorKind::Interrupted, Class::Passing),
            TransportErrorKind::Tls => (ErrorKind::Tls, Class::Later),
            TransportErrorKind::Proxy => (ErrorKind::Proxy, Class::Later),
            TransportErrorKind::BodyTooLarge => (ErrorKind::Response, Class::Later),
            TransportErrorKind::Configuration => (ErrorKind::Configuration, Class::Later),
        };
        Self {
            error: Error::with_source(kind, error),
            class,
            retry_after: None,
            took: 0,
            refusals_elsewhere: 0,
        }
    }

    /// An answer that is no token.
    pub(crate) fn of_response(
        error: ResponseError,
        retry_after: Option<Duration>,
        tag: CredentialTag,
    ) -> Self {
        let (kind, class) = match &error {
            ResponseError::Redirect { .. } => (ErrorKind::Configuration, Class::Refused(tag)),
            ResponseError::Refused(error) => judge(error.status(), Some(error), tag),
            ResponseError::Status { status } => judge(*status, None, tag),
            _ => (ErrorKind::Response, Class::Later),
        };
        Self {
            error: Error::with_source(kind, error),
            class,
            retry_after,
            took: 0,
            refusals_elsewhere: 0,
        }
    }
}

fn judge(status: StatusCode, error: Option<&OAuthError>, tag: CredentialTag) -> (ErrorKind, Class) {
    use OAuthErrorCode as Code;
    let code = error.map(OAuthError::code);
    match (status.as_u16(), code) {
        (429, _) | (_, Some(Code::TooManyRequests)) => (ErrorKind::RateLimited, Class::Later),
        (500..=599, _) | (_, Some(Code::ServerError | Code::TemporarilyUnavailable)) => {
            (ErrorKind::Server, Class::Passing)
        }
        (408 | 421 | 425, _) => (ErrorKind::Interrupted, Class::Passing),
        // Servers of the Auth0 family say `access_denied` for a wrong secret
        // with 401, and for an unknown audience with 403.
        (401, _) | (_, Some(Code::InvalidClient | Code::UnauthorizedClient)) => {
            (ErrorKind::ClientRefused, Class::Refused(tag))
        }
        (400..=499, _) | (_, Some(_)) => (ErrorKind::RequestRefused, Class::Refused(tag)),
        _ => (ErrorKind::Response, Class::Later),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{ClientCredentials, ClientId, ClientSecret};

    fn credentials() -> ClientCredentials {
        let secret = ClientSecret::new("secret").unwrap();
        ClientCredentials::new(ClientId::new("id").unwrap(), secret)
    }

    #[test]
    fn p7_p8_p10_every_answer_has_its_class() {
        use ErrorKind::{
            ClientRefused, Interrupted, RateLimited, RequestRefused, Response, Server,
        };
        let tag = credentials().tag();
        let refused = Class::Refused(tag);
        for (status, code, kind, class) in [
            (400, Some("invalid_request"), RequestRefused, refused),
            (400, Some("invalid_scope"), RequestRefused, refused),
            (400, Some("invalid_target"), RequestRefused, refused),
            (400, Some("unsupported_grant_type"), RequestRefused, refused),
            (400, Some("invalid_grant"), RequestRefused, refused),
            (400, Some("something_new"), RequestRefused, refused),
            (400, Some("invalid_client"), ClientRefused, refused),
            (400, Some("unauthorized_client"), ClientRefused, refused),
            (401, Some("invalid_client"), ClientRefused, refused),
            (401, Some("access_denied"), ClientRefused, refused),
            (401, None, ClientRefused, refused),
            (403, Some("access_denied"), RequestRefused, refused),
            (403, None, RequestRefused, refused),
            (404, None, RequestRefused, refused),
            (429, Some("too_many_requests"), RateLimited, Class::Later),
            (429, None, RateLimited, Class::Later),
            (403, Some("too_many_requests"), RateLimited, Class::Later),
            (408, None, Interrupted, Class::Passing),
            (421, None, Interrupted, Class::Passing),
            (425, None, Interrupted, Class::Passing),
            (500, None, Server, Class::Passing),
            (503, Some("invalid_client"), Server, Class::Passing),
            (400, Some("temporarily_unavailable"), Server, Class::Passing),
            (200, Some("invalid_client"), ClientRefused, refused),
            (200, Some("invalid_scope"), RequestRefused, refused),
            (204, None, Response, Class::Later),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let error = match code {
                Some(code) => ResponseError::Refused(OAuthError::new(
                    status,
                    code,
                    None,
                    None,
                    &credentials(),
                )),
                None => ResponseError::Status { status },
            };
            let failure = Failure::of_response(error, None, tag);
            let got = (failure.error.kind(), failure.class);
            assert_eq!(got, (kind, class), "{status} {code:?}");
        }
    }

    #[test]
    fn p4_a_redirect_is_a_setting_to_correct() {
        let tag = credentials().tag();
        let status = StatusCode::TEMPORARY_REDIRECT;
        let failure = Failure::of_response(ResponseError::Redirect { status }, None, tag);
        assert_eq!(failure.error.kind(), ErrorKind::Configuration);
        assert_eq!(failure.class, Class::Refused(tag));
    }
}
