//! What the tests of blocking calls have in common.

use std::{
    ffi::OsString,
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    time::Duration,
};

use async_trait::async_trait;
use bloom_auth::{
    AuthVersion, ClientCredentials, ClientId, ClientSecret, Environment, RequestBody, ResponseBody,
    TokenProvider, Transport, TransportError, blocking,
};
use bloom_auth_core::{
    TokenProviderBuilder,
    test_util::{ManualClock, Reply, ScriptedTransport},
};
use bloom_auth_emulator::{Counts, Emulator};
use http::{Request, Response};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::oneshot,
};

pub(super) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// An emulator on a thread of its own.
pub(super) struct Server {
    pub(super) emulator: Emulator,
    _runtime: Runtime,
}

impl Server {
    pub(super) fn start() -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let emulator = Emulator::builder().plain_http().start();
        Self {
            emulator: runtime.block_on(emulator).unwrap(),
            _runtime: runtime,
        }
    }

    pub(super) fn counts(&self) -> Counts {
        self.emulator.counts()
    }

    /// The variables that lead here.
    pub(super) fn lookup(&self) -> impl Fn(&str) -> Option<OsString> + Send + Sync + 'static {
        let (id, secret) = (
            self.emulator.client_id().to_owned(),
            self.emulator.client_secret(),
        );
        let (token_url, api_url) = (self.emulator.v1_token_url(), self.emulator.api_url());
        let audience = self.emulator.audience().to_owned();
        move |name| {
            let value = match name {
                "BLOOM_CLIENT_ID" => &id,
                "BLOOM_CLIENT_SECRET" => &secret,
                "BLOOM_TOKEN_URL" => &token_url,
                "BLOOM_API_URL" => &api_url,
                "BLOOM_AUDIENCE" => &audience,
                "BLOOM_ALLOW_INSECURE_LOOPBACK" => "true",
                _ => return None,
            };
            Some(value.into())
        }
    }
}

/// A provider whose time stands still unless the test moves it.
pub(super) fn provider_builder(
    transport: impl Transport + 'static,
    clock: ManualClock,
) -> TokenProviderBuilder {
    let (id, secret) = (ClientId::new("client"), ClientSecret::new("secret"));
    let credentials = ClientCredentials::new(id.unwrap(), secret.unwrap());
    let environment = Environment::sandbox(AuthVersion::V1);
    TokenProvider::builder(environment, credentials, transport).clock(clock)
}

pub(super) fn provider(transport: impl Transport + 'static, clock: ManualClock) -> TokenProvider {
    provider_builder(transport, clock).build().unwrap()
}

/// Lets the thread begin a fetch, without waiting for it.
#[track_caller]
pub(super) fn start_fetch(auth: &blocking::BloomAuth) {
    assert!(auth.try_authorization().is_none());
    assert_eq!(auth.status().counts.fetches, 1);
}

/// A transport whose answers a test gives, request by request. Clones are the
/// same one.
#[derive(Clone, Default)]
pub(super) struct Gate(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    requests: Vec<Option<oneshot::Sender<Reply>>>,
    under_way: usize,
}

impl Gate {
    /// How many requests there have been.
    pub(super) fn requests(&self) -> usize {
        self.state().requests.len()
    }

    /// How many have been neither answered nor given up.
    pub(super) fn under_way(&self) -> usize {
        self.state().under_way
    }

    /// Blocks this thread until there have been `n` requests.
    pub(super) fn wait_for(&self, n: usize) {
        let limit = Duration::from_secs(60);
        let (state, _) = self
            .0
            .1
            .wait_timeout_while(self.state(), limit, |state| state.requests.len() < n)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(state.requests.len() >= n, "request {n} never came");
    }

    /// Waits for request `n`, from 1, and answers it with a token of that name,
    /// for an hour.
    pub(super) fn answer(&self, n: usize) {
        self.wait_for(n);
        let sender = self.state().requests[n - 1].take();
        let reply = Reply::token(&n.to_string(), 3600);
        // Nobody listens any more if the engine has given the request up.
        let _ = sender.expect("a request is answered once").send(reply);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.0.1.notify_all();
        let reply = match reply.await {
            Ok(reply) => reply,
            Err(_) => std::future::pending().await,
        };
        ScriptedTransport::new([reply]).send(request).await
    }
}

/// A transport that gives tokens, and tells when the runtimes have ended in
/// which it did.
pub(super) struct WhenEnded(mpsc::Sender<()>);

impl WhenEnded {
    pub(super) fn new() -> (Self, mpsc::Receiver<()>) {
        let (sender, ended) = mpsc::channel();
        (Self(sender), ended)
    }
}

impl fmt::Debug for WhenEnded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WhenEnded")
    }
}

struct Tell(mpsc::Sender<()>);

impl Drop for Tell {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[async_trait]
impl Transport for WhenEnded {
    async fn send(
        &self,
        request: Request<RequestBody>,
    ) -> Result<Response<ResponseBody>, TransportError> {
        let tell = Tell(self.0.clone());
        Handle::current().spawn(async move {
            let _tell = tell;
            std::future::pending::<()>().await;
        });
        let reply = Reply::token("A", 3600);
        ScriptedTransport::new([reply]).send(request).await
    }
}
