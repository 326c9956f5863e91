//! The exit codes, each from what it is promised for.

use std::time::Duration;

use bloom_auth_emulator::{Emulator, FaultRule};

use crate::support::{ORGANIZATION, User, run};

#[tokio::test(flavor = "multi_thread")]
async fn s5_settings_and_usage_end_with_2() {
    let user = User::new().await;
    let mut nothing = user.bare(["token"]);
    let error = run(&mut nothing).failed(2);
    assert!(error.contains("BLOOM_CLIENT_ID is not set"), "{error}");
    for args in [
        &[][..],
        &["nonsense"],
        &["token", "--nonsense"],
        &["token", "--format", "xml"],
        &["token", "--token-url", "http://example.com"],
        &["token", "--profile", "none"],
        &["request", "GET", "https://example.com/"],
        &["request", "FETCH", ORGANIZATION],
        &["exec", "true"],
        &["emulator", "--fault", "nonsense"],
    ] {
        user.run(args).failed(2);
    }
    assert_eq!(user.emulator.counts().connections, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn s5_a_refusal_ends_with_3_and_is_told_others_who_would_ask_the_same() {
    let user = User::new().await;
    let wrong = "0123456789abcdef0123456789abcdef";
    let refused = || run(user.command(["token"]).env("BLOOM_CLIENT_SECRET", wrong));
    let error = refused().failed(3);
    assert!(error.contains("refused the client"), "{error}");
    assert!(!error.contains(wrong), "{error}");
    let asked = user.token_requests();
    refused().failed(3);
    assert_eq!(user.token_requests(), asked);
    let error = user.run(["token", "--audience", "other"]).failed(3);
    assert!(error.contains("audience"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn s5_trouble_of_server_and_network_ends_with_4() {
    for fault in [
        "unavailable",
        "login-page",
        "rate-limited-openly",
        "expires-in-zero",
    ] {
        let rule = fault.parse::<FaultRule>().unwrap();
        let user = User::of(Emulator::builder().plain_http().fault(rule)).await;
        let error = user.run(["token"]).failed(4);
        assert!(error.starts_with("error: "), "{error}");
    }
    let user = User::new().await;
    // Nobody listens there, and no other test is given that port.
    let url = "http://127.0.0.1:1/oauth/token";
    let error = user.run(["token", "--token-url", url]).failed(4);
    assert!(error.contains("no connection"), "{error}");
    // A certificate that nobody vouches for.
    let user = User::of(Emulator::builder()).await;
    let error = user.run(["token"]).failed(4);
    assert!(error.contains("TLS"), "{error}");
    let ca = user.file("ca.pem", user.emulator.ca_pem().unwrap());
    user.run(["token", "--ca-file", ca.to_str().unwrap()]).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn s5_a_refusal_of_the_api_ends_with_5_and_its_trouble_with_4() {
    let user = User::new().await;
    let missing = user.run(["request", "GET", "/v2/core/nothing"]);
    assert_eq!(missing.code, Some(5), "{}", missing.stderr);
    // What the API says of it is the body.
    assert!(missing.stdout.contains("404"), "{}", missing.stdout);
    assert_eq!(missing.stderr, "error: the API answered 404 Not Found\n");
    let rule: FaultRule = "server-error@api".parse().unwrap();
    user.emulator.set_fault(rule);
    let trouble = user.run(["request", "GET", ORGANIZATION]);
    assert_eq!(trouble.code, Some(4), "{}", trouble.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn s5_files_that_cannot_be_used_end_with_6() {
    let user = User::new().await;
    user.run([
        "request",
        "POST",
        "/v2/core/consumers",
        "--data",
        "@/nowhere/at-all",
    ])
    .failed(6);
    let file = user.file("no-directory", "");
    let below = file.join("man");
    user.run(["man", "--dir", below.to_str().unwrap()])
        .failed(6);
    user.run(["cache", "list", "--cache-dir", file.to_str().unwrap()])
        .failed(6);
    // For a token the cache is only a help.
    let ran = user.run(["token", "--cache-dir", file.to_str().unwrap()]);
    assert_eq!(ran.code, Some(0));
    assert!(ran.stderr.starts_with("warning: "), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer_is_waited_for_no_longer_than_the_library_does() {
    let user = User::of(Emulator::builder().plain_http()).await;
    user.run(["token"]).ok();
    user.emulator.set_latency(Duration::from_secs(3600));
    // What is held needs no server.
    user.run(["token"]).ok();
}
