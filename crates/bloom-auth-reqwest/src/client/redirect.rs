//! Where an answer sends a request next (RFC 9110, section 15.4): decided here,
//! hop by hop, because HTTP clients that follow redirects themselves disagree
//! on when a token may come along.

use http::{HeaderMap, Method, StatusCode, header::LOCATION};
use reqwest::Url;

/// As many as browsers follow is more than an API needs.
pub(super) const MAX_HOPS: usize = 10;

/// The next request of a chain.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hop {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) keeps_body: bool,
}

/// The request that an answer leads to; `None` if it leads nowhere, or to where
/// nothing must go: another scheme, plain http after https.
pub(super) fn next(
    method: &Method,
    url: &Url,
    status: StatusCode,
    headers: &HeaderMap,
) -> Option<Hop> {
    let (method, keeps_body) = match status {
        // Old habit, and what the standard allows for POST alone.
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND if *method == Method::POST => {
            (Method::GET, false)
        }
        StatusCode::SEE_OTHER if *method == Method::HEAD => (Method::HEAD, false),
        StatusCode::SEE_OTHER => (Method::GET, false),
        StatusCode::MOVED_PERMANENTLY
        | StatusCode::FOUND
        | StatusCode::TEMPORARY_REDIRECT
        | StatusCode::PERMANENT_REDIRECT => (method.clone(), true),
        _ => return None,
    };
    let location = std::str::from_utf8(headers.get(LOCATION)?.as_bytes()).ok()?;
    let mut next = url.join(location).ok()?;
    // Credentials in a URL would become an `Authorization` header.
    next.set_username("").ok()?;
    next.set_password(None).ok()?;
    let is_secure_enough = match next.scheme() {
        "https" => true,
        "http" => url.scheme() == "http",
        _ => false,
    };
    is_secure_enough.then_some(Hop {
        method,
        url: next,
        keeps_body,
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn hop(method: &Method, from: &str, status: u16, to: &str) -> Option<Hop> {
        let headers = HeaderMap::from_iter([(LOCATION, HeaderValue::from_str(to).unwrap())]);
        let (from, status) = (Url::parse(from).unwrap(), StatusCode::from_u16(status));
        next(method, &from, status.unwrap(), &headers)
    }

    #[test]
    fn the_method_follows_from_the_status() {
        use Method as M;
        for (method, status, expected) in [
            (M::GET, 301, Some((M::GET, true))),
            (M::POST, 301, Some((M::GET, false))),
            (M::POST, 302, Some((M::GET, false))),
            (M::PUT, 302, Some((M::PUT, true))),
            (M::POST, 303, Some((M::GET, false))),
            (M::DELETE, 303, Some((M::GET, false))),
            (M::HEAD, 303, Some((M::HEAD, false))),
            (M::POST, 307, Some((M::POST, true))),
            (M::PATCH, 308, Some((M::PATCH, true))),
            (M::GET, 200, None),
            (M::GET, 300, None),
            (M::GET, 304, None),
            (M::GET, 401, None),
        ] {
            let hop = hop(&method, "https://a.test/x", status, "/y");
            let found = hop.map(|hop| (hop.method, hop.keeps_body));
            assert_eq!(found, expected, "{method} {status}");
        }
    }

    #[test]
    fn a11_nothing_goes_from_https_to_http_or_to_another_scheme() {
        for (from, to, expected) in [
            (
                "https://a.test/x/y",
                "z?q#f",
                Some("https://a.test/x/z?q#f"),
            ),
            ("https://a.test/x", "//b.test/", Some("https://b.test/")),
            (
                "https://a.test/x",
                "https://b.test",
                Some("https://b.test/"),
            ),
            (
                "https://a.test/x",
                "https://u:p@b.test",
                Some("https://b.test/"),
            ),
            ("https://a.test/x", "http://a.test/", None),
            ("http://a.test/x", "http://b.test/", Some("http://b.test/")),
            (
                "http://a.test/x",
                "https://b.test/",
                Some("https://b.test/"),
            ),
            ("https://a.test/x", "ftp://a.test/", None),
            ("https://a.test/x", "file:///etc/passwd", None),
            ("https://a.test/x", "data:,x", None),
            ("https://a.test/x", "https://", None),
            ("https://a.test/x", "", Some("https://a.test/x")),
        ] {
            let found = hop(&Method::GET, from, 302, to).map(|hop| hop.url.to_string());
            assert_eq!(found.as_deref(), expected, "{from} {to}");
        }
        let url = Url::parse("https://a.test/").unwrap();
        let nowhere = next(&Method::GET, &url, StatusCode::FOUND, &HeaderMap::new());
        assert_eq!(nowhere, None);
    }
}
