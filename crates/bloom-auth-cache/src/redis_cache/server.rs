//! The server: one connection per runtime that asks, opened when it is
//! needed, given up when it does not answer, and opened again after a pause.
//!
//! A connection is driven by a task on the runtime that opened it. Another
//! runtime does not use it, since nobody can know whether the first one still
//! runs; when that has ended, its connection is found closed and is forgotten.

use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bloom_auth_core::CacheError;
use redis::{Cmd, Value, aio::MultiplexedConnection};
use tokio::{
    runtime::{self, Handle},
    sync::watch,
    task::AbortHandle,
    time::{Instant, timeout},
};

use super::{
    address::Address,
    open::{Opener, Problem},
};

/// Opening a connection goes on when the call that wanted it has given up, and
/// is given up itself after this time.
const OPEN_TIMEOUT: Duration = Duration::from_secs(3);

/// The pause before the second attempt to open a connection; it doubles with
/// each. The longest is no longer than the engine's first break, so that who
/// comes back from that is not turned away.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// A connection that has lived for this long does not count as one that
/// failed when it ends.
const STABLE: Duration = Duration::from_secs(10);

/// A server that comes and goes is worth a warning so often.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// What all calls of a cache share.
#[derive(Debug)]
pub(super) struct Server {
    opener: Arc<Opener>,
    /// What one call may take, the opening included.
    limit: Duration,
    links: Mutex<Links>,
}

#[derive(Debug, Default)]
struct Links {
    /// By the runtime that drives them; few.
    links: Vec<(runtime::Id, Link)>,
    opened: u64,
    failures: u32,
    paused: Option<(Instant, Problem)>,
    is_down: bool,
    warned_at: Option<Instant>,
}

#[derive(Debug)]
enum Link {
    Opening {
        number: u64,
        outcome: Opening,
        _task: Owned,
    },
    Open(Open),
}

/// An open connection.
#[derive(Clone, Debug)]
pub(super) struct Open {
    number: u64,
    connection: MultiplexedConnection,
    driver: Arc<Driver>,
    since: Instant,
    /// Since when a reply is missing that nobody waits for any more.
    unanswered: Arc<Mutex<Option<Instant>>>,
}

/// How far a call has got with the connection.
enum Step {
    Ready(Open),
    Opening(Opening),
    Paused(Problem),
}

/// How the opening of a connection ends.
type Opening = watch::Receiver<Option<Result<Open, Problem>>>;

/// What runs for a connection.
#[derive(Debug)]
struct Driver {
    task: Owned,
    /// Whether it came to its end: else it was its runtime that ended.
    is_over: Arc<AtomicBool>,
}

impl Driver {
    fn spawn(driver: impl Future<Output = ()> + Send + 'static) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let task = Handle::current().spawn(async move {
            driver.await;
            over.store(true, Ordering::Relaxed);
        });
        let task = Owned(task.abort_handle());
        Self { task, is_over }
    }
}

/// A task that ends with its owner.
#[derive(Debug)]
struct Owned(AbortHandle);

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What changed, to be told when no lock is held.
enum News {
    Nothing,
    Down(Problem),
    Up,
}

impl Server {
    pub(super) fn new(opener: Opener, limit: Duration) -> Self {
        Self {
            opener: Arc::new(opener),
            limit,
            links: Mutex::default(),
        }
    }

    pub(super) fn address(&self) -> &Address {
        &self.opener.address
    }

    /// Sends a command, waits for its reply and reads it; `read` gives `None`
    /// for what is no answer to the command.
    ///
    /// A call that was dropped may still take effect.
    pub(super) async fn call<T>(
        self: &Arc<Self>,
        command: &Cmd,
        read: impl FnOnce(Value) -> Option<T>,
    ) -> Result<T, Failure> {
        let deadline = Instant::now() + self.limit;
        let open = match timeout(self.limit, self.connection()).await {
            Ok(open) => open?,
            Err(_) => return Err(Failure::Unreachable(Problem::slow())),
        };
        let waiting = Waiting(&open, Some(Instant::now()));
        let mut connection = open.connection.clone();
        let left = deadline.saturating_duration_since(Instant::now());
        let reply = timeout(left, connection.send_packed_command(command)).await;
        let Ok(reply) = reply else {
            self.lost(&open, &Problem::slow());
            return Err(Failure::Unreachable(Problem::slow()));
        };
        waiting.over();
        let error = match reply {
            Ok(Value::ServerError(error)) => error.into(),
            Ok(value) => {
                let value = read(value);
                return match value {
                    Some(value) => {
                        self.answered(&open);
                        Ok(value)
                    }
                    None => {
                        // What comes next on it could be an answer to anything.
                        self.lost(&open, &Problem::odd());
                        Err(Failure::Unreachable(Problem::odd()))
                    }
                };
            }
            Err(error) => error,
        };
        let problem = Problem::of(&error);
        if error.code().is_none() {
            self.lost(&open, &problem);
            return Err(Failure::Unreachable(problem));
        }
        if problem.is_of_connection() {
            self.lost(&open, &problem);
        } else {
            self.answered(&open);
        }
        Err(Failure::Refused(problem))
    }

    /// The connection of this runtime, once it is open.
    async fn connection(self: &Arc<Self>) -> Result<Open, Failure> {
        let (step, news) = self.begin();
        self.tell(news);
        let mut outcome = match step {
            Step::Ready(open) => return Ok(open),
            Step::Paused(problem) => return Err(Failure::Unreachable(problem)),
            Step::Opening(outcome) => outcome,
        };
        let outcome = outcome.wait_for(Option::is_some).await;
        match outcome.as_deref() {
            Ok(Some(Ok(open))) => Ok(open.clone()),
            Ok(Some(Err(problem))) => Err(Failure::Unreachable(problem.clone())),
            // Its runtime is ending, and this call with it.
            Ok(None) | Err(_) => Err(Failure::Unreachable(Problem::closed())),
        }
    }

    fn begin(self: &Arc<Self>) -> (Step, News) {
        let runtime = Handle::current();
        let mut links = self.links();
        let news = links.forget_dead(self.limit);
        let step = match links.find(runtime.id()) {
            Some(Link::Open(open)) => Step::Ready(open.clone()),
            Some(Link::Opening { outcome, .. }) => Step::Opening(outcome.clone()),
            None => match links.pause_left() {
                Some(problem) => Step::Paused(problem),
                None => Step::Opening(self.begin_to_open(&mut links, &runtime)),
            },
        };
        (step, news)
    }

    fn begin_to_open(self: &Arc<Self>, links: &mut Links, runtime: &Handle) -> Opening {
        let (sender, outcome) = watch::channel(None);
        links.opened += 1;
        let (number, id) = (links.opened, runtime.id());
        // Not kept alive by it: it is the server that owns the task.
        let (server, opener) = (Arc::downgrade(self), Arc::clone(&self.opener));
        let task = runtime.spawn(async move {
            let opened = match timeout(OPEN_TIMEOUT, opener.open()).await {
                Ok(opened) => opened,
                Err(_) => Err(Problem::slow()),
            };
            let opened = opened.map(|(connection, driver)| Open {
                number,
                connection,
                driver: Arc::new(Driver::spawn(driver)),
                since: Instant::now(),
                unanswered: Arc::default(),
            });
            if let Some(server) = Weak::upgrade(&server) {
                server.opened(id, number, &opened);
            }
            sender.send_replace(Some(opened));
        });
        let link = Link::Opening {
            number,
            outcome: outcome.clone(),
            _task: Owned(task.abort_handle()),
        };
        links.links.push((id, link));
        outcome
    }

    /// Puts an open connection in its place, or gives that up.
    fn opened(&self, id: runtime::Id, number: u64, opened: &Result<Open, Problem>) {
        let mut links = self.links();
        let place = links
            .links
            .iter()
            .position(|(_, link)| link.number() == number);
        // Dropped when the lock is not held. It aborts this very task, which
        // has nothing to wait for any more.
        let mut old = None;
        let mut news = News::Nothing;
        if let Some(place) = place {
            old = Some(links.links.swap_remove(place));
            match opened {
                Ok(open) => links.links.push((id, Link::Open(open.clone()))),
                Err(problem) => news = links.failed(problem),
            }
        }
        drop(links);
        self.tell(news);
        drop(old);
    }

    /// Gives a connection up, unless that was done already.
    fn lost(&self, open: &Open, problem: &Problem) {
        let mut links = self.links();
        let place = links
            .links
            .iter()
            .position(|(_, link)| link.number() == open.number);
        let mut old = None;
        let mut news = News::Nothing;
        if let Some(place) = place {
            old = Some(links.links.swap_remove(place));
            news = links.ended(open, problem);
        }
        drop(links);
        drop(old);
        self.tell(news);
    }

    fn answered(&self, open: &Open) {
        let mut links = self.links();
        if open.since.elapsed() >= STABLE {
            links.failures = 0;
        }
        let news = if mem::take(&mut links.is_down) {
            News::Up
        } else {
            News::Nothing
        };
        drop(links);
        self.tell(news);
    }

    fn links(&self) -> MutexGuard<'_, Links> {
        lock(&self.links)
    }

    fn tell(&self, news: News) {
        let server = self.address();
        match news {
            News::Nothing => {}
            News::Down(problem) => tracing::warn!(
                target: "bloom_auth.cache",
                %server,
                problem = problem.text(),
                "the server of the token cache is not of use",
            ),
            News::Up => tracing::info!(
                target: "bloom_auth.cache",
                %server,
                "the server of the token cache is of use again",
            ),
        }
    }
}

impl Link {
    fn number(&self) -> u64 {
        match self {
            Self::Opening { number, .. } => *number,
            Self::Open(open) => open.number,
        }
    }
}

impl Links {
    fn find(&self, id: runtime::Id) -> Option<&Link> {
        let link = self.links.iter().find(|(runtime, _)| *runtime == id);
        link.map(|(_, link)| link)
    }

    /// Forgets what was closed by the server or died with its runtime, and
    /// what owes a reply for too long.
    fn forget_dead(&mut self, limit: Duration) -> News {
        let mut news = News::Nothing;
        for (id, link) in mem::take(&mut self.links) {
            match link {
                Link::Open(open) => {
                    let problem = if open.driver.is_over.load(Ordering::Relaxed) {
                        Problem::closed()
                    } else if open.driver.task.0.is_finished() {
                        // Nobody's fault.
                        continue;
                    } else if open.owes_a_reply_for(limit) {
                        Problem::slow()
                    } else {
                        self.links.push((id, Link::Open(open)));
                        continue;
                    };
                    if let down @ News::Down(_) = self.ended(&open, &problem) {
                        news = down;
                    }
                }
                // Not over, and nobody there to end it: its runtime has gone.
                Link::Opening { outcome, .. } if outcome.has_changed().is_err() => {}
                link @ Link::Opening { .. } => self.links.push((id, link)),
            }
        }
        news
    }

    /// A connection ended that had been open.
    fn ended(&mut self, open: &Open, problem: &Problem) -> News {
        if open.since.elapsed() >= STABLE {
            // It may just have been closed for being idle: try at once.
            self.failures = 0;
            self.paused = None;
            return News::Nothing;
        }
        self.failed(problem)
    }

    fn failed(&mut self, problem: &Problem) -> News {
        let doubled = 2_u32.saturating_pow(self.failures.min(16));
        let pause = FIRST_PAUSE.saturating_mul(doubled).min(MAX_PAUSE);
        // Between half of it and all, so that a fleet does not come at once.
        let share = f64::from(u32::from(random_byte())) / 510.0 + 0.5;
        let now = Instant::now();
        self.failures = self.failures.saturating_add(1);
        self.paused = Some((now + pause.mul_f64(share), problem.clone()));
        let was_down = mem::replace(&mut self.is_down, true);
        let warned = self
            .warned_at
            .is_some_and(|at| now.saturating_duration_since(at) < WARNING_INTERVAL);
        if was_down || warned {
            return News::Nothing;
        }
        self.warned_at = Some(now);
        News::Down(problem.clone())
    }

    /// What went wrong, while it is too early for another attempt.
    fn pause_left(&self) -> Option<Problem> {
        let (until, problem) = self.paused.as_ref()?;
        (Instant::now() < *until).then(|| problem.clone())
    }
}

impl Open {
    fn owes_a_reply_for(&self, limit: Duration) -> bool {
        lock(&self.unanswered).is_some_and(|since| since.elapsed() >= limit)
    }
}

/// Notes that a reply is missing if it is dropped before one has come.
struct Waiting<'a>(&'a Open, Option<Instant>);

impl Waiting<'_> {
    fn over(mut self) {
        self.1 = None;
        *lock(&self.0.unanswered) = None;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(since) = self.1 {
            lock(&self.0.unanswered).get_or_insert(since);
        }
    }
}

/// Why there is no reply.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// There may or may not have been an effect.
    Unreachable(Problem),
    /// The server said no.
    Refused(Problem),
}

impl Failure {
    pub(super) fn into_error(self, server: &Server) -> CacheError {
        let address = server.address();
        match self {
            Self::Unreachable(problem) => CacheError::new(format!(
                "the Redis server {address} was not reached: {}",
                problem.text()
            )),
            Self::Refused(problem) => CacheError::new(format!(
                "the Redis server {address} refused: {}",
                problem.text()
            )),
        }
    }
}

fn random_byte() -> u8 {
    let mut byte = [128];
    // Without randomness it is the middle.
    let _ = getrandom::fill(&mut byte);
    let [byte] = byte;
    byte
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What they guard is whole between any two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
