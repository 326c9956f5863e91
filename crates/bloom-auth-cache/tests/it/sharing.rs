//! Providers that share a cache, and those that must not.

use std::{sync::Arc, time::Duration};

use bloom_auth_cache::MemoryCache;
use bloom_auth_core::{
    AuthVersion, ClientCredentials, ClientId, ClientSecret, Environment, ErrorKind, TokenProvider,
    TokenProviderBuilder,
    test_util::{Reply, ScriptedTransport},
};
use http::StatusCode;
use tokio::{sync::Barrier, task::JoinSet};

const HOUR: u64 = 3600;

fn provider(
    version: AuthVersion,
    secret: &str,
    transport: &ScriptedTransport,
    cache: &MemoryCache,
) -> TokenProviderBuilder {
    let id = ClientId::new("client").unwrap();
    let credentials = ClientCredentials::new(id, ClientSecret::new(secret).unwrap());
    TokenProvider::builder(
        Environment::sandbox(version),
        credentials,
        transport.clone(),
    )
    .cache(cache.clone())
}

/// A transport that gives this token, and the next ones by the same name with
/// a number.
fn server_of(token: &str) -> ScriptedTransport {
    let token = |n: usize| Reply::token(&format!("{token}-{n}"), HOUR);
    ScriptedTransport::new((1..=3).map(token))
}

/// Lets this many callers of each provider ask at once.
async fn herd(providers: &[TokenProvider], callers: usize) -> Vec<String> {
    let barrier = Arc::new(Barrier::new(providers.len() * callers));
    let mut tasks = JoinSet::new();
    for provider in providers
        .iter()
        .flat_map(|provider| std::iter::repeat_n(provider, callers))
    {
        let (provider, barrier) = (provider.clone(), Arc::clone(&barrier));
        tasks.spawn(async move {
            barrier.wait().await;
            provider.token().await.unwrap().expose().to_owned()
        });
    }
    tasks.join_all().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c1_a_herd_of_two_providers_makes_one_request() {
    // One request is under way for long enough that the other provider has
    // to wait for the lease.
    for delay in [
        Duration::ZERO,
        Duration::from_millis(20),
        Duration::from_millis(200),
    ] {
        let cache = MemoryCache::new();
        let token = |n| Reply::token(&format!("t{n}"), HOUR).after(delay);
        let transport = ScriptedTransport::new((1..=3).map(token));
        let build = || {
            provider(AuthVersion::V1, "secret", &transport, &cache)
                .build()
                .unwrap()
        };
        let providers = [build(), build()];
        let tokens = herd(&providers, 50).await;
        assert!(
            tokens.iter().all(|token| token == "t1"),
            "{delay:?}: {tokens:?}"
        );
        assert_eq!(transport.request_count(), 1, "{delay:?}");
        let counts = providers
            .each_ref()
            .map(|provider| provider.status().counts);
        assert_eq!(
            counts
                .map(|counts| counts.token_requests)
                .iter()
                .sum::<u64>(),
            1
        );
        assert_eq!(
            counts.map(|counts| counts.cache_hits).iter().sum::<u64>(),
            1
        );
        assert_eq!(counts.map(|counts| counts.cache_errors), [0, 0]);
    }
}

#[tokio::test]
async fn without_the_cache_two_providers_make_two_requests() {
    // The control for the test above.
    let transport = server_of("t");
    let build = || provider(AuthVersion::V1, "secret", &transport, &MemoryCache::new());
    let providers = [build().build().unwrap(), build().build().unwrap()];
    herd(&providers, 50).await;
    assert_eq!(transport.request_count(), 2);
}

#[tokio::test]
async fn k6_the_client_id_of_another_tenant_opens_nothing() {
    let cache = MemoryCache::new();
    let good = server_of("t");
    let owner = provider(AuthVersion::V1, "the right secret", &good, &cache)
        .build()
        .unwrap();
    assert_eq!(owner.token().await.unwrap().expose(), "t-1");
    assert_eq!(cache.len(), 1);

    let refusal = Reply::error(StatusCode::UNAUTHORIZED, "invalid_client");
    let refusing = ScriptedTransport::new([refusal]);
    let intruder = provider(AuthVersion::V1, "a guess", &refusing, &cache)
        .build()
        .unwrap();
    let error = intruder.token().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ClientRefused);
    assert_eq!(refusing.request_count(), 1);
    assert!(intruder.try_authorization().is_none());
    assert_eq!(intruder.status().counts.cache_hits, 0);
    assert_eq!(cache.len(), 1);

    // The control: with the right secret, the cache is all it takes.
    let unused = ScriptedTransport::default();
    let same = provider(AuthVersion::V1, "the right secret", &unused, &cache)
        .build()
        .unwrap();
    assert_eq!(same.token().await.unwrap().expose(), "t-1");
    assert_eq!(
        (unused.request_count(), same.status().counts.cache_hits),
        (0, 1)
    );
}

#[tokio::test]
async fn k6_providers_with_different_scopes_do_not_share() {
    let cache = MemoryCache::new();
    let build = |scopes: &str, transport: &ScriptedTransport| {
        let provider = provider(AuthVersion::V2, "secret", transport, &cache);
        provider.scopes(scopes.parse().unwrap()).build().unwrap()
    };
    for (scopes, token) in [
        ("data-access:all", "one"),
        ("furnishment:all", "other"),
        ("data-access:all furnishment:all", "both"),
    ] {
        let transport = server_of(token);
        let found = build(scopes, &transport).token().await.unwrap();
        assert_eq!(found.expose(), format!("{token}-1"));
        assert_eq!(transport.request_count(), 1);
    }
    assert_eq!(cache.len(), 3);
    // The control: the same set of scopes is shared.
    let unused = ScriptedTransport::default();
    let found = build("furnishment:all data-access:all", &unused)
        .token()
        .await
        .unwrap();
    assert_eq!((found.expose(), unused.request_count()), ("both-1", 0));
}

#[tokio::test]
async fn a_rejected_token_is_not_found_by_others() {
    let cache = MemoryCache::new();
    let transport = server_of("t");
    let build = || {
        provider(AuthVersion::V1, "secret", &transport, &cache)
            .build()
            .unwrap()
    };
    let (one, other) = (build(), build());
    let first = one.token().await.unwrap();
    one.reject(&first);
    assert_eq!(one.token().await.unwrap().expose(), "t-2");
    assert_eq!(other.token().await.unwrap().expose(), "t-2");
    assert_eq!(transport.request_count(), 2);
    // A late rejection of the old one takes nothing from anybody.
    other.reject(&first);
    assert_eq!(build().token().await.unwrap().expose(), "t-2");
    assert_eq!(transport.request_count(), 2);
}
