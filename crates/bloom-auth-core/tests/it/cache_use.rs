//! The engine and a cache that works: in which order it calls, and what it
//! never does.

use std::{pin::pin, time::Duration};

use bloom_auth_core::{
    AuthVersion, CacheAccess, CacheError, CacheKey, CacheRecord, ClientCredentials, ClientId,
    ClientSecret, Clock, Environment, ErrorKind, Lease, Rejection, TokenCache, TokenProvider,
    protocol::TokenRequest,
    test_util::{MockTokenCache, Reply, ScriptedTransport, TokioClock},
};
use tokio::{task::JoinSet, time::sleep};

use crate::support::{
    Gate, Mood, SECRET, TestCache, builder, credentials, name, paused, poll, ready, settle,
    token_reply, wire,
};

fn access(secret: &str) -> CacheAccess {
    let id = ClientId::new("client").unwrap();
    let credentials = ClientCredentials::new(id, ClientSecret::new(secret).unwrap());
    let request = TokenRequest::new(Environment::sandbox(AuthVersion::V1));
    CacheAccess::new(&request, &credentials)
}

fn record(token: &str, lifetime: u64) -> CacheRecord {
    let sent_at = TokioClock::new().now().system_time();
    CacheRecord::new(&wire(token), None, sent_at, Duration::from_secs(lifetime)).unwrap()
}

pub(crate) fn cached(
    transport: &ScriptedTransport,
    cache: impl TokenCache + 'static,
) -> TokenProvider {
    let provider = builder(credentials(), transport.clone()).cache(cache);
    provider.build().unwrap()
}

#[test]
fn a_hit_is_one_load_and_nothing_else() {
    paused().block_on(async {
        let mut cache = MockTokenCache::new();
        let key = access(SECRET).key().clone();
        cache
            .expect_load()
            .withf(move |access| *access.key() == key && access.seal_material().is_some())
            .times(1)
            .returning(|_| Ok(Some(record("A", 100))));
        cache.expect_lease().never();
        cache.expect_store().never();
        let transport = ScriptedTransport::default();
        let provider = cached(&transport, cache);
        assert_eq!(name(&provider.token().await.unwrap()), "A");
        assert_eq!(name(&provider.token().await.unwrap()), "A");
        assert_eq!(transport.request_count(), 0);
    });
}

#[test]
fn r3_a_fresh_token_is_served_without_a_call_of_the_cache() {
    for mood in [Mood::Works, Mood::Fails, Mood::Hangs] {
        paused().block_on(async {
            let cache = TestCache::default();
            let transport = ScriptedTransport::new([token_reply("A", 3600)]);
            let provider = cached(&transport, cache.clone());
            provider.token().await.unwrap();
            // The control: the cold call has asked it.
            assert!(!cache.take_calls().is_empty());
            cache.set_mood(mood);
            for _ in 0..1000 {
                let token = ready(provider.token()).unwrap().unwrap();
                assert_eq!(name(&token), "A");
                settle().await;
                sleep(Duration::from_secs(2)).await;
            }
            assert!(cache.take_calls().is_empty(), "{mood:?}");
            assert_eq!(transport.request_count(), 1);
        });
    }
}

#[test]
fn a1_the_cache_is_told_of_a_rejected_token_before_it_is_asked() {
    paused().block_on(async {
        let mut order = mockall::Sequence::new();
        let mut cache = MockTokenCache::new();
        let rejected = record("A", 100).token().hash();
        cache
            .expect_load()
            .times(1)
            .in_sequence(&mut order)
            .returning(|_| Ok(Some(record("A", 100))));
        cache
            .expect_remove()
            .withf(move |_, hash| *hash == rejected)
            .times(1)
            .in_sequence(&mut order)
            .returning(|_, _| Err(CacheError::new("the script says so")));
        let transport = ScriptedTransport::new([token_reply("B", 100)]);
        let provider = cached(&transport, cache);
        let token = provider.token().await.unwrap();
        assert_eq!(provider.reject(&token), Rejection::Dropped);
        // That the cache failed does not bring the token back.
        assert_eq!(name(&provider.token().await.unwrap()), "B");
        assert_eq!(transport.request_count(), 1);
    });
}

#[test]
fn a_cold_fetch_looks_twice_and_stores_before_the_lease_is_free() {
    paused().block_on(async {
        let (cache, gate) = (TestCache::default(), Gate::default());
        let provider = builder(credentials(), gate.clone()).cache(cache.clone());
        let provider = provider.build().unwrap();
        let mut call = pin!(provider.token());
        assert!(poll(call.as_mut()).is_pending());
        settle().await;
        assert_eq!(cache.take_calls(), ["load", "lease", "load"]);
        // Slower than a cache may be for other calls by then.
        cache.set_mood(Mood::Slow(Duration::from_millis(900)));
        gate.answer(1);
        settle().await;
        // In service here already, but whoever waits might be a process that
        // ends then: not before it is kept.
        assert!(provider.try_authorization().is_some());
        assert!(poll(call.as_mut()).is_pending());
        assert_eq!(cache.take_calls(), ["store"]);
        assert_eq!(name(&call.await.unwrap()), "1");
        assert_eq!(cache.tokens(), ["1"]);
        assert_eq!(cache.take_calls(), ["free"]);
    });
}

#[test]
fn r11_those_who_share_a_cache_share_one_request() {
    paused().block_on(async {
        let cache = TestCache::default();
        let delay = Duration::from_secs(3);
        let replies = ["A", "B"].map(|token| token_reply(token, 100).after(delay));
        let transport = ScriptedTransport::new(replies);
        let fleet: Vec<_> = (0..20).map(|_| cached(&transport, cache.clone())).collect();
        let all = async || {
            let mut calls = JoinSet::new();
            for one in fleet.clone() {
                calls.spawn(async move { one.token().await.unwrap() });
            }
            let tokens = calls.join_all().await;
            let mut names: Vec<_> = tokens.iter().map(|token| name(token).to_owned()).collect();
            names.dedup();
            names
        };
        assert_eq!(all().await, ["A"]);
        assert_eq!(transport.request_count(), 1);
        // Due for all of them: one asks, the others look again later.
        sleep(Duration::from_secs(80)).await;
        assert_eq!(all().await, ["A"]);
        sleep(Duration::from_secs(5)).await;
        all().await;
        settle().await;
        assert_eq!(all().await, ["B"]);
        assert_eq!(transport.request_count(), 2);
    });
}

#[test]
fn a_wrong_secret_gets_nothing_from_a_shared_cache() {
    paused().block_on(async {
        let cache = TestCache::default();
        let refusal = Reply::error(http::StatusCode::UNAUTHORIZED, "invalid_client");
        let transport = ScriptedTransport::new([token_reply("A", 100), refusal]);
        let ours = cached(&transport, cache.clone());
        assert_eq!(name(&ours.token().await.unwrap()), "A");
        let theirs = credentials();
        theirs.rotate("client", "guessed").unwrap();
        let theirs = builder(theirs, transport.clone()).cache(cache.clone());
        let error = theirs.build().unwrap().token().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ClientRefused);
        assert_eq!(transport.request_count(), 2);
        assert_eq!(cache.tokens(), ["A"]);
    });
}

#[test]
fn r12_a_lease_does_not_outlive_its_provider() {
    paused().block_on(async {
        let (cache, gate) = (TestCache::default(), Gate::default());
        let build = || {
            let provider = builder(credentials(), gate.clone()).cache(cache.clone());
            provider.build().unwrap()
        };
        let (first, second) = (build(), build());
        assert!(ready(first.token()).is_none());
        settle().await;
        let mut call = pin!(second.token());
        assert!(poll(call.as_mut()).is_pending());
        settle().await;
        assert_eq!(gate.requests(), 1);
        drop(first);
        settle().await;
        assert!(cache.take_calls().contains(&"free"));
        while gate.requests() == 1 {
            assert!(poll(call.as_mut()).is_pending());
            sleep(Duration::from_millis(10)).await;
        }
        gate.answer(2);
        assert_eq!(name(&call.await.unwrap()), "2");
    });
}

#[test]
fn a1_a_token_that_is_rejected_while_it_is_stored_does_not_come_back() {
    paused().block_on(async {
        let cache = TestCache::default();
        let replies = ["A", "B"].map(|token| token_reply(token, 100));
        let transport = ScriptedTransport::new(replies);
        let provider = cached(&transport, cache.clone());
        cache.set_mood(Mood::Slow(Duration::from_millis(50)));
        let mut waiter = pin!(provider.token());
        assert!(poll(waiter.as_mut()).is_pending());
        // Three calls of the cache, and the store begins.
        sleep(Duration::from_millis(170)).await;
        assert_eq!(transport.request_count(), 1);
        let token = ready(provider.token()).unwrap().unwrap();
        assert_eq!(provider.reject(&token), Rejection::Dropped);
        assert_eq!(name(&waiter.await.unwrap()), "B");
        assert_eq!(cache.tokens(), ["B"]);
        assert_eq!(transport.request_count(), 2);
        let calls = cache.take_calls();
        assert_eq!(calls.iter().filter(|call| **call == "remove").count(), 1);
    });
}

#[test]
fn the_key_is_that_of_the_request_and_the_credentials() {
    paused().block_on(async {
        let keys: [CacheKey; 2] = [access(SECRET).key().clone(), access("b").key().clone()];
        assert_ne!(keys[0], keys[1]);
        let mut cache = MockTokenCache::new();
        let expected = keys.clone();
        cache
            .expect_load()
            .times(2)
            .withf(move |access| expected.contains(access.key()))
            .returning(|_| Ok(None));
        cache.expect_lease().returning(|_| Ok(Lease::NotNeeded));
        let [first, second] = keys;
        let mut order = mockall::Sequence::new();
        for key in [first, second] {
            cache
                .expect_store()
                .withf(move |access, _| *access.key() == key)
                .times(1)
                .in_sequence(&mut order)
                .returning(|_, _| Ok(()));
        }
        let source = credentials();
        let transport = ScriptedTransport::new([token_reply("A", 100), token_reply("B", 100)]);
        let provider = builder(source.clone(), transport)
            .cache(cache)
            .build()
            .unwrap();
        assert_eq!(name(&provider.token().await.unwrap()), "A");
        source.rotate("client", "b").unwrap();
        sleep(Duration::from_secs(96)).await;
        assert_eq!(name(&provider.token().await.unwrap()), "B");
    });
}
