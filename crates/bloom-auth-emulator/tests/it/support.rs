//! An HTTP client written out by hand, and the requests the tests send with it.

use std::{sync::Arc, time::Duration};

use bloom_auth_emulator::Emulator;
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

pub(crate) const V1: &str = "/oauth/token";
pub(crate) const V2: &str = "/oauth2/token";
pub(crate) const ORGANIZATION: &str = "/v2/core/organization";
pub(crate) const CONSUMERS: &str = "/v2/core/consumers";
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// No answer takes this long; a test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn plain() -> Emulator {
    Emulator::builder().plain_http().start().await.unwrap()
}

/// The form of a good token request, good at both token endpoints.
pub(crate) fn good_form(emulator: &Emulator) -> Vec<(&'static str, String)> {
    vec![
        ("grant_type", "client_credentials".to_owned()),
        ("client_id", emulator.client_id().to_owned()),
        ("client_secret", emulator.client_secret()),
        ("audience", emulator.audience().to_owned()),
        ("scope", "data-access:all".to_owned()),
    ]
}

/// The good form with one parameter replaced, or left out.
pub(crate) fn form_with(emulator: &Emulator, name: &str, value: Option<&str>) -> String {
    let mut form = good_form(emulator);
    form.retain(|(known, _)| *known != name);
    let mut body = encode(&form);
    if let Some(value) = value {
        body.push_str(&format!("&{name}={}", escape(value)));
    }
    body
}

pub(crate) fn encode(form: &[(&'static str, String)]) -> String {
    let pairs = form
        .iter()
        .map(|(name, value)| format!("{name}={}", escape(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// Everything but letters and digits as `%XX`.
pub(crate) fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

/// A good token request.
pub(crate) fn token_request(emulator: &Emulator, path: &str) -> Request {
    Request::post(path, encode(&good_form(emulator)))
}

/// Fetches an access token.
pub(crate) async fn token(emulator: &Emulator, path: &str) -> String {
    let reply = token_request(emulator, path).send(emulator).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()["access_token"].as_str().unwrap().to_owned()
}

/// A request on a connection of its own.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub(crate) fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A POST of a form.
    pub(crate) fn post(target: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", target)
            .header("Content-Type", FORM)
            .body(body)
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The bytes on the wire, with the emulator's own `Host`.
    pub(crate) fn bytes(&self, emulator: &Emulator) -> Vec<u8> {
        let host = ("Host".to_owned(), emulator.address().to_string());
        let mut with_host = self.clone();
        with_host.headers.insert(0, host);
        with_host.bytes_without_host()
    }

    pub(crate) fn bytes_without_host(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let length = self.body.len();
        head.push_str(&format!(
            "Content-Length: {length}\r\nConnection: close\r\n\r\n"
        ));
        [head.as_bytes(), &self.body].concat()
    }

    pub(crate) async fn send(&self, emulator: &Emulator) -> Reply {
        exchange(emulator, &self.bytes(emulator)).await
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self
            .headers
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str());
        let first = values.next();
        assert_eq!(values.next(), None, "{name} occurs twice");
        first
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Status and `error` of a token endpoint's refusal, whose other promises
    /// are checked on the way.
    pub(crate) fn refusal(&self) -> (u16, String) {
        self.assert_uncached();
        let body = self.json();
        assert!(body["error_description"].is_string(), "{self:?}");
        (self.status, body["error"].as_str().unwrap().to_owned())
    }

    pub(crate) fn assert_uncached(&self) {
        assert_eq!(self.header("cache-control"), Some("no-store"), "{self:?}");
        assert_eq!(self.header("pragma"), Some("no-cache"), "{self:?}");
        assert_eq!(
            self.header("content-type"),
            Some("application/json"),
            "{self:?}"
        );
    }

    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_owned(), value.to_owned())
        });
        Self {
            status: status.parse().unwrap(),
            headers: headers.collect(),
            body: body.to_owned(),
        }
    }
}

/// Sends bytes on a connection of their own, by TLS where the emulator has it,
/// and reads until the emulator closes.
pub(crate) async fn exchange(emulator: &Emulator, bytes: &[u8]) -> Reply {
    let stream = TcpStream::connect(emulator.address()).await.unwrap();
    let received = if emulator.ca_pem().is_some() {
        let stream = tls(emulator, "127.0.0.1", stream).await.unwrap();
        talk(stream, bytes).await
    } else {
        talk(stream, bytes).await
    };
    Reply::parse(&received)
}

pub(crate) async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    bytes: &[u8],
) -> Vec<u8> {
    let mut received = Vec::new();
    timeout(PATIENCE, async {
        stream.write_all(bytes).await.unwrap();
        stream.read_to_end(&mut received).await.unwrap();
    })
    .await
    .unwrap();
    received
}

/// A TLS client that trusts this emulator alone.
pub(crate) async fn tls(
    emulator: &Emulator,
    name: &'static str,
    stream: TcpStream,
) -> std::io::Result<TlsStream<TcpStream>> {
    let pem = emulator.ca_pem().unwrap();
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
        .unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name).unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

/// Lets the runtime work until the condition holds.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let waited = timeout(PATIENCE, async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    });
    assert!(waited.await.is_ok(), "{what}");
}
