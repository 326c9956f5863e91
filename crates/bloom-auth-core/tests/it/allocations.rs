//! How often a call allocates: never while the token is fresh, and a known
//! number of times for a fetch.

use std::{
    hint::black_box,
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use async_trait::async_trait;
use bloom_auth_core::{
    AuthVersion, Environment, RequestBody, ResponseBody, TokenProvider, TokenProviders, Transport,
    TransportError,
    test_util::{ManualClock, ScriptedTransport, allocations, small_allocations},
};
use http::{Request, Response};
use tokio::runtime::{Builder, Runtime};

use crate::support::{client, ready, token_reply};

bloom_auth_core::test_util::count_allocations!();

/// How often a fetch allocates, beside what its transport does: 5 times to
/// share it among callers and to ask for the credentials, 5 for the key of a
/// cache, 6 for the request, 1 to call the transport, 10 to read the answer, and
/// 2 for the token. [`TokenProvider`]'s documentation says how many that is.
const FETCH: u64 = 29;

/// How often this thread allocates while it does this, and drops what comes of
/// it.
fn count<T>(work: impl FnOnce() -> T) -> u64 {
    let before = allocations();
    drop(black_box(work()));
    allocations() - before
}

/// A transport whose own allocations are counted apart.
#[derive(Clone, Debug)]
struct Apart(ScriptedTransport, Arc<AtomicU64>);

impl Apart {
    fn new() -> Self {
        let script = [token_reply("A", 86_400)];
        Self(ScriptedTransport::new(script), Arc::default())
    }

    fn allocations(&self) -> u64 {
        self.1.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Transport for Apart {
    async fn send(
        &self,
        request: Request<RequestBody>,
    ) -> Result<Response<ResponseBody>, TransportError> {
        // It answers when it is first polled: nobody else runs in between.
        let before = allocations();
        let answer = ready(self.0.send(request)).unwrap();
        self.1.fetch_add(allocations() - before, Ordering::SeqCst);
        answer
    }
}

/// On the clock of the system, which users have, or on another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    System,
    Other,
}

fn provider(clock: By) -> TokenProvider {
    let environment = Environment::sandbox(AuthVersion::V1);
    let builder = TokenProvider::builder(environment, client("client"), Apart::new());
    let builder = match clock {
        By::System => builder,
        By::Other => builder.clock(ManualClock::new()),
    };
    builder.build().unwrap()
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

/// Every way to ask for a token that is fresh, and how often each allocates.
fn ways(provider: &TokenProvider) -> [(&'static str, u64); 4] {
    [
        (
            "try_authorization",
            count(|| provider.try_authorization().unwrap()),
        ),
        (
            "authorization",
            count(|| ready(provider.authorization()).unwrap().unwrap()),
        ),
        ("token", count(|| ready(provider.token()).unwrap().unwrap())),
        ("fresh_token", count(|| provider.fresh_token().unwrap())),
    ]
}

/// None of them allocates, neither the first time nor later.
#[track_caller]
fn check(provider: &TokenProvider, when: &str) {
    for round in 0..100 {
        for (way, count) in ways(provider) {
            assert_eq!(count, 0, "{way}, {when}, round {round}");
        }
    }
}

#[test]
fn the_counter_counts() {
    assert_eq!(count(|| ()), 0);
    assert_eq!(count(|| Box::new(1)), 1);
    assert_eq!(count(|| vec![0_u8; 1000]), 1);
    let small = [63, 64].map(|bytes| {
        let before = small_allocations();
        drop(black_box(vec![0_u8; bytes]));
        small_allocations() - before
    });
    assert_eq!(small, [1, 0]);
    // It grows.
    let grows = || {
        let mut grows = black_box(Vec::with_capacity(1));
        grows.extend(black_box([0_u8; 1000]));
        grows
    };
    assert_eq!(count(grows), 2);
    // One that is hidden in a call, and one of another thread.
    let provider = provider(By::System);
    runtime().block_on(provider.token()).unwrap();
    let with_copy = || {
        let header = ready(provider.authorization()).unwrap().unwrap();
        header.as_bytes().to_vec()
    };
    assert_eq!(count(with_copy), 1);
    let (barrier, others) = (Barrier::new(2), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            barrier.wait();
            others.store(count(|| Box::new(1)), Ordering::SeqCst);
            barrier.wait();
        });
        // What a barrier needs it has by now.
        barrier.wait();
        assert_eq!(count(|| barrier.wait()), 0);
    });
    assert_eq!(others.into_inner(), 1);
}

#[test]
fn a_fresh_token_costs_no_allocation() {
    for clock in [By::System, By::Other] {
        let provider = provider(clock);
        runtime().block_on(provider.token()).unwrap();
        check(&provider, "one thread");
        thread::scope(|scope| {
            scope.spawn(|| check(&provider, "another thread"));
        });
        // In a runtime, where a fetch could be started.
        runtime().block_on(async { check(&provider, "a task") });
    }
}

/// Readers that meet often have a copy each from then on: whoever makes these
/// allocates, and nobody does afterwards. Whatever is made for one of them takes
/// a cache line or more: two counts on one line would slow both down.
#[test]
fn a_fresh_token_that_many_threads_read_costs_no_allocation() {
    const READERS: usize = 8;
    const LEAST_SLOTS: u64 = 16;
    // They meet within moments, also on one core.
    const MOST_CALLS: usize = 20_000_000;

    let provider = provider(By::System);
    let runtime = runtime();
    runtime.block_on(provider.token()).unwrap();
    let (is_spread, small) = (AtomicBool::new(false), AtomicU64::new(0));
    let read = || {
        for _ in 0..MOST_CALLS {
            let before = small_allocations();
            if count(|| provider.try_authorization().unwrap()) > 0 {
                small.fetch_add(small_allocations() - before, Ordering::SeqCst);
                is_spread.store(true, Ordering::SeqCst);
            }
            if is_spread.load(Ordering::SeqCst) {
                return;
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(read);
        }
    });
    assert!(is_spread.load(Ordering::SeqCst), "they never met");
    // Not one for each: how many processors there are is asked with a few.
    let small = small.into_inner();
    assert!(small < LEAST_SLOTS, "{small} may share cache lines");

    let check_all = |when: &str| {
        check(&provider, when);
        thread::scope(|scope| {
            for _ in 0..READERS {
                scope.spawn(|| check(&provider, when));
            }
        });
    };
    check_all("spread");
    // Another token is spread when it comes.
    runtime.block_on(provider.refresh()).unwrap();
    check_all("spread anew");
}

#[test]
fn a_fresh_token_of_a_key_costs_no_allocation() {
    const KEYS: u32 = 1000;
    for clock in [By::System, By::Other] {
        let providers = TokenProviders::builder(move |_: &u32| Ok(provider(clock)));
        let providers = providers.build().unwrap();
        let runtime = runtime();
        for key in 0..KEYS {
            let made = count(|| runtime.block_on(providers.token(&key)).unwrap());
            assert!(made > FETCH, "a miss makes a provider: {made}");
        }
        let check_all = || {
            for key in 0..KEYS {
                let counts = [
                    count(|| providers.try_authorization(&key).unwrap()),
                    count(|| ready(providers.authorization(&key)).unwrap().unwrap()),
                    count(|| ready(providers.token(&key)).unwrap().unwrap()),
                ];
                assert_eq!(counts, [0; 3], "{clock:?}, key {key}");
            }
        };
        check_all();
        thread::scope(|scope| {
            scope.spawn(check_all);
        });
    }
}

/// Elsewhere a lock of the standard library may allocate when it is first taken.
#[cfg(target_os = "linux")]
#[test]
fn a_fetch_allocates_a_known_number_of_times() {
    let environment = Environment::sandbox(AuthVersion::V1);
    let transport = Apart::new();
    let provider = TokenProvider::builder(environment, client("client"), transport.clone());
    let provider = provider.build().unwrap();
    let runtime = runtime();
    let fetch = || {
        let before = transport.allocations();
        let counted = count(|| runtime.block_on(provider.refresh()).unwrap());
        counted - (transport.allocations() - before)
    };
    // The first has to do what is done once for a thread.
    fetch();
    let counts = [(); 10].map(|()| fetch());
    // With assertions, tokio puts a task into a box of its own that is larger than
    // 2 KiB, as a fetch then is.
    let boxed = u64::from(cfg!(debug_assertions));
    assert_eq!(counts, [FETCH + boxed; 10]);

    let page = include_str!("../../src/provider/mod.rs");
    let said = format!("A fetch allocates {FETCH} times");
    assert!(page.contains(&said), "`TokenProvider` should say: {said}");
}
