//! Whose connections are whose.

use bloom_auth_core::test_util::{ScriptedServer, Turn};
use reqwest::Proxy;

use super::*;

/// What each of several clients is set up with.
#[cfg(any(feature = "rustls", feature = "native-tls"))]
type Setup = (&'static str, Clients);

/// Clients that keep connections, as those for an API do.
fn pooled(settings: HttpSettings) -> Clients {
    Clients::new(settings, |builder| builder)
}

#[cfg(any(feature = "rustls", feature = "native-tls"))]
fn trusting(pems: &[&str]) -> HttpSettings {
    let mut settings = HttpSettings::default();
    for pem in pems {
        settings.tls.trust(pem.as_bytes()).unwrap();
    }
    settings
}

async fn get(clients: &Clients, url: &str) -> reqwest::Result<u16> {
    let response = clients.get(true).unwrap().get(url).send().await?;
    let status = response.status().as_u16();
    // Read to its end, so that the connection is free again.
    response.bytes().await?;
    // By a task of the client's.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    Ok(status)
}

#[cfg(any(feature = "rustls", feature = "native-tls"))]
#[tokio::test]
async fn k18_clients_with_other_tls_settings_share_no_connection() {
    let emulator = bloom_auth_emulator::Emulator::start().await.unwrap();
    let (ca, url) = (emulator.ca_pem().unwrap(), emulator.api_url());
    let other_ca = rcgen::generate_simple_self_signed(["other".to_owned()]).unwrap();
    let other_pem = other_ca.cert.pem();
    let client_pem = other_pem.clone() + &other_ca.signing_key.serialize_pem();

    let mut setups: Vec<Setup> = vec![
        ("one", pooled(trusting(&[ca]))),
        ("the same again", pooled(trusting(&[ca]))),
    ];
    let mut settings = trusting(&[ca]);
    settings.tls.present(client_pem.as_bytes()).unwrap();
    setups.push(("with a client certificate", pooled(settings)));
    #[cfg(all(feature = "native-tls", target_os = "linux"))]
    {
        let mut settings = HttpSettings::default();
        settings.tls.use_native();
        settings.tls.trust(ca.as_bytes()).unwrap();
        setups.push(("with another library", pooled(settings)));
    }
    let mut connections = 0;
    for (case, clients) in &setups {
        connections += 1;
        for _ in 0..3 {
            get(clients, &url).await.unwrap();
            // One for each client, and only one: they do keep theirs.
            assert_eq!(emulator.counts().connections, connections, "{case}");
        }
    }
    // Whoever does not trust the server gets in on nobody's connection.
    for (case, settings) in [
        ("the platform's roots", HttpSettings::default()),
        ("other roots", trusting(&[&other_pem])),
    ] {
        let clients = pooled(settings);
        get(&clients, &url).await.unwrap_err();
        connections += 1;
        assert_eq!(emulator.counts().connections, connections, "{case}");
    }
    // While the others still have theirs.
    for (case, clients) in &setups {
        get(clients, &url).await.unwrap();
        assert_eq!(emulator.counts().connections, connections, "{case}");
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

async fn serve() -> ScriptedServer {
    let script = [Turn::new().send(OK).keep_open()];
    ScriptedServer::start(script).await.unwrap()
}

/// Each who was asked: how many connections, and how many requests on them.
fn asked(servers: &[&ScriptedServer]) -> Vec<(usize, usize)> {
    let seen = servers.iter().map(|server| server.seen());
    seen.map(|seen| (seen.connections, seen.requests.len()))
        .collect()
}

#[tokio::test]
async fn k18_clients_with_other_proxies_share_no_connection() {
    let (server, one, other) = (serve().await, serve().await, serve().await);
    let servers = [&server, &one, &other];
    let settings = || HttpSettings {
        insecure_loopback: true,
        ..HttpSettings::default()
    };
    let via = |proxy: &ScriptedServer| {
        let proxy = proxy.origin();
        Clients::new(settings(), move |builder| {
            builder.proxy(Proxy::http(&proxy).unwrap())
        })
    };
    let clients = [pooled(settings()), via(&one), via(&other)];
    for round in 1..=3 {
        for client in &clients {
            assert_eq!(get(client, &server.origin()).await.unwrap(), 200);
        }
        // Each its own, and the same again.
        assert_eq!(asked(&servers), [(1, round); 3]);
    }
}

/// Not by name, nor otherwise: the pools are of clients, and each `Clients` has
/// its own pair.
#[tokio::test]
async fn k18_the_same_settings_twice_are_two_pools() {
    let server = serve().await;
    let settings = HttpSettings {
        insecure_loopback: true,
        ..HttpSettings::default()
    };
    for connections in 1..=2 {
        let clients = pooled(settings.clone());
        for _ in 0..2 {
            get(&clients, &server.origin()).await.unwrap();
        }
        assert_eq!(server.seen().connections, connections);
    }
}
