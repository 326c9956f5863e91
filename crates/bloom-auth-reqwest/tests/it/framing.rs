//! What becomes of a fetch whose answers break, end early, or hold more than
//! they should: the engine over real connections.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bloom_auth_core::{
    ErrorKind, Lease,
    test_util::{MockTokenCache, ScriptedServer, Turn},
};

use crate::support::{builder, empty, provider, token, token_body as body};

/// A cache that counts what it is told to keep. (A mock's own count would be a
/// panic, and the engine catches those of caches.)
fn cache() -> (MockTokenCache, Arc<AtomicUsize>) {
    let stores = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&stores);
    let mut cache = MockTokenCache::new();
    cache.expect_load().returning(|_| Ok(None));
    cache.expect_lease().returning(|_| Ok(Lease::NotNeeded));
    cache.expect_store().returning(move |_, _| {
        counter.fetch_add(1, Ordering::SeqCst);
        Ok(())
    });
    (cache, stores)
}

/// Requests, and connections, of which each carries one.
fn assert_exchanges(server: &ScriptedServer, n: usize, case: &str) {
    let seen = server.seen();
    assert_eq!((seen.requests.len(), seen.connections), (n, n), "{case}");
}

/// Each time the client must fail with this kind, after so many requests, and
/// nothing of the answer may be kept, though a token could be read from it.
async fn assert_nothing_is_kept(answers: &[(&str, String)], kind: ErrorKind, requests: usize) {
    for (case, answer) in answers {
        let server = ScriptedServer::start([Turn::new().send(answer.clone())]).await;
        let server = server.unwrap();
        let (cache, stores) = cache();
        let provider = builder(&server).cache(cache).build().unwrap();
        let error = provider.token().await.unwrap_err();
        assert_eq!(error.kind(), kind, "{case}: {error:?}");
        assert!(provider.try_authorization().is_none(), "{case}");
        assert_eq!(stores.load(Ordering::SeqCst), 0, "{case}: stored");
        assert_exchanges(&server, requests, case);
    }
}

/// `assert_nothing_is_kept` could not fail if nothing were ever kept.
#[tokio::test]
async fn a_whole_answer_is_kept() {
    let server = ScriptedServer::start([Turn::new().send(token("A"))])
        .await
        .unwrap();
    let (cache, stores) = cache();
    let provider = builder(&server).cache(cache).build().unwrap();
    assert_eq!(provider.token().await.unwrap().expose(), "A");
    assert_eq!(stores.load(Ordering::SeqCst), 1, "stored");
    assert_exchanges(&server, 1, "a whole answer");
}

#[tokio::test]
async fn n10_n11_n13_nothing_of_half_an_answer_is_kept() {
    let (body, len) = (body("canary"), body("canary").len());
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let answers = [
        (
            "half a head",
            format!("HTTP/1.1 200 OK\r\ncontent-length: {len}\r\n"),
        ),
        (
            "a body without its last byte",
            format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
                len + 1
            ),
        ),
        ("no last chunk", format!("{chunked}{len:x}\r\n{body}\r\n")),
        ("half a chunk", format!("{chunked}{:x}\r\n{body}", len + 1)),
    ];
    assert_nothing_is_kept(&answers, ErrorKind::Interrupted, 3).await;
}

#[tokio::test]
async fn n14_n15_nothing_of_an_answer_without_a_clear_length_is_kept() {
    let (body, len) = (body("canary"), body("canary").len());
    let ok = "HTTP/1.1 200 OK\r\n";
    let chunked = format!("{ok}transfer-encoding: chunked\r\n");
    let chunks = format!("{len:x}\r\n{body}\r\n0\r\n\r\n");
    let broken = [
        (
            "no size",
            format!("{chunked}\r\nsize\r\n{body}\r\n0\r\n\r\n"),
        ),
        (
            "2^64 and more",
            format!("{chunked}\r\n1{len:016x}\r\n{body}\r\n0\r\n\r\n"),
        ),
        (
            "two lengths",
            format!("{ok}content-length: {len}\r\ncontent-length: 9\r\n\r\n{body}"),
        ),
    ];
    assert_nothing_is_kept(&broken, ErrorKind::Interrupted, 3).await;
    // The HTTP client would take these.
    let both = [
        (
            "chunks and a length",
            format!("{chunked}content-length: {len}\r\n\r\n{chunks}"),
        ),
        (
            "a length and chunks",
            format!("{ok}content-length: 9\r\n{}", &chunked[ok.len()..]) + "\r\n" + &chunks,
        ),
    ];
    assert_nothing_is_kept(&both, ErrorKind::Response, 1).await;
}

/// A second answer behind the first is not that of the next request, nor part
/// of the first.
#[tokio::test]
async fn n12_what_follows_an_answer_is_nobodys() {
    let script = [
        Turn::new().send(token("A") + &token("canary")).keep_open(),
        Turn::new().send(token("B") + "garbage").keep_open(),
        Turn::new().send(token("C")),
    ];
    let server = ScriptedServer::start(script).await.unwrap();
    let provider = provider(&server);
    for expected in ["A", "B", "C"] {
        assert_eq!(provider.refresh().await.unwrap().expose(), expected);
    }
    assert_exchanges(&server, 3, "answers with something behind them");
}

#[tokio::test]
async fn n8_a_reset_is_made_good_by_the_next_attempt() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{";
    for (case, reset) in [
        ("after the request", Turn::new().reset()),
        ("within the answer", Turn::new().send(half).reset()),
    ] {
        let script = [reset, Turn::new().send(token("A"))];
        let server = ScriptedServer::start(script).await.unwrap();
        let provider = provider(&server);
        assert_eq!(provider.token().await.unwrap().expose(), "A", "{case}");
        assert_exchanges(&server, 2, case);
    }
}

/// A server may close a connection at the moment at which the next request is
/// sent on it: no request is.
#[tokio::test]
async fn n9_a_connection_carries_one_request() {
    let script = [
        Turn::new().send(token("A")).keep_open(),
        empty("503 Reason").keep_open(),
        Turn::new().send(token("B")).keep_open(),
        Turn::new().send(token("C")).keep_open(),
    ];
    let server = ScriptedServer::start(script).await.unwrap();
    let provider = provider(&server);
    for expected in ["A", "B", "C"] {
        assert_eq!(provider.refresh().await.unwrap().expose(), expected);
    }
    assert_exchanges(&server, 4, "a server that keeps connections open");
    // Closed by the client each, while the server would go on.
    server.until(|seen| seen.hangups == 4).await;
}

#[tokio::test]
async fn n29_a_misdirected_request_is_sent_again_on_a_new_connection() {
    for code in ["408 Reason", "421 Reason", "425 Reason"] {
        let script = [empty(code).keep_open(), Turn::new().send(token("A"))];
        let server = ScriptedServer::start(script).await.unwrap();
        let provider = provider(&server);
        assert_eq!(provider.token().await.unwrap().expose(), "A", "{code}");
        assert_exchanges(&server, 2, code);
    }
}
