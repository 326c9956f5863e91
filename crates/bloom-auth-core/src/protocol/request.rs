//! The token request (RFC 6749, section 4.4.2), down to its bytes.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use http::{
    HeaderValue, Method, Request,
    header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE},
};
use zeroize::Zeroizing;

use super::assertion::ClientAssertion;
use crate::{
    client::{ClientCredentials, Method as Proving},
    environment::{AuthVersion, ClientAuthentication, Environment},
    error::ConfigurationError,
    scope::Scopes,
    transport::RequestBody,
};

/// What is asked of the token endpoint, apart from the credentials.
///
/// # Example
///
/// ```
/// use bloom_auth_core::{
///     AuthVersion, ClientCredentials, ClientId, ClientSecret, Environment,
///     protocol::TokenRequest,
/// };
///
/// let request = TokenRequest::new(Environment::sandbox(AuthVersion::V1));
/// request.validate()?;
/// let credentials =
///     ClientCredentials::new(ClientId::new("my id")?, ClientSecret::new("s&cret".to_owned())?);
/// assert_eq!(
///     request.encode(&credentials).body().as_bytes(),
///     b"grant_type=client_credentials&client_id=my%20id&client_secret=s%26cret&audience=dev-api",
/// );
/// # Ok::<(), bloom_auth_core::ConfigurationError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRequest {
    environment: Environment,
    authentication: ClientAuthentication,
    scopes: Scopes,
    parameters: Vec<(String, String)>,
}

/// Parameters that have settings of their own.
const RESERVED: [&str; 7] = [
    "grant_type",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "audience",
    "scope",
];

impl TokenRequest {
    /// A request to this environment, with `client_secret_post` and without
    /// scopes.
    #[must_use]
    pub fn new(environment: Environment) -> Self {
        Self {
            environment,
            authentication: ClientAuthentication::Post,
            scopes: Scopes::default(),
            parameters: Vec::new(),
        }
    }

    /// Sets how a client secret is sent.
    #[must_use]
    pub fn with_authentication(mut self, authentication: ClientAuthentication) -> Self {
        self.authentication = authentication;
        self
    }

    /// Sets the scopes to ask for.
    #[must_use]
    pub fn with_scopes(mut self, scopes: Scopes) -> Self {
        self.scopes = scopes;
        self
    }

    /// Adds a parameter that the token endpoint knows and this library does
    /// not. Not for secrets: it becomes part of cache keys.
    #[must_use]
    pub fn with_parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.parameters.push((name.into(), value.into()));
        self
    }

    /// Checks that the parts go together.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`] if V2 has no scope or V1 has one (Bloom's V1
    /// takes none), and for an extra parameter that is empty, given twice, or
    /// has a setting of its own.
    pub fn validate(&self) -> Result<(), ConfigurationError> {
        match (self.environment.auth_version(), self.scopes.is_empty()) {
            (AuthVersion::V1, true) | (AuthVersion::V2, false) => {}
            (AuthVersion::V1, false) => {
                return Err(ConfigurationError::new(
                    "scope",
                    "is set, and Authorization V1 takes none",
                    "remove the scope, or choose Authorization V2",
                ));
            }
            (AuthVersion::V2, true) => {
                return Err(ConfigurationError::new(
                    "scope",
                    "is missing, and Authorization V2 requires one",
                    "ask for `data-access:all`, `furnishment:all`, or both",
                ));
            }
        }
        let mut names: Vec<&str> = RESERVED.to_vec();
        for (name, _) in &self.parameters {
            if name.is_empty() || names.contains(&name.as_str()) {
                return Err(ConfigurationError::new(
                    "extra parameter",
                    format!("{name:?} is empty, given twice, or has a setting of its own"),
                    "give each parameter once, and standard ones through their settings",
                ));
            }
            names.push(name);
        }
        Ok(())
    }

    /// Where the request goes and whom the token is for.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// How a client secret is sent.
    #[must_use]
    pub fn authentication(&self) -> ClientAuthentication {
        self.authentication
    }

    /// The scopes that are asked for.
    #[must_use]
    pub fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    /// The extra parameters, in the order in which they are sent.
    #[must_use]
    pub fn parameters(&self) -> &[(String, String)] {
        &self.parameters
    }

    /// The whole HTTP request. Its body and its `Authorization` header are
    /// zeroized when their last clone is dropped.
    ///
    /// Values are `%XX`-encoded with a space as `%20` and unreserved
    /// characters left alone, in the body as in the Basic header: the one
    /// form that servers decode alike, whether they read it as a form or as a
    /// URL.
    ///
    /// Credentials with a signer prove nothing before they are given an
    /// [assertion](ClientCredentials::with_assertion).
    #[must_use]
    pub fn encode(&self, credentials: &ClientCredentials) -> Request<RequestBody> {
        let id = credentials.id().as_str();
        let mut fields = vec![("grant_type", "client_credentials")];
        let mut authorization = None;
        match (
            credentials.method(self.authentication),
            credentials.secret(),
        ) {
            (Proving::SecretBasic, Some(secret)) => authorization = basic(id, secret.expose()),
            (_, secret) => {
                fields.push(("client_id", id));
                if let Some(secret) = secret {
                    fields.push(("client_secret", secret.expose()));
                }
            }
        }
        if let Some(assertion) = credentials.assertion() {
            fields.push(("client_assertion_type", ClientAssertion::TYPE));
            fields.push(("client_assertion", assertion.expose()));
        }
        if let Some(audience) = self.environment.audience() {
            fields.push(("audience", audience));
        }
        let scope = self.scopes.to_string();
        if !scope.is_empty() {
            fields.push(("scope", &scope));
        }
        for (name, value) in &self.parameters {
            fields.push((name, value));
        }

        let mut request = Request::new(RequestBody::zeroizing(form(&fields)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.environment.token_url().clone();
        let headers = request.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(authorization) = authorization {
            headers.insert(AUTHORIZATION, authorization);
        }
        request
    }
}

/// `name=value&…` in one allocation, so that nothing is left un-zeroized by a
/// buffer that grew.
fn form(fields: &[(&str, &str)]) -> Zeroizing<Vec<u8>> {
    let room = fields
        .iter()
        .map(|(name, value)| 3 * (name.len() + value.len()) + 2)
        .sum();
    let mut body = Zeroizing::new(Vec::with_capacity(room));
    for (index, (name, value)) in fields.iter().enumerate() {
        if index > 0 {
            body.push(b'&');
        }
        percent_encode(name, &mut body);
        body.push(b'=');
        percent_encode(value, &mut body);
    }
    body
}

/// `Basic` credentials (RFC 6749, section 2.3.1: encode, then base64).
fn basic(id: &str, secret: &str) -> Option<HeaderValue> {
    const SCHEME: &[u8] = b"Basic ";
    let mut pair = Zeroizing::new(Vec::with_capacity(3 * (id.len() + secret.len()) + 1));
    percent_encode(id, &mut pair);
    pair.push(b':');
    percent_encode(secret, &mut pair);

    let mut value = Zeroizing::new(vec![0; SCHEME.len() + pair.len().div_ceil(3) * 4]);
    let (scheme, encoded) = value.split_at_mut(SCHEME.len());
    scheme.copy_from_slice(SCHEME);
    // The slice has the exact size and base64 is ASCII, so neither can fail.
    BASE64.encode_slice(pair.as_slice(), encoded).ok()?;
    let mut header = HeaderValue::from_maybe_shared(Bytes::from_owner(value)).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// Appends text with everything but RFC 3986's unreserved characters as `%XX`.
pub(crate) fn percent_encode(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(byte);
        } else {
            let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
            out.extend([b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        client::{ClientId, ClientSecret},
        test_keys::{ED25519, TestSigner, test_assertion},
    };

    fn credentials(id: &str, secret: &str) -> ClientCredentials {
        ClientCredentials::new(
            ClientId::new(id).unwrap(),
            ClientSecret::new(secret).unwrap(),
        )
    }

    fn wire(request: &TokenRequest, credentials: &ClientCredentials) -> String {
        let request = request.encode(credentials);
        let mut text = format!("{} {}\n", request.method(), request.uri());
        for (name, value) in request.headers() {
            text += &format!("{name}: {}\n", value.to_str().unwrap());
        }
        text + "\n" + std::str::from_utf8(request.body().as_bytes()).unwrap()
    }

    #[test]
    fn golden_v1_post() {
        let request = TokenRequest::new(Environment::sandbox(AuthVersion::V1));
        assert_eq!(
            wire(&request, &credentials("id", "s3cret")),
            "POST https://auth.bloom.dev/oauth/token\n\
             content-type: application/x-www-form-urlencoded\n\
             accept: application/json\n\
             cache-control: no-store\n\
             \n\
             grant_type=client_credentials&client_id=id&client_secret=s3cret&audience=dev-api"
        );
    }

    #[test]
    fn golden_v2_basic() {
        let request = TokenRequest::new(Environment::production(AuthVersion::V2))
            .with_authentication(ClientAuthentication::Basic)
            .with_scopes("furnishment:all data-access:all".parse().unwrap())
            .with_parameter("organization", "org 1");
        assert_eq!(
            wire(&request, &credentials("id", "s3cret")),
            "POST https://authn.bloomcredit.io/oauth2/token\n\
             content-type: application/x-www-form-urlencoded\n\
             accept: application/json\n\
             cache-control: no-store\n\
             authorization: Basic aWQ6czNjcmV0\n\
             \n\
             grant_type=client_credentials&audience=api.bloomcredit.io\
             &scope=data-access%3Aall%20furnishment%3Aall&organization=org%201"
        );
    }

    #[test]
    fn golden_assertion_and_certificate() {
        let head = "POST https://auth.bloom.dev/oauth/token\n\
             content-type: application/x-www-form-urlencoded\n\
             accept: application/json\n\
             cache-control: no-store\n\
             \n\
             grant_type=client_credentials&client_id=the%20id";
        let id = || ClientId::new("the id").unwrap();
        let unsigned = ClientCredentials::with_signer(id(), TestSigner::new("key"));
        let signed = unsigned.with_assertion(test_assertion());
        let certificate = ClientCredentials::with_certificate(id(), ED25519.private_pem).unwrap();
        let assertion = "&client_assertion_type=\
             urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer\
             &client_assertion=";
        for (credentials, proof) in [
            (&signed, format!("{assertion}{}", test_assertion().expose())),
            (&unsigned, String::new()),
            (&certificate, String::new()),
        ] {
            // How a secret is sent does not matter to who has none.
            for authentication in [ClientAuthentication::Post, ClientAuthentication::Basic] {
                let request = TokenRequest::new(Environment::sandbox(AuthVersion::V1))
                    .with_authentication(authentication);
                assert_eq!(
                    wire(&request, credentials),
                    format!("{head}{proof}&audience=dev-api")
                );
            }
        }
    }

    #[test]
    fn a_body_is_made_in_one_piece_of_memory() {
        // All of it has to be encoded; what is left is for the `&` before the first.
        for fields in [
            &[("=", "&&&&&&&&&&")][..],
            &[("====", ""), ("=", "&&"), ("==", "&"), ("", "&&&")],
        ] {
            let body = form(fields);
            assert_eq!(body.capacity(), body.len() + 1, "{fields:?}");
        }
    }

    #[test]
    fn a_request_says_what_it_was_made_of() {
        let environment = Environment::sandbox(AuthVersion::V2);
        let request = TokenRequest::new(environment.clone());
        assert_eq!(request.environment(), &environment);
        assert_eq!(request.authentication(), ClientAuthentication::Post);
        assert!(request.scopes().is_empty() && request.parameters().is_empty());
        let scopes: Scopes = "furnishment:all".parse().unwrap();
        let request = request
            .with_authentication(ClientAuthentication::Basic)
            .with_scopes(scopes.clone())
            .with_parameter("b", "1")
            .with_parameter("a", "2");
        assert_eq!(request.authentication(), ClientAuthentication::Basic);
        assert_eq!(request.scopes(), &scopes);
        let parameters = [("b", "1"), ("a", "2")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(request.parameters(), parameters);
    }

    #[test]
    fn p36_no_cache_on_the_way_may_keep_the_answer() {
        let environments = [AuthVersion::V1, AuthVersion::V2].map(Environment::sandbox);
        for environment in environments {
            for authentication in [ClientAuthentication::Post, ClientAuthentication::Basic] {
                let request =
                    TokenRequest::new(environment.clone()).with_authentication(authentication);
                let request = request.encode(&credentials("id", "s3cret"));
                let controls: Vec<_> = request.headers().get_all(CACHE_CONTROL).iter().collect();
                assert_eq!(controls, ["no-store"]);
            }
        }
    }

    #[test]
    fn p37_special_characters_have_one_form_in_body_and_header() {
        // Computed by hand from RFC 3986 and RFC 4648, not by this code.
        let rows = [
            ("+", "%2B", "JTJCOiUyQg=="),
            ("%", "%25", "JTI1OiUyNQ=="),
            (":", "%3A", "JTNBOiUzQQ=="),
            ("a b", "a%20b", "YSUyMGI6YSUyMGI="),
            ("\u{e9}", "%C3%A9", "JUMzJUE5OiVDMyVBOQ=="),
            ("-._~", "-._~", "LS5ffjotLl9+"),
            ("&=", "%26%3D", "JTI2JTNEOiUyNiUzRA=="),
        ];
        for (text, encoded, base64) in rows {
            let credentials = credentials(text, text);
            let post = TokenRequest::new(Environment::sandbox(AuthVersion::V1));
            let body = wire(&post, &credentials);
            assert!(
                body.ends_with(&format!(
                    "&client_id={encoded}&client_secret={encoded}&audience=dev-api"
                )),
                "{body}"
            );
            let basic = post.with_authentication(ClientAuthentication::Basic);
            let body = wire(&basic, &credentials);
            assert!(
                body.contains(&format!("authorization: Basic {base64}\n")),
                "{body}"
            );
            assert!(!body.contains("client_id"), "{body}");
        }
    }

    #[test]
    fn secrets_in_a_request_are_marked_sensitive() {
        let request = TokenRequest::new(Environment::sandbox(AuthVersion::V1))
            .with_authentication(ClientAuthentication::Basic)
            .encode(&credentials("id", "s3cret"));
        assert!(request.headers()[AUTHORIZATION].is_sensitive());
        let text = format!("{request:?} {request:#?}");
        assert!(!text.contains("aWQ6"), "{text}");
        let post = TokenRequest::new(Environment::sandbox(AuthVersion::V1));
        let request = post.encode(&credentials("id", "s3cret"));
        let text = format!("{request:?} {request:#?}");
        assert!(
            text.contains("RequestBody(") && !text.contains("s3cret"),
            "{text}"
        );
    }

    #[test]
    fn scopes_must_fit_the_version() {
        let v1 = TokenRequest::new(Environment::sandbox(AuthVersion::V1));
        let v2 = TokenRequest::new(Environment::sandbox(AuthVersion::V2));
        let scopes: Scopes = "data-access:all".parse().unwrap();
        assert!(v1.validate().is_ok());
        assert!(v1.with_scopes(scopes.clone()).validate().is_err());
        assert!(v2.validate().is_err());
        assert!(v2.with_scopes(scopes).validate().is_ok());
    }

    #[test]
    fn parameters_with_settings_of_their_own_are_refused() {
        let request = TokenRequest::new(Environment::sandbox(AuthVersion::V1));
        for name in [
            "client_secret",
            "client_assertion",
            "client_assertion_type",
            "scope",
            "grant_type",
            "",
        ] {
            let request = request.clone().with_parameter(name, "x");
            assert!(request.validate().is_err(), "{name}");
        }
        let once = request.with_parameter("tenant", "x");
        assert!(once.validate().is_ok());
        assert!(once.with_parameter("tenant", "y").validate().is_err());
    }
}
