//! One at a time may fetch, and nobody's end keeps the others from it.

use std::{
    future::{Future, pending},
    io,
    panic::resume_unwind,
    sync::Arc,
    thread,
    time::Duration,
};

use tokio::{
    runtime::Builder,
    sync::{Barrier, oneshot},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    Leases, PATIENCE,
    keys::{base, every_key, numbered},
    lease,
};
use crate::cache::{CacheAccess, Lease, LeaseGuard, TokenCache};

const ASKERS: usize = 64;
const ROUNDS: usize = 8;
const KEYS: usize = 32;

/// While a lease is out, it is held for everyone who asks for the same key,
/// and for nobody else.
pub async fn a_lease_is_exclusive_for_its_key(cache: &dyn TokenCache) -> Leases {
    let mut guards = Vec::new();
    for (what, access) in every_key() {
        let asked = format!("`{what}`, while leases for other keys are out");
        let Some(guard) = ask(cache, &access, &asked).await else {
            return Leases::NotNeeded;
        };
        guards.push(guard);
        for _ in 0..2 {
            assert_held(cache, &access, "while the lease is out").await;
        }
    }
    let keys = every_key();
    for (n, guard) in guards.into_iter().enumerate() {
        drop(guard);
        for (_, access) in keys.iter().skip(n + 1) {
            assert_held(cache, access, "after the lease for another key was freed").await;
        }
    }
    Leases::Exercised
}

/// A lease is free again when its guard is dropped: here, in another task, or
/// in a thread without a runtime.
pub async fn a_lease_ends_with_its_guard(cache: &Arc<dyn TokenCache>) -> Leases {
    let access = base();
    let Some(guard) = ask(&**cache, &access, "nobody has asked before").await else {
        return Leases::NotNeeded;
    };
    drop(guard);

    let guard = becomes_free(&**cache, &access, "its guard was dropped").await;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { drop(guard) });
    tasks.join_all().await;

    let guard = becomes_free(&**cache, &access, "its guard was dropped in another task").await;
    let thread = thread::spawn(move || drop(guard));
    assert!(
        thread.join().is_ok(),
        "a guard panics where there is no runtime"
    );

    let when = "its guard was dropped in a thread without a runtime";
    drop(becomes_free(&**cache, &access, when).await);
    Leases::Exercised
}

/// A lease is free again when its holder is no more: its task was aborted, has
/// panicked, or went down with its runtime.
pub async fn a_lease_of_a_dead_holder_becomes_free(cache: &Arc<dyn TokenCache>) -> Leases {
    let access = base();
    let Some(guard) = ask(&**cache, &access, "nobody has asked before").await else {
        return Leases::NotNeeded;
    };
    drop(guard);

    let (granted, is_granted) = oneshot::channel();
    let mut tasks = JoinSet::new();
    tasks.spawn(hold(Arc::clone(cache), granted, pending()));
    assert!(is_granted.await.is_ok(), "a task of the suite has panicked");
    assert_held(&**cache, &access, "while another task has the lease").await;
    tasks.shutdown().await;
    drop(becomes_free(&**cache, &access, "the task that held it was aborted").await);

    let (granted, is_granted) = oneshot::channel();
    let (end, is_over) = oneshot::channel::<()>();
    tasks.spawn(hold(Arc::clone(cache), granted, async {
        let _ = is_over.await;
        // As a panic does, but without its message among those of the test.
        resume_unwind(Box::new("as a holder with a bug may"));
    }));
    assert!(is_granted.await.is_ok(), "a task of the suite has panicked");
    assert_held(&**cache, &access, "while another task has the lease").await;
    drop(end);
    while tasks.join_next().await.is_some() {}
    drop(becomes_free(&**cache, &access, "the task that held it has panicked").await);

    let (gone, is_gone) = oneshot::channel();
    let holder = Arc::clone(cache);
    let thread = thread::spawn(move || {
        let held = hold_until_the_runtime_ends(holder);
        // Whoever waits sees the thread end, too.
        let _ = gone.send(held);
    });
    let held = matches!(is_gone.await, Ok(Ok(())));
    assert!(
        thread.join().is_ok() && held,
        "a thread of the suite has panicked"
    );
    drop(becomes_free(&**cache, &access, "the runtime that held it was dropped").await);
    Leases::Exercised
}

/// Takes the lease, says so, and keeps it until the end.
async fn hold(
    cache: Arc<dyn TokenCache>,
    granted: oneshot::Sender<()>,
    end: impl Future<Output = ()> + Send,
) {
    let _guard = becomes_free(&*cache, &base(), "its guard was dropped").await;
    // Whoever waits for it has its own complaint.
    let _ = granted.send(());
    end.await;
}

/// Drops a runtime while one of its tasks holds the lease.
fn hold_until_the_runtime_ends(cache: Arc<dyn TokenCache>) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (granted, is_granted) = oneshot::channel();
    runtime.spawn(hold(cache, granted, pending()));
    runtime.block_on(is_granted).map_err(io::Error::other)
}

/// Of many who ask at once, exactly one is granted the lease.
pub async fn one_of_many_who_ask_gets_the_lease(cache: &Arc<dyn TokenCache>) -> Leases {
    for round in 0..ROUNDS {
        let keys: Arc<[_]> = (0..KEYS).map(|n| numbered(round * KEYS + n)).collect();
        let barrier = Arc::new(Barrier::new(ASKERS));
        let mut tasks = JoinSet::new();
        for _ in 0..ASKERS {
            let (cache, keys) = (Arc::clone(cache), Arc::clone(&keys));
            let barrier = Arc::clone(&barrier);
            tasks.spawn(async move {
                barrier.wait().await;
                let mut answers = Vec::new();
                // All in the same order, so that they meet at many of them.
                for access in &*keys {
                    answers.push(lease(&*cache, access).await);
                }
                answers
            });
        }
        // The answers hold the guards until all are there.
        let answers = tasks.join_all().await;
        for n in 0..KEYS {
            let answers = answers.iter().filter_map(|answers| answers.get(n));
            let (mut granted, mut not_needed) = (0, 0);
            for answer in answers {
                match answer {
                    Lease::Granted(_) => granted += 1,
                    Lease::NotNeeded => not_needed += 1,
                    Lease::Held => {}
                }
            }
            if not_needed == ASKERS {
                return Leases::NotNeeded;
            }
            assert_eq!(
                granted, 1,
                "the lease was not granted to exactly one of {ASKERS} who asked at once"
            );
            assert_eq!(
                not_needed, 0,
                "a cache that gives out leases says that none are needed"
            );
        }
    }
    Leases::Exercised
}

/// The lease that nobody can have yet; `None` if the cache gives out none.
pub(super) async fn ask(
    cache: &dyn TokenCache,
    access: &CacheAccess,
    when: &str,
) -> Option<LeaseGuard> {
    match lease(cache, access).await {
        Lease::NotNeeded => None,
        Lease::Granted(guard) => Some(guard),
        Lease::Held => panic!("{when}: the lease is said to be held"),
    }
}

pub(super) async fn assert_held(cache: &dyn TokenCache, access: &CacheAccess, when: &str) {
    match lease(cache, access).await {
        Lease::Held => {}
        Lease::Granted(_) => panic!("{when}: it was granted once more"),
        Lease::NotNeeded => panic!("{when}: it is said not to be needed"),
    }
}

/// Asks until the lease is granted. A cache elsewhere may take a moment to
/// free it: dropping a guard must not block.
pub(super) async fn becomes_free(
    cache: &dyn TokenCache,
    access: &CacheAccess,
    after: &str,
) -> LeaseGuard {
    let granted = async {
        loop {
            match lease(cache, access).await {
                Lease::Granted(guard) => return guard,
                Lease::Held => sleep(Duration::from_millis(10)).await,
                Lease::NotNeeded => panic!("a lease that was given out is said not to be needed"),
            }
        }
    };
    match timeout(PATIENCE, granted).await {
        Ok(guard) => guard,
        Err(_) => panic!("the lease is not free again after {after}"),
    }
}
