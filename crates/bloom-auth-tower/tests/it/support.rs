//! What the tests share: an API that a test makes answer, and tokens for it.

use std::{
    collections::HashSet,
    error::Error as StdError,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bloom_auth_core::{
    AuthVersion, Bearer, Environment, TokenProvider, Transport,
    test_util::{FixedEntropy, ScriptedCredentials, ScriptedTransport, TokioClock},
};
use bloom_auth_tower::{BearerLayer, BoxError};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
    header::{AUTHORIZATION, IntoHeaderName},
};
use http_body::Body;
use http_body_util::{BodyExt as _, Empty, Full};
use tokio::sync::{Barrier, Semaphore};
use tower::{Service, ServiceExt as _};

pub(crate) const URL: &str = "https://sandbox.bloom.dev/v2/core/organization";

/// An API that refuses the tokens that it is told to. Clones are the same API,
/// but each has to be ready before it is called, and panics if it is not.
pub(crate) struct Api {
    shared: Arc<Shared>,
    is_ready: bool,
}

struct Shared {
    state: Mutex<State>,
    /// Every request waits here, if there is one.
    barrier: Option<Barrier>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) refused: HashSet<&'static str>,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The next request waits for a permit.
    pub(crate) held: Option<Arc<Semaphore>>,
    pub(crate) is_broken: bool,
    /// Nobody becomes ready.
    pub(crate) is_closed: bool,
    pub(crate) never_ready_again: bool,
    pub(crate) asked: usize,
    pub(crate) under_way: usize,
    pub(crate) seen: Vec<Seen>,
    wakers: Vec<Waker>,
}

/// A request that arrived.
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) url: Uri,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) mark: Option<Mark>,
    pub(crate) body: Bytes,
}

/// An extension of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark(pub(crate) u32);

impl Seen {
    /// The value of the header, without the scheme.
    pub(crate) fn token(&self) -> Option<&str> {
        let value = self.headers.get(AUTHORIZATION)?.to_str().unwrap();
        Some(value.trim_start_matches("Bearer "))
    }
}

impl Api {
    pub(crate) fn new() -> Self {
        Self::with_barrier(None)
    }

    pub(crate) fn with_barrier(barrier: Option<Barrier>) -> Self {
        let state = Mutex::new(State::default());
        Self {
            shared: Arc::new(Shared { state, barrier }),
            is_ready: false,
        }
    }

    pub(crate) fn refusing(tokens: &[&'static str]) -> Self {
        let api = Self::new();
        api.state().refused = tokens.iter().copied().collect();
        api
    }

    pub(crate) fn answering(
        status: u16,
        headers: impl IntoIterator<Item = (impl IntoHeaderName, &'static str)>,
    ) -> Self {
        let api = Self::new();
        api.state().status = StatusCode::from_u16(status).unwrap();
        for (name, value) in headers {
            let value = HeaderValue::from_static(value);
            api.state().headers.insert(name, value);
        }
        api
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        let state = &self.shared.state;
        state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tokens that requests carried, in their order.
    #[track_caller]
    pub(crate) fn carried(&self, expected: &[&str]) {
        let state = self.state();
        let carried: Vec<_> = state.seen.iter().map(|seen| seen.token()).collect();
        let expected: Vec<_> = expected.iter().map(|token| Some(*token)).collect();
        assert_eq!(carried, expected);
    }

    /// Lets those who wait become ready.
    pub(crate) fn open(&self) {
        let mut state = self.state();
        state.is_closed = false;
        for waker in std::mem::take(&mut state.wakers) {
            waker.wake();
        }
    }
}

impl Clone for Api {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            is_ready: false,
        }
    }
}

impl<B> Service<Request<B>> for Api
where
    B: Body<Data = Bytes, Error: fmt::Debug> + Send + 'static,
{
    type Response = Response<Full<Bytes>>;
    type Error = Broken;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Broken>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.asked += 1;
        if state.never_ready_again {
            return Poll::Ready(Err(Broken));
        }
        if state.is_closed {
            state.wakers.push(cx.waker().clone());
            return Poll::Pending;
        }
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        assert!(self.is_ready, "called without being ready");
        self.is_ready = false;
        let api = self.clone();
        Box::pin(async move {
            let _under_way = UnderWay::new(&api);
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let seen = Seen {
                method: parts.method,
                url: parts.uri,
                version: parts.version,
                headers: parts.headers,
                mark: parts.extensions.get().cloned(),
                body,
            };
            let (held, is_refused) = {
                let mut state = api.state();
                let token = seen.token();
                let is_refused = token.is_some_and(|token| state.refused.contains(token));
                state.seen.push(seen);
                (state.held.take(), is_refused)
            };
            if let Some(held) = held {
                held.acquire().await.unwrap().forget();
            }
            if let Some(barrier) = &api.shared.barrier {
                barrier.wait().await;
            }
            let state = api.state();
            if state.is_broken {
                return Err(Broken);
            }
            let mut answer = Response::new(Full::default());
            *answer.status_mut() = match is_refused {
                true => StatusCode::UNAUTHORIZED,
                false => state.status,
            };
            *answer.headers_mut() = state.headers.clone();
            Ok(answer)
        })
    }
}

/// Counts requests that have been neither answered nor given up.
struct UnderWay(Api);

impl UnderWay {
    fn new(api: &Api) -> Self {
        api.state().under_way += 1;
        Self(api.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.state().under_way -= 1;
    }
}

/// Why the service inside fails.
#[derive(Debug)]
pub(crate) struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("broken")
    }
}

impl StdError for Broken {}

/// Tokens, each for an hour.
pub(crate) fn tokens(tokens: &[&str]) -> ScriptedTransport {
    let reply = |token: &&str| bloom_auth_core::test_util::Reply::token(token, 3600);
    ScriptedTransport::new(tokens.iter().map(reply))
}

pub(crate) fn provider(transport: impl Transport + 'static) -> TokenProvider {
    provider_for(Environment::sandbox(AuthVersion::V1), transport)
}

/// A provider for an API on this machine, at this URL.
pub(crate) fn local_provider(transport: impl Transport + 'static, api_url: &str) -> TokenProvider {
    let environment = Environment::custom("https://auth.test/token", api_url);
    let environment = environment.allow_insecure_loopback().build().unwrap();
    provider_for(environment, transport)
}

fn provider_for(environment: Environment, transport: impl Transport + 'static) -> TokenProvider {
    let secret = "canary-secret-7f3d9a1c55e0b2468ace";
    let credentials = ScriptedCredentials::new("client", secret).unwrap();
    TokenProvider::builder(environment, credentials, transport)
        .clock(TokioClock::new())
        .entropy(FixedEntropy::LEAST)
        .build()
        .unwrap()
}

pub(crate) fn bearer(transport: &ScriptedTransport) -> Bearer {
    Bearer::new(provider(transport.clone()))
}

pub(crate) fn layer(transport: &ScriptedTransport) -> BearerLayer {
    BearerLayer::new(provider(transport.clone()))
}

pub(crate) fn get(url: &str) -> Request<Empty<Bytes>> {
    Request::get(url).body(Empty::new()).unwrap()
}

pub(crate) fn post(body: &'static str) -> Request<Full<Bytes>> {
    Request::post(URL).body(body.into()).unwrap()
}

/// Calls a clone of the service once it is ready.
pub(crate) async fn send<S, B, R>(service: &S, request: Request<B>) -> Result<Response<R>, BoxError>
where
    S: Service<Request<B>, Response = Response<R>, Error = BoxError, Future: Send>,
    S: Clone + Send + Sync,
    B: Send,
    R: Send,
{
    service.clone().oneshot(request).await
}

pub(crate) async fn status<S, B, R>(service: &S, request: Request<B>) -> u16
where
    S: Service<Request<B>, Response = Response<R>, Error = BoxError, Future: Send>,
    S: Clone + Send + Sync,
    B: Send,
    R: Send,
{
    let answer = send(service, request).await;
    answer.map(|answer| answer.status().as_u16()).unwrap()
}

/// Lets every task of the runtime go on until it waits for time or for a test.
pub(crate) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}
