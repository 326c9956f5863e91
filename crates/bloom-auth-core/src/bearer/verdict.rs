//! [`Verdict`]: what an answer of the API says of the token (RFC 6750,
//! section 3.1).

use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};

use crate::{
    protocol::www_authenticate::{Challenge, challenges},
    scope::Scopes,
};

/// gRPC's `UNAUTHENTICATED`.
const UNAUTHENTICATED: &[u8] = b"16";

/// What an answer says of the access token that its request carried.
///
/// # Example
///
/// ```
/// use bloom_auth_core::Verdict;
/// use http::{HeaderMap, HeaderValue, StatusCode, header::WWW_AUTHENTICATE};
///
/// let text = r#"Bearer error="insufficient_scope", scope="furnishment:all""#;
/// let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, HeaderValue::from_static(text))]);
/// let Verdict::ScopeMissing(Some(scopes)) = Verdict::of(StatusCode::FORBIDDEN, &headers) else {
///     panic!("another verdict");
/// };
/// assert_eq!(scopes.to_string(), "furnishment:all");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// Nothing that another token would change: a success, or a failure of
    /// another kind.
    PassedOn,
    /// The API refused this very token: another may do.
    TokenRejected,
    /// The token is good and does not reach this far; the scopes that would,
    /// if the API names them. Another token for the same scopes would not help.
    ScopeMissing(Option<Scopes>),
}

impl Verdict {
    /// Judges an answer by its status and headers.
    ///
    /// A 401 is a rejection unless its `Bearer` challenge gives another reason
    /// (`insufficient_scope`, `invalid_request`); so is one without a challenge
    /// that can be read, since Bloom documents none, and gRPC's status 16 in
    /// the headers of an answer. A 403 never is.
    ///
    /// It takes time in proportion to the headers, and anything that may be in
    /// them.
    #[must_use]
    pub fn of(status: StatusCode, headers: &HeaderMap) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => {
                let challenges = challenges(headers);
                let reasons = || reasons(&challenges);
                if reasons().any(|(reason, _)| reason == "invalid_token") {
                    return Self::TokenRejected;
                }
                match reasons().next() {
                    Some(("insufficient_scope", challenge)) => scope_missing(challenge),
                    Some(("invalid_request", _)) => Self::PassedOn,
                    Some(_) | None => Self::TokenRejected,
                }
            }
            StatusCode::FORBIDDEN => {
                let challenges = challenges(headers);
                let is_about_scope = |(reason, _): &(&str, _)| *reason == "insufficient_scope";
                let challenge = reasons(&challenges).find(is_about_scope);
                challenge.map_or(Self::PassedOn, |(_, challenge)| scope_missing(challenge))
            }
            StatusCode::OK if is_unauthenticated_grpc(headers) => Self::TokenRejected,
            _ => Self::PassedOn,
        }
    }

    /// As [`of`](Self::of), for those who want it in so many words: the answer
    /// is a rejection only if it is a 401 that says `invalid_token`.
    #[must_use]
    pub(crate) fn of_explicit(status: StatusCode, headers: &HeaderMap) -> Self {
        let verdict = Self::of(status, headers);
        let says_so = || reasons(&challenges(headers)).any(|(reason, _)| reason == "invalid_token");
        if verdict == Self::TokenRejected && !says_so() {
            return Self::PassedOn;
        }
        verdict
    }
}

/// The `error` of each `Bearer` challenge that has one.
fn reasons(challenges: &[Challenge]) -> impl Iterator<Item = (&str, &Challenge)> {
    let bearer = challenges.iter().filter(|challenge| challenge.is_bearer());
    bearer.filter_map(|challenge| Some((challenge.parameter("error")?, challenge)))
}

fn scope_missing(challenge: &Challenge) -> Verdict {
    let scopes = challenge.parameter("scope");
    let scopes = scopes.map(|text| Scopes::from_answer(text, |_| true));
    Verdict::ScopeMissing(scopes.filter(|scopes| !scopes.is_empty()))
}

/// An answer of gRPC without a body carries its status in the headers.
fn is_unauthenticated_grpc(headers: &HeaderMap) -> bool {
    let is_grpc = headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    is_grpc
        && headers
            .get("grpc-status")
            .is_some_and(|value| value.as_bytes() == UNAUTHENTICATED)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue, header::WWW_AUTHENTICATE};
    use proptest::prelude::*;

    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let values = values
            .iter()
            .map(|value| HeaderValue::from_str(value).unwrap());
        values.map(|value| (WWW_AUTHENTICATE, value)).collect()
    }

    fn missing(scopes: &str) -> Verdict {
        Verdict::ScopeMissing(Some(scopes.parse().unwrap()))
    }

    #[test]
    fn a1_a5_a_401_is_a_rejection_unless_it_says_otherwise() {
        use Verdict::{PassedOn, ScopeMissing, TokenRejected};
        let long = format!("Bearer error=\"{}\"", "x".repeat(100_000));
        let rows: &[(&[&str], Verdict)] = &[
            (&[], TokenRejected),
            (&["Bearer"], TokenRejected),
            (&["bearer realm=\"api\""], TokenRejected),
            (&[r#"Bearer error="invalid_token""#], TokenRejected),
            (&["BEARER ERROR=invalid_token"], TokenRejected),
            (&[r#"Bearer error="expired""#], TokenRejected),
            (&[r#"Bearer error="invalid_request""#], PassedOn),
            (
                &[r#"Bearer error="insufficient_scope""#],
                ScopeMissing(None),
            ),
            (
                &[r#"Bearer error="insufficient_scope", scope="a b""#],
                missing("a b"),
            ),
            (&["Basic realm=\"x\""], TokenRejected),
            (
                &["Basic realm=\"x\", error=\"invalid_request\""],
                TokenRejected,
            ),
            (
                &["Basic realm=\"x\"", r#"Bearer error="invalid_request""#],
                PassedOn,
            ),
            (
                &[r#"Bearer error="invalid_request", Bearer error="invalid_token""#],
                TokenRejected,
            ),
            (
                &[r#"Basic realm="a, Bearer error=invalid_request""#],
                TokenRejected,
            ),
            (&["Bearer error="], TokenRejected),
            (&["Bearer error=\"invalid_request"], TokenRejected),
            (&["=,=,\"", "\\"], TokenRejected),
            (&[&long], TokenRejected),
        ];
        for (values, verdict) in rows {
            let judged = Verdict::of(StatusCode::UNAUTHORIZED, &headers(values));
            assert_eq!(judged, *verdict, "{values:?}");
        }
    }

    #[test]
    fn a6_a_missing_scope_is_no_rejection() {
        for (values, verdict) in [
            (&[][..], Verdict::PassedOn),
            (&[r#"Bearer error="invalid_token""#], Verdict::PassedOn),
            (
                &[r#"Bearer error="insufficient_scope", scope="furnishment:all""#],
                missing("furnishment:all"),
            ),
            (
                &[r#"Bearer error="insufficient_scope", scope="a  \"b""#],
                missing("a"),
            ),
            (
                &[r#"Bearer error="insufficient_scope", scope=" ""#],
                Verdict::ScopeMissing(None),
            ),
            (
                &["Basic", r#"Bearer error="insufficient_scope""#],
                Verdict::ScopeMissing(None),
            ),
        ] {
            let judged = Verdict::of(StatusCode::FORBIDDEN, &headers(values));
            assert_eq!(judged, verdict, "{values:?}");
        }
    }

    #[test]
    fn a7_a8_every_other_status_is_passed_on() {
        let headers = headers(&[r#"Bearer error="invalid_token""#]);
        for status in (100..600).filter(|status| ![401, 403].contains(status)) {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(Verdict::of(status, &headers), Verdict::PassedOn, "{status}");
        }
    }

    #[test]
    fn a5_grpc_says_it_in_its_own_way() {
        let grpc = |content_type: &'static str, status: &'static str| {
            HeaderMap::from_iter([
                (CONTENT_TYPE, HeaderValue::from_static(content_type)),
                (
                    HeaderName::from_static("grpc-status"),
                    HeaderValue::from_static(status),
                ),
            ])
        };
        for (content_type, status, verdict) in [
            ("application/grpc", "16", Verdict::TokenRejected),
            ("application/grpc+proto", "16", Verdict::TokenRejected),
            ("application/grpc", "7", Verdict::PassedOn),
            ("application/grpc", "160", Verdict::PassedOn),
            ("application/json", "16", Verdict::PassedOn),
        ] {
            let judged = Verdict::of(StatusCode::OK, &grpc(content_type, status));
            assert_eq!(judged, verdict, "{content_type} {status}");
        }
        // gRPC's own answers are 200; others come from what stands before it.
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let judged = Verdict::of(status, &grpc("application/grpc", "16"));
        assert_eq!(judged, Verdict::PassedOn);
    }

    #[test]
    fn a5_who_wants_it_in_so_many_words_gets_it() {
        for (values, verdict) in [
            (&[][..], Verdict::PassedOn),
            (&["Bearer"], Verdict::PassedOn),
            (&["Basic realm=\"x\""], Verdict::PassedOn),
            (&[r#"Bearer error="expired""#], Verdict::PassedOn),
            (&[r#"Bearer error="invalid_token""#], Verdict::TokenRejected),
        ] {
            let judged = Verdict::of_explicit(StatusCode::UNAUTHORIZED, &headers(values));
            assert_eq!(judged, verdict, "{values:?}");
        }
        let scope = headers(&[r#"Bearer error="insufficient_scope""#]);
        let judged = Verdict::of_explicit(StatusCode::FORBIDDEN, &scope);
        assert_eq!(judged, Verdict::ScopeMissing(None));
    }

    proptest! {
        #[test]
        fn a5_no_header_makes_a_403_a_rejection(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, value)]);
                let judged = Verdict::of(StatusCode::FORBIDDEN, &headers);
                prop_assert_ne!(judged, Verdict::TokenRejected);
                let _ = Verdict::of(StatusCode::UNAUTHORIZED, &headers);
            }
        }
    }
}
