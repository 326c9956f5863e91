//! Clients that stall, and how long they are borne with.
//!
//! Each test pauses the clock once its client has stalled: from then on time
//! passes only while nothing else can happen, and at no cost.

use std::time::Duration;

use bloom_auth_emulator::Emulator;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, pause, resume},
};

use crate::support::{Request, V1, V2, eventually, plain, token_request};

async fn connected(emulator: &Emulator) -> TcpStream {
    let before = emulator.counts().connections;
    let stream = TcpStream::connect(emulator.address()).await.unwrap();
    eventually("the connection is accepted", || {
        emulator.counts().connections > before
    })
    .await;
    stream
}

/// What comes until the emulator closes, which it does after so many seconds.
async fn closed_after(seconds: u64, since: Instant, mut stream: TcpStream) -> String {
    pause();
    let mut received = String::new();
    stream.read_to_string(&mut received).await.unwrap();
    let waited = since.elapsed();
    resume();
    // Not a moment less; more by what a busy machine took before the pause.
    let expected = Duration::from_secs(seconds);
    assert!((expected..expected * 2).contains(&waited), "{waited:?}");
    received
}

#[tokio::test]
async fn a_tls_handshake_may_take_ten_seconds() {
    let emulator = Emulator::start().await.unwrap();
    let start = Instant::now();
    let stream = connected(&emulator).await;
    assert_eq!(closed_after(10, start, stream).await, "");
}

#[tokio::test]
async fn the_head_of_a_request_may_take_thirty_seconds() {
    let emulator = plain().await;
    for head in ["", "POST /oauth/token HTTP/1.1\r\nHost: "] {
        let start = Instant::now();
        let mut stream = connected(&emulator).await;
        stream.write_all(head.as_bytes()).await.unwrap();
        let received = closed_after(30, start, stream).await;
        assert!(!received.starts_with("HTTP/1.1 2"), "{head}: {received}");
    }
    assert_eq!(emulator.counts().token_requests, 0);
}

#[tokio::test]
async fn the_body_of_a_request_may_take_ten_seconds() {
    let emulator = plain().await;
    for (number, path) in [(1, V1), (2, V2)] {
        let bytes = token_request(&emulator, path).bytes(&emulator);
        let start = Instant::now();
        let mut stream = connected(&emulator).await;
        stream.write_all(&bytes[..bytes.len() - 1]).await.unwrap();
        eventually("the head has arrived", || {
            emulator.counts().token_requests == number
        })
        .await;
        let received = closed_after(10, start, stream).await;
        assert!(received.starts_with("HTTP/1.1 408 "), "{received}");
        assert!(
            received.contains("\"error\":\"invalid_request\""),
            "{received}"
        );
    }
    assert_eq!(emulator.counts().token_requests_refused, 2);
}

#[tokio::test]
async fn who_hangs_up_in_a_body_gets_no_token() {
    let emulator = plain().await;
    let bytes = Request::post(V1, "grant_type=x").bytes(&emulator);
    let mut stream = connected(&emulator).await;
    stream.write_all(&bytes[..bytes.len() - 1]).await.unwrap();
    drop(stream);
    eventually("the request is refused", || {
        emulator.counts().token_requests_refused == 1
    })
    .await;
    assert_eq!(emulator.counts().tokens_issued, 0);
}

#[tokio::test]
async fn a_shutdown_waits_five_seconds_for_requests() {
    let emulator = plain().await;
    emulator.set_latency(Duration::from_secs(3600));
    let mut stream = connected(&emulator).await;
    let bytes = token_request(&emulator, V1).bytes(&emulator);
    stream.write_all(&bytes).await.unwrap();
    eventually("the request is under way", || {
        emulator.counts().tokens_issued == 1
    })
    .await;
    pause();
    let start = Instant::now();
    emulator.shutdown().await;
    assert_eq!(start.elapsed().as_secs(), 5);
    assert!(matches!(stream.read(&mut [0; 1]).await, Ok(0) | Err(_)));
}

#[tokio::test]
async fn the_latency_holds_back_refusals_too() {
    let emulator = plain().await;
    emulator.set_latency(Duration::from_secs(7));
    for (number, body) in [(1, "refused"), (2, "refused as well")] {
        let bytes = Request::post(V2, body).bytes(&emulator);
        let start = Instant::now();
        let mut stream = connected(&emulator).await;
        stream.write_all(&bytes).await.unwrap();
        let received = closed_after(7, start, stream).await;
        assert!(received.starts_with("HTTP/1.1 401 "), "{received}");
        assert_eq!(emulator.counts().token_requests_refused, number);
    }
}
