//! The settings of an [`AuthorizedClient`].

use std::fmt;

use bloom_auth_core::{Bearer, ConfigurationError, TokenProvider};
use reqwest::{Client, ClientBuilder, Url};

use super::{AuthorizedClient, error::RequestError};

/// Where the HTTP client comes from.
pub(super) enum Source {
    Own(Client),
    Brought(Client),
}

impl Default for Source {
    fn default() -> Self {
        Self::Own(Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("x"))
    }
}

impl Source {
    pub(super) fn client(&self, _url: &Url) -> Result<&Client, RequestError> {
        match self {
            Self::Own(client) | Self::Brought(client) => Ok(client),
        }
    }
}

/// Builds an [`AuthorizedClient`].
#[must_use]
pub struct AuthorizedClientBuilder {
    bearer: Bearer,
}
impl AuthorizedClientBuilder {
    pub(super) fn new(provider: TokenProvider) -> Self {
        Self { bearer: Bearer::new(provider) }
    }
}
