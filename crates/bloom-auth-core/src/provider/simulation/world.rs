//! A fleet that asks for tokens, and what became of it.

use std::collections::HashMap;

use super::{
    SECOND,
    random::{Queue, Random},
    server::{Answer, Reply, Server, What},
};
use crate::{
    client::{ClientCredentials, ClientId, ClientSecret},
    clock::{Timestamp, nanos},
    provider::{
        answer,
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
    answer: What,
}

struct Client {
    state: State,
    /// What its wall clock shows at the beginning.
    wall: u64,
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
    pub(super) settings: Settings,
    pub(super) rules: Rules,
    /// By how much clocks may be wrong, in seconds.
    pub(super) wrong_clocks: u64,
    clocks: Random,
    credentials: ClientCredentials,
    /// What replies were read as, for it is the same every time.
    read: HashMap<Reply, Result<(AccessToken, u64), Failure>>,
}

/// Rules of the engine that can be broken, to see that it would be noticed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// What is drawn differs.
    pub(super) jitter: bool,
    /// After a failure there is a wait.
    pub(super) backoff: bool,
    /// The server's wish is heard.
    pub(super) retry_after: bool,
    /// How often each request is sent: more than once if a layer below tries
    /// again too.
    pub(super) sends: u32,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            jitter: true,
            backoff: true,
            retry_after: true,
            sends: 1,
        }
    }
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
            rules: Rules::default(),
            wrong_clocks: 0,
            clocks: Random::new(!seed),
            credentials: ClientCredentials::new(id, secret),
            read: HashMap::new(),
        }
    }

    /// Adds processes that start in the second that begins now, with a caller
    /// every so often from then on.
    pub(super) fn start(&mut self, processes: usize, period: u64) {
        for _ in 0..processes {
            let first = self.now + self.random.between(0, SECOND - 1);
            self.queue.add(first, Event::Ask(self.clients.len()));
            let wrong = self.wrong_clocks * SECOND;
            self.clients.push(Client {
                state: State::default(),
                wall: START - wrong + self.clocks.between(0, 2 * wrong),
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
        let has_none = |client: &&Client| {
            let (held, now) = (client.state.held(), client.moment(self.now));
            held.is_none_or(|held| held.deadlines.freshness(now) == Freshness::Expired)
        };
        self.clients.iter().filter(has_none).count()
    }

    fn ask(&mut self, id: usize) {
        let client = &mut self.clients[id];
        let now = client.moment(self.now);
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
                answer: What::Silence,
            });
            self.attempt(id);
        }
    }

    /// When the next caller asks who may get another decision than this one
    /// got. Those between are counted.
    fn next_ask(&mut self, id: usize) -> u64 {
        let client = &self.clients[id];
        let now = client.moment(self.now);
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

    /// What the engine draws.
    fn draw(&mut self) -> u64 {
        let draw = self.random.draw();
        if self.rules.jitter {
            draw
        } else {
            u64::MAX / 2
        }
    }

    fn attempt(&mut self, id: usize) {
        let flight = self.clients[id].flight.as_mut().unwrap();
        flight.attempt += 1;
        let limit = (self.now + nanos(self.settings.attempt_timeout)).min(flight.deadline);
        let mut ended_at = self.now;
        flight.sent = self.log.len();
        for _ in 0..self.rules.sends {
            let Answer { after, what } = self.server.answer(self.now, &mut self.random);
            (ended_at, flight.answer) = match what {
                What::Response(_) | What::Refused if self.now + after < limit => {
                    (self.now + after, what)
                }
                _ => (limit, What::Silence),
            };
            self.log.push(Sent {
                at: self.now,
                client: id,
                fetch: flight.generation,
                attempt: flight.attempt,
                ended_at,
                got_token: false,
            });
            if matches!(what, What::Response(Reply::Token(..))) {
                break;
            }
        }
        self.queue.add(ended_at, Event::End(id));
    }

    fn end(&mut self, id: usize) {
        let flight = self.clients[id].flight.take().unwrap();
        let client = &self.clients[id];
        let sent_at = client.moment(self.log[flight.sent].at);
        let now = client.moment(self.now);
        let draw = self.draw();
        let result = self.read(flight.answer, sent_at, now, draw);
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
            Err(mut failure) => {
                failure.took = now.since(sent_at);
                if !self.rules.retry_after {
                    failure.retry_after = None;
                }
                let left = flight.deadline.saturating_sub(self.now);
                let pause = failure.pause_after(flight.attempt, flight.attempts, left, draw);
                if let Some(pause) = pause {
                    client.flight = Some(flight);
                    self.queue.add(self.now + pause, Event::Attempt(id));
                    return;
                }
                let draw = self.draw();
                let client = &mut self.clients[id];
                // One that is long over makes nobody wait.
                let long_ago = client.moment(0);
                let failed_at = if self.rules.backoff { now } else { long_ago };
                let generation = flight.generation;
                client.state.failed(generation, failure, failed_at, draw);
                for asked_at in client.waiting.drain(..) {
                    self.gets.fail(1, asked_at);
                }
            }
        }
        let client = &mut self.clients[id];
        client.state.let_go(flight.generation);
        drop(client.state.take_discarded());
    }

    /// As a fetch reads an answer.
    fn read(
        &mut self,
        answer: What,
        sent: Timestamp,
        received: Timestamp,
        draw: u64,
    ) -> Result<(AccessToken, Deadlines), Failure> {
        let reply = match answer {
            What::Response(reply) => reply,
            What::Refused => {
                return Err(Failure::of_transport(TransportErrorKind::Connect.into()));
            }
            What::Silence => return Err(Failure::timeout()),
        };
        let (settings, credentials) = (&self.settings, &self.credentials);
        let read = self.read.entry(reply).or_insert_with(|| {
            let (response, tag) = (reply.response(), credentials.tag());
            let response = answer::read(&response, credentials, tag, settings, received)?;
            let lifetime = answer::lifetime(&response, settings);
            let token = AccessToken::new(response.bearer().clone(), u64::MAX, None);
            Ok((token, lifetime))
        });
        let (token, lifetime) = read.clone()?;
        let deadlines = answer::deadlines(lifetime, settings, sent, received, draw)?;
        Ok((token, deadlines))
    }
}

/// What clocks show at the beginning, if they are right.
const START: u64 = 1_000_000_000 * SECOND;

impl Client {
    /// Both its clocks at a moment of the simulation.
    fn moment(&self, now: u64) -> Timestamp {
        Timestamp::new(1_000 * SECOND + now, self.wall + now)
    }
}
