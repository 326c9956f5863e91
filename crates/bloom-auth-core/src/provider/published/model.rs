//! The places on loom's locks, from their own source: what threads read, in
//! every order of their steps with at most four changes of the thread that no
//! lock asks for, and in every order in the long form.

use std::sync::Arc;

use loom::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

pub(crate) use self::places::Places;
use super::{Prepared, tests::held};

#[expect(
    clippy::duplicate_mod,
    reason = "the same source is to be modelled, on other locks"
)]
#[path = "places.rs"]
mod places;

mod sync {
    use std::sync::OnceLock as Value;

    use loom::sync::atomic::{AtomicBool, Ordering};
    pub(super) use loom::sync::{Mutex, MutexGuard, RwLock};
    pub(super) use std::sync::{PoisonError, TryLockError};

    /// Loom has none. Here it is only ever set under a lock, so that the order
    /// in which others see it is all that there is to it.
    #[derive(Debug)]
    pub(super) struct OnceLock<T> {
        is_set: AtomicBool,
        value: Value<T>,
    }

    impl<T> OnceLock<T> {
        pub(super) fn get(&self) -> Option<&T> {
            let is_set = self.is_set.load(Ordering::Acquire);
            is_set.then(|| self.value.get().unwrap())
        }

        pub(super) fn get_or_init(&self, init: impl FnOnce() -> T) -> &T {
            let value = self.value.get_or_init(init);
            self.is_set.store(true, Ordering::Release);
            value
        }
    }

    impl<T> Default for OnceLock<T> {
        fn default() -> Self {
            Self {
                is_set: AtomicBool::new(false),
                value: Value::new(),
            }
        }
    }
}

mod readers {
    /// The first two that meet are a crowd.
    pub(super) const CROWD: u32 = 1;

    /// Threads are told apart by loom, by counting them in each execution.
    pub(super) fn number() -> usize {
        let id = format!("{:?}", loom::thread::current().id());
        let digits = id.chars().filter(char::is_ascii_digit);
        digits.collect::<String>().parse().unwrap()
    }

    pub(super) fn slots() -> usize {
        2
    }
}

const NOW: u64 = 1_000_000_000;

fn prepared(name: &str) -> Option<Prepared> {
    Some(Prepared::new(&held(name)))
}

/// The places, and something that readers do while they have the lock: loom
/// changes threads only between what more than one of them does, so that
/// otherwise no two would ever meet.
#[derive(Default)]
struct Scene {
    places: Places,
    reads: AtomicUsize,
}

impl Scene {
    fn new(name: &str) -> Arc<Self> {
        let scene = Self::default();
        scene.places.set(prepared(name));
        Arc::new(scene)
    }

    /// The name of the token that a thread reads.
    fn read(&self) -> Option<String> {
        self.places.read(NOW, |prepared| {
            let prepared = prepared?;
            self.reads.fetch_add(1, Ordering::Relaxed);
            Some(prepared.token().expose().to_owned())
        })
    }

    fn is_spread(&self) -> bool {
        self.places.slots.get().is_some()
    }

    /// What each slot and the first place have, once all is over.
    fn everywhere(&self) -> Vec<Option<String>> {
        let name = |prepared: &Prepared| prepared.token().expose().to_owned();
        let slots = self.places.slots.get().into_iter().flatten();
        let slots = slots.map(|slot| slot.0.read().unwrap().as_ref().map(name));
        let mut all: Vec<_> = slots.collect();
        let first = self.places.first.lock().unwrap();
        all.push(first.prepared.as_ref().map(name));
        all
    }
}

/// Tries every order of the steps with at most four changes of the thread that
/// no lock asks for; in the long form all that there are. The scene says whether
/// the token was spread: it has to be in some, or the slots were not tried.
#[expect(
    clippy::disallowed_methods,
    reason = "set by `cargo xtask test --long`"
)]
fn in_every_order(scene: impl Fn() -> bool + Send + Sync + 'static) {
    let is_long = std::env::var_os("BLOOM_AUTH_TEST_LONG").is_some();
    let mut model = loom::model::Builder::new();
    model.preemption_bound = if is_long { None } else { Some(4) };
    // Not loom's: it counts through all orders.
    let spread = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = Arc::clone(&spread);
    model.check(move || {
        counter.fetch_add(usize::from(scene()), Ordering::Relaxed);
    });
    assert!(spread.load(Ordering::Relaxed) > 0, "it was never spread");
}

/// Two readers, each twice, while a token takes the place of another.
#[test]
fn c22_no_reader_goes_back_to_the_token_before() {
    in_every_order(|| {
        let scene = Scene::new("1");
        let readers = [(); 2].map(|()| {
            let scene = Arc::clone(&scene);
            thread::spawn(move || [scene.read(), scene.read()].map(Option::unwrap))
        });
        scene.places.set(prepared("2"));
        assert_eq!(scene.read().as_deref(), Some("2"));
        for reader in readers {
            let [before, after] = reader.join().unwrap();
            assert!(before <= after, "{before}, then {after}");
        }
        assert!(
            scene
                .everywhere()
                .iter()
                .all(|it| it.as_deref() == Some("2"))
        );
        scene.is_spread()
    });
}

/// A token is rejected, of which another thread hears at once, and reads.
#[test]
fn c22_nothing_outlives_a_rejection_in_any_slot() {
    in_every_order(|| {
        let scene = Scene::new("1");
        let is_rejected = Arc::new(AtomicBool::new(false));
        let readers = [(); 2].map(|()| {
            let (scene, is_rejected) = (Arc::clone(&scene), Arc::clone(&is_rejected));
            thread::spawn(move || {
                let was_rejected = is_rejected.load(Ordering::Acquire);
                let read = scene.read();
                assert!(!(was_rejected && read.is_some()));
            })
        });
        scene.places.set(None);
        is_rejected.store(true, Ordering::Release);
        assert_eq!(scene.read(), None);
        for reader in readers {
            reader.join().unwrap();
        }
        assert!(scene.everywhere().iter().all(Option::is_none));
        scene.is_spread()
    });
}
