//! A client certificate, by variable and by code.

use std::{net::Ipv4Addr, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bloom_auth::{BloomAuth, ClientId, ClientSecret, Environment, ErrorKind};
use rcgen::{CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer,
        server::WebPkiClientVerifier,
    },
};

use super::{ID, SECRET, Variables, text_of, wrong::error};

const TOKEN: &str = r#"{"access_token":"t","expires_in":3600,"token_type":"Bearer"}"#;

pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    fn issue(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap(), key)
    }

    pub(super) fn client_pem(&self) -> String {
        let (certificate, key) = self.issue("client");
        certificate.pem() + &key.serialize_pem()
    }

    /// A server that gives a token to each client with a certificate of this
    /// authority, and its URL.
    async fn serve(&self) -> (String, JoinSet<()>) {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let (certificate, key) = self.issue("127.0.0.1");
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("https://{}/oauth/token", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
                     content-length: {}\r\n\r\n{TOKEN}",
                    TOKEN.len()
                );
                let mut rest = [0; 4096];
                match acceptor.accept(stream).into_fallible().await {
                    // Its request comes in one piece.
                    Ok(mut stream) => {
                        let _ = stream.read(&mut rest).await;
                        let _ = stream.write_all(answer.as_bytes()).await;
                        let _ = stream.shutdown().await;
                    }
                    // To close now would take back the reason.
                    Err((_, mut stream)) => {
                        while stream.read(&mut rest).await.is_ok_and(|len| len > 0) {}
                    }
                }
            }
        });
        (url, tasks)
    }
}

#[tokio::test]
async fn it_is_shown_to_a_server_that_demands_it() {
    let authority = Authority::new();
    let (url, _server) = authority.serve().await;
    let directory = tempfile::tempdir().unwrap();
    let (ca, client) = (
        directory.path().join("ca.pem"),
        directory.path().join("client.pem"),
    );
    std::fs::write(&ca, authority.0.pem()).unwrap();
    std::fs::write(&client, authority.client_pem()).unwrap();

    let variables = Variables::minimal();
    variables.set("BLOOM_TOKEN_URL", &url);
    variables.set("BLOOM_API_URL", &url);
    variables.set("BLOOM_CA_FILE", text_of(&ca));
    let error = variables.build().unwrap().token().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tls, "{error:?}");
    variables.set("BLOOM_CLIENT_CERTIFICATE_FILE", text_of(&client));
    variables.build().unwrap().token().await.unwrap();
    // Also where it is the proof, and there is no secret.
    let proof = Variables::new([
        ("BLOOM_CLIENT_ID", ID),
        ("BLOOM_CLIENT_AUTH", "tls_client_auth"),
        ("BLOOM_CLIENT_CERTIFICATE_FILE", text_of(&client)),
        ("BLOOM_TOKEN_URL", &url),
        ("BLOOM_CA_FILE", text_of(&ca)),
    ]);
    proof.build().unwrap().token().await.unwrap();

    let builder = || {
        BloomAuth::builder()
            .environment(Environment::custom(&url, &url).build().unwrap())
            .client(
                ClientId::new(ID).unwrap(),
                ClientSecret::new(SECRET).unwrap(),
            )
            .root_certificate(authority.0.pem())
    };
    let from_code = builder().client_certificate(authority.client_pem());
    from_code.build().unwrap().token().await.unwrap();
    // The last one counts, whichever way it was given.
    for (builder, is_good) in [
        (
            builder()
                .client_certificate_file(&client)
                .client_certificate(Authority::new().client_pem()),
            false,
        ),
        (
            builder()
                .client_certificate(Authority::new().client_pem())
                .client_certificate_file(&client),
            true,
        ),
    ] {
        let token = builder.build().unwrap().token().await;
        assert_eq!(token.is_ok(), is_good, "{token:?}");
    }
}

#[test]
fn its_file_is_named_with_its_fault_and_the_fix() {
    let directory = tempfile::tempdir().unwrap();
    let (authority, other) = (Authority::new(), Authority::new());
    let certificate = authority.issue("client").0.pem();
    let file = "name a PEM file of the client's certificates and its private key";
    let pem = "give the chain of certificates, the client's own first, and its private key, in PEM";
    let missing = std::fs::read("/nowhere/at/all").unwrap_err();
    for (name, content, fault) in [
        (
            "missing",
            None,
            format!(" cannot be read ({missing}): {file}"),
        ),
        (
            "text",
            Some("canary".to_owned()),
            format!(
                ": client certificate is not there: neither certificate nor key was found: {pem}"
            ),
        ),
        (
            "certificate",
            Some(certificate.clone()),
            format!(
                ": client certificate lacks its private key: only certificates were found: {pem}"
            ),
        ),
        (
            "others",
            Some(certificate + &other.issue("client").1.serialize_pem()),
            ": client certificate does not belong to the private key: give the key that the \
             first certificate was made for"
                .to_owned(),
        ),
    ] {
        let path = directory.path().join(name);
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        let variables = Variables::minimal();
        variables.set("BLOOM_CLIENT_CERTIFICATE_FILE", text_of(&path));
        let expected = format!("BLOOM_CLIENT_CERTIFICATE_FILE {}{fault}", path.display());
        assert_eq!(error(&variables), expected);
    }
    let builder = BloomAuth::builder().client(
        ClientId::new(ID).unwrap(),
        ClientSecret::new(SECRET).unwrap(),
    );
    let error = builder.client_certificate("canary").build().unwrap_err();
    assert_eq!(error.setting(), "client certificate");
}

#[test]
fn a_key_without_a_certificate_is_a_fault_of_its_variable() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key.pem");
    std::fs::write(&path, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let variables = Variables::new([("BLOOM_CLIENT_ID", ID)]);
    variables.set("BLOOM_CLIENT_AUTH", "tls_client_auth");
    variables.set("BLOOM_CLIENT_CERTIFICATE_FILE", text_of(&path));
    let fault = error(&variables);
    assert!(
        fault.starts_with("BLOOM_CLIENT_CERTIFICATE_FILE "),
        "{fault}"
    );
}

#[test]
fn a_key_in_the_place_of_its_path_is_not_repeated() {
    let fix = "name a PEM file of the client's certificates and its private key";
    let pem = Authority::new().client_pem();
    let lines = pem.lines().filter(|line| !line.starts_with('-'));
    let base64: String = lines.collect();
    for content in [pem.clone(), STANDARD.encode(&pem), base64] {
        let variables = Variables::minimal();
        variables.set("BLOOM_CLIENT_CERTIFICATE_FILE", &content);
        let expected = format!("BLOOM_CLIENT_CERTIFICATE_FILE names no file: {fix}");
        assert_eq!(error(&variables), expected);

        let builder = BloomAuth::builder().client(
            ClientId::new(ID).unwrap(),
            ClientSecret::new(SECRET).unwrap(),
        );
        let error = builder.client_certificate_file(content).build();
        let expected = format!("client certificate file names no file: {fix}");
        assert_eq!(error.unwrap_err().to_string(), expected);
    }
}
