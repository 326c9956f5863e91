//! What the tests of this binary share: a provider with everything scripted,
//! a cache that obeys, a transport whose answers a test gives one by one.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use async_trait::async_trait;
use bloom_auth_core::{
    AccessToken, AuthVersion, CacheAccess, CacheError, CacheKey, CacheRecord, ClientCredentials,
    ClientId, ClientSecret, Clock, CredentialsSource, Entropy, Environment, Lease, LeaseGuard,
    RequestBody, ResponseBody, TokenCache, TokenHash, TokenProvider, TokenProviderBuilder,
    Transport, TransportError,
    test_util::{Reply, ScriptedCredentials, TokioClock},
};
use http::{Request, Response};
use tokio::{runtime::Runtime, sync::oneshot};

/// The first secret; long enough to seal with, and found in no error text.
pub(crate) const SECRET: &str = "canary-secret-7f3d9a1c55e0b2468ace";

/// What the token called `name` looks like on the wire.
pub(crate) fn wire(name: &str) -> String {
    format!("canary-token-{name}")
}

/// What a token is called.
pub(crate) fn name(token: &AccessToken) -> &str {
    let text = token.expose();
    text.strip_prefix("canary-token-").unwrap_or(text)
}

/// A token response with the token called `name`.
pub(crate) fn token_reply(name: &str, lifetime: u64) -> Reply {
    Reply::token(&wire(name), lifetime)
}

pub(crate) fn credentials() -> ScriptedCredentials {
    ScriptedCredentials::new("client", SECRET).unwrap()
}

/// A provider without jitter, on tokio's time.
pub(crate) fn builder(
    credentials: impl CredentialsSource + 'static,
    transport: impl Transport + 'static,
) -> TokenProviderBuilder {
    let environment = Environment::sandbox(AuthVersion::V1);
    TokenProvider::builder(environment, credentials, transport)
        .clock(TokioClock::new())
        .entropy(Draw::default())
}

/// A provider as [`builder`] sets it up.
pub(crate) fn provider(transport: impl Transport + 'static) -> TokenProvider {
    builder(credentials(), transport).build().unwrap()
}

/// A runtime of one thread with paused time, which stands still unless it is
/// driven.
pub(crate) fn paused() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
}

/// With real threads and real time; 0 workers are the caller's own thread.
/// The provider's clock stands still, so that a slow machine changes nothing.
pub(crate) fn real(workers: usize) -> Runtime {
    let mut builder = match workers {
        0 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    builder
        .worker_threads(workers.max(1))
        .enable_time()
        .build()
        .unwrap()
}

/// Lets every task of the runtime go on until it waits for time or for a test.
pub(crate) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// Polls once.
pub(crate) fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// The output of a future that is ready when it is first polled.
pub(crate) fn ready<F: Future>(future: F) -> Option<F::Output> {
    match poll(pin!(future)) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Jitter that a test sets; none at first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draw(Arc<AtomicU64>);

impl Draw {
    pub(crate) fn set(&self, draw: u64) {
        self.0.store(draw, Ordering::SeqCst);
    }
}

impl Entropy for Draw {
    fn draw(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// A transport whose answers a test gives, request by request. Clones are the
/// same transport.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<GateInner>);

#[derive(Default)]
struct GateInner {
    state: Mutex<GateState>,
    arrived: Condvar,
}

#[derive(Default)]
struct GateState {
    requests: Vec<Option<oneshot::Sender<Reply>>>,
    under_way: usize,
}

impl Gate {
    /// How many requests there have been.
    pub(crate) fn requests(&self) -> usize {
        self.state().requests.len()
    }

    /// How many requests have been neither answered nor given up.
    pub(crate) fn under_way(&self) -> usize {
        self.state().under_way
    }

    /// Blocks this thread until there have been `n` requests.
    pub(crate) fn wait_for(&self, n: usize) {
        let arrived = &self.0.arrived;
        let limit = Duration::from_secs(60);
        let (state, _) = arrived
            .wait_timeout_while(self.state(), limit, |state| state.requests.len() < n)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(state.requests.len() >= n, "request {n} never came");
    }

    /// Answers request `n`, from 1, with the token of that name.
    pub(crate) fn answer(&self, n: usize) {
        self.answer_with(n, token_reply(&n.to_string(), 3600));
    }

    /// Answers request `n`, from 1.
    pub(crate) fn answer_with(&self, n: usize, reply: Reply) {
        let sender = self.state().requests[n - 1].take();
        // Nobody listens any more if the engine has given the request up.
        let _ = sender.expect("a request is answered once").send(reply);
    }

    fn state(&self) -> MutexGuard<'_, GateState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gate({} requests)", self.requests())
    }
}

/// Ends the count of a request, also when its future is dropped.
struct UnderWay(Gate);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.state().under_way -= 1;
    }
}

#[async_trait]
impl Transport for Gate {
    async fn send(
        &self,
        request: Request<RequestBody>,
    ) -> Result<Response<ResponseBody>, TransportError> {
        let (sender, reply) = oneshot::channel();
        {
            let mut state = self.state();
            state.requests.push(Some(sender));
            state.under_way += 1;
        }
        let _under_way = UnderWay(self.clone());
        self.0.arrived.notify_all();
        let reply = match reply.await {
            Ok(reply) => reply,
            Err(_) => std::future::pending().await,
        };
        bloom_auth_core::test_util::ScriptedTransport::new([reply])
            .send(request)
            .await
    }
}

/// The credentials of the client with this id.
pub(crate) fn client(id: &str) -> ClientCredentials {
    let secret = ClientSecret::new(format!("{SECRET}-{id}")).unwrap();
    ClientCredentials::new(ClientId::new(id).unwrap(), secret)
}

/// A transport that answers each client with a token of its own, and keeps
/// nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Echo;

impl Echo {
    /// The token of the client with this id.
    pub(crate) fn token(id: &str) -> String {
        format!("{id}-{}", "t".repeat(300))
    }
}

#[async_trait]
impl Transport for Echo {
    async fn send(
        &self,
        request: Request<RequestBody>,
    ) -> Result<Response<ResponseBody>, TransportError> {
        // As over a network, the answer does not come at once.
        tokio::task::yield_now().await;
        let body = request.into_body().into_bytes();
        let form = std::str::from_utf8(&body).unwrap();
        let mut fields = form.split('&');
        let id = fields.find_map(|field| field.strip_prefix("client_id="));
        let token = Self::token(id.unwrap());
        let answer =
            format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":3600}}"#);
        let mut body = ResponseBody::new();
        body.push(answer.as_bytes())?;
        Ok(Response::new(body))
    }
}

/// How a [`TestCache`] answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    #[default]
    Works,
    Fails,
    Hangs,
    Slow(Duration),
}

/// A cache in memory that works, fails or hangs as it is told, and notes every
/// call. Clones are the same cache.
#[derive(Clone, Default)]
pub(crate) struct TestCache(Arc<Mutex<CacheState>>);

#[derive(Default)]
struct CacheState {
    records: HashMap<CacheKey, CacheRecord>,
    leases: HashSet<CacheKey>,
    held_elsewhere: bool,
    calls: Vec<&'static str>,
    mood: Mood,
}

impl TestCache {
    pub(crate) fn set_mood(&self, mood: Mood) {
        self.state().mood = mood;
    }

    /// Whether somebody else, who shares the cache, has the lease.
    pub(crate) fn set_lease_held(&self, held: bool) {
        self.state().held_elsewhere = held;
    }

    /// Puts a token there that somebody else sent for `age` seconds ago.
    pub(crate) fn put(
        &self,
        access: &CacheAccess,
        token: &str,
        lifetime: u64,
        clock: &TokioClock,
        age: i64,
    ) {
        let now = clock.now().system_time();
        let distance = Duration::from_secs(age.unsigned_abs());
        let sent = if age < 0 {
            now + distance
        } else {
            now - distance
        };
        let lifetime = Duration::from_secs(lifetime);
        let record = CacheRecord::new(&wire(token), None, sent, lifetime).unwrap();
        self.state().records.insert(access.key().clone(), record);
    }

    /// The names of the tokens in it.
    pub(crate) fn tokens(&self) -> Vec<String> {
        let state = self.state();
        let names = state.records.values().map(|record| name(record.token()));
        let mut names: Vec<_> = names.map(str::to_owned).collect();
        names.sort();
        names
    }

    /// The calls since this was last asked.
    pub(crate) fn take_calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.state().calls)
    }

    async fn note(&self, call: &'static str) -> Result<(), CacheError> {
        let mood = {
            let mut state = self.state();
            state.calls.push(call);
            state.mood
        };
        match mood {
            Mood::Works => {}
            Mood::Fails => return Err(CacheError::new("the script says so")),
            Mood::Hangs => std::future::pending().await,
            Mood::Slow(time) => tokio::time::sleep(time).await,
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, CacheState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for TestCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TestCache({} records)", self.state().records.len())
    }
}

#[async_trait]
impl TokenCache for TestCache {
    async fn load(&self, access: &CacheAccess) -> Result<Option<CacheRecord>, CacheError> {
        self.note("load").await?;
        Ok(self.state().records.get(access.key()).cloned())
    }

    async fn store(&self, access: &CacheAccess, record: &CacheRecord) -> Result<(), CacheError> {
        self.note("store").await?;
        let key = access.key().clone();
        self.state().records.insert(key, record.clone());
        Ok(())
    }

    async fn remove(&self, access: &CacheAccess, token: &TokenHash) -> Result<(), CacheError> {
        self.note("remove").await?;
        let mut state = self.state();
        let held = state.records.get(access.key());
        if held.is_some_and(|record| record.token().hash() == *token) {
            state.records.remove(access.key());
        }
        Ok(())
    }

    async fn lease(&self, access: &CacheAccess) -> Result<Lease, CacheError> {
        self.note("lease").await?;
        let mut state = self.state();
        if state.held_elsewhere || !state.leases.insert(access.key().clone()) {
            return Ok(Lease::Held);
        }
        Ok(Lease::Granted(LeaseGuard::new(Freed {
            cache: self.clone(),
            key: access.key().clone(),
        })))
    }
}

struct Freed {
    cache: TestCache,
    key: CacheKey,
}

impl Drop for Freed {
    fn drop(&mut self) {
        let mut state = self.cache.state();
        state.calls.push("free");
        state.leases.remove(&self.key);
    }
}
