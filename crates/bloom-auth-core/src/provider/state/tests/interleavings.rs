//! The flight protocol, in every order in which threads can take its steps with
//! at most three changes of the thread that no lock asks for, or six in the long
//! form.
//!
//! The state is the real one. Around it is the shell in small (`step`,
//! `publish`, `finished` and `reject` of `provider/mod.rs` and
//! `provider/shared.rs`, line by line), on loom's locks; what callers read is in
//! the real places, on loom's locks too. Time stands still: what follows from it
//! is the other model's affair. The thread that starts a flight
//! drives it, as a runtime of one thread does.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex as Unseen,
        atomic::{AtomicU64, Ordering},
    },
};

use loom::{
    sync::{Condvar, Mutex},
    thread,
};

use super::{super::*, failure, held};
use crate::{
    error::ErrorKind,
    provider::{Prepared, published::model::Places},
};

type Outcome = Option<Result<Held, Error>>;

/// What those who wait for a flight hold of it.
struct Flight {
    generation: u64,
    /// `Some(None)` once it is over without a result.
    outcome: Mutex<Option<Outcome>>,
    landed: Condvar,
}

#[derive(Default)]
struct Engine {
    state: State,
    flight: Option<Arc<Flight>>,
}

/// What is written down beside the model, unseen by it: no lock of loom's, so
/// that it adds no orders.
#[derive(Default)]
struct Notes {
    requests: u64,
    /// Flights that are under way and have not been let go.
    under_way: HashSet<u64>,
    rejected: HashSet<String>,
}

struct Shell {
    engine: Mutex<Engine>,
    published: Places,
    server_works: bool,
    notes: Unseen<Notes>,
}

enum Step {
    Token(AccessToken),
    Lead(Arc<Flight>),
    Wait(Arc<Flight>),
    Fail(Error),
}

const LIFETIME: u64 = 1000;

fn now() -> Timestamp {
    Timestamp::new(10_000 * SECOND, 1_000_000 * SECOND)
}

impl Shell {
    fn new(server_works: bool) -> Arc<Self> {
        Arc::new(Self {
            engine: Mutex::default(),
            published: Places::default(),
            server_works,
            notes: Unseen::default(),
        })
    }

    /// With a token called "1" that is this old.
    fn with_token(age: u64) -> Arc<Self> {
        let shell = Self::new(true);
        let flight = shell.take_off(&mut shell.engine.lock().unwrap());
        let then = Timestamp::new(now().monotonic - age * SECOND, now().wall - age * SECOND);
        let first = held("1", LIFETIME, flight.generation, then).unwrap();
        assert!(shell.publish(first.clone()));
        shell.land(&flight, Some(Ok(first)));
        shell.notes.lock().unwrap().requests = 0;
        shell
    }

    fn take_off(&self, engine: &mut Engine) -> Arc<Flight> {
        let (generation, _) = engine.state.started();
        let flight = Arc::new(Flight {
            generation,
            outcome: Mutex::new(None),
            landed: Condvar::new(),
        });
        engine.flight = Some(Arc::clone(&flight));
        let mut notes = self.notes.lock().unwrap();
        notes.under_way.insert(generation);
        assert_eq!(notes.under_way.len(), 1, "two flights at a time");
        flight
    }

    fn let_go(&self, engine: &mut Engine, generation: u64) {
        engine.state.let_go(generation);
        self.notes.lock().unwrap().under_way.remove(&generation);
    }

    fn step(&self, ask: Ask) -> Step {
        let mut engine = self.engine.lock().unwrap();
        let served = match engine.state.decide(now(), ask) {
            Decision::Serve(token) => return Step::Token(token),
            Decision::ServeAndFetch(token, _) => Some(token),
            Decision::Fetch(_) => None,
            Decision::Fail(error) => return Step::Fail(error),
            Decision::Join => {
                let flight = engine.flight.clone();
                return Step::Wait(flight.expect("a flight that is under way is known"));
            }
        };
        let flight = self.take_off(&mut engine);
        drop(engine);
        match served {
            // In the background, for which there is no better moment here.
            Some(token) => {
                self.fly(&flight);
                Step::Token(token)
            }
            None => Step::Lead(flight),
        }
    }

    /// Makes a request, whose answer is a token with the name of its flight.
    fn fly(&self, flight: &Flight) {
        let generation = flight.generation;
        if self.engine.lock().unwrap().state.flight() != Some(generation) {
            self.land(flight, None);
            return;
        }
        self.notes.lock().unwrap().requests += 1;
        let outcome = if self.server_works {
            let fetched = held(&generation.to_string(), LIFETIME, generation, now()).unwrap();
            self.publish(fetched.clone());
            Ok(fetched)
        } else {
            let failure = failure(ErrorKind::Server, Class::Passing, 0);
            let mut engine = self.engine.lock().unwrap();
            Err(engine.state.failed(generation, failure, now(), 0))
        };
        self.land(flight, Some(outcome));
    }

    fn publish(&self, fetched: Held) -> bool {
        let mut engine = self.engine.lock().unwrap();
        let is_current = engine.state.succeeded(fetched, Origin::Server, now());
        if is_current {
            self.published.set(engine.state.held().map(Prepared::new));
        }
        is_current
    }

    fn land(&self, flight: &Flight, outcome: Outcome) {
        let mut engine = self.engine.lock().unwrap();
        self.let_go(&mut engine, flight.generation);
        if let Some(known) = &engine.flight
            && known.generation == flight.generation
        {
            engine.flight = None;
        }
        drop(engine);
        *flight.outcome.lock().unwrap() = Some(outcome);
        flight.landed.notify_all();
    }

    fn wait(flight: &Flight) -> Outcome {
        let mut outcome = flight.outcome.lock().unwrap();
        loop {
            if let Some(outcome) = &*outcome {
                return outcome.clone();
            }
            outcome = flight.landed.wait(outcome).unwrap();
        }
    }

    /// The name of a token that may be served, and was not rejected before the
    /// call.
    fn token(&self) -> Result<String, Error> {
        let dead = self.notes.lock().unwrap().rejected.clone();
        let token = self.obtain(Ask::Usable)?;
        assert!(!dead.contains(&token), "{token} was rejected");
        Ok(token)
    }

    fn refresh(&self) -> Result<String, Error> {
        self.obtain(Ask::Newer)
    }

    fn obtain(&self, ask: Ask) -> Result<String, Error> {
        let name = |token: &AccessToken| token.expose().to_owned();
        if ask == Ask::Usable
            && let Some(token) = self.fresh()
        {
            return Ok(name(&token));
        }
        for _ in 0..4 {
            let flight = match self.step(ask) {
                Step::Token(token) => return Ok(name(&token)),
                Step::Fail(error) => return Err(error),
                Step::Wait(flight) => flight,
                Step::Lead(flight) => {
                    self.fly(&flight);
                    flight
                }
            };
            match Self::wait(&flight) {
                Some(Err(error)) => return Err(error),
                Some(Ok(fetched)) => {
                    let engine = self.engine.lock().unwrap();
                    if !engine.state.is_rejected(&fetched.token.hash()) {
                        return Ok(name(&fetched.token));
                    }
                }
                None => {}
            }
        }
        panic!("nobody needs that many rounds")
    }

    fn read<T>(&self, take: impl FnOnce(&Prepared) -> T) -> Option<T> {
        self.published.read(now().monotonic, |it| it.map(take))
    }

    fn fresh(&self) -> Option<AccessToken> {
        self.read(|prepared| prepared.is_fresh(now()).then(|| prepared.token()))?
    }

    fn reject(&self, name: &str) -> Rejection {
        let token = AccessToken::from_text(name, u64::MAX, None).unwrap();
        let mut engine = self.engine.lock().unwrap();
        let rejection = engine.state.reject(&token, now());
        if rejection == Rejection::Dropped {
            self.published.set(None);
        }
        drop(engine);
        if !matches!(rejection, Rejection::CoolingDown { .. }) {
            self.notes.lock().unwrap().rejected.insert(name.to_owned());
        }
        rejection
    }

    /// What is held when all is over: nothing is under way then, and what
    /// every caller reads is what is held.
    fn end(&self) -> Option<String> {
        let engine = self.engine.lock().unwrap();
        assert_eq!(engine.state.flight(), None);
        assert!(engine.flight.is_none());
        let name = |token: AccessToken| token.expose().to_owned();
        let held = engine.state.held().map(|held| name(held.token.clone()));
        assert_eq!(self.read(Prepared::token).map(name), held);
        let notes = self.notes.lock().unwrap();
        assert!(held.as_ref().is_none_or(|it| !notes.rejected.contains(it)));
        held
    }

    fn requests(&self) -> u64 {
        self.notes.lock().unwrap().requests
    }
}

/// Tries every order of the steps with at most three changes of the thread that
/// no lock asks for, which are thousands; in the long form with five, and with
/// one more until they are a hundred thousand. All there are would take too
/// long.
#[expect(
    clippy::disallowed_methods,
    reason = "set by `cargo xtask test --long`"
)]
fn in_many_orders(scene: impl Fn() + Send + Sync + 'static) {
    let is_long = std::env::var_os("BLOOM_AUTH_TEST_LONG").is_some();
    let (mut changes, at_least) = if is_long { (5, 100_000) } else { (3, 1_000) };
    let scene = Arc::new(scene);
    let mut orders = 0;
    while orders < at_least {
        let before = orders;
        orders = in_every_order(changes, Arc::clone(&scene));
        assert!(orders > before, "all {orders} orders are too few");
        println!("{orders} orders with at most {changes} changes");
        changes += 1;
    }
}

/// Returns how many orders there are.
fn in_every_order(changes: usize, scene: Arc<impl Fn() + Send + Sync + 'static>) -> u64 {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(changes);
    model.max_branches = 10_000;
    let orders = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&orders);
    model.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        scene();
    });
    orders.load(Ordering::Relaxed)
}

/// Runs three threads, and returns what came of them.
fn three<T: 'static>(shell: &Arc<Shell>, [first, second, third]: [fn(&Shell) -> T; 3]) -> [T; 3] {
    let of_others = [second, third].map(|play| {
        let shell = Arc::clone(shell);
        thread::spawn(move || play(&shell))
    });
    let first = first(shell);
    let [second, third] = of_others.map(|thread| thread.join().unwrap());
    [first, second, third]
}

#[test]
fn c22_three_who_ask_at_once_share_one_request() {
    in_many_orders(|| {
        let shell = Shell::new(true);
        for token in three(&shell, [Shell::token; 3]) {
            assert_eq!(token.unwrap(), "1");
        }
        assert_eq!((shell.requests(), shell.end().as_deref()), (1, Some("1")));
    });
}

#[test]
fn c22_three_who_ask_at_once_share_one_error() {
    in_many_orders(|| {
        let shell = Shell::new(false);
        let errors = three(&shell, [Shell::token; 3]).map(Result::unwrap_err);
        assert!(errors.iter().all(|error| error.same_fetch(&errors[0])));
        assert_eq!((shell.requests(), shell.end()), (1, None));
    });
}

#[test]
fn c22_a_token_that_is_rejected_while_it_is_refreshed_stays_away() {
    in_many_orders(|| {
        let shell = Shell::with_token(850);
        let rejecting = |shell: &Shell| {
            let rejection = shell.reject("1");
            assert!(!matches!(rejection, Rejection::CoolingDown { .. }));
            shell.token()
        };
        let [_, _, last] = three(&shell, [Shell::token, Shell::token, rejecting]);
        assert_eq!(last.unwrap(), "2");
        assert_eq!((shell.requests(), shell.end().as_deref()), (1, Some("2")));
    });
}

#[test]
fn c22_a_new_token_that_is_rejected_at_once_does_not_come_back() {
    in_many_orders(|| {
        let shell = Shell::with_token(0);
        let rejecting = |shell: &Shell| {
            let token = shell.token()?;
            if token == "2" {
                assert_eq!(shell.reject("2"), Rejection::Dropped);
            }
            shell.token()
        };
        let tokens = three(&shell, [Shell::refresh, rejecting, Shell::token]);
        assert!(tokens.iter().all(Result::is_ok));
        // The rejection costs a request; and one more if the refresh was about
        // to return this token, and asks anew.
        let requests = shell.requests();
        match shell.notes.lock().unwrap().rejected.is_empty() {
            true => assert_eq!(requests, 1),
            false => assert!([2, 3].contains(&requests), "{requests}"),
        }
        assert_eq!(shell.end(), Some((1 + requests).to_string()));
    });
}

/// A flight that another runtime has started, which died or stands still.
fn without_a_driver() -> (Arc<Shell>, Arc<Flight>) {
    let shell = Shell::new(true);
    let flight = shell.take_off(&mut shell.engine.lock().unwrap());
    (shell, flight)
}

#[test]
fn c10_c22_those_who_wait_for_a_flight_that_is_lost_share_another() {
    in_many_orders(|| {
        let (shell, _) = without_a_driver();
        let die = |shell: &Shell| {
            let flight = shell.engine.lock().unwrap().flight.clone().unwrap();
            shell.land(&flight, None);
            Ok("2".to_owned())
        };
        for token in three(&shell, [die, Shell::token, Shell::token]) {
            assert_eq!(token.unwrap(), "2");
        }
        assert_eq!((shell.requests(), shell.end().as_deref()), (1, Some("2")));
    });
}

#[test]
fn c10_c22_a_flight_that_was_let_go_takes_nothing_from_the_next() {
    in_many_orders(|| {
        let (shell, flight) = without_a_driver();
        let late = {
            let shell = Arc::clone(&shell);
            thread::spawn(move || {
                // Its answer was on the way.
                let fetched = held("1", LIFETIME, 1, now()).unwrap();
                shell.publish(fetched.clone());
                shell.land(&flight, Some(Ok(fetched)));
            })
        };
        let impatient = {
            let shell = Arc::clone(&shell);
            thread::spawn(move || {
                let mut engine = shell.engine.lock().unwrap();
                shell.let_go(&mut engine, 1);
                drop(engine);
                shell.refresh()
            })
        };
        let refreshed = shell.refresh().unwrap();
        late.join().unwrap();
        let also_refreshed = impatient.join().unwrap().unwrap();
        // The newest there is, whoever came last.
        let requests = shell.requests();
        assert!(requests <= 2, "{requests}");
        let newest = (1 + requests).to_string();
        assert_eq!(shell.end().as_deref(), Some(&*newest));
        assert!([refreshed, also_refreshed].contains(&newest));
    });
}
