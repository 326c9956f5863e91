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
    use std::time::SystemTime;

    use super::*;
    use crate::{
        client::{ClientCredentials, ClientId, ClientSecret},
        error::chain,
    };

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

    #[test]
    fn every_exchange_that_broke_has_its_class() {
        use TransportErrorKind as Kind;
        for (kind, expected, class) in [
            (Kind::Connect, ErrorKind::Connect, Class::Passing),
            (Kind::Timeout, ErrorKind::Timeout, Class::Passing),
            (Kind::Interrupted, ErrorKind::Interrupted, Class::Passing),
            (Kind::Tls, ErrorKind::Tls, Class::Later),
            (Kind::Proxy, ErrorKind::Proxy, Class::Later),
            (Kind::BodyTooLarge, ErrorKind::Response, Class::Later),
            (Kind::Configuration, ErrorKind::Configuration, Class::Later),
        ] {
            let failure = Failure::of_transport(TransportError::new(kind, "why"));
            assert_eq!((failure.error.kind(), failure.class), (expected, class));
            assert!(chain(&failure.error).ends_with(": why"), "{kind:?}");
            assert_eq!((failure.retry_after, failure.refusals_elsewhere), (None, 0));
        }
        let failure = Failure::timeout();
        let got = (failure.error.kind(), failure.class);
        assert_eq!(got, (ErrorKind::Timeout, Class::Passing));
        assert_eq!((failure.retry_after, failure.refusals_elsewhere), (None, 0));
    }

    #[test]
    fn an_answer_keeps_the_time_that_it_asked_for_and_its_source() {
        let asked = Some(Duration::from_secs(7));
        for error in [
            ResponseError::Status {
                status: StatusCode::SERVICE_UNAVAILABLE,
            },
            ResponseError::TooLarge { limit: 1 },
        ] {
            let text = error.to_string();
            let failure = Failure::of_response(error, asked, credentials().tag());
            assert_eq!(failure.retry_after, asked);
            assert!(chain(&failure.error).ends_with(&text), "{text}");
        }
    }

    #[test]
    fn an_answer_that_cannot_be_read_may_be_readable_later() {
        let error = ResponseError::TooLarge { limit: 1 };
        let failure = Failure::of_response(error, None, credentials().tag());
        let got = (failure.error.kind(), failure.class);
        assert_eq!(got, (ErrorKind::Response, Class::Later));
    }

    #[test]
    fn without_room_in_the_budget_the_time_of_relief_is_known() {
        let failure = Failure::over_budget(Duration::from_secs(9));
        let got = (failure.error.kind(), failure.class);
        assert_eq!(got, (ErrorKind::BudgetExhausted, Class::Later));
        assert_eq!(failure.retry_after, Some(Duration::from_secs(9)));
        let failure = Failure::later(Error::new(ErrorKind::Credentials));
        let got = (failure.error.kind(), failure.class);
        assert_eq!(got, (ErrorKind::Credentials, Class::Later));
        assert_eq!((failure.retry_after, failure.refusals_elsewhere), (None, 0));
    }

    #[test]
    fn what_others_met_is_a_refusal_for_as_long_as_it_is_theirs() {
        let tag = credentials().tag();
        let (now, wait) = (SystemTime::UNIX_EPOCH, Duration::from_secs(8));
        for (kind, expected) in [
            (RefusalKind::Client, ErrorKind::ClientRefused),
            (RefusalKind::Request, ErrorKind::RequestRefused),
        ] {
            let refusal = Refusal::new(kind, now, wait, 4);
            let failure = Failure::elsewhere(&refusal, tag, Duration::from_secs(3));
            assert_eq!(failure.error.kind(), expected);
            assert_eq!(failure.class, Class::RefusedElsewhere(tag));
            assert_eq!(failure.retry_after, Some(Duration::from_secs(3)));
            assert_eq!(failure.refusals_elsewhere, 4);
            assert!(chain(&failure.error).contains("another one who shares the cache"));
        }
    }

    #[test]
    fn others_are_told_of_refusals_that_are_ours() {
        use ErrorKind::{ClientRefused, Configuration, RequestRefused, Server};
        let tag = credentials().tag();
        for (class, kind, told) in [
            (
                Class::Refused(tag),
                ClientRefused,
                Some(RefusalKind::Client),
            ),
            (
                Class::Refused(tag),
                RequestRefused,
                Some(RefusalKind::Request),
            ),
            // A token endpoint that redirects is a setting of this process.
            (Class::Refused(tag), Configuration, None),
            (Class::RefusedElsewhere(tag), ClientRefused, None),
            (Class::RefusedElsewhere(tag), RequestRefused, None),
            (Class::Passing, Server, None),
            (Class::Later, ClientRefused, None),
        ] {
            let failure = Failure {
                class,
                ..Failure::later(Error::new(kind))
            };
            assert_eq!(failure.refusal_kind(), told, "{class:?} {kind:?}");
        }
    }

    #[test]
    fn a_pause_is_as_long_as_asked_for_or_there_is_none() {
        let millis = |millis: u64| Some(millis * 1_000_000);
        let tag = credentials().tag();
        for (class, attempt, asked, draw, expected) in [
            (Class::Passing, 1, 0, u64::MAX, millis(250)),
            (Class::Passing, 2, 0, u64::MAX, millis(500)),
            (Class::Passing, 2, 0, 0, Some(0)),
            (Class::Passing, 3, 0, u64::MAX, None),
            (Class::Passing, 4, 0, u64::MAX, None),
            // The server's word is the least.
            (Class::Passing, 1, 100, u64::MAX, millis(250)),
            (Class::Passing, 1, 1_000, u64::MAX, millis(1_000)),
            (Class::Passing, 1, 2_000, 0, millis(2_000)),
            (Class::Passing, 1, 2_001, 0, None),
            (Class::Passing, 3, 1_000, 0, None),
            (Class::Later, 1, 0, u64::MAX, None),
            (Class::Later, 3, 2_001, u64::MAX, None),
            (Class::Refused(tag), 1, 0, u64::MAX, None),
            (Class::RefusedElsewhere(tag), 1, 0, u64::MAX, None),
        ] {
            let failure = Failure {
                class,
                retry_after: (asked > 0).then(|| Duration::from_millis(asked)),
                ..Failure::timeout()
            };
            let pause = |left| failure.pause_after(attempt, 3, left, draw);
            let case = (class, attempt, asked, draw);
            assert_eq!(pause(u64::MAX), expected, "{case:?}");
            // None that would not end in time.
            let taken = expected.unwrap_or_default();
            assert_eq!(pause(taken), None, "{case:?}");
            assert_eq!(pause(taken + 1), expected, "{case:?}");
        }
    }
}
