//! The features to build with: all of them, but for those that this machine lacks a library for.

use std::process::{Command, Stdio};

use cargo_metadata::Metadata;

use crate::sys;

/// Needs OpenSSL's headers on Linux; elsewhere the platform brings its own library.
const NATIVE_TLS: &str = "native-tls";

const MISSING: &str = "OpenSSL's headers are not installed, try \
                       `apt-get install pkg-config libssl-dev`";

/// What cargo is told of features, for commands on the whole workspace.
pub(crate) struct Features {
    has_openssl: bool,
    arguments: Vec<String>,
}

impl Features {
    /// Asks the machine what it has.
    pub(crate) fn of_this_machine() -> anyhow::Result<Self> {
        let has_openssl = !cfg!(target_os = "linux") || finds_openssl();
        let arguments = arguments(&sys::workspace()?, has_openssl);
        Ok(Self {
            has_openssl,
            arguments,
        })
    }

    pub(crate) fn arguments(&self) -> &[String] {
        &self.arguments
    }

    /// Whether a feature of this name can be built.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.has_openssl || name != NATIVE_TLS
    }

    /// What is left out, and what to install for it.
    pub(crate) fn left_out(&self) -> Option<String> {
        (!self.has_openssl).then(|| format!("feature `{NATIVE_TLS}`: {MISSING}"))
    }
}

/// As its bindings look for it.
#[expect(
    clippy::disallowed_methods,
    reason = "a build script reads it from the environment"
)]
fn finds_openssl() -> bool {
    if std::env::var_os("OPENSSL_DIR").is_some() {
        return true;
    }
    let mut pkg_config = Command::new("pkg-config");
    pkg_config.args(["--exists", "openssl"]);
    pkg_config.stdout(Stdio::null()).stderr(Stdio::null());
    pkg_config.status().is_ok_and(|status| status.success())
}

fn arguments(workspace: &Metadata, has_openssl: bool) -> Vec<String> {
    if has_openssl {
        return vec!["--all-features".to_owned()];
    }
    let mut features = Vec::new();
    for package in workspace.workspace_packages() {
        for feature in package.features.keys() {
            if feature != NATIVE_TLS {
                features.push(format!("{}/{feature}", package.name));
            }
        }
    }
    vec!["--features".to_owned(), features.join(",")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_features_but_one_are_named() {
        let workspace = sys::workspace().unwrap();
        assert_eq!(arguments(&workspace, true), ["--all-features"]);
        let named = arguments(&workspace, false);
        let [flag, list] = named.as_slice() else {
            panic!("{named:?}");
        };
        assert_eq!(flag, "--features");
        let list: Vec<_> = list.split(',').collect();
        for name in ["bloom-auth/default", "bloom-auth-reqwest/http2"] {
            assert!(list.contains(&name), "{name} is not in {list:?}");
        }
        assert!(
            list.iter().all(|name| !name.contains(NATIVE_TLS)),
            "{list:?}"
        );
    }

    #[test]
    fn what_is_left_out_is_said() {
        let features = |has_openssl| Features {
            has_openssl,
            arguments: Vec::new(),
        };
        assert_eq!(features(true).left_out(), None);
        assert!(features(true).has(NATIVE_TLS));
        let said = features(false).left_out().unwrap();
        assert!(said.contains("libssl-dev"), "{said}");
        assert!(!features(false).has(NATIVE_TLS));
        assert!(features(false).has("rustls"));
    }
}
