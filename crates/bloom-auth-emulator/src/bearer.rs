//! Whether the access token of an API request is good for it (RFC 6750).

use http::{HeaderMap, StatusCode, header::AUTHORIZATION};

use crate::tokens::{TokenFault, Tokens};

/// Why an API request is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// It carries no access token.
    NoToken,
    /// It carries more than one `Authorization` header.
    Ambiguous,
    Token(TokenFault),
    /// The access token is good but lacks the scope named here.
    Scope(&'static str),
}

/// Whether a request with these headers may do what any one of the needed scopes
/// allows. A denial names the last of them, as only the access tokens of V2 come
/// without.
pub(crate) fn authorize(
    tokens: &Tokens,
    headers: &HeaderMap,
    needed: &[&'static str],
    now: u64,
) -> Result<(), Denied> {
    let mut authorizations = headers.get_all(AUTHORIZATION).iter();
    let authorization = authorizations.next().ok_or(Denied::NoToken)?;
    if authorizations.next().is_some() {
        return Err(Denied::Ambiguous);
    }
    let authorization = authorization
        .to_str()
        .map_err(|_| Denied::Token(TokenFault::Foreign))?;
    let (scheme, token) = authorization.split_once(' ').unwrap_or((authorization, ""));
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Err(Denied::NoToken);
    }
    let claims = tokens
        .verify(token.trim_start_matches(' '), now)
        .map_err(Denied::Token)?;
    if claims.grant_any(needed) {
        Ok(())
    } else {
        Err(Denied::Scope(needed.last().copied().unwrap_or_default()))
    }
}

impl Denied {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::NoToken | Self::Token(_) => StatusCode::UNAUTHORIZED,
            Self::Ambiguous => StatusCode::BAD_REQUEST,
            Self::Scope(_) => StatusCode::FORBIDDEN,
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::NoToken => "The request carries no access token",
            Self::Ambiguous => "The request carries several Authorization headers",
            Self::Token(TokenFault::Foreign) => "The access token is not of this emulator",
            Self::Token(TokenFault::Elsewhere) => "The access token is for another audience",
            Self::Token(TokenFault::Expired) => "The access token has expired",
            Self::Token(TokenFault::Revoked) => "The access token was revoked",
            Self::Scope(_) => "The access token lacks the scope",
        }
    }

    /// The value of `WWW-Authenticate` (RFC 6750, section 3).
    pub(crate) fn challenge(self) -> String {
        let title = self.title();
        let detail = match self {
            // Who has sent no token is told nothing about errors (3.1).
            Self::NoToken => String::new(),
            Self::Ambiguous => {
                format!(", error=\"invalid_request\", error_description=\"{title}\"")
            }
            Self::Token(_) => format!(", error=\"invalid_token\", error_description=\"{title}\""),
            Self::Scope(scope) => format!(
                ", error=\"insufficient_scope\", error_description=\"{title}\", scope=\"{scope}\""
            ),
        };
        format!("Bearer realm=\"bloom-auth-emulator\"{detail}")
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const NEEDED: &[&str] = &["read:consumers", "data-access:all"];

    #[test]
    fn access_tokens_are_judged() {
        let tokens = Tokens::new("dev-api".into(), "client".into(), &[1; 32]).unwrap();
        let v1 = tokens.issue("1", "read:consumers write:consumers", 0, 10);
        let v2 = tokens.issue("2", "data-access:all", 0, 10);
        let furnishment = tokens.issue("3", "furnishment:all", 0, 10);
        let revoked = tokens.issue("4", "data-access:all", 0, 10);
        tokens.revoke(&revoked, 0);
        let lacks = Denied::Scope("data-access:all");
        let foreign = Denied::Token(TokenFault::Foreign);
        for (header, now, expected) in [
            (Some(format!("Bearer {v1}")), 9, Ok(())),
            (Some(format!("bEARER   {v2}")), 9, Ok(())),
            (Some(format!("Bearer {furnishment}")), 9, Err(lacks)),
            (
                Some(format!("Bearer {revoked}")),
                9,
                Err(Denied::Token(TokenFault::Revoked)),
            ),
            (
                Some(format!("Bearer {v1}")),
                10,
                Err(Denied::Token(TokenFault::Expired)),
            ),
            (
                Some(format!("Bearer {furnishment}")),
                10,
                Err(Denied::Token(TokenFault::Expired)),
            ),
            (None, 9, Err(Denied::NoToken)),
            (Some(String::new()), 9, Err(Denied::NoToken)),
            (Some(v1.clone()), 9, Err(Denied::NoToken)),
            (
                Some("Basic aWQ6c2VjcmV0".to_owned()),
                9,
                Err(Denied::NoToken),
            ),
            (Some(format!("Token {v1}")), 9, Err(Denied::NoToken)),
            (Some("Bearer".to_owned()), 9, Err(foreign)),
            (Some("Bearer ".to_owned()), 9, Err(foreign)),
            (Some(format!("Bearer {v1}x")), 9, Err(foreign)),
            (Some(format!("Bearer {v1} {v1}")), 9, Err(foreign)),
            (Some(format!("Bearer \"{v1}\"")), 9, Err(foreign)),
            (Some("Bearer é".to_owned()), 9, Err(foreign)),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(header) = &header {
                let value = HeaderValue::from_bytes(header.as_bytes()).unwrap();
                headers.insert(AUTHORIZATION, value);
            }
            let judged = authorize(&tokens, &headers, NEEDED, now);
            assert_eq!(judged, expected, "{header:?} at {now}");
        }
        let mut twice = HeaderMap::new();
        let value = HeaderValue::try_from(format!("Bearer {v1}")).unwrap();
        twice.append(AUTHORIZATION, value.clone());
        twice.append(AUTHORIZATION, value);
        assert_eq!(
            authorize(&tokens, &twice, NEEDED, 9),
            Err(Denied::Ambiguous)
        );
    }

    #[test]
    fn challenges_are_header_values() {
        let realm = "Bearer realm=\"bloom-auth-emulator\"";
        for (denied, status, rest) in [
            (Denied::NoToken, 401, ""),
            (
                Denied::Ambiguous,
                400,
                ", error=\"invalid_request\", error_description=",
            ),
            (
                Denied::Token(TokenFault::Foreign),
                401,
                ", error=\"invalid_token\", ",
            ),
            (
                Denied::Token(TokenFault::Elsewhere),
                401,
                ", error=\"invalid_token\", ",
            ),
            (
                Denied::Token(TokenFault::Expired),
                401,
                ", error=\"invalid_token\", ",
            ),
            (
                Denied::Token(TokenFault::Revoked),
                401,
                ", error=\"invalid_token\", ",
            ),
            (
                Denied::Scope("a:b"),
                403,
                ", error=\"insufficient_scope\", ",
            ),
        ] {
            let challenge = denied.challenge();
            assert_eq!(denied.status().as_u16(), status, "{denied:?}");
            assert!(
                challenge.starts_with(&format!("{realm}{rest}")),
                "{challenge}"
            );
            assert!(HeaderValue::try_from(challenge).is_ok(), "{denied:?}");
        }
        assert_eq!(Denied::NoToken.challenge(), realm);
        assert!(
            Denied::Scope("a:b")
                .challenge()
                .ends_with(", scope=\"a:b\"")
        );
    }
}
