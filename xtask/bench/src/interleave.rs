//! Measures subjects turn by turn in one process: whatever else the machine does happens to all of
//! them, and their ratios hold where the figures drift.

use std::{
    fmt,
    hint::black_box,
    pin::{Pin, pin},
    sync::{
        Arc, Barrier,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::runtime::{Handle, Runtime};

use crate::{Problem, statistics::Figure};

/// So many operations, of which none should miss; their number is what did.
type Turn = Pin<Box<dyn Future<Output = u64> + Send>>;

/// Tasks let others run after so many operations.
const BEFORE_YIELD: u64 = 1024;

/// Whose work a subject is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Kind {
    /// What nobody can be faster than who does it this way.
    Floor,
    /// This library's.
    Ours,
    /// Another library's, or what users write themselves.
    Rival,
}

/// Something that is measured.
pub struct Subject {
    /// What it is called in the table.
    pub name: String,
    /// Whose work it is.
    pub kind: Kind,
    turn: Box<dyn Fn(u64, bool) -> Turn + Send + Sync>,
}

/// An operation that may have to wait.
pub trait Operation: Send + Sync + 'static {
    /// What is gained.
    type Output: Outcome + Send;

    /// Does it once.
    fn run(&self) -> impl Future<Output = Self::Output> + Send;
}

/// What an operation gained, as its library gives it: to make anything else of it takes time.
pub trait Outcome {
    /// Whether there is no token.
    fn is_missing(&self) -> bool;
}

impl<T> Outcome for Option<T> {
    fn is_missing(&self) -> bool {
        self.is_none()
    }
}

impl<T, E> Outcome for Result<T, E> {
    fn is_missing(&self) -> bool {
        self.is_err()
    }
}

/// Looks at what was gained where it lies, as whoever asked for it would. To move it first would be
/// measured too: a header's words are moved in pairs, and loads of pairs wait for the stores of single
/// words that wrote them.
fn is_missing(outcome: &impl Outcome) -> bool {
    black_box(outcome).is_missing()
}

impl Subject {
    /// One that never waits. `call` is given consecutive numbers.
    pub fn of_calls<T>(
        name: impl Into<String>,
        kind: Kind,
        call: impl Fn(u64) -> Option<T> + Send + Sync + 'static,
    ) -> Self {
        // The next turn goes on where the last one ended.
        let shared = Arc::new((call, AtomicU64::new(0)));
        let turn = move |operations, yields| -> Turn {
            let shared = Arc::clone(&shared);
            Box::pin(async move {
                let (call, next) = &*shared;
                let first = next.fetch_add(operations, Ordering::Relaxed);
                let end = first + operations;
                let (mut missed, mut begin) = (0, first);
                while begin < end {
                    let until = end.min(begin + BEFORE_YIELD);
                    for number in begin..until {
                        missed += u64::from(is_missing(&call(number)));
                    }
                    begin = until;
                    if yields {
                        tokio::task::yield_now().await;
                    }
                }
                missed
            })
        };
        Self {
            name: name.into(),
            kind,
            turn: Box::new(turn),
        }
    }

    /// One that may wait.
    pub fn of_operations(name: impl Into<String>, kind: Kind, operation: impl Operation) -> Self {
        let operation = Arc::new(operation);
        let turn = move |operations, yields| -> Turn {
            let operation = Arc::clone(&operation);
            Box::pin(async move {
                let mut missed = 0;
                for number in 1..=operations {
                    missed += u64::from(is_missing(&operation.run().await));
                    if yields && number % BEFORE_YIELD == 0 {
                        tokio::task::yield_now().await;
                    }
                }
                missed
            })
        };
        Self {
            name: name.into(),
            kind,
            turn: Box::new(turn),
        }
    }

    /// Runs on this thread, for what is counted rather than timed.
    ///
    /// # Errors
    ///
    /// If an operation found no token.
    pub fn run(&self, operations: u64) -> Result<(), Problem> {
        self.found_all(block_on((self.turn)(operations, false)))
    }

    fn found_all(&self, missed: u64) -> Result<(), Problem> {
        if missed > 0 {
            return Err(format!("{}: {missed} operations found no token", self.name).into());
        }
        Ok(())
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subject({})", self.name)
    }
}

/// Who calls at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Setting {
    /// So many threads, which do nothing else.
    Threads(usize),
    /// So many tasks on so many workers of a runtime.
    Tasks {
        /// How many tasks.
        tasks: usize,
        /// How many threads run them.
        workers: usize,
    },
}

impl Setting {
    /// One thread, two, and so on up to one for each core; and 8 tasks on 2 workers.
    #[must_use]
    pub fn all(cores: usize) -> Vec<Self> {
        let doubled = std::iter::successors(Some(1), |threads| Some(threads * 2));
        let mut threads: Vec<_> = doubled.take_while(|&threads| threads < cores).collect();
        // Two threads wait for each other on one core too, if seldom.
        threads.extend((cores == 1).then_some(1));
        threads.push(cores.max(2));
        let threads = threads.into_iter().map(Self::Threads);
        let tasks = Self::Tasks {
            tasks: 8,
            workers: 2,
        };
        threads.chain([tasks]).collect()
    }

    /// The time of an operation as whoever does it sees it.
    fn nanoseconds(self, turn: Duration, operations: u64) -> f64 {
        let (share, at_once) = match self {
            Self::Threads(_) => (1, 1),
            Self::Tasks { tasks, workers } => (tasks, workers),
        };
        turn.as_secs_f64() * 1e9 * at_once as f64 / (operations as f64 * share as f64)
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Threads(1) => f.write_str("1 thread"),
            Self::Threads(threads) => write!(f, "{threads} threads"),
            Self::Tasks { tasks, workers } => write!(f, "{tasks} tasks on {workers} workers"),
        }
    }
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many turns each subject has.
    pub rounds: usize,
    /// How long a turn takes, about.
    pub turn: Duration,
}

impl Plan {
    /// For figures, or only to see that everything runs. Turns are short: some of many are not
    /// disturbed, whatever else the machine does.
    #[must_use]
    pub fn new(quick: bool) -> Self {
        let (rounds, microseconds) = if quick { (2, 500) } else { (301, 500) };
        Self {
            rounds,
            turn: Duration::from_micros(microseconds),
        }
    }

    /// The same for so many keys: a turn is so long that all of them have one in it, and that what
    /// the turns before have put out of the processor's caches does not count.
    #[must_use]
    pub fn of_keys(keys: usize, quick: bool) -> Self {
        let (rounds, microseconds) = if quick {
            (2, 1_000)
        } else {
            (31, 4_000 + keys as u64 * 3 / 10)
        };
        Self {
            rounds,
            turn: Duration::from_micros(microseconds),
        }
    }
}

/// Measures all subjects in a setting; a figure for each, in their order.
///
/// # Errors
///
/// If an operation found no token, or a thread is not to be had.
pub fn measure(subjects: &[Subject], setting: Setting, plan: Plan) -> Result<Vec<Figure>, Problem> {
    let workers = match setting {
        Setting::Threads(_) => 1,
        Setting::Tasks { workers, .. } => workers,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()?;
    let mut operations = Vec::with_capacity(subjects.len());
    for subject in subjects {
        operations.push(calibrate(plan.turn, |count| {
            turn(subject, setting, &runtime, count)
        })?);
    }
    let mut turns = vec![Vec::with_capacity(plan.rounds); subjects.len()];
    for round in 0..plan.rounds {
        for index in order(round, subjects.len()) {
            let (Some(subject), Some(&count), Some(turns)) = (
                subjects.get(index),
                operations.get(index),
                turns.get_mut(index),
            ) else {
                continue;
            };
            let time = turn(subject, setting, &runtime, count)?;
            turns.push(setting.nanoseconds(time, count));
        }
    }
    let figure = |turns| Figure::of(turns).ok_or_else(|| "nothing was measured".into());
    turns.into_iter().map(figure).collect()
}

/// Who has a turn in this round: another one is first each time, and after another one.
fn order(round: usize, count: usize) -> impl Iterator<Item = usize> {
    let forwards = (round / count.max(1)).is_multiple_of(2);
    (0..count).map(move |place| {
        let turned = (round + place) % count;
        if forwards { turned } else { count - 1 - turned }
    })
}

/// How many operations a turn of that length has.
fn calibrate(
    target: Duration,
    mut turn: impl FnMut(u64) -> Result<Duration, Problem>,
) -> Result<u64, Problem> {
    let mut operations = 16;
    loop {
        let time = turn(operations)?;
        if time * 4 >= target || operations >= 1 << 32 {
            let scale = target.as_secs_f64() / time.as_secs_f64().max(1e-9);
            return Ok(((operations as f64 * scale) as u64).max(1));
        }
        operations *= 2;
    }
}

fn turn(
    subject: &Subject,
    setting: Setting,
    runtime: &Runtime,
    operations: u64,
) -> Result<Duration, Problem> {
    match setting {
        Setting::Threads(1) => {
            let entered = runtime.enter();
            let (times, missed) = timed(|| block_on((subject.turn)(operations, false)));
            drop(entered);
            subject.found_all(missed)?;
            Ok(times.1 - times.0)
        }
        Setting::Threads(threads) => on_threads(subject, threads, runtime.handle(), operations),
        Setting::Tasks { tasks, .. } => {
            let (times, missed) = timed(|| {
                runtime.block_on(async {
                    let mut all = tokio::task::JoinSet::new();
                    for _ in 0..tasks {
                        all.spawn((subject.turn)(operations, true));
                    }
                    all.join_all().await.into_iter().sum()
                })
            });
            subject.found_all(missed)?;
            Ok(times.1 - times.0)
        }
    }
}

/// From when the first thread starts until the last one ends.
fn on_threads(
    subject: &Subject,
    threads: usize,
    handle: &Handle,
    operations: u64,
) -> Result<Duration, Problem> {
    let barrier = Barrier::new(threads);
    let work = || {
        let _entered = handle.enter();
        let turn = (subject.turn)(operations, false);
        barrier.wait();
        timed(|| block_on(turn))
    };
    let done = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| thread.join();
        threads.into_iter().map(join).collect::<Result<Vec<_>, _>>()
    });
    let done = done.map_err(|_| format!("{}: a thread panicked", subject.name))?;
    subject.found_all(done.iter().map(|(_, missed)| missed).sum())?;
    let first = done.iter().map(|((start, _), _)| *start).min();
    let last = done.iter().map(|((_, end), _)| *end).max();
    let (first, last) = first.zip(last).ok_or("no threads")?;
    Ok(last - first)
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is measured is the time that really passes"
)]
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> ((Instant, Instant), T) {
    let start = Instant::now();
    let result = work();
    ((start, Instant::now()), result)
}

/// Polls until it is ready. No runtime counts how often: one that waits for nothing goes on.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(result) => return result,
            Poll::Pending => thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn all_have_a_turn_in_each_round_and_each_is_first_as_often() {
        for count in 1..6 {
            let mut first = vec![0; count];
            let mut after = BTreeSet::new();
            for round in 0..2 * count {
                let order: Vec<_> = order(round, count).collect();
                assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), count);
                first[order[0]] += 1;
                after.extend(order.windows(2).map(|pair| (pair[0], pair[1])));
            }
            assert_eq!(first, vec![2; count]);
            // Nobody comes always after the same one.
            assert!(count < 3 || after.len() == 2 * count, "{count}: {after:?}");
        }
        assert_eq!(order(3, 0).count(), 0);
    }

    #[test]
    fn a_turn_has_as_many_operations_as_fill_its_time() {
        let target = Duration::from_millis(10);
        for nanoseconds in [20, 1_000, 30_000_000] {
            let mut turns = 0;
            let turn = |operations| {
                turns += 1;
                Ok(Duration::from_nanos(nanoseconds * operations))
            };
            let operations = calibrate(target, turn).unwrap();
            assert_eq!(operations, (10_000_000 / nanoseconds).max(1));
            assert!(turns < 20);
        }
        let broken = calibrate(target, |_| Err("broken".into()));
        assert_eq!(broken.unwrap_err().to_string(), "broken");
    }

    #[test]
    fn a_time_is_that_of_whoever_calls() {
        let check = |setting: Setting, expected: f64| {
            let nanoseconds = setting.nanoseconds(Duration::from_micros(4), 100);
            assert!((nanoseconds - expected).abs() < 1e-6, "{setting}");
        };
        check(Setting::Threads(1), 40.0);
        check(Setting::Threads(3), 40.0);
        let (tasks, workers) = (8, 2);
        check(Setting::Tasks { tasks, workers }, 10.0);
    }

    #[test]
    fn threads_are_doubled_up_to_the_cores() {
        let check = |cores, expected: &[&str]| {
            let settings: Vec<_> = Setting::all(cores).iter().map(Setting::to_string).collect();
            assert_eq!(settings, expected);
        };
        let tasks = "8 tasks on 2 workers";
        check(1, &["1 thread", "2 threads", tasks]);
        check(2, &["1 thread", "2 threads", tasks]);
        check(
            6,
            &["1 thread", "2 threads", "4 threads", "6 threads", tasks],
        );
    }

    struct Ready(Option<u8>);

    impl Operation for Ready {
        type Output = Option<u8>;

        async fn run(&self) -> Option<u8> {
            self.0
        }
    }

    #[test]
    fn every_setting_measures_and_notices_what_misses() {
        let plan = Plan::new(true);
        let finds = || {
            [
                Subject::of_calls("calls", Kind::Ours, |_| Some(1)),
                Subject::of_operations("operations", Kind::Rival, Ready(Some(1))),
            ]
        };
        let misses = [
            Subject::of_calls("calls", Kind::Ours, |number| (number != 20).then_some(1)),
            Subject::of_operations("operations", Kind::Rival, Ready(None)),
        ];
        for setting in Setting::all(2) {
            let figures = measure(&finds(), setting, plan).unwrap();
            assert_eq!(figures.len(), 2);
            assert!(figures.iter().all(|it| 0.0 < it.min && it.min <= it.median));
        }
        for subject in &misses {
            let problem = subject.run(100).unwrap_err().to_string();
            assert!(problem.ends_with("operations found no token"), "{problem}");
        }
        let setting = Setting::Threads(2);
        let all = measure(&misses[1..], setting, plan).unwrap_err();
        assert!(all.to_string().starts_with("operations: "), "{all}");
    }
}
