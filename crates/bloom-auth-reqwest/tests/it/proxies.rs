//! Proxies that do not let a request through.

use bloom_auth_core::{
    ClientCredentials, ClientId, ClientSecret, Environment, ErrorKind, Recovery, TokenProvider,
    TransportErrorKind, chain,
    test_util::{FixedEntropy, ManualClock, Turn},
};
use bloom_auth_reqwest::ReqwestTransport;

use crate::{
    child,
    support::{LIBRARIES, failure_kind, serve},
};

/// Not taken for loopback, and from which nothing could leave the machine:
/// the address of none in particular, and a port at which nobody listens.
const URL: &str = "https://0.0.0.0:1/oauth/token";

const PAGE: &str = "<html><title>canary-of-the-page</title></html>";

/// An answer with a page.
fn page(status: &str) -> String {
    let len = PAGE.len();
    format!(
        "HTTP/1.1 {status}\r\nproxy-authenticate: Basic realm=\"canary-of-the-realm\"\r\n\
         content-type: text/html\r\ncontent-length: {len}\r\n\r\n{PAGE}"
    )
}

fn refusals() -> Vec<(&'static str, String)> {
    let flood = "x-canary: canary-of-a-header\r\n".repeat(400);
    vec![
        ("407", page("407 canary-of-the-reason")),
        ("403", page("403 Forbidden")),
        (
            "a redirect to a login page",
            page("302 Found\r\nlocation: http://canary.test/"),
        ),
        ("511", page("511 Network Authentication Required")),
        ("a bad gateway", page("502 Bad Gateway")),
        ("a page and no HTTP", PAGE.to_owned()),
        (
            "a head that is too long",
            format!("HTTP/1.1 200 OK\r\n{flood}"),
        ),
    ]
}

/// Runs the test of this name in a second process, once for each answer of a
/// proxy, and says how often that was asked.
async fn asked(test: &'static str, answer: String) -> usize {
    let proxy = serve(Turn::new().send(answer)).await;
    child::run(test, vec![("HTTPS_PROXY", proxy.origin())]).await;
    let seen = proxy.seen();
    for request in &seen.requests {
        let request = String::from_utf8_lossy(request);
        assert!(request.starts_with("CONNECT "), "{request}");
        assert!(!request.contains("canary"), "{request}");
    }
    assert_eq!(seen.connections, seen.requests.len());
    seen.requests.len()
}

fn provider(transport: ReqwestTransport, clock: &ManualClock) -> TokenProvider {
    let environment = Environment::custom(URL, URL).build().unwrap();
    let credentials = ClientCredentials::new(
        ClientId::new("id").unwrap(),
        ClientSecret::new("canary-of-the-secret").unwrap(),
    );
    TokenProvider::builder(environment, credentials, transport)
        .clock(clock.clone())
        .entropy(FixedEntropy::LEAST)
        .build()
        .unwrap()
}

#[tokio::test]
async fn n27_a_proxy_that_refuses_is_told_from_a_server() {
    const NAME: &str = "proxies::n27_a_proxy_that_refuses_is_told_from_a_server";
    if !child::is_child() {
        for (case, answer) in refusals() {
            // Once by each fetch, of which there are two.
            assert_eq!(asked(NAME, answer).await, 2 * LIBRARIES.len(), "{case}");
        }
        return;
    }
    for (library, begin) in LIBRARIES {
        let clock = ManualClock::new();
        let provider = provider(begin().build().unwrap(), &clock);
        let error = provider.token().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Proxy, "{library}: {error:?}");
        assert_eq!(error.recovery(), Recovery::FixConfiguration);
        let text = format!("{} {error:?}", chain(&error));
        assert!(text.contains("HTTPS_PROXY"), "{library}: {text}");
        assert!(!text.contains("canary"), "{library}: {text}");
        let counts = provider.status().counts;
        assert_eq!((counts.token_requests, counts.retries), (1, 0), "{library}");
        // Not before its time, however often it is asked for.
        for _ in 0..10 {
            let again = provider.token().await.unwrap_err();
            assert!(again.same_fetch(&error), "{library}: {again:?}");
        }
        assert_eq!(provider.status().counts.token_requests, 1, "{library}");
        clock.advance(error.retry_after().unwrap());
        let again = provider.token().await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::Proxy, "{library}: {again:?}");
        assert!(again.retry_after() > error.retry_after(), "{library}");
    }
}

/// Then the way is open, as far as one can see, and what is at its end does
/// not speak TLS; or the connection ends, which may pass.
#[tokio::test]
async fn n27_a_page_in_the_place_of_a_tunnel_is_no_answer() {
    const NAME: &str = "proxies::n27_a_page_in_the_place_of_a_tunnel_is_no_answer";
    if !child::is_child() {
        let open = Turn::new().send("HTTP/1.1 200 OK\r\n\r\n");
        let later = open.send(PAGE).at_first_bytes();
        let proxy = serve(later).await;
        child::run(NAME, vec![("HTTPS_PROXY", proxy.origin())]).await;
        return;
    }
    for (library, begin) in LIBRARIES {
        let kind = failure_kind(&begin().build().unwrap(), URL).await;
        let expected = [TransportErrorKind::Tls, TransportErrorKind::Connect];
        assert!(expected.contains(&kind), "{library}: {kind:?}");
    }
}

/// A proxy that breaks off may be there at the next try.
#[tokio::test]
async fn a_proxy_that_breaks_off_is_no_wrong_setting() {
    const NAME: &str = "proxies::a_proxy_that_breaks_off_is_no_wrong_setting";
    if !child::is_child() {
        for answer in ["", "HTTP/1.1 200 O"] {
            assert_eq!(asked(NAME, answer.to_owned()).await, LIBRARIES.len());
        }
        return;
    }
    for (library, begin) in LIBRARIES {
        let kind = failure_kind(&begin().build().unwrap(), URL).await;
        assert_eq!(kind, TransportErrorKind::Connect, "{library}");
    }
}
