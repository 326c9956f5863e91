//! A build without TLS: there is nothing to trust and nobody to be.

use bloom_auth_core::ConfigurationError;
use reqwest::ClientBuilder;

use super::HOW_TO_BUILD_IT_IN;

#[derive(Clone, Default)]
pub(crate) struct Tls {}

impl Tls {
    #[expect(clippy::unused_self, reason = "the same shape as with TLS")]
    pub(crate) fn trust(&mut self, _pem: &[u8]) -> Result<(), ConfigurationError> {
        Err(of_no_use("root certificate"))
    }

    #[expect(clippy::unused_self, reason = "the same shape as with TLS")]
    pub(crate) fn present(&mut self, _pem: &[u8]) -> Result<(), ConfigurationError> {
        Err(of_no_use("client certificate"))
    }

    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "the same shape as with TLS"
    )]
    pub(crate) fn check(&self) -> Result<(), ConfigurationError> {
        Ok(())
    }

    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "the same shape as with TLS"
    )]
    pub(crate) fn apply(&self, builder: ClientBuilder) -> reqwest::Result<ClientBuilder> {
        Ok(builder)
    }
}

fn of_no_use(setting: &'static str) -> ConfigurationError {
    let problem = "is of no use: this build has no TLS";
    ConfigurationError::new(setting, problem, HOW_TO_BUILD_IT_IN)
}
