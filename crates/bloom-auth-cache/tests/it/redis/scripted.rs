//! Servers that follow a script: silence, garbage, errors, and connections
//! that do not last.

use std::{
    fs,
    io::{BufReader, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use bloom_auth_cache::RedisCache;
use bloom_auth_core::{
    ClientCredentials, ClientId, ClientSecret, Environment, TokenCache as _, TokenProvider,
    test_util::{EventLog, Reply, ScriptedTransport, documented_events, emitted_events},
};
use tokio::time::{Instant, timeout};

use super::server::{free_port, until_async};
use crate::file::support::{Place, SECRET, Warnings, access, block_on};

/// What the server does when it has read a command.
enum Act {
    Send(Vec<u8>),
    Close(Vec<u8>),
    Stall,
    /// Sends this, and zeros for as long as anybody takes them.
    Flood(Vec<u8>),
}

/// `GETRANGE` of a key that is not there.
const NOTHING: &[u8] = b"$0\r\n\r\n";

#[derive(Clone, Default)]
struct Seen {
    connections: Arc<AtomicUsize>,
    /// But for those of the greeting.
    commands: Arc<AtomicUsize>,
    flooded: Arc<AtomicUsize>,
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Seen {
    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn commands(&self) -> usize {
        self.commands.load(Ordering::SeqCst)
    }
}

/// A server that does what the script says for each command, of which it is
/// told the number, counted over all connections.
fn serve(script: impl Fn(usize) -> Act + Send + Sync + 'static) -> (u16, Seen) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (port, serve_at(listener, script))
}

fn serve_at(listener: TcpListener, script: impl Fn(usize) -> Act + Send + Sync + 'static) -> Seen {
    let (seen, script) = (Seen::default(), Arc::new(script));
    let all = seen.clone();
    // They end with the process, and hold nothing that anybody waits for.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (seen, script) = (all.clone(), Arc::clone(&script));
            seen.connections.fetch_add(1, Ordering::SeqCst);
            thread::spawn(move || talk(stream.unwrap(), &seen, &*script));
        }
    });
    seen
}

fn talk(stream: TcpStream, seen: &Seen, script: &dyn Fn(usize) -> Act) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    loop {
        let parts = command(&mut reader, seen)?;
        if parts[0] == b"CLIENT" {
            writer.write_all(b"+OK\r\n").ok()?;
            continue;
        }
        match script(seen.commands.fetch_add(1, Ordering::SeqCst)) {
            Act::Send(bytes) => writer.write_all(&bytes).ok()?,
            Act::Close(bytes) => return writer.write_all(&bytes).ok(),
            Act::Stall => {}
            Act::Flood(bytes) => {
                writer.write_all(&bytes).ok()?;
                let zeros = vec![0; 64 * 1024];
                for _ in 0..16 * 1024 {
                    writer.write_all(&zeros).ok()?;
                    seen.flooded.fetch_add(zeros.len(), Ordering::SeqCst);
                }
                return None;
            }
        }
    }
}

fn command(reader: &mut impl std::io::BufRead, seen: &Seen) -> Option<Vec<Vec<u8>>> {
    let mut number = |kind: char| {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        seen.bytes
            .lock()
            .unwrap()
            .extend_from_slice(line.as_bytes());
        let number = line.trim_end().strip_prefix(kind)?.parse::<usize>().ok()?;
        Some(number)
    };
    let parts = number('*')?;
    let mut command = Vec::new();
    for _ in 0..parts {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let length = line.trim_end().strip_prefix('$')?.parse::<usize>().ok()?;
        let mut part = vec![0; length + 2];
        reader.read_exact(&mut part).ok()?;
        part.truncate(length);
        seen.bytes.lock().unwrap().extend_from_slice(&part);
        command.push(part);
    }
    Some(command)
}

/// A cache on it that has time enough.
fn cache(port: u16) -> RedisCache {
    with_limit(port, Duration::from_secs(10))
}

fn with_limit(port: u16, limit: Duration) -> RedisCache {
    RedisCache::builder(format!("redis://:canary-of-a-password@127.0.0.1:{port}"))
        .timeout(limit)
        .build()
        .unwrap()
}

/// Without the password, for which the script would have to have a reply.
fn open(port: u16) -> RedisCache {
    RedisCache::builder(format!("redis://127.0.0.1:{port}"))
        .timeout(Duration::from_secs(10))
        .build()
        .unwrap()
}

async fn loads(cache: &RedisCache) -> bool {
    cache.load(&access()).await.is_ok()
}

async fn error(cache: &RedisCache) -> String {
    let error = cache.load(&access()).await.unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(!text.contains("canary"), "{text}");
    text
}

#[tokio::test]
async fn r6_garbage_is_an_error_and_the_next_connection_does_better() {
    for garbage in [
        &b"*1000000000\r\n"[..],
        b"*1\r\n$1\r\na\r\n",
        b"$1073741824\r\n",
        b"$-2\r\n",
        b"$99999999999999999999999\r\n",
        b">2\r\n+a\r\n+b\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\0\xff\xfe",
        b"%1\r\n",
        // Answers to other questions.
        b"+OK\r\n",
        b":1\r\n",
        b"$-1\r\n",
        // Longer than it says.
        b"$5\r\nabcdefgh\r\n",
    ] {
        for closes in [false, true] {
            let script = move |n| match n {
                0 if closes => Act::Close(garbage.to_vec()),
                0 => Act::Send(garbage.to_vec()),
                _ => Act::Send(NOTHING.to_vec()),
            };
            let (port, seen) = serve(script);
            let cache = open(port);
            error(&cache).await;
            until_async(async || loads(&cache).await).await;
            assert_eq!(seen.connections(), 2, "{garbage:?}");
        }
    }
}

#[tokio::test]
async fn r6_half_an_answer_is_an_error() {
    for half in [&b""[..], b"$", b"$10\r\nabc", b"$3\r\nabc", b"-OOM"] {
        let script = move |n| match n {
            0 => Act::Close(half.to_vec()),
            _ => Act::Send(NOTHING.to_vec()),
        };
        let (port, seen) = serve(script);
        let cache = open(port);
        error(&cache).await;
        until_async(async || loads(&cache).await).await;
        assert_eq!(seen.connections(), 2, "{half:?}");
    }
}

#[tokio::test]
async fn r6_no_memory_is_taken_for_a_value_that_is_said_to_be_huge() {
    let (port, seen) = serve(|_| Act::Flood(b"$1073741824\r\n".to_vec()));
    error(&open(port)).await;
    // What the operating system takes in for us, and no more.
    let flooded = seen.flooded.load(Ordering::SeqCst);
    assert!(flooded < 64 * 1024 * 1024, "{flooded}");
}

#[tokio::test]
async fn r6_the_largest_record_comes_through() {
    // It is no record, so a miss; but for its length it could be one.
    let value = |length: usize| {
        let mut reply = format!("${length}\r\n").into_bytes();
        reply.resize(reply.len() + length, b'x');
        reply.extend_from_slice(b"\r\n");
        reply
    };
    let max = bloom_auth_cache::MAX_SEALED_BYTES;
    for (length, is_read) in [(max, true), (max + 1, true), (max + 2, false)] {
        let (port, _seen) = serve(move |_| Act::Send(value(length)));
        assert_eq!(loads(&open(port)).await, is_read, "{length}");
    }
}

#[tokio::test]
async fn r5_errors_of_the_server_are_errors_with_its_code_and_nothing_else_of_it() {
    for (code, closes) in [
        ("OOM", false),
        ("READONLY", true),
        ("LOADING", false),
        ("NOAUTH", true),
        ("MOVED", false),
        ("ASK", false),
        ("CLUSTERDOWN", false),
        ("MASTERDOWN", true),
        ("NOPERM", false),
        ("MISCONF", false),
        ("BUSY", false),
        ("ERR", false),
        ("NOBODYKNOWS", false),
    ] {
        let script = move |n| match n {
            0 => Act::Send(format!("-{code} canary, said the server\r\n").into_bytes()),
            _ => Act::Send(NOTHING.to_vec()),
        };
        let (port, seen) = serve(script);
        let cache = open(port);
        let error = error(&cache).await;
        assert!(error.contains(code), "{error}");
        until_async(async || loads(&cache).await).await;
        // Behind the name there may be another server by now.
        assert_eq!(seen.connections(), 1 + usize::from(closes), "{code}");
    }
}

#[tokio::test]
async fn r5_an_error_is_a_miss_and_an_event_for_a_provider() {
    for code in [
        "OOM",
        "READONLY",
        "LOADING",
        "NOAUTH",
        "MOVED",
        "CLUSTERDOWN",
    ] {
        let warnings = Warnings::capture();
        let (port, _seen) = serve(move |_| Act::Send(format!("-{code} canary\r\n").into_bytes()));
        let transport = ScriptedTransport::new([Reply::token("t", 3600)]);
        let provider = provider(&transport, open(port));
        assert_eq!(provider.token().await.unwrap().expose(), "t");
        assert_eq!(transport.request_count(), 1);
        let lines = warnings.take();
        let told = lines
            .iter()
            .find(|line| line.contains("token cache failed"));
        let told = told.unwrap_or_else(|| panic!("{lines:?}"));
        assert!(told.contains(code) && !told.contains("canary"), "{told}");
    }
}

fn provider(transport: &ScriptedTransport, cache: RedisCache) -> TokenProvider {
    let (id, secret) = (ClientId::new("client"), ClientSecret::new(SECRET));
    let credentials = ClientCredentials::new(id.unwrap(), secret.unwrap());
    let environment = Environment::sandbox(bloom_auth_core::AuthVersion::V1);
    TokenProvider::builder(environment, credentials, transport.clone())
        .cache(cache)
        .build()
        .unwrap()
}

#[tokio::test]
async fn r1_a_server_that_is_down_is_an_error_and_is_used_when_it_is_back() {
    let port = free_port();
    let cache = open(port);
    let text = error(&cache).await;
    let address = format!("redis://127.0.0.1:{port}/0");
    assert!(text.contains(&address), "{text}");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    let _seen = serve_at(listener, |_| Act::Send(NOTHING.to_vec()));
    until_async(async || loads(&cache).await).await;
}

#[tokio::test]
async fn r2_who_gets_no_answer_asks_no_more_for_a_while() {
    let (port, seen) = serve(|_| Act::Stall);
    let cache = RedisCache::builder(format!("redis://127.0.0.1:{port}"))
        .timeout(Duration::from_millis(200))
        .build()
        .unwrap();
    assert!(error(&cache).await.contains("no answer in time"));
    assert_eq!((seen.connections(), seen.commands()), (1, 1));
    // At once: ready when it is polled first.
    let access = access();
    let mut call = Box::pin(cache.load(&access));
    let poll = std::future::poll_fn(|context| {
        std::task::Poll::Ready(call.as_mut().poll(context).is_ready())
    });
    assert!(poll.await);
    assert_eq!((seen.connections(), seen.commands()), (1, 1));
}

#[tokio::test]
async fn r2_a_connection_is_given_up_also_if_nobody_waits_for_its_limit() {
    let script = |n| match n {
        0 => Act::Stall,
        _ => Act::Send(NOTHING.to_vec()),
    };
    let (port, seen) = serve(script);
    let cache = RedisCache::builder(format!("redis://127.0.0.1:{port}"))
        .timeout(Duration::from_millis(300))
        .build()
        .unwrap();
    // As an engine does that has a usable token.
    let hasty = async || {
        let call = timeout(Duration::from_millis(30), cache.load(&access())).await;
        matches!(call, Ok(Ok(_)))
    };
    // The first one has to get as far as to send.
    until_async(async || {
        hasty().await;
        seen.commands() > 0
    })
    .await;
    until_async(hasty).await;
    assert!(seen.connections() >= 2);
}

#[tokio::test]
async fn r4_a_server_that_comes_and_goes_meets_no_storm() {
    let (port, seen) = serve(|_| Act::Close(NOTHING.to_vec()));
    let cache = open(port);
    let begun = Instant::now();
    let (mut calls, mut failed) = (0, 0);
    // Until there have been some pauses; each is an error at once.
    while seen.connections() < 6 {
        calls += 1;
        failed += usize::from(!loads(&cache).await);
        tokio::task::yield_now().await;
    }
    let elapsed = begun.elapsed();
    // The pauses are 50 ms and double, or half of that.
    let least: Duration = [25, 50, 100, 200, 400]
        .map(Duration::from_millis)
        .iter()
        .sum();
    assert!(elapsed >= least, "{elapsed:?}");
    assert!(failed > calls / 2 && calls > 100, "{failed} of {calls}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_calls_share_one_connection() {
    let (port, seen) = serve(|_| Act::Send(NOTHING.to_vec()));
    let cache = open(port);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let cache = cache.clone();
        tasks.spawn(async move { assert!(loads(&cache).await) });
    }
    tasks.join_all().await;
    assert_eq!((seen.connections(), seen.commands()), (1, 64));
}

#[test]
fn nothing_is_opened_before_the_first_call_and_no_runtime_is_needed() {
    let (port, seen) = serve(|_| Act::Send(NOTHING.to_vec()));
    let cache = open(port);
    drop(cache.clone());
    assert_eq!(seen.connections(), 0);
    block_on(async { assert!(loads(&cache).await) });
    assert_eq!(seen.connections(), 1);
}

#[test]
fn a_connection_does_not_outlive_its_runtime_and_is_in_nobodys_way() {
    let (port, seen) = serve(|_| Act::Send(NOTHING.to_vec()));
    let cache = open(port);
    for runtime in 1..=5 {
        // At the first try.
        block_on(async { cache.load(&access()).await.unwrap() });
        assert_eq!(seen.connections(), runtime);
    }
    // One that stands still answers nobody, and keeps nobody waiting.
    let idle = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    assert!(idle.block_on(loads(&cache)));
    block_on(async { cache.load(&access()).await.unwrap() });
    assert!(idle.block_on(loads(&cache)));
    assert_eq!(seen.connections(), 7);
}

#[tokio::test]
async fn a_change_is_told_once_and_not_each_call() {
    let warnings = Warnings::capture();
    let is_up = Arc::new(AtomicBool::new(false));
    let up = Arc::clone(&is_up);
    let (port, seen) = serve(move |_| match up.load(Ordering::SeqCst) {
        true => Act::Send(NOTHING.to_vec()),
        false => Act::Close(Vec::new()),
    });
    let cache = open(port);
    while seen.connections() < 4 {
        assert!(!loads(&cache).await);
        tokio::task::yield_now().await;
    }
    let lines = warnings.take();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(
        lines[0].contains("WARN") && lines[0].contains("is not of use"),
        "{lines:?}"
    );
    is_up.store(true, Ordering::SeqCst);
    until_async(async || loads(&cache).await).await;
    for _ in 0..10 {
        assert!(loads(&cache).await);
    }
    let lines = warnings.take();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].contains("of use again"), "{lines:?}");
}

#[tokio::test]
async fn r18_tls_sends_nothing_to_who_cannot_do_it() {
    // A server that does not know TLS, and one that nobody vouches for, are in `troubles`.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let received = thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut received = vec![0; 4096];
        let read = stream.read(&mut received).unwrap();
        received.truncate(read);
        stream.write_all(b"+OK\r\n+OK\r\n+OK\r\n").unwrap();
        // To its end.
        let _ = stream.read_to_end(&mut received);
        received
    });
    let cache = RedisCache::builder(format!(
        "rediss://user:canary-of-a-password@127.0.0.1:{port}"
    ))
    .timeout(Duration::from_secs(10))
    .build()
    .unwrap();
    let warnings = Warnings::capture();
    assert!(error(&cache).await.contains("TLS failed"));
    let lines = warnings.take();
    assert!(
        lines.len() == 1 && lines[0].contains("TLS failed"),
        "{lines:?}"
    );
    let received = received.join().unwrap();
    // A handshake, in which there is nothing of ours.
    assert_eq!(received[0], 0x16);
    for secret in [&b"canary"[..], b"AUTH", b"bloom-auth"] {
        assert!(
            !received
                .windows(secret.len())
                .any(|window| window == secret)
        );
    }
}

#[tokio::test]
async fn a_password_that_is_not_taken_is_told_without_it() {
    let warnings = Warnings::capture();
    let (port, seen) =
        serve(|_| Act::Send(b"-WRONGPASS no such password: canary-of-a-password\r\n".to_vec()));
    let text = error(&cache(port)).await;
    assert!(
        text.contains("does not take this user and password"),
        "{text}"
    );
    assert!(
        seen.bytes
            .lock()
            .unwrap()
            .windows(6)
            .any(|window| window == b"canary")
    );
    let lines = warnings.take();
    assert!(
        lines.len() == 1 && !lines[0].contains("canary"),
        "{lines:?}"
    );
}

#[tokio::test]
async fn r20_who_cannot_store_has_the_token_all_the_same() {
    let (port, _seen) = serve(|n| match n {
        // Neither a record nor a refusal; the lease; and again neither.
        0 | 1 | 3 | 4 => Act::Send(NOTHING.to_vec()),
        2 => Act::Send(b"+OK\r\n".to_vec()),
        _ => Act::Send(b"-OOM no\r\n".to_vec()),
    });
    let transport = ScriptedTransport::new([Reply::token("t", 3600)]);
    let provider = provider(&transport, open(port));
    for _ in 0..3 {
        assert_eq!(provider.token().await.unwrap().expose(), "t");
    }
    assert_eq!(transport.request_count(), 1);
    assert_eq!(provider.status().counts.cache_errors, 1);
}

#[tokio::test]
async fn the_documentation_of_core_names_the_events() {
    let log = EventLog::new();
    let _guard = tracing::subscriber::set_default(log.clone());
    let place = Place::new();
    place.store("first", 100).await;
    fs::write(place.file(), "nonsense").unwrap();
    assert_eq!(place.token().await, None);

    let port = free_port();
    let cache = open(port);
    error(&cache).await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    let _seen = serve_at(listener, |_| Act::Send(b"$8\r\nnonsense\r\n".to_vec()));
    until_async(async || loads(&cache).await).await;

    let documented = documented_events(env!("CARGO_PKG_NAME"));
    assert_eq!(log.seen(), documented);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    assert_eq!(emitted_events(&source).unwrap(), documented.len());
}
