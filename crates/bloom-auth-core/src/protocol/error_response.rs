//! The error response (RFC 6749, section 5.2), read with suspicion: servers
//! have been seen to echo the secret.

use std::fmt;

use http::StatusCode;

use super::echo::holds_secret;
use crate::client::ClientCredentials;

const MAX_TEXT_CHARS: usize = 256;
const MAX_CODE_CHARS: usize = 64;

/// An error response of the token endpoint.
///
/// Its texts are safe to print: cut to 256 characters, printable ASCII, and
/// without the secret or anything that looks like a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuthError {
    status: StatusCode,
    code: OAuthErrorCode,
    description: Option<String>,
    hint: Option<String>,
}

impl OAuthError {
    pub(crate) fn new(
        status: StatusCode,
        code: &str,
        description: Option<&str>,
        hint: Option<&str>,
        credentials: &ClientCredentials,
    ) -> Self {
        let safe = |text: &str| printable(text, MAX_TEXT_CHARS, credentials);
        Self {
            status,
            code: OAuthErrorCode::new(code, credentials),
            description: description.map(safe),
            hint: hint.map(safe),
        }
    }

    /// The status it came with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The `error` field.
    #[must_use]
    pub fn code(&self) -> &OAuthErrorCode {
        &self.code
    }

    /// The `error_description` field, made safe to print.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// The `error_hint` field that Ory Hydra adds, made safe to print.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for OAuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}, `{}`", self.status.as_u16(), self.code)?;
        for text in [&self.description, &self.hint].into_iter().flatten() {
            write!(f, " ({text})")?;
        }
        Ok(())
    }
}

/// The `error` field of an error response.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OAuthErrorCode {
    /// `invalid_request`
    InvalidRequest,
    /// `invalid_client`
    InvalidClient,
    /// `invalid_grant`
    InvalidGrant,
    /// `unauthorized_client`
    UnauthorizedClient,
    /// `unsupported_grant_type`
    UnsupportedGrantType,
    /// `invalid_scope`
    InvalidScope,
    /// `invalid_target` (RFC 8707)
    InvalidTarget,
    /// `access_denied`, which servers of the Auth0 family send for a wrong
    /// secret (401) and for an unknown audience (403).
    AccessDenied,
    /// `too_many_requests`, of the Auth0 family.
    TooManyRequests,
    /// `server_error`
    ServerError,
    /// `temporarily_unavailable`
    TemporarilyUnavailable,
    /// Any other, made safe to print.
    Other(String),
}

impl OAuthErrorCode {
    const NAMES: [(&'static str, Self); 11] = [
        ("invalid_request", Self::InvalidRequest),
        ("invalid_client", Self::InvalidClient),
        ("invalid_grant", Self::InvalidGrant),
        ("unauthorized_client", Self::UnauthorizedClient),
        ("unsupported_grant_type", Self::UnsupportedGrantType),
        ("invalid_scope", Self::InvalidScope),
        ("invalid_target", Self::InvalidTarget),
        ("access_denied", Self::AccessDenied),
        ("too_many_requests", Self::TooManyRequests),
        ("server_error", Self::ServerError),
        ("temporarily_unavailable", Self::TemporarilyUnavailable),
    ];

    fn new(code: &str, credentials: &ClientCredentials) -> Self {
        let known = Self::NAMES.into_iter().find(|(name, _)| *name == code);
        known.map_or_else(
            || Self::Other(printable(code, MAX_CODE_CHARS, credentials)),
            |(_, code)| code,
        )
    }
}

impl fmt::Display for OAuthErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Other(code) = self {
            return f.write_str(code);
        }
        let name = Self::NAMES.into_iter().find(|(_, code)| code == self);
        f.write_str(name.map_or("", |(name, _)| name))
    }
}

/// A server's text without control characters, secrets and what looks like a
/// token, cut to `max` characters.
fn printable(text: &str, max: usize, credentials: &ClientCredentials) -> String {
    const REDACTED: &str = "[redacted]";
    let text: String = text.chars().take(2 * max).collect();
    if holds_secret(&text, credentials) {
        return REDACTED.to_owned();
    }
    let mut safe = String::new();
    for word in text.split(' ') {
        if !safe.is_empty() {
            safe.push(' ');
        }
        if looks_like_token(word) {
            safe.push_str(REDACTED);
        } else {
            let printable = |c: char| if matches!(c, ' '..='~') { c } else { '?' };
            safe.extend(word.chars().map(printable));
        }
    }
    safe.truncate(max);
    safe
}

/// A run of 20 or more characters of the token alphabet with a digit in it:
/// no word of a sentence, but what a credential looks like.
fn looks_like_token(word: &str) -> bool {
    let in_alphabet = |c: char| c.is_ascii_alphanumeric() || "+/=_-.~%:".contains(c);
    word.split(|c| !in_alphabet(c))
        .any(|run| run.len() >= 20 && run.contains(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{ClientId, ClientSecret};

    const SECRET: &str = "hunter two&%";

    fn error(code: &str, description: &str) -> OAuthError {
        error_for("my-id", SECRET, code, description)
    }

    fn error_for(id: &str, secret: &str, code: &str, description: &str) -> OAuthError {
        let id = ClientId::new(id).unwrap();
        let secret = ClientSecret::new(secret).unwrap();
        let credentials = ClientCredentials::new(id, secret);
        let status = StatusCode::UNAUTHORIZED;
        OAuthError::new(status, code, Some(description), None, &credentials)
    }

    #[test]
    fn p7_known_codes_are_values_and_print_as_they_came() {
        for (name, code) in OAuthErrorCode::NAMES {
            let error = error(name, "Nope");
            assert_eq!(*error.code(), code);
            assert_eq!(error.to_string(), format!("status 401, `{name}` (Nope)"));
        }
        let other = error("consent_required", "Nope");
        let code = OAuthErrorCode::Other("consent_required".to_owned());
        assert_eq!(*other.code(), code);
    }

    #[test]
    fn an_error_has_its_status_and_a_hint_if_there_was_one() {
        let without = error("x", "y");
        assert_eq!(without.status(), StatusCode::UNAUTHORIZED);
        assert_eq!((without.description(), without.hint()), (Some("y"), None));
        let id = ClientId::new("my-id").unwrap();
        let credentials = ClientCredentials::new(id, ClientSecret::new(SECRET).unwrap());
        let status = StatusCode::BAD_REQUEST;
        let with = OAuthError::new(status, "x", None, Some("try\nz"), &credentials);
        assert_eq!(with.status(), status);
        assert_eq!((with.description(), with.hint()), (None, Some("try?z")));
        assert_eq!(with.to_string(), "status 400, `x` (try?z)");
    }

    #[test]
    fn p41_texts_are_cut_and_cleaned() {
        let long = error(&"x".repeat(1_000_000), &"Too long. ".repeat(100_000));
        assert_eq!(long.description().unwrap().len(), MAX_TEXT_CHARS);
        assert_eq!(long.code().to_string().len(), MAX_CODE_CHARS);
        let dirty = error("a\nb", "red \u{1b}[31m\r\nline \u{202e}tfel");
        assert_eq!(dirty.description(), Some("red ?[31m??line ?tfel"));
        assert_eq!(dirty.code().to_string(), "a?b");
        let words = "The requested OAuth 2.0 Client does not exist: unsupported_authentication";
        assert_eq!(error("x", words).description(), Some(words));
    }

    #[test]
    fn p42_an_echoed_secret_or_token_is_not_repeated() {
        for echo in ["hunter two&%", "hunter%20two%26%25", "aHVudGVyIHR3byYl"] {
            let text = format!("bad secret '{echo}' given");
            assert_eq!(
                error("x", &text).description(),
                Some("[redacted]"),
                "{echo}"
            );
            assert_eq!(error(echo, "x").code().to_string(), "[redacted]", "{echo}");
        }
        // Too short to look like a token.
        let short = error_for("me", "pass!", "x", "bad header Basic bWU6cGFzcyUyMQ==");
        assert_eq!(short.description(), Some("[redacted]"));
        let jwt = "token eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln was bad";
        assert_eq!(
            error("x", jwt).description(),
            Some("token [redacted] was bad")
        );
        // What stands behind a long one is not lost with it.
        let long = format!("token {} was bad", "0123456789".repeat(30));
        assert_eq!(
            error("x", &long).description(),
            Some("token [redacted] was bad")
        );
    }
}
