//! `token`: what it prints, and what it costs the server.

use std::time::Duration;

use bloom_auth_emulator::Emulator;

use crate::support::{User, json, run};

#[tokio::test(flavor = "multi_thread")]
async fn s2_a_pipe_gets_the_token_and_nothing_else_and_the_next_one_the_same() {
    let user = User::new().await;
    let first = user.run(["token"]).ok();
    assert_eq!(first.lines().count(), 1);
    let (token, end) = first.split_at(first.len() - 1);
    assert!(end == "\n" && token.split('.').count() == 3 && !token.contains(char::is_whitespace));
    assert_eq!(user.run(["token"]).ok(), first);
    assert_eq!(user.token_requests(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_has_the_same_token() {
    let user = User::new().await;
    let token = user.run(["token"]).ok();
    let token = token.trim_end();
    let header = user.run(["token", "--format", "header"]).ok();
    assert_eq!(header, format!("Authorization: Bearer {token}\n"));

    let object = json(&user.run(["token", "--format", "json"]).ok());
    assert_eq!(object["access_token"], token);
    assert_eq!(object["token_type"], "Bearer");
    assert_eq!(object["audience"], user.emulator.audience());
    assert_eq!(object["source"], "cache");
    assert!(
        object["scope"]
            .as_str()
            .unwrap()
            .contains("read:organization")
    );
    assert_eq!(object["fingerprint"].as_str().unwrap().len(), 8);
    let left = object["expires_in"].as_u64().unwrap();
    assert!((86_000..=86_400).contains(&left), "{left}");
    let expiry = object["expires_at"].as_str().unwrap();
    assert!(expiry.len() == 20 && expiry.ends_with('Z'), "{expiry}");
    assert_eq!(object.as_object().unwrap().len(), 8);

    let fetched = user.run(["token", "--format", "json", "--refresh"]).ok();
    assert_eq!(json(&fetched)["source"], "server");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn s4_lines_for_a_shell_set_variables_and_do_nothing_else() {
    let user = User::new().await;
    let token = user.run(["token"]).ok();
    let lines = user.run(["token", "--format", "env"]).ok();
    assert_eq!(lines.lines().count(), 2);
    let mut shell = std::process::Command::new("sh");
    let script = "eval \"$LINES_OF_IT\"; echo \"$BLOOM_ACCESS_TOKEN\"; sh -c 'echo \
                  $BLOOM_ACCESS_TOKEN_EXPIRES_AT' | grep -c 'T.*Z$'";
    let output = run(shell.args(["-c", script]).env("LINES_OF_IT", lines));
    assert_eq!(output.ok(), format!("{token}1\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_fetches_whatever_is_held() {
    let user = User::new().await;
    let first = user.run(["token"]).ok();
    let second = user.run(["token", "--refresh"]).ok();
    assert_ne!(first, second);
    // It is kept for the others.
    assert_eq!(user.run(["token"]).ok(), second);
    assert_eq!(user.token_requests(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_stands_for_as_long_as_it_is_wanted_to() {
    let user = User::of(Emulator::builder().plain_http()).await;
    user.emulator.set_token_lifetime(Duration::from_secs(600));
    let short = user.run(["token"]).ok();
    let enough = user.run(["token", "--min-lifetime", "300"]).ok();
    assert_eq!(enough, short);
    assert_eq!(user.token_requests(), 1);

    user.emulator.set_token_lifetime(Duration::from_secs(3600));
    let long = user.run(["token", "--min-lifetime", "1800"]).ok();
    assert_ne!(long, short);
    assert_eq!(user.run(["token", "--min-lifetime", "1800"]).ok(), long);
    assert_eq!(user.token_requests(), 2);

    // No token of this server does: one try, and nothing on stdout.
    let error = user.run(["token", "--min-lifetime", "7200"]).failed(4);
    assert!(error.contains("--min-lifetime"), "{error}");
    assert_eq!(user.token_requests(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_cache_every_command_fetches() {
    let user = User::new().await;
    for cache in ["none", "memory"] {
        user.run(["token", "--cache", cache]).ok();
    }
    assert_eq!(user.token_requests(), 2);
    assert!(!user.cache().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_authorization_server_wants_scopes() {
    let user = User::new().await;
    let url = user.emulator.v2_token_url();
    let command = |scope: &[&str]| {
        let args = ["token", "--format", "json", "--auth-version", "v2"];
        let args = args.iter().chain(scope);
        run(user.command(args).env("BLOOM_TOKEN_URL", &url))
    };
    let error = command(&[]).failed(2);
    assert!(error.contains("scope"), "{error}");
    let object = json(&command(&["--scope", "data-access:all"]).ok());
    assert_eq!(object["scope"], "data-access:all");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_too_short_to_seal_files_with_is_warned_of() {
    let builder = Emulator::builder().plain_http();
    let user = User::of(builder.client("id", "short-canary")).await;
    let ran = user.run(["token"]);
    assert_eq!(ran.code, Some(0));
    assert!(ran.stderr.starts_with("warning: "), "{}", ran.stderr);
    assert!(!ran.stderr.contains("short-canary"));
    assert_eq!(user.run(["token", "--quiet"]).ok().lines().count(), 1);
}
