//! What becomes of connections: one exchange each, and none left behind.

use std::sync::Arc;

use tokio::sync::Notify;

use super::{PATH, answer_of, request_to, serve, wire};
use crate::{
    test_util::{ScriptedServer, Seen, Turn},
    transport::Transport,
};

/// Whoever drops the future closes the connection: before an answer, within
/// its head, and within its body.
pub async fn a_dropped_future_releases_its_connection(transport: &dyn Transport) {
    for (case, sent) in [
        ("before the answer", Vec::new()),
        ("within the head", b"HTTP/1.1 200 OK\r\n".to_vec()),
        (
            "within the body",
            wire("200 OK\r\ncontent-length: 9\r\n", "a"),
        ),
    ] {
        let server = serve([Turn::new().send(sent).keep_open()]).await;
        give_up_once(transport, &server, case, |seen| seen.turns == 1).await;
        server.until(|seen| seen.hangups == 1).await;
        assert_eq!(server.seen().requests.len(), 1, "{case}: requests");
    }
}

/// An answer that comes after its caller has gone is not that of the next.
pub async fn a_late_answer_is_nobodys(transport: &dyn Transport) {
    let gate = Arc::new(Notify::new());
    let late = Turn::new().wait_for(&gate).send(ok("late")).keep_open();
    let server = serve([late, Turn::new().send(ok("own"))]).await;
    give_up_once(transport, &server, "late", |seen| seen.requests.len() == 1).await;
    gate.notify_one();
    // It was sent, or there was nobody left to send it to.
    server.until(|seen| seen.turns + seen.hangups > 0).await;
    let answer = answer_of(transport, &server, "after a late answer").await;
    assert_eq!(answer.body, "own");
    assert_eq!(server.seen().requests.len(), 2, "requests");
}

/// Two answers to one request: the second is not that of the next.
pub async fn a_second_answer_is_nobodys(transport: &dyn Transport) {
    let both = [ok("first"), ok("second")].concat();
    let script = [
        Turn::new().send(both).keep_open(),
        Turn::new().send(ok("own")),
    ];
    let server = serve(script).await;
    for expected in ["first", "own"] {
        let answer = answer_of(transport, &server, "two answers at once").await;
        assert_eq!(answer.body, expected);
    }
    assert_eq!(server.seen().requests.len(), 2, "requests");
}

/// Sends the usual request, and drops the future once the server has seen
/// this.
async fn give_up_once(
    transport: &dyn Transport,
    server: &ScriptedServer,
    case: &str,
    reached: impl Fn(&Seen) -> bool + Send + Sync,
) {
    tokio::select! {
        biased;
        () = server.until(reached) => {}
        outcome = transport.send(request_to(server.address(), PATH)) => {
            panic!("{case}: finished early with {outcome:?}");
        }
    }
}

fn ok(body: &str) -> Vec<u8> {
    let head = format!("200 OK\r\ncontent-length: {}\r\n", body.len());
    wire(&head, body)
}
