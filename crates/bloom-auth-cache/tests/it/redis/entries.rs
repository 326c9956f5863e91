//! What is on the server: names, values and their times, and what becomes of
//! entries that others have had their hands on.

use std::time::Duration;

use bloom_auth_cache::{RedisCache, Sealer};
use bloom_auth_core::{
    CacheAccess, CacheRecord, ClientSecret, Clock as _, Refusal, RefusalKind, SystemClock,
    TokenCache as _, TokenHash, test_util::ManualClock,
};

use super::{
    builder, prefix,
    server::{self, Client, Server, any},
};
use crate::file::support::{SECRET, Warnings, access, access_of, record};

/// A cache with keys of its own on the shared server.
struct Place {
    server: &'static Server,
    prefix: String,
    cache: RedisCache,
}

impl Place {
    fn new(test: &str) -> Option<Self> {
        let server = server::shared(any(&format!("redis::entries::{test}"))?);
        let prefix = prefix();
        let cache = builder(server).prefix(&prefix).build().unwrap();
        Some(Self {
            server,
            prefix,
            cache,
        })
    }

    fn client(&self) -> Client {
        self.server.client()
    }

    fn key(&self, kind: char) -> String {
        self.client().key(&self.prefix, kind)
    }

    async fn store(&self, token: &str, ago: u64) {
        let record = record(token, ago);
        self.cache.store(&access(), &record).await.unwrap();
    }

    async fn token(&self) -> Option<String> {
        token(&self.cache, &access()).await
    }
}

async fn token(cache: &RedisCache, access: &CacheAccess) -> Option<String> {
    let record = cache.load(access).await.unwrap();
    record.map(|record| record.token().expose().to_owned())
}

fn hash(token: &str) -> TokenHash {
    record(token, 0).token().hash()
}

#[tokio::test]
async fn r19_names_of_keys_say_nothing_and_never_meet() {
    let Some(place) = Place::new("r19_names_of_keys_say_nothing_and_never_meet") else {
        return;
    };
    let ids = ["a", "A", "client", "*", "{a}", "é", &*"x".repeat(1000)];
    for id in ids {
        for secret in [SECRET, "A SECRET OF MORE THAN 32 CHARACTERS"] {
            let access = access_of(id, secret);
            place.cache.store(&access, &record("t", 10)).await.unwrap();
        }
    }
    let keys = place.client().keys(&place.prefix);
    assert_eq!(keys.len(), 2 * ids.len());
    for key in keys {
        let name = key.strip_prefix(&format!("{}:{{", place.prefix)).unwrap();
        let name = name.strip_suffix("}:t").unwrap();
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        assert!(name.len() == 64 && name.bytes().all(is_hex), "{key}");
    }
}

#[tokio::test]
async fn all_keys_of_an_entry_are_in_one_slot_of_a_cluster() {
    let Some(place) = Place::new("all_keys_of_an_entry_are_in_one_slot_of_a_cluster") else {
        return;
    };
    place.store("t", 10).await;
    let now = SystemClock::new().now().system_time();
    let refusal = Refusal::new(RefusalKind::Client, now, Duration::from_secs(60), 1);
    place
        .cache
        .store_refusal(&access(), &refusal)
        .await
        .unwrap();
    let _lease = place.cache.lease(&access()).await.unwrap();
    let mut keys = place.client().keys(&place.prefix);
    assert_eq!(keys.len(), 3, "{keys:?}");
    for key in &mut keys {
        key.truncate(key.rfind(':').unwrap());
    }
    keys.dedup();
    assert_eq!(keys.len(), 1, "{keys:?}");
}

#[tokio::test]
async fn r10_keys_live_as_long_as_what_they_hold_and_no_longer() {
    let Some(place) = Place::new("r10_keys_live_as_long_as_what_they_hold_and_no_longer") else {
        return;
    };
    let mut client = place.client();
    let mut left = |kind| {
        let key = place.key(kind);
        client.call(&["PTTL", &key]).number()
    };
    place.store("t", 100).await;
    assert!((3_400_000..=3_500_000).contains(&left('t')));
    let now = SystemClock::new().now().system_time();
    let refusal = Refusal::new(RefusalKind::Client, now, Duration::from_secs(60), 1);
    place
        .cache
        .store_refusal(&access(), &refusal)
        .await
        .unwrap();
    assert!((1..=60_000).contains(&left('r')));
    // One that lives for ever is not kept for ever.
    let record = CacheRecord::new("t2", None, now, Duration::MAX).unwrap();
    place.cache.store(&access(), &record).await.unwrap();
    assert!((1..=30 * 86_400_000).contains(&left('t')));
    assert_eq!(place.token().await.as_deref(), Some("t2"));
}

#[tokio::test]
async fn r9_r10_the_times_inside_decide_whatever_the_server_says() {
    let Some(place) = Place::new("r9_r10_the_times_inside_decide_whatever_the_server_says") else {
        return;
    };
    let clock = ManualClock::new();
    let cache = builder(place.server)
        .prefix(&place.prefix)
        .clock(clock.clone());
    let cache = cache.build().unwrap();
    let now = clock.now().system_time();
    let record = |token, lifetime| {
        CacheRecord::new(token, None, now, Duration::from_secs(lifetime)).unwrap()
    };
    cache.store(&access(), &record("old", 100)).await.unwrap();
    let key = place.key('t');
    let old = place.client().get(&key).unwrap();
    cache.store(&access(), &record("new", 1000)).await.unwrap();
    assert_eq!(token(&cache, &access()).await.as_deref(), Some("new"));
    // It comes back without a time to live.
    place.client().call(&[b"SET", key.as_bytes(), &old]);
    clock.advance(Duration::from_secs(99));
    assert_eq!(token(&cache, &access()).await.as_deref(), Some("old"));
    clock.advance(Duration::from_secs(2));
    assert_eq!(token(&cache, &access()).await, None);
    // Nor is it in anybody's way.
    cache.store(&access(), &record("new", 1000)).await.unwrap();
    assert_eq!(token(&cache, &access()).await.as_deref(), Some("new"));
}

#[tokio::test]
async fn r15_a_record_from_the_future_is_believed_for_five_minutes() {
    let Some(place) = Place::new("r15_a_record_from_the_future_is_believed_for_five_minutes")
    else {
        return;
    };
    let now = SystemClock::new().now().system_time();
    let ahead = |token, minutes: u64| {
        let sent_at = now + Duration::from_secs(60 * minutes);
        CacheRecord::new(token, None, sent_at, Duration::from_secs(3600)).unwrap()
    };
    place.cache.store(&access(), &ahead("a", 4)).await.unwrap();
    assert_eq!(place.token().await.as_deref(), Some("a"));
    place.store("earlier", 0).await;
    assert_eq!(place.token().await.as_deref(), Some("a"));
    let warnings = Warnings::capture();
    place.cache.store(&access(), &ahead("b", 60)).await.unwrap();
    assert_eq!(place.token().await, None);
    assert!(warnings.take()[0].contains("from the future"));
    place.store("t", 0).await;
    assert_eq!(place.token().await.as_deref(), Some("t"));
}

#[tokio::test]
async fn r7_r8_what_is_of_no_use_is_told_once_until_it_is_gone() {
    let Some(place) = Place::new("r7_r8_what_is_of_no_use_is_told_once_until_it_is_gone") else {
        return;
    };
    let warnings = Warnings::capture();
    place.store("t", 10).await;
    let key = place.key('t');
    for (planted, problem) in [
        (&b"garbage"[..], "not a whole record"),
        (
            &[&b"bloomtok\x02"[..], &[0; 100]].concat(),
            "another version (2)",
        ),
        (&vec![b'x'; 300_000], "too large"),
    ] {
        place.client().call(&[b"SET", key.as_bytes(), planted]);
        for _ in 0..3 {
            assert_eq!(place.token().await, None);
        }
        // A removal is of our tokens alone.
        place.cache.remove(&access(), &hash("t")).await.unwrap();
        assert_eq!(place.client().get(&key).as_deref(), Some(planted));
        let lines = warnings.take();
        assert_eq!(lines.len(), 1, "{lines:#?}");
        assert!(
            lines[0].contains(problem) && lines[0].contains(&key),
            "{lines:?}"
        );
        place.store("healed", 5).await;
        assert_eq!(place.token().await.as_deref(), Some("healed"));
        assert_eq!(warnings.take(), [""; 0]);
    }
}

#[tokio::test]
async fn r6_a_key_of_another_type_is_a_miss_and_the_next_token_takes_its_place() {
    let Some(place) = Place::new("r6_a_key_of_another_type_is_a_miss") else {
        return;
    };
    place.store("t", 10).await;
    let key = place.key('t');
    for plant in [
        &["RPUSH", &*key, "a"][..],
        &["HSET", &*key, "a", "b"],
        &["SADD", &*key, "a"],
        &["ZADD", &*key, "1", "a"],
        &["XADD", &*key, "*", "a", "b"],
    ] {
        let mut client = place.client();
        client.call(&["DEL", &*key]);
        client.call(plant);
        assert_eq!(place.token().await, None);
        place.cache.remove(&access(), &hash("t")).await.unwrap();
        place.store("healed", 5).await;
        assert_eq!(place.token().await.as_deref(), Some("healed"), "{plant:?}");
    }
    // And one in the place of the lease is a lease that somebody has.
    let mut client = place.client();
    client.call(&["RPUSH", &*key.replace("}:t", "}:l"), "a"]);
    let lease = place.cache.lease(&access()).await.unwrap();
    assert!(matches!(lease, bloom_auth_core::Lease::Held));
}

#[tokio::test]
async fn r14_a_rotation_finds_what_was_kept_before_while_that_is_allowed() {
    let Some(place) = Place::new("r14_a_rotation_finds_what_was_kept_before") else {
        return;
    };
    let (old, new) = (
        access(),
        access_of("client", "the new secret of over 32 characters"),
    );
    let now = SystemClock::new().now().system_time();
    let until = |until| {
        let sealer = Sealer::new().previous_secret(ClientSecret::new(SECRET).unwrap(), until);
        let cache = builder(place.server).prefix(&place.prefix).sealer(sealer);
        cache.build().unwrap()
    };
    place.cache.store(&old, &record("old", 10)).await.unwrap();
    let rotated = until(now + Duration::from_secs(3600));
    assert_eq!(token(&place.cache, &new).await, None);
    assert_eq!(token(&until(now), &new).await, None);
    assert_eq!(token(&rotated, &new).await.as_deref(), Some("old"));
    // Each has its own from then on.
    rotated.store(&new, &record("new", 5)).await.unwrap();
    assert_eq!(token(&rotated, &new).await.as_deref(), Some("new"));
    assert_eq!(token(&place.cache, &old).await.as_deref(), Some("old"));
    rotated.remove(&new, &hash("old")).await.unwrap();
    assert_eq!(token(&place.cache, &old).await, None);
    assert_eq!(token(&rotated, &new).await.as_deref(), Some("new"));
}

#[tokio::test]
async fn settings_that_are_out_of_range_are_refused() {
    let url = "redis://localhost";
    let build = |prefix: &str, timeout| {
        let cache = RedisCache::builder(url).prefix(prefix);
        cache.timeout(Duration::from_millis(timeout)).build()
    };
    for prefix in ["a", "a.b_c:d/e-f", &*"x".repeat(64)] {
        build(prefix, 1).unwrap();
    }
    for prefix in ["", "{a}", "a b", "a*", "é", "a\n", &*"x".repeat(65)] {
        let error = build(prefix, 1000).unwrap_err();
        assert_eq!(error.setting(), "Redis prefix");
    }
    build("a", 10_000).unwrap();
    for timeout in [0, 10_001] {
        let error = build("a", timeout).unwrap_err();
        assert_eq!(error.setting(), "Redis timeout");
    }
    let builder = RedisCache::builder("rediss://u:canary@h").sealer(Sealer::with_key([7; 32]));
    let shown = format!("{builder:?}");
    let error = builder.root_certificate("").build().unwrap_err();
    assert_eq!(error.setting(), "root certificate");
    assert!(
        !format!("{shown} {error} {error:?}").contains("canary"),
        "{shown}"
    );
}
