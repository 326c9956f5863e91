//! Two emulators of one seed, asked the same.

use std::time::{Duration, SystemTime};

use bloom_auth_emulator::{Emulator, FaultRule, TokenQuota};
use tokio::net::TcpStream;

use crate::support::{CONSUMERS, ORGANIZATION, Request, V1, V2, good_form, talk, token_request};

/// The bytes of every answer, one after the other. Only the port is not drawn
/// from the seed, and no answer holds it.
async fn transcript(seed: u64) -> Vec<Vec<u8>> {
    let rule = |text: &str| text.parse::<FaultRule>().unwrap();
    let emulator = Emulator::builder()
        .plain_http()
        .seed(seed)
        .clock_stands_at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000))
        .fault(rule("server-error:probability=0.3"))
        .fault(rule("expires-in-string:probability=0.3"))
        .fault(rule("truncated-chunks@api:probability=0.3"))
        .token_quota(TokenQuota::per_hour(60))
        .admin()
        .start()
        .await
        .unwrap();
    let mut answers = Vec::new();
    let mut token = String::new();
    for round in 0..30 {
        let path = if round % 2 == 0 { V1 } else { V2 };
        let consumer = Request::new("POST", CONSUMERS)
            .header("Content-Type", "application/json")
            .bearer(&token)
            .body(format!("{{\"round\":{round}}}"));
        for request in [
            token_request(&emulator, path),
            Request::get(ORGANIZATION).bearer(&token),
            consumer,
            Request::get(CONSUMERS).bearer(&token),
        ] {
            let stream = TcpStream::connect(emulator.address()).await.unwrap();
            let answer = talk(stream, &request.bytes(&emulator)).await;
            if let Some((_, rest)) =
                String::from_utf8_lossy(&answer).split_once("access_token\":\"")
            {
                token = rest.split('"').next().unwrap().to_owned();
            }
            answers.push(answer);
        }
        emulator.advance_clock(Duration::from_secs(100));
        if round == 20 {
            let rotate = Request::new("POST", "/_emulator/rotate").bytes(&emulator);
            let stream = TcpStream::connect(emulator.address()).await.unwrap();
            answers.push(talk(stream, &rotate).await);
        }
    }
    answers.push(good_form(&emulator)[1].1.clone().into_bytes());
    answers
}

#[tokio::test]
async fn s10_the_same_seed_gives_the_same_transcript() {
    let (one, twin, other) = tokio::join!(transcript(7), transcript(7), transcript(8));
    for (index, (one, twin)) in one.iter().zip(&twin).enumerate() {
        let [one, twin] = [one, twin].map(|bytes| String::from_utf8_lossy(bytes));
        assert_eq!(one, twin, "answer {index}");
    }
    assert_eq!(one.len(), twin.len());
    assert_ne!(one.last(), other.last(), "the client ids of two seeds");
    // There was something to draw.
    let count = |part: &str| {
        let holds = |bytes: &&Vec<u8>| String::from_utf8_lossy(bytes).contains(part);
        one.iter().filter(holds).count()
    };
    for part in ["500 Internal", "\"3600\"", "chunked", "201 Created", "r=59"] {
        assert!(count(part) > 0, "{part}");
    }
}
