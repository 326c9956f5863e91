//! One event a request.

use std::{
    io,
    sync::{Arc, Mutex},
};

use bloom_auth_emulator::{Emulator, FaultRule};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{ORGANIZATION, Request, V1, V2, eventually, token_request};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// The events, without their times.
    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let of_ours = text
            .lines()
            .filter_map(|line| line.split_once("bloom_auth_emulator: "));
        of_ours.map(|(_, rest)| rest.to_owned()).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn every_request_has_exactly_one_event() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .with_ansi(false)
        .finish();
    // While there is but one subscriber, tracing asks the thread that reaches an
    // event first, which may be another test's, and takes its answer for all.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let _guard = tracing::subscriber::set_default(subscriber);

    let rule = |text: &str| text.parse::<FaultRule>().unwrap();
    let emulator = Emulator::builder()
        .plain_http()
        .fault(rule("reset-connection:next=1"))
        .fault(rule("reset:next=1"))
        .fault(rule("rate-limited:next=1"))
        .fault(rule("expires-in-zero:next=2"))
        .admin_token("the-word")
        .start()
        .await
        .unwrap();
    let secret = emulator.client_secret();
    let send = |request: Request| {
        let (bytes, address) = (request.bytes(&emulator), emulator.address());
        async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let _ = stream.write_all(&bytes).await;
            let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut Vec::new()).await;
        }
    };
    send(Request::get(ORGANIZATION)).await;
    send(token_request(&emulator, V1)).await;
    send(token_request(&emulator, V2)).await;
    send(token_request(&emulator, V2)).await;
    send(Request::post(V2, "")).await;
    send(Request::get(ORGANIZATION)).await;
    send(Request::get("/_emulator/counts")).await;
    send(Request::new("POST", "/_emulator/rotate").bearer("the-word")).await;
    send(Request::get(ORGANIZATION).header("Origin", "null")).await;
    // One who hangs up before there is an answer.
    emulator.set_latency(std::time::Duration::from_secs(3600));
    let issued = emulator.counts().tokens_issued;
    let mut stream = TcpStream::connect(emulator.address()).await.unwrap();
    stream
        .write_all(&token_request(&emulator, V1).bytes(&emulator))
        .await
        .unwrap();
    eventually("the request is under way", || {
        emulator.counts().tokens_issued > issued
    })
    .await;
    drop(stream);
    let expected = [
        "played a fault at a connection fault=\"reset-connection\"",
        "answered a request method=\"POST\" path=\"/oauth/token\" fault=\"reset\"",
        "answered a request method=\"POST\" path=\"/oauth2/token\" status=429 fault=\"rate-limited\"",
        "answered a request method=\"POST\" path=\"/oauth2/token\" status=200 fault=\"expires-in-zero\"",
        "answered a request method=\"POST\" path=\"/oauth2/token\" status=401",
        "answered a request method=\"GET\" path=\"/v2/core/organization\" status=401",
        "answered a request method=\"GET\" path=\"/_emulator/counts\" status=401",
        "answered a request method=\"POST\" path=\"/_emulator/rotate\" status=200",
        "answered a request method=\"GET\" path=\"/v2/core/organization\" status=403",
        "a request ended before it was answered method=\"POST\" path=\"/oauth/token\"",
    ];
    eventually("the last event", || log.lines().len() >= expected.len()).await;
    let lines: Vec<String> = log
        .lines()
        .iter()
        .map(|line| line.trim_end().to_owned())
        .collect();
    assert_eq!(lines, expected);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for secret in ["the-word", &secret, &emulator.client_secret()] {
        assert!(!text.contains(secret), "{text}");
    }
}
