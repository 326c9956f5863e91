//! Answers without an end: what they cost.
//!
//! Memory is measured in a child process, which is this test binary and does
//! nothing else.

use std::time::Duration;

use bloom_auth_core::{TransportErrorKind, test_util::Turn};
use bloom_auth_reqwest::ReqwestTransport;

use crate::{
    child,
    support::{failure_kind, ok, serve, status},
};

const LIMIT: u64 = 8 * 1024 * 1024;

#[tokio::test]
async fn n16_n17_n19_a_flood_is_not_collected() {
    const NAME: &str = "floods::n16_n17_n19_a_flood_is_not_collected";
    if !child::is_child() {
        return child::run(NAME, vec![]).await;
    }
    let transport = |timeout| {
        let builder = ReqwestTransport::builder().allow_insecure_loopback();
        builder.timeout(timeout).build().unwrap()
    };
    let patient = transport(Duration::from_secs(600));
    let hasty = transport(Duration::from_millis(500));
    let ok_head = "HTTP/1.1 200 OK\r\n";
    let chunk = format!("10000\r\n{}\r\n", "a".repeat(0x10000));
    let chunked = format!("{ok_head}transfer-encoding: chunked\r\n\r\n");
    let interim = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(1000);
    // What is there once is there before.
    assert_eq!(status(&patient, &serve(ok()).await.origin()).await, 200);
    let before = peak_bytes();
    for (case, transport, turn, expected) in [
        (
            "headers",
            &patient,
            Turn::new().send(ok_head).flood("a: b\r\n".repeat(10_000)),
            TransportErrorKind::Interrupted,
        ),
        (
            "a header",
            &patient,
            Turn::new()
                .send(format!("{ok_head}a: "))
                .flood("b".repeat(0x10000)),
            TransportErrorKind::Interrupted,
        ),
        (
            "interim answers",
            &hasty,
            Turn::new().flood(interim),
            TransportErrorKind::Timeout,
        ),
        (
            "a body",
            &patient,
            Turn::new()
                .send(format!("{ok_head}\r\n"))
                .flood("a".repeat(0x10000)),
            TransportErrorKind::BodyTooLarge,
        ),
        (
            "chunks",
            &patient,
            Turn::new().send(chunked).flood(chunk),
            TransportErrorKind::BodyTooLarge,
        ),
    ] {
        let server = serve(turn).await;
        let kind = failure_kind(transport, &server.origin()).await;
        assert_eq!(kind, expected, "{case}");
        server.until(|seen| seen.hangups == 1).await;
        let growth = peak_bytes() - before;
        assert!(growth < LIMIT, "{case}: {growth} bytes more");
    }
}

/// The most memory that this process ever had.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kilobytes = line.unwrap().split_whitespace().nth(1).unwrap();
    kilobytes.parse::<u64>().unwrap() * 1024
}
