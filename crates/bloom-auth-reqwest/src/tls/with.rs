//! A build with TLS.

use bloom_auth_core::ConfigurationError;
use reqwest::{Certificate, ClientBuilder};

use super::{client_certificate::ClientCertificate, roots};

/// The library, the roots to trust instead of the platform's (none = the
/// platform's), and the certificate to show to servers that ask for one.
#[derive(Clone, Default)]
pub(crate) struct Tls {
    library: Library,
    roots: Vec<Certificate>,
    client_certificate: Option<ClientCertificate>,
}

/// Who does TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Library {
    #[cfg(feature = "rustls")]
    #[default]
    Rustls,
    /// The platform's own.
    #[cfg(feature = "native-tls")]
    #[cfg_attr(not(feature = "rustls"), default)]
    Native,
}

impl Tls {
    #[cfg(feature = "native-tls")]
    pub(crate) fn use_native(&mut self) {
        self.library = Library::Native;
    }

    /// Adds one or more root certificates in PEM.
    pub(crate) fn trust(&mut self, pem: &[u8]) -> Result<(), ConfigurationError> {
        self.roots.extend(roots::read(pem, self.library)?);
        Ok(())
    }

    /// Sets the client certificate: its chain and its private key, in PEM.
    pub(crate) fn present(&mut self, pem: &[u8]) -> Result<(), ConfigurationError> {
        self.client_certificate = Some(ClientCertificate::read(pem, self.library)?);
        Ok(())
    }

    /// The library may have been chosen after the certificate was given.
    pub(crate) fn check(&self) -> Result<(), ConfigurationError> {
        match &self.client_certificate {
            Some(certificate) => certificate.check(self.library),
            None => Ok(()),
        }
    }

    pub(crate) fn apply(&self, builder: ClientBuilder) -> reqwest::Result<ClientBuilder> {
        // Whatever TLS library the rest of the program makes the default.
        let mut builder = match self.library {
            #[cfg(feature = "rustls")]
            Library::Rustls => builder.tls_backend_rustls(),
            #[cfg(feature = "native-tls")]
            Library::Native => builder.tls_backend_native(),
        };
        if !self.roots.is_empty() {
            builder = builder.tls_certs_only(self.roots.iter().cloned());
        }
        if let Some(certificate) = &self.client_certificate {
            builder = builder.identity(certificate.identity(self.library)?);
        }
        Ok(builder)
    }
}
