//! The certificate that a client shows to servers, and its private key.

use std::sync::Arc;

use bloom_auth_core::ConfigurationError;
use reqwest::Identity;
use rustls_pki_types::pem::{PemObject as _, SectionKind};
use zeroize::Zeroizing;

use super::with::Library;

#[cfg(feature = "native-tls")]
const PKCS8: &[u8] = b"-----BEGIN PRIVATE KEY-----";

/// A chain of certificates and one private key, in PEM.
#[derive(Clone)]
pub(super) struct ClientCertificate {
    pem: Arc<Zeroizing<Vec<u8>>>,
    /// The library that took it.
    checked_for: Library,
}

impl ClientCertificate {
    pub(super) fn read(pem: &[u8], library: Library) -> Result<Self, ConfigurationError> {
        check_sections(pem)?;
        check_for(pem, library)?;
        Ok(Self {
            pem: Arc::new(Zeroizing::new(pem.to_vec())),
            checked_for: library,
        })
    }

    pub(super) fn check(&self, library: Library) -> Result<(), ConfigurationError> {
        if self.checked_for == library {
            return Ok(());
        }
        check_for(&self.pem, library)
    }

    /// What reqwest copies from it is reqwest's to forget.
    pub(super) fn identity(&self, library: Library) -> reqwest::Result<Identity> {
        match library {
            #[cfg(feature = "rustls")]
            Library::Rustls => Identity::from_pem(&self.pem),
            #[cfg(feature = "native-tls")]
            Library::Native => Identity::from_pkcs8_pem(&self.pem, from_key(&self.pem)),
        }
    }
}

/// Whether everything is there, and nothing twice.
fn check_sections(pem: &[u8]) -> Result<(), ConfigurationError> {
    // Of one form of such keys the reader knows nothing, and the other it takes
    // for damage.
    if contains(pem, b"ENCRYPTED") {
        return Err(ConfigurationError::new(
            SETTING,
            "has a private key that is encrypted",
            "decrypt it (`openssl pkcs8 -topk8 -nocrypt`), and let only this user read it",
        ));
    }
    let (mut certificates, mut keys) = (0, 0);
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
        let Ok((kind, bytes)) = section else {
            return Err(error("is not whole"));
        };
        drop(Zeroizing::new(bytes));
        match kind {
            SectionKind::Certificate => certificates += 1,
            SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey => {
                keys += 1;
            }
            _ => return Err(error("holds something else than certificates and a key")),
        }
    }
    match (certificates, keys) {
        (0, 0) => Err(error("is not there: neither certificate nor key was found")),
        (0, _) => Err(error("lacks the certificate: only a private key was found")),
        (_, 0) => Err(error("lacks its private key: only certificates were found")),
        (_, 1) => Ok(()),
        _ => Err(error("has more than one private key")),
    }
}

fn check_for(pem: &[u8], library: Library) -> Result<(), ConfigurationError> {
    match library {
        #[cfg(feature = "rustls")]
        Library::Rustls => check_for_rustls(pem),
        #[cfg(feature = "native-tls")]
        Library::Native => check_for_native(pem),
    }
}

#[cfg(feature = "rustls")]
fn check_for_rustls(pem: &[u8]) -> Result<(), ConfigurationError> {
    use rustls::{
        Error, InconsistentKeys,
        crypto::{CryptoProvider, aws_lc_rs},
        sign::CertifiedKey,
    };
    use rustls_pki_types::{CertificateDer, PrivateKeyDer};

    let chain = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>();
    let chain = chain.map_err(|_| error("is not whole"))?;
    // What rustls is given is rustls's to forget.
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| error("is not whole"))?;
    // The one that reqwest will take.
    let provider = CryptoProvider::get_default().cloned();
    let provider = provider.unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()));
    match CertifiedKey::from_der(chain, key, &provider) {
        Ok(_) => Ok(()),
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Err(no_pair()),
        Err(Error::InvalidCertificate(_)) => Err(error("has a certificate that cannot be read")),
        Err(_) => Err(error("has a private key that cannot be read")),
    }
}

#[cfg(feature = "native-tls")]
fn check_for_native(pem: &[u8]) -> Result<(), ConfigurationError> {
    use native_tls::{Identity, TlsConnector};

    if !contains(pem, PKCS8) {
        return Err(ConfigurationError::new(
            SETTING,
            "has a private key that is not PKCS#8 (`-----BEGIN PRIVATE KEY-----`), the only form \
             that native-tls takes",
            "convert it (`openssl pkcs8 -topk8 -nocrypt`)",
        ));
    }
    let identity = Identity::from_pkcs8(pem, from_key(pem))
        .map_err(|_| error("has a certificate or private key that cannot be read"))?;
    match TlsConnector::builder().identity(identity).build() {
        Ok(_) => Ok(()),
        Err(_) => Err(no_pair()),
    }
}

/// What is before the key is no business of who reads it.
#[cfg(feature = "native-tls")]
fn from_key(pem: &[u8]) -> &[u8] {
    let start = pem.windows(PKCS8.len()).position(|window| window == PKCS8);
    start.and_then(|start| pem.get(start..)).unwrap_or_default()
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

const SETTING: &str = "client certificate";

/// Never says what the parser says: that might tell of the key.
fn error(problem: &'static str) -> ConfigurationError {
    ConfigurationError::new(
        SETTING,
        problem,
        "give the chain of certificates, the client's own first, and its private key, in PEM",
    )
}

fn no_pair() -> ConfigurationError {
    ConfigurationError::new(
        SETTING,
        "does not belong to the private key",
        "give the key that the first certificate was made for",
    )
}
