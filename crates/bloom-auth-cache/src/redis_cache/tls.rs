//! TLS to the server, with cryptography that is named here: neither what a
//! program has installed for itself nor that it has installed nothing matters.

use std::sync::Arc;

use bloom_auth_core::ConfigurationError;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::{CryptoProvider, aws_lc_rs},
};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use rustls_platform_verifier::Verifier;

/// Whom to trust.
#[derive(Clone, Debug, Default)]
pub(super) enum Roots {
    /// Whom the platform trusts.
    #[default]
    Platform,
    /// These alone.
    Given(Arc<RootCertStore>),
}

impl Roots {
    pub(super) fn read(pem: &[u8]) -> Result<Self, ConfigurationError> {
        let bad = |problem: String| {
            let fix = "give certificates in PEM (`-----BEGIN CERTIFICATE-----`)";
            ConfigurationError::new("root certificate", problem, fix)
        };
        let mut roots = RootCertStore::empty();
        for (index, certificate) in CertificateDer::pem_slice_iter(pem).enumerate() {
            let number = index + 1;
            let certificate =
                certificate.map_err(|_| bad(format!("number {number} is not whole")))?;
            let added = roots.add(certificate);
            added.map_err(|_| bad(format!("number {number} cannot be trusted as a root")))?;
        }
        if roots.is_empty() {
            return Err(bad("is not there: no certificate was found".to_owned()));
        }
        Ok(Self::Given(Arc::new(roots)))
    }

    /// Reads the platform's certificates, so it may block for a moment.
    pub(super) fn config(&self) -> Result<ClientConfig, rustls::Error> {
        let provider: Arc<CryptoProvider> = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        Ok(match self {
            Self::Platform => config
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Verifier::new(provider)?))
                .with_no_client_auth(),
            Self::Given(roots) => config
                .with_root_certificates(Arc::clone(roots))
                .with_no_client_auth(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_refused() {
        for (pem, problem) in [
            ("", "no certificate"),
            ("canary", "no certificate"),
            (
                "-----BEGIN CERTIFICATE-----\nY2FuYXJ5\n-----END CERTIFICATE-----\n",
                "number 1 cannot",
            ),
            (
                "-----BEGIN CERTIFICATE-----\nY2FuYXJ5\n",
                "number 1 is not whole",
            ),
        ] {
            let error = Roots::read(pem.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(problem), "{pem}: {error}");
            assert!(!error.contains("canary"), "{error}");
        }
    }
}
