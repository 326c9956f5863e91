//! What the token costs a request: the same request through one reqwest client, with a fixed header
//! and with `AuthorizedClient`, turn by turn, to the same server on loopback.

use std::{
    env,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use bench::{
    Problem,
    allocations::{Allocations, Counting},
    credentials,
};
use bloom_auth_core::{
    Environment, TokenProvider,
    test_util::{Reply, ScriptedTransport},
};
use bloom_auth_reqwest::AuthorizedClient;
use reqwest::{
    Client,
    header::{AUTHORIZATION, HeaderValue},
};

/// How often each way has its turn, and for how many requests.
const ROUNDS: usize = 400;
const ROUNDS_QUICK: usize = 4;
const REQUESTS: usize = 25;

const PATH: &str = "/v2/core/organization";
const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";

#[global_allocator]
static COUNTING: Counting = Counting;

/// What one way took, turn by turn.
#[derive(Default)]
struct Taken {
    times: Vec<Duration>,
    /// The least of a request.
    allocations: Option<u64>,
}

impl Taken {
    #[expect(
        clippy::disallowed_methods,
        reason = "what is measured is the time that really passes"
    )]
    async fn turn(
        &mut self,
        request: impl AsyncFn() -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let start = Instant::now();
        for _ in 0..REQUESTS {
            let before = Allocations::of_this_thread().count;
            request().await?;
            let allocations = Allocations::of_this_thread().count - before;
            let least = self
                .allocations
                .map_or(allocations, |least| least.min(allocations));
            self.allocations = Some(least);
        }
        self.times.push(start.elapsed());
        Ok(())
    }

    /// The time of a request: the least of all turns, and the median.
    fn times(&mut self) -> Result<(f64, f64), Problem> {
        self.times.sort();
        let per_request = |time: &Duration| time.as_secs_f64() * 1e6 / REQUESTS as f64;
        let least = self.times.first().ok_or("nothing was measured")?;
        let median = self
            .times
            .get(self.times.len() / 2)
            .ok_or("nothing was measured")?;
        Ok((per_request(least), per_request(median)))
    }
}

fn main() -> Result<(), Problem> {
    // Cargo says `--bench` when it measures; without, this is a mere test.
    let has = |flag: &str| env::args().any(|arg| arg == flag);
    let rounds = if has("--bench") && !has("--quick") {
        ROUNDS
    } else {
        ROUNDS_QUICK
    };
    let origin = serve()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(compare(&origin, rounds))
}

async fn compare(origin: &str, rounds: usize) -> Result<(), Problem> {
    let client = Client::builder().no_proxy().build()?;
    let environment = Environment::custom("https://auth.test/token", origin);
    let environment = environment.allow_insecure_loopback().build()?;
    let transport = ScriptedTransport::new([Reply::token(&bench::token(), 86_400)]);
    let provider = TokenProvider::builder(environment, credentials()?, transport).build()?;
    let authorized = AuthorizedClient::with_client(provider.clone(), client.clone());
    let fixed: HeaderValue = provider.authorization().await?;
    let url = format!("{origin}{PATH}");

    let bare = async || {
        let request = client.get(&url).header(AUTHORIZATION, fixed.clone());
        request.send().await?.bytes().await?;
        Ok(())
    };
    let with_token = async || {
        authorized.get(PATH).send().await?.bytes().await?;
        Ok(())
    };
    let (mut without, mut with) = (Taken::default(), Taken::default());
    for round in 0..rounds {
        // Who is first changes, and so does who finds the machine warm.
        if round % 2 == 0 {
            without.turn(bare).await?;
            with.turn(with_token).await?;
        } else {
            with.turn(with_token).await?;
            without.turn(bare).await?;
        }
    }
    let (least, median) = without.times()?;
    let (least_with, median_with) = with.times()?;
    println!(
        "authorized              {least_with:.1} µs a request, fixed header {least:.1} µs: \
         {:+.1} % (minima of {rounds} turns); medians {median_with:.1} and {median:.1} µs: {:+.1} %; \
         {} and {} allocations",
        (least_with / least - 1.0) * 100.0,
        (median_with / median - 1.0) * 100.0,
        with.allocations.unwrap_or_default(),
        without.allocations.unwrap_or_default(),
    );
    if with.allocations > without.allocations {
        return Err("a token costs allocations".into());
    }
    Ok(())
}

/// Answers every request on loopback, each connection on a thread of its own.
fn serve() -> Result<String, Problem> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let origin = format!("http://{}", listener.local_addr()?);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream));
        }
    });
    Ok(origin)
}

/// Until the client hangs up; requests have no body here.
fn answer(mut stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        received.extend_from_slice(buffer.get(..length).unwrap_or_default());
        if received.ends_with(b"\r\n\r\n") {
            received.clear();
            if stream.write_all(ANSWER).is_err() {
                return;
            }
        }
    }
}
