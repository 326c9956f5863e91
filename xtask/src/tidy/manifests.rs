//! What every member's manifest, and the root file of every crate that we ship, must say.

use std::collections::BTreeMap;

use super::Violation;
use super::snapshot::Member;

/// With it, docs.rs says of each item which feature it needs.
const DOC_CFG: &str = "#![cfg_attr(docsrs, feature(doc_cfg))]";

pub(super) fn check(members: &[Member], texts: &BTreeMap<String, String>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for member in members {
        let Member {
            name,
            manifest,
            description,
            roots,
            ..
        } = member;
        let mut report = |path: &str, message: &str| violations.push(Violation::new(path, message));

        let text = |path: &String| texts.get(path).map_or("", String::as_str);
        if !inherits_lints(text(manifest)) {
            report(
                manifest,
                "lacks `[lints] workspace = true`, so no lint of ours applies",
            );
        }
        let folder = manifest.rsplit('/').nth(1);
        if folder != Some(name.as_str()) {
            report(
                manifest,
                &format!("the folder must have the name of the crate, `{name}`"),
            );
        }
        if !manifest.starts_with("crates/") {
            continue;
        }
        if description
            .as_deref()
            .is_none_or(|description| description.trim().is_empty())
        {
            report(manifest, "lacks a `description`");
        }
        if !is_shown_whole(text(manifest)) {
            report(
                manifest,
                "lacks `[package.metadata.docs.rs]` with `all-features = true` and \
                 `rustdoc-args = [\"--cfg\", \"docsrs\"]`",
            );
        }
        for root in roots {
            if !text(root)
                .lines()
                .any(|line| line.trim_end() == "#![forbid(unsafe_code)]")
            {
                report(root, "lacks `#![forbid(unsafe_code)]`");
            }
            if root.ends_with("/lib.rs") && !text(root).lines().any(|line| line == DOC_CFG) {
                report(root, &format!("lacks `{DOC_CFG}`"));
            }
        }
    }
    violations
}

fn inherits_lints(manifest: &str) -> bool {
    let mut section = "";
    manifest.lines().any(|line| {
        let line = line.split_once('#').map_or(line, |(code, _)| code).trim();
        if line.starts_with('[') {
            section = line;
        }
        let setting: String = line.split_whitespace().collect();
        section == "[lints]" && setting == "workspace=true"
            || section.is_empty() && setting == "lints.workspace=true"
    })
}

/// Whether docs.rs is told to build the crate with all features, and to show them.
fn is_shown_whole(manifest: &str) -> bool {
    let manifest = manifest.parse::<toml::Table>().unwrap_or_default();
    let mut settings = toml::Value::Table(manifest);
    for key in ["package", "metadata", "docs", "rs"] {
        let Some(inner) = settings.get(key).cloned() else {
            return false;
        };
        settings = inner;
    }
    let arguments = toml::Value::from(vec!["--cfg", "docsrs"]);
    settings.get("all-features") == Some(&toml::Value::from(true))
        && settings.get("rustdoc-args") == Some(&arguments)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{expect, files};
    use super::*;

    const MANIFEST: &str = "\
[package]
name = \"a\"

[package.metadata.docs.rs]
all-features = true
rustdoc-args = [\"--cfg\", \"docsrs\"]

[lints]
workspace = true
";
    const ROOT: &str = "\
//! A.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
";

    fn member() -> Member {
        Member {
            name: "a".to_owned(),
            manifest: "crates/a/Cargo.toml".to_owned(),
            description: Some("A crate".to_owned()),
            roots: vec!["crates/a/src/lib.rs".to_owned()],
            edges: Vec::new(),
        }
    }

    #[track_caller]
    fn check_one(member: Member, manifest: &str, root: &str, expected: &[&str]) {
        let texts = [
            (member.manifest.as_str(), manifest),
            ("crates/a/src/lib.rs", root),
        ];
        let texts = files(&texts);
        expect(&check(&[member], &texts), expected);
    }

    #[test]
    fn a_good_member_passes() {
        check_one(member(), MANIFEST, ROOT, &[]);
    }

    #[test]
    fn missing_lints_are_caught() {
        let complaint = "crates/a/Cargo.toml: lacks `[lints] workspace = true`, so no lint of \
                         ours applies";
        let (head, _) = MANIFEST.split_once("[lints]").unwrap();
        for lints in [
            "",
            "[lints.clippy]\nworkspace = true\n",
            "[lints]\n# workspace = true\n",
            "[lints]\n[dependencies]\nworkspace = true\n",
        ] {
            check_one(member(), &format!("{head}{lints}"), ROOT, &[complaint]);
        }
    }

    #[test]
    fn documentation_without_features_is_caught() {
        let complaint = "crates/a/Cargo.toml: lacks `[package.metadata.docs.rs]` with \
                         `all-features = true` and `rustdoc-args = [\"--cfg\", \"docsrs\"]`";
        for (good, bad) in [
            ("all-features = true", ""),
            ("all-features = true", "all-features = false"),
            ("\"docsrs\"", "\"docs\""),
            ("[package.metadata.docs.rs]", "[package.metadata.docs]"),
        ] {
            let manifest = MANIFEST.replace(good, bad);
            check_one(member(), &manifest, ROOT, &[complaint]);
        }
        let root = ROOT.replace("#![cfg_attr", "// #![cfg_attr");
        let complaint = "crates/a/src/lib.rs: lacks `#![cfg_attr(docsrs, feature(doc_cfg))]`";
        check_one(member(), MANIFEST, &root, &[complaint]);
    }

    #[test]
    fn a_missing_description_is_caught() {
        for description in [None, Some(" ".to_owned())] {
            let member = Member {
                description,
                ..member()
            };
            check_one(
                member,
                MANIFEST,
                ROOT,
                &["crates/a/Cargo.toml: lacks a `description`"],
            );
        }
    }

    #[test]
    fn allowed_unsafe_code_is_caught() {
        let complaint = "crates/a/src/lib.rs: lacks `#![forbid(unsafe_code)]`";
        let good = "#![forbid(unsafe_code)]";
        for bad in ["", "#![deny(unsafe_code)]", "// #![forbid(unsafe_code)]"] {
            let root = ROOT.replace(good, bad);
            check_one(member(), MANIFEST, &root, &[complaint]);
        }
    }

    #[test]
    fn another_folder_name_is_caught() {
        let member = Member {
            manifest: "crates/b/Cargo.toml".to_owned(),
            ..member()
        };
        let complaint = "crates/b/Cargo.toml: the folder must have the name of the crate, `a`";
        check_one(member, MANIFEST, ROOT, &[complaint]);
    }

    #[test]
    fn tools_need_lints_only() {
        let member = Member {
            manifest: "a/Cargo.toml".to_owned(),
            description: None,
            roots: Vec::new(),
            ..member()
        };
        check_one(member, MANIFEST, "", &[]);
    }
}
