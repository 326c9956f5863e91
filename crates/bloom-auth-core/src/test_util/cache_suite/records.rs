//! What is stored, is found, and is gone when it should be.

use std::time::Duration;

use super::{HOUR, assert_is, before_now, keys::base, load, record, record_of, remove, store};
use crate::cache::TokenCache;

/// There is no record before one was stored, and to remove what is not there
/// is no error.
pub async fn an_empty_cache_has_nothing(cache: &dyn TokenCache) {
    let access = base();
    assert!(
        load(cache, &access).await.is_none(),
        "an empty cache has a record"
    );
    remove(cache, &access, &record("token", 0).token().hash()).await;
    assert!(
        load(cache, &access).await.is_none(),
        "an empty cache has a record after a removal"
    );
}

/// Token, scopes and times are the same to the last bit.
pub async fn records_come_back_as_they_were(cache: &dyn TokenCache) {
    let access = base();
    let every_character: String = ('!'..='~').collect();
    let rows = [
        ("a token", "abc.def-123", Some("read:a write:a"), HOUR),
        ("every character", &every_character, Some("x"), HOUR),
        ("a long token", &"t".repeat(32 * 1024), Some("x"), HOUR),
        ("no scopes named", "abc.1", None, HOUR),
        ("an empty set of scopes", "abc.2", Some(""), HOUR),
        (
            "nanoseconds",
            "abc.3",
            None,
            Duration::new(3601, 123_456_789),
        ),
        ("a year", "abc.4", None, Duration::from_secs(366 * 86_400)),
    ];
    for ((what, token, scopes, lifetime), ago) in rows.into_iter().zip((1..=100).rev()) {
        let scopes = scopes.and_then(|scopes| scopes.parse().ok());
        let sent_at = before_now(Duration::new(ago, 987_654_321));
        let record = record_of(token, scopes, sent_at, lifetime);
        store(cache, &access, &record).await;
        assert_is(load(cache, &access).await.as_ref(), &record, what);
        assert_is(
            load(cache, &access).await.as_ref(),
            &record,
            "the second load",
        );
    }
}

/// Of two records, the one that was sent later is kept, in whichever order
/// they come; of two that were sent at one time, the one that came later.
pub async fn a_later_record_replaces_an_earlier_one_and_not_the_reverse(cache: &dyn TokenCache) {
    let access = base();
    let earlier = record("earlier", 200);
    let later = record("later", 100);
    store(cache, &access, &earlier).await;
    store(cache, &access, &later).await;
    assert_is(
        load(cache, &access).await.as_ref(),
        &later,
        "after a record that was sent later",
    );
    for ago in [201, 101] {
        store(cache, &access, &record("late-arrival", ago)).await;
        assert_is(
            load(cache, &access).await.as_ref(),
            &later,
            "after a record that was sent earlier",
        );
    }
    let same_time = record_of("same-time", None, later.sent_at(), HOUR);
    store(cache, &access, &same_time).await;
    assert_is(
        load(cache, &access).await.as_ref(),
        &same_time,
        "after a record that was sent at the same time",
    );
}

/// A removal takes away the token that it names, and none that came after it.
pub async fn removal_is_of_this_very_token(cache: &dyn TokenCache) {
    let access = base();
    let (old, new) = (record("old", 200), record("new", 100));
    store(cache, &access, &old).await;
    remove(cache, &access, &new.token().hash()).await;
    assert_is(
        load(cache, &access).await.as_ref(),
        &old,
        "after the removal of another token",
    );
    store(cache, &access, &new).await;
    remove(cache, &access, &old.token().hash()).await;
    assert_is(
        load(cache, &access).await.as_ref(),
        &new,
        "after the removal of the token that it replaced",
    );
    for time in ["first", "second"] {
        remove(cache, &access, &new.token().hash()).await;
        assert!(
            load(cache, &access).await.is_none(),
            "there is a record after its {time} removal"
        );
    }
    // What is gone is no reason to refuse anything.
    store(cache, &access, &old).await;
    assert_is(
        load(cache, &access).await.as_ref(),
        &old,
        "stored after a removal",
    );
}

/// A record that has expired is found as it was or not at all, and a new one
/// takes its place.
pub async fn an_expired_record_is_in_nobodys_way(cache: &dyn TokenCache) {
    let access = base();
    let sent_at = before_now(2 * HOUR);
    let expired = record_of("expired", None, sent_at, HOUR);
    store(cache, &access, &expired).await;
    if let Some(found) = load(cache, &access).await {
        assert_is(Some(&found), &expired, "a record that has expired");
    }
    remove(cache, &access, &expired.token().hash()).await;
    store(cache, &access, &expired).await;
    let new = record("new", 0);
    store(cache, &access, &new).await;
    assert_is(
        load(cache, &access).await.as_ref(),
        &new,
        "after a record that has expired",
    );
}
