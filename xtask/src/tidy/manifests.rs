//! What every member's manifest, and the root file of every crate that we ship, must say.

use std::collections::BTreeMap;

use super::Violation;
use super::snapshot::Member;

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
        for root in roots {
            if !text(root)
                .lines()
                .any(|line| line.trim_end() == "#![forbid(unsafe_code)]")
            {
                report(root, "lacks `#![forbid(unsafe_code)]`");
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

#[cfg(test)]
mod tests {
    use super::super::testing::{expect, files};
    use super::*;

    const MANIFEST: &str = "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n";
    const ROOT: &str = "//! A.\n#![forbid(unsafe_code)]\n";

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
        for manifest in [
            "",
            "[package]\n[lints.clippy]\nworkspace = true\n",
            "[lints]\n# workspace = true\n",
            "[lints]\n[dependencies]\nworkspace = true\n",
        ] {
            check_one(member(), manifest, ROOT, &[complaint]);
        }
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
        for root in [
            "",
            "//! A.\n#![deny(unsafe_code)]\n",
            "// #![forbid(unsafe_code)]\n",
        ] {
            check_one(member(), MANIFEST, root, &[complaint]);
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
