//! Many who use a cache at once.

use std::sync::Arc;

use tokio::{sync::Barrier, task::JoinSet};

use super::{
    assert_is,
    keys::{base, numbered},
    load, record, remove, store,
};
use crate::cache::TokenCache;

const TASKS: usize = 32;
const ROUNDS: usize = 32;

/// Everyone finds his own tokens while others store and remove theirs.
pub async fn concurrent_users_of_many_keys_do_not_mix(cache: &Arc<dyn TokenCache>) {
    let barrier = Arc::new(Barrier::new(TASKS));
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let (cache, barrier) = (Arc::clone(cache), Arc::clone(&barrier));
        tasks.spawn(async move {
            let access = numbered(task);
            for round in 0..ROUNDS {
                barrier.wait().await;
                let mine = record(&format!("token-{task}-{round}"), 0);
                store(&*cache, &access, &mine).await;
                let when = "others use other keys at the same time";
                assert_is(load(&*cache, &access).await.as_ref(), &mine, when);
                remove(&*cache, &access, &mine.token().hash()).await;
                let found = load(&*cache, &access).await;
                assert!(found.is_none(), "{when}: still there after its removal");
            }
        });
    }
    tasks.join_all().await;
}

/// Whoever is last to write, the token that was sent last is what stays; and
/// nobody who has stored a token finds one that was sent earlier.
pub async fn concurrent_writers_leave_the_latest(cache: &Arc<dyn TokenCache>) {
    for round in 0..ROUNDS {
        let access = numbered(round);
        let barrier = Arc::new(Barrier::new(TASKS));
        let mut tasks = JoinSet::new();
        let latest = record("sent-now", 0);
        let earlier = (1..).map(|ago| record(&format!("sent-{ago}-seconds-ago"), ago));
        let records = earlier.take(TASKS - 1).chain([latest.clone()]);
        for mine in records {
            let (cache, barrier) = (Arc::clone(cache), Arc::clone(&barrier));
            let access = access.clone();
            tasks.spawn(async move {
                barrier.wait().await;
                store(&*cache, &access, &mine).await;
                let found = load(&*cache, &access).await;
                assert!(
                    found.is_some_and(|found| found.sent_at() >= mine.sent_at()),
                    "after many stores at once: who stored a record finds an earlier one"
                );
            });
        }
        tasks.join_all().await;
        let found = load(&**cache, &access).await;
        assert_is(found.as_ref(), &latest, "after many stores at once");
    }
}

/// A removal that meets a store does not take away what it stores.
pub async fn concurrent_removals_spare_what_is_newer(cache: &Arc<dyn TokenCache>) {
    let access = base();
    for round in 0..4 * ROUNDS {
        let ago = u64::try_from(4 * ROUNDS - round).unwrap_or_default();
        let old = record(&format!("old-{round}"), 2 * ago + 1);
        let new = record(&format!("new-{round}"), 2 * ago);
        store(&**cache, &access, &old).await;
        let barrier = Arc::new(Barrier::new(2));
        let removal = {
            let (cache, barrier) = (Arc::clone(cache), Arc::clone(&barrier));
            let (access, hash) = (access.clone(), old.token().hash());
            async move {
                barrier.wait().await;
                remove(&*cache, &access, &hash).await;
            }
        };
        let addition = {
            let (cache, access, new) = (Arc::clone(cache), access.clone(), new.clone());
            async move {
                barrier.wait().await;
                store(&*cache, &access, &new).await;
            }
        };
        let mut tasks = JoinSet::new();
        if round % 2 == 0 {
            tasks.spawn(removal);
            tasks.spawn(addition);
        } else {
            tasks.spawn(addition);
            tasks.spawn(removal);
        }
        tasks.join_all().await;
        assert_is(
            load(&**cache, &access).await.as_ref(),
            &new,
            "stored while an older token was removed",
        );
    }
}
