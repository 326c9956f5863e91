//! Refusals that are remembered, and for whom.

use std::time::Duration;

use super::{before_now, call, keys::every_key, record, store};
use crate::cache::{CacheAccess, Refusal, RefusalKind, TokenCache};

/// A refusal comes back as it was, for its key alone; a later one takes its
/// place, and a token that is stored lifts it.
///
/// Not part of [`all`](super::all): a cache need not remember any.
pub async fn a_refusal_is_remembered_for_its_key_alone(cache: &dyn TokenCache) {
    let keys = every_key();
    let Some(((_, access), others)) = keys.split_first() else {
        return;
    };
    assert_eq!(load(cache, access).await, None, "nobody was refused yet");
    let refused_at = before_now(Duration::from_secs(5));
    let wait = Duration::from_secs(60);
    for (kind, refusals) in [(RefusalKind::Client, 1), (RefusalKind::Request, u32::MAX)] {
        let refusal = Refusal::new(kind, refused_at, wait, refusals);
        put(cache, access, &refusal).await;
        for time in ["first", "second"] {
            let found = load(cache, access).await;
            assert_eq!(found, Some(refusal), "at the {time} look");
        }
    }
    for (what, other) in others {
        let found = load(cache, other).await;
        assert_eq!(
            found, None,
            "`{what}` is told of the refusal of another key"
        );
        // Nor does a token of theirs lift it.
        store(cache, other, &record("theirs", 10)).await;
    }
    assert!(
        load(cache, access).await.is_some(),
        "lifted by a token of another key"
    );
    assert!(
        super::load(cache, access).await.is_none(),
        "a refusal was taken for a token"
    );
    store(cache, access, &record("ours", 10)).await;
    assert_eq!(load(cache, access).await, None, "a token was stored since");
}

async fn load(cache: &dyn TokenCache, access: &CacheAccess) -> Option<Refusal> {
    call("load_refusal", cache.load_refusal(access)).await
}

async fn put(cache: &dyn TokenCache, access: &CacheAccess, refusal: &Refusal) {
    call("store_refusal", cache.store_refusal(access, refusal)).await;
}
