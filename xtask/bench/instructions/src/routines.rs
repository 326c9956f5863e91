//! What of the library is counted.

use std::{
    future::Future,
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bloom_auth_cache::Sealer;
use bloom_auth_core::{
    AuthVersion, CacheAccess, CacheRecord, ClientCredentials, ClientId, ClientSecret,
    ConfigurationError, Environment, RequestBody, ResponseBody, TokenProvider, TokenProviders,
    Transport, TransportError,
    protocol::{TokenRequest, TokenResponse},
};
use http::{Request, Response};

use crate::{Problem, Routine, count};

pub(crate) const ROUTINES: &[Routine] = &[
    Routine {
        name: "try_authorization",
        floor: Some("floor_header"),
        times: 20_000,
        run: |times| hot(times, |provider| provider.try_authorization().is_some()),
    },
    Routine {
        name: "authorization",
        floor: Some("floor_header"),
        times: 20_000,
        run: |times| hot(times, |provider| is_ok_at_once(provider.authorization())),
    },
    Routine {
        name: "token",
        floor: Some("floor_header"),
        times: 20_000,
        run: |times| hot(times, |provider| is_ok_at_once(provider.token())),
    },
    Routine {
        name: "keyed_authorization",
        floor: Some("floor_keyed"),
        times: 50_000,
        run: |times| {
            keyed(times, |providers, key| {
                is_ok_at_once(providers.authorization(key))
            })
        },
    },
    Routine {
        name: "keyed_token",
        floor: Some("floor_keyed"),
        times: 50_000,
        run: |times| keyed(times, |providers, key| is_ok_at_once(providers.token(key))),
    },
    Routine {
        name: "parse",
        floor: Some("floor_parse"),
        times: 1_000,
        run: parse,
    },
    Routine {
        name: "seal",
        floor: Some("floor_seal"),
        times: 200,
        run: seal,
    },
    Routine {
        name: "open",
        floor: Some("floor_open"),
        times: 200,
        run: open,
    },
];

/// As many as a platform has tenants.
pub(crate) const KEYS: usize = 1_000;

/// Of a client, and what its tokens are sealed with.
pub(crate) const SECRET: &str = "a secret for benchmarks, of 32 characters and more";

pub(crate) fn key(number: usize) -> String {
    format!("tenant-{number:04}")
}

/// As long as Bloom's are.
pub(crate) fn access_token() -> String {
    "x".repeat(900)
}

/// What the server answers.
pub(crate) fn answer() -> String {
    let token = access_token();
    format!(
        r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":86400,"scope":"data-access"}}"#
    )
}

/// Answers every request with the same token.
#[derive(Clone, Copy, Debug)]
struct Server;

#[async_trait]
impl Transport for Server {
    async fn send(
        &self,
        _request: Request<RequestBody>,
    ) -> Result<Response<ResponseBody>, TransportError> {
        response()
    }
}

fn response() -> Result<Response<ResponseBody>, TransportError> {
    let mut body = ResponseBody::new();
    body.push(answer().as_bytes())?;
    Ok(Response::new(body))
}

fn credentials() -> Result<ClientCredentials, ConfigurationError> {
    let secret = ClientSecret::new(SECRET)?;
    Ok(ClientCredentials::new(ClientId::new("bench")?, secret))
}

fn provider() -> Result<TokenProvider, ConfigurationError> {
    let environment = Environment::sandbox(AuthVersion::V1);
    TokenProvider::builder(environment, credentials()?, Server).build()
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
}

/// Polled once and by hand: a fresh token is ready at once, and no runtime's work counts.
#[inline(always)]
fn is_ok_at_once<T, E>(future: impl Future<Output = Result<T, E>>) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(outcome) => black_box(outcome).is_ok(),
        Poll::Pending => false,
    }
}

/// A call on a provider that has a fresh token, and whose callers never met: the token lies in one
/// place.
fn hot(times: u64, call: impl Fn(&TokenProvider) -> bool) -> Result<(), Problem> {
    let provider = provider()?;
    runtime()?.block_on(provider.token())?;
    count(times, |_| call(black_box(&provider)))
}

/// The same for one key after the other.
fn keyed(
    times: u64,
    call: impl Fn(&TokenProviders<String>, &String) -> bool,
) -> Result<(), Problem> {
    let providers = TokenProviders::builder(|_: &String| provider()).build()?;
    let keys: Vec<String> = (0..KEYS).map(key).collect();
    let runtime = runtime()?;
    for key in &keys {
        runtime.block_on(providers.token(key))?;
    }
    count(times, |number| {
        let key = turn(&keys, number);
        key.is_some_and(|key| call(black_box(&providers), black_box(key)))
    })
}

/// One key after the other, again and again.
pub(crate) fn turn(keys: &[String], number: u64) -> Option<&String> {
    keys.get(number as usize % KEYS)
}

fn parse(times: u64) -> Result<(), Problem> {
    let (response, credentials) = (response()?, credentials()?);
    count(times, |_| {
        let decoded = TokenResponse::decode(black_box(&response), black_box(&credentials));
        black_box(decoded).is_ok()
    })
}

fn record() -> Result<(CacheAccess, CacheRecord), Problem> {
    let request = TokenRequest::new(Environment::sandbox(AuthVersion::V1));
    let access = CacheAccess::new(&request, &credentials()?);
    let lifetime = Duration::from_secs(86_400);
    let record = CacheRecord::new(&access_token(), None, SystemTime::UNIX_EPOCH, lifetime)?;
    Ok((access, record))
}

fn seal(times: u64) -> Result<(), Problem> {
    let (access, record) = record()?;
    let sealer = Sealer::new();
    count(times, |_| {
        let sealed = sealer.seal(black_box(&access), black_box(&record));
        black_box(sealed).is_ok()
    })
}

fn open(times: u64) -> Result<(), Problem> {
    let (access, record) = record()?;
    let sealer = Sealer::new();
    let sealed = sealer.seal(&access, &record)?;
    count(times, |_| {
        let opened = sealer.open(black_box(&access), black_box(&sealed));
        black_box(opened).is_ok()
    })
}
