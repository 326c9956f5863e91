//! Token quotas, as each endpoint tells of them.

use std::time::{Duration, SystemTime};

use bloom_auth_emulator::{Emulator, TokenQuota};

use crate::support::{Reply, Request, V1, V2, form_with, token_request};

async fn emulator() -> Emulator {
    Emulator::builder()
        .plain_http()
        .clock_stands_at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000))
        .token_quota(TokenQuota::per_hour(2))
        .token_quota(TokenQuota::per_day(3))
        .start()
        .await
        .unwrap()
}

const HEADERS: [&str; 5] = [
    "auth0-client-quota-limit",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "retry-after",
];

fn headers(reply: &Reply) -> [Option<&str>; 5] {
    HEADERS.map(|name| reply.header(name))
}

#[tokio::test]
async fn v1_tells_as_auth0() {
    let emulator = emulator().await;
    let request = token_request(&emulator, V1);
    let reply = request.send(&emulator).await;
    assert_eq!(reply.status, 200);
    let limits = "b=per_hour;q=2;r=1;t=3600,b=per_day;q=3;r=2;t=86400";
    assert_eq!(
        headers(&reply),
        [Some(limits), Some("2"), Some("1"), Some("4600"), None]
    );
    emulator.advance_clock(Duration::from_millis(59_001));
    assert_eq!(request.send(&emulator).await.status, 200);
    // A refused client takes nothing.
    let wrong = form_with(&emulator, "client_secret", Some("wrong"));
    let reply = Request::post(V1, wrong).send(&emulator).await;
    assert_eq!((reply.status, headers(&reply)), (401, [None; 5]));

    for _ in 0..2 {
        let reply = request.send(&emulator).await;
        assert_eq!(reply.refusal(), (429, "too_many_requests".to_owned()));
        let limits = "b=per_hour;q=2;r=0;t=3541,b=per_day;q=3;r=1;t=86341";
        assert_eq!(
            headers(&reply),
            [
                Some(limits),
                Some("2"),
                Some("0"),
                Some("4600"),
                Some("3541")
            ]
        );
    }
    // As soon as it says, and not before.
    emulator.advance_clock(Duration::from_millis(3_540_998));
    assert_eq!(request.send(&emulator).await.status, 429);
    emulator.advance_clock(Duration::from_millis(1));
    assert_eq!(request.send(&emulator).await.status, 200);
    // Now the day's quota is spent.
    let reply = request.send(&emulator).await;
    assert_eq!(
        (reply.status, reply.header("retry-after")),
        (429, Some("82800"))
    );
    let counts = emulator.counts();
    assert_eq!(
        (counts.tokens_issued, counts.token_requests_refused),
        (3, 5)
    );
}

#[tokio::test]
async fn v2_tells_as_a_gateway() {
    let emulator = emulator().await;
    let request = token_request(&emulator, V2);
    let reply = request.send(&emulator).await;
    assert_eq!(
        headers(&reply),
        [None, Some("2"), Some("1"), Some("3600"), None]
    );
    assert_eq!(request.send(&emulator).await.status, 200);
    let reply = request.send(&emulator).await;
    assert_eq!(reply.status, 429);
    assert_eq!(
        headers(&reply),
        [None, Some("2"), Some("0"), Some("3600"), Some("3600")]
    );
    // A gateway knows no OAuth.
    let error = &reply.json()["error"];
    assert_eq!(error["code"], 429);
    assert!(error["message"].is_string());
    // Both endpoints spend the same quota.
    assert_eq!(
        token_request(&emulator, V1).send(&emulator).await.status,
        429
    );

    emulator.set_token_quotas(&[]);
    let reply = request.send(&emulator).await;
    assert_eq!((reply.status, headers(&reply)), (200, [None; 5]));
    emulator.set_token_quotas(&[TokenQuota::new(1, Duration::from_secs(90))]);
    let reply = token_request(&emulator, V1).send(&emulator).await;
    assert_eq!(headers(&reply)[0], Some("b=per_90_seconds;q=1;r=0;t=90"));
}
