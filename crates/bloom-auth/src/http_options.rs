//! What the HTTP client is set up with, until it is built.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use bloom_auth_core::ConfigurationError;
use bloom_auth_reqwest::{ReqwestTransport, ReqwestTransportBuilder};
use zeroize::Zeroizing;

use crate::settings::is_key;

#[derive(Default)]
pub(crate) struct HttpOptions {
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) root_certificates: Vec<Vec<u8>>,
    pub(crate) client_certificate: Option<ClientCertificate>,
    pub(crate) user_agent: Option<String>,
    #[cfg(feature = "native-tls")]
    pub(crate) native_tls: bool,
    #[cfg(feature = "http2")]
    pub(crate) http2: bool,
}

/// The last one that was given counts.
pub(crate) enum ClientCertificate {
    Pem(Zeroizing<Vec<u8>>),
    File(PathBuf),
}

impl HttpOptions {
    /// Reads the files, and checks everything.
    pub(crate) fn transport(
        &self,
        allow_insecure_loopback: bool,
    ) -> Result<ReqwestTransport, ConfigurationError> {
        // Before the certificates: they are checked by the library in use.
        let mut transport = self.begin();
        if allow_insecure_loopback {
            transport = transport.allow_insecure_loopback();
        }
        if let Some(user_agent) = &self.user_agent {
            transport = transport.user_agent(user_agent)?;
        }
        for pem in &self.root_certificates {
            transport = transport.with_root_certificate(pem)?;
        }
        if let Some(path) = &self.ca_file {
            let pem = CA_FILE.read(path)?;
            transport = transport
                .with_root_certificate(&pem)
                .map_err(|error| CA_FILE.fault(path, error))?;
        }
        match &self.client_certificate {
            None => {}
            Some(ClientCertificate::Pem(pem)) => transport = transport.client_certificate(pem)?,
            Some(ClientCertificate::File(path)) => {
                let pem = Zeroizing::new(CLIENT_CERTIFICATE_FILE.read(path)?);
                transport = transport
                    .client_certificate(&pem)
                    .map_err(|error| CLIENT_CERTIFICATE_FILE.fault(path, error))?;
            }
        }
        transport.build()
    }

    #[cfg_attr(
        not(any(feature = "native-tls", feature = "http2")),
        expect(clippy::unused_self, reason = "only features have something to choose")
    )]
    fn begin(&self) -> ReqwestTransportBuilder {
        let transport = ReqwestTransport::builder();
        #[cfg(feature = "native-tls")]
        let transport = if self.native_tls {
            transport.native_tls()
        } else {
            transport
        };
        #[cfg(feature = "http2")]
        let transport = if self.http2 {
            transport.http2()
        } else {
            transport
        };
        transport
    }
}

/// A setting that names a file of PEM.
struct PemFile {
    setting: &'static str,
    fix: &'static str,
}

const CA_FILE: PemFile = PemFile {
    setting: "CA file",
    fix: "name a file of PEM certificates",
};

const CLIENT_CERTIFICATE_FILE: PemFile = PemFile {
    setting: "client certificate file",
    fix: "name a PEM file of the client's certificates and its private key",
};

impl PemFile {
    fn read(&self, path: &Path) -> Result<Vec<u8>, ConfigurationError> {
        let error = |problem| ConfigurationError::new(self.setting, problem, self.fix);
        // An error about that file would repeat it.
        if is_key(path) {
            return Err(error("names no file".to_owned()));
        }
        read_file(path).map_err(error)
    }

    /// The fault of what is in it.
    fn fault(&self, path: &Path, error: ConfigurationError) -> ConfigurationError {
        let setting = format!("{} {}: {}", self.setting, path.display(), error.setting());
        error.for_setting(setting)
    }
}

/// The whole of a regular file, or what is wrong with it.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let io_error = |source: io::Error| format!("{} cannot be read ({source})", path.display());
    // Asked before opening: to open a FIFO would wait for a writer.
    if !fs::metadata(path).map_err(io_error)?.is_file() {
        return Err(format!("{} is not a regular file", path.display()));
    }
    fs::read(path).map_err(io_error)
}
