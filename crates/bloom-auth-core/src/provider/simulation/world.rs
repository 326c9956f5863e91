//! A fleet that asks for tokens, and what became of it.

use super::{
    SECOND,
    random::{Queue, Random},
    server::{Answer, Server, What},
};
use crate::{
    client::{ClientCredentials, ClientId, ClientSecret},
    clock::{Timestamp, nanos},
    error::{Error, ErrorKind},
    protocol::{ExpiresIn, TokenResponse, retry_after::retry_after},
    provider::{
        failure::Failure,
        settings::Settings,
        state::{Ask, Decision, Held, Origin, State},
        timing::{Deadlines, Freshness},
    },
    token::AccessToken,
    transport::TransportErrorKind,
};

/// What happens to a client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A caller asks.
    Ask(usize),
    /// A fetch makes its next attempt.
    Attempt(usize),
    /// An attempt is over, in one way or another.
    End(usize),
}

/// A token request, as the server saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) at: u64,
    pub(super) client: usize,
    /// The fetch that it was made for, and which attempt of it.
    pub(super) fetch: u64,
    pub(super) attempt: u32,
    pub(super) ended_at: u64,
    pub(super) got_token: bool,
}

/// How callers fared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Gets {
    pub(super) at_once: u64,
    /// For a fetch, which then brought a token.
    pub(super) waited: u64,
    pub(super) failed: u64,
    /// When the last of those asked.
    pub(super) last_failed_at: u64,
}

impl Gets {
    fn fail(&mut self, callers: u64, last_asked_at: u64) {
        self.failed += callers;
        self.last_failed_at = self.last_failed_at.max(last_asked_at);
    }

    pub(super) fn all(&self) -> u64 {
        self.at_once + self.waited + self.failed
    }
}

struct Flight {
    generation: u64,
    attempts: u32,
    attempt: u32,
    /// When its requests have to be over.
    deadline: u64,
    /// Where in the log its last request is.
    sent: usize,
    answer: Option<What>,
}

struct Client {
    state: State,
    /// Between two callers.
    period: u64,
    flight: Option<Flight>,
    /// When those who wait for the flight asked.
    waiting: Vec<u64>,
}

pub(super) struct World {
    pub(super) now: u64,
    pub(super) log: Vec<Sent>,
    pub(super) gets: Gets,
    /// Whether also those callers are played of whom it is certain what they
    /// get, and that nothing comes of it.
    pub(super) plays_everyone: bool,
    random: Random,
    queue: Queue<Event>,
    clients: Vec<Client>,
    server: Server,
    settings: Settings,
    credentials: ClientCredentials,
}

impl World {
    pub(super) fn new(seed: u64, server: Server) -> Self {
        let id = ClientId::new("id").unwrap();
        let secret = ClientSecret::new("secret").unwrap();
        Self {
            now: 0,
            log: Vec::new(),
            gets: Gets::default(),
            plays_everyone: false,
            random: Random::new(seed),
            queue: Queue::new(),
            clients: Vec::new(),
            server,
            settings: Settings::default(),
            credentials: ClientCredentials::new(id, secret),
        }
    }

    /// Adds processes that start in the second that begins now, with a caller
    /// every so often from then on.
    pub(super) fn start(&mut self, processes: usize, period: u64) {
        for _ in 0..processes {
            let first = self.now + self.random.between(0, SECOND - 1);
            self.queue.add(first, Event::Ask(self.clients.len()));
            self.clients.push(Client {
                state: State::default(),
                period,
                flight: None,
                waiting: Vec::new(),
            });
        }
    }

    /// Lets the time pass until this second.
    pub(super) fn run_until(&mut self, second: u64) {
        let end = second * SECOND;
        while let Some((at, event)) = self.queue.next_before(end) {
            self.now = at;
            match event {
                Event::Ask(client) => self.ask(client),
                Event::Attempt(client) => self.attempt(client),
                Event::End(client) => self.end(client),
            }
        }
        self.now = end;
    }

    /// How many processes have no token that they can serve.
    pub(super) fn without_token(&self) -> usize {
        let now = moment(self.now);
        let has_token = |client: &&Client| {
            let held = client.state.held();
            held.is_none_or(|held| held.deadlines.freshness(now) == Freshness::Expired)
        };
        self.clients.iter().filter(has_token).count()
    }

    fn ask(&mut self, id: usize) {
        let now = moment(self.now);
        let client = &mut self.clients[id];
        let starts = match client.state.decide(now, Ask::Usable) {
            Decision::Serve(_) => {
                self.gets.at_once += 1;
                false
            }
            Decision::ServeAndFetch(..) => {
                self.gets.at_once += 1;
                true
            }
            Decision::Join => {
                client.waiting.push(self.now);
                false
            }
            Decision::Fetch(_) => {
                client.waiting.push(self.now);
                true
            }
            Decision::Fail(_) => {
                self.gets.fail(1, self.now);
                false
            }
        };
        let next = self.next_ask(id);
        self.queue.add(next, Event::Ask(id));
        if starts {
            let client = &mut self.clients[id];
            let (generation, attempts) = client.state.started();
            client.flight = Some(Flight {
                generation,
                attempts,
                attempt: 0,
                deadline: self.now + nanos(self.settings.fetch_timeout),
                sent: 0,
                answer: None,
            });
            self.attempt(id);
        }
    }

    /// When the next caller asks who may get another decision than this one
    /// got. Those between are counted.
    fn next_ask(&mut self, id: usize) -> u64 {
        let now = moment(self.now);
        let client = &self.clients[id];
        let next = self.now + client.period;
        let held = client
            .state
            .held()
            .map(|held| (held.deadlines, held.deadlines.freshness(now)))
            .filter(|(_, freshness)| *freshness != Freshness::Expired);
        let held_back = client.state.held_back_until(now);
        // Whatever is to come in a flight may come at any time.
        let same_until = match (held, held_back) {
            _ if self.plays_everyone || client.state.flight().is_some() => return next,
            (Some((deadlines, Freshness::Fresh)), _) => deadlines.refresh_at.monotonic,
            (Some((deadlines, _)), Some(until)) => deadlines.unusable_at.monotonic.min(until),
            (None, Some(until)) => until,
            _ => return next,
        };
        let same_until = same_until - (now.monotonic - self.now);
        let skipped = same_until.saturating_sub(next).div_ceil(client.period);
        if held.is_some() {
            self.gets.at_once += skipped;
        } else if skipped > 0 {
            let last = next + (skipped - 1) * client.period;
            self.gets.fail(skipped, last);
        }
        next + skipped * client.period
    }

    fn attempt(&mut self, id: usize) {
        let Answer { after, what } = self.server.answer(self.now, &mut self.random);
        let flight = self.clients[id].flight.as_mut().unwrap();
        flight.attempt += 1;
        let limit = (self.now + nanos(self.settings.attempt_timeout)).min(flight.deadline);
        let (ended_at, what) = match what {
            What::Response(_) | What::Refused if self.now + after < limit => {
                (self.now + after, what)
            }
            _ => (limit, What::Silence),
        };
        flight.answer = Some(what);
        flight.sent = self.log.len();
        self.log.push(Sent {
            at: self.now,
            client: id,
            fetch: flight.generation,
            attempt: flight.attempt,
            ended_at,
            got_token: false,
        });
        self.queue.add(ended_at, Event::End(id));
    }

    fn end(&mut self, id: usize) {
        let mut flight = self.clients[id].flight.take().unwrap();
        let sent_at = self.log[flight.sent].at;
        let now = moment(self.now);
        let draw = self.random.draw();
        let result = self.read(flight.answer.take(), moment(sent_at), draw);
        let client = &mut self.clients[id];
        match result {
            Ok((token, deadlines)) => {
                self.log[flight.sent].got_token = true;
                let held = Held {
                    token,
                    deadlines,
                    generation: flight.generation,
                };
                assert!(client.state.succeeded(held, Origin::Server, now));
                self.gets.waited += client.waiting.len() as u64;
                client.waiting.clear();
            }
            Err(failure) => {
                let pause = failure.pause_after(flight.attempt, flight.attempts, draw);
                let again_at = pause.map(|pause| self.now + pause);
                if let Some(again_at) = again_at.filter(|at| *at < flight.deadline) {
                    client.flight = Some(flight);
                    self.queue.add(again_at, Event::Attempt(id));
                    return;
                }
                let draw = self.random.draw();
                client.state.failed(flight.generation, failure, now, draw);
                for asked_at in client.waiting.drain(..) {
                    self.gets.fail(1, asked_at);
                }
            }
        }
        client.state.let_go(flight.generation);
        drop(client.state.take_discarded());
    }

    /// As a fetch reads an answer.
    fn read(
        &self,
        answer: Option<What>,
        sent: Timestamp,
        draw: u64,
    ) -> Result<(AccessToken, Deadlines), Failure> {
        let received = moment(self.now);
        let response = match answer {
            Some(What::Response(response)) => response,
            Some(What::Refused) => {
                return Err(Failure::of_transport(TransportErrorKind::Connect.into()));
            }
            Some(What::Silence) | None => return Err(Failure::timeout()),
        };
        let decoded = TokenResponse::decode(&response, &self.credentials).map_err(|error| {
            let max = self.settings.max_retry_after;
            let after = retry_after(response.headers(), received.system_time(), max);
            Failure::of_response(error, after, self.credentials.tag())
        })?;
        let ExpiresIn::Seconds(lifetime) = decoded.expires_in() else {
            panic!("the server names the lifetime");
        };
        let timing = self.settings.timing();
        let deadlines = Deadlines::of_answer(&timing, lifetime * SECOND, sent, received, draw)
            .ok_or_else(|| Failure::later(Error::new(ErrorKind::ExpiredOnArrival)))?;
        let expires_at = deadlines.expires_at.wall;
        let token = AccessToken::new(decoded.bearer().clone(), expires_at, None);
        Ok((token, deadlines))
    }
}

/// Both clocks at a moment of the simulation.
fn moment(now: u64) -> Timestamp {
    Timestamp::new(1_000 * SECOND + now, 1_000_000_000 * SECOND + now)
}
