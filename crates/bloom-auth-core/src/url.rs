//! The rules for URLs that a secret or a token may be sent to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::{Uri, uri::Scheme};

use crate::error::ConfigurationError;

/// Reads an absolute https URL; plain http to loopback only where allowed.
pub(crate) fn parse(
    setting: &'static str,
    text: &str,
    insecure_loopback: bool,
) -> Result<Uri, ConfigurationError> {
    let error = |problem: &'static str, fix: &'static str| {
        Err(ConfigurationError::new(setting, problem, fix))
    };
    if text.contains('#') {
        // `http::Uri` would drop it in silence.
        return error("has a fragment", "remove the part from `#` on");
    }
    let Ok(uri) = text.parse::<Uri>() else {
        return error("is not a URL", "use a form like `https://host/path`");
    };
    let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
        return error("is not absolute", "use a form like `https://host/path`");
    };
    if authority.as_str().contains('@') {
        return error(
            "has userinfo (`user:password@`)",
            "remove it: credentials never go into URLs",
        );
    }
    if authority.host().is_empty() {
        return error("has no host", "use a form like `https://host/path`");
    }
    if !is_canonical(authority.host()) {
        return error(
            "has an IP address in an unusual form",
            "write it as `1.2.3.4` or `[2001:db8::1]`, so that all software agrees on it",
        );
    }
    if authority.as_str().len() > authority.host().len() && authority.port_u16().is_none() {
        return error("has a port that is none", "use a port from 0 to 65535");
    }
    if *scheme == Scheme::HTTPS {
        return Ok(uri);
    }
    if *scheme != Scheme::HTTP {
        return error("has a scheme other than https", "use https");
    }
    match (is_loopback(&uri), insecure_loopback) {
        (true, true) => Ok(uri),
        (true, false) => error(
            "is plain http",
            "use https, or allow insecure loopback by name for local tests",
        ),
        (false, _) => error(
            "is plain http to a host that is not this machine",
            "use https: secrets and tokens never travel in the clear",
        ),
    }
}

/// Whether a host that is an IP address is written in the one form that other
/// software gives it, or is a name. A host that ends in a number is an address
/// to browsers and what follows them.
fn is_canonical(host: &str) -> bool {
    if let Some(v6) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        let address: Result<Ipv6Addr, _> = v6.parse();
        // Not even standards agree on how an IPv4 address is written in it.
        return address.is_ok_and(|address| {
            address.to_ipv4_mapped().is_none() && address.to_string().eq_ignore_ascii_case(v6)
        });
    }
    let last = host.trim_end_matches('.').rsplit('.').next();
    let is_number = last.is_some_and(|last| {
        let digits = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
        let is_hexadecimal = digits.is_some_and(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        is_hexadecimal || last.bytes().all(|byte| byte.is_ascii_digit())
    });
    !is_number || host.parse::<Ipv4Addr>().is_ok()
}

/// Whether the URL's host is this machine: 127.0.0.0/8, `[::1]` or
/// `localhost`.
///
/// # Example
///
/// ```
/// use bloom_auth_core::is_loopback;
///
/// assert!(is_loopback(&"http://127.0.0.1:8080/oauth/token".parse()?));
/// assert!(!is_loopback(&"http://127.0.0.1.evil.test/".parse()?));
/// # Ok::<(), http::uri::InvalidUri>(())
/// ```
#[must_use]
pub fn is_loopback(uri: &Uri) -> bool {
    let Some(host) = uri.host() else { return false };
    if host.eq_ignore_ascii_case("localhost") {
        return true;
    }
    if let Some(v6) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        return v6.parse() == Ok(Ipv6Addr::LOCALHOST);
    }
    matches!(host.parse(), Ok(IpAddr::V4(v4)) if v4.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k1_k2_urls_that_would_leak_are_refused() {
        let rows = [
            ("http://auth.bloom.dev/oauth/token", "not this machine"),
            ("http://127.0.0.1.evil.test/", "not this machine"),
            ("http://10.0.0.1/", "not this machine"),
            ("http://[::2]/", "not this machine"),
            ("https://user:pw@host/", "userinfo"),
            ("https://user@host/", "userinfo"),
            ("https://host/#part", "fragment"),
            ("https://host/path#", "fragment"),
            ("https:///path", "not"),
            ("https://", "not"),
            ("https://host:99999/", "port"),
            ("https://host:/", "port"),
            ("/oauth/token", "not absolute"),
            ("auth.bloom.dev", "not absolute"),
            ("ftp://host/", "scheme"),
            ("", "not a URL"),
            ("https://ho st/", "not a URL"),
            ("https://host/\n", "not a URL"),
            ("https://bl\u{f6}\u{f6}m.dev/", "not a URL"),
            // Not the same to all who read it.
            ("https://[0:0:0:0:0:0:0:1]/", "unusual form"),
            ("https://[::ffff:127.0.0.1]/x", "unusual form"),
            ("https://127.1/", "unusual form"),
            ("https://0x7f.1/", "unusual form"),
            ("https://2130706433/", "unusual form"),
            ("https://127.0.0.01/", "unusual form"),
            ("https://1.2.3.4.5/", "unusual form"),
            ("https://a.0xff/", "unusual form"),
            ("https://1.2.3.4./", "unusual form"),
        ];
        for (text, problem) in rows {
            let error = parse("token URL", text, true).unwrap_err().to_string();
            assert!(error.starts_with("token URL "), "{error}");
            assert!(error.contains(problem), "{text}: {error}");
            assert!(!error.contains("pw"), "{error}");
        }
    }

    #[test]
    fn plain_http_goes_to_loopback_only_when_allowed() {
        for text in [
            "http://127.0.0.1:1234/oauth/token",
            "http://127.9.9.9/",
            "http://[::1]:80/",
            "http://localhost:8080",
            "http://LOCALHOST",
        ] {
            assert!(parse("token URL", text, true).is_ok(), "{text}");
            assert!(parse("token URL", text, false).is_err(), "{text}");
        }
        for text in [
            "https://host:8443/a?b=c",
            "https://1.2.3.4/",
            "https://[2001:db8::1]:8443/",
            "https://[2001:DB8::1]/",
            "https://4.example/",
            "https://host4/",
            "https://0x.example./",
        ] {
            assert!(parse("token URL", text, false).is_ok(), "{text}");
        }
    }
}
