//! A fetch is met at each of its moments: the caller who started it leaves,
//! panics or runs out of patience, the API rejects the token, the secret
//! changes, or one of the parts panics.
//!
//! Every call into a part takes several polls and some time, so that there are
//! many moments; a scene is played again for each of them, until one comes
//! after the end.

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use async_trait::async_trait;
use bloom_auth_core::{
    AccessToken, CacheAccess, ClientCredentials, ClientId, ClientSecret, Error, ErrorKind,
    Rejection, RequestBody, ResponseBody, TokenCache, TokenProvider, Transport, TransportError,
    protocol::TokenRequest,
    test_util::{Reply, ScriptedCredentials, ScriptedTransport},
};
use http::{Request, Response, StatusCode};
use tokio::{
    runtime::Handle,
    task::{JoinSet, yield_now},
    time::{sleep, timeout},
};

use crate::{
    slow::{Pace, Slow},
    support::{TestCache, builder, credentials, name, paused, poll, ready, settle, token_reply},
};

/// How long a call into a part takes.
const CALL: Duration = Duration::from_millis(10);

/// Longer than anything may take here: an attempt timeout and more.
const FOREVER: Duration = Duration::from_secs(60);

/// Counts the polls of one part, and blows at the one it is set to.
#[derive(Clone, Debug, Default)]
struct Fuse(Arc<AtomicUsize>);

impl Fuse {
    fn set(&self, poll: usize) {
        self.0.store(poll, Ordering::SeqCst);
    }

    fn is_burning(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 0
    }

    fn burn(&self) {
        let left = self.0.load(Ordering::SeqCst);
        self.set(left.saturating_sub(1));
        assert!(left != 1, "as a part with a bug may");
    }
}

impl Pace for Fuse {
    async fn slow<T: Send>(&self, call: impl Future<Output = T> + Send) -> T {
        let mut slow = pin!(async {
            yield_now().await;
            sleep(CALL).await;
            let output = call.await;
            yield_now().await;
            output
        });
        poll_fn(|context| {
            self.burn();
            slow.as_mut().poll(context)
        })
        .await
    }
}

fn refusal() -> Reply {
    Reply::error(StatusCode::UNAUTHORIZED, "invalid_client")
}

/// Why there is a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// There was no token yet.
    Cold,
    /// The token called "old" will expire soon.
    Due,
    /// It has expired.
    Expired,
    /// It was rejected.
    Rejected,
    /// The first secret is refused, and there is another.
    Refused,
    /// A caller wants a newer token, though "old" is fresh.
    Forced,
}

const STARTS: [Start; 6] = [
    Start::Cold,
    Start::Due,
    Start::Expired,
    Start::Rejected,
    Start::Refused,
    Start::Forced,
];

impl Start {
    /// Whether "old" is served meanwhile.
    fn has_usable(self) -> bool {
        matches!(self, Self::Due | Self::Forced)
    }

    /// How many requests it takes to get the token called "new".
    fn requests(self) -> usize {
        match self {
            // One attempt only, after a failure.
            Self::Refused => 1,
            _ => 2,
        }
    }
}

/// A provider that is about to fetch: an error and, from then on, the token
/// called "new".
struct Stage {
    start: Start,
    provider: TokenProvider,
    transport: ScriptedTransport,
    cache: TestCache,
    of_transport: Fuse,
    of_cache: Fuse,
    of_source: Fuse,
    requests_before: usize,
    fetches_before: u64,
}

impl Stage {
    async fn new(start: Start, is_cached: bool) -> Self {
        let mut replies = match start {
            Start::Cold => vec![],
            Start::Refused => vec![refusal(); 2],
            _ => vec![token_reply("old", 1000)],
        };
        if start != Start::Refused {
            replies.push(Reply::answer(StatusCode::SERVICE_UNAVAILABLE, ""));
        }
        replies.push(token_reply("new", 3600));
        let transport = ScriptedTransport::new(replies);
        let (cache, source) = (TestCache::default(), credentials());
        let [of_transport, of_cache, of_source] = [(); 3].map(|()| Fuse::default());
        let builder = builder(
            Slow(source.clone(), of_source.clone()),
            Slow(transport.clone(), of_transport.clone()),
        );
        let builder = if is_cached {
            builder.cache(Slow(cache.clone(), of_cache.clone()))
        } else {
            builder
        };
        let provider = builder.build().unwrap();
        match start {
            Start::Cold => {}
            Start::Refused => {
                // Twice, so that it is in force for longer than the source is
                // left alone.
                for _ in 0..2 {
                    let error = provider.token().await.unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::ClientRefused);
                    sleep(Duration::from_secs(1)).await;
                }
                source.rotate("client", "another secret").unwrap();
            }
            _ => {
                let old = provider.token().await.unwrap();
                match start {
                    Start::Due => sleep(Duration::from_secs(850)).await,
                    Start::Expired => sleep(Duration::from_secs(1000)).await,
                    Start::Rejected => assert_eq!(provider.reject(&old), Rejection::Dropped),
                    _ => {}
                }
            }
        }
        let requests_before = transport.request_count();
        let fetches_before = provider.status().counts.fetches;
        cache.take_calls();
        Self {
            start,
            provider,
            transport,
            cache,
            of_transport,
            of_cache,
            of_source,
            requests_before,
            fetches_before,
        }
    }

    /// The call that starts the fetch.
    fn call(&self) -> impl Future<Output = Result<AccessToken, Error>> + Send + 'static {
        let (provider, start) = (self.provider.clone(), self.start);
        async move {
            match start {
                Start::Forced => provider.refresh().await,
                _ => provider.token().await,
            }
        }
    }

    /// Others, who want any token, and need one at the same time.
    fn others(&self) -> JoinSet<Result<AccessToken, Error>> {
        let mut others = JoinSet::new();
        for _ in 0..3 {
            let provider = self.provider.clone();
            others.spawn(async move { timeout(FOREVER, provider.token()).await.unwrap() });
        }
        others
    }

    fn requests(&self) -> usize {
        self.transport.request_count() - self.requests_before
    }

    fn fetches(&self) -> u64 {
        self.provider.status().counts.fetches - self.fetches_before
    }

    /// Everything is over: the new token is there, no task is left, and every
    /// lease has been given back.
    fn check_end(&self, moment: &str) {
        let token = ready(self.provider.token());
        let token = token.unwrap_or_else(|| panic!("{moment}: no token"));
        assert_eq!(name(&token.unwrap()), "new", "{moment}");
        assert_eq!(Handle::current().metrics().num_alive_tasks(), 0, "{moment}");
        let calls = self.cache.take_calls();
        let count = |wanted| calls.iter().filter(|call| **call == wanted).count();
        assert_eq!(count("lease"), count("free"), "{moment}");
    }
}

/// Lets a little happen: a round of the scheduler and, every fourth time, some
/// time.
async fn little(n: usize) {
    if n % 4 == 3 {
        sleep(CALL / 2).await;
    } else {
        yield_now().await;
    }
}

/// Plays a scene for the moments 0, 1, 2 and so on, until it says that its
/// moment was after the end. Returns how many there were.
fn at_each_moment(mut scene: impl AsyncFnMut(usize) -> bool) -> usize {
    let mut moment = 0;
    while !paused().block_on(scene(moment)) {
        moment += 1;
        assert!(moment < 1000, "it never ends");
    }
    moment
}

/// Plays a scene for every start, with and without a cache, at each moment.
/// A fetch has at least so many of them.
fn everywhere(at_least: usize, scene: &impl AsyncFn(Stage, usize, &str) -> bool) {
    for start in STARTS {
        for is_cached in [false, true] {
            let moments = at_each_moment(async |moment| {
                let stage = Stage::new(start, is_cached).await;
                let told = format!("{start:?}, cached: {is_cached}, moment {moment}");
                scene(stage, moment, &told).await
            });
            println!("{start:?}, cached: {is_cached}: {moments} moments");
            // Whoever may have the old token is ready at the first poll.
            assert!(start == Start::Due || moments >= at_least, "{moments}");
        }
    }
}

/// How the caller who started a fetch goes.
#[derive(Clone, Copy, Debug)]
enum Exit {
    Dropped,
    Panics,
    TimesOut,
}

/// Lets a caller start a fetch and go at a moment. Returns whether his call was
/// ready before.
async fn go(stage: &Stage, exit: Exit, moment: usize) -> bool {
    let call = stage.call();
    match exit {
        Exit::Dropped => {
            let mut call = Box::pin(call);
            for n in 0..moment {
                if poll(call.as_mut()).is_ready() {
                    return true;
                }
                little(n).await;
            }
            false
        }
        Exit::Panics => {
            let mut call = Box::pin(call);
            let mut polls = 0;
            let mut caller = Box::pin(poll_fn(move |context| {
                let outcome = call.as_mut().poll(context);
                polls += 1;
                assert!(outcome.is_ready() || polls <= moment, "as a caller may");
                outcome
            }));
            for n in 0..=moment {
                match catch_unwind(AssertUnwindSafe(|| poll(caller.as_mut()))) {
                    Ok(Poll::Ready(_)) => return true,
                    Ok(Poll::Pending) => little(n).await,
                    Err(_) => return false,
                }
            }
            panic!("it should have panicked");
        }
        Exit::TimesOut => {
            let patience = CALL / 2 * u32::try_from(moment).unwrap();
            timeout(patience, call).await.is_ok()
        }
    }
}

/// The others are there before the caller goes, or come after it.
async fn play_exit(stage: Stage, exit: Exit, moment: usize, told: &str) -> bool {
    // The first to ask is the one who goes.
    let started = ready(stage.call()).is_some();
    assert_eq!(started, stage.start == Start::Due, "{told}");
    let others = stage.others();
    let is_over = go(&stage, exit, moment).await;
    let late = stage.others();
    for outcome in others.join_all().await {
        let token = outcome.unwrap_or_else(|error| panic!("{told}: {error}"));
        let expected = if stage.start.has_usable() {
            "old"
        } else {
            "new"
        };
        assert_eq!(name(&token), expected, "{told}");
    }
    for outcome in late.join_all().await {
        assert!(outcome.is_ok(), "{told}");
    }
    sleep(FOREVER).await;
    assert_eq!(
        (stage.requests(), stage.fetches()),
        (stage.start.requests(), 1),
        "{told}"
    );
    stage.check_end(told);
    is_over
}

#[test]
fn c5_c7_who_leaves_at_any_moment_takes_nothing_from_the_others() {
    everywhere(10, &async |stage, moment, told| {
        play_exit(stage, Exit::Dropped, moment, told).await
    });
}

#[test]
fn c5_c7_who_panics_at_any_moment_takes_nothing_from_the_others() {
    everywhere(10, &async |stage, moment, told| {
        play_exit(stage, Exit::Panics, moment, told).await
    });
}

#[test]
fn c5_c7_whose_patience_ends_at_any_moment_takes_nothing_from_the_others() {
    everywhere(5, &async |stage, moment, told| {
        play_exit(stage, Exit::TimesOut, moment, told).await
    });
}

#[test]
fn c6_what_all_have_left_arrives_and_is_kept() {
    for exit in [Exit::Dropped, Exit::Panics, Exit::TimesOut] {
        everywhere(5, &async |stage, moment, told| {
            // Were it not for this poll, there would be nothing at moment 0.
            let _ = ready(stage.call());
            let is_over = go(&stage, exit, moment).await;
            sleep(FOREVER).await;
            assert_eq!(
                (stage.requests(), stage.fetches()),
                (stage.start.requests(), 1),
                "{exit:?}, {told}"
            );
            stage.check_end(told);
            is_over
        });
    }
}

#[test]
fn c24_a_refusal_reaches_all_whenever_the_caller_goes() {
    for exit in [Exit::Dropped, Exit::Panics, Exit::TimesOut] {
        for is_cached in [false, true] {
            let moments = at_each_moment(async |moment| {
                let stage = Stage::new(Start::Refused, is_cached).await;
                let told = format!("{exit:?}, cached: {is_cached}, moment {moment}");
                // In the place of the token.
                stage.transport.push(refusal());
                let _ = stage.transport.send(Request::default()).await;
                let before = stage.requests();
                let _ = ready(stage.call());
                let others = stage.others();
                let is_over = go(&stage, exit, moment).await;
                let errors = others.join_all().await;
                let errors: Vec<Error> = errors.into_iter().map(Result::unwrap_err).collect();
                for error in &errors {
                    assert_eq!(error.kind(), ErrorKind::ClientRefused, "{told}");
                    assert!(error.same_fetch(&errors[0]), "{told}");
                }
                settle().await;
                assert_eq!(stage.requests() - before, 1, "{told}");
                let error = ready(stage.provider.token()).unwrap().unwrap_err();
                assert!(error.same_fetch(&errors[0]), "{told}");
                is_over
            });
            assert!(moments >= 5, "{moments}");
        }
    }
}

#[test]
fn c18_a_rejection_at_any_moment_of_a_refresh_spares_the_newer_token() {
    for is_cached in [false, true] {
        let moments = at_each_moment(async |moment| {
            let stage = Stage::new(Start::Due, is_cached).await;
            let old = ready(stage.call()).unwrap().unwrap();
            for n in 0..moment {
                little(n).await;
            }
            let is_over = name(&ready(stage.provider.token()).unwrap().unwrap()) == "new";
            let told = format!("cached: {is_cached}, moment {moment}");
            let rejection = match is_over {
                true => Rejection::NotCurrent,
                false => Rejection::Dropped,
            };
            assert_eq!(stage.provider.reject(&old), rejection, "{told}");
            for outcome in stage.others().join_all().await {
                assert_eq!(name(&outcome.unwrap()), "new", "{told}");
            }
            assert_eq!(stage.provider.reject(&old), Rejection::NotCurrent);
            sleep(FOREVER).await;
            assert_eq!((stage.requests(), stage.fetches()), (2, 1), "{told}");
            stage.check_end(&told);
            is_over
        });
        assert!(moments >= 15, "{moments}");
    }
}

/// A server that knows some secrets, and gives each a token of its own.
#[derive(Clone, Debug)]
struct Door(Arc<Mutex<DoorState>>);

#[derive(Debug)]
struct DoorState {
    known: Vec<&'static str>,
    /// The secrets that were sent.
    sent: Vec<&'static str>,
}

impl Door {
    fn state(&self) -> MutexGuard<'_, DoorState> {
        self.0.lock().unwrap()
    }
}

#[async_trait]
impl Transport for Door {
    async fn send(
        &self,
        request: Request<RequestBody>,
    ) -> Result<Response<ResponseBody>, TransportError> {
        let body = request.into_body().into_bytes();
        let body = std::str::from_utf8(&body).unwrap();
        let sent = SECRETS.into_iter().find(|secret| body.contains(secret));
        let sent = sent.unwrap();
        let is_known = {
            let mut state = self.state();
            state.sent.push(sent);
            state.known.contains(&sent)
        };
        let token = token_reply(sent, 3600);
        let answer = ScriptedTransport::new([if is_known { token } else { refusal() }]);
        answer.send(Request::default()).await
    }
}

const SECRETS: [&str; 2] = [
    "canary-secret-of-yesterday-31-characters-long",
    "canary-secret-of-today-31-characters-or-longer",
];

fn with_secret(secret: &str) -> ClientCredentials {
    let (id, secret) = (ClientId::new("client"), ClientSecret::new(secret));
    ClientCredentials::new(id.unwrap(), secret.unwrap())
}

#[test]
fn c19_a_secret_that_changes_at_any_moment_of_a_fetch_costs_one_more_request_at_most() {
    let [old, new] = SECRETS;
    for old_is_known_on in [true, false] {
        let mut refused = 0;
        let moments = at_each_moment(async |moment| {
            let source = ScriptedCredentials::new("client", old).unwrap();
            let door = Door(Arc::new(Mutex::new(DoorState {
                known: vec![old, new],
                sent: vec![],
            })));
            let cache = TestCache::default();
            let slow = Fuse::default();
            let provider = builder(
                Slow(source.clone(), slow.clone()),
                Slow(door.clone(), slow.clone()),
            );
            let provider = provider.cache(Slow(cache.clone(), slow)).build().unwrap();
            let told = format!("known on: {old_is_known_on}, moment {moment}");

            let mut call = Box::pin(provider.token());
            let mut is_over = false;
            for n in 0..moment {
                is_over = poll(call.as_mut()).is_ready();
                if is_over {
                    break;
                }
                little(n).await;
            }
            source.rotate("client", new).unwrap();
            if !old_is_known_on {
                door.state().known = vec![new];
            }
            let token = match is_over {
                true => provider.token().await,
                false => call.await,
            };
            let token = token.unwrap_or_else(|error| panic!("{told}: {error}"));

            // The token of the secret that was sent last, which is sent again
            // only if it was refused.
            let sent = std::mem::take(&mut door.state().sent);
            assert_eq!(Some(name(&token)), sent.last().copied(), "{told}");
            assert!(
                [&[old][..], &[new], &[old, new]].contains(&&*sent),
                "{told}: {sent:?}"
            );
            assert!(sent.len() == 1 || !old_is_known_on, "{told}: {sent:?}");
            refused += sent.len() - 1;
            // It is kept for those who have the same secret, and no others.
            sleep(FOREVER).await;
            let request = TokenRequest::new(provider.environment().clone());
            for secret in SECRETS {
                let access = CacheAccess::new(&request, &with_secret(secret));
                let found = cache.load(&access).await.unwrap();
                let found = found.map(|record| record.token().clone());
                let expected = (secret == name(&token)).then(|| token.clone());
                assert_eq!(found, expected, "{told}");
            }
            // From the next fetch on it is the new one.
            let token = provider.refresh().await.unwrap();
            assert_eq!(
                (name(&token), &*door.state().sent),
                (new, &[new][..]),
                "{told}"
            );
            assert_eq!(provider.status().counts.fetches, 2, "{told}");
            is_over
        });
        assert!(moments >= 20, "{moments}");
        assert_eq!(refused > 0, !old_is_known_on);
    }
}

/// Which part panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Transport,
    Cache,
    Source,
}

/// Plays a fetch in which a part panics at one of its polls, from the first.
async fn play_panic(stage: Stage, part: Part, moment: usize, told: &str) -> bool {
    let fuse = match part {
        Part::Transport => &stage.of_transport,
        Part::Cache => &stage.of_cache,
        Part::Source => &stage.of_source,
    };
    fuse.set(moment + 1);
    let call = Handle::current().spawn(timeout(FOREVER, stage.call()));
    settle().await;
    let others = stage.others();
    let outcome = call.await.unwrap();
    let outcome = outcome.unwrap_or_else(|_| panic!("{told}: it hangs"));
    let others = others.join_all().await;
    sleep(CALL * 20).await;
    let is_over = fuse.is_burning();
    fuse.set(0);
    if is_over || part == Part::Cache {
        // A cache is none of the callers' business.
        let expected = if stage.start == Start::Due {
            "old"
        } else {
            "new"
        };
        assert_eq!(name(&outcome.unwrap()), expected, "{told}");
        assert!(others.iter().all(Result::is_ok), "{told}");
        assert_eq!(stage.requests(), stage.start.requests(), "{told}");
        assert_eq!(stage.fetches(), 1, "{told}");
        stage.check_end(told);
        return is_over;
    }
    // A source that panics does not lift a refusal.
    let kind = match (part, stage.start) {
        (Part::Source, Start::Refused) => ErrorKind::ClientRefused,
        _ => ErrorKind::Internal,
    };
    match outcome {
        Ok(token) => assert_eq!((name(&token), stage.start), ("old", Start::Due), "{told}"),
        Err(error) => assert_eq!(error.kind(), kind, "{told}"),
    }
    for outcome in others {
        match outcome {
            Ok(token) => {
                assert!(stage.start.has_usable(), "{told}");
                assert_eq!(name(&token), "old", "{told}");
            }
            Err(error) => {
                assert!(!stage.start.has_usable(), "{told}");
                assert_eq!(error.kind(), kind, "{told}");
            }
        }
    }
    assert_eq!(stage.fetches(), 1, "{told}");
    // The next calls heal it, and what was sent before is not sent again
    // needlessly: after the error in the script one request gives a token.
    let sent = stage.requests();
    let more = match (stage.start, sent) {
        (Start::Refused, _) | (_, 1..) => 1,
        _ => 2,
    };
    let healed = async {
        loop {
            if let Some(wait) = stage.provider.status().held_back_for {
                sleep(wait.min(Duration::from_secs(1))).await;
            }
            match stage.provider.refresh().await {
                Ok(token) => return token,
                Err(error) => assert!(error.retry_after().is_some(), "{told}"),
            }
        }
    };
    let healed = timeout(FOREVER, healed).await;
    let healed = healed.unwrap_or_else(|_| panic!("{told}: it does not heal"));
    assert_eq!(name(&healed), "new", "{told}");
    assert_eq!(stage.requests(), sent + more, "{told}");
    stage.check_end(told);
    is_over
}

#[test]
fn c8_a_transport_that_panics_at_any_poll_is_an_error_that_heals() {
    everywhere(4, &async |stage, moment, told| {
        play_panic(stage, Part::Transport, moment, told).await
    });
}

#[test]
fn c9_a_source_that_panics_at_any_poll_is_an_error_that_heals() {
    everywhere(4, &async |stage, moment, told| {
        play_panic(stage, Part::Source, moment, told).await
    });
}

#[test]
fn c9_a_cache_that_panics_at_any_poll_costs_nothing() {
    for start in STARTS {
        let moments = at_each_moment(async |moment| {
            let stage = Stage::new(start, true).await;
            let told = format!("{start:?}, moment {moment}");
            play_panic(stage, Part::Cache, moment, &told).await
        });
        // A forced fetch stores, and does not search.
        assert!(moments >= 4, "{moments}");
    }
}
