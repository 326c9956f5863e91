//! [`Origin`]: to whom a request goes, as far as a token is concerned.

use std::{borrow::Cow, fmt};

use http::Uri;

use crate::{error::ConfigurationError, url};

/// The scheme, host and port of a URL (RFC 6454): who gets what is sent there.
///
/// Hosts compare without regard to case, and a port that is not written is the
/// scheme's own. Only http and https have one, and no URL with userinfo has.
///
/// # Example
///
/// ```
/// use bloom_auth_core::Origin;
///
/// let origin = |url: &'static str| Origin::of(&url.parse().unwrap()).map(Origin::into_owned);
/// assert_eq!(origin("https://api.test/a"), origin("HTTPS://API.test:443/b?c"));
/// assert_ne!(origin("https://api.test/"), origin("https://api.test:8443/"));
/// assert_ne!(origin("https://api.test/"), origin("http://api.test/"));
/// assert_eq!(origin("/a"), None);
/// ```
#[derive(Clone)]
pub struct Origin<'a> {
    is_https: bool,
    host: Cow<'a, str>,
    port: u16,
}

impl<'a> Origin<'a> {
    /// The origin of a URL; `None` if it is relative or has none.
    #[must_use]
    pub fn of(uri: &'a Uri) -> Option<Self> {
        let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
        let (host, port) = (authority.host(), authority.port_u16());
        // Beyond the host there is a port, or something that is not understood
        // here: userinfo, a port that is no number.
        let written = port.map_or(0, |_| authority.port().map_or(0, |p| p.as_str().len() + 1));
        if authority.as_str().len() != host.len() + written {
            return None;
        }
        Self::new(scheme, host, port)
    }

    /// An origin from its parts, without copying them; `None` for a scheme
    /// other than http and https, and for an empty host. An IPv6 address is
    /// written in brackets.
    #[must_use]
    pub fn new(scheme: &str, host: &'a str, port: Option<u16>) -> Option<Self> {
        let is_https = scheme.eq_ignore_ascii_case("https");
        if !is_https && !scheme.eq_ignore_ascii_case("http") || host.is_empty() {
            return None;
        }
        let port = port.unwrap_or(if is_https { 443 } else { 80 });
        let host = Cow::Borrowed(host);
        Some(Self {
            is_https,
            host,
            port,
        })
    }

    /// The same, borrowing from nobody.
    #[must_use]
    pub fn into_owned(self) -> Origin<'static> {
        Origin {
            is_https: self.is_https,
            host: Cow::Owned(self.host.into_owned()),
            port: self.port,
        }
    }

    /// Reads an origin that a token may be sent to: https, or http to loopback
    /// where that is allowed, and nothing behind the port.
    pub(crate) fn parse(
        text: &str,
        insecure_loopback: bool,
    ) -> Result<Origin<'static>, ConfigurationError> {
        const SETTING: &str = "allowed origin";
        let uri = url::parse(SETTING, text, insecure_loopback)?;
        if uri.path() != "/" || uri.query().is_some() {
            return Err(ConfigurationError::new(
                SETTING,
                "has a path or a query",
                "use a form like `https://host` or `https://host:port`",
            ));
        }
        Origin::of(&uri).map(Origin::into_owned).ok_or_else(|| {
            ConfigurationError::new(
                SETTING,
                "is not an origin",
                "use a form like `https://host`",
            )
        })
    }
}

impl PartialEq<Origin<'_>> for Origin<'_> {
    fn eq(&self, other: &Origin<'_>) -> bool {
        self.is_https == other.is_https
            && self.port == other.port
            && self.host.eq_ignore_ascii_case(&other.host)
    }
}

impl Eq for Origin<'_> {}

impl fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Option<String> {
        let uri: Uri = text.parse().ok()?;
        Some(Origin::of(&uri)?.to_string())
    }

    #[test]
    fn a15_only_a_whole_url_has_an_origin() {
        let rows = [
            ("https://a.test", Some("https://a.test:443")),
            ("https://a.test/x?y", Some("https://a.test:443")),
            ("http://a.test/", Some("http://a.test:80")),
            ("http://a.test:8080/", Some("http://a.test:8080")),
            ("https://[::1]:99/", Some("https://[::1]:99")),
            ("https://[::1]/", Some("https://[::1]:443")),
            ("https://user@a.test/", None),
            ("https://user:443@a.test:443/", None),
            ("https://a.test:99999/", None),
            ("https://a.test:/", None),
            ("https://a.test:0x1bb/", None),
            ("ftp://a.test/", None),
            ("/path", None),
            ("a.test:443", None),
            ("*", None),
        ];
        for (text, expected) in rows {
            assert_eq!(origin(text).as_deref(), expected, "{text}");
        }
        let shown = format!("{:?}", Origin::new("https", "a.test", None).unwrap());
        assert_eq!(shown, "Origin(https://a.test:443)");
    }

    #[test]
    fn a15_origins_differ_in_every_part() {
        let all = [
            "https://a.test",
            "http://a.test",
            "https://a.test:80",
            "http://a.test:443",
            "https://b.a.test",
            "https://a.test.",
            "https://a.tes",
        ];
        for (i, a) in all.iter().enumerate() {
            for (j, b) in all.iter().enumerate() {
                let (a, b): (Uri, Uri) = (a.parse().unwrap(), b.parse().unwrap());
                assert_eq!(Origin::of(&a) == Origin::of(&b), i == j, "{a} {b}");
            }
        }
        let (a, b) = (
            "https://A.test".parse().unwrap(),
            "https://a.TEST:443/".parse().unwrap(),
        );
        assert!(Origin::of(&a) == Origin::of(&b));
    }

    #[test]
    fn a12_plain_http_can_be_allowed_for_loopback_only() {
        for (text, insecure_loopback, is_allowed) in [
            ("https://a.test", false, true),
            ("https://a.test:8443/", false, true),
            ("https://a.test/path", false, false),
            ("https://a.test/?q", false, false),
            ("https://user@a.test", false, false),
            ("http://a.test", true, false),
            ("http://127.0.0.1:8080", true, true),
            ("http://127.0.0.1:8080", false, false),
            ("a.test", false, false),
        ] {
            let parsed = Origin::parse(text, insecure_loopback);
            assert_eq!(parsed.is_ok(), is_allowed, "{text}: {parsed:?}");
        }
    }
}
