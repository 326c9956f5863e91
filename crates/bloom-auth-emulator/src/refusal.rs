//! Why a token request is refused, and how each authorization server says so.

use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    assertion::AssertionFault, body::BodyFault, form::FormError, guard::Unwelcome, oauth::Dialect,
    quota::Standing,
};

/// Why a token request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Unwelcome(Unwelcome),
    Method,
    ContentType,
    Body(BodyFault),
    Form(FormError),
    /// Two methods of client authentication at once, or two client ids.
    SeveralAuthentications,
    /// No client authentication was sent.
    ClientMissing,
    /// Wrong credentials, known client or not. `header` tells whether they came
    /// in an `Authorization` header, which is owed a challenge.
    Client {
        header: bool,
    },
    /// An assertion that is not good.
    Assertion(AssertionFault),
    GrantMissing,
    GrantUnsupported,
    AudienceMissing,
    /// Fit to be shown: see [`Refusal::audience_unknown`].
    AudienceUnknown(String),
    ScopeMissing,
    ScopeUnknown,
    /// There is no token left in the quota.
    Quota(Standing),
}

/// An error answer of a token endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ErrorAnswer {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
    /// Whether the answer carries `WWW-Authenticate: Basic`.
    pub(crate) challenge: bool,
}

const REFLECTED: usize = 64;

impl Refusal {
    /// Keeps of the audience what can be repeated to its sender: no more than
    /// 64 characters, none with a meaning in HTML, JSON or a terminal.
    pub(crate) fn audience_unknown(audience: &str) -> Self {
        let safe = |c: char| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '.' | '_' | ':' | '/' => c,
            _ => '?',
        };
        Self::AudienceUnknown(audience.chars().take(REFLECTED).map(safe).collect())
    }

    pub(crate) fn answer(&self, dialect: Dialect) -> ErrorAnswer {
        if let (Self::Quota(_), Dialect::V2) = (self, dialect) {
            return gateway_answer();
        }
        let (status, error, description) = self.common(dialect);
        let mut body = json!({ "error": error, "error_description": description });
        if dialect == Dialect::V2
            && let Some(members) = body.as_object_mut()
        {
            members.insert("status_code".into(), status.as_u16().into());
            members.insert("error_hint".into(), self.hint().into());
        }
        ErrorAnswer {
            status,
            body,
            challenge: *self == Self::Client { header: true },
        }
    }

    fn common(&self, dialect: Dialect) -> (StatusCode, &'static str, String) {
        let invalid_request =
            |status, description: &str| (status, "invalid_request", description.to_owned());
        match (self, dialect) {
            (Self::Unwelcome(unwelcome), _) => {
                invalid_request(unwelcome.status(), unwelcome.title())
            }
            (Self::Method, _) => {
                invalid_request(StatusCode::METHOD_NOT_ALLOWED, "A token request is a POST.")
            }
            (Self::ContentType, _) => invalid_request(
                StatusCode::BAD_REQUEST,
                "A token request has the content type application/x-www-form-urlencoded.",
            ),
            (Self::Body(fault), _) => invalid_request(fault.status(), fault.title()),
            (Self::Form(error), _) => invalid_request(StatusCode::BAD_REQUEST, &error.to_string()),
            (Self::SeveralAuthentications, _) => invalid_request(
                StatusCode::BAD_REQUEST,
                "More than one method of client authentication was used.",
            ),
            (Self::ClientMissing | Self::Client { .. } | Self::Assertion(_), Dialect::V1) => (
                StatusCode::UNAUTHORIZED,
                "access_denied",
                "Unauthorized".into(),
            ),
            (Self::ClientMissing | Self::Client { .. } | Self::Assertion(_), Dialect::V2) => (
                StatusCode::UNAUTHORIZED,
                "invalid_client",
                "Client authentication failed (e.g., unknown client, no client authentication \
                 included, or unsupported authentication method)."
                    .into(),
            ),
            (Self::GrantMissing, _) => invalid_request(
                StatusCode::BAD_REQUEST,
                "The parameter grant_type is missing.",
            ),
            (Self::GrantUnsupported, _) => (
                StatusCode::BAD_REQUEST,
                "unsupported_grant_type",
                "The only grant here is client_credentials.".into(),
            ),
            (Self::AudienceMissing, Dialect::V1) => (
                StatusCode::FORBIDDEN,
                "access_denied",
                "This client gets no access token without an audience.".into(),
            ),
            (Self::AudienceUnknown(audience), Dialect::V1) => (
                StatusCode::FORBIDDEN,
                "access_denied",
                format!("Service not found: {audience}"),
            ),
            (Self::AudienceMissing, Dialect::V2) => invalid_request(
                StatusCode::BAD_REQUEST,
                "The parameter audience is missing.",
            ),
            (Self::AudienceUnknown(audience), Dialect::V2) => invalid_request(
                StatusCode::BAD_REQUEST,
                &format!("Requested audience '{audience}' is not allowed for this client."),
            ),
            (Self::ScopeMissing, _) => (
                StatusCode::BAD_REQUEST,
                "invalid_scope",
                "The parameter scope is missing.".into(),
            ),
            (Self::Quota(_), _) => (
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_requests",
                "The client has used up its token quota.".into(),
            ),
            (Self::ScopeUnknown, _) => (
                StatusCode::BAD_REQUEST,
                "invalid_scope",
                "The requested scope is invalid, unknown, or malformed.".into(),
            ),
        }
    }

    fn hint(&self) -> &'static str {
        match self {
            Self::Assertion(fault) => fault.hint(),
            Self::ClientMissing => "No client authentication was sent.",
            Self::Client { .. } => "The client is unknown or its secret is another.",
            Self::AudienceMissing | Self::AudienceUnknown(_) => {
                "The audience must be one that is registered for the client."
            }
            Self::ScopeMissing | Self::ScopeUnknown => {
                "Ask for data-access:all, furnishment:all, or both, with a space between."
            }
            Self::GrantMissing | Self::GrantUnsupported => "Send grant_type=client_credentials.",
            _ => "Make sure that the request is well formed.",
        }
    }
}

/// Hydra knows no quotas: a gateway before it does, and that knows no OAuth.
fn gateway_answer() -> ErrorAnswer {
    let status = StatusCode::TOO_MANY_REQUESTS;
    let error = json!({
        "code": status.as_u16(),
        "status": "Too Many Requests",
        "message": "The rate limit of this client is exceeded.",
    });
    ErrorAnswer {
        status,
        body: json!({ "error": error }),
        challenge: false,
    }
}

impl From<FormError> for Refusal {
    fn from(error: FormError) -> Self {
        Self::Form(error)
    }
}

impl From<BodyFault> for Refusal {
    fn from(fault: BodyFault) -> Self {
        Self::Body(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s11_each_dialect_says_it_its_own_way() {
        let unknown = Refusal::audience_unknown("prod");
        for (refusal, v1, v2) in [
            (
                Refusal::Method,
                (405, "invalid_request"),
                (405, "invalid_request"),
            ),
            (
                Refusal::ContentType,
                (400, "invalid_request"),
                (400, "invalid_request"),
            ),
            (
                Refusal::Body(BodyFault::TooLarge),
                (413, "invalid_request"),
                (413, "invalid_request"),
            ),
            (
                Refusal::Body(BodyFault::TooSlow),
                (408, "invalid_request"),
                (408, "invalid_request"),
            ),
            (
                Refusal::Form(FormError::Repeated),
                (400, "invalid_request"),
                (400, "invalid_request"),
            ),
            (
                Refusal::Unwelcome(Unwelcome::ForeignHost),
                (403, "invalid_request"),
                (403, "invalid_request"),
            ),
            (
                Refusal::SeveralAuthentications,
                (400, "invalid_request"),
                (400, "invalid_request"),
            ),
            (
                Refusal::ClientMissing,
                (401, "access_denied"),
                (401, "invalid_client"),
            ),
            (
                Refusal::Client { header: false },
                (401, "access_denied"),
                (401, "invalid_client"),
            ),
            (
                Refusal::Assertion(AssertionFault::Expired),
                (401, "access_denied"),
                (401, "invalid_client"),
            ),
            (
                Refusal::Client { header: true },
                (401, "access_denied"),
                (401, "invalid_client"),
            ),
            (
                Refusal::GrantMissing,
                (400, "invalid_request"),
                (400, "invalid_request"),
            ),
            (
                Refusal::GrantUnsupported,
                (400, "unsupported_grant_type"),
                (400, "unsupported_grant_type"),
            ),
            (
                Refusal::AudienceMissing,
                (403, "access_denied"),
                (400, "invalid_request"),
            ),
            (unknown, (403, "access_denied"), (400, "invalid_request")),
            (
                Refusal::ScopeMissing,
                (400, "invalid_scope"),
                (400, "invalid_scope"),
            ),
            (
                Refusal::ScopeUnknown,
                (400, "invalid_scope"),
                (400, "invalid_scope"),
            ),
        ] {
            for (dialect, (status, error)) in [(Dialect::V1, v1), (Dialect::V2, v2)] {
                let answer = refusal.answer(dialect);
                let context = format!("{refusal:?} {dialect:?}");
                assert_eq!(answer.status.as_u16(), status, "{context}");
                assert_eq!(answer.body["error"], error, "{context}");
                assert!(answer.body["error_description"].is_string(), "{context}");
                let hydra = dialect == Dialect::V2;
                assert_eq!(answer.body["error_hint"].is_string(), hydra, "{context}");
                assert_eq!(answer.body["status_code"] == status, hydra, "{context}");
                let challenge = refusal == Refusal::Client { header: true };
                assert_eq!(answer.challenge, challenge, "{context}");
            }
        }
    }

    #[test]
    fn s11_little_of_an_audience_is_repeated() {
        let shown = |audience: &str| match Refusal::audience_unknown(audience) {
            Refusal::AudienceUnknown(shown) => shown,
            other => panic!("{other:?}"),
        };
        for (audience, expected) in [
            ("api.bloomcredit.io", "api.bloomcredit.io"),
            ("https://api/v2_x", "https://api/v2_x"),
            ("<b>\"'\\\u{1b}[0m é", "?b??????0m??"),
        ] {
            assert_eq!(shown(audience), expected, "{audience}");
        }
        assert_eq!(shown(&"a".repeat(65)), "a".repeat(64));
        assert_eq!(shown(&"é".repeat(9_999)), "?".repeat(64));
    }
}
