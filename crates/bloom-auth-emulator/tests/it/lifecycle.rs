//! Starting, running under load, and stopping.

use std::{
    error::Error as _,
    net::{Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket},
    time::Duration,
};

use bloom_auth_emulator::{Emulator, EmulatorError};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Handle,
    task::JoinSet,
};

use crate::support::{
    CONSUMERS, ORGANIZATION, Request, V1, V2, eventually, form_with, plain, token, token_request,
};

#[tokio::test]
async fn s6_only_loopback_is_listened_on() {
    let emulator = plain().await;
    let port = emulator.address().port();
    assert_eq!(emulator.address().ip(), Ipv4Addr::LOCALHOST);
    assert!(
        TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .await
            .is_ok()
    );
    // Were it on all addresses, these would be taken or answered.
    assert!(
        TcpStream::connect((Ipv4Addr::new(127, 0, 0, 2), port))
            .await
            .is_err()
    );
    assert!(
        TcpStream::connect((Ipv6Addr::LOCALHOST, port))
            .await
            .is_err()
    );
    if let Some(outward) = outward_address() {
        assert!(TcpStream::connect((outward, port)).await.is_err());
    }
}

/// This machine's address on its network, if it has one; nothing is sent.
fn outward_address() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    match socket.local_addr().ok()?.ip() {
        std::net::IpAddr::V4(address) if !address.is_loopback() => Some(address),
        _ => None,
    }
}

#[tokio::test]
async fn a_taken_port_is_an_error() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = Emulator::builder().port(port).start().await.unwrap_err();
    assert!(matches!(error, EmulatorError::Bind { port: found, .. } if found == port));
    assert_eq!(
        error.to_string(),
        format!("cannot listen on 127.0.0.1:{port}")
    );
    assert!(error.source().is_some());
}

#[tokio::test]
async fn settings_are_checked() {
    let builder = Emulator::builder;
    for (builder, message) in [
        (builder().client("", "secret"), "the client id is empty"),
        (builder().client("id", ""), "the client secret is empty"),
        (builder().audience(""), "the audience is empty"),
        (
            builder().client("i\nd", "s"),
            "the client id has a control character",
        ),
        (
            builder().client("id", "s\0"),
            "the client secret has a control character",
        ),
        (
            builder().audience("\u{7f}"),
            "the audience has a control character",
        ),
        (
            builder().client_public_key("hunter2"),
            "the client's public key is not a public key in PEM \
             (`-----BEGIN PUBLIC KEY-----`)",
        ),
    ] {
        let error = builder.start().await.unwrap_err();
        assert!(matches!(error, EmulatorError::Settings { .. }));
        assert_eq!(error.to_string(), message);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn counters_are_exact_under_load() {
    let emulator = std::sync::Arc::new(plain().await);
    let good = token(&emulator, V2).await;
    emulator.set_token_lifetime(Duration::ZERO);
    let expired = token(&emulator, V2).await;
    let body = form_with(&emulator, "scope", Some("furnishment:all"));
    emulator.set_token_lifetime(Duration::from_secs(60));
    let weak = Request::post(V2, body).send(&emulator).await.json();
    let weak = weak["access_token"].as_str().unwrap();
    let before = emulator.counts();

    let refused = form_with(&emulator, "client_secret", Some("wrong"));
    let kinds = [
        (token_request(&emulator, V1), 200),
        (token_request(&emulator, V2), 200),
        (Request::post(V1, refused.clone()), 401),
        (Request::post(V2, refused), 401),
        (Request::post(V1, "%"), 400),
        (Request::get(ORGANIZATION).bearer(&good), 200),
        (Request::get(CONSUMERS), 401),
        (Request::get(CONSUMERS).bearer("x"), 401),
        (Request::get(CONSUMERS).bearer(&expired), 401),
        (Request::get(CONSUMERS).bearer(weak), 403),
    ];
    let mut requests = JoinSet::new();
    for number in 0..100 {
        let (request, status) = kinds[number % kinds.len()].clone();
        let emulator = std::sync::Arc::clone(&emulator);
        requests.spawn(async move {
            assert_eq!(request.send(&emulator).await.status, status);
        });
    }
    while let Some(result) = requests.join_next().await {
        result.unwrap();
    }

    let after = emulator.counts();
    for (what, before, after, expected) in [
        ("connections", before.connections, after.connections, 100),
        (
            "token_requests",
            before.token_requests,
            after.token_requests,
            50,
        ),
        (
            "tokens_issued",
            before.tokens_issued,
            after.tokens_issued,
            20,
        ),
        (
            "token_requests_refused",
            before.token_requests_refused,
            after.token_requests_refused,
            30,
        ),
        (
            "api_authorized",
            before.api_authorized,
            after.api_authorized,
            10,
        ),
        (
            "api_unauthorized",
            before.api_unauthorized,
            after.api_unauthorized,
            30,
        ),
        ("api_expired", before.api_expired, after.api_expired, 10),
        (
            "api_forbidden",
            before.api_forbidden,
            after.api_forbidden,
            10,
        ),
    ] {
        assert_eq!(after - before, expected, "{what}");
    }
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let emulator = plain().await;
    let mut stream = TcpStream::connect(emulator.address()).await.unwrap();
    let kept = format!(
        "GET {CONSUMERS} HTTP/1.1\r\nHost: {}\r\n\r\n",
        emulator.address()
    );
    for _ in 0..3 {
        stream.write_all(kept.as_bytes()).await.unwrap();
        let mut received = Vec::new();
        while !received.ends_with(b"}]}") {
            assert!(stream.read_buf(&mut received).await.unwrap() > 0);
        }
    }
    let counts = emulator.counts();
    assert_eq!((counts.connections, counts.api_unauthorized), (1, 3));
}

#[tokio::test]
async fn a_drop_leaves_no_listener_and_no_task() {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    for https in [false, true] {
        let builder = Emulator::builder();
        let builder = if https { builder } else { builder.plain_http() };
        let emulator = builder.start().await.unwrap();
        let address = emulator.address();
        // One connection that idles, and one whose answer is held back.
        let mut idle = TcpStream::connect(address).await.unwrap();
        emulator.set_latency(Duration::from_secs(3600));
        let request = token_request(&emulator, V1);
        {
            let held = request.send(&emulator);
            tokio::pin!(held);
            let issued = eventually("the request is under way", || {
                emulator.counts().tokens_issued == 1
            });
            tokio::select! {
                biased;
                () = issued => {}
                reply = &mut held => panic!("not held back: {reply:?}"),
            }
            assert!(tasks() > before);
        }
        drop(emulator);

        let error = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        eventually("no task is left", || tasks() == before).await;
        assert!(matches!(idle.read(&mut [0; 1]).await, Ok(0) | Err(_)));
    }
}

#[tokio::test]
async fn a_shutdown_lets_requests_finish() {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let emulator = plain().await;
    let address = emulator.address();
    let mut idle = TcpStream::connect(address).await.unwrap();
    let mut slow = TcpStream::connect(address).await.unwrap();
    let bytes = token_request(&emulator, V1).bytes(&emulator);
    let (head, rest) = bytes.split_at(bytes.len() - 1);
    slow.write_all(head).await.unwrap();
    eventually("the request has arrived", || {
        emulator.counts().token_requests == 1
    })
    .await;

    let finish = async {
        // Once the idle connection is closed, the shutdown has begun.
        assert_eq!(idle.read(&mut [0; 1]).await.unwrap(), 0);
        let refused = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        slow.write_all(rest).await.unwrap();
        let mut received = String::new();
        slow.read_to_string(&mut received).await.unwrap();
        assert!(received.starts_with("HTTP/1.1 200"), "{received}");
    };
    tokio::join!(emulator.shutdown(), finish);
    assert_eq!(tasks(), before);
}

#[test]
fn it_may_outlive_its_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let emulator = runtime.block_on(plain());
    drop(runtime);
    assert_eq!(emulator.counts().connections, 0);
    drop(emulator);
}

#[test]
fn it_can_be_shared_among_threads() {
    fn shared<T: Send + Sync + 'static>(_: &T) {}
    let builder = Emulator::builder();
    shared(&builder);
    let future = builder.start();
    fn sent<T: Send>(_: &T) {}
    sent(&future);
    fn emulator_is<T: Send + Sync + 'static>() {}
    emulator_is::<Emulator>();
    emulator_is::<EmulatorError>();
}
