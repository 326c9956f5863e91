//! A Redis server as a fleet uses it, and what it tells to whoever copies what
//! is on it.

mod fleet;
#[expect(
    dead_code,
    reason = "shared with the tests of the cache, which need more of it"
)]
// A link to theirs.
pub(crate) mod server;
#[cfg(feature = "file")]
mod tiers;

use std::{ffi::OsString, fs, sync::Arc};

use bloom_auth::BloomAuth;
use bloom_auth_emulator::Emulator;

use self::server::{Client, Server, kinds};
use crate::canary::encodings;

/// All that the server gives away: names, values as they are and as `DUMP`
/// writes them, times, and the file that it saves.
fn dump(server: &Server, client: &mut Client) -> Vec<u8> {
    let mut dump = Vec::new();
    for key in client.keys("*") {
        dump.extend_from_slice(key.as_bytes());
        dump.push(b'\n');
        for command in ["GET", "DUMP"] {
            dump.extend(client.call(&[command, &key]).bytes().unwrap());
            dump.push(b'\n');
        }
    }
    client.call(&["SAVE"]);
    dump.extend(fs::read(server.directory().join("dump.rdb")).unwrap());
    dump
}

fn holds(dump: &[u8], needle: &str) -> bool {
    dump.windows(needle.len())
        .any(|window| window == needle.as_bytes())
}

#[tokio::test]
async fn r19_a_copy_of_the_server_holds_neither_token_nor_secret_nor_client_id() {
    for kind in kinds("redis::r19_a_copy_of_the_server") {
        let server = Server::start(kind, &["--rdbcompression", "no"]);
        let emulator = Emulator::builder().plain_http().start().await.unwrap();
        let variables: Vec<(&str, OsString)> = vec![
            ("BLOOM_CLIENT_ID", emulator.client_id().into()),
            ("BLOOM_CLIENT_SECRET", emulator.client_secret().into()),
            ("BLOOM_TOKEN_URL", emulator.v2_token_url().into()),
            ("BLOOM_API_URL", emulator.api_url().into()),
            ("BLOOM_AUDIENCE", emulator.audience().into()),
            ("BLOOM_AUTH_VERSION", "v2".into()),
            ("BLOOM_SCOPE", "data-access:all".into()),
            ("BLOOM_ALLOW_INSECURE_LOOPBACK", "true".into()),
            ("BLOOM_CACHE", server.url().into()),
        ];
        let build = || {
            let variables = Arc::new(variables.clone());
            BloomAuth::from_lookup(move |name| {
                let found = variables.iter().find(|(it, _)| *it == name);
                found.map(|(_, value)| value.clone())
            })
            .unwrap()
        };
        let auth = build();
        let mut canaries = vec![
            emulator.client_id().to_owned(),
            emulator.client_secret(),
            emulator.audience().to_owned(),
            emulator.v2_token_url(),
            emulator.api_url(),
            "data-access:all".to_owned(),
        ];
        for _ in 0..3 {
            let token = auth.refresh().await.unwrap();
            assert!(!canaries.contains(&token.expose().to_owned()));
            canaries.push(token.expose().to_owned());
        }
        // It is what others find.
        let found = build().token().await.unwrap();
        assert_eq!(canaries.last().map(String::as_str), Some(found.expose()));
        assert_eq!(emulator.counts().token_requests, 3);

        let mut client = server.client();
        let clean = dump(&server, &mut client);
        assert!(clean.len() > 500);
        // The control: the same search finds whatever is there.
        for canary in &canaries {
            for (encoding, needle) in encodings(canary) {
                assert!(!holds(&clean, &needle), "{encoding} of {canary}");
                client.call(&["SET", "a:planted", &format!("before {needle} after")]);
                let planted = dump(&server, &mut client);
                assert!(holds(&planted, &needle), "{encoding} of {canary}");
                client.call(&["DEL", "a:planted"]);
            }
        }
    }
}
