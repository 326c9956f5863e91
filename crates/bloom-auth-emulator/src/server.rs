//! The listener, its connections, and their end.

use std::{
    future::poll_fn,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
    time::Duration,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    app::{App, Greeting, Reply},
    tls::Acceptors,
    wire::{self, Script, Wire},
};

/// More connections than these wait in the listener's queue.
const MAX_CONNECTIONS: usize = 1024;

/// How long a client may take for its TLS handshake.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// How long a client may take for the head of a request; also how long an idle
/// connection is kept.
const HEAD_TIME: Duration = Duration::from_secs(30);

/// How long the requests under way may take once the server is told to stop.
const GRACE: Duration = Duration::from_secs(5);

/// How long to wait before the next try when a connection cannot be accepted,
/// as when there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A listener that can be closed from outside the task that accepts from it.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: Mutex<Option<TcpListener>>,
    address: SocketAddr,
}

impl Listener {
    /// Binds 127.0.0.1; there is no way to ask for another address.
    pub(crate) async fn bind(port: u16) -> io::Result<Self> {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        Ok(Self {
            address: socket.local_addr()?,
            socket: Mutex::new(Some(socket)),
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// `None` once closed.
    async fn accept(&self) -> Option<io::Result<TcpStream>> {
        poll_fn(|cx| {
            let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
            match socket.as_ref() {
                Some(socket) => socket
                    .poll_accept(cx)
                    .map(|accepted| Some(accepted.map(|(stream, _)| stream))),
                None => Poll::Ready(None),
            }
        })
        .await
    }

    fn close(&self) {
        *self.socket.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// A running server. Once dropped it listens no more, and its tasks end.
#[derive(Debug)]
pub(crate) struct Server {
    listener: Arc<Listener>,
    stop: watch::Sender<()>,
    /// The accept task alone, which owns the tasks of all connections.
    tasks: JoinSet<()>,
}

impl Server {
    pub(crate) fn start(listener: Listener, app: App, tls: Option<Acceptors>) -> Self {
        let listener = Arc::new(listener);
        let (stop, stopped) = watch::channel(());
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(Arc::clone(&listener), Arc::new(app), tls, stopped));
        Self {
            listener,
            stop,
            tasks,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Takes no more connections and lets the requests under way finish.
    pub(crate) async fn shutdown(&mut self) {
        self.stop.send_replace(());
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The tasks are aborted by their set, which takes effect when their
        // runtime gets to it; the port is free at once.
        self.listener.close();
    }
}

async fn accept(
    listener: Arc<Listener>,
    app: Arc<App>,
    tls: Option<Acceptors>,
    mut stopped: watch::Receiver<()>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            _ = stopped.changed() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Some(Ok(stream)) => {
                    app.shared.counters.record(|counts| counts.connections += 1);
                    let (app, tls, stopped) = (Arc::clone(&app), tls.clone(), stopped.clone());
                    connections.spawn(connection(stream, app, tls, stopped));
                }
                Some(Err(_)) => sleep(ACCEPT_PAUSE).await,
                None => break,
            },
        }
    }
    listener.close();
    let finished = async { while connections.join_next().await.is_some() {} };
    if timeout(GRACE, finished).await.is_err() {
        connections.shutdown().await;
    }
}

async fn connection(
    stream: TcpStream,
    app: Arc<App>,
    tls: Option<Acceptors>,
    mut stopped: watch::Receiver<()>,
) {
    // It only makes answers slower where it cannot be set.
    let _ = stream.set_nodelay(true);
    let greeting = app.greet();
    let acceptor = match (&tls, greeting) {
        (_, Some(Greeting::Script(script))) => return play(stream, script, stopped).await,
        (Some(tls), Some(Greeting::Certificate(certificate))) => tls.with(certificate),
        // Without TLS there is no certificate to be wrong: the connection ends.
        (None, Some(Greeting::Certificate(_))) => {
            return play(stream, Script::close(), stopped).await;
        }
        (Some(tls), None) => &tls.good,
        (None, None) => return serve(stream, app, stopped).await,
    };
    let handshake = timeout(HANDSHAKE_TIME, acceptor.accept(stream));
    tokio::select! {
        _ = stopped.changed() => {}
        shaken = handshake => if let Ok(Ok(stream)) = shaken {
            serve(stream, app, stopped).await;
        }
    }
}

async fn serve<S: Wire>(stream: S, app: Arc<App>, mut stopped: watch::Receiver<()>) {
    // Where the service leaves a script, when it takes the connection away from
    // hyper by an error.
    let taken = Arc::new(Mutex::new(None));
    let service = service_fn(|request| {
        let (app, taken) = (Arc::clone(&app), Arc::clone(&taken));
        Box::pin(async move {
            match app.answer(request).await {
                Reply::Response(response) => Ok(response),
                Reply::Script(script) => {
                    *taken.lock().unwrap_or_else(PoisonError::into_inner) = Some(script);
                    Err(Taken)
                }
            }
        })
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        // The emulator's own clock dates its answers.
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service);
    let mut stopping = false;
    let ended = loop {
        tokio::select! {
            ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => break ended,
            _ = stopped.changed(), if !stopping => {
                stopping = true;
                std::pin::Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    let mut stream = connection.into_parts().io.into_inner();
    let script = taken.lock().unwrap_or_else(PoisonError::into_inner).take();
    match script {
        Some(script) if !stopping => play(stream, script, stopped).await,
        // Errors of a connection are the client's doing; it sees them itself.
        None if ended.is_ok() => {
            let _ = stream.shutdown().await;
        }
        _ => {}
    }
}

/// Plays the script, unless the server is stopped.
async fn play(stream: impl Wire, script: Script, mut stopped: watch::Receiver<()>) {
    tokio::select! {
        _ = stopped.changed() => {}
        () = wire::play(stream, script) => {}
    }
}

/// The connection is not hyper's any more.
#[derive(Debug, thiserror::Error)]
#[error("the connection is taken by a fault")]
struct Taken;
