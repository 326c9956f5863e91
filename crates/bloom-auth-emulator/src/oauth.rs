//! What a token endpoint decides, as a function of the request alone.

use http::{HeaderMap, Method, header::CONTENT_TYPE};

use crate::{
    assertion::Arrival, client_authentication::authenticate, credentials::Client, form::Form,
    refusal::Refusal,
};

/// Which of Bloom's two authorization servers is stood in for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Of the Auth0 family.
    V1,
    /// Ory Hydra.
    V2,
}

/// What V1 grants every client.
const V1_SCOPE: &str = "read:consumers write:consumers read:credit.bloom.score.vantage3 \
    read:credit.bloom.score.vantage4 read:credit.experian.report read:credit.equifax.report \
    read:credit.transunion.report write:orders read:orders read:portfolios write:portfolios \
    read:credential.external write:credential.external read:organization read:monitoring \
    write:monitoring";

/// What V2 grants those who ask.
const V2_SCOPES: [&str; 2] = ["data-access:all", "furnishment:all"];

impl Dialect {
    pub(crate) const ALL: [Self; 2] = [Self::V1, Self::V2];

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::V1 => "/oauth/token",
            Self::V2 => "/oauth2/token",
        }
    }

    pub(crate) fn of_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.path() == path)
    }
}

/// What can be said before the body is read.
pub(crate) fn check_head(method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
    if method != Method::POST {
        return Err(Refusal::Method);
    }
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(only), None) = (types.next(), types.next()) else {
        return Err(Refusal::ContentType);
    };
    let essence = only.to_str().unwrap_or_default().split(';').next();
    let essence = essence.unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        Ok(())
    } else {
        Err(Refusal::ContentType)
    }
}

/// The scope that is granted, or why none is.
pub(crate) fn decide(
    dialect: Dialect,
    headers: &HeaderMap,
    body: &[u8],
    client: &Client,
    audience: &str,
    arrival: Arrival<'_>,
) -> Result<String, Refusal> {
    let form = Form::parse(body)?;
    authenticate(headers, &form, client, arrival)?;
    match form.get("grant_type") {
        Some("client_credentials") => {}
        Some(_) => return Err(Refusal::GrantUnsupported),
        None => return Err(Refusal::GrantMissing),
    }
    match form.get("audience") {
        Some(asked) if asked == audience => {}
        Some(asked) => return Err(Refusal::audience_unknown(asked)),
        None => return Err(Refusal::AudienceMissing),
    }
    match dialect {
        Dialect::V1 => Ok(V1_SCOPE.to_owned()),
        Dialect::V2 => scope(form.get("scope").unwrap_or_default()),
    }
}

/// The scopes of V2 in the order asked for, each once.
fn scope(asked: &str) -> Result<String, Refusal> {
    let mut granted: Vec<&str> = Vec::new();
    for scope in asked.split(' ').filter(|scope| !scope.is_empty()) {
        if !V2_SCOPES.contains(&scope) {
            return Err(Refusal::ScopeUnknown);
        }
        if !granted.contains(&scope) {
            granted.push(scope);
        }
    }
    if granted.is_empty() {
        return Err(Refusal::ScopeMissing);
    }
    Ok(granted.join(" "))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::form::FormError;

    const ARRIVAL: Arrival<'_> = Arrival {
        url: "https://127.0.0.1:1/oauth/token",
        unix_millis: 0,
    };
    const CLIENT: &str = "client_id=id&client_secret=se%2Bcret";
    const REST: &str = "grant_type=client_credentials&audience=dev-api";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    /// What both authorization servers are asked, V2 with a good scope.
    fn check(body: &str, expected: &Result<(), Refusal>) {
        let client = Client::new("id".into(), "se+cret".into());
        for dialect in Dialect::ALL {
            let body = format!("{body}&scope=data-access:all");
            let none = HeaderMap::new();
            let decision = decide(dialect, &none, body.as_bytes(), &client, "dev-api", ARRIVAL);
            assert_eq!(decision.map(|_| ()), *expected, "{dialect:?} {body}");
        }
    }

    #[test]
    fn s11_checks_come_in_their_order() {
        let wrong = "client_id=id&client_secret=wrong";
        let unknown = Refusal::AudienceUnknown("prod".into());
        let refused = Refusal::Client { header: false };
        for (body, expected) in [
            (format!("{CLIENT}&{REST}"), Ok(())),
            (format!("{REST}&{CLIENT}&unknown=ignored"), Ok(())),
            (
                format!("{wrong}&a=1&a=2&b=%"),
                Err(FormError::Escape.into()),
            ),
            (format!("{wrong}&a=1&a=2"), Err(FormError::Repeated.into())),
            (format!("{wrong}&grant_type=password"), Err(refused)),
            (
                format!("{CLIENT}&grant_type=password&audience=prod"),
                Err(Refusal::GrantUnsupported),
            ),
            (
                format!("{CLIENT}&audience=prod"),
                Err(Refusal::GrantMissing),
            ),
            (
                format!("{CLIENT}&grant_type=&audience=prod"),
                Err(Refusal::GrantMissing),
            ),
            (
                format!("{CLIENT}&grant_type=client_credentials&audience=prod"),
                Err(unknown),
            ),
            (
                format!("{CLIENT}&grant_type=client_credentials"),
                Err(Refusal::AudienceMissing),
            ),
        ] {
            check(&body, &expected);
        }
    }

    #[test]
    fn s11_repeated_parameters_are_refused_whichever_they_are() {
        for name in [
            "client_id",
            "client_secret",
            "grant_type",
            "audience",
            "scope",
            "other",
        ] {
            let repeated = format!("{CLIENT}&{REST}&other=1&{name}=x");
            check(&repeated, &Err(FormError::Repeated.into()));
        }
    }

    #[test]
    fn s11_scopes() {
        let client = Client::new("id".into(), "se+cret".into());
        let decide = |dialect, scope: &str| {
            let body = format!("{CLIENT}&{REST}{scope}");
            decide(
                dialect,
                &HeaderMap::new(),
                body.as_bytes(),
                &client,
                "dev-api",
                ARRIVAL,
            )
        };
        let both = "furnishment:all data-access:all";
        for (scope, expected) in [
            ("&scope=data-access:all", Ok("data-access:all")),
            ("&scope=furnishment%3Aall", Ok("furnishment:all")),
            ("&scope=furnishment:all+data-access:all", Ok(both)),
            (
                "&scope=furnishment:all++data-access:all+furnishment:all",
                Ok(both),
            ),
            ("", Err(Refusal::ScopeMissing)),
            ("&scope=", Err(Refusal::ScopeMissing)),
            ("&scope=+", Err(Refusal::ScopeMissing)),
            ("&scope=admin", Err(Refusal::ScopeUnknown)),
            ("&scope=data-access:all+admin", Err(Refusal::ScopeUnknown)),
            (
                "&scope=data-access:all,furnishment:all",
                Err(Refusal::ScopeUnknown),
            ),
            (
                "&scope=data-access:all%09furnishment:all",
                Err(Refusal::ScopeUnknown),
            ),
            ("&scope=DATA-ACCESS:ALL", Err(Refusal::ScopeUnknown)),
        ] {
            assert_eq!(
                decide(Dialect::V2, scope),
                expected.map(str::to_owned),
                "{scope}"
            );
            assert_eq!(
                decide(Dialect::V1, scope),
                Ok(V1_SCOPE.to_owned()),
                "{scope}"
            );
        }
    }

    #[test]
    fn s11_methods_and_content_types() {
        let form = "application/x-www-form-urlencoded";
        for (content_type, good) in [
            (form, true),
            ("Application/X-WWW-Form-URLEncoded", true),
            ("application/x-www-form-urlencoded; charset=utf-8", true),
            ("application/x-www-form-urlencoded ;charset=\"utf-8\"", true),
            ("application/x-www-form-urlencoded2", false),
            ("application/json", false),
            ("text/plain; application/x-www-form-urlencoded", false),
            ("", false),
            ("é", false),
        ] {
            let headers = headers(&[("content-type", content_type)]);
            let expected = if good {
                Ok(())
            } else {
                Err(Refusal::ContentType)
            };
            assert_eq!(
                check_head(&Method::POST, &headers),
                expected,
                "{content_type}"
            );
        }
        let none = HeaderMap::new();
        let two = headers(&[("content-type", form), ("content-type", form)]);
        for headers in [none, two] {
            assert_eq!(
                check_head(&Method::POST, &headers),
                Err(Refusal::ContentType)
            );
        }
        for method in [Method::GET, Method::PUT, Method::OPTIONS, Method::HEAD] {
            assert_eq!(check_head(&method, &HeaderMap::new()), Err(Refusal::Method));
        }
    }
}
