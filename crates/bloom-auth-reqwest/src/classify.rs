//! Says which kind of transport fault a reqwest error is.

use std::error::Error as StdError;

use bloom_auth_core::{TransportError, TransportErrorKind};

/// The error without its URL, under its kind.
pub(crate) fn classify(error: reqwest::Error) -> TransportError {
    let kind = if Causes(Some(&error)).any(is_of_proxy) {
        TransportErrorKind::Proxy
    } else if is_tls(&error) {
        TransportErrorKind::Tls
    } else if error.is_connect() {
        TransportErrorKind::Connect
    } else if error.is_timeout() {
        TransportErrorKind::Timeout
    } else if error.is_builder() {
        TransportErrorKind::Configuration
    } else {
        TransportErrorKind::Interrupted
    };
    TransportError::new(kind, error.without_url())
}

/// Whether a proxy answered something else than that the way is open. The type
/// has no public name, but a test for each of these texts. The others are a
/// proxy that cannot be reached, or breaks off: that may pass.
fn is_of_proxy(error: &(dyn StdError + 'static)) -> bool {
    const REFUSALS: [&str; 3] = [
        "tunnel error: proxy authorization required",
        "tunnel error: proxy response headers too long",
        "tunnel error: unsuccessful",
    ];
    REFUSALS.contains(&error.to_string().as_str())
}

/// Whether a TLS library refused the other side, or was refused by it. A
/// connection that broke during the handshake is not meant: that may pass.
fn is_tls(error: &reqwest::Error) -> bool {
    Causes(Some(error)).any(is_of_rustls) || is_of_native_tls(Causes(Some(error)))
}

#[cfg(feature = "rustls")]
fn is_of_rustls(error: &(dyn StdError + 'static)) -> bool {
    error.is::<rustls::Error>()
}

#[cfg(not(feature = "rustls"))]
fn is_of_rustls(_: &(dyn StdError + 'static)) -> bool {
    false
}

/// Here a broken connection is an error of the TLS library too, with an I/O
/// error below it or with words of OpenSSL's; and a refusal by the server that
/// comes after the handshake (as in TLS 1.3 that of a client certificate) is an
/// I/O error with such words.
#[cfg(feature = "native-tls")]
fn is_of_native_tls(causes: Causes<'_>) -> bool {
    const BROKEN_OFF: [&str; 3] = [
        "unexpected EOF",
        "unexpected eof",
        "the SSL session has been shut down",
    ];
    let mut is_of_library = false;
    for cause in causes {
        let text = cause.to_string();
        if BROKEN_OFF.iter().any(|words| text.contains(words)) {
            return false;
        }
        if text.contains("SSL alert number") {
            return true;
        }
        if is_of_library && cause.is::<std::io::Error>() {
            return false;
        }
        is_of_library |= cause.is::<native_tls::Error>();
    }
    is_of_library
}

#[cfg(not(feature = "native-tls"))]
fn is_of_native_tls(_: Causes<'_>) -> bool {
    false
}

/// An error and its sources.
struct Causes<'a>(Option<&'a (dyn StdError + 'static)>);

impl<'a> Iterator for Causes<'a> {
    type Item = &'a (dyn StdError + 'static);

    fn next(&mut self) -> Option<Self::Item> {
        let error = self.0?;
        // `io::Error` leaves what it wraps out of its sources, and hyper-rustls
        // wraps one in another.
        let wrapped = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        self.0 = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
        Some(error)
    }
}
