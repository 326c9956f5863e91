//! An API on loopback, with or without TLS, whose answers a test decides, and
//! which remembers who asked for what with which token.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    sync::Barrier,
    task::JoinSet,
};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) method: String,
    /// With its query.
    pub(crate) path: String,
    /// The head in small letters.
    head: String,
    /// With the letters as they were.
    raw_head: String,
    pub(crate) body: String,
}

impl Arrived {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let start = format!("\r\n{name}: ");
        let at = self.head.find(&start)? + start.len();
        let value = self.raw_head.get(at..)?;
        value.split("\r\n").next()
    }

    /// The lines of the head, but for the token, in order.
    pub(crate) fn lines(&self) -> Vec<String> {
        let lines = self.head.lines();
        let mut lines: Vec<_> = lines
            .filter(|line| !line.starts_with("authorization"))
            .map(str::to_owned)
            .collect();
        lines[1..].sort();
        lines
    }

    /// The token that it carried.
    pub(crate) fn token(&self) -> Option<&str> {
        self.header("authorization")
    }
}

/// Status and further header lines.
pub(crate) type Answer = (u16, String);

type Rule = dyn Fn(&Arrived) -> Answer + Send + Sync;

/// Serves until it is dropped.
pub(crate) struct ApiServer {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    _tasks: JoinSet<()>,
}

/// Requests with this token are answered once so many have arrived.
pub(crate) struct Hold {
    pub(crate) token: &'static str,
    pub(crate) count: usize,
}

/// What the connections share.
struct Stage {
    rule: Box<Rule>,
    hold: Option<(&'static str, Barrier)>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    connections: usize,
    requests: Vec<Arrived>,
}

impl ApiServer {
    pub(crate) async fn start(rule: impl Fn(&Arrived) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_with(None, None, rule).await
    }

    pub(crate) async fn start_with_hold(
        hold: Hold,
        rule: impl Fn(&Arrived) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::start_with(None, Some(hold), rule).await
    }

    #[cfg(feature = "rustls")]
    pub(crate) async fn start_tls(
        identity: &crate::tls_server::Identity,
        rule: impl Fn(&Arrived) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::start_with(Some(identity.acceptor()), None, rule).await
    }

    async fn start_with(
        tls: Option<Tls>,
        hold: Option<Hold>,
        rule: impl Fn(&Arrived) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Seen>>::default();
        let mut tasks = JoinSet::new();
        let stage = Stage {
            rule: Box::new(rule),
            hold: hold.map(|hold| (hold.token, Barrier::new(hold.count))),
            seen: Arc::clone(&seen),
        };
        tasks.spawn(accept(listener, tls, Arc::new(stage)));
        Self {
            address,
            seen,
            _tasks: tasks,
        }
    }

    pub(crate) fn requests(&self) -> Vec<Arrived> {
        lock(&self.seen).requests.clone()
    }

    pub(crate) fn connections(&self) -> usize {
        lock(&self.seen).connections
    }

    /// Path and token of each request.
    pub(crate) fn log(&self) -> Vec<(String, Option<String>)> {
        let requests = self.requests().into_iter();
        let log =
            requests.map(|request| (request.path.clone(), request.token().map(str::to_owned)));
        log.collect()
    }
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(feature = "rustls")]
type Tls = tokio_rustls::TlsAcceptor;
#[cfg(not(feature = "rustls"))]
#[derive(Clone)]
enum Tls {}

async fn accept(listener: TcpListener, tls: Option<Tls>, stage: Arc<Stage>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        lock(&stage.seen).connections += 1;
        let (tls, stage) = (tls.clone(), Arc::clone(&stage));
        connections.spawn(async move {
            match tls {
                None => serve(stream, &stage).await,
                #[cfg(feature = "rustls")]
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, &stage).await;
                    }
                }
                #[cfg(not(feature = "rustls"))]
                Some(never) => match never {},
            }
        });
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, stage: &Stage) {
    let mut received = Vec::new();
    loop {
        let request = loop {
            if let Some((request, length)) = parse(&received) {
                received.drain(..length);
                break request;
            }
            if !stream.read_buf(&mut received).await.is_ok_and(|n| n > 0) {
                return;
            }
        };
        if let Some((token, barrier)) = &stage.hold
            && request.token() == Some(token)
        {
            barrier.wait().await;
        }
        let (status, headers) = (stage.rule)(&request);
        lock(&stage.seen).requests.push(request);
        let answer = format!("HTTP/1.1 {status} As Told\r\n{headers}content-length: 2\r\n\r\n{{}}");
        if stream.write_all(answer.as_bytes()).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

/// A whole request and its length, with a body of `content-length` bytes, or
/// in chunks.
fn parse(received: &[u8]) -> Option<(Arrived, usize)> {
    let text = String::from_utf8_lossy(received);
    let head_length = text.find("\r\n\r\n")?;
    let raw_head = text.get(..head_length)?.to_owned();
    let head = raw_head.to_ascii_lowercase();
    let rest = text.get(head_length + 4..)?;
    let (body, length) = if head.contains("transfer-encoding: chunked") {
        let end = rest.find("0\r\n\r\n")?;
        (rest.get(..end)?.to_owned(), end + 5)
    } else {
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().unwrap());
        (rest.get(..length)?.to_owned(), length)
    };
    let mut words = raw_head.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let request = Arrived {
        method,
        path,
        head,
        raw_head,
        body,
    };
    Some((request, head_length + 4 + length))
}
