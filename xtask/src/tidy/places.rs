//! What may lie in the root of the repository: the first page that a visitor sees stays small.

use std::collections::BTreeSet;

use super::Violation;

const ROOT: &[&str] = &[
    ".cargo",
    ".ci",
    ".github",
    ".gitignore",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "clippy.toml",
    "crates",
    "deny.toml",
    "xtask",
];

pub(super) fn check(tracked: &BTreeSet<String>) -> Vec<Violation> {
    let first = |path: &String| path.split('/').next().map(str::to_owned);
    let entries: BTreeSet<String> = tracked.iter().filter_map(first).collect();
    let strangers = entries
        .into_iter()
        .filter(|entry| !ROOT.contains(&entry.as_str()));
    let complain = |entry| Violation::new(entry, "does not belong into the root");
    strangers.map(complain).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::expect;
    use super::*;

    #[track_caller]
    fn check_paths(paths: &[&str], expected: &[&str]) {
        let tracked = paths.iter().map(|&path| path.to_owned()).collect();
        expect(&check(&tracked), expected);
    }

    #[test]
    fn what_belongs_there_passes() {
        check_paths(
            &["README.md", ".github/SECURITY.md", "crates/a/NOTES.md"],
            &[],
        );
    }

    #[test]
    fn strangers_are_caught_once() {
        check_paths(
            &["NOTES.md", "docs/a.md", "docs/b.md", "xtask/src/main.rs"],
            &[
                "NOTES.md: does not belong into the root",
                "docs: does not belong into the root",
            ],
        );
    }
}
