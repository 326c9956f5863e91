//! Root certificates of one's own, checked when they are given.

use bloom_auth_core::ConfigurationError;
use reqwest::Certificate;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use super::with::Library;

/// One or more certificates in PEM that this library takes for roots.
pub(super) fn read(pem: &[u8], library: Library) -> Result<Vec<Certificate>, ConfigurationError> {
    let error = |problem: String| {
        ConfigurationError::new(
            "root certificate",
            problem,
            "give certificates in PEM (`-----BEGIN CERTIFICATE-----`)",
        )
    };
    let mut roots = Vec::new();
    for (index, certificate) in CertificateDer::pem_slice_iter(pem).enumerate() {
        let number = index + 1;
        let certificate =
            certificate.map_err(|_| error(format!("number {number} is not whole")))?;
        if !can_be_root(&certificate, library) {
            return Err(error(format!(
                "number {number} cannot be trusted as a root"
            )));
        }
        let root = Certificate::from_der(&certificate)
            .map_err(|_| error(format!("number {number} cannot be read")))?;
        roots.push(root);
    }
    if roots.is_empty() {
        return Err(error("is not there: no certificate was found".to_owned()));
    }
    Ok(roots)
}

fn can_be_root(certificate: &CertificateDer<'_>, library: Library) -> bool {
    match library {
        #[cfg(feature = "rustls")]
        Library::Rustls => {
            let mut store = rustls::RootCertStore::empty();
            store.add(certificate.clone().into_owned()).is_ok()
        }
        #[cfg(feature = "native-tls")]
        Library::Native => native_tls::Certificate::from_der(certificate).is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_refused() {
        let libraries = [
            #[cfg(feature = "rustls")]
            Library::Rustls,
            #[cfg(all(feature = "native-tls", target_os = "linux"))]
            Library::Native,
        ];
        for library in libraries {
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
                let error = read(pem.as_bytes(), library).unwrap_err();
                assert!(error.to_string().contains(problem), "{pem:?}: {error}");
            }
        }
    }
}
