//! Calls that are dropped before they are ready, at every point.

use super::{
    Leases, assert_is, cut_short,
    keys::base,
    leases::{ask, assert_held, becomes_free},
    load, record, store,
};
use crate::cache::{Lease, TokenCache};

/// A call that is not ready when it was polled this often is taken to be
/// waiting for one thing over and over.
const POLLS: usize = 32;

/// Whatever call is dropped, at whatever point, the next ones work.
pub async fn a_cancelled_call_leaves_the_cache_usable(cache: &dyn TokenCache) {
    let access = base();
    let mut ago = 10_000;
    for polls in 0..POLLS {
        let mut is_ready = true;
        for what in ["load", "store", "remove"] {
            // Each is newer than the one before, since a call that was dropped
            // may have its effect later.
            ago -= 2;
            let before = record("before", ago + 2);
            let dropped = record("dropped", ago + 1);
            let after = record(&format!("after-{ago}"), ago);
            store(cache, &access, &before).await;
            is_ready &= match what {
                "load" => cut_short(cache.load(&access), polls).await.is_some(),
                "store" => cut_short(cache.store(&access, &dropped), polls)
                    .await
                    .is_some(),
                _ => {
                    let hash = before.token().hash();
                    cut_short(cache.remove(&access, &hash), polls)
                        .await
                        .is_some()
                }
            };
            store(cache, &access, &after).await;
            let when = format!("stored after a `{what}` was dropped at poll {polls}");
            assert_is(load(cache, &access).await.as_ref(), &after, &when);
        }
        if is_ready {
            return;
        }
    }
}

/// A lease that was granted to nobody is free.
pub async fn a_cancelled_lease_call_holds_nothing(cache: &dyn TokenCache) -> Leases {
    let access = base();
    let Some(guard) = ask(cache, &access, "nobody has asked before").await else {
        return Leases::NotNeeded;
    };
    drop(guard);
    for polls in 0..POLLS {
        drop(becomes_free(cache, &access, "its guard was dropped").await);
        let asked = cut_short(cache.lease(&access), polls).await;
        let is_ready = asked.is_some();
        if let Some(Ok(Lease::Granted(guard))) = asked {
            drop(guard);
        }
        let after = format!("a call for it was dropped at poll {polls}");
        drop(becomes_free(cache, &access, &after).await);
        if is_ready {
            break;
        }
    }
    Leases::Exercised
}

/// Whoever asks for a lease that is out, and goes away meanwhile, takes it
/// neither from its holder nor from whoever asks next.
pub async fn a_cancelled_waiter_harms_nobody(cache: &dyn TokenCache) -> Leases {
    let access = base();
    let Some(guard) = ask(cache, &access, "nobody has asked before").await else {
        return Leases::NotNeeded;
    };
    drop(guard);
    for polls in 0..POLLS {
        let guard = becomes_free(cache, &access, "its guard was dropped").await;
        let waiter = cut_short(cache.lease(&access), polls).await;
        let is_granted = matches!(waiter, Some(Ok(Lease::Granted(_))));
        assert!(!is_granted, "the lease was granted while it was out");
        let when = format!("after somebody who asked for it went away at poll {polls}");
        assert_held(cache, &access, &when).await;
        drop(guard);
        // What the waiter was told, if anything, is still with it.
        let after = format!("its guard was dropped, {when}");
        drop(becomes_free(cache, &access, &after).await);
        if waiter.is_some() {
            break;
        }
    }
    Leases::Exercised
}
