//! Time zones, which are nobody's business here, and copies of a process, whose
//! jitter must not be the same.

use std::{
    process::Output,
    time::{Duration, SystemTime},
};

use bloom_auth::{
    AuthVersion, ClientCredentials, ClientId, ClientSecret, Environment, TokenProvider,
};
use bloom_auth_core::{
    TokenProviderBuilder,
    test_util::{FixedEntropy, ManualClock, Reply, ScriptedTransport},
};
use reqwest::{StatusCode, header::RETRY_AFTER};
use tokio::runtime::Builder;

use super::{Setup, fork::fork, get_a_token, role, said, say};

/// As far as they go, one with summer time, one that does not exist.
const ZONES: [&str; 5] = [
    "UTC",
    "XXX-14",
    "YYY+12",
    "CET-1CEST,M3.5.0,M10.5.0/3",
    ":no/such/zone",
];

/// From the start of a [`ManualClock`] to an hour before Europe's clocks go
/// forward, on 29 March 2026.
const TO_SUMMER: Duration = Duration::from_secs(87 * 86_400);

fn builder(transport: ScriptedTransport) -> (TokenProviderBuilder, ManualClock) {
    let (id, secret) = (ClientId::new("client"), ClientSecret::new("secret"));
    let credentials = ClientCredentials::new(id.unwrap(), secret.unwrap());
    let (environment, clock) = (Environment::sandbox(AuthVersion::V1), ManualClock::new());
    let provider = TokenProvider::builder(environment, credentials, transport);
    (provider.clock(clock.clone()), clock)
}

fn block_on<T>(call: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(call)
}

/// Nanoseconds since 1970.
fn nanos(time: SystemTime) -> u128 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap().as_nanos()
}

#[test]
fn t11_times_are_the_same_in_every_zone() {
    const TEST: &str = "processes::clocks::t11_times_are_the_same_in_every_zone";
    if role().is_some() {
        let busy = Reply::answer(StatusCode::SERVICE_UNAVAILABLE, "");
        let busy = busy.with_header(RETRY_AFTER, "Sun, 29 Mar 2026 01:00:30 GMT");
        let transport = ScriptedTransport::new([Reply::token("first", 7200), busy]);
        let (builder, clock) = builder(transport);
        // Without jitter: a wait has some too.
        let provider = builder.entropy(FixedEntropy::LEAST).build().unwrap();
        clock.advance(TO_SUMMER);
        let token = block_on(provider.token()).unwrap();
        let status = provider.status();
        assert!(status.refresh_at.unwrap() < status.unusable_at.unwrap());
        clock.advance(Duration::from_secs(3600));
        let error = block_on(provider.refresh()).unwrap_err();
        let times = [token.expires_at(), status.unusable_at.unwrap()].map(nanos);
        say("times", &format!("{times:?} {:?}", error.retry_after()));
        say(
            "is-kept",
            &(block_on(provider.token()).unwrap() == token).to_string(),
        );
        return;
    }
    let setup = Setup::new();
    let outputs = ZONES.map(|zone| {
        let mut child = setup.child(TEST, "zone");
        child.env("TZ", zone).output().unwrap()
    });
    let of = |output: &Output| said(output, "times");
    // 2026-03-29T02:00:00Z, 10 s before, and 30 s.
    let expected = "[1774749600000000000, 1774749590000000000] Some(30s)";
    for (zone, output) in ZONES.iter().zip(&outputs) {
        assert_eq!(of(output), expected, "{zone}");
        assert_eq!(said(output, "is-kept"), "true", "{zone}");
    }
}

#[test]
fn t11_processes_in_different_zones_share_a_token() {
    const TEST: &str = "processes::clocks::t11_processes_in_different_zones_share_a_token";
    if role().is_some() {
        return get_a_token();
    }
    let setup = Setup::new();
    let mut tokens = ZONES.map(|zone| {
        let mut child = setup.child(TEST, "get");
        said(&child.env("TZ", zone).output().unwrap(), "token")
    });
    tokens.sort();
    assert_eq!(tokens[0], tokens[ZONES.len() - 1]);
    assert_eq!(setup.token_requests(), 1);
}

#[test]
fn t7_copies_of_a_process_wake_up_with_different_jitter() {
    const TEST: &str = "processes::clocks::t7_copies_of_a_process_wake_up_with_different_jitter";
    if role().is_none() {
        let setup = Setup::new();
        let output = setup.child(TEST, "fork").output().unwrap();
        assert_eq!(said(&output, "well"), "true");
        let [parent, child] = ["parent", "child"].map(|who| said(&output, who));
        assert_ne!(parent, child);
        return;
    }
    let tokens = ["first", "second"].map(|token| Reply::token(token, 3600));
    let transport = ScriptedTransport::new(tokens);
    let (builder, clock) = builder(transport.clone());
    let provider = builder.build().unwrap();
    block_on(provider.token()).unwrap();
    // Both go on from one state, hours later.
    let wake_up = |who: &str| {
        clock.advance_wall(Duration::from_secs(3 * 3600));
        assert_eq!(provider.try_authorization(), None);
        let token = block_on(provider.token()).unwrap();
        assert_eq!((token.expose(), transport.request_count()), ("second", 2));
        let refresh_at = provider.status().refresh_at.unwrap();
        say(who, &nanos(refresh_at).to_string());
        true
    };
    fork(
        |wait| {
            wake_up("parent");
            say("well", &wait().to_string());
        },
        || wake_up("child"),
    );
}
