//! The words of a scenario's `steps`:
//!
//! - `token => A`, `refresh => A`: the call gives the token called A;
//!   `=> error Server after 2`: it fails with that kind, and no fetch for 2 s
//! - `ready => A`, `ready => error …`: so does `token` when it is first polled
//! - `pending`: `token` does not; the caller goes away
//! - `herd 100 => A`: so do 100 callers at once, who share what they get
//! - `begin token`, `begin refresh`: calls, and waits in the background for
//!   the `end => A` that is to come of it; the oldest call ends first
//! - `try => A`, `try => none`: `try_authorization`
//! - `took 20`: so long, in seconds, did the last call take
//! - `reject A => dropped`, `not current`, or `cooling down 30`
//! - `advance 85`, `settle`: time passes; everything happens that can happen
//!   without time
//! - `wall +3600`: the wall clock alone goes on, or back; `suspend 3600`: the
//!   machine sleeps
//! - `warm`, `cool`: the token is kept warm from now on, and no more
//! - `draw least`, `draw most`: the jitter from now on
//! - `rotate new-secret`, `credentials fail`
//! - `cache works`, `fails`, `hangs`, `slow 0.5`, `put A 100 age 30`,
//!   `holds A`;
//!   `lease held`, `lease free`: somebody else has the lease
//! - `requests 2`, `asked 3`: token requests, and questions to the credentials
//!   source, so far; `sent new-secret`: what the last request carried
//! - `status fresh`, `due`, `expired`, `absent`; `fetching yes`;
//!   `held back 2`, `held back no`; `count refusals 1`
//! - `says …`: the last error's chain holds these words

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use bloom_auth_core::{
    AccessToken, AuthVersion, CacheAccess, ClientCredentials, ClientId, ClientSecret, Environment,
    Error, KeepWarm, Rejection, Scopes, TokenBudget, TokenProvider, chain,
    protocol::TokenRequest,
    test_util::{ScriptedCredentials, ScriptedTransport, TokioClock},
};
use serde::Deserialize;
use tokio::{
    runtime::Handle,
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep, timeout},
};

use super::{
    Scenario,
    server::reply,
    words::{equal, near, parse, seconds},
};
use crate::support::{
    Draw, Mood, SECRET, TestCache, credentials, name, paused, ready, settle, wire,
};

/// Longer than any call may take.
const FOREVER: Duration = Duration::from_secs(86_400);

/// Times are in seconds.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    margin: Option<f64>,
    leeway: Option<f64>,
    default_lifetime: Option<f64>,
    max_lifetime: Option<f64>,
    attempt_timeout: Option<f64>,
    fetch_timeout: Option<f64>,
    max_retry_after: Option<f64>,
    draw: Option<String>,
    /// Authorization V2 with these scopes.
    v2: Option<String>,
    #[serde(default)]
    cache: bool,
    /// Token requests, and the seconds of a period.
    budget: Option<(usize, u64)>,
}

type Outcome = Result<AccessToken, Error>;

struct Stage {
    provider: TokenProvider,
    transport: ScriptedTransport,
    credentials: ScriptedCredentials,
    request: TokenRequest,
    clock: TokioClock,
    draw: Draw,
    cache: TestCache,
    secret: String,
    seen: HashMap<String, AccessToken>,
    begun: VecDeque<JoinHandle<Outcome>>,
    last_error: Option<Error>,
    took: Duration,
    warm: Option<KeepWarm>,
}

pub(super) fn run(scenario: &Scenario) -> Result<(), String> {
    paused().block_on(async {
        let mut stage = Stage::new(&scenario.settings, &scenario.server)?;
        for (i, step) in scenario.steps.iter().enumerate() {
            let played = stage.play(step).await;
            played.map_err(|problem| format!("step {} `{step}`: {problem}", i + 1))?;
        }
        Ok(())
    })
}

impl Stage {
    fn new(settings: &Settings, server: &[String]) -> Result<Self, String> {
        let replies: Result<Vec<_>, _> = server.iter().map(|line| reply(line)).collect();
        let transport = ScriptedTransport::new(replies?);
        let credentials = credentials();
        let (clock, draw, cache) = (TokioClock::new(), Draw::default(), TestCache::default());
        let (environment, scopes) = match &settings.v2 {
            None => (Environment::sandbox(AuthVersion::V1), Scopes::default()),
            Some(scopes) => (
                Environment::sandbox(AuthVersion::V2),
                scopes.parse().map_err(|error| format!("{error}"))?,
            ),
        };
        let request = TokenRequest::new(environment.clone()).with_scopes(scopes.clone());
        let mut builder =
            TokenProvider::builder(environment, credentials.clone(), transport.clone())
                .scopes(scopes)
                .clock(clock.clone())
                .entropy(draw.clone());
        if settings.cache {
            builder = builder.cache(cache.clone());
        }
        if let Some((max, seconds)) = settings.budget {
            let budget = TokenBudget::new(max, Duration::from_secs(seconds));
            builder = builder.token_budget(budget.map_err(|error| error.to_string())?);
        }
        macro_rules! set {
            ($($setting:ident),+) => {$(
                if let Some(seconds) = settings.$setting {
                    builder = builder.$setting(Duration::from_secs_f64(seconds));
                }
            )+};
        }
        set!(margin, leeway, default_lifetime, max_lifetime);
        set!(attempt_timeout, fetch_timeout, max_retry_after);
        let stage = Self {
            provider: builder.build().map_err(|error| error.to_string())?,
            transport,
            credentials,
            request,
            clock,
            draw,
            cache,
            secret: SECRET.to_owned(),
            seen: HashMap::new(),
            begun: VecDeque::new(),
            last_error: None,
            took: Duration::ZERO,
            warm: None,
        };
        if let Some(draw) = &settings.draw {
            stage.set_draw(draw)?;
        }
        Ok(stage)
    }

    async fn play(&mut self, step: &str) -> Result<(), String> {
        let (step, expected) = match step.split_once(" => ") {
            Some((step, expected)) => (step, Some(expected)),
            None => (step, None),
        };
        let words: Vec<&str> = step.split(' ').collect();
        match (&words[..], expected) {
            (["token" | "refresh" | "end"], Some(expected)) => {
                let outcome = self.call(words[0]).await?;
                self.check(outcome, expected)
            }
            (["ready"], Some(expected)) => {
                let outcome = ready(self.provider.token());
                self.check(outcome.ok_or("got: pending")?, expected)
            }
            (["pending"], None) => match ready(self.provider.token()) {
                None => Ok(()),
                Some(outcome) => Err(format!("got: {}", self.describe(&outcome))),
            },
            (["herd", n], Some(expected)) => self.herd(parse(n)?, expected).await,
            (["begin", what @ ("token" | "refresh")], None) => {
                let provider = self.provider.clone();
                let is_token = *what == "token";
                self.begun.push_back(Handle::current().spawn(async move {
                    if is_token {
                        provider.token().await
                    } else {
                        provider.refresh().await
                    }
                }));
                settle().await;
                Ok(())
            }
            (["try"], Some(expected)) => {
                let value = self.provider.try_authorization();
                let got = value.map_or_else(
                    || "none".to_owned(),
                    |value| {
                        assert!(value.is_sensitive());
                        let text = value.to_str().unwrap_or_default();
                        text.replace(&format!("Bearer {}", wire("")), "")
                    },
                );
                equal(&got, expected)
            }
            (["reject", token], Some(expected)) => {
                let token = self.seen.get(*token).ok_or("no such token was seen")?;
                let got = match self.provider.reject(token) {
                    Rejection::Dropped => "dropped".to_owned(),
                    Rejection::NotCurrent => "not current".to_owned(),
                    Rejection::CoolingDown { after } => format!("cooling down {}", seconds(after)),
                    other => format!("{other:?}"),
                };
                equal(&got, expected)
            }
            (_, None) => self.act(&words).await,
            _ => Err("unknown step".to_owned()),
        }
    }

    async fn act(&mut self, words: &[&str]) -> Result<(), String> {
        match words {
            ["advance", time] => {
                // Not `tokio::time::advance`: what is to happen meanwhile
                // happens at its own time.
                sleep(Duration::from_secs_f64(parse(time)?)).await;
                settle().await;
            }
            ["settle"] => settle().await,
            ["suspend", time] => self.clock.suspend(parse(time)?),
            ["warm"] => {
                let warm = self.provider.keep_warm();
                self.warm = Some(warm.map_err(|error| error.to_string())?);
                settle().await;
            }
            ["cool"] => self.warm = None,
            ["wall", by] => self.clock.set_wall(parse(by)?),
            ["draw", draw] => self.set_draw(draw)?,
            ["rotate", secret] => {
                self.secret = (*secret).to_owned();
                let rotated = self.credentials.rotate("client", secret);
                rotated.map_err(|error| error.to_string())?;
            }
            ["credentials", "fail"] => self.credentials.fail(),
            ["cache", "works"] => self.cache.set_mood(Mood::Works),
            ["cache", "fails"] => self.cache.set_mood(Mood::Fails),
            ["cache", "slow", time] => {
                let time = Duration::from_secs_f64(parse(time)?);
                self.cache.set_mood(Mood::Slow(time));
            }
            ["cache", "hangs"] => self.cache.set_mood(Mood::Hangs),
            ["cache", "put", token, lifetime, "age", age] => {
                let (lifetime, age) = (parse(lifetime)?, parse(age)?);
                self.cache
                    .put(&self.access()?, token, lifetime, &self.clock, age);
            }
            ["cache", "holds", tokens @ ..] => {
                equal(&self.cache.tokens().join(" "), &tokens.join(" "))?;
            }
            ["lease", held @ ("held" | "free")] => self.cache.set_lease_held(*held == "held"),
            _ => return self.look(words),
        }
        Ok(())
    }

    fn look(&self, words: &[&str]) -> Result<(), String> {
        let status = self.provider.status();
        match words {
            ["took", time] => near(self.took, parse(time)?),
            ["requests", n] => {
                let sent = self.transport.request_count();
                let counted = status.counts.token_requests;
                equal(
                    &format!("{sent} sent, {counted} counted"),
                    &format!("{n} sent, {n} counted"),
                )
            }
            ["asked", n] => equal(&self.credentials.asked().to_string(), n),
            ["sent", secret] => {
                let requests = self.transport.requests();
                let body = requests.last().map(|request| request.body.clone());
                let body = String::from_utf8_lossy(&body.unwrap_or_default()).into_owned();
                let fields: Vec<_> = body.split('&').collect();
                let secret = format!("client_secret={secret}");
                if fields.contains(&secret.as_str()) {
                    return Ok(());
                }
                Err(format!("got: {body}"))
            }
            ["status", state] => equal(&format!("{:?}", status.token).to_lowercase(), state),
            ["fetching", yes] => equal(if status.is_fetching { "yes" } else { "no" }, yes),
            ["held", "back", "no"] => match status.held_back_for {
                None => Ok(()),
                Some(time) => Err(format!("got: {}", seconds(time))),
            },
            ["held", "back", time] => near(status.held_back_for.unwrap_or_default(), parse(time)?),
            ["count", what, n] => {
                let counts = format!("{:?}", status.counts);
                if counts.contains(&format!(" {what}: {n}")) {
                    return Ok(());
                }
                Err(format!("got: {counts}"))
            }
            ["says", words @ ..] => {
                let text = self.last_error.as_ref().map(|error| chain(error));
                let text = text.unwrap_or_default();
                if text.contains(&words.join(" ")) {
                    return Ok(());
                }
                Err(format!("got: {text}"))
            }
            _ => Err("unknown step".to_owned()),
        }
    }

    async fn call(&mut self, what: &str) -> Result<Outcome, String> {
        let start = Instant::now();
        let outcome = match what {
            "token" => timeout(FOREVER, self.provider.token()).await,
            "refresh" => timeout(FOREVER, self.provider.refresh()).await,
            _ => {
                let begun = self.begun.pop_front().ok_or("nothing was begun")?;
                let joined = timeout(FOREVER, begun).await;
                joined.map(|joined| joined.expect("a call does not panic"))
            }
        };
        self.took = start.elapsed();
        outcome.map_err(|_| "got: nothing for a day".to_owned())
    }

    async fn herd(&mut self, n: usize, expected: &str) -> Result<(), String> {
        let mut callers = JoinSet::new();
        for _ in 0..n {
            let provider = self.provider.clone();
            callers.spawn(async move { provider.token().await });
        }
        let mut outcomes = callers.join_all().await;
        let first = outcomes.pop().ok_or("a herd of none")?;
        for outcome in outcomes {
            let is_shared = match (&first, &outcome) {
                (Ok(first), Ok(token)) => first == token,
                (Err(first), Err(error)) => first.same_fetch(error),
                _ => false,
            };
            if !is_shared {
                let (one, other) = (self.describe(&first), self.describe(&outcome));
                return Err(format!("got: {one} and {other}, not shared"));
            }
        }
        self.check(first, expected)
    }

    fn check(&mut self, outcome: Outcome, expected: &str) -> Result<(), String> {
        let got = self.describe(&outcome);
        match outcome {
            Ok(token) => {
                self.seen.insert(name(&token).to_owned(), token);
            }
            Err(error) => {
                let text = format!("{} {error:?} {error:#?}", chain(&error));
                for canary in ["canary", self.secret.as_str(), "<html>"] {
                    if text.contains(canary) {
                        return Err(format!("the error holds `{canary}`: {text}"));
                    }
                }
                self.last_error = Some(error);
            }
        }
        // Without a time, any will do.
        let rest = got.strip_prefix(expected);
        if rest.is_some_and(|rest| rest.starts_with(" after ")) {
            return Ok(());
        }
        equal(&got, expected)
    }

    fn describe(&self, outcome: &Outcome) -> String {
        match outcome {
            Ok(token) => name(token).to_owned(),
            Err(error) => match error.retry_after() {
                Some(after) => format!("error {:?} after {}", error.kind(), seconds(after)),
                None => format!("error {:?}", error.kind()),
            },
        }
    }

    fn access(&self) -> Result<CacheAccess, String> {
        let id = ClientId::new("client").map_err(|error| error.to_string())?;
        let secret = ClientSecret::new(self.secret.as_str()).map_err(|error| error.to_string())?;
        let credentials = ClientCredentials::new(id, secret);
        Ok(CacheAccess::new(&self.request, &credentials))
    }

    fn set_draw(&self, draw: &str) -> Result<(), String> {
        self.draw.set(match draw {
            "least" => 0,
            "half" => u64::MAX / 2,
            "most" => u64::MAX,
            _ => return Err(format!("unknown draw `{draw}`")),
        });
        Ok(())
    }
}
