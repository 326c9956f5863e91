//! A TLS server with any certificate.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use bloom_auth_core::test_util::{ScriptedServer, Turn};
use rcgen::{CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio::{
    io::{AsyncReadExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        HandshakeKind, RootCertStore, ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer,
        server::WebPkiClientVerifier,
    },
};

use crate::support::serve;

/// Signs the certificates of test servers.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// The certificate of a server or client, and its key.
pub(crate) struct Identity(rcgen::Certificate, KeyPair);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        // Issuer and subject of a certificate must differ.
        params
            .distinguished_name
            .push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for this name, valid from 1975 until this year.
    pub(crate) fn issue(&self, name: &str, last_year: i32) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = params(name, last_year).signed_by(&key, &self.0).unwrap();
        Identity(certificate, key)
    }
}

impl Identity {
    pub(crate) fn self_signed(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = params(name, 4096).self_signed(&key).unwrap();
        Self(certificate, key)
    }

    /// The certificate and its key, as PKCS#8.
    pub(crate) fn pem(&self) -> String {
        self.certificate_pem() + &self.key_pem()
    }

    pub(crate) fn certificate_pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn key_pem(&self) -> String {
        self.1.serialize_pem()
    }

    pub(crate) fn key_der(&self) -> Vec<u8> {
        self.1.serialize_der()
    }

    /// Ends TLS with this identity.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::new(self.server_config(None)))
    }

    /// A server that asks for no certificate of its clients, or demands one of
    /// this authority.
    pub(crate) fn server_config(&self, clients: Option<&Authority>) -> ServerConfig {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let config = match clients {
            None => config.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.0.der().clone()).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                config.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let key = PrivateKeyDer::try_from(self.1.serialize_der()).unwrap();
        config
            .with_single_cert(vec![self.0.der().clone()], key)
            .unwrap()
    }
}

fn params(name: &str, last_year: i32) -> CertificateParams {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(last_year, 1, 1);
    params
}

/// How each handshake went that succeeded, in order.
type Handshakes = Arc<Mutex<Vec<HandshakeKind>>>;

/// Ends TLS in front of a [`ScriptedServer`], which sees a connection only
/// once a handshake has succeeded, and every byte that then came through.
pub(crate) struct TlsServer {
    address: SocketAddr,
    pub(crate) behind: ScriptedServer,
    handshakes: Handshakes,
    _tasks: JoinSet<()>,
}

impl TlsServer {
    pub(crate) async fn start(identity: &Identity, turn: Turn) -> Self {
        Self::start_with(identity.server_config(None), turn).await
    }

    pub(crate) async fn start_with(config: ServerConfig, turn: Turn) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let behind = serve(turn).await;
        let mut tasks = JoinSet::new();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let handshakes = Handshakes::default();
        let seen = Arc::clone(&handshakes);
        tasks.spawn(accept(listener, acceptor, behind.address(), seen));
        Self {
            address,
            behind,
            handshakes,
            _tasks: tasks,
        }
    }

    pub(crate) fn handshakes(&self) -> Vec<HandshakeKind> {
        self.handshakes.lock().unwrap().clone()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    behind: SocketAddr,
    handshakes: Handshakes,
) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        let handshakes = Arc::clone(&handshakes);
        connections.spawn(async move {
            match acceptor.accept(stream).into_fallible().await {
                Ok(mut outside) => {
                    let kind = outside.get_ref().1.handshake_kind();
                    handshakes.lock().unwrap().extend(kind);
                    let mut inside = TcpStream::connect(behind).await.unwrap();
                    // How it ends is the client's business.
                    let _ = copy_bidirectional(&mut outside, &mut inside).await;
                }
                // To close now would take back what the client is to be told.
                Err((_, mut stream)) => {
                    let mut rest = [0; 1024];
                    while stream.read(&mut rest).await.is_ok_and(|len| len > 0) {}
                }
            }
        });
    }
}
