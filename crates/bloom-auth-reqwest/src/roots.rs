//! Root certificates of one's own, checked when they are given.

pub(crate) use imp::Roots;

#[cfg(feature = "rustls")]
mod imp {
    use bloom_auth_core::ConfigurationError;
    use reqwest::{Certificate, ClientBuilder};
    use rustls::{
        RootCertStore,
        pki_types::{CertificateDer, pem::PemObject as _},
    };

    /// The roots to trust instead of the platform's; none = the platform's.
    #[derive(Clone, Default)]
    pub(crate) struct Roots(Vec<Certificate>);

    impl Roots {
        /// Adds one or more certificates in PEM, after checking that they can
        /// be roots.
        pub(crate) fn add(&mut self, pem: &[u8]) -> Result<(), ConfigurationError> {
            let error = |problem: String| {
                ConfigurationError::new(
                    "root certificate",
                    problem,
                    "give certificates in PEM (`-----BEGIN CERTIFICATE-----`)",
                )
            };
            let before = self.0.len();
            for (index, certificate) in CertificateDer::pem_slice_iter(pem).enumerate() {
                let number = index + 1;
                let certificate =
                    certificate.map_err(|_| error(format!("number {number} is not whole")))?;
                RootCertStore::empty()
                    .add(certificate.clone())
                    .map_err(|_| error(format!("number {number} cannot be trusted as a root")))?;
                let root = Certificate::from_der(&certificate)
                    .map_err(|_| error(format!("number {number} cannot be read")))?;
                self.0.push(root);
            }
            if self.0.len() == before {
                return Err(error("is not there: no certificate was found".to_owned()));
            }
            Ok(())
        }

        pub(crate) fn apply(&self, builder: ClientBuilder) -> ClientBuilder {
            // Whatever TLS library the rest of the program makes the default.
            let builder = builder.tls_backend_rustls();
            if self.0.is_empty() {
                return builder;
            }
            builder.tls_certs_only(self.0.iter().cloned())
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn what_is_no_certificate_is_refused() {
            for (pem, problem) in [
                ("", "no certificate was found"),
                ("hello", "no certificate was found"),
                (
                    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                    "cannot be trusted",
                ),
                ("-----BEGIN CERTIFICATE-----\nAAAA\n", "is not whole"),
                (
                    "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
                    "no certificate was found",
                ),
            ] {
                let error = Roots::default().add(pem.as_bytes()).unwrap_err();
                assert!(error.to_string().contains(problem), "{pem:?}: {error}");
            }
        }
    }
}

#[cfg(not(feature = "rustls"))]
mod imp {
    use bloom_auth_core::ConfigurationError;
    use reqwest::ClientBuilder;

    /// Without TLS there is nothing to trust.
    #[derive(Clone, Default)]
    pub(crate) struct Roots {}

    impl Roots {
        #[expect(clippy::unused_self, reason = "the same shape as with TLS")]
        pub(crate) fn add(&mut self, _pem: &[u8]) -> Result<(), ConfigurationError> {
            Err(ConfigurationError::new(
                "root certificate",
                "is of no use: this build has no TLS",
                "build with the feature `rustls`",
            ))
        }

        #[expect(clippy::unused_self, reason = "the same shape as with TLS")]
        pub(crate) fn apply(&self, builder: ClientBuilder) -> ClientBuilder {
            builder
        }
    }
}
