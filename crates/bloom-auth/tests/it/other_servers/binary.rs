//! The command line tool against them: what it prints, and its exit codes.

use std::process::{Command, Output, Stdio};

use bloom_auth_core::test_util::skip;

use super::{
    CLIENTS, Door, Kind, SECRET, Server, Variables, WRONG_SECRET, server::variable, untrusted,
    variables,
};

/// The path of the tool, which another crate builds; `cargo xtask test --interop`
/// sets it.
const BINARY: &str = "BLOOM_AUTH_BINARY";

/// The tool, and a server to use it with.
struct Setup {
    server: Server,
    tool: std::ffi::OsString,
}

impl Setup {
    /// `None` if either is not there, and `test` is then skipped.
    fn new(kind: Kind, test: &str) -> Option<Self> {
        let Some(tool) = variable(BINARY) else {
            skip(test, "needs what `cargo xtask test --interop` builds");
            return None;
        };
        let server = Server::start(kind, test)?;
        Some(Self { server, tool })
    }

    /// `bloom-auth token` with these variables alone, and a home of its own.
    fn token(&self, variables: &Variables) -> Output {
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new(&self.tool);
        command.arg("token").stdin(Stdio::null()).env_clear();
        // No socket opens on Windows without it.
        if let Some(root) = variable("SystemRoot") {
            command.env("SystemRoot", root);
        }
        for name in ["HOME", "APPDATA", "LOCALAPPDATA"] {
            command.env(name, home.path());
        }
        let output = command.envs(variables).output().unwrap();
        let left = home.path().read_dir().unwrap().count();
        assert_eq!(left, 0, "nothing is kept");
        output
    }

    /// Fails with this code, and prints no token and no secret.
    fn fails(&self, variables: &Variables, code: i32, what: &str) {
        let output = self.token(variables);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{what}: {stderr}");
        assert!(output.stdout.is_empty(), "{what}");
        assert!(!stderr.is_empty(), "{what}");
        for secret in [SECRET, WRONG_SECRET] {
            assert!(!stderr.contains(secret), "{what}: {stderr}");
        }
    }
}

fn prints_tokens(kind: Kind, test: &str) {
    let Some(setup) = Setup::new(kind, test) else {
        return;
    };
    for client in CLIENTS {
        let variables = variables(&setup.server, Door::Good, *client);
        // Two, as none is kept.
        let [first, second] = [(); 2].map(|()| {
            let output = setup.token(&variables);
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(0), "{client:?}: {stderr}");
            assert_eq!(stderr, "", "{client:?}");
            String::from_utf8(output.stdout).unwrap()
        });
        let token = first.strip_suffix('\n').unwrap();
        assert!(token.len() > 20, "{token}");
        assert!(!token.contains(char::is_whitespace), "{token}");
        assert_ne!(first, second);
    }
    assert_eq!(setup.server.requests(), 2 * CLIENTS.len());
}

fn ends_with_3_for_wrong_secrets(kind: Kind, test: &str) {
    let Some(setup) = Setup::new(kind, test) else {
        return;
    };
    let with_secret = || CLIENTS.iter().filter(|client| client.has_secret());
    for client in with_secret() {
        let mut variables = variables(&setup.server, Door::Good, *client);
        variables.insert("BLOOM_CLIENT_SECRET", WRONG_SECRET.into());
        setup.fails(&variables, 3, client.id);
    }
    assert_eq!(setup.server.requests(), with_secret().count());
}

fn ends_with_4_for_wrong_certificates(kind: Kind, test: &str) {
    let Some(setup) = Setup::new(kind, test) else {
        return;
    };
    for (what, variables) in untrusted(&setup.server) {
        setup.fails(&variables, 4, what);
    }
    assert_eq!(setup.server.requests(), 0);
}

#[test]
fn the_tool_prints_tokens_of_oidc_provider() {
    let test = "the_tool_prints_tokens_of_oidc_provider";
    prints_tokens(Kind::OidcProvider, test);
}

#[test]
fn the_tool_prints_tokens_of_authlib() {
    prints_tokens(Kind::Authlib, "the_tool_prints_tokens_of_authlib");
}

#[test]
fn the_tool_ends_with_3_for_secrets_that_oidc_provider_refuses() {
    let test = "the_tool_ends_with_3_for_secrets_that_oidc_provider_refuses";
    ends_with_3_for_wrong_secrets(Kind::OidcProvider, test);
}

#[test]
fn the_tool_ends_with_3_for_secrets_that_authlib_refuses() {
    let test = "the_tool_ends_with_3_for_secrets_that_authlib_refuses";
    ends_with_3_for_wrong_secrets(Kind::Authlib, test);
}

#[test]
fn the_tool_ends_with_4_for_wrong_certificates_of_oidc_provider() {
    let test = "the_tool_ends_with_4_for_wrong_certificates_of_oidc_provider";
    ends_with_4_for_wrong_certificates(Kind::OidcProvider, test);
}

#[test]
fn the_tool_ends_with_4_for_wrong_certificates_of_authlib() {
    let test = "the_tool_ends_with_4_for_wrong_certificates_of_authlib";
    ends_with_4_for_wrong_certificates(Kind::Authlib, test);
}
