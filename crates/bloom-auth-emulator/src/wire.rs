//! What is written to a connection byte by byte, past any HTTP server.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_rustls::server::TlsStream;

/// Silence ends after this time, so that no connection is held for ever.
const LONGEST_SILENCE: Duration = Duration::from_secs(600);

/// How long to wait for the other side to end once we have.
const FAREWELL: Duration = Duration::from_secs(2);

/// Steps to play in their order, and what becomes of the connection.
#[derive(Debug, PartialEq)]
pub(crate) struct Script {
    /// The status that the other side reads, if it reads one.
    pub(crate) status: Option<u16>,
    pub(crate) steps: Vec<Step>,
    pub(crate) end: End,
}

impl Script {
    /// Closes the connection, and no more.
    pub(crate) fn close() -> Self {
        Self {
            status: None,
            steps: Vec::new(),
            end: End::Close,
        }
    }
}

#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    Send(Vec<u8>),
    /// One byte at a time, with a pause after each.
    Drip(Vec<u8>, Duration),
    /// The same bytes so many times.
    Repeat(Vec<u8>, u32),
    /// The same bytes over and over, with a pause after each time, until the
    /// other side hangs up.
    Pulse(Vec<u8>, Duration),
    Wait(Duration),
    /// Nothing, until the other side hangs up.
    Silence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Close,
    /// RST instead of FIN.
    Reset,
}

/// A connection to play scripts on.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    fn socket(&self) -> &TcpStream;
}

impl Wire for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Wire for TlsStream<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// Plays the script to its end, or until the other side is gone, which is its
/// right.
pub(crate) async fn play(mut wire: impl Wire, script: Script) {
    let end = script.end;
    let played = steps(&mut wire, script.steps).await;
    if end == End::Reset {
        reset(wire.socket());
    } else if played.is_ok() && wire.shutdown().await.is_ok() {
        // What arrives after the socket is closed would make a reset of the
        // close, and of the last bytes on their way.
        let _ = timeout(FAREWELL, until_hangup(&mut wire)).await;
    }
}

/// Has the socket reset its connection when it is dropped.
pub(crate) fn reset(socket: &TcpStream) {
    // Where it cannot be set, the other side sees a close.
    let _ = socket.set_zero_linger();
}

async fn steps(wire: &mut impl Wire, steps: Vec<Step>) -> io::Result<()> {
    for step in steps {
        match step {
            Step::Send(bytes) => send(wire, &bytes).await?,
            Step::Drip(bytes, pause) => {
                for byte in bytes {
                    send(wire, &[byte]).await?;
                    wait(wire, pause).await?;
                }
            }
            Step::Repeat(bytes, times) => {
                for _ in 0..times {
                    wire.write_all(&bytes).await?;
                }
                wire.flush().await?;
            }
            Step::Pulse(bytes, pause) => loop {
                send(wire, &bytes).await?;
                wait(wire, pause).await?;
            },
            Step::Wait(time) => wait(wire, time).await?,
            Step::Silence => wait(wire, LONGEST_SILENCE).await?,
        }
    }
    Ok(())
}

async fn send(wire: &mut impl Wire, bytes: &[u8]) -> io::Result<()> {
    wire.write_all(bytes).await?;
    wire.flush().await
}

/// Waits, unless the other side hangs up first.
async fn wait(wire: &mut impl Wire, time: Duration) -> io::Result<()> {
    tokio::select! {
        biased;
        () = until_hangup(wire) => Err(io::ErrorKind::BrokenPipe.into()),
        () = sleep(time) => Ok(()),
    }
}

async fn until_hangup(wire: &mut impl Wire) {
    let mut ignored = [0; 1024];
    while matches!(wire.read(&mut ignored).await, Ok(1..)) {}
}
