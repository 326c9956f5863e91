//! A certificate authority and the server's certificates, made anew at every
//! start: a good one, and those that no client may accept.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer},
};

use crate::{EmulatorError, fault::Certificate};

/// What HTTPS needs, on both sides.
pub(crate) struct Tls {
    pub(crate) acceptors: Acceptors,
    pub(crate) ca_pem: String,
}

/// One for each certificate.
#[derive(Clone)]
pub(crate) struct Acceptors {
    pub(crate) good: TlsAcceptor,
    expired: TlsAcceptor,
    other_name: TlsAcceptor,
    unknown_issuer: TlsAcceptor,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

type Issuer = CertifiedIssuer<'static, KeyPair>;

const OWN_NAMES: &[&str] = &["localhost", "127.0.0.1", "::1"];

impl Tls {
    pub(crate) fn generate() -> Result<Self, EmulatorError> {
        generate().map_err(EmulatorError::Certificate)
    }
}

impl Acceptors {
    pub(crate) fn with(&self, certificate: Certificate) -> &TlsAcceptor {
        match certificate {
            Certificate::Expired => &self.expired,
            Certificate::OtherName => &self.other_name,
            Certificate::UnknownIssuer => &self.unknown_issuer,
        }
    }
}

/// An authority beside the certificates, as rustls takes none for a server's
/// certificate. rcgen has them valid from 1975 to 4096, so the machine's date is
/// no matter.
fn generate() -> Result<Tls, Failure> {
    let ca = authority("bloom-auth-emulator CA")?;
    let good = leaf(OWN_NAMES)?;
    let mut expired = leaf(OWN_NAMES)?;
    expired.not_before = date_time_ymd(2000, 1, 1);
    expired.not_after = date_time_ymd(2001, 1, 1);
    let other_name = leaf(&["elsewhere.bloom-auth.invalid"])?;
    Ok(Tls {
        acceptors: Acceptors {
            unknown_issuer: acceptor(&good, &authority("nobody knows this CA")?)?,
            good: acceptor(&good, &ca)?,
            expired: acceptor(&expired, &ca)?,
            other_name: acceptor(&other_name, &ca)?,
        },
        ca_pem: ca.pem(),
    })
}

fn authority(name: &str) -> Result<Issuer, Failure> {
    let mut ca = CertificateParams::default();
    ca.distinguished_name = rcgen::DistinguishedName::new();
    ca.distinguished_name.push(DnType::CommonName, name);
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?)
}

fn leaf(names: &[&str]) -> Result<CertificateParams, Failure> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut leaf = CertificateParams::new(names)?;
    leaf.distinguished_name = rcgen::DistinguishedName::new();
    leaf.distinguished_name
        .push(DnType::CommonName, "bloom-auth-emulator");
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    Ok(leaf)
}

fn acceptor(leaf: &CertificateParams, ca: &Issuer) -> Result<TlsAcceptor, Failure> {
    let leaf_key = KeyPair::generate()?;
    let leaf = leaf.signed_by(&leaf_key, ca)?;
    let key = PrivateKeyDer::try_from(leaf_key.serialize_der())?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
