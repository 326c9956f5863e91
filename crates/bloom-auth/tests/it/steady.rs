//! A service under steady use while its tokens expire, over real HTTP and
//! real time.

use std::{
    collections::HashSet,
    time::{Duration, Instant, SystemTime},
};

use bloom_auth::{BloomAuth, ClientId, ClientSecret, Environment};
use bloom_auth_emulator::Emulator;

const RUN: Duration = Duration::from_secs(40);
const LIFETIME: Duration = Duration::from_secs(2);
const CALLERS: usize = 4;

/// What one caller saw.
#[derive(Default)]
struct Seen {
    tokens: HashSet<String>,
    calls: u64,
    /// Calls that were under way for longer than their token had left when it
    /// was handed out. No client can prevent that on a machine that stalls.
    outlived: u64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "real time is the point")]
async fn a14_p20_no_call_carries_an_expired_token_and_no_request_is_needless() {
    let emulator = Emulator::builder()
        .plain_http()
        .token_lifetime(LIFETIME)
        .start()
        .await
        .unwrap();
    let environment = Environment::custom(emulator.v1_token_url(), emulator.api_url())
        .audience(emulator.audience())
        .allow_insecure_loopback()
        .build()
        .unwrap();
    let auth = BloomAuth::builder()
        .environment(environment)
        .client(
            ClientId::new(emulator.client_id()).unwrap(),
            ClientSecret::new(emulator.client_secret()).unwrap(),
        )
        .build()
        .unwrap();
    let url = format!("{}/v2/core/organization", emulator.origin());

    let started = Instant::now();
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..CALLERS {
        callers.spawn(caller(auth.clone(), url.clone(), started));
    }
    let seen = callers.join_all().await;
    while auth.status().is_fetching {
        tokio::task::yield_now().await;
    }
    let elapsed = started.elapsed();

    let counts = emulator.counts();
    let calls: u64 = seen.iter().map(|seen| seen.calls).sum();
    let outlived: u64 = seen.iter().map(|seen| seen.outlived).sum();
    let tokens: HashSet<_> = seen.iter().flat_map(|seen| &seen.tokens).collect();
    println!(
        "{calls} calls, {} tokens, {outlived} outlived, {counts:?}",
        tokens.len()
    );

    assert_eq!(counts.api_expired, outlived);
    assert_eq!(counts.api_unauthorized, outlived);
    assert_eq!(counts.api_authorized, calls - outlived);
    assert_eq!(counts.token_requests, counts.tokens_issued);
    // One request a token, each token used; the last may have come too late.
    let unused = counts.tokens_issued - tokens.len() as u64;
    assert!(unused <= 1, "{unused} tokens were fetched and not used");
    // At least six tenths of a lifetime pass between two requests.
    let at_most = elapsed.as_secs_f64() / (0.6 * LIFETIME.as_secs_f64()) + 1.0;
    assert!(
        counts.token_requests as f64 <= at_most,
        "{counts:?} in {elapsed:?}"
    );
    assert_eq!(auth.status().counts.token_requests, counts.token_requests);
    assert_eq!(auth.status().counts.failures, 0);
}

#[expect(clippy::disallowed_methods, reason = "real time is the point")]
async fn caller(auth: BloomAuth, url: String, started: Instant) -> Seen {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut seen = Seen::default();
    while started.elapsed() < RUN {
        let token = auth.token().await.unwrap();
        let attached = Instant::now();
        let left = token.expires_at().duration_since(SystemTime::now());
        let left = left.expect("a token is never handed out after its expiry");
        seen.tokens.insert(token.fingerprint().to_string());
        let request = client
            .get(&url)
            .header("authorization", token.authorization());
        let status = request.send().await.unwrap().status();
        seen.calls += 1;
        if !status.is_success() {
            let under_way = attached.elapsed();
            assert!(
                under_way >= left,
                "{status} after {under_way:?}, {left:?} were left"
            );
            seen.outlived += 1;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    seen
}
