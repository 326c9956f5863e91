//! The servers of the suite speak plain HTTP/1.1: here they stand behind TLS,
//! or behind a gateway that speaks HTTP/2.

use std::{
    collections::HashMap,
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use bloom_auth_core::{RequestBody, ResponseBody, Transport, TransportError};
use bloom_auth_reqwest::{ReqwestTransport, ReqwestTransportBuilder};
use http::{HeaderValue, Request, Response, Uri, Version, header::HOST};
use hyper::{body::Incoming, client::conn::http1, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::tls_server::Authority;

/// Carries each request for a plain server through a front of its own.
pub(crate) struct Fronted {
    transport: ReqwestTransport,
    fronts: Arc<Fronts>,
    addresses: Mutex<HashMap<SocketAddr, SocketAddr>>,
    tasks: Mutex<JoinSet<()>>,
}

struct Fronts {
    acceptor: TlsAcceptor,
    /// What became of the handshakes.
    http1: AtomicUsize,
    http2: AtomicUsize,
}

impl Fronted {
    /// Fronts that offer these protocols, the first that the client knows being
    /// taken.
    pub(crate) fn new(builder: ReqwestTransportBuilder, protocols: &[&str]) -> Self {
        let authority = Authority::new();
        let identity = authority.issue("127.0.0.1", 4096);
        let mut config = identity.server_config(None);
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().into())
            .collect();
        let builder = builder.with_root_certificate(authority.pem()).unwrap();
        Self {
            transport: builder.build().unwrap(),
            fronts: Arc::new(Fronts {
                acceptor: TlsAcceptor::from(Arc::new(config)),
                http1: AtomicUsize::new(0),
                http2: AtomicUsize::new(0),
            }),
            addresses: Mutex::default(),
            tasks: Mutex::default(),
        }
    }

    /// How many connections spoke HTTP/1.1 and how many HTTP/2.
    pub(crate) fn connections(&self) -> (usize, usize) {
        let [http1, http2] =
            [&self.fronts.http1, &self.fronts.http2].map(|count| count.load(Ordering::SeqCst));
        (http1, http2)
    }

    async fn front_of(&self, target: SocketAddr) -> SocketAddr {
        let known = self.addresses.lock().unwrap().get(&target).copied();
        if let Some(known) = known {
            return known;
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        self.addresses.lock().unwrap().insert(target, address);
        let fronts = Arc::clone(&self.fronts);
        let mut tasks = self.tasks.lock().unwrap();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let fronts = Arc::clone(&fronts);
                // How it ends is the client's business.
                connections.spawn(async move { drop(fronts.carry(stream, target).await) });
            }
        });
        address
    }
}

impl Fronts {
    async fn carry(&self, stream: TcpStream, target: SocketAddr) -> io::Result<()> {
        // Before the handshake: what refuses connections does so here as well.
        let mut inside = TcpStream::connect(target).await?;
        // Small frames are not held back for the next one.
        stream.set_nodelay(true)?;
        inside.set_nodelay(true)?;
        let mut outside = self.acceptor.accept(stream).await?;
        if outside.get_ref().1.alpn_protocol() == Some(b"h2") {
            self.http2.fetch_add(1, Ordering::SeqCst);
            return gateway(outside, inside, target).await;
        }
        self.http1.fetch_add(1, Ordering::SeqCst);
        let copied = copy_bidirectional(&mut outside, &mut inside).await;
        if copied.is_err() {
            // A reset stays one.
            outside.get_ref().0.set_zero_linger()?;
        }
        copied.map(drop)
    }
}

/// A connection of HTTP/2 for each one of HTTP/1.1, and one request on it. What
/// breaks behind is a stream that is reset.
async fn gateway(
    outside: TlsStream<TcpStream>,
    inside: TcpStream,
    target: SocketAddr,
) -> io::Result<()> {
    let host = HeaderValue::from_str(&target.to_string()).map_err(io::Error::other)?;
    let (sender, connection) = http1::handshake(TokioIo::new(inside))
        .await
        .map_err(io::Error::other)?;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { drop(connection.await) });
    let sender = Arc::new(tokio::sync::Mutex::new(sender));
    let service = service_fn(move |mut request: Request<Incoming>| {
        let (host, sender) = (host.clone(), Arc::clone(&sender));
        async move {
            let path = request.uri().path_and_query().cloned();
            *request.uri_mut() = path.map(Uri::from).unwrap_or_default();
            *request.version_mut() = Version::HTTP_11;
            request.headers_mut().insert(HOST, host);
            sender.lock().await.send_request(request).await
        }
    });
    http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(outside), service)
        .await
        .map_err(io::Error::other)
}

#[async_trait]
impl Transport for Fronted {
    async fn send(
        &self,
        mut request: Request<RequestBody>,
    ) -> Result<Response<ResponseBody>, TransportError> {
        let target: SocketAddr = request.uri().authority().unwrap().as_str().parse().unwrap();
        let front = self.front_of(target).await;
        let path = request.uri().path_and_query().unwrap();
        let uri = format!("https://{front}{path}");
        *request.uri_mut() = uri.parse().unwrap();
        // As the server behind knows itself.
        let host = HeaderValue::from_str(&target.to_string()).unwrap();
        request.headers_mut().insert(HOST, host);
        self.transport.send(request).await
    }
}

impl fmt::Debug for Fronted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fronted").finish_non_exhaustive()
    }
}
