//! The process that is soaked: threads with runtimes of their own, and callers
//! in each.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use bloom_auth::{FileCache, MemoryCache, TokenCache, TokenProviders};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::JoinSet,
};

use super::{
    caller::{Place, Slot, Tally, call_until, watch},
    measure::{Held, trim},
    random::Random,
    verdict::Sample,
};

/// Where everything is.
pub(super) struct Places {
    pub(super) calm: Place,
    pub(super) troubled: Place,
    pub(super) hostile: Place,
    pub(super) directory: PathBuf,
    /// The URL of a Redis server, if there is one.
    #[cfg(feature = "redis")]
    pub(super) redis: Option<String>,
}

/// The runtimes that there are, by the number of their thread, to count tasks.
type Runtimes = Arc<Mutex<Vec<Option<Handle>>>>;

/// One thread of a soak.
struct Worker {
    number: usize,
    end: Instant,
    tally: Arc<Tally>,
    runtimes: Runtimes,
    random: Random,
}

impl Worker {
    /// Runs this many callers in a runtime until the end, and drops what they
    /// called; then no task may be left.
    fn soak(&mut self, runtime: &Runtime, slots: Arc<Vec<Slot>>, callers: usize) {
        let end = self.end;
        self.within(runtime, async |worker| {
            worker.call(&slots, callers, end).await;
            drop(slots);
            worker.wait_for_tasks().await;
        });
    }

    async fn call(&mut self, slots: &Arc<Vec<Slot>>, callers: usize, end: Instant) {
        let mut tasks = JoinSet::new();
        for _ in 0..callers {
            let (slots, tally) = (Arc::clone(slots), Arc::clone(&self.tally));
            let random = self.random.fork();
            tasks.spawn(call_until(end, slots, tally, random));
        }
        tasks.join_all().await;
    }

    /// Connections that were closed need a moment to notice.
    async fn wait_for_tasks(&self) {
        let alive = || Handle::current().metrics().num_alive_tasks() as u64;
        for _ in 0..1000 {
            if alive() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.tally.left_tasks.fetch_add(alive(), Relaxed);
    }

    fn within(&mut self, runtime: &Runtime, work: impl AsyncFnOnce(&mut Self)) {
        self.register(Some(runtime.handle().clone()));
        runtime.block_on(work(self));
        self.register(None);
    }

    fn register(&self, handle: Option<Handle>) {
        self.runtimes.lock().unwrap()[self.number] = handle;
    }
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn multi_thread(workers: usize) -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .unwrap()
}

/// Soaks for this long, and drops everything; looks at it this often.
#[expect(clippy::disallowed_methods, reason = "real time is the point")]
pub(super) fn run(
    places: &Places,
    time: Duration,
    every: Duration,
    random: &mut Random,
    tally: &Arc<Tally>,
    mut look: impl FnMut(Sample),
) {
    let start = Instant::now();
    let end = start + time;
    let slots = |slots: Vec<Slot>| Arc::new(slots);
    // One for two threads, so that a fetch may be led by either.
    let memory = slots(vec![
        Slot::new(&places.calm, None, true),
        Slot::new(&places.troubled, Some(Arc::new(MemoryCache::new())), false),
    ]);
    let files: Arc<dyn TokenCache> =
        Arc::new(FileCache::in_directory(places.directory.join("cache")).unwrap());
    let cached = |cache: &Arc<dyn TokenCache>| {
        let slot = |place| Slot::new(place, Some(Arc::clone(cache)), false);
        vec![slot(&places.calm), slot(&places.troubled)]
    };
    let files = slots(cached(&files));
    let hostile = slots(vec![
        Slot::new(&places.hostile, None, false),
        Slot::new(&places.hostile, None, true),
    ]);
    let mut threads: Vec<Box<dyn FnOnce(Worker) + Send>> = Vec::new();
    let shared = Arc::clone(&memory);
    threads.push(Box::new(move |mut worker| {
        worker.soak(&multi_thread(2), shared, 4);
    }));
    threads.push(Box::new(move |mut worker| renewed(&mut worker, memory)));
    threads.push(Box::new(move |mut worker| {
        worker.soak(&current_thread(), files, 2);
    }));
    threads.push(Box::new(move |mut worker| {
        worker.soak(&current_thread(), hostile, 3);
    }));
    let [calm, troubled] = [&places.calm, &places.troubled].map(Clone::clone);
    threads.push(Box::new(move |mut worker| {
        tenants(&mut worker, calm, troubled)
    }));
    #[cfg(feature = "redis")]
    if let Some(url) = &places.redis {
        let cache: Arc<dyn TokenCache> = Arc::new(bloom_auth::RedisCache::new(url).unwrap());
        let shared = slots(cached(&cache));
        threads.push(Box::new(move |mut worker| {
            worker.soak(&multi_thread(1), shared, 2);
        }));
    }
    #[cfg(feature = "blocking")]
    {
        let calm = places.calm.clone();
        threads.push(Box::new(move |mut worker| {
            without_a_runtime(&mut worker, &calm)
        }));
    }

    let runtimes = Arc::new(Mutex::new(vec![None; threads.len()]));
    let left = Arc::new(AtomicU64::new(threads.len() as u64));
    let threads: Vec<_> = threads
        .into_iter()
        .enumerate()
        .map(|(number, work)| {
            let worker = Worker {
                number,
                end,
                tally: Arc::clone(tally),
                runtimes: Arc::clone(&runtimes),
                random: random.fork(),
            };
            let left = Arc::clone(&left);
            thread::spawn(move || {
                work(worker);
                left.fetch_sub(1, Relaxed);
            })
        })
        .collect();
    let mut next = every;
    while next < time && left.load(Relaxed) > 0 {
        // The samples are taken at certain times; nothing waits for them.
        thread::sleep((start + next).saturating_duration_since(Instant::now()));
        let tasks = |handle: &Handle| handle.metrics().num_alive_tasks() as u64;
        let tasks = runtimes.lock().unwrap().iter().flatten().map(tasks).sum();
        look(tally.sample(Held::now(tasks)));
        next += every;
    }
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Runtimes that come and go, with fetches under way, while others go on.
#[expect(clippy::disallowed_methods, reason = "real time is the point")]
#[expect(
    clippy::needless_pass_by_value,
    reason = "the other thread waits until this one has let go of them"
)]
fn renewed(worker: &mut Worker, slots: Arc<Vec<Slot>>) {
    while Instant::now() < worker.end {
        let end = Instant::now() + worker.random.millis(1, 500);
        let end = end.min(worker.end);
        let runtime = if worker.random.happens(50) {
            current_thread()
        } else {
            multi_thread(1)
        };
        worker.within(&runtime, async |worker| worker.call(&slots, 2, end).await);
    }
}

/// Even tenants are at the first.
fn place_of(tenant: u64, places: &[Place; 2]) -> &Place {
    &places[usize::from(!tenant.is_multiple_of(2))]
}

/// A provider for each of more tenants than are kept.
fn tenants(worker: &mut Worker, calm: Place, troubled: Place) {
    let places = [calm, troubled];
    let theirs = places.clone();
    let factory = move |tenant: &u64| Ok(place_of(*tenant, &theirs).provider(None));
    let providers = TokenProviders::builder(factory).max_providers(3).build();
    let providers = providers.unwrap();
    worker.within(&multi_thread(1), async |worker| {
        let end = tokio::time::Instant::from_std(worker.end);
        while tokio::time::Instant::now() < end {
            let tenant = worker.random.below(8);
            let nature = place_of(tenant, &places).nature;
            let call = providers.authorization(&tenant);
            if let Some(result) = watch(&worker.tally, call).await {
                worker.tally.judge(nature, false, &result);
            }
            // A token request each time would be all that is done.
            if worker.random.happens(20) {
                tokio::time::sleep(worker.random.millis(0, 50)).await;
            }
        }
        drop(providers);
        worker.wait_for_tasks().await;
    });
}

/// Blocking calls, whose thread goes with the last handle.
#[cfg(feature = "blocking")]
#[expect(clippy::disallowed_methods, reason = "real time is the point")]
fn without_a_runtime(worker: &mut Worker, calm: &Place) {
    while Instant::now() < worker.end {
        let credentials = super::caller::credentials();
        let auth = bloom_auth::BloomAuth::builder()
            .environment(calm.environment())
            .credentials(credentials)
            .build()
            .unwrap()
            .blocking();
        let end = Instant::now() + worker.random.millis(100, 4000);
        let end = end.min(worker.end);
        while Instant::now() < end {
            let result = auth.authorization();
            worker.tally.judge(calm.nature, false, &result);
            if result.is_ok() && auth.try_authorization().is_none() {
                thread::yield_now();
            }
        }
    }
}

/// What is held when nothing goes on: as soon as there are no more threads
/// than before, or after a while. Tasks are those that were left.
pub(super) fn at_rest(threads: u64, tally: &Tally) -> Held {
    let now = || Held::now(tally.left_tasks.load(Relaxed));
    for _ in 0..1000 {
        if now().threads <= threads {
            break;
        }
        // The threads of blocking calls are told to stop, not waited for.
        thread::sleep(Duration::from_millis(10));
    }
    trim();
    now()
}
