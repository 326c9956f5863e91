//! A build with TLS.

use bloom_auth_core::ConfigurationError;
use reqwest::{Certificate, ClientBuilder};

use super::roots;

/// The library, and the roots to trust instead of the platform's (none = the
/// platform's).
#[derive(Clone, Default)]
pub(crate) struct Tls {
    library: Library,
    roots: Vec<Certificate>,
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
        Ok(builder)
    }
}
