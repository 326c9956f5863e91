//! Every fault, byte by byte as it arrives.

use std::time::{Duration, SystemTime};

use bloom_auth_emulator::{
    Emulator, EmulatorBuilder, Endpoint, Fault, FaultError, FaultRule, Schedule,
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, pause, resume},
};

use crate::support::{
    CONSUMERS, ORGANIZATION, Request, V1, V2, eventually, form_with, talk, tls, token,
    token_request,
};

/// 1994-11-06T08:49:37Z.
const THEN: Duration = Duration::from_secs(784_111_777);

/// More than this is not read: the rest of a flood is the same.
const ENOUGH: usize = 256 * 1024;

fn builder() -> EmulatorBuilder {
    Emulator::builder()
        .plain_http()
        .client("client", "secret")
        .seed(7)
        .clock_stands_at(SystemTime::UNIX_EPOCH + THEN)
}

/// The request that meets the fault first.
fn request(emulator: &Emulator, endpoint: Endpoint, token: &str) -> Request {
    match endpoint {
        Endpoint::Api => Request::get(ORGANIZATION).bearer(token),
        _ => token_request(emulator, V1),
    }
}

/// What arrives, and how it ends.
async fn received(emulator: &Emulator, request: &Request) -> (Vec<u8>, &'static str) {
    let before = emulator.counts().faults_played;
    let mut stream = TcpStream::connect(emulator.address()).await.unwrap();
    // Who is told of a reset here is not told again below.
    let written = stream.write_all(&request.bytes(emulator)).await;
    eventually("the fault is played", || {
        emulator.counts().faults_played == before + 1
    })
    .await;
    if let Err(error) = written {
        assert!(is_reset(&error), "{error}");
        return (Vec::new(), "reset");
    }
    // Time passes at no cost while the emulator waits.
    pause();
    let mut received = vec![0; ENOUGH];
    let mut length = 0;
    let end = loop {
        match stream.read(&mut received[length..]).await {
            Ok(0) if length == ENOUGH => break "and more",
            Ok(0) => break "close",
            Ok(more) => length += more,
            Err(error) if is_reset(&error) => break "reset",
            Err(error) => panic!("{error}"),
        }
    };
    resume();
    received.truncate(length);
    (received, end)
}

fn is_reset(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionReset)
}

/// The bytes in lines, with what is long or made by the emulator cut short.
fn show(bytes: &[u8], good: &Good) -> String {
    let mut bytes = bytes.to_vec();
    for (part, name) in [(&good.token, "<token>"), (&good.scope, "<scopes>")] {
        bytes = replace(&bytes, part.as_bytes(), name.as_bytes());
    }
    let cut = bytes.len() > 700;
    let (start, end) = if cut {
        (&bytes[..400], &bytes[bytes.len() - 60..])
    } else {
        (&bytes[..], &[][..])
    };
    let escape = |bytes: &[u8]| {
        let text = bytes.escape_ascii().to_string();
        text.replace("\\r\\n", "\n")
            .replace("\\\"", "\"")
            .replace("\\'", "'")
    };
    let middle = if cut {
        format!("\n<{} bytes, then>\n", bytes.len() - 460)
    } else {
        String::new()
    };
    format!("{}{middle}{}", escape(start), escape(end))
}

fn replace(bytes: &[u8], part: &[u8], name: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.windows(part.len()).position(|window| window == part) {
        replaced.extend_from_slice(&rest[..at]);
        replaced.extend_from_slice(name);
        rest = &rest[at + part.len()..];
    }
    replaced.extend_from_slice(rest);
    replaced
}

/// What a good answer holds.
struct Good {
    token: String,
    scope: String,
}

async fn good(rule: FaultRule) -> (Good, Emulator) {
    // A second emulator of the same seed, so that the first token is known.
    let twin = builder().start().await.unwrap();
    let body = token_request(&twin, V1).send(&twin).await.json();
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    let good = Good {
        token: text("access_token"),
        scope: text("scope"),
    };
    (good, builder().fault(rule).start().await.unwrap())
}

/// All that the emulator plays, as one text.
async fn transcript() -> String {
    let mut text = String::new();
    for fault in Fault::all() {
        for &endpoint in fault.endpoints() {
            let rule = FaultRule::new(fault).at(endpoint).unwrap();
            let (good, emulator) = good(rule).await;
            let request = request(&emulator, endpoint, &good.token);
            let (bytes, end) = received(&emulator, &request).await;
            let shown = show(&bytes, &good);
            text += &format!(
                "=== {fault} ({}) at {endpoint}\n{shown}\n--- {end}\n",
                fault.row()
            );
        }
    }
    text
}

/// After a change that is meant to be, the file that the failure names takes the
/// place of `faults.txt`.
#[tokio::test]
async fn s10_every_fault_arrives_as_it_is_written_down() {
    let expected = include_str!("faults.txt");
    let actual = transcript().await;
    if actual == expected {
        return;
    }
    let path = concat!(env!("CARGO_TARGET_TMPDIR"), "/faults.txt");
    std::fs::write(path, &actual).unwrap();
    let blocks = |text: &str| -> Vec<String> { text.split("=== ").map(str::to_owned).collect() };
    let (actual, expected) = (blocks(&actual), blocks(expected));
    for (actual, expected) in actual.iter().zip(&expected) {
        assert_eq!(actual, expected, "all of it is in {path}");
    }
    panic!(
        "{} blocks, not {}: see {path}",
        actual.len(),
        expected.len()
    );
}

#[tokio::test]
async fn slow_answers_take_their_time() {
    for (name, least, whole) in [
        ("slow-headers", 40, false),
        ("slow-body", 40, false),
        ("late-answer", 15, true),
        ("slower-than-lifetime", 3, true),
        ("no-answer", 600, false),
        ("stall-connection", 600, false),
    ] {
        let rule: FaultRule = name.parse().unwrap();
        let (good, emulator) = good(rule).await;
        let start = Instant::now();
        let request = request(&emulator, rule.endpoint(), &good.token);
        received(&emulator, &request).await;
        let taken = start.elapsed().as_secs();
        let most = if whole { least + 10 } else { 1000 };
        assert!((least..most).contains(&taken), "{name}: {taken} s");
    }
}

#[tokio::test]
async fn who_hangs_up_ends_a_silence() {
    let emulator = builder().fault("no-answer".parse::<Fault>().unwrap());
    let emulator = emulator.start().await.unwrap();
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let before = tasks();
    let mut stream = TcpStream::connect(emulator.address()).await.unwrap();
    let bytes = token_request(&emulator, V1).bytes(&emulator);
    stream.write_all(&bytes).await.unwrap();
    eventually("the request is read", || {
        emulator.counts().faults_played == 1
    })
    .await;
    assert_eq!(tasks(), before + 1);
    drop(stream);
    eventually("the connection is gone", || tasks() == before).await;
    // And a shutdown does not wait for one.
    let mut stream = TcpStream::connect(emulator.address()).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    eventually("the request is read", || {
        emulator.counts().faults_played == 2
    })
    .await;
    pause();
    let start = Instant::now();
    emulator.shutdown().await;
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn faults_are_played_within_tls() {
    for (name, start, end) in [
        (
            "server-error",
            "HTTP/1.1 500 Internal Server Error\r\n",
            "wrong.\"}",
        ),
        ("truncated-body", "HTTP/1.1 200 OK\r\n", "\"Bearer\"}"),
        ("close", "", ""),
    ] {
        let emulator = Emulator::builder().fault(name.parse::<Fault>().unwrap());
        let emulator = emulator.start().await.unwrap();
        let stream = TcpStream::connect(emulator.address()).await.unwrap();
        let stream = tls(&emulator, "localhost", stream).await.unwrap();
        let received = talk(stream, &token_request(&emulator, V2).bytes(&emulator)).await;
        let received = String::from_utf8(received).unwrap();
        assert!(received.starts_with(start), "{name}: {received}");
        assert!(received.ends_with(end), "{name}: {received}");
    }
    for name in ["reset", "reset-connection", "close-connection"] {
        let emulator = Emulator::builder().fault(name.parse::<Fault>().unwrap());
        let emulator = emulator.start().await.unwrap();
        let stream = TcpStream::connect(emulator.address()).await.unwrap();
        let request = token_request(&emulator, V2).bytes(&emulator);
        let broken = match tls(&emulator, "localhost", stream).await {
            Err(error) => {
                assert_ne!(name, "reset", "{error}");
                true
            }
            Ok(mut stream) => {
                stream.write_all(&request).await.unwrap();
                stream.read(&mut [0; 1]).await.is_err()
            }
        };
        assert!(broken, "{name}");
    }
}

#[tokio::test]
async fn no_client_accepts_a_bad_certificate() {
    for (name, problem) in [
        ("expired-certificate", "Expired"),
        ("certificate-of-another", "NotValidForName"),
        ("unknown-issuer", "UnknownIssuer"),
    ] {
        let emulator = Emulator::builder().fault(name.parse::<Fault>().unwrap());
        let emulator = emulator.start().await.unwrap();
        let stream = TcpStream::connect(emulator.address()).await.unwrap();
        let error = tls(&emulator, "localhost", stream).await.unwrap_err();
        assert!(format!("{error:?}").contains(problem), "{name}: {error:?}");
        emulator.clear_faults();
        let stream = TcpStream::connect(emulator.address()).await.unwrap();
        tls(&emulator, "localhost", stream).await.unwrap();
        assert_eq!(emulator.counts().faults_played, 1);
    }
}

#[tokio::test]
async fn what_no_router_sees_has_no_date_of_the_system() {
    let emulator = builder().start().await.unwrap();
    let stream = TcpStream::connect(emulator.address()).await.unwrap();
    let received = String::from_utf8(talk(stream, b"NONSENSE\r\n\r\n").await).unwrap();
    assert!(received.starts_with("HTTP/1.1 400 "), "{received}");
    assert!(!received.contains("date"), "{received}");
}

/// The statuses of so many requests on connections of their own.
async fn statuses(emulator: &Emulator, request: &Request, count: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..count {
        statuses.push(request.send(emulator).await.status);
    }
    statuses
}

#[tokio::test]
async fn schedules_choose_the_requests() {
    for (rules, expected) in [
        (&["server-error"][..], [500, 500, 500, 500, 500, 500]),
        (&["server-error:first=2"], [500, 500, 200, 200, 200, 200]),
        (
            &["server-error:next=1", "unavailable:next=2"],
            [500, 503, 503, 200, 200, 200],
        ),
        (&["server-error:every=3"], [200, 200, 500, 200, 200, 500]),
        (&["server-error:probability=0"], [200; 6]),
        (
            &["server-error:probability=0.5"],
            [200, 500, 500, 200, 500, 500],
        ),
        (&["server-error@api"], [200; 6]),
    ] {
        let mut builder = builder();
        for rule in rules {
            builder = builder.fault(rule.parse::<FaultRule>().unwrap());
        }
        let emulator = builder.start().await.unwrap();
        let request = token_request(&emulator, V2);
        assert_eq!(
            statuses(&emulator, &request, 6).await,
            expected,
            "{rules:?}"
        );
        let faulty = expected.iter().filter(|status| **status != 200).count() as u64;
        let counts = emulator.counts();
        assert_eq!(counts.faults_played, faulty, "{rules:?}");
        assert_eq!(counts.tokens_issued, 6 - faulty, "{rules:?}");
        assert_eq!(counts.token_requests, 6, "{rules:?}");
    }
}

#[tokio::test]
async fn faults_are_set_and_cleared_while_it_runs() {
    let emulator = builder().start().await.unwrap();
    let request = token_request(&emulator, V1);
    assert_eq!(statuses(&emulator, &request, 1).await, [200]);
    let fault: Fault = "unavailable".parse().unwrap();
    emulator.set_fault(FaultRule::new(fault).on(Schedule::next(5)));
    assert_eq!(statuses(&emulator, &request, 2).await, [503, 503]);
    let status = emulator.faults()[0];
    assert_eq!((status.seen, status.played), (2, 2));
    assert_eq!(status.rule.fault(), fault);
    emulator.clear_faults();
    assert!(emulator.faults().is_empty());
    assert_eq!(statuses(&emulator, &request, 1).await, [200]);

    let scenario = "[[step]]\nfault='rate-limited'\ncount=1\n[[step]]\ncount=1\n\
                    [[step]]\nfault='bad-gateway'\ncount=1";
    emulator.set_scenario(scenario.parse_scenario());
    assert_eq!(statuses(&emulator, &request, 4).await, [429, 200, 502, 200]);
    let emulator = builder().scenario(scenario.parse_scenario());
    let emulator = emulator.start().await.unwrap();
    assert_eq!(statuses(&emulator, &request, 4).await, [429, 200, 502, 200]);
}

trait ParseScenario {
    fn parse_scenario(&self) -> bloom_auth_emulator::Scenario;
}

impl ParseScenario for str {
    fn parse_scenario(&self) -> bloom_auth_emulator::Scenario {
        bloom_auth_emulator::Scenario::parse(self).unwrap()
    }
}

#[tokio::test]
async fn each_endpoint_has_its_own_faults() {
    // Without an admin endpoint, its paths are like any other.
    let emulator = builder().fault("unavailable@api".parse::<FaultRule>().unwrap());
    let emulator = emulator.start().await.unwrap();
    let token = token(&emulator, V2).await;
    for path in [ORGANIZATION, CONSUMERS, "/_emulator/counts"] {
        let request = Request::get(path).bearer(&token);
        assert_eq!(statuses(&emulator, &request, 1).await, [503], "{path}");
    }
    // A token endpoint that is asked by another method is no token request.
    let request = Request::get(V1);
    assert_eq!(statuses(&emulator, &request, 1).await, [405]);
    // A visitor who is turned away meets no fault, and uses none up.
    let request = Request::get(ORGANIZATION).header("Origin", "null");
    assert_eq!(statuses(&emulator, &request, 1).await, [403]);
    assert_eq!(emulator.faults()[0].seen, 3);

    let fault: Fault = "reset".parse().unwrap();
    let endpoint = Endpoint::Connection;
    let error = FaultRule::new(fault).at(endpoint).unwrap_err();
    assert!(matches!(error, FaultError::Misplaced { .. }), "{error:?}");
}

#[tokio::test]
async fn a_fault_of_good_answers_leaves_refusals_alone() {
    let fault: Fault = "expires-in-zero".parse().unwrap();
    let emulator = builder().fault(fault).start().await.unwrap();
    let wrong = form_with(&emulator, "client_secret", Some("wrong"));
    let reply = Request::post(V1, wrong).send(&emulator).await;
    assert_eq!(reply.refusal(), (401, "access_denied".to_owned()));
    let counts = emulator.counts();
    assert_eq!(
        (counts.faults_played, counts.token_requests_refused),
        (0, 1)
    );
}

#[tokio::test]
async fn the_same_token_comes_again() {
    let emulator = builder().start().await.unwrap();
    let first = token(&emulator, V1).await;
    emulator.set_fault("same-token:next=2".parse::<FaultRule>().unwrap());
    assert_eq!(token(&emulator, V1).await, first);
    assert_eq!(token(&emulator, V1).await, first);
    assert_ne!(token(&emulator, V1).await, first);
}

#[tokio::test]
async fn what_is_good_about_an_answer_stays_good() {
    // The tokens of answers that are only sent or spelled in another way.
    for name in [
        "interim-answers",
        "expires-in-string",
        "many-fields",
        "refresh-token",
        "broken-keep-alive",
    ] {
        let fault: Fault = name.parse().unwrap();
        let emulator = builder().fault(fault).start().await.unwrap();
        let stream = TcpStream::connect(emulator.address()).await.unwrap();
        let request = token_request(&emulator, V2).bytes(&emulator);
        let received = String::from_utf8(talk(stream, &request).await).unwrap();
        let body = received.rsplit("\r\n\r\n").next().unwrap();
        let body: Value = serde_json::from_str(body).unwrap();
        let request = Request::get(ORGANIZATION).bearer(body["access_token"].as_str().unwrap());
        assert_eq!(request.send(&emulator).await.status, 200, "{name}");
    }
}
