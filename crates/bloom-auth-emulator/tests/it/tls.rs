//! HTTPS, by the certificates made at the start.

use bloom_auth_emulator::Emulator;
use tokio::net::TcpStream;

use crate::support::{CONSUMERS, Request, V1, V2, plain, talk, tls, token, token_request};

#[tokio::test]
async fn it_speaks_https_by_default() {
    let emulator = Emulator::start().await.unwrap();
    assert_eq!(emulator.origin(), format!("https://{}", emulator.address()));
    assert!(
        emulator
            .ca_pem()
            .unwrap()
            .starts_with("-----BEGIN CERTIFICATE-----")
    );
    for path in [V1, V2] {
        let token = token(&emulator, path).await;
        let reply = Request::get(CONSUMERS).bearer(&token).send(&emulator).await;
        assert_eq!(reply.status, 200);
    }
    assert_eq!(emulator.counts().connections, 4);
    emulator.shutdown().await;
}

#[tokio::test]
async fn the_certificate_has_every_name_of_this_machine_and_no_other() {
    let emulator = Emulator::start().await.unwrap();
    for (name, good) in [
        ("localhost", true),
        ("127.0.0.1", true),
        ("::1", true),
        ("127.0.0.2", false),
        ("auth.bloom.dev", false),
    ] {
        let stream = TcpStream::connect(emulator.address()).await.unwrap();
        assert_eq!(tls(&emulator, name, stream).await.is_ok(), good, "{name}");
    }
}

#[tokio::test]
async fn every_start_has_an_authority_of_its_own() {
    let (one, other) = (
        Emulator::start().await.unwrap(),
        Emulator::start().await.unwrap(),
    );
    assert_ne!(one.ca_pem(), other.ca_pem());
    let stream = TcpStream::connect(other.address()).await.unwrap();
    assert!(tls(&one, "127.0.0.1", stream).await.is_err());
}

#[tokio::test]
async fn a_client_that_never_shakes_hands_is_in_nobodys_way() {
    let emulator = Emulator::start().await.unwrap();
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(emulator.address()).await.unwrap());
    }
    assert_eq!(
        token_request(&emulator, V1).send(&emulator).await.status,
        200
    );
    assert_eq!(emulator.counts().connections, 21);
    // Nor does it hold up the shutdown.
    emulator.shutdown().await;
}

#[tokio::test]
async fn http_is_not_answered_by_https() {
    let emulator = Emulator::start().await.unwrap();
    let stream = TcpStream::connect(emulator.address()).await.unwrap();
    let received = talk(stream, &Request::get(CONSUMERS).bytes(&emulator)).await;
    assert!(!received.starts_with(b"HTTP/"));
}

#[tokio::test]
async fn plain_http_has_no_certificate() {
    let emulator = plain().await;
    assert_eq!(emulator.ca_pem(), None);
    assert_eq!(emulator.origin(), format!("http://{}", emulator.address()));
    assert_eq!(
        emulator.v1_token_url(),
        format!("{}/oauth/token", emulator.origin())
    );
    assert_eq!(
        emulator.v2_token_url(),
        format!("{}/oauth2/token", emulator.origin())
    );
    assert_eq!(emulator.api_url(), emulator.origin());
}
