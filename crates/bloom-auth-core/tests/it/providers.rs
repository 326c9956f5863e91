//! Many providers behind one call: exact counts per key, who goes and who
//! stays, and keys that have nothing to do with each other.

use std::{
    collections::HashMap,
    hash::{Hash, Hasher},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc, Barrier, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use async_trait::async_trait;
use bloom_auth_core::{
    AuthVersion, ClientCredentials, ConfigurationError, CredentialsError, CredentialsSource,
    Environment, ErrorKind, Rejection, TokenProvider, TokenProviders, TokenProvidersBuilder,
    Transport,
    test_util::{ManualClock, Reply, ScriptedTransport},
};
use http::StatusCode;
use tokio::{runtime::Builder, task::JoinSet};

use crate::support::{
    Echo, Gate, TestCache, client, name, paused, poll, ready, settle, token_reply,
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// No key.
const NONE: [u32; 0] = [];

/// A provider of the client that is called as the key is, on a clock that
/// stands still.
fn provider_of(key: &str, transport: impl Transport + 'static) -> TokenProvider {
    let environment = Environment::sandbox(AuthVersion::V1);
    TokenProvider::builder(environment, client(key), transport)
        .clock(ManualClock::new())
        .build()
        .unwrap()
}

/// Providers that share this transport, and the clock by which they are idle.
fn over(
    transport: impl Transport + Clone + 'static,
) -> (TokenProvidersBuilder<String>, ManualClock) {
    let clock = ManualClock::new();
    let factory = move |key: &String| Ok(provider_of(key, transport.clone()));
    (TokenProviders::builder(factory).clock(clock.clone()), clock)
}

/// Providers that are told apart by how often they were built.
fn counted(clock: &ManualClock) -> (TokenProvidersBuilder<u32>, Built) {
    let built = Built::default();
    let factory = {
        let built = built.clone();
        move |key: &u32| {
            *built.0.lock().unwrap().entry(*key).or_default() += 1;
            Ok(provider_of("client", ScriptedTransport::default()))
        }
    };
    (TokenProviders::builder(factory).clock(clock.clone()), built)
}

#[derive(Clone, Default)]
struct Built(Arc<Mutex<HashMap<u32, usize>>>);

impl Built {
    /// Asks for the keys, and returns those whose provider was not there.
    fn anew(
        &self,
        providers: &TokenProviders<u32>,
        keys: impl IntoIterator<Item = u32>,
    ) -> Vec<u32> {
        let times = |key| self.0.lock().unwrap().get(&key).copied();
        let is_new = |key: &u32| {
            let before = times(*key);
            providers.get(key).unwrap();
            times(*key) != before
        };
        keys.into_iter().filter(is_new).collect()
    }
}

fn key(n: usize) -> String {
    format!("tenant-{n}")
}

/// Fails, rather than hangs, if what is done waits for itself.
fn within_a_minute<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, done) = mpsc::channel();
    thread::spawn(move || sender.send(what()));
    done.recv_timeout(MINUTE)
        .expect("it panicked or waits for itself")
}

#[test]
fn c1_any_herd_over_many_keys_makes_one_request_a_key() {
    for workers in [1, 2, 8] {
        let runtime = Builder::new_multi_thread()
            .worker_threads(workers)
            .enable_time()
            .build()
            .unwrap();
        for (callers, keys) in [(100, 1), (20, 50), (3, 1000)] {
            let transport = ScriptedTransport::new([token_reply("A", 3600)]);
            let providers = over(transport.clone()).0.build().unwrap();
            let barrier = Arc::new(tokio::sync::Barrier::new(callers * keys));
            runtime.block_on(async {
                let mut herd = JoinSet::new();
                for n in 0..callers * keys {
                    let (providers, barrier) = (providers.clone(), Arc::clone(&barrier));
                    herd.spawn(async move {
                        barrier.wait().await;
                        let header = providers.authorization(&key(n % keys)).await.unwrap();
                        assert_eq!(header, "Bearer canary-token-A");
                    });
                }
                herd.join_all().await;
            });
            let requests = transport.request_count();
            assert_eq!(requests, keys, "{workers} workers, {callers} callers");
            assert_eq!(providers.len(), keys);
        }
    }
}

#[test]
fn c20_tokens_never_mix_between_keys() {
    const KEYS: usize = 64;
    let runtime = Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .unwrap();
    // Half of them have to go all the time, and come back with new tokens.
    for max in [KEYS / 2, KEYS] {
        let providers = over(Echo).0.max_providers(max).build().unwrap();
        runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for task in 0..64 {
                let providers = providers.clone();
                tasks.spawn(async move {
                    for round in 0..100 {
                        let key = key((task * 31 + round * 7) % KEYS);
                        let token = match round % 5 {
                            0 => providers.get(&key).unwrap().refresh().await,
                            _ => providers.token(&key).await,
                        };
                        let token = token.unwrap();
                        assert_eq!(token.expose(), Echo::token(&key));
                        let header = format!("Bearer {}", Echo::token(&key));
                        if let Some(value) = providers.try_authorization(&key) {
                            assert_eq!(value, header);
                        }
                        if round % 11 == 0 {
                            providers.reject(&key, &token).unwrap();
                        }
                    }
                });
            }
            tasks.join_all().await;
        });
    }
}

#[test]
fn one_keys_refusal_is_no_others_affair() {
    let factory = |key: &String| {
        let reply = match key.as_str() {
            "bad" => Reply::error(StatusCode::UNAUTHORIZED, "invalid_client"),
            name => token_reply(name, 3600),
        };
        Ok(provider_of(key, ScriptedTransport::new([reply])))
    };
    let providers = TokenProviders::builder(factory).build().unwrap();
    paused().block_on(async {
        for key in ["a", "bad", "b", "bad", "a"].map(str::to_owned) {
            match providers.token(&key).await {
                Ok(token) => assert_eq!(name(&token), key),
                Err(error) => {
                    assert_eq!((error.kind(), &*key), (ErrorKind::ClientRefused, "bad"));
                }
            }
        }
    });
    let fetches = |key: &str| {
        providers
            .get(&key.to_owned())
            .unwrap()
            .status()
            .counts
            .fetches
    };
    assert_eq!(["a", "bad", "b"].map(fetches), [1, 1, 1]);
}

#[test]
fn a_factory_that_fails_or_panics_is_asked_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    let factory = {
        let asked = Arc::clone(&asked);
        move |key: &String| match asked.fetch_add(1, Ordering::SeqCst) {
            0 => Err(ConfigurationError::new("tenant", "is unknown", "add it")),
            1 => panic!("the test says so"),
            _ => Ok(provider_of(key, Echo)),
        }
    };
    let providers = TokenProviders::builder(factory).build().unwrap();
    paused().block_on(async {
        let error = providers.token(&key(1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        let panicked = catch_unwind(AssertUnwindSafe(|| providers.get(&key(1)).err()));
        assert!(panicked.is_err());
        assert!(providers.is_empty());
        assert_eq!(providers.try_authorization(&key(1)), None);
        let token = providers.token(&key(1)).await.unwrap();
        assert_eq!(token.expose(), Echo::token(&key(1)));
    });
    assert_eq!((asked.load(Ordering::SeqCst), providers.len()), (3, 1));
}

#[test]
fn k14_limits_that_cannot_work_are_refused() {
    for (max, idle_after, setting) in [
        (0, HOUR, Some("maximum number of providers")),
        (1, Duration::ZERO, Some("idle time")),
        (1, Duration::from_nanos(1), None),
        (usize::MAX, Duration::MAX, None),
    ] {
        let builder = over(Echo).0.max_providers(max).idle_after(idle_after);
        let error = builder.build().err();
        assert_eq!(error.as_ref().map(ConfigurationError::setting), setting);
    }
}

#[test]
fn debug_shows_how_many_there_are_and_no_key() {
    let (builder, _) = over(Echo);
    let text = format!("{builder:?}");
    assert!(text.contains("max_providers: 10000"), "{text}");
    let providers = builder.build().unwrap();
    providers.get(&"canary".to_owned()).unwrap();
    for text in [format!("{providers:?}"), format!("{providers:#?}")] {
        assert_eq!(text, "TokenProviders(1)");
    }
}

#[test]
fn c16_a_key_that_fetches_or_is_held_never_goes() {
    paused().block_on(async {
        let gate = Gate::default();
        let (builder, clock) = over(gate.clone());
        let providers = builder.max_providers(1).idle_after(HOUR).build().unwrap();
        // Nobody waits for the first, somebody for the second; the third is
        // only held.
        assert_eq!(providers.try_authorization(&key(1)), None);
        let second = key(2);
        let mut waiting = pin!(providers.token(&second));
        assert!(poll(waiting.as_mut()).is_pending());
        let held = providers.get(&key(3)).unwrap();
        settle().await;
        for n in 10..100 {
            clock.advance(HOUR);
            providers.get(&key(n)).unwrap();
            assert_eq!(providers.len(), 4, "the three in use, and the last");
        }
        assert_eq!(gate.under_way(), 2);
        gate.answer(1);
        gate.answer(2);
        settle().await;
        assert_eq!(name(&waiting.await.unwrap()), "2");
        assert_eq!(
            name(&ready(providers.token(&key(1))).unwrap().unwrap()),
            "1"
        );
        assert_eq!(gate.requests(), 2);
        // Then there is nothing to keep them for.
        drop(held);
        providers.get(&key(200)).unwrap();
        assert_eq!(providers.len(), 1);
    });
}

#[test]
fn c17_who_waits_gets_the_result_whatever_becomes_of_the_key() {
    paused().block_on(async {
        let gate = Gate::default();
        let providers = over(gate.clone()).0.max_providers(1).build().unwrap();
        let (first, second) = (key(1), key(2));
        let removed = first.clone();
        let waiter = providers.clone();
        let mut waiting = Box::pin(async move { waiter.token(&first).await });
        assert!(poll(waiting.as_mut()).is_pending());
        settle().await;
        assert!(providers.remove(&removed));
        assert!(!providers.remove(&removed));
        assert!(providers.is_empty());
        settle().await;
        assert_eq!(gate.under_way(), 1);
        gate.answer(1);
        assert_eq!(name(&waiting.await.unwrap()), "1");
        // Without anybody who waits, a fetch ends when its key is removed, or
        // when all is dropped.
        for last in [false, true] {
            let fetch = providers.try_authorization(&second);
            settle().await;
            assert_eq!((fetch, gate.under_way()), (None, 1));
            if last {
                break;
            }
            assert!(providers.remove(&second));
            settle().await;
            assert_eq!(gate.under_way(), 0);
        }
        drop(providers);
        settle().await;
        assert_eq!(gate.under_way(), 0);
    });
}

#[test]
fn a_million_keys_leave_no_more_than_the_bound() {
    // One shard and many; one thread each, so that nobody is between the
    // coming of one and the going of another.
    thread::scope(|scope| {
        for max in [1000, 10_000] {
            scope.spawn(move || {
                let environment = Environment::sandbox(AuthVersion::V1);
                let parts = (Arc::new(client("client")), Arc::new(Echo));
                let factory = move |_: &usize| {
                    let (credentials, transport) = parts.clone();
                    TokenProvider::builder(environment.clone(), credentials, transport).build()
                };
                let providers = TokenProviders::builder(factory).max_providers(max);
                let providers = providers.build().unwrap();
                for key in 0..500_000 {
                    // The keys of the two are distinct.
                    providers.get(&(key * 2 + max % 3)).unwrap();
                    let len = providers.len();
                    assert!(
                        len <= max && len >= max.min(key) / 16 * 15,
                        "{len} of {key}"
                    );
                }
            });
        }
    });
}

#[test]
fn few_are_kept_exactly_and_the_least_recently_used_goes() {
    let clock = ManualClock::new();
    let (builder, built) = counted(&clock);
    let providers = builder.max_providers(3).build().unwrap();
    let ask = |keys: &[u32]| {
        let ask = |key: &u32| {
            clock.advance(MINUTE);
            built.anew(&providers, [*key])
        };
        keys.iter().flat_map(ask).collect::<Vec<_>>()
    };
    assert_eq!(ask(&[1, 2, 3]), [1, 2, 3]);
    assert_eq!(ask(&[3, 1, 2, 1]), NONE);
    // By last use: 3, 2, 1.
    assert_eq!(ask(&[4]), [4]);
    assert_eq!(providers.len(), 3);
    assert_eq!(ask(&[2, 1, 4]), NONE);
    assert_eq!(ask(&[3]), [3]);
    // 2 has gone for it; then 1 goes for 2.
    assert_eq!(ask(&[4, 3, 2, 1]), [2, 1]);
    for key in 0..1000 {
        clock.advance(Duration::from_nanos(1));
        providers.get(&key).unwrap();
        assert_eq!(providers.len(), 3);
    }
}

#[test]
fn many_are_kept_up_to_a_batch_and_the_least_recently_used_go() {
    let clock = ManualClock::new();
    let (builder, built) = counted(&clock);
    let providers = builder.max_providers(320).build().unwrap();
    for key in (0..320).chain((0..320).rev()) {
        clock.advance(MINUTE);
        providers.get(&key).unwrap();
    }
    assert_eq!(providers.len(), 320);
    // A sixteenth goes for the next: the 20 that were asked for first the last
    // time.
    assert_eq!(built.anew(&providers, [1000]), [1000]);
    assert_eq!(providers.len(), 301);
    assert_eq!(built.anew(&providers, 0..300), NONE);
    assert_eq!(built.anew(&providers, 300..319), Vec::from_iter(300..319));
    assert_eq!(providers.len(), 320);
}

#[test]
fn what_was_too_many_while_in_use_goes_afterwards() {
    for (max, in_use) in [(1, 5), (3, 4), (100, 1000), (2000, 6000)] {
        let clock = ManualClock::new();
        let (builder, built) = counted(&clock);
        let providers = builder.max_providers(max).build().unwrap();
        let held: Vec<_> = (0..in_use)
            .map(|key| providers.get(&key).unwrap())
            .collect();
        assert_eq!(providers.len(), held.len());
        assert_eq!(built.anew(&providers, 0..in_use), NONE);
        // Others come and go beside them.
        let mut most = 0;
        for key in 10_000..20_000 {
            providers.get(&key).unwrap();
            most = most.max(providers.len() - held.len());
        }
        // Exactly, where there are few; else nobody looks for one that may go
        // each time.
        let batch = held.len() / 16;
        let expected = if batch == 0 {
            1..=1
        } else {
            batch / 2..=batch * 9 / 8 + 1
        };
        assert!(
            expected.contains(&most),
            "{max}: {most} beside those in use"
        );
        assert_eq!(built.anew(&providers, 0..in_use), NONE);
        drop(held);
        for key in 20_000..20_000 + in_use {
            providers.get(&key).unwrap();
        }
        assert!(providers.len() <= max, "{max}: {}", providers.len());
    }
}

#[test]
fn who_is_idle_goes_when_another_comes() {
    let (clock, mut next) = (ManualClock::new(), 1000);
    let (builder, built) = counted(&clock);
    let providers = builder.max_providers(100).idle_after(HOUR).build().unwrap();
    let mut another = || {
        next += 1;
        providers.get(&next).unwrap();
    };
    built.anew(&providers, [1, 2, 3]);
    clock.advance(HOUR - MINUTE);
    assert_eq!(built.anew(&providers, [2]), NONE);
    another();
    assert_eq!(providers.len(), 4, "nobody is idle yet");
    // It is looked for now and then, not each time.
    clock.advance(MINUTE);
    another();
    assert_eq!(providers.len(), 5);
    clock.advance(HOUR / 16);
    another();
    // The three that came later, and the one that was asked for again.
    assert_eq!(providers.len(), 4);
    assert_eq!(built.anew(&providers, [2]), NONE);
    assert_eq!(built.anew(&providers, [1, 3]), [1, 3]);
    // One is asked for all the time and stays; a handle keeps another.
    let held = providers.get(&3).unwrap();
    for _ in 0..100 {
        clock.advance(HOUR / 10);
        assert_eq!(built.anew(&providers, [2]), NONE);
    }
    another();
    assert_eq!(providers.len(), 3);
    assert_eq!(built.anew(&providers, [2, 3]), NONE);
    drop(held);
}

#[test]
fn a_short_idle_time_is_told_to_a_part_of_it_and_looked_for_each_second() {
    let millis = Duration::from_millis;
    let clock = ManualClock::new();
    let (builder, built) = counted(&clock);
    let providers = builder.max_providers(100).idle_after(millis(800));
    let providers = providers.build().unwrap();
    built.anew(&providers, [1, 2]);
    clock.advance(millis(600));
    assert_eq!(built.anew(&providers, [1]), NONE);
    // The second one is idle, and not yet looked for.
    clock.advance(millis(300));
    assert_eq!(built.anew(&providers, [3]), [3]);
    assert_eq!(providers.len(), 3);
    clock.advance(millis(100));
    assert_eq!(built.anew(&providers, [4]), [4]);
    assert_eq!(providers.len(), 3);
    assert_eq!(built.anew(&providers, [1]), NONE);
    assert_eq!(built.anew(&providers, [2]), [2]);
}

#[test]
fn an_evicted_key_asks_the_cache_first() {
    let cache = TestCache::default();
    let transport = ScriptedTransport::new(["A", "B"].map(|name| token_reply(name, 3600)));
    let factory = {
        let transport = transport.clone();
        move |_: &u32| {
            let environment = Environment::sandbox(AuthVersion::V1);
            TokenProvider::builder(environment, client("client"), transport.clone())
                .cache(cache.clone())
                .build()
        }
    };
    let providers = TokenProviders::builder(factory).max_providers(1);
    let providers = providers.build().unwrap();
    paused().block_on(async {
        let token = providers.token(&1).await.unwrap();
        providers.get(&2).unwrap();
        assert_eq!(providers.token(&1).await.unwrap(), token);
        assert_eq!(transport.request_count(), 1);
        // A rejection that comes after the eviction is told to the cache.
        providers.get(&2).unwrap();
        assert_eq!(providers.reject(&1, &token), Ok(Rejection::NotCurrent));
        assert_eq!(name(&providers.token(&1).await.unwrap()), "B");
        assert_eq!(transport.request_count(), 2);
    });
}

#[test]
fn a_rejection_counts_for_its_key() {
    let transport = ScriptedTransport::new(["A", "B", "C"].map(|name| token_reply(name, 3600)));
    let providers = over(transport.clone()).0.build().unwrap();
    paused().block_on(async {
        let first = providers.token(&key(1)).await.unwrap();
        let second = providers.token(&key(2)).await.unwrap();
        assert_eq!(providers.reject(&key(1), &first), Ok(Rejection::Dropped));
        assert_eq!(providers.reject(&key(2), &first), Ok(Rejection::NotCurrent));
        assert_eq!(name(&providers.token(&key(1)).await.unwrap()), "C");
        assert_eq!(providers.token(&key(2)).await.unwrap(), second);
        assert_eq!(transport.request_count(), 3);
    });
}

/// A source whose end is noticed, by somebody who asks the providers back.
#[derive(Debug)]
struct Noticed {
    credentials: ClientCredentials,
    ended: Arc<AtomicUsize>,
    providers: Arc<OnceLock<TokenProviders<usize>>>,
}

#[async_trait]
impl CredentialsSource for Noticed {
    async fn credentials(&self) -> Result<ClientCredentials, CredentialsError> {
        Ok(self.credentials.clone())
    }
}

impl Drop for Noticed {
    fn drop(&mut self) {
        self.ended.fetch_add(1, Ordering::SeqCst);
        if let Some(providers) = self.providers.get() {
            // Whatever lock it takes is free.
            providers.remove(&usize::MAX);
            assert!(providers.len() < 100);
        }
    }
}

#[test]
fn c1_calls_that_build_at_once_share_one_and_the_others_end() {
    const CALLERS: usize = 8;
    let ended = Arc::new(AtomicUsize::new(0));
    let transport = ScriptedTransport::new([token_reply("A", 3600)]);
    let own = Arc::new(OnceLock::new());
    let factory = {
        let (ended, transport, own) = (Arc::clone(&ended), transport.clone(), Arc::clone(&own));
        let together = Barrier::new(CALLERS);
        move |key: &usize| {
            if *key == 0 {
                together.wait();
            }
            let source = Noticed {
                credentials: client("client"),
                ended: Arc::clone(&ended),
                providers: Arc::clone(&own),
            };
            let environment = Environment::sandbox(AuthVersion::V1);
            TokenProvider::builder(environment, source, transport.clone()).build()
        }
    };
    let providers = TokenProviders::builder(factory).max_providers(1);
    let providers = providers.build().unwrap();
    own.set(providers.clone()).unwrap();
    let handles: Vec<_> = (0..CALLERS)
        .map(|_| {
            let providers = providers.clone();
            let (sender, handle) = mpsc::channel();
            thread::spawn(move || sender.send(providers.get(&0).unwrap()));
            handle
        })
        .collect();
    let handles: Vec<_> = handles
        .into_iter()
        .map(|handle| handle.recv_timeout(MINUTE).expect("one waits for itself"))
        .collect();
    assert_eq!(providers.len(), 1);
    paused().block_on(async {
        for handle in &handles {
            assert_eq!(name(&handle.token().await.unwrap()), "A");
        }
    });
    assert_eq!(transport.request_count(), 1);
    drop(handles);
    assert_eq!(ended.load(Ordering::SeqCst), CALLERS - 1);
    // Evicted, removed: the end may ask back each time.
    within_a_minute(move || {
        providers.get(&1).unwrap();
        assert_eq!(ended.load(Ordering::SeqCst), CALLERS);
        assert!(providers.remove(&1));
        assert_eq!(ended.load(Ordering::SeqCst), CALLERS + 1);
    });
    own.get().unwrap();
}

#[test]
fn what_is_removed_while_it_is_built_is_built_anew() {
    let settings = Arc::new(AtomicUsize::new(1));
    let own: Arc<OnceLock<TokenProviders<u32>>> = Arc::default();
    let factory = {
        let (settings, own) = (Arc::clone(&settings), Arc::clone(&own));
        move |_: &u32| {
            let read = settings.load(Ordering::SeqCst);
            if read == 1 {
                // They change now, and whoever changes them says so.
                settings.store(2, Ordering::SeqCst);
                assert!(!own.get().unwrap().remove(&7));
            }
            Ok(provider_of(&key(read), Echo))
        }
    };
    let providers = TokenProviders::builder(factory).build().unwrap();
    own.set(providers.clone()).unwrap();
    let token = within_a_minute(move || paused().block_on(providers.token(&7)).unwrap());
    assert_eq!(token.expose(), Echo::token(&key(2)));
}

/// A key whose equality can panic.
#[derive(Clone, Debug)]
struct Touchy(u32, Arc<AtomicBool>);

impl PartialEq for Touchy {
    fn eq(&self, other: &Self) -> bool {
        assert!(!self.1.load(Ordering::SeqCst), "the test says so");
        self.0 == other.0
    }
}

impl Eq for Touchy {}

impl Hash for Touchy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

#[test]
fn a_key_that_panics_harms_no_other() {
    let factory = |key: &Touchy| Ok(provider_of(&key.0.to_string(), Echo));
    let providers = TokenProviders::builder(factory).build().unwrap();
    let panics = Arc::new(AtomicBool::new(false));
    let keys = [1, 2].map(|n| Touchy(n, Arc::clone(&panics)));
    paused().block_on(async {
        for key in &keys {
            providers.token(key).await.unwrap();
        }
        panics.store(true, Ordering::SeqCst);
        let get = || providers.get(&keys[0]).err();
        assert!(catch_unwind(AssertUnwindSafe(get)).is_err());
        // This one has the lock for itself, and so poisons it.
        let remove = || providers.remove(&keys[0]);
        assert!(catch_unwind(AssertUnwindSafe(remove)).is_err());
        panics.store(false, Ordering::SeqCst);
        for key in &keys {
            let token = ready(providers.token(key)).unwrap().unwrap();
            assert_eq!(token.expose(), Echo::token(&key.0.to_string()));
        }
        assert!(providers.remove(&keys[0]));
        assert_eq!(providers.len(), 1);
    });
}
