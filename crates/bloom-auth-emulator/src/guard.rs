//! Who may talk to the emulator: programs on this machine, not web pages.

use http::{
    HeaderMap, StatusCode, Uri,
    header::{HOST, ORIGIN},
};

/// The names the emulator goes by.
#[derive(Debug)]
pub(crate) struct Guard {
    authorities: Vec<String>,
}

/// Why a request is turned away before it is routed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unwelcome {
    /// No `Host`, or more than one.
    NoHost,
    /// A `Host` that is not this emulator: DNS rebinding, or a mistake.
    ForeignHost,
    /// An `Origin` of whatever value: a browser sent this.
    Browser,
}

impl Guard {
    pub(crate) fn new(port: u16, https: bool) -> Self {
        let default_port = if https { 443 } else { 80 };
        let mut authorities = Vec::new();
        for host in ["127.0.0.1", "localhost", "[::1]"] {
            authorities.push(format!("{host}:{port}"));
            if port == default_port {
                authorities.push(host.to_owned());
            }
        }
        Self { authorities }
    }

    pub(crate) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Unwelcome> {
        let mut hosts = headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return Err(Unwelcome::NoHost);
        };
        // An absolute target takes precedence over `Host` (RFC 9112, section
        // 3.2.2), so both must be right.
        let target = uri.authority().map(|authority| authority.as_str());
        if !self.is_own(host.to_str().unwrap_or_default())
            || !target.is_none_or(|target| self.is_own(target))
        {
            return Err(Unwelcome::ForeignHost);
        }
        if headers.contains_key(ORIGIN) {
            return Err(Unwelcome::Browser);
        }
        Ok(())
    }

    fn is_own(&self, authority: &str) -> bool {
        self.authorities
            .iter()
            .any(|own| own.eq_ignore_ascii_case(authority))
    }
}

impl Unwelcome {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::NoHost => StatusCode::BAD_REQUEST,
            Self::ForeignHost | Self::Browser => StatusCode::FORBIDDEN,
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::NoHost => "A request has exactly one Host header.",
            Self::ForeignHost => "The Host is not this emulator.",
            Self::Browser => "The emulator does not talk to browsers.",
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn check(guard: &Guard, uri: &str, headers: &[(&'static str, &str)]) -> Option<Unwelcome> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        guard.check(&uri.parse().unwrap(), &map).err()
    }

    #[test]
    fn s7_hosts() {
        use Unwelcome::{ForeignHost, NoHost};
        let guard = Guard::new(4000, true);
        for (host, expected) in [
            ("127.0.0.1:4000", None),
            ("localhost:4000", None),
            ("LocalHost:4000", None),
            ("[::1]:4000", None),
            ("", Some(ForeignHost)),
            ("127.0.0.1", Some(ForeignHost)),
            ("localhost", Some(ForeignHost)),
            ("localhost:4001", Some(ForeignHost)),
            ("localhost:04000", Some(ForeignHost)),
            ("localhost:4000.", Some(ForeignHost)),
            ("localhost.:4000", Some(ForeignHost)),
            ("user@localhost:4000", Some(ForeignHost)),
            ("localhost:4000@evil.example", Some(ForeignHost)),
            ("evil.example", Some(ForeignHost)),
            ("evil.example:4000", Some(ForeignHost)),
            ("localhost.evil.example:4000", Some(ForeignHost)),
            ("127.0.0.1.nip.io:4000", Some(ForeignHost)),
            ("127.0.0.2:4000", Some(ForeignHost)),
            ("0.0.0.0:4000", Some(ForeignHost)),
            ("2130706433:4000", Some(ForeignHost)),
            ("::1:4000", Some(ForeignHost)),
            ("localhost:4000, evil.example", Some(ForeignHost)),
            ("löcalhost:4000", Some(ForeignHost)),
        ] {
            assert_eq!(check(&guard, "/", &[("host", host)]), expected, "{host}");
        }
        let own = ("host", "localhost:4000");
        assert_eq!(check(&guard, "/", &[]), Some(NoHost));
        assert_eq!(check(&guard, "/", &[own, own]), Some(NoHost));
    }

    #[test]
    fn s7_an_absolute_target_must_be_right_too() {
        let guard = Guard::new(4000, false);
        let own = [("host", "localhost:4000")];
        for (target, expected) in [
            ("/oauth/token", None),
            ("http://localhost:4000/oauth/token", None),
            (
                "http://evil.example/oauth/token",
                Some(Unwelcome::ForeignHost),
            ),
            ("http://localhost/oauth/token", Some(Unwelcome::ForeignHost)),
        ] {
            assert_eq!(check(&guard, target, &own), expected, "{target}");
        }
        let foreign = [("host", "evil.example")];
        let target = "http://localhost:4000/";
        assert_eq!(
            check(&guard, target, &foreign),
            Some(Unwelcome::ForeignHost)
        );
    }

    #[test]
    fn s7_a_default_port_may_be_left_out() {
        for (port, https, bare) in [
            (443, true, true),
            (80, false, true),
            (80, true, false),
            (443, false, false),
        ] {
            let guard = Guard::new(port, https);
            let fault = check(&guard, "/", &[("host", "localhost")]);
            assert_eq!(fault.is_none(), bare, "{port} {https}");
        }
    }

    #[test]
    fn s8_any_origin_is_a_browser() {
        let guard = Guard::new(4000, true);
        let own = ("host", "localhost:4000");
        for origin in ["https://evil.example", "null", "https://localhost:4000", ""] {
            let fault = check(&guard, "/", &[own, ("origin", origin)]);
            assert_eq!(fault, Some(Unwelcome::Browser), "{origin}");
        }
        let fault = check(&guard, "/", &[("host", "evil.example"), ("origin", "null")]);
        assert_eq!(
            fault,
            Some(Unwelcome::ForeignHost),
            "the host is looked at first"
        );
    }
}
