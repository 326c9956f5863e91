//! Two hours of errors, with a caller every second.

use std::time::Duration;

use bloom_auth_core::{
    ErrorKind,
    test_util::{Reply, ScriptedTransport},
};
use http::StatusCode;
use tokio::time::sleep;

use crate::support::{Draw, builder, credentials, name, paused, ready, settle, token_reply};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: u64 = 3600;

/// The token is due an hour before it expires, and served until 10 s before.
const LIFETIME: u64 = 5 * HOUR;
const SERVED: u64 = HOUR - 10;

/// The requests of a first hour of errors: three for the first fetch, and one
/// for each of those that follow, up to `share` minutes after one another.
fn requests_within(seconds: u64, share: f64) -> usize {
    let (mut requests, mut pause, mut at) = (3, 2.0, 0.0);
    loop {
        at += pause * share;
        if at > seconds as f64 {
            return requests;
        }
        requests += 1;
        pause = f64::min(2.0 * pause, 60.0);
    }
}

#[test]
fn n25_an_outage_is_not_noticed_until_the_token_expires_and_then_costs_little() {
    // The longest backoff and the shortest.
    for (draw, share) in [(0, 1.0), (u64::MAX, 0.5)] {
        let server_error = Reply::answer(StatusCode::SERVICE_UNAVAILABLE, "");
        let transport = ScriptedTransport::new([token_reply("A", LIFETIME), server_error]);
        let jitter = Draw::default();
        let provider = builder(credentials(), transport.clone())
            .margin(Duration::from_secs(HOUR))
            .entropy(jitter.clone())
            .build()
            .unwrap();
        paused().block_on(async {
            assert_eq!(name(&provider.token().await.unwrap()), "A");
            jitter.set(draw);
            sleep(Duration::from_secs(LIFETIME - HOUR)).await;

            for second in 0..SERVED {
                let token = ready(provider.token()).expect("nobody waits while there is a token");
                assert_eq!(name(&token.unwrap()), "A", "after {second} s");
                settle().await;
                sleep(SECOND).await;
            }
            let before = transport.request_count() - 1;
            // And a last one before the token goes; with the most jitter, so
            // late that nobody calls any more.
            let last = usize::from(draw == 0);
            assert_eq!(before, requests_within(SERVED, share) + last, "requests");

            assert!(provider.try_authorization().is_none());
            for second in 0..HOUR {
                let error = provider.token().await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Server, "after {second} s");
                assert!(error.retry_after().unwrap() <= Duration::from_secs(60));
                sleep(SECOND).await;
            }
            let after = transport.request_count() - 1 - before;
            let pause = (60.0 * share) as usize;
            assert_eq!(after, HOUR as usize / pause, "requests");

            // Nothing needs to be built anew: the first request that is
            // answered is enough.
            transport.push(token_reply("B", LIFETIME));
            let mut failures = 0;
            while provider.token().await.is_err() {
                sleep(SECOND).await;
                failures += 1;
            }
            assert!(failures <= 2 * pause, "{failures} s");
            assert_eq!(name(&provider.token().await.unwrap()), "B");
            assert_eq!(transport.request_count() - 1 - before - after, 2);
        });
    }
}
