//! Real servers for tests: Debian's `redis-server`, and a `valkey-server`,
//! from PATH or from where `cargo xtask test` has put it.
//!
//! Each has a directory of its own and is ended by the number of its process.
//! A shell stands between: it waits for the end of a pipe that we hold, so a
//! server does not outlive the test, however that ends.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread,
    time::Duration,
};

use bloom_auth_core::test_util::{skip, tool};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// No server takes this long for anything: in pauses.
const TRIES: u32 = 3000;
const PAUSE: Duration = Duration::from_millis(10);

/// Ends the server at the end of its input, and then removes the directory,
/// unless it was told to keep that.
const KEEPER: &str = r#"
exec 3<&0
"$@" </dev/null >>"$DIRECTORY/log" 2>&1 3<&- &
echo $!
told=$(cat <&3)
kill -9 $!
wait $!
if [ "$told" != keep ]; then rm -rf "$DIRECTORY"; fi
"#;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Redis,
    Valkey,
}

impl Kind {
    fn program(self) -> Option<PathBuf> {
        let name = match self {
            Self::Redis => "redis-server",
            Self::Valkey => "valkey-server",
        };
        let tools = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/tools");
        let ours = Path::new(tools).join("valkey/bin").join(name);
        [PathBuf::from(name), ours]
            .into_iter()
            .find(|program| program.to_str().is_some_and(tool))
    }
}

/// Both kinds, for tests that look at each; a skip is noted for one that is
/// not there.
pub(crate) fn kinds(test: &str) -> Vec<Kind> {
    let is_there = |kind: &Kind| {
        let is_there = kind.program().is_some();
        if !is_there {
            skip(&format!("{test}, {kind:?}"), "needs that server");
        }
        is_there
    };
    let kinds = [Kind::Redis, Kind::Valkey];
    kinds.into_iter().filter(is_there).collect()
}

/// The one that is there, Redis by preference; else a skip is noted.
pub(crate) fn any(test: &str) -> Option<Kind> {
    let kinds = [Kind::Redis, Kind::Valkey];
    let kind = kinds.into_iter().find(|kind| kind.program().is_some());
    if kind.is_none() {
        skip(test, "needs redis-server or valkey-server");
    }
    kind
}

/// A server for all tests of this binary that do it no harm; each has keys of
/// its own.
pub(crate) fn shared(kind: Kind) -> &'static Server {
    static SERVERS: [OnceLock<Server>; 2] = [OnceLock::new(), OnceLock::new()];
    let server = match kind {
        Kind::Redis => &SERVERS[0],
        Kind::Valkey => &SERVERS[1],
    };
    server.get_or_init(|| Server::start(kind, &[]))
}

/// A running server, ended when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    kind: Kind,
    directory: TempDir,
    arguments: Vec<String>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    keeper: Child,
    server: Pid,
}

impl Server {
    /// One that listens at a Unix socket, with more settings.
    pub(crate) fn start(kind: Kind, settings: &[&str]) -> Self {
        let mut server = Self {
            kind,
            directory: tempfile::tempdir().unwrap(),
            arguments: settings.iter().map(|&part| part.to_owned()).collect(),
            running: None,
        };
        server.begin();
        server
    }

    /// Starts it again, in its directory.
    pub(crate) fn begin(&mut self) {
        assert!(self.running.is_none());
        // What a killed one has left would be taken for a running one.
        let _ = fs::remove_file(self.socket());
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "sh"])
            .arg(self.kind.program().unwrap())
            .args(["--port", "0", "--save", "", "--daemonize", "no"])
            .arg("--unixsocket")
            .arg(self.socket())
            .arg("--dir")
            .arg(self.directory.path())
            .args(&self.arguments)
            .env("DIRECTORY", self.directory())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Where the shell would say that its child was killed.
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = keeper.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let server = Pid::from_raw(line.trim().parse().unwrap()).unwrap();
        self.running = Some(Running { keeper, server });
        for _ in 0..TRIES {
            if let Ok(mut client) = self.try_connect()
                && !matches!(client.try_call(&["PING"]), Err(_) | Ok(Reply::Error(_)))
            {
                return;
            }
            // Those with a password say so, which is as good.
            if let Ok(mut client) = self.try_connect()
                && matches!(client.try_call(&["PING"]), Ok(Reply::Error(error)) if error.starts_with("NOAUTH"))
            {
                return;
            }
            thread::sleep(PAUSE);
        }
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        panic!("{:?} does not start: {log}", self.kind);
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("s")
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    pub(crate) fn url(&self) -> String {
        format!("unix:{}", self.socket().display())
    }

    fn try_connect(&self) -> io::Result<Client> {
        let stream = UnixStream::connect(self.socket())?;
        stream.set_read_timeout(Some(PAUSE * TRIES))?;
        Ok(Client(BufReader::new(Box::new(stream))))
    }

    pub(crate) fn client(&self) -> Client {
        self.try_connect().unwrap()
    }

    fn signal(&self, signal: Signal) {
        let running = self.running.as_ref().unwrap();
        kill_process(running.server, signal).unwrap();
    }

    /// It stands still until it is told to go on.
    pub(crate) fn stop(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    /// `kill -9`; it is gone when this returns, and its directory is kept.
    pub(crate) fn kill(&mut self) {
        if let Some(running) = &mut self.running {
            running
                .keeper
                .stdin
                .as_mut()
                .unwrap()
                .write_all(b"keep")
                .unwrap();
        }
        self.end();
    }

    fn end(&mut self) {
        if let Some(mut running) = self.running.take() {
            drop(running.keeper.stdin.take());
            let _ = running.keeper.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

trait Stream: Read + Write + Send {}
impl Stream for UnixStream {}
impl Stream for TcpStream {}

/// A client that knows nothing of ours.
pub(crate) struct Client(BufReader<Box<dyn Stream>>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Nil,
    Number(i64),
    Bytes(Vec<u8>),
    List(Vec<Self>),
    Error(String),
}

impl Reply {
    pub(crate) fn number(self) -> i64 {
        match self {
            Self::Number(number) => number,
            reply => panic!("{reply:?}"),
        }
    }

    pub(crate) fn bytes(self) -> Option<Vec<u8>> {
        match self {
            Self::Nil => None,
            Self::Bytes(bytes) => Some(bytes),
            reply => panic!("{reply:?}"),
        }
    }

    pub(crate) fn list(self) -> Vec<Self> {
        match self {
            Self::List(list) => list,
            reply => panic!("{reply:?}"),
        }
    }
}

impl Client {
    /// Fails the test if the server says no.
    #[track_caller]
    pub(crate) fn call<T: AsRef<[u8]>>(&mut self, parts: &[T]) -> Reply {
        match self.try_call(parts).unwrap() {
            Reply::Error(error) => panic!("{error}"),
            reply => reply,
        }
    }

    fn try_call<T: AsRef<[u8]>>(&mut self, parts: &[T]) -> io::Result<Reply> {
        let mut bytes = format!("*{}\r\n", parts.len()).into_bytes();
        for part in parts {
            let part = part.as_ref();
            bytes.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
            bytes.extend_from_slice(part);
            bytes.extend_from_slice(b"\r\n");
        }
        self.0.get_mut().write_all(&bytes)?;
        self.reply()
    }

    fn reply(&mut self) -> io::Result<Reply> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (kind, text) = line.trim_end().split_at(1);
        let number = || text.parse::<i64>().map_err(io::Error::other);
        Ok(match kind {
            "+" => Reply::Bytes(text.into()),
            "-" => Reply::Error(text.to_owned()),
            ":" => Reply::Number(number()?),
            "$" | "*" if text == "-1" => Reply::Nil,
            "$" => {
                let length = usize::try_from(number()?).map_err(io::Error::other)?;
                let mut bytes = vec![0; length + 2];
                self.0.read_exact(&mut bytes)?;
                bytes.truncate(length);
                Reply::Bytes(bytes)
            }
            "*" => {
                let replies = (0..number()?).map(|_| self.reply());
                Reply::List(replies.collect::<io::Result<_>>()?)
            }
            kind => panic!("{kind}"),
        })
    }

    /// All keys of this prefix.
    pub(crate) fn keys(&mut self, prefix: &str) -> Vec<String> {
        let pattern = format!("{prefix}:*");
        let mut keys = Vec::new();
        let mut cursor = b"0".to_vec();
        loop {
            let parts = [&b"SCAN"[..], &cursor, b"MATCH", pattern.as_bytes()];
            let [next, found] = self.call(&parts).list().try_into().unwrap();
            for key in found.list() {
                keys.push(String::from_utf8(key.bytes().unwrap()).unwrap());
            }
            cursor = next.bytes().unwrap();
            if cursor == b"0" {
                keys.sort();
                keys.dedup();
                return keys;
            }
        }
    }

    /// The one key of this prefix and kind.
    #[track_caller]
    pub(crate) fn key(&mut self, prefix: &str, kind: char) -> String {
        let mut keys = self.keys(prefix);
        keys.retain(|key| key.ends_with(kind));
        assert_eq!(keys.len(), 1, "{keys:?}");
        keys.remove(0)
    }

    pub(crate) fn get(&mut self, key: &str) -> Option<Vec<u8>> {
        self.call(&["GET", key]).bytes()
    }

    /// How often a command was called, by anybody.
    pub(crate) fn calls(&mut self, command: &str) -> u64 {
        let info = self.call(&["INFO", "commandstats"]).bytes().unwrap();
        let info = String::from_utf8(info).unwrap();
        let start = format!("cmdstat_{command}:calls=");
        let line = info.lines().find_map(|line| line.strip_prefix(&start));
        line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
    }
}

/// Asks again and again until it is so.
#[track_caller]
pub(crate) fn until(mut is_so: impl FnMut() -> bool) {
    for _ in 0..TRIES {
        if is_so() {
            return;
        }
        thread::sleep(PAUSE);
    }
    panic!("it does not come about");
}

/// The same, where tasks of ours have to go on meanwhile.
pub(crate) async fn until_async(mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..TRIES {
        if is_so().await {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("it does not come about");
}
