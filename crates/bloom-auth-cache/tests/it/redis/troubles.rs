//! Real servers that stand still, die, lose everything, are full, read only or
//! closed to us, and TLS.

use std::{fs, sync::Arc, time::Duration};

use bloom_auth_cache::{RedisCache, RedisCacheBuilder};
use bloom_auth_core::{
    ClientCredentials, ClientId, ClientSecret, Environment, Lease, TokenCache as _, TokenProvider,
    test_util::{Reply, ScriptedTransport},
};
use tokio::{sync::Barrier, task::JoinSet};

use super::{
    builder, cache,
    server::{Kind, Server, any, free_port, kinds, until_async},
};
use crate::file::support::{SECRET, access, record};

async fn is_kept(cache: &RedisCache, token: &str) -> bool {
    matches!(
        cache.load(&access()).await,
        Ok(Some(record)) if record.token().expose() == token
    )
}

async fn store_error(cache: &RedisCache) -> String {
    let error = cache.store(&access(), &record("t", 0)).await.unwrap_err();
    error.to_string()
}

/// Stores until that goes well, and finds it.
async fn heals(cache: &RedisCache) {
    until_async(async || cache.store(&access(), &record("healed", 0)).await.is_ok()).await;
    assert!(is_kept(cache, "healed").await);
}

#[tokio::test]
async fn r17_a_server_that_stands_still_is_left_alone_and_used_again() {
    for kind in kinds("redis::troubles::r17_a_server_that_stands_still") {
        let server = Server::start(kind, &[]);
        let cache = builder(&server).timeout(Duration::from_millis(300));
        let cache = cache.build().unwrap();
        heals(&cache).await;
        server.stop();
        let error = cache.load(&access()).await.unwrap_err().to_string();
        assert!(error.contains("no answer in time"), "{error}");
        // Nor does anything else work, and it fails in its time.
        cache.store(&access(), &record("t", 0)).await.unwrap_err();
        cache.lease(&access()).await.unwrap_err();
        server.go_on();
        heals(&cache).await;
    }
}

#[tokio::test]
async fn r1_a_server_that_is_killed_and_started_again_is_used_again() {
    for kind in kinds("redis::troubles::r1_a_server_that_is_killed_and_started_again") {
        let mut server = Server::start(kind, &[]);
        let cache = cache(&server);
        for _ in 0..3 {
            heals(&cache).await;
            let lease = cache.lease(&access()).await.unwrap();
            assert!(matches!(lease, Lease::Granted(_)));
            server.kill();
            cache.load(&access()).await.unwrap_err();
            server.begin();
            // It has forgotten all, the lease too.
            until_async(async || {
                cache
                    .load(&access())
                    .await
                    .is_ok_and(|found| found.is_none())
            })
            .await;
            drop(lease);
            until_async(async || {
                matches!(cache.lease(&access()).await.unwrap(), Lease::Granted(_))
            })
            .await;
        }
    }
}

#[tokio::test]
async fn r5_a_server_that_is_full_read_only_or_closed_to_us_says_so() {
    for kind in kinds("redis::troubles::r5_a_server_that_is_full_read_only_or_closed_to_us") {
        let server = Server::start(kind, &[]);
        let cache = cache(&server);
        let mut client = server.client();
        heals(&cache).await;

        client.call(&["CONFIG", "SET", "maxmemory", "1"]);
        assert!(store_error(&cache).await.contains("OOM"));
        assert!(cache.lease(&access()).await.is_err());
        // What is there is read all the same.
        assert!(is_kept(&cache, "healed").await);
        client.call(&["CONFIG", "SET", "maxmemory", "0"]);
        heals(&cache).await;

        // The replica of nobody.
        let port = free_port().to_string();
        client.call(&["REPLICAOF", "127.0.0.1", &port]);
        let error = store_error(&cache).await;
        assert!(error.contains("READONLY"), "{error}");
        client.call(&["REPLICAOF", "NO", "ONE"]);
        heals(&cache).await;

        client.call(&["ACL", "SETUSER", "default", "-eval"]);
        assert!(store_error(&cache).await.contains("NOPERM"));
        client.call(&[
            "ACL",
            "SETUSER",
            "default",
            "+eval",
            "resetkeys",
            "~other:*",
        ]);
        let error = cache.load(&access()).await.unwrap_err().to_string();
        assert!(error.contains("NOPERM"), "{error}");
        client.call(&["ACL", "SETUSER", "default", "allkeys"]);
        heals(&cache).await;
    }
}

#[tokio::test]
async fn r5_a_server_that_wants_a_password_gets_the_one_of_the_url() {
    for kind in kinds("redis::troubles::r5_a_server_that_wants_a_password") {
        let server = Server::start(kind, &["--requirepass", "p@ss word/1"]);
        let url = server.url();
        let at = |query: &str| RedisCache::builder(format!("{url}?{query}"));
        let build = |cache: RedisCacheBuilder| cache.timeout(Duration::from_secs(10)).build();
        let error = async |query: &str| {
            let cache = build(at(query)).unwrap();
            let text = cache.load(&access()).await.unwrap_err().to_string();
            assert!(!text.contains("canary"), "{text}");
            text
        };
        assert!(error("").await.contains("NOAUTH"));
        assert!(error("pass=canary").await.contains("WRONGPASS"));
        assert!(error("user=canary&pass=canary").await.contains("WRONGPASS"));
        let cache = build(at("pass=p%40ss%20word/1&db=3")).unwrap();
        heals(&cache).await;
        // In the database of the URL, and in no other.
        let other = build(at("pass=p%40ss%20word/1")).unwrap();
        assert!(other.load(&access()).await.unwrap().is_none());
        let error = error("pass=p%40ss%20word/1&db=999").await;
        assert!(error.contains("(ERR)"), "{error}");
    }
}

#[tokio::test]
async fn the_user_of_the_documentation_may_do_all_that_is_needed() {
    for kind in kinds("redis::troubles::the_user_of_the_documentation") {
        let server = Server::start(kind, &["--requirepass", "admin"]);
        // As an operator does, with a client that has logged in.
        let mut client = server.client();
        client.call(&["AUTH", "admin"]);
        let rule = "on >secret resetkeys ~bloom-auth:* -@all +get +getrange +set +del +pexpire \
                    +eval +select";
        let mut command = vec!["ACL", "SETUSER", "bloom"];
        command.extend(rule.split(' '));
        client.call(&command);
        let url = format!("{}?user=bloom&pass=secret&db=1", server.url());
        let cache = RedisCache::builder(url).timeout(Duration::from_secs(10));
        let cache = cache.build().unwrap();
        heals(&cache).await;
        let guard = cache.lease(&access()).await.unwrap();
        assert!(matches!(guard, Lease::Granted(_)));
        drop(guard);
        until_async(async || matches!(cache.lease(&access()).await.unwrap(), Lease::Granted(_)))
            .await;
        let hash = record("healed", 0).token().hash();
        cache.remove(&access(), &hash).await.unwrap();
        assert!(cache.load(&access()).await.unwrap().is_none());
        assert!(cache.load_refusal(&access()).await.unwrap().is_none());
    }
}

/// Providers with memories of their own, each of which has a cache of its own.
fn fleet(server: &Server, transport: &ScriptedTransport, prefix: &str) -> Vec<TokenProvider> {
    let provider = |_| {
        let (id, secret) = (ClientId::new("client"), ClientSecret::new(SECRET));
        let credentials = ClientCredentials::new(id.unwrap(), secret.unwrap());
        let environment = Environment::sandbox(bloom_auth_core::AuthVersion::V1);
        let cache = builder(server).prefix(prefix).build().unwrap();
        TokenProvider::builder(environment, credentials, transport.clone())
            .cache(cache)
            .build()
            .unwrap()
    };
    (0..16).map(provider).collect()
}

/// All ask at once, and get what they get.
async fn ask(providers: Vec<TokenProvider>) -> Vec<String> {
    let barrier = Arc::new(Barrier::new(providers.len()));
    let mut tasks = JoinSet::new();
    for provider in providers {
        let barrier = Arc::clone(&barrier);
        tasks.spawn(async move {
            barrier.wait().await;
            provider.token().await.unwrap().expose().to_owned()
        });
    }
    tasks.join_all().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r11_a_fleet_whose_cache_was_flushed_makes_one_request() {
    let Some(kind) = any("redis::troubles::r11_a_fleet_whose_cache_was_flushed") else {
        return;
    };
    let server = Server::start(kind, &[]);
    let tokens = (1..=9).map(|n| Reply::token(&format!("t{n}"), 3600));
    let transport =
        ScriptedTransport::new(tokens.map(|reply| reply.after(Duration::from_millis(50))));
    for round in 1..=5 {
        let tokens = ask(fleet(&server, &transport, "a")).await;
        assert!(
            tokens.iter().all(|token| *token == format!("t{round}")),
            "{tokens:?}"
        );
        assert_eq!(transport.request_count(), round);
        server.client().call(&["FLUSHALL"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r11_a_fleet_that_loses_the_lease_too_makes_a_request_more_for_each_loss() {
    let Some(kind) = any("redis::troubles::r11_a_fleet_that_loses_the_lease_too") else {
        return;
    };
    let server = Server::start(kind, &[]);
    let slow = Reply::token("t", 3600).after(Duration::from_secs(1));
    let transport = ScriptedTransport::new([slow]);
    let asked = ask(fleet(&server, &transport, "a"));
    let mut fleet = JoinSet::new();
    fleet.spawn(asked);
    for losses in 1..=2 {
        // Somebody has the lease, and fetches.
        until_async(async || transport.request_count() == losses).await;
        server.client().call(&["FLUSHALL"]);
    }
    let tokens = fleet.join_all().await.concat();
    assert!(tokens.iter().all(|token| token == "t"));
    let requests = transport.request_count();
    assert!((2..=3).contains(&requests), "{requests}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r16_stores_that_pile_up_end_and_the_newest_wins() {
    for kind in kinds("redis::troubles::r16_stores_that_pile_up") {
        let server = Server::start(kind, &[]);
        let cache = cache(&server);
        heals(&cache).await;
        // All of them wait for it, whichever comes first.
        server.client().call(&["CLIENT", "PAUSE", "300", "ALL"]);
        let mut tasks = JoinSet::new();
        for n in 0..200_u64 {
            let cache = cache.clone();
            // The newest is in the middle, and newer than what is there.
            let ahead = 100 - n.abs_diff(77).min(100);
            tasks.spawn(async move {
                let now = record("now", 0).sent_at() + Duration::from_secs(ahead);
                let lifetime = Duration::from_secs(3600);
                let token = format!("t{n}");
                let record = bloom_auth_core::CacheRecord::new(&token, None, now, lifetime);
                cache.store(&access(), &record.unwrap()).await
            });
        }
        for result in tasks.join_all().await {
            result.unwrap();
        }
        assert!(is_kept(&cache, "t77").await);
    }
}

/// A certificate authority, and a certificate for these names.
fn certificate(names: &[&str]) -> (String, String, String) {
    let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let ca = params.self_signed(&ca_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(params, ca_key);
    let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(names).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap().pem();
    (ca, leaf, key.serialize_pem())
}

#[tokio::test]
async fn r18_tls_is_for_servers_that_prove_who_they_are() {
    // Valkey's wheel is built without TLS.
    if any("redis::troubles::r18_tls") != Some(Kind::Redis) {
        return bloom_auth_core::test_util::skip("redis::troubles::r18_tls", "needs redis-server");
    }
    let directory = tempfile::tempdir().unwrap();
    let (ca, leaf, key) = certificate(&["localhost"]);
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    for (name, pem) in [("ca", &ca), ("leaf", &leaf), ("key", &key)] {
        fs::write(path(name), pem).unwrap();
    }
    let port = free_port().to_string();
    let (ca_file, leaf_file, key_file) = (path("ca"), path("leaf"), path("key"));
    let settings = [
        ["--tls-port", &*port],
        ["--tls-cert-file", &*leaf_file],
        ["--tls-key-file", &*key_file],
        ["--tls-ca-cert-file", &*ca_file],
        ["--tls-auth-clients", "no"],
        ["--bind", "127.0.0.1"],
        ["--requirepass", "secret"],
    ];
    let _server = Server::start(Kind::Redis, &settings.concat());
    let at = |scheme: &str, host: &str| {
        let cache = RedisCache::builder(format!("{scheme}://:secret@{host}:{port}"));
        cache.timeout(Duration::from_secs(10))
    };
    let good = at("rediss", "localhost").root_certificate(&*ca);
    heals(&good.build().unwrap()).await;
    // Whatever provider of cryptography the program has for itself.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .unwrap();
    let good = at("rediss", "localhost").root_certificate(&*ca);
    heals(&good.build().unwrap()).await;

    let (other_ca, ..) = certificate(&["localhost"]);
    for (cache, problem) in [
        (at("rediss", "localhost"), "TLS failed"),
        (
            at("rediss", "localhost").root_certificate(other_ca),
            "TLS failed",
        ),
        (
            at("rediss", "127.0.0.1").root_certificate(&*ca),
            "TLS failed",
        ),
        (at("redis", "localhost"), "not reached"),
    ] {
        let cache = cache.build().unwrap();
        let error = cache.load(&access()).await.unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
        // Nor at the second attempt.
        cache.load(&access()).await.unwrap_err();
    }
}
