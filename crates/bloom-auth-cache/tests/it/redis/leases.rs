//! The right to fetch on a real server: how long it lasts, who frees it, and
//! what becomes of it when its holder dies.

use std::{
    io::{BufRead as _, BufReader},
    process::Command,
    time::Duration,
};

use bloom_auth_core::{Lease, LeaseGuard, TokenCache};

use super::{
    builder, cache, prefix,
    server::{self, Server, any, until, until_async},
};
use crate::file::support::{access, block_on, child, role, say, this_binary};

const LEASE_MILLIS: i64 = 3000;

fn shared(test: &str) -> Option<&'static Server> {
    any(test).map(server::shared)
}

async fn granted(cache: &dyn TokenCache) -> LeaseGuard {
    match cache.lease(&access()).await.unwrap() {
        Lease::Granted(guard) => guard,
        lease => panic!("{lease:?}"),
    }
}

async fn is_held(cache: &dyn TokenCache) -> bool {
    matches!(cache.lease(&access()).await.unwrap(), Lease::Held)
}

#[tokio::test]
async fn r12_a_lease_whose_holder_is_killed_lapses_within_its_time() {
    const TEST: &str = "redis::leases::r12_a_lease_whose_holder_is_killed_lapses_within_its_time";
    if let Some((url_and_prefix, _)) = role() {
        let (url, prefix) = url_and_prefix.split_once(' ').unwrap();
        let cache = bloom_auth_cache::RedisCache::builder(url).prefix(prefix);
        let cache = cache.build().unwrap();
        let _guard = granted(&cache).await;
        say("ready", "");
        return std::future::pending().await;
    }
    let Some(server) = shared(TEST) else { return };
    let prefix = prefix();
    let cache = builder(server).prefix(&prefix).build().unwrap();
    let role = format!("{} {prefix}", server.url());
    let mut holder = child(Command::new(this_binary()), TEST, &role, server.directory());
    let mut holder = holder.spawn().unwrap();
    let mut lines = BufReader::new(holder.stdout.as_mut().unwrap()).lines();
    while lines.next().unwrap().unwrap() != "child-ready=" {}
    assert!(is_held(&cache).await);
    drop(lines);
    holder.kill().unwrap();
    holder.wait().unwrap();
    let mut client = server.client();
    let key = client.key(&prefix, 'l');
    let left = client.call(&["PTTL", &key]).number();
    assert!((1..=LEASE_MILLIS).contains(&left), "{left}");
    // By itself, and without anybody's help.
    until(|| client.get(&key).is_none());
    drop(granted(&cache).await);
}

#[tokio::test]
async fn r12_a_lease_whose_runtime_has_ended_lapses_within_its_time() {
    let Some(server) = shared("redis::leases::r12_a_lease_whose_runtime_has_ended") else {
        return;
    };
    let prefix = prefix();
    let cache = builder(server).prefix(&prefix).build().unwrap();
    let holder = cache.clone();
    let guard = std::thread::spawn(move || block_on(async { granted(&holder).await }));
    let guard = guard.join().unwrap();
    let mut client = server.client();
    let key = client.key(&prefix, 'l');
    let left = client.call(&["PTTL", &key]).number();
    assert!((1..=LEASE_MILLIS).contains(&left), "{left}");
    until_async(async || !is_held(&cache).await).await;
    drop(guard);
}

#[tokio::test]
async fn r13_a_lease_is_extended_while_it_is_held() {
    let Some(server) = shared("redis::leases::r13_a_lease_is_extended_while_it_is_held") else {
        return;
    };
    let prefix = prefix();
    let cache = builder(server).prefix(&prefix).build().unwrap();
    let guard = granted(&cache).await;
    let mut client = server.client();
    let key = client.key(&prefix, 'l');
    let owner = client.get(&key).unwrap();
    // It has less time left, and then more; three times.
    for _ in 0..3 {
        let mut before = i64::MAX;
        until_async(async || {
            let left = client.call(&["PTTL", &key]).number();
            std::mem::replace(&mut before, left) < left
        })
        .await;
    }
    assert_eq!(client.get(&key), Some(owner));
    assert!(is_held(&cache).await);
    drop(guard);
    until_async(async || !is_held(&cache).await).await;
}

#[tokio::test]
async fn r13_nobody_frees_or_extends_the_lease_of_another() {
    // A server of its own, whose commands are counted.
    let Some(kind) = any("redis::leases::r13_nobody_frees_or_extends_the_lease_of_another") else {
        return;
    };
    let server = Server::start(kind, &[]);
    let cache = cache(&server);
    let mut client = server.client();
    let mut lose = async |is_extended: bool| {
        let guard = granted(&cache).await;
        let mut prefixed = client.keys("test-*");
        let key = prefixed.pop().unwrap();
        // It ends while its holder still works, and another takes over.
        client.call(&["SET", &*key, "another", "PX", "60000"]);
        let scripts = client.calls("eval");
        if !is_extended {
            drop(guard);
            until_async(async || client.calls("eval") > scripts).await;
        } else {
            until_async(async || client.calls("eval") > scripts).await;
            drop(guard);
        }
        assert_eq!(client.get(&key).as_deref(), Some(&b"another"[..]));
        let left = client.call(&["PTTL", &key]).number();
        assert!(left > LEASE_MILLIS, "{left}");
        assert!(is_held(&cache).await);
        client.call(&["DEL", &key]);
    };
    lose(false).await;
    lose(true).await;
    // Gone altogether, and taken by one of ours.
    let late = granted(&cache).await;
    client.call(&["FLUSHALL"]);
    let guard = granted(&cache).await;
    let scripts = client.calls("eval");
    drop(late);
    until_async(async || client.calls("eval") > scripts).await;
    assert!(is_held(&cache).await);
    drop(guard);
    until_async(async || !is_held(&cache).await).await;
}

#[tokio::test]
async fn owners_are_random_and_say_nothing() {
    let Some(server) = shared("redis::leases::owners_are_random_and_say_nothing") else {
        return;
    };
    let mut owners = std::collections::BTreeSet::new();
    for _ in 0..10 {
        let prefix = prefix();
        let cache = builder(server).prefix(&prefix).build().unwrap();
        let _guard = granted(&cache).await;
        let mut client = server.client();
        let key = client.key(&prefix, 'l');
        let owner = String::from_utf8(client.get(&key).unwrap()).unwrap();
        assert!(owner.len() == 32 && owner.bytes().all(|byte| byte.is_ascii_hexdigit()));
        owners.insert(owner);
    }
    assert_eq!(owners.len(), 10);
}

#[tokio::test]
async fn a_lease_that_nobody_received_is_free_at_once() {
    // A server of its own, whose commands are counted.
    let Some(kind) = any("redis::leases::a_lease_that_nobody_received_is_free_at_once") else {
        return;
    };
    let server = Server::start(kind, &[]);
    let cache = cache(&server);
    let mut client = server.client();
    let access = access();
    drop(cache.load(&access).await.unwrap());
    // The server answers when the call has been dropped.
    client.call(&["CLIENT", "PAUSE", "60000", "WRITE"]);
    let call = tokio::time::timeout(Duration::from_millis(20), cache.lease(&access));
    assert!(call.await.is_err());
    client.call(&["CLIENT", "UNPAUSE"]);
    // The first script is the one that frees it, long before it would lapse.
    until_async(async || client.calls("eval") == 1).await;
    assert_eq!(client.keys("test-*"), [""; 0]);
    assert_eq!(client.calls("set"), 1);
}
