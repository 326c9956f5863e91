//! Processes that have run out of something.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Builder;

use super::{Setup, role, said, say};

fn limit(resource: Resource, to: u64) {
    let maximum = getrlimit(resource).maximum;
    let limit = Rlimit {
        current: Some(to),
        maximum,
    };
    setrlimit(resource, limit).unwrap();
}

#[test]
fn x14_without_descriptors_the_token_at_hand_is_served() {
    const TEST: &str = "processes::limits::x14_without_descriptors_the_token_at_hand_is_served";
    if role().is_some() {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let auth = bloom_auth::BloomAuth::from_env().unwrap();
        runtime.block_on(async {
            let token = auth.token().await.unwrap();
            limit(Resource::Nofile, 0);
            assert_eq!(auth.token().await.unwrap(), token);
            let error = auth.refresh().await.unwrap_err();
            say("kind", &format!("{:?}", error.kind()));
            assert_eq!(auth.token().await.unwrap(), token);
            // Once there are some again, all is as before.
            limit(Resource::Nofile, 256);
            // And a tick of the coarse clock.
            let pause = error.retry_after().unwrap_or_default() + Duration::from_millis(50);
            tokio::time::sleep(pause).await;
            let new = auth.refresh().await.unwrap();
            assert_ne!(new, token);
            say("token", new.expose());
        });
        return;
    }
    let setup = Setup::new();
    let output = setup.child(TEST, "limited").output().unwrap();
    assert_eq!(said(&output, "kind"), "Connect");
    assert_eq!(setup.api_status(&said(&output, "token")), 200);
    assert!(output.status.success());
    assert_eq!(setup.token_requests(), 2);
}

#[test]
fn x15_a_process_that_runs_out_of_memory_says_no_secret() {
    const TEST: &str = "processes::limits::x15_a_process_that_runs_out_of_memory_says_no_secret";
    if role().is_some() {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let auth = bloom_auth::BloomAuth::from_env().unwrap();
        let token = runtime.block_on(auth.token()).unwrap();
        say("fingerprint", &token.fingerprint().to_string());
        limit(Resource::As, 64 << 20);
        // Full of tokens, until there is room for no more.
        let mut tokens = Vec::new();
        loop {
            tokens.push(token.expose().repeat(1024));
        }
    }
    let setup = Setup::new();
    let output = setup.child(TEST, "limited").output().unwrap();
    assert!(!output.status.success());
    let text = [output.stdout.clone(), output.stderr.clone()].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(text.contains("memory allocation of"), "{text}");
    assert!(!said(&output, "fingerprint").is_empty());
    assert!(!text.contains(&setup.emulator.client_secret()), "{text}");
    // Tokens of the emulator begin as every JWS does.
    let found = setup.runtime.block_on(setup.auth().token()).unwrap();
    assert_eq!(setup.token_requests(), 1);
    assert!(!text.contains(found.expose()), "{text}");
}
