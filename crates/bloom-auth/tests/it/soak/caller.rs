//! Those who call in a soak, and what they hold the library to.
//!
//! A call that fails is covered by a promise if the server is well, or if a
//! usable token was held all the time; else it is not: there is no token yet,
//! or none any more, and the endpoint is failing. Nor is it where a token of a
//! second came a second late, which a busy machine does to servers that are
//! well. Covered as well are: every error is of a kind that passes, no call
//! outlasts its limit, no token is handed out that has expired.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};

use bloom_auth::{
    AuthorizedClient, ClientCredentials, ClientId, ClientSecret, Environment, Error, ErrorKind,
    KeepWarm, Recovery, RequestError, ReqwestTransport, Status, TokenCache, TokenProvider,
    TokenState,
};
use tokio::time::timeout;

use super::{ID, SECRET, measure::Held, random::Random, servers::CALL_LIMIT, verdict::Sample};

/// A call that lasts this much longer than its limit has not heeded it,
/// however busy the machine is.
const GRACE: Duration = Duration::from_secs(20);

/// The finest of the clocks that the library reads on its hot path.
const TICK: Duration = Duration::from_millis(20);

/// How a token endpoint behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    Calm,
    Troubled,
    /// It never grants a token.
    Hostile,
}

/// Where a token endpoint and its API are.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) nature: Nature,
    pub(super) origin: String,
    pub(super) audience: String,
}

impl Place {
    pub(super) fn environment(&self) -> Environment {
        Environment::custom(format!("{}/oauth/token", self.origin), &self.origin)
            .audience(&self.audience)
            .allow_insecure_loopback()
            .build()
            .unwrap()
    }

    pub(super) fn provider(&self, cache: Option<Arc<dyn TokenCache>>) -> TokenProvider {
        let transport = ReqwestTransport::builder()
            .allow_insecure_loopback()
            .build()
            .unwrap();
        let (environment, credentials) = (self.environment(), credentials());
        let mut builder = TokenProvider::builder(environment, credentials, transport);
        if self.nature != Nature::Calm {
            builder = builder
                .attempt_timeout(Duration::from_secs(1))
                .fetch_timeout(CALL_LIMIT)
                .max_retry_after(Duration::from_secs(2));
        }
        if let Some(cache) = cache {
            builder = builder.cache(cache);
        }
        builder.build().unwrap()
    }
}

pub(super) fn credentials() -> ClientCredentials {
    let secret = ClientSecret::new(SECRET).unwrap();
    ClientCredentials::new(ClientId::new(ID).unwrap(), secret)
}

/// A provider, with what is built on it.
pub(super) struct Kit {
    nature: Nature,
    provider: TokenProvider,
    api: AuthorizedClient,
    ends: Instant,
    _warm: Option<KeepWarm>,
}

/// A kit, and how to make the next one, which has nothing of the first.
pub(super) struct Slot {
    pub(super) place: Place,
    pub(super) cache: Option<Arc<dyn TokenCache>>,
    pub(super) warm: bool,
    kit: Mutex<Option<Arc<Kit>>>,
}

impl Slot {
    pub(super) fn new(place: &Place, cache: Option<Arc<dyn TokenCache>>, warm: bool) -> Self {
        Self {
            place: place.clone(),
            cache,
            warm,
            kit: Mutex::new(None),
        }
    }

    /// The kit as it is; in the place of an old one, a new one.
    #[expect(clippy::disallowed_methods, reason = "real time is the point")]
    fn kit(&self, random: &mut Random) -> Arc<Kit> {
        let now = Instant::now();
        let mut slot = self.kit.lock().unwrap();
        if let Some(kit) = &*slot
            && now < kit.ends
        {
            return Arc::clone(kit);
        }
        let provider = self.place.provider(self.cache.clone());
        let kit = Arc::new(Kit {
            nature: self.place.nature,
            api: AuthorizedClient::builder(provider.clone())
                .timeout(CALL_LIMIT)
                .build()
                .unwrap(),
            _warm: self.warm.then(|| provider.keep_warm().unwrap()),
            provider,
            ends: now + random.millis(500, 6000),
        });
        *slot = Some(Arc::clone(&kit));
        kit
    }
}

/// What all callers of a process saw.
pub(super) struct Tally {
    start: Instant,
    pub(super) calls: AtomicU64,
    pub(super) answers: AtomicU64,
    pub(super) unpromised: AtomicU64,
    pub(super) broken: AtomicU64,
    /// Of those that had to wait, in milliseconds.
    pub(super) longest: AtomicU64,
    /// Tasks that were still there after the last drop.
    pub(super) left_tasks: AtomicU64,
    /// The first of those that are broken.
    pub(super) complaints: Mutex<Vec<String>>,
}

impl Tally {
    #[expect(clippy::disallowed_methods, reason = "real time is the point")]
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            calls: AtomicU64::new(0),
            answers: AtomicU64::new(0),
            unpromised: AtomicU64::new(0),
            broken: AtomicU64::new(0),
            longest: AtomicU64::new(0),
            left_tasks: AtomicU64::new(0),
            complaints: Mutex::new(Vec::new()),
        }
    }

    pub(super) fn sample(&self, held: Held) -> Sample {
        Sample {
            at: self.start.elapsed().as_secs_f64(),
            held,
            calls: self.calls.load(Relaxed),
            answers: self.answers.load(Relaxed),
            unpromised: self.unpromised.load(Relaxed),
            broken: self.broken.load(Relaxed),
        }
    }

    pub(super) fn complain(&self, complaint: String) {
        self.broken.fetch_add(1, Relaxed);
        let mut complaints = self.complaints.lock().unwrap();
        if complaints.len() < 10 {
            complaints.push(complaint);
        }
    }

    /// Judges a call for a token. `held_on` says that a usable token was held
    /// from its beginning to its end.
    pub(super) fn judge<T>(&self, nature: Nature, held_on: bool, result: &Result<T, Error>) {
        self.calls.fetch_add(1, Relaxed);
        let error = match result {
            Ok(_) if nature == Nature::Hostile => {
                return self.complain("a token of a server that grants none".to_owned());
            }
            Ok(_) => return,
            Err(error) => error,
        };
        let passes = matches!(error.recovery(), Recovery::Retry { .. })
            && !matches!(
                error.kind(),
                ErrorKind::Internal | ErrorKind::BlockingThread
            );
        let is_late = error.kind() == ErrorKind::ExpiredOnArrival;
        if held_on || !passes || (nature == Nature::Calm && !is_late) {
            self.complain(format!("{nature:?}, held on: {held_on}: {error:?}"));
        } else {
            self.unpromised.fetch_add(1, Relaxed);
        }
    }
}

/// Whether a token was held that could be used from the one moment to the
/// other, with nothing taken and nothing come meanwhile.
#[expect(clippy::disallowed_methods, reason = "real time is the point")]
fn held_on(before: &Status, after: &Status) -> bool {
    let is_usable = matches!(before.token, TokenState::Fresh | TokenState::Due);
    let (old, new) = (&before.counts, &after.counts);
    let lasts = |until| SystemTime::now() + TICK < until;
    is_usable
        && (old.rejections, old.tokens_received, old.cache_hits)
            == (new.rejections, new.tokens_received, new.cache_hits)
        && before.unusable_at.is_some_and(lasts)
}

/// Calls in every way there is, until that moment.
#[expect(clippy::disallowed_methods, reason = "real time is the point")]
pub(super) async fn call_until(
    end: Instant,
    slots: Arc<Vec<Slot>>,
    tally: Arc<Tally>,
    mut random: Random,
) {
    // However busy the machine is, each has one answer.
    let kit = slots[0].kit(&mut random);
    if kit.nature != Nature::Hostile {
        ask_the_api(&kit, &tally).await;
    }
    drop(kit);
    while Instant::now() < end {
        let slot = random.pick(&slots);
        let kit = slot.kit(&mut random);
        match random.below(1000) {
            0..400 => burst(&kit, &tally, random.below(1000)),
            400..600 => {
                let call = kit.provider.authorization();
                watched(&kit, &tally, call).await;
            }
            600..800 => {
                let asked = SystemTime::now();
                let token = watched(&kit, &tally, kit.provider.token()).await;
                if let Some(token) = token
                    && token.expires_at() <= asked
                {
                    tally.complain(format!("{token:?} had expired when it was asked for"));
                }
            }
            800..980 if kit.nature != Nature::Hostile => ask_the_api(&kit, &tally).await,
            980..995 => {
                if let Some(token) = kit.provider.fresh_token() {
                    kit.provider.reject(&token);
                }
            }
            995.. => {
                // It may fail while a token is held: it wants another.
                let result = watch(&tally, kit.provider.refresh()).await;
                if let Some(result) = result {
                    tally.judge(kit.nature, false, &result);
                }
            }
            _ => {}
        }
        drop(kit);
        tokio::task::yield_now().await;
    }
}

/// The hot path, as fast as it goes.
fn burst(kit: &Kit, tally: &Tally, calls: u64) {
    let before = kit.provider.status();
    let served = (0..calls).filter(|_| kit.provider.try_authorization().is_some());
    let missed = calls - served.count() as u64;
    tally.calls.fetch_add(calls, Relaxed);
    if missed > 0 {
        if held_on(&before, &kit.provider.status()) {
            tally.complain(format!(
                "{missed} of {calls} calls found no token: {before:?}"
            ));
        }
        tally.unpromised.fetch_add(missed, Relaxed);
    }
}

/// A call for a token that may wait.
async fn watched<T>(
    kit: &Kit,
    tally: &Tally,
    call: impl Future<Output = Result<T, Error>>,
) -> Option<T> {
    let before = kit.provider.status();
    let result = watch(tally, call).await?;
    let held_on = result.is_err() && held_on(&before, &kit.provider.status());
    tally.judge(kit.nature, held_on, &result);
    result.ok()
}

/// `None`, and a complaint, if it does not end.
#[expect(clippy::disallowed_methods, reason = "real time is the point")]
pub(super) async fn watch<T>(tally: &Tally, call: impl Future<Output = T>) -> Option<T> {
    let asked = Instant::now();
    let result = timeout(CALL_LIMIT + GRACE, call).await;
    let took = u64::try_from(asked.elapsed().as_millis()).unwrap();
    tally.longest.fetch_max(took, Relaxed);
    if result.is_err() {
        tally.complain(format!("a call was not over after {took} ms"));
    }
    result.ok()
}

/// A request to the API. Its own trouble is not ours; that the token did not
/// serve is, if the API is well.
#[expect(clippy::disallowed_methods, reason = "real time is the point")]
async fn ask_the_api(kit: &Kit, tally: &Tally) {
    // What a token has left when it is handed out: a twentieth of its lifetime.
    const LEFT: Duration = Duration::from_millis(40);
    let asked = Instant::now();
    let call = kit.api.get("/v2/core/organization").send();
    match watch(tally, call).await {
        Some(Ok(response)) => {
            tally.calls.fetch_add(1, Relaxed);
            tally.answers.fetch_add(1, Relaxed);
            let status = response.status();
            if status == 401 && kit.nature == Nature::Calm && asked.elapsed() < LEFT {
                tally.complain("a calm API refused a token".to_owned());
            }
            // Read, so that the connection can be used again.
            let _ = response.bytes().await;
        }
        Some(Err(RequestError::Token(error))) => {
            tally.judge::<()>(kit.nature, false, &Err(error));
        }
        Some(Err(error)) => {
            let is_http = matches!(error, RequestError::Http(_));
            if !is_http || matches!(error.recovery(), Recovery::FixProgram) {
                tally.complain(format!("{error:?}"));
            }
            tally.unpromised.fetch_add(1, Relaxed);
        }
        None => {}
    }
}
