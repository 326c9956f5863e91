//! A fleet of whole engines in virtual time: providers as they are, on a runtime
//! whose clock is paused. What caches do to a fleet is played with these, for
//! it is the shell around the decisions that deals with them.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use http::{Request, Response};
use tokio::{
    runtime::Builder,
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use super::{
    SECOND, Sent, Server,
    random::Random,
    server::{Answer, Reply, What},
    shared::SharedCache,
};
use crate::{
    AuthVersion, ClientCredentials, ClientId, ClientSecret, Environment, RequestBody, ResponseBody,
    Transport, TransportError,
    clock::nanos,
    provider::TokenProvider,
    test_util::{SeededEntropy, TokioClock},
    token::AccessToken,
    transport::TransportErrorKind,
};

/// Whom a fleet consists of.
#[derive(Clone, Debug)]
pub(super) struct Engines {
    pub(super) seed: u64,
    pub(super) processes: usize,
    /// Seconds between two callers of a process.
    pub(super) period: u64,
    /// By how many seconds clocks may be wrong.
    pub(super) wrong_clocks: u64,
    /// How often a layer below the engine sends each request.
    pub(super) sends: usize,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) log: Vec<Sent>,
    pub(super) served: u64,
    pub(super) failed: u64,
    /// Calls that got a token which the API would refuse.
    pub(super) dead: u64,
}

/// What all processes deal with.
struct Surroundings {
    server: Server,
    random: Random,
    outcome: Outcome,
    /// When the token with this number is over.
    ends: Vec<u64>,
}

#[derive(Clone)]
struct Place {
    surroundings: Arc<Mutex<Surroundings>>,
    began: Instant,
    client: usize,
    sends: usize,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").finish_non_exhaustive()
    }
}

impl Place {
    fn surroundings(&self) -> MutexGuard<'_, Surroundings> {
        self.surroundings.lock().unwrap()
    }

    fn now(&self) -> u64 {
        nanos(self.began.elapsed())
    }

    fn ask(&self) -> Answer {
        let now = self.now();
        let mut surroundings = self.surroundings();
        let Surroundings {
            server,
            random,
            outcome,
            ends,
        } = &mut *surroundings;
        let answer = server.answer(now, random);
        let number = ends.len();
        if let What::Response(Reply::Token(token, lifetime)) = answer.what {
            ends.resize(number.max(token as usize + 1), 0);
            ends[token as usize] = now + lifetime * SECOND;
        }
        for _ in 0..self.sends {
            outcome.log.push(Sent {
                at: now,
                client: self.client,
                fetch: 0,
                attempt: 0,
                ended_at: now + answer.after,
                got_token: matches!(answer.what, What::Response(Reply::Token(..))),
            });
        }
        answer
    }

    /// A caller got this; returns whether the API refuses it.
    fn got(&self, token: Option<&AccessToken>) -> bool {
        let now = self.now();
        let mut surroundings = self.surroundings();
        let Some(token) = token else {
            surroundings.outcome.failed += 1;
            return false;
        };
        let number: usize = token.expose()[1..].parse().unwrap();
        let is_dead = surroundings.ends[number] <= now;
        if is_dead {
            surroundings.outcome.dead += 1;
        } else {
            surroundings.outcome.served += 1;
        }
        is_dead
    }
}

#[async_trait]
impl Transport for Place {
    async fn send(
        &self,
        _: Request<RequestBody>,
    ) -> Result<Response<ResponseBody>, TransportError> {
        let Answer { after, what } = self.ask();
        sleep(Duration::from_nanos(after)).await;
        match what {
            What::Response(reply) => Ok(reply.response()),
            What::Refused => Err(TransportErrorKind::Connect.into()),
            What::Silence => std::future::pending().await,
        }
    }
}

impl Engines {
    /// Plays them until this second; without a cache each is on its own.
    pub(super) fn play(
        &self,
        mut server: Server,
        cache: impl FnOnce() -> Option<SharedCache>,
        until: u64,
    ) -> Outcome {
        server.tokens_differ = true;
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let cache = cache();
            let mut random = Random::new(self.seed);
            let began = Instant::now();
            let end = began + Duration::from_secs(until);
            let surroundings = Arc::new(Mutex::new(Surroundings {
                server,
                random: Random::new(random.draw()),
                outcome: Outcome::default(),
                ends: Vec::new(),
            }));
            let mut processes = JoinSet::new();
            for client in 0..self.processes {
                let place = Place {
                    surroundings: Arc::clone(&surroundings),
                    began,
                    client,
                    sends: self.sends,
                };
                let provider = self.provider(&place, &mut random, cache.as_ref());
                let first = random.between(0, self.period * SECOND - 1);
                let first = began + Duration::from_nanos(first);
                let period = Duration::from_secs(self.period);
                processes.spawn(async move {
                    let mut next = first;
                    while next < end {
                        sleep_until(next).await;
                        let token = provider.token().await.ok();
                        if place.got(token.as_ref()) {
                            token.map(|token| provider.reject(&token));
                        }
                        next = (next + period).max(Instant::now());
                    }
                });
            }
            while let Some(process) = processes.join_next().await {
                process.unwrap();
            }
            std::mem::take(&mut surroundings.lock().unwrap().outcome)
        })
    }

    fn provider(
        &self,
        place: &Place,
        random: &mut Random,
        cache: Option<&SharedCache>,
    ) -> TokenProvider {
        let id = ClientId::new("client").unwrap();
        let secret = ClientSecret::new("secret").unwrap();
        let clock = TokioClock::new();
        let wrong = self.wrong_clocks;
        let ahead = random.between(0, 2 * wrong);
        clock.set_wall(ahead as i64 - wrong as i64);
        let provider = TokenProvider::builder(
            Environment::sandbox(AuthVersion::V1),
            ClientCredentials::new(id, secret),
            place.clone(),
        )
        .clock(clock)
        .entropy(SeededEntropy::new(random.draw()));
        match cache {
            Some(cache) => provider.cache(cache.clone()),
            None => provider,
        }
        .build()
        .unwrap()
    }
}
