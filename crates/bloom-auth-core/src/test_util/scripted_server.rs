//! A TCP server that plays a script: one that breaks off, drips, lies about
//! lengths, or never answers.

use std::{
    collections::VecDeque,
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Notify, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

/// A request larger than this is not waited for.
const MAX_REQUEST_BYTES: usize = 1024 * 1024;

/// Nothing takes this long unless it is stuck.
const PATIENCE: Duration = Duration::from_secs(30);

/// Listens on a free port of 127.0.0.1 and meets each complete HTTP/1.1
/// request (a head, and a body of `content-length` bytes) with the next
/// [`Turn`] of its script; the last one is repeated. Without a script,
/// connections are closed as soon as a request is there.
///
/// Once dropped, it listens no more and its connections break off.
pub struct ScriptedServer {
    address: SocketAddr,
    stage: Arc<Stage>,
    /// The accept task alone, which owns the tasks of all connections.
    _tasks: JoinSet<()>,
}

/// What a [`ScriptedServer`] has seen.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Seen {
    /// Connections that were accepted.
    pub connections: usize,
    /// The complete requests, byte by byte.
    pub requests: Vec<Bytes>,
    /// Turns that were played to their end.
    pub turns: usize,
    /// Connections that the client ended first.
    pub hangups: usize,
}

/// What a [`ScriptedServer`] does with one request: its steps in their order,
/// and then, unless told otherwise, it closes the connection.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Turn {
    at_first_bytes: bool,
    steps: Vec<Step>,
    end: End,
}

#[derive(Clone, Debug)]
enum Step {
    Send(Bytes),
    Drip(Bytes, Duration),
    Flood(Bytes),
    Wait(Arc<Notify>),
}

#[derive(Clone, Copy, Debug, Default)]
enum End {
    #[default]
    Close,
    Reset,
    KeepOpen,
}

/// What the server's tasks share.
struct Stage {
    script: Mutex<VecDeque<Turn>>,
    seen: watch::Sender<Seen>,
}

impl ScriptedServer {
    /// Starts a server with this script.
    ///
    /// # Errors
    ///
    /// If there is no port to listen on.
    pub async fn start(turns: impl IntoIterator<Item = Turn>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let stage = Arc::new(Stage {
            script: Mutex::new(turns.into_iter().collect()),
            seen: watch::Sender::new(Seen::default()),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&stage)));
        Ok(Self {
            address,
            stage,
            _tasks: tasks,
        })
    }

    /// The address that is listened on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Scheme, address and port, such as `http://127.0.0.1:41234`.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What has been seen so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.stage.seen.borrow().clone()
    }

    /// Waits until something has been seen.
    ///
    /// # Panics
    ///
    /// If it has not been for 30 seconds.
    pub async fn until(&self, reached: impl Fn(&Seen) -> bool + Send + Sync) {
        let mut seen = self.stage.seen.subscribe();
        let is_reached = timeout(PATIENCE, seen.wait_for(|seen| reached(seen)))
            .await
            .is_ok();
        assert!(
            is_reached,
            "waited in vain; the server saw {:?}",
            self.seen()
        );
    }
}

impl fmt::Debug for ScriptedServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedServer")
            .field("address", &self.address)
            .field("seen", &self.seen())
            .finish_non_exhaustive()
    }
}

/// Requests hold secrets: they are counted, not shown.
impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seen")
            .field("connections", &self.connections)
            .field("requests", &self.requests.len())
            .field("turns", &self.turns)
            .field("hangups", &self.hangups)
            .finish()
    }
}

impl Turn {
    /// A turn without steps: it closes the connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends these bytes.
    pub fn send(self, bytes: impl Into<Bytes>) -> Self {
        self.step(Step::Send(bytes.into()))
    }

    /// Sends these bytes one at a time, with a pause after each.
    pub fn drip(self, bytes: impl Into<Bytes>, pause: Duration) -> Self {
        self.step(Step::Drip(bytes.into(), pause))
    }

    /// Sends these bytes over and over, until the client hangs up.
    pub fn flood(self, bytes: impl Into<Bytes>) -> Self {
        self.step(Step::Flood(bytes.into()))
    }

    /// Waits for a notification.
    pub fn wait_for(self, notify: &Arc<Notify>) -> Self {
        self.step(Step::Wait(Arc::clone(notify)))
    }

    /// Ends with a reset (RST) instead of a close.
    pub fn reset(mut self) -> Self {
        self.end = End::Reset;
        self
    }

    /// Leaves the connection open, for a next request and its turn.
    pub fn keep_open(mut self) -> Self {
        self.end = End::KeepOpen;
        self
    }

    /// Begins as soon as anything arrives, such as the first half of a
    /// request, or a TLS handshake. What has arrived is not recorded.
    pub fn at_first_bytes(mut self) -> Self {
        self.at_first_bytes = true;
        self
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }
}

impl Stage {
    fn note(&self, change: impl FnOnce(&mut Seen)) {
        self.seen.send_modify(change);
    }

    /// Draws the next turn, if it is one that begins now.
    fn draw(&self, request_is_whole: bool) -> Option<Turn> {
        let mut script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        let next = match script.front() {
            Some(turn) => turn.clone(),
            None => Turn::new(),
        };
        if !request_is_whole && !next.at_first_bytes {
            return None;
        }
        if script.len() > 1 {
            script.pop_front();
        }
        Some(next)
    }
}

async fn accept(listener: TcpListener, stage: Arc<Stage>) {
    // A test opens few connections: the finished ones need no clearing away.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        // A drip that is held back to save packets would be no drip.
        let _ = stream.set_nodelay(true);
        stage.note(|seen| seen.connections += 1);
        connections.spawn(connection(stream, Arc::clone(&stage)));
    }
}

async fn connection(mut stream: TcpStream, stage: Arc<Stage>) {
    let mut received = BytesMut::new();
    loop {
        let Some(turn) = next_turn(&mut stream, &mut received, &stage).await else {
            stage.note(|seen| seen.hangups += 1);
            return;
        };
        if play(turn.steps, &mut stream).await.is_err() {
            stage.note(|seen| seen.hangups += 1);
            return;
        }
        match turn.end {
            End::KeepOpen => {
                stage.note(|seen| seen.turns += 1);
                continue;
            }
            End::Close => {}
            End::Reset => {
                // Where it cannot be set, the client sees a close.
                let _ = stream.set_zero_linger();
            }
        }
        drop(stream);
        stage.note(|seen| seen.turns += 1);
        return;
    }
}

/// Reads until a turn begins; `None` if the client hangs up before.
async fn next_turn(stream: &mut TcpStream, received: &mut BytesMut, stage: &Stage) -> Option<Turn> {
    loop {
        if let Some(len) = request_len(received) {
            let request = received.split_to(len).freeze();
            stage.note(|seen| seen.requests.push(request));
            return stage.draw(true);
        }
        if !received.is_empty()
            && let Some(turn) = stage.draw(false)
        {
            received.clear();
            return Some(turn);
        }
        let read = stream.read_buf(received).await;
        if !read.is_ok_and(|read| read > 0) || received.len() > MAX_REQUEST_BYTES {
            return None;
        }
    }
}

/// How many of these bytes are the first request, if it is whole.
fn request_len(received: &[u8]) -> Option<usize> {
    const END: &[u8] = b"\r\n\r\n";
    let head = received.windows(END.len()).position(|four| four == END)?;
    let text = String::from_utf8_lossy(received.get(..head)?).to_ascii_lowercase();
    let body = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .map_or(Some(0), |len| len.trim().parse().ok())?;
    let len = (head + END.len()).checked_add(body)?;
    (received.len() >= len).then_some(len)
}

async fn play(steps: Vec<Step>, stream: &mut TcpStream) -> io::Result<()> {
    for step in steps {
        match step {
            Step::Send(bytes) => stream.write_all(&bytes).await?,
            Step::Drip(bytes, pause) => {
                for byte in bytes {
                    stream.write_all(&[byte]).await?;
                    sleep(pause).await;
                }
            }
            Step::Flood(bytes) => loop {
                stream.write_all(&bytes).await?;
            },
            Step::Wait(notify) => notify.notified().await,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
