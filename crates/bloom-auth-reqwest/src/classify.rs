//! Says which kind of transport fault a reqwest error is.

use bloom_auth_core::{TransportError, TransportErrorKind};

/// The error without its URL, under its kind.
pub(crate) fn classify(error: reqwest::Error) -> TransportError {
    let kind = if is_tls(&error) {
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

/// Whether a TLS library refused the other side. A connection that broke
/// during the handshake is not meant: that may pass.
#[cfg(feature = "rustls")]
fn is_tls(error: &reqwest::Error) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if error.is::<rustls::Error>() {
            return true;
        }
        // `io::Error` leaves what it wraps out of its sources, and hyper-rustls
        // wraps one in another.
        let wrapped = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    false
}

#[cfg(not(feature = "rustls"))]
fn is_tls(_: &reqwest::Error) -> bool {
    false
}
