//! Files in front of the server, as the settings choose them: the programs of
//! some machines, each with a directory of its own.

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf};

use bloom_auth::BloomAuth;
use bloom_auth_emulator::Emulator;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::server::{Server, any};

struct Setup {
    emulator: Emulator,
    server: Server,
    directory: TempDir,
}

impl Setup {
    /// A program that starts on this machine.
    fn program(&self, machine: &str) -> BloomAuth {
        let emulator = &self.emulator;
        let variables: BTreeMap<&str, OsString> = BTreeMap::from([
            ("BLOOM_CLIENT_ID", emulator.client_id().into()),
            ("BLOOM_CLIENT_SECRET", emulator.client_secret().into()),
            ("BLOOM_TOKEN_URL", emulator.v1_token_url().into()),
            ("BLOOM_API_URL", emulator.api_url().into()),
            ("BLOOM_AUDIENCE", emulator.audience().into()),
            ("BLOOM_ALLOW_INSECURE_LOOPBACK", "true".into()),
            ("BLOOM_CACHE", self.server.url().into()),
            ("BLOOM_CACHE_DIR", self.files(machine).into()),
        ]);
        BloomAuth::from_lookup(move |name| variables.get(name).cloned()).unwrap()
    }

    fn files(&self, machine: &str) -> PathBuf {
        self.directory.path().join(machine)
    }

    fn token_requests(&self) -> u64 {
        self.emulator.counts().token_requests
    }
}

#[tokio::test]
async fn r1_files_in_front_of_a_server_are_asked_first_and_go_on_without_it() {
    let Some(kind) = any("redis::tiers::r1_files_in_front_of_a_server") else {
        return;
    };
    let mut setup = Setup {
        emulator: Emulator::builder().plain_http().start().await.unwrap(),
        server: Server::start(kind, &[]),
        directory: tempfile::tempdir().unwrap(),
    };
    let token = setup.program("a").token().await.unwrap();
    // Another machine, which keeps what it finds.
    assert_eq!(setup.program("b").token().await.unwrap(), token);
    assert_eq!(setup.token_requests(), 1);
    let mut client = setup.server.client();
    let asked = client.calls("getrange");
    assert!(asked > 0);
    for machine in ["a", "b", "a"] {
        assert_eq!(setup.program(machine).token().await.unwrap(), token);
    }
    assert_eq!(client.calls("getrange"), asked);
    drop(client);

    setup.server.kill();
    for machine in ["a", "b"] {
        let auth = setup.program(machine);
        assert_eq!(auth.token().await.unwrap(), token);
        assert_eq!(auth.status().counts.cache_errors, 0);
    }
    assert_eq!(setup.token_requests(), 1);
    // A machine without a token shares one among its own programs.
    let mut calls = JoinSet::new();
    for _ in 0..8 {
        let auth = setup.program("c");
        calls.spawn(async move { auth.token().await.unwrap() });
    }
    let mut tokens = calls.join_all().await;
    tokens.dedup();
    assert_eq!(tokens.len(), 1);
    assert_eq!(setup.token_requests(), 2);
}
