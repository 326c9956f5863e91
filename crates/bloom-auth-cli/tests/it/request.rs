//! `request`: what is sent, what is printed, and who may get the token.

use bloom_auth_emulator::{Emulator, FaultRule};

use crate::support::{ORGANIZATION, User, json, run_with_stdin};

#[tokio::test(flavor = "multi_thread")]
async fn the_body_is_printed_and_the_head_where_it_is_wanted() {
    let user = User::new().await;
    let body = user.run(["request", "GET", ORGANIZATION]).ok();
    assert_eq!(json(&body)["data"]["type"], "organization");
    let all = user.run(["request", "get", ORGANIZATION, "--include"]).ok();
    let (head, rest) = all.split_once("\n\n").unwrap();
    assert!(
        head.starts_with("HTTP 200 OK\n") && head.contains("content-type: "),
        "{head}"
    );
    assert_eq!(rest, body);
    assert_eq!(user.token_requests(), 1);
    assert_eq!(user.emulator.counts().api_authorized, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_sent_from_the_line_a_file_or_the_standard_input() {
    let user = User::new().await;
    let file = user.file("body.json", r#"{"n":2}"#);
    let post = ["request", "POST", "/v2/core/consumers", "--data"];
    let args = |data: &str| {
        post.iter()
            .map(|it| (*it).to_owned())
            .chain([data.to_owned()])
    };
    user.run(args(r#"{"n":1}"#)).ok();
    user.run(args(&format!("@{}", file.display()))).ok();
    let large = format!(r#"{{"n":3,"text":"{}"}}"#, "x".repeat(40_000));
    run_with_stdin(&mut user.command(args("@-")), large.as_bytes()).ok();
    let listed = user.run(["request", "GET", "/v2/core/consumers"]).ok();
    for n in ["\"n\":1", "\"n\":2", "\"n\":3"] {
        assert!(listed.contains(n), "{n}");
    }
    assert!(listed.len() > 40_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_the_api_refuses_is_replaced() {
    let user = User::new().await;
    user.run(["token"]).ok();
    user.emulator.revoke_all();
    user.run(["request", "GET", ORGANIZATION]).ok();
    assert_eq!(user.token_requests(), 2);
    assert_eq!(user.emulator.counts().api_unauthorized, 1);
    // The others have the new one too.
    user.run(["request", "GET", ORGANIZATION]).ok();
    assert_eq!(user.token_requests(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_goes_to_another_origin_only_where_that_is_allowed() {
    let user = User::new().await;
    let other = Emulator::builder().plain_http().start().await.unwrap();
    let url = format!("{}{ORGANIZATION}", other.origin());
    let error = user.run(["request", "GET", &url]).failed(2);
    assert!(error.contains("--allow-origin"), "{error}");
    for path in ["//127.0.0.1/x", "HTTP://127.0.0.1/x"] {
        user.run(["request", "GET", path]).failed(2);
    }
    let elsewhere = ["--allow-origin", "https://example.com"];
    let args = ["request", "GET", &url].into_iter().chain(elsewhere);
    user.run(args).failed(2);
    assert_eq!(other.counts().connections, 0);

    let ran = user.run(["request", "GET", &url, "--allow-origin", other.origin()]);
    // It is there now, and means nothing to that API.
    assert_eq!(ran.code, Some(5), "{}", ran.stderr);
    assert_eq!(other.counts().api_unauthorized, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_header_of_the_token_is_not_for_others_to_set() {
    let user = User::new().await;
    let header = "Authorization: Bearer canary";
    let error = user
        .run(["request", "GET", ORGANIZATION, "--header", header])
        .failed(2);
    assert!(!error.contains("canary"), "{error}");
    user.run(["request", "GET", ORGANIZATION, "-H", "X-A: b"])
        .ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standard_input_is_the_secret_or_the_body() {
    let user = User::new().await;
    let post = ["request", "POST", "/v2/core/consumers"];
    let both = ["--data", "@-", "--secret-stdin"];
    let mut command = user.command(post.into_iter().chain(both));
    let error = run_with_stdin(&mut command, b"{}").failed(2);
    assert!(error.contains("both read the standard input"), "{error}");
    assert_eq!(user.emulator.counts().connections, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_limit_that_has_passed_is_told_as_such() {
    let user = User::new().await;
    user.run(["token"]).ok();
    let get = ["request", "GET", ORGANIZATION, "--timeout"];
    user.run(get.into_iter().chain(["0"])).failed(2);
    for fault in ["no-answer@api", "slow-body@api"] {
        user.emulator.set_fault(fault.parse::<FaultRule>().unwrap());
        let ran = user.run(get.into_iter().chain(["1"]));
        assert_eq!(ran.code, Some(4), "{fault}: {}", ran.stderr);
        assert!(
            ran.stderr.contains("raise --timeout"),
            "{fault}: {}",
            ran.stderr
        );
    }
}
