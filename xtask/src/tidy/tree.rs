//! What comes in with the crates that we depend on: core stays small, the facade ships no test server.

use std::collections::BTreeSet;

use super::Violation;
use crate::sys;

/// A limit for everything that a crate brings into a build.
struct Limit {
    /// A member of the workspace.
    name: &'static str,
    /// More arguments for `cargo tree`.
    args: &'static [&'static str],
    /// The crates in its tree, itself included.
    most: Option<usize>,
    /// A name, or the start of one if it ends in `*`.
    never: &'static [&'static str],
}

const LIMITS: &[Limit] = &[
    // Whoever has an HTTP stack of their own takes core alone.
    Limit {
        name: "bloom-auth-core",
        args: &["--edges", "normal"],
        most: Some(45),
        never: &[
            "reqwest",
            "hyper",
            "hyper-util",
            "h2",
            "rustls",
            "native-tls",
            "openssl",
            "openssl-sys",
            "ring",
            "aws-lc-rs",
            "url",
            "idna",
            "icu_*",
            "ureq",
            "isahc",
            "curl",
        ],
    },
    // Nor does a cache in memory bring what one on a server needs.
    Limit {
        name: "bloom-auth-cache",
        args: &["--edges", "normal"],
        most: Some(45),
        never: &[
            "redis",
            "rustls",
            "tokio-rustls",
            "url",
            "idna",
            "aws-lc-rs",
        ],
    },
    Limit {
        name: "bloom-auth-cache",
        args: &["--edges", "normal,build", "--all-features"],
        most: None,
        never: &["reqwest", "hyper", "native-tls", "openssl-sys", "ring"],
    },
    // What nobody asked for stays out: bare reqwest brings most of the rest.
    Limit {
        name: "bloom-auth",
        args: &["--edges", "normal"],
        most: Some(110),
        never: &[
            "bloom-auth-tower",
            "chacha20poly1305",
            "h2",
            "hkdf",
            "metrics",
            "mockall",
            "moka",
            "native-tls",
            "openssl-sys",
            "redis",
            "reqwest-middleware",
            "ring",
        ],
    },
    Limit {
        name: "bloom-auth",
        args: &["--edges", "normal,build", "--all-features"],
        most: None,
        never: &["bloom-auth-emulator", "axum", "rcgen"],
    },
];

pub(super) fn check() -> anyhow::Result<Vec<Violation>> {
    let mut violations = Vec::new();
    for limit in LIMITS {
        let mut cargo = sys::cargo();
        cargo.args([
            "tree",
            "--locked",
            "--color",
            "never",
            "--prefix",
            "none",
            "--package",
            limit.name,
        ]);
        let output = sys::output(cargo.args(limit.args))?;
        violations.extend(check_tree(limit, &crates(&output)));
    }
    Ok(violations)
}

/// A name and a version.
pub(crate) type Crate<'a> = (&'a str, &'a str);

/// The distinct crates in the output of `cargo tree --prefix none`.
pub(crate) fn crates(output: &str) -> BTreeSet<Crate<'_>> {
    let parse = |line| {
        let mut words = str::split_whitespace(line);
        Some((words.next()?, words.next()?))
    };
    output.lines().filter_map(parse).collect()
}

fn check_tree(limit: &Limit, tree: &BTreeSet<Crate<'_>>) -> Vec<Violation> {
    let mut violations = Vec::new();
    if tree.is_empty() {
        violations.push(Violation::new(limit.name, "cargo shows no tree"));
    }
    if let Some(most) = limit.most
        && tree.len() > most
    {
        let message = format!("brings {} crates, {most} at most", tree.len());
        violations.push(Violation::new(limit.name, message));
    }
    for (name, version) in tree {
        let is_meant = |never: &&str| match never.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == never,
        };
        if limit.never.iter().any(is_meant) {
            violations.push(Violation::new(
                limit.name,
                format!("brings {name} {version}"),
            ));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::super::testing::expect;
    use super::*;

    const TREE: &str = "\
bloom-auth-core v0.1.0 (/src/crates/bloom-auth-core)
bytes v1.12.2
http v1.5.0
bytes v1.12.2
thiserror-impl v2.0.21 (proc-macro)
http v1.5.0 (*)

";

    const LIMIT: Limit = Limit {
        name: "bloom-auth-core",
        args: &[],
        most: Some(4),
        never: &["url", "icu_*"],
    };

    #[track_caller]
    fn check(output: &str, expected: &[&str]) {
        expect(&check_tree(&LIMIT, &crates(output)), expected);
    }

    #[test]
    fn crates_count_once() {
        check(TREE, &[]);
    }

    #[test]
    fn one_crate_too_many_is_caught() {
        let tree = format!("{TREE}bytes v0.5.0\n");
        check(&tree, &["bloom-auth-core: brings 5 crates, 4 at most"]);
    }

    #[test]
    fn forbidden_crates_are_caught() {
        check(
            "icu_properties v2.1.0\nurl v2.5.0\nurlencoding v1.0.0\n",
            &[
                "bloom-auth-core: brings icu_properties v2.1.0",
                "bloom-auth-core: brings url v2.5.0",
            ],
        );
    }

    #[test]
    fn no_tree_is_not_a_small_tree() {
        check("\n", &["bloom-auth-core: cargo shows no tree"]);
    }
}
