//! Where to ask and for what: Bloom's environments and custom ones.

use std::fmt;

use http::{Uri, uri::Scheme};

use crate::{error::ConfigurationError, url};

/// Bloom's two authorization servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuthVersion {
    /// Authorization V1 (`/oauth/token`); no scope is sent.
    #[default]
    V1,
    /// Authorization V2 (`/oauth2/token`); a scope is required.
    V2,
}

/// How a client secret is sent (RFC 6749, section 2.3.1).
///
/// It makes no difference to clients that have none: see
/// [`ClientCredentials`](crate::ClientCredentials).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClientAuthentication {
    /// `client_secret_post`: id and secret in the body, as Bloom documents.
    #[default]
    Post,
    /// `client_secret_basic`: id and secret in an `Authorization: Basic`
    /// header. HTTP clients copy headers into buffers of their own, which
    /// nobody zeroizes; prefer [`Post`](Self::Post) where the server takes
    /// both.
    Basic,
}

/// Which authorization server to ask, for which audience, and which API the
/// token is for.
///
/// The values are those of Bloom's public documentation. Another source moved
/// the Sandbox V2 host to `authn.bloomcredit.dev` in December 2025; the
/// documented `authn.bloom.dev` is kept here, and every host can be overridden
/// with [`to_builder`](Self::to_builder).
///
/// # Example
///
/// ```
/// use bloom_auth_core::{AuthVersion, Environment};
///
/// let sandbox = Environment::sandbox(AuthVersion::V1);
/// assert_eq!(sandbox.token_url(), "https://auth.bloom.dev/oauth/token");
/// assert_eq!(sandbox.audience(), Some("dev-api"));
///
/// let moved = Environment::sandbox(AuthVersion::V2)
///     .to_builder()
///     .token_url("https://authn.bloomcredit.dev/oauth2/token")
///     .build()?;
/// assert_eq!(moved.api_url(), "https://sandbox.bloom.dev/");
/// # Ok::<(), bloom_auth_core::ConfigurationError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Environment {
    auth_version: AuthVersion,
    token_url: Uri,
    audience: Option<String>,
    api_url: Uri,
}

impl Environment {
    /// Bloom's Sandbox.
    #[must_use]
    pub fn sandbox(auth_version: AuthVersion) -> Self {
        let token_url = match auth_version {
            AuthVersion::V1 => Uri::from_static("https://auth.bloom.dev/oauth/token"),
            AuthVersion::V2 => Uri::from_static("https://authn.bloom.dev/oauth2/token"),
        };
        Self {
            auth_version,
            token_url,
            audience: Some("dev-api".to_owned()),
            api_url: Uri::from_static("https://sandbox.bloom.dev/"),
        }
    }

    /// Bloom's Production.
    #[must_use]
    pub fn production(auth_version: AuthVersion) -> Self {
        let token_url = match auth_version {
            AuthVersion::V1 => Uri::from_static("https://auth.bloomcredit.io/oauth/token"),
            AuthVersion::V2 => Uri::from_static("https://authn.bloomcredit.io/oauth2/token"),
        };
        Self {
            auth_version,
            token_url,
            audience: Some("api.bloomcredit.io".to_owned()),
            api_url: Uri::from_static("https://api.bloomcredit.io/"),
        }
    }

    /// An environment of one's own: a token URL and the URL of the API.
    ///
    /// The protocol is that of Authorization V1 until
    /// [`auth_version`](EnvironmentBuilder::auth_version) says otherwise; no
    /// audience is sent until one is set.
    pub fn custom(token_url: impl Into<String>, api_url: impl Into<String>) -> EnvironmentBuilder {
        EnvironmentBuilder {
            auth_version: AuthVersion::V1,
            token_url: token_url.into(),
            audience: None,
            api_url: api_url.into(),
            insecure_loopback: false,
        }
    }

    /// A builder that starts from this environment, to override parts of it.
    pub fn to_builder(&self) -> EnvironmentBuilder {
        EnvironmentBuilder {
            auth_version: self.auth_version,
            token_url: self.token_url.to_string(),
            audience: self.audience.clone(),
            api_url: self.api_url.to_string(),
            insecure_loopback: self.is_insecure_loopback(),
        }
    }

    /// Whether one of the URLs is plain http: to loopback, and because that was
    /// [allowed by name](EnvironmentBuilder::allow_insecure_loopback).
    #[must_use]
    pub fn is_insecure_loopback(&self) -> bool {
        let is_http = |url: &Uri| url.scheme() == Some(&Scheme::HTTP);
        is_http(&self.token_url) || is_http(&self.api_url)
    }

    /// Which of Bloom's authorization servers it is.
    #[must_use]
    pub fn auth_version(&self) -> AuthVersion {
        self.auth_version
    }

    /// The token endpoint.
    #[must_use]
    pub fn token_url(&self) -> &Uri {
        &self.token_url
    }

    /// The `audience` parameter, if one is sent.
    #[must_use]
    pub fn audience(&self) -> Option<&str> {
        self.audience.as_deref()
    }

    /// The URL under which the API's paths stand.
    #[must_use]
    pub fn api_url(&self) -> &Uri {
        &self.api_url
    }

    /// The URL of a path of the API, whether or not the path starts with a
    /// slash.
    ///
    /// ```
    /// use bloom_auth_core::{AuthVersion, Environment};
    ///
    /// let sandbox = Environment::sandbox(AuthVersion::V1);
    /// let url = sandbox.url_of("/v2/core/organization");
    /// assert_eq!(url, "https://sandbox.bloom.dev/v2/core/organization");
    /// ```
    #[must_use]
    pub fn url_of(&self, path: &str) -> String {
        let api_url = self.api_url.to_string();
        let (api_url, path) = (api_url.trim_end_matches('/'), path.trim_start_matches('/'));
        format!("{api_url}/{path}")
    }
}

impl fmt::Debug for Environment {
    // Without the token URL's query, in which some gateways want a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.token_url.authority().map(ToString::to_string);
        f.debug_struct("Environment")
            .field("auth_version", &self.auth_version)
            .field("token_host", &host.unwrap_or_default())
            .field("token_path", &self.token_url.path())
            .field("audience", &self.audience)
            .field("api_url", &self.api_url)
            .finish()
    }
}

/// Builds a custom [`Environment`] and checks it.
#[derive(Clone)]
#[must_use]
pub struct EnvironmentBuilder {
    auth_version: AuthVersion,
    token_url: String,
    audience: Option<String>,
    api_url: String,
    insecure_loopback: bool,
}

impl EnvironmentBuilder {
    /// Sets which of Bloom's two protocols the token endpoint speaks.
    pub fn auth_version(mut self, auth_version: AuthVersion) -> Self {
        self.auth_version = auth_version;
        self
    }

    /// Sets the token endpoint.
    pub fn token_url(mut self, url: impl Into<String>) -> Self {
        self.token_url = url.into();
        self
    }

    /// Sets the `audience` parameter.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// Sets the URL under which the API's paths stand.
    pub fn api_url(mut self, url: impl Into<String>) -> Self {
        self.api_url = url.into();
        self
    }

    /// Allows plain http, to this machine's loopback addresses only.
    pub fn allow_insecure_loopback(mut self) -> Self {
        self.insecure_loopback = true;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`] for a URL that is not absolute, not https
    /// (loopback apart, where allowed), or that has userinfo or a fragment,
    /// and for an empty audience or one with control characters.
    pub fn build(self) -> Result<Environment, ConfigurationError> {
        let token_url = url::parse("token URL", &self.token_url, self.insecure_loopback)?;
        let api_url = url::parse("API URL", &self.api_url, self.insecure_loopback)?;
        if api_url.query().is_some() {
            return Err(ConfigurationError::new(
                "API URL",
                "has a query",
                "give the URL under which the API's paths stand",
            ));
        }
        if let Some(audience) = &self.audience
            && (audience.is_empty() || audience.contains(char::is_control))
        {
            return Err(ConfigurationError::new(
                "audience",
                "is empty or has a control character",
                "use the audience of the environment, such as `dev-api`",
            ));
        }
        Ok(Environment {
            auth_version: self.auth_version,
            token_url,
            audience: self.audience,
            api_url,
        })
    }
}

impl fmt::Debug for EnvironmentBuilder {
    // The URLs are unchecked until `build`: they may hold userinfo.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnvironmentBuilder")
            .field("auth_version", &self.auth_version)
            .field("audience", &self.audience)
            .field("insecure_loopback", &self.insecure_loopback)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bloom_s_environments_are_as_documented() {
        use AuthVersion::{V1, V2};
        let rows = [
            (
                Environment::sandbox(V1),
                "https://auth.bloom.dev/oauth/token",
                "dev-api",
                "https://sandbox.bloom.dev/",
            ),
            (
                Environment::sandbox(V2),
                "https://authn.bloom.dev/oauth2/token",
                "dev-api",
                "https://sandbox.bloom.dev/",
            ),
            (
                Environment::production(V1),
                "https://auth.bloomcredit.io/oauth/token",
                "api.bloomcredit.io",
                "https://api.bloomcredit.io/",
            ),
            (
                Environment::production(V2),
                "https://authn.bloomcredit.io/oauth2/token",
                "api.bloomcredit.io",
                "https://api.bloomcredit.io/",
            ),
        ];
        for (environment, token_url, audience, api_url) in rows {
            assert_eq!(environment.token_url(), token_url);
            assert_eq!(environment.audience(), Some(audience));
            assert_eq!(environment.api_url(), api_url);
            assert_eq!(environment.to_builder().build().unwrap(), environment);
        }
    }

    #[test]
    fn what_was_allowed_by_name_stays_allowed_in_a_copy() {
        let url = "http://127.0.0.1:1/token";
        let builder = Environment::custom(url, "https://b.test").allow_insecure_loopback();
        let environment = builder.build().unwrap();
        assert!(environment.is_insecure_loopback());
        assert_eq!(environment.to_builder().build().unwrap(), environment);
        let sandbox = Environment::sandbox(AuthVersion::V1);
        assert!(!sandbox.is_insecure_loopback());
        assert!(sandbox.to_builder().token_url(url).build().is_err());
    }

    #[test]
    fn a_path_cannot_change_the_host() {
        for (api_url, path, url) in [
            ("https://b.test", "v2/x", "https://b.test/v2/x"),
            ("https://b.test/", "/v2/x", "https://b.test/v2/x"),
            ("https://b.test/api", "/v2/x", "https://b.test/api/v2/x"),
            (
                "https://b.test/api/",
                "v2/x?y=z",
                "https://b.test/api/v2/x?y=z",
            ),
            (
                "https://b.test",
                "//evil.test/x",
                "https://b.test/evil.test/x",
            ),
            ("https://b.test", "@evil.test", "https://b.test/@evil.test"),
            ("https://b.test/api", "../x", "https://b.test/api/../x"),
            ("https://b.test", "", "https://b.test/"),
        ] {
            let environment = Environment::custom("https://a.test/token", api_url);
            assert_eq!(environment.build().unwrap().url_of(path), url);
        }
    }

    #[test]
    fn an_impossible_audience_is_refused() {
        let custom = Environment::custom("https://a.test/token", "https://b.test");
        assert!(custom.clone().build().is_ok());
        assert!(custom.clone().audience("").build().is_err());
        assert!(custom.audience("a\r\nb").build().is_err());
    }

    #[test]
    fn debug_shows_no_userinfo_and_no_query() {
        let builder = Environment::custom("https://user:hunter2@a.test/", "https://b.test");
        assert!(!format!("{builder:?} {builder:#?}").contains("hunter2"));
        let builder = Environment::custom("https://a.test/token?code=hunter2", "https://b.test");
        let environment = builder.build().unwrap();
        let text = format!("{environment:?} {environment:#?}");
        assert!(
            text.contains("a.test") && !text.contains("hunter2"),
            "{text}"
        );
    }
}
