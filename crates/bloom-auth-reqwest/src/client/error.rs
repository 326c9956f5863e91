//! [`RequestError`]: why a request to the API has no answer.

use bloom_auth_core::{ConfigurationError, Error, Recovery};

use super::redirect::MAX_HOPS;

/// Why a request of an [`AuthorizedClient`](super::AuthorizedClient) has no
/// answer. An answer of any status is not an error.
///
/// Its text and its sources hold no token, no URL and no body.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// There is no access token, and nothing was sent.
    #[error("no access token for the request")]
    Token(#[from] Error),
    /// The request was not sent: its URL is none that the token may go to, or
    /// the HTTP client cannot be built.
    #[error("the request cannot be sent")]
    Configuration(#[from] ConfigurationError),
    /// The HTTP client failed: no connection, no answer in time, a body that
    /// cannot be written as JSON.
    #[error("the request to the API failed")]
    Http(#[source] reqwest::Error),
    /// The API redirected without end.
    #[error("the API redirected the request more than {MAX_HOPS} times")]
    TooManyRedirects,
}

impl RequestError {
    /// What makes it work again.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Token(error) => error.recovery(),
            Self::Configuration(_) => Recovery::FixConfiguration,
            Self::Http(error) if error.is_builder() => Recovery::FixProgram,
            Self::Http(_) => Recovery::Retry {
                after: std::time::Duration::ZERO,
            },
            Self::TooManyRedirects => Recovery::FixRequest,
        }
    }

    /// Whether a time limit passed, be it that of the request or that of the
    /// token.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::Token(error) => error.kind() == bloom_auth_core::ErrorKind::Timeout,
            Self::Http(error) => error.is_timeout(),
            Self::Configuration(_) | Self::TooManyRedirects => false,
        }
    }
}

impl From<reqwest::Error> for RequestError {
    fn from(error: reqwest::Error) -> Self {
        // A query may hold what is nobody's business.
        Self::Http(error.without_url())
    }
}
