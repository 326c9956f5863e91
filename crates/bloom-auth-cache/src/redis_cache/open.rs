//! Opens connections, and says what can go wrong with one.
//!
//! Of what a server says, nothing but the code of an error is ever repeated:
//! the rest of it may quote what we have sent.

use std::{borrow::Cow, error::Error as _, io, sync::Arc};

use redis::{AsyncConnectionConfig, ErrorKind, RedisError, aio::MultiplexedConnection};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::OnceCell,
};
use tokio_rustls::TlsConnector;

use super::{
    address::{Address, Endpoint},
    guard::Guarded,
    tls::Roots,
};

/// Opens connections to one server.
#[derive(Debug)]
pub(super) struct Opener {
    pub(super) address: Address,
    roots: Roots,
    /// Read when it is first needed.
    tls: OnceCell<TlsSettings>,
    max_value: usize,
}

struct TlsSettings(TlsConnector);

impl std::fmt::Debug for TlsSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsSettings")
    }
}

/// In what the `redis` crate keeps the cause of an error.
type Shared = Arc<dyn std::error::Error + Send + Sync>;

/// A connection, and what has to run for it.
type Opened = (MultiplexedConnection, Driver);
type Driver = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

impl Opener {
    /// Lets values through that have no more bytes than this.
    pub(super) fn new(address: Address, roots: Roots, max_value: usize) -> Self {
        Self {
            address,
            roots,
            tls: OnceCell::new(),
            max_value,
        }
    }

    pub(super) async fn open(&self) -> Result<Opened, Problem> {
        match &self.address.endpoint {
            Endpoint::Tcp { host, port } => self.log_in(tcp(host, *port).await?).await,
            Endpoint::Tls { host, port } => {
                let tls = self.tls().await?;
                let name = ServerName::try_from(host.clone())
                    .map_err(|_| Problem::new("its host is no name for TLS"))?;
                let stream = tcp(host, *port).await?;
                let stream = tls.connect(name, stream).await;
                self.log_in(stream.map_err(|error| Problem::of_tls(&error))?)
                    .await
            }
            #[cfg(unix)]
            Endpoint::Unix(path) => {
                let stream = tokio::net::UnixStream::connect(path).await;
                self.log_in(stream.map_err(|error| Problem::of_io(&error))?)
                    .await
            }
        }
    }

    async fn tls(&self) -> Result<TlsConnector, Problem> {
        let read = || async {
            let roots = self.roots.clone();
            let config = tokio::task::spawn_blocking(move || roots.config()).await;
            let config = config.map_err(|_| Problem::new("reading root certificates failed"))?;
            let config = config.map_err(|error| {
                Problem(format!("TLS cannot be set up: {error}").into(), Kind::Other)
            })?;
            Ok(TlsSettings(TlsConnector::from(Arc::new(config))))
        };
        Ok(self.tls.get_or_try_init(read).await?.0.clone())
    }

    async fn log_in<S>(&self, stream: S) -> Result<Opened, Problem>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let stream = Guarded::new(stream, self.max_value);
        // Each call has its own limit.
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let opened =
            MultiplexedConnection::new_with_config(&self.address.login, stream, config).await;
        let (connection, driver) = opened.map_err(|error| Problem::of(&error))?;
        Ok((connection, Box::pin(driver)))
    }
}

async fn tcp(host: &str, port: u16) -> Result<TcpStream, Problem> {
    let stream = TcpStream::connect((host, port)).await;
    let stream = stream.map_err(|error| Problem::of_io(&error))?;
    stream
        .set_nodelay(true)
        .map_err(|error| Problem::of_io(&error))?;
    Ok(stream)
}

/// What is wrong with a server.
#[derive(Clone, Debug)]
pub(super) struct Problem(Cow<'static, str>, Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Another connection may lead to a server that does better.
    Connection,
    Type,
    Other,
}

impl Problem {
    const fn new(text: &'static str) -> Self {
        Self(Cow::Borrowed(text), Kind::Other)
    }

    pub(super) fn slow() -> Self {
        Self::new("no answer in time")
    }

    pub(super) fn closed() -> Self {
        Self::new("it closed the connection")
    }

    pub(super) fn odd() -> Self {
        Self::new("it sent something else than was asked for")
    }

    pub(super) fn no_randomness() -> Self {
        Self::new("the operating system gave no random bytes")
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// Whether the key holds another type of value than ours.
    pub(super) fn is_wrong_type(&self) -> bool {
        self.1 == Kind::Type
    }

    pub(super) fn is_of_connection(&self) -> bool {
        self.1 == Kind::Connection
    }

    pub(super) fn of(error: &RedisError) -> Self {
        match error.kind() {
            ErrorKind::Io => {
                let source: Option<&Shared> = error.source().and_then(|e| e.downcast_ref());
                match source.and_then(|source| source.downcast_ref()) {
                    Some(error) => Self::of_io(error),
                    None => Self::closed(),
                }
            }
            ErrorKind::Parse | ErrorKind::UnexpectedReturnType => Self::odd(),
            ErrorKind::AuthenticationFailed => Self::of_code("WRONGPASS"),
            _ => match error.code() {
                Some(code) => Self::of_code(code),
                None => Self::new("it cannot be talked to"),
            },
        }
    }

    fn of_io(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Self::closed();
        }
        Self(error.to_string().into(), Kind::Other)
    }

    fn of_tls(error: &io::Error) -> Self {
        Self(format!("TLS failed: {error}").into(), Kind::Other)
    }

    /// An error that the server named.
    pub(super) fn of_code(code: &str) -> Self {
        let (meaning, kind) = match code {
            "OOM" => ("its memory is full", Kind::Other),
            "READONLY" => (
                "it is a replica, which cannot be written to",
                Kind::Connection,
            ),
            "LOADING" => ("it is loading its data", Kind::Other),
            "MASTERDOWN" => ("it is a replica that has lost its master", Kind::Connection),
            "MISCONF" => ("it cannot save its data, and takes no more", Kind::Other),
            "NOREPLICAS" => ("it has too few replicas to write", Kind::Other),
            "BUSY" => ("it is running somebody's script", Kind::Other),
            "NOAUTH" => ("it wants a password: put it into the URL", Kind::Connection),
            "WRONGPASS" => ("it does not take this user and password", Kind::Connection),
            "NOPERM" => (
                "this user may not do that: it needs the commands GET, GETRANGE, SET, DEL, \
                 PEXPIRE and EVAL on keys under the prefix",
                Kind::Other,
            ),
            "MOVED" | "ASK" | "CROSSSLOT" | "CLUSTERDOWN" | "TRYAGAIN" => (
                "it is a node of a cluster, which is not followed to other nodes: use a single \
                 server, or a proxy",
                Kind::Other,
            ),
            "WRONGTYPE" => ("somebody else uses that key", Kind::Type),
            _ => ("an error", Kind::Other),
        };
        let is_code = code.len() <= 16 && code.bytes().all(|byte| byte.is_ascii_uppercase());
        if is_code {
            Self(format!("{meaning} ({code})").into(), kind)
        } else {
            Self::new("an error")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r5_of_an_error_nothing_is_repeated_but_its_code() {
        for (code, text) in [
            ("OOM", "its memory is full (OOM)"),
            ("SOMETHING", "an error (SOMETHING)"),
            ("canary", "an error"),
            ("CANARYCANARYCANARY", "an error"),
            ("CANARY=1", "an error"),
        ] {
            assert_eq!(Problem::of_code(code).text(), text);
        }
        let error =
            RedisError::from((ErrorKind::AuthenticationFailed, "said", "canary".to_owned()));
        let problem = format!("{:?}", Problem::of(&error));
        assert!(problem.contains("WRONGPASS"), "{problem}");
        assert!(!problem.contains("canary"), "{problem}");
    }
}
