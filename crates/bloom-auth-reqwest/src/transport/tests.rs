//! Names that do not resolve, and addresses that lead nowhere.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use bloom_auth_core::{
    ClientCredentials, ClientId, ClientSecret, Environment, ErrorKind, TokenProvider,
    test_util::{FixedEntropy, ManualClock, ScriptedServer, Turn},
};
use bytes::Bytes;
use reqwest::dns::{Name, Resolve, Resolving};
use tokio::time::timeout;

use super::*;

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// Nothing takes this long unless it is stuck.
const PATIENCE: Duration = Duration::from_secs(30);

const TOKEN: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n\
                     {\"access_token\":\"canary\",\"token_type\":\"bearer\",\"expires_in\":100}";

/// Gives each look-up its addresses, none of them if the name is unknown, and
/// repeats the last.
struct Script {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    lookups: Mutex<usize>,
}

impl Script {
    fn new(answers: impl IntoIterator<Item = Vec<IpAddr>>) -> Arc<Self> {
        Arc::new(Self {
            answers: Mutex::new(answers.into_iter().collect()),
            lookups: Mutex::new(0),
        })
    }

    fn lookups(&self) -> usize {
        *self.lookups.lock().unwrap()
    }
}

impl Resolve for Script {
    fn resolve(&self, _: Name) -> Resolving {
        *self.lookups.lock().unwrap() += 1;
        let mut answers = self.answers.lock().unwrap();
        let addresses = match answers.len() {
            1 => answers[0].clone(),
            _ => answers.pop_front().unwrap(),
        };
        Box::pin(async move {
            if addresses.is_empty() {
                return Err(io::Error::other("no such name").into());
            }
            // The port is that of the URL.
            let addresses = addresses.into_iter().map(|ip| SocketAddr::new(ip, 0));
            Ok(Box::new(addresses) as _)
        })
    }
}

/// A transport that looks up `localhost` as any other name.
fn transport(builder: ReqwestTransportBuilder, names: &Arc<Script>) -> ReqwestTransport {
    let transport = builder.allow_insecure_loopback().build().unwrap();
    transport.clients.resolve_loopback_by(Arc::clone(names));
    transport
}

async fn serve() -> ScriptedServer {
    ScriptedServer::start([Turn::new().send(TOKEN)])
        .await
        .unwrap()
}

fn url(port: u16) -> String {
    format!("http://localhost:{port}/oauth/token")
}

/// The status of the answer.
async fn send(transport: &ReqwestTransport, url: &str) -> Result<u16, TransportErrorKind> {
    let body = Bytes::from_static(b"client_secret=canary").into();
    let request = Request::post(url).body(body).unwrap();
    let sent = timeout(PATIENCE, transport.send(request)).await;
    let answer = sent.expect("the transport is stuck");
    answer
        .map(|answer| answer.status().as_u16())
        .map_err(|error| error.kind())
}

#[tokio::test]
async fn n3_a_name_that_was_unknown_is_looked_up_again() {
    let server = serve().await;
    let names = Script::new([vec![], vec![], vec![V4]]);
    let transport = transport(ReqwestTransport::builder(), &names);
    let url = url(server.address().port());
    for expected in [
        Err(TransportErrorKind::Connect),
        Err(TransportErrorKind::Connect),
        Ok(200),
    ] {
        assert_eq!(send(&transport, &url).await, expected);
    }
    assert_eq!(names.lookups(), 3);
    assert_eq!(server.seen().requests.len(), 1);
}

#[tokio::test]
async fn n3_the_first_call_after_an_outage_of_names_gets_a_token() {
    let server = serve().await;
    let names = Script::new([vec![], vec![], vec![], vec![V4]]);
    let url = url(server.address().port());
    let environment = Environment::custom(&url, &url).allow_insecure_loopback();
    let credentials = ClientCredentials::new(
        ClientId::new("id").unwrap(),
        ClientSecret::new("canary").unwrap(),
    );
    let clock = ManualClock::new();
    let provider = TokenProvider::builder(
        environment.build().unwrap(),
        credentials,
        transport(ReqwestTransport::builder(), &names),
    )
    .clock(clock.clone())
    .entropy(FixedEntropy::LEAST)
    .build()
    .unwrap();
    let error = provider.token().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect, "{error:?}");
    assert_eq!(names.lookups(), 3);
    clock.advance(error.retry_after().unwrap());
    provider.token().await.unwrap();
    assert_eq!(names.lookups(), 4);
    assert_eq!(server.seen().requests.len(), 1);
}

#[tokio::test]
async fn n28_an_address_that_refuses_is_passed_over() {
    let server = serve().await;
    let url = url(server.address().port());
    for addresses in [vec![V6, V4], vec![V6, V6, V4]] {
        let names = Script::new([addresses.clone()]);
        let transport = transport(ReqwestTransport::builder(), &names);
        assert_eq!(send(&transport, &url).await, Ok(200), "{addresses:?}");
        assert_eq!(names.lookups(), 1);
    }
    assert_eq!(server.seen().connections, 2);
}

#[cfg(target_os = "linux")]
mod black_holes {
    use bloom_auth_core::test_util::skip;
    use tokio::{
        net::{TcpListener, TcpSocket, TcpStream},
        time::Instant,
    };

    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    /// An address that answers no more: its queue of connections is full.
    struct BlackHole {
        address: SocketAddr,
        _listener: TcpListener,
        _queue: Vec<TcpStream>,
    }

    impl BlackHole {
        async fn new(ip: IpAddr, port: u16) -> io::Result<Self> {
            let socket = match ip {
                IpAddr::V4(_) => TcpSocket::new_v4()?,
                IpAddr::V6(_) => TcpSocket::new_v6()?,
            };
            socket.bind(SocketAddr::new(ip, port))?;
            let listener = socket.listen(1)?;
            let address = listener.local_addr()?;
            let mut queue = Vec::new();
            // Linux keeps one more than it is asked for.
            for _ in 0..2 {
                queue.push(TcpStream::connect(address).await?);
            }
            Ok(Self {
                address,
                _listener: listener,
                _queue: queue,
            })
        }
    }

    /// By the runtime's own clock, which stands still until there is nothing
    /// to do but wait.
    #[tokio::test(start_paused = true)]
    async fn n2_an_address_that_never_answers_ends_at_the_connect_timeout() {
        let hole = BlackHole::new(V4, 0).await.unwrap();
        let default = Duration::from_secs(3);
        let builder = ReqwestTransport::builder;
        for (builder, limit) in [
            (builder(), default),
            (builder().timeout(LONG), default),
            (builder().connect_timeout(default / 3), default / 3),
        ] {
            let transport = builder.allow_insecure_loopback().build().unwrap();
            let start = Instant::now();
            let sent = send(&transport, &format!("http://{}/", hole.address)).await;
            assert_eq!(sent, Err(TransportErrorKind::Connect));
            let took = start.elapsed();
            assert!(
                took >= limit && took < limit * 11 / 10,
                "{took:?}, not {limit:?}"
            );
        }
    }

    /// Long before the connect timeout, which is longer than the test.
    #[tokio::test]
    async fn n28_an_address_that_never_answers_is_passed_over() {
        let server = serve().await;
        let port = server.address().port();
        let Ok(_hole) = BlackHole::new(V6, port).await else {
            skip(
                "n28_an_address_that_never_answers_is_passed_over",
                "there is no IPv6 here",
            );
            return;
        };
        let builder = ReqwestTransport::builder();
        let builder = builder.connect_timeout(LONG).timeout(LONG);
        let names = Script::new([vec![V6, V4]]);
        assert_eq!(send(&transport(builder, &names), &url(port)).await, Ok(200));
        assert_eq!(server.seen().connections, 1);
    }
}
