//! A server of HTTP/2 that says what it is told to (RFC 9113), right or wrong.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use crate::tls_server::Identity;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

pub(super) const NO_ERROR: u32 = 0;
pub(super) const INTERNAL_ERROR: u32 = 2;
pub(super) const REFUSED_STREAM: u32 = 7;
pub(super) const CANCEL: u32 = 8;
pub(super) const ENHANCE_YOUR_CALM: u32 = 11;

/// The client's first and, here, only one.
const STREAM: u32 = 1;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = len[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// `:status: 200`, which has an index of its own (RFC 7541).
pub(super) fn head() -> Vec<u8> {
    frame(HEADERS, END_HEADERS, STREAM, &[0x88])
}

/// The same, with more to come.
pub(super) fn unfinished_head() -> Vec<u8> {
    frame(HEADERS, 0, STREAM, &[0x88])
}

/// `a: b`, with more to come.
pub(super) fn continuation() -> Vec<u8> {
    frame(CONTINUATION, 0, STREAM, &[0, 1, b'a', 1, b'b'])
}

/// `:status: 103`
pub(super) fn interim() -> Vec<u8> {
    frame(HEADERS, END_HEADERS, STREAM, b"\x08\x03103")
}

pub(super) fn data(bytes: &[u8], is_last: bool) -> Vec<u8> {
    let flags = if is_last { END_STREAM } else { 0 };
    frame(DATA, flags, STREAM, bytes)
}

pub(super) fn empty_data() -> Vec<u8> {
    data(&[], false)
}

pub(super) fn ping() -> Vec<u8> {
    frame(PING, 0, 0, b"12345678")
}

pub(super) fn settings() -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[])
}

pub(super) fn reset(reason: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, STREAM, &reason.to_be_bytes())
}

/// Sends the connection away; streams up to `last` are worked on.
pub(super) fn go_away(last: u32, reason: u32) -> Vec<u8> {
    let payload = [last.to_be_bytes(), reason.to_be_bytes()].concat();
    frame(GOAWAY, 0, 0, &payload)
}

/// What a connection gets once its request is whole.
#[derive(Clone)]
pub(super) struct Turn {
    bytes: Vec<u8>,
    /// Sent for ever.
    flood: Option<Vec<u8>>,
    is_kept_open: bool,
}

impl Turn {
    /// Sends this and closes the connection.
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            flood: None,
            is_kept_open: false,
        }
    }

    pub(super) fn then(mut self, bytes: Vec<u8>) -> Self {
        self.bytes.extend(bytes);
        self
    }

    pub(super) fn flood(mut self, bytes: &[u8]) -> Self {
        // Small frames by the thousand, each write a record of TLS.
        self.flood = Some(bytes.repeat(1000));
        self
    }

    pub(super) fn keep_open(mut self) -> Self {
        self.is_kept_open = true;
        self
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    connections: usize,
    requests: usize,
    closed: usize,
}

/// Plays a turn to each connection, and the last one to all that follow.
pub(super) struct Http2Server {
    address: SocketAddr,
    counts: watch::Sender<Counts>,
    _tasks: JoinSet<()>,
}

impl Http2Server {
    pub(super) async fn start(identity: &Identity, script: impl IntoIterator<Item = Turn>) -> Self {
        let script: Vec<_> = script.into_iter().collect();
        let mut config = identity.server_config(None);
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let counts = watch::Sender::new(Counts::default());
        let counter = counts.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let index = counter.borrow().connections.min(script.len() - 1);
                counter.send_modify(|counts| counts.connections += 1);
                let (acceptor, counter) = (acceptor.clone(), counter.clone());
                let turn = script[index].clone();
                connections.spawn(async move {
                    // How it ends is the client's business.
                    let _ = serve(stream, &acceptor, turn, &counter).await;
                    counter.send_modify(|counts| counts.closed += 1);
                });
            }
        });
        Self {
            address,
            counts,
            _tasks: tasks,
        }
    }

    pub(super) fn url(&self) -> String {
        format!("https://{}/oauth/token", self.address)
    }

    /// Whole requests, on whichever stream.
    pub(super) fn requests(&self) -> usize {
        self.counts.borrow().requests
    }

    /// Waits until so many connections have ended, and no more were opened.
    pub(super) async fn until_closed(&self, connections: usize) {
        let mut counts = self.counts.subscribe();
        let reached = counts.wait_for(|counts| counts.closed == connections);
        let reached = timeout(Duration::from_secs(30), reached).await;
        let counts = *reached.expect("connections are left open").unwrap();
        assert_eq!(counts.connections, connections);
    }
}

async fn serve(
    stream: TcpStream,
    acceptor: &TlsAcceptor,
    turn: Turn,
    counts: &watch::Sender<Counts>,
) -> io::Result<()> {
    // Small frames are not held back for the next one.
    stream.set_nodelay(true)?;
    let mut stream = acceptor.accept(stream).await?;
    let mut preface = [0; PREFACE.len()];
    stream.read_exact(&mut preface).await?;
    assert_eq!(preface, PREFACE, "no HTTP/2");
    stream.write_all(&settings()).await?;
    let (mut reader, mut writer) = tokio::io::split(stream);
    while !ends_a_request(&mut reader).await? {}
    counts.send_modify(|counts| counts.requests += 1);
    let reading = async {
        // To the end, so that nothing that was sent is taken back.
        loop {
            if ends_a_request(&mut reader).await? {
                counts.send_modify(|counts| counts.requests += 1);
            }
        }
    };
    let writing = async {
        writer.write_all(&turn.bytes).await?;
        writer.flush().await?;
        while let Some(flood) = &turn.flood {
            writer.write_all(flood).await?;
        }
        if !turn.is_kept_open {
            writer.shutdown().await?;
        }
        std::future::pending::<io::Result<()>>().await
    };
    tokio::select! {
        ended = reading => ended,
        ended = writing => ended,
    }
}

/// Reads a frame, and says whether it is the last of a request.
async fn ends_a_request(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<bool> {
    let mut head = [0; 9];
    reader.read_exact(&mut head).await?;
    let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; usize::try_from(len).unwrap()];
    reader.read_exact(&mut payload).await?;
    let is_of_request = [DATA, HEADERS].contains(&head[3]);
    Ok(is_of_request && head[4] & END_STREAM != 0)
}
