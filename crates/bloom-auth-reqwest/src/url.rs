//! What core asks of a URL, for reqwest's kind of it.

use std::net::Ipv4Addr;

use bloom_auth_core::Origin;
use reqwest::Url;

/// Scheme, host and port; `None` for a URL that has userinfo or no host.
pub(crate) fn origin_of(url: &Url) -> Option<Origin<'_>> {
    let has_userinfo = !url.username().is_empty() || url.password().is_some();
    let host = url.host_str().filter(|_| !has_userinfo)?;
    Origin::new(url.scheme(), host, url.port())
}

/// Whether these are one URL to a server, which is not sent what follows a `#`.
pub(crate) fn is_same(a: &str, b: &str) -> bool {
    a.split('#').next() == b.split('#').next()
}

/// Whether the host is this machine: as core's function of this name, for
/// reqwest's kind of URL.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost" | "[::1]") => true,
        Some(host) => host.parse().is_ok_and(|ip: Ipv4Addr| ip.is_loopback()),
        None => false,
    }
}
