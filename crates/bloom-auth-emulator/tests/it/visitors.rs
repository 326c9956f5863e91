//! Who is turned away: other hosts, and browsers.

use crate::support::{
    CONSUMERS, ORGANIZATION, Reply, Request, V1, V2, exchange, plain, token, token_request,
};

fn is_turned_away(reply: &Reply, path: &str, status: u16) {
    assert_eq!(reply.status, status, "{reply:?}");
    if [V1, V2].contains(&path) {
        assert_eq!(reply.refusal(), (status, "invalid_request".to_owned()));
    } else {
        assert_eq!(reply.json()["errors"][0]["status"], status.to_string());
    }
}

#[tokio::test]
async fn s7_a_foreign_host_is_refused_before_routing() {
    let emulator = plain().await;
    let token = token(&emulator, V1).await;
    let port = emulator.address().port();
    let good = [V1, V2].map(|path| (path, token_request(&emulator, path)));
    let requests = [ORGANIZATION, CONSUMERS, "/nowhere"]
        .map(|path| (path, Request::get(path).bearer(&token)))
        .into_iter()
        .chain(good);
    for (path, request) in requests {
        for host in [
            "evil.example".to_owned(),
            format!("evil.example:{port}"),
            format!("localhost.evil.example:{port}"),
            format!("127.0.0.1.evil.example:{port}"),
            format!("0.0.0.0:{port}"),
            "localhost".to_owned(),
            "localhost:1".to_owned(),
        ] {
            let bytes = request.clone().header("Host", &host).bytes_without_host();
            let reply = exchange(&emulator, &bytes).await;
            is_turned_away(&reply, path, 403);
        }
        // Neither without a host, nor with two.
        let reply = exchange(&emulator, &request.bytes_without_host()).await;
        is_turned_away(&reply, path, 400);
        let bytes = request
            .clone()
            .header("Host", "evil.example")
            .bytes(&emulator);
        is_turned_away(&exchange(&emulator, &bytes).await, path, 400);
    }
    let counts = emulator.counts();
    assert_eq!((counts.tokens_issued, counts.api_authorized), (1, 0));
    // Counted on arrival, before any check: 9 each at two token endpoints.
    assert_eq!(
        (counts.token_requests, counts.token_requests_refused),
        (19, 18)
    );
}

#[tokio::test]
async fn s7_an_absolute_target_is_a_host_too() {
    let emulator = plain().await;
    let token = token(&emulator, V1).await;
    let own = Request::get(&format!("{}{ORGANIZATION}", emulator.origin())).bearer(&token);
    assert_eq!(own.send(&emulator).await.status, 200);
    let foreign = Request::get(&format!("http://evil.example{ORGANIZATION}")).bearer(&token);
    is_turned_away(&foreign.send(&emulator).await, ORGANIZATION, 403);
}

#[tokio::test]
async fn s7_its_own_names_are_welcome() {
    let emulator = plain().await;
    let port = emulator.address().port();
    for host in ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"] {
        let request = token_request(&emulator, V1).header("Host", &format!("{host}:{port}"));
        let reply = exchange(&emulator, &request.bytes_without_host()).await;
        assert_eq!(reply.status, 200, "{host}");
    }
}

#[tokio::test]
async fn s8_browsers_are_refused_before_routing() {
    let emulator = plain().await;
    let token = token(&emulator, V1).await;
    for origin in ["https://evil.example", "null", emulator.origin()] {
        for path in [V1, V2] {
            let request = token_request(&emulator, path).header("Origin", origin);
            is_turned_away(&request.send(&emulator).await, path, 403);
        }
        for path in [ORGANIZATION, CONSUMERS, "/nowhere"] {
            let request = Request::get(path).bearer(&token).header("Origin", origin);
            is_turned_away(&request.send(&emulator).await, path, 403);
            let preflight = Request::new("OPTIONS", path).header("Origin", origin);
            let reply = preflight.send(&emulator).await;
            is_turned_away(&reply, path, 403);
            assert_eq!(reply.header("access-control-allow-origin"), None);
        }
    }
    let counts = emulator.counts();
    assert_eq!((counts.tokens_issued, counts.api_authorized), (1, 0));
    assert_eq!(
        (counts.token_requests, counts.token_requests_refused),
        (7, 6)
    );
}
