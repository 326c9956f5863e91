//! The server does what its script says.

use super::*;

const REQUEST: &[u8] = b"POST /a HTTP/1.1\r\nhost: b\r\nContent-Length: 4\r\n\r\nbody";

async fn connect(server: &ScriptedServer) -> TcpStream {
    TcpStream::connect(server.address()).await.unwrap()
}

#[test]
fn a_request_is_whole_with_its_body() {
    for len in 0..REQUEST.len() {
        assert_eq!(request_len(&REQUEST[..len]), None, "{len} bytes");
    }
    assert_eq!(request_len(REQUEST), Some(REQUEST.len()));
    assert_eq!(request_len(&REQUEST.repeat(2)), Some(REQUEST.len()));
    let bare = b"GET / HTTP/1.1\r\n\r\n";
    assert_eq!(request_len(bare), Some(bare.len()));
}

#[tokio::test]
async fn requests_are_recorded_byte_by_byte() {
    let server = ScriptedServer::start([Turn::new().send("answer")])
        .await
        .unwrap();
    for cut in [1, 20, REQUEST.len() - 1] {
        let mut client = connect(&server).await;
        client.write_all(&REQUEST[..cut]).await.unwrap();
        client.write_all(&REQUEST[cut..]).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "answer");
    }
    let seen = server.seen();
    assert_eq!(seen.requests, [REQUEST; 3]);
    assert_eq!((seen.connections, seen.hangups), (3, 0));
}

#[tokio::test]
async fn turns_follow_each_other_and_the_last_is_repeated() {
    let script = ["a", "b"].map(|text| Turn::new().send(text).keep_open());
    let server = ScriptedServer::start(script).await.unwrap();
    let mut client = connect(&server).await;
    let mut answers = Vec::new();
    for _ in 0..3 {
        client.write_all(REQUEST).await.unwrap();
        answers.push(client.read_u8().await.unwrap());
    }
    assert_eq!(answers, b"abb");
    drop(client);
    server.until(|seen| seen.hangups == 1).await;
    let seen = server.seen();
    assert_eq!((seen.connections, seen.turns), (1, 3));
}

#[tokio::test]
async fn a_reset_is_a_reset_and_a_close_is_none() {
    let server = ScriptedServer::start([Turn::new().reset(), Turn::new()])
        .await
        .unwrap();
    let mut client = connect(&server).await;
    client.write_all(REQUEST).await.unwrap();
    let error = client.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    let mut client = connect(&server).await;
    client.write_all(REQUEST).await.unwrap();
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn it_drips_floods_and_begins_early() {
    let drip = Turn::new().drip("drip", Duration::ZERO).at_first_bytes();
    let flood = Turn::new().flood("flood".repeat(1000));
    let server = ScriptedServer::start([drip, flood]).await.unwrap();
    let mut client = connect(&server).await;
    client.write_all(b"\x16").await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "drip");
    let mut client = connect(&server).await;
    client.write_all(REQUEST).await.unwrap();
    client.read_exact(&mut vec![0; 1_000_000]).await.unwrap();
    drop(client);
    server.until(|seen| seen.hangups == 1).await;
    assert_eq!(server.seen().requests.len(), 1);
}

#[tokio::test]
async fn once_dropped_it_is_gone() {
    let server = ScriptedServer::start([Turn::new().keep_open()])
        .await
        .unwrap();
    let address = server.address();
    let mut client = connect(&server).await;
    client.write_all(REQUEST).await.unwrap();
    server.until(|seen| seen.turns == 1).await;
    drop(server);
    assert_eq!(client.read(&mut [0]).await.unwrap_or(0), 0);
    assert!(TcpStream::connect(address).await.is_err());
}
