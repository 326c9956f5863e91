//! From nothing to the first token, and from one token to the next: through our engine and
//! transport, and through bare reqwest that parses the same JSON, turn by turn, each time on a new
//! connection to the same server on loopback.

use std::{
    env,
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use bench::{Problem, credentials};
use bloom_auth_core::{Environment, TokenProvider};
use bloom_auth_reqwest::ReqwestTransport;
use reqwest::{Certificate, Client};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned, crypto::aws_lc_rs, pki_types::PrivateKeyDer,
};
use serde::Deserialize;

/// How often each way has its turn.
const ROUNDS: usize = 400;
const ROUNDS_QUICK: usize = 4;

/// From nothing to a token, ours may take as many times the time of bare reqwest.
const MOST: f64 = 1.2;

/// Gives the same token to everyone, and closes the connection.
struct Server {
    url: String,
    /// The certificate to trust; none with plain http.
    ca: Option<String>,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
}

/// What is made of the answer by whoever has no library for it.
#[derive(Deserialize)]
struct Answer {
    access_token: String,
    token_type: String,
    expires_in: u64,
    scope: Option<String>,
}

/// What two ways took, turn by turn.
#[derive(Default)]
struct Taken {
    ours: Vec<Duration>,
    bare: Vec<Duration>,
}

fn main() -> Result<(), Problem> {
    // Cargo says `--bench` when it measures; without, this is a mere test.
    let has = |flag: &str| env::args().any(|arg| arg == flag);
    let is_measured = has("--bench") && !has("--quick");
    let rounds = if is_measured { ROUNDS } else { ROUNDS_QUICK };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut is_good = true;
    for (scheme, server) in [("http", Server::plain()?), ("https", Server::tls()?)] {
        let mut cold = Taken::default();
        let mut next = Taken::default();
        runtime.block_on(compare(&server, rounds, &mut cold, &mut next))?;
        let seen = |count: &AtomicUsize| count.load(Ordering::SeqCst);
        let tokens = cold.ours.len() + cold.bare.len() + next.ours.len() + next.bare.len();
        // Those that are ready to go fetch a token before they are measured.
        let expected = (tokens + 2, tokens + 2);
        let contacts = (seen(&server.connections), seen(&server.requests));
        if contacts != expected {
            return Err(format!("(connections, requests): {contacts:?}, not {expected:?}").into());
        }
        is_good &= cold.report(&format!("cold_{scheme}"))? <= MOST;
        next.report(&format!("next_{scheme}"))?;
    }
    // A few turns show that it runs, and no more.
    if is_measured && !is_good {
        return Err(format!("cold: more than {MOST} times as long as bare reqwest").into());
    }
    Ok(())
}

async fn compare(
    server: &Server,
    rounds: usize,
    cold: &mut Taken,
    next: &mut Taken,
) -> Result<(), Problem> {
    let (provider, client) = (provider(server)?, client(server)?);
    provider.token().await?;
    post(&client, server).await?;
    for round in 0..rounds {
        // Who is first changes, and so does who finds the machine warm.
        for is_ours in [round % 2 == 0, round % 2 != 0] {
            if is_ours {
                let ours = timed(async || Ok(self::provider(server)?.token().await?));
                cold.ours.push(ours.await?);
                let ours = timed(async || Ok(provider.refresh().await?));
                next.ours.push(ours.await?);
            } else {
                let bare = timed(async || post(&self::client(server)?, server).await);
                cold.bare.push(bare.await?);
                let bare = timed(async || post(&client, server).await);
                next.bare.push(bare.await?);
            }
        }
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is measured is the time that really passes"
)]
async fn timed<T>(work: impl AsyncFnOnce() -> Result<T, Problem>) -> Result<Duration, Problem> {
    let start = Instant::now();
    let token = work().await?;
    let time = start.elapsed();
    drop(token);
    // The task that drives the connection ends it, at nobody's cost.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    Ok(time)
}

fn provider(server: &Server) -> Result<TokenProvider, Problem> {
    let mut transport = ReqwestTransport::builder();
    let mut environment = Environment::custom(&server.url, &server.url);
    match &server.ca {
        Some(ca) => transport = transport.with_root_certificate(ca)?,
        None => {
            transport = transport.allow_insecure_loopback();
            environment = environment.allow_insecure_loopback();
        }
    }
    let (environment, transport) = (environment.build()?, transport.build()?);
    Ok(TokenProvider::builder(environment, credentials()?, transport).build()?)
}

/// As whoever needs no more than a token would build it; no connection is kept.
fn client(server: &Server) -> Result<Client, Problem> {
    let mut client = Client::builder().no_proxy().pool_max_idle_per_host(0);
    if let Some(ca) = &server.ca {
        client = client.tls_certs_only([Certificate::from_pem(ca.as_bytes())?]);
    }
    Ok(client.build()?)
}

async fn post(client: &Client, server: &Server) -> Result<Answer, Problem> {
    let credentials = credentials()?;
    let secret = credentials.secret().ok_or("no secret")?;
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", credentials.id().as_str()),
        ("client_secret", secret.expose()),
        ("audience", server.url.as_str()),
    ];
    let request = client.post(&server.url).form(&form);
    let answer: Answer = request.send().await?.error_for_status()?.json().await?;
    let is_usable = !answer.access_token.is_empty() && answer.expires_in > 0;
    if !is_usable || answer.token_type != "Bearer" || answer.scope.is_some() {
        return Err("that is another answer".into());
    }
    Ok(answer)
}

impl Taken {
    /// Prints the times and how many times those of bare reqwest they are, and returns the least
    /// of that: what only the minima or the medians show says more of the machine.
    fn report(&mut self, name: &str) -> Result<f64, Problem> {
        let (least, median) = summary(&mut self.ours)?;
        let (bare_least, bare_median) = summary(&mut self.bare)?;
        let ratios = (least / bare_least, median / bare_median);
        println!(
            "{name:<24}{least:.1} µs, bare reqwest {bare_least:.1} µs: {:.2} times (minima of {} \
             turns); medians {median:.1} and {bare_median:.1} µs: {:.2} times",
            ratios.0,
            self.ours.len(),
            ratios.1,
        );
        Ok(ratios.0.min(ratios.1))
    }
}

/// The least and the median, in microseconds.
fn summary(times: &mut [Duration]) -> Result<(f64, f64), Problem> {
    times.sort();
    let least = times.first().ok_or("nothing was measured")?;
    let median = times.get(times.len() / 2).ok_or("nothing was measured")?;
    Ok((least.as_secs_f64() * 1e6, median.as_secs_f64() * 1e6))
}

impl Server {
    fn plain() -> Result<Self, Problem> {
        Self::start("http", None, Some)
    }

    fn tls() -> Result<Self, Problem> {
        let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        let key = PrivateKeyDer::try_from(own.signing_key.serialize_der())?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)?;
        let config = Arc::new(config);
        Self::start("https", Some(own.cert.pem()), move |stream| {
            let connection = ServerConnection::new(Arc::clone(&config)).ok()?;
            Some(StreamOwned::new(connection, stream))
        })
    }

    fn start<S: Read + Write>(
        scheme: &str,
        ca: Option<String>,
        begin: impl Fn(TcpStream) -> Option<S> + Send + 'static,
    ) -> Result<Self, Problem> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let server = Self {
            url: format!("{scheme}://{}/oauth/token", listener.local_addr()?),
            ca,
            connections: Arc::default(),
            requests: Arc::default(),
        };
        let connections = Arc::clone(&server.connections);
        let requests = Arc::clone(&server.requests);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                connections.fetch_add(1, Ordering::SeqCst);
                let _ = stream.set_nodelay(true);
                // Whoever gets no answer says so.
                if let Some(mut stream) = begin(stream) {
                    let _ = answer(&mut stream, &requests);
                }
            }
        });
        Ok(server)
    }
}

/// Reads requests and answers each, until the client hangs up.
fn answer(stream: &mut (impl Read + Write), requests: &AtomicUsize) -> Result<(), Problem> {
    let token = bench::token();
    let body = format!(r#"{{"access_token":"{token}","expires_in":86400,"token_type":"Bearer"}}"#);
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        received.extend_from_slice(buffer.get(..length).unwrap_or_default());
        if is_whole(&received) {
            requests.fetch_add(1, Ordering::SeqCst);
            received.clear();
            stream.write_all(answer.as_bytes())?;
            stream.flush()?;
        }
    }
    Ok(())
}

/// Whether the head is there, and as much of a body as it says.
fn is_whole(received: &[u8]) -> bool {
    let text = String::from_utf8_lossy(received);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse::<usize>().ok())?
    });
    length.is_some_and(|length| body.len() >= length)
}
