//! A test that needs another environment runs itself again in a process of
//! its own: the environment of this one belongs to all tests.

use std::process::Command;

/// Set in the second process.
const CHILD: &str = "BLOOM_AUTH_REQWEST_TEST_CHILD";

/// What decides about proxies, by whichever case of its name.
const PROXY_VARIABLES: [&str; 4] = ["http_proxy", "https_proxy", "all_proxy", "no_proxy"];

/// Whether this is the second process.
#[expect(
    clippy::disallowed_methods,
    reason = "a test's own process, not the library's settings"
)]
pub(crate) fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Runs this one test (its path, such as `tls::a_test`) in a second process,
/// with these variables and no proxies but theirs; it must pass.
pub(crate) async fn run(test: &'static str, variables: Vec<(&'static str, String)>) {
    assert!(!is_child(), "a child has no children");
    let mut command = Command::new(std::env::current_exe().unwrap());
    for name in PROXY_VARIABLES {
        command.env_remove(name);
        command.env_remove(name.to_uppercase());
    }
    command
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "1")
        .envs(variables);
    // Elsewhere, as the servers of this test have to go on.
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    // A name that is no test's would pass as well.
    assert!(text.contains("1 passed"), "{test} was not run: {text}");
}
