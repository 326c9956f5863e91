//! The keyring, which is a script here.

use std::ffi::OsString;

use crate::support::{Ran, User, run, set_mode};

/// Runs `token --keyring` with this script as the platform's tool.
fn with_tool(user: &User, script: Option<&str>) -> Ran {
    let mut command = user.command(["token", "--keyring"]);
    command.env_remove("BLOOM_CLIENT_SECRET");
    let mut path = OsString::from(user.home());
    if let Some(script) = script {
        let tool = user.file("secret-tool", script);
        set_mode(&tool, 0o700);
    }
    path.push(":/usr/bin:/bin");
    run(command.env("PATH", path))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_platforms_tool_is_asked_and_never_waited_for_for_long() {
    let user = User::new().await;
    let (id, secret) = (user.emulator.client_id(), user.emulator.client_secret());
    let script = format!(
        "#!/bin/sh\n[ \"$*\" = 'lookup service bloom-auth client_id {id}' ] && printf %s '{secret}'\n"
    );
    let token = with_tool(&user, Some(&script)).ok();
    assert_eq!(token, user.run(["token"]).ok());
    for script in ["#!/bin/sh\nexit 1\n", "#!/bin/sh\nexec sleep 600\n"] {
        let error = with_tool(&user, Some(script)).failed(2);
        assert!(error.contains("--client-secret-file"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_tool_an_error_says_what_to_do() {
    let user = User::new().await;
    let mut command = user.command(["token", "--keyring"]);
    let empty = user.home().join("nothing");
    let error = run(command.env("PATH", empty)).failed(2);
    assert!(error.contains("secret-tool cannot be run"), "{error}");
}
