//! Links between the files of the repository: each must lead to one of them.

use std::collections::{BTreeMap, BTreeSet};

use super::Violation;
use super::snapshot::extension;

pub(super) fn check(files: &BTreeSet<String>, texts: &BTreeMap<String, String>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, text) in texts
        .iter()
        .filter(|(path, _)| extension(path) == Some("md"))
    {
        for (index, target) in links(text) {
            let found = match resolve(path, &target) {
                Target::Elsewhere => true,
                Target::Outside => false,
                Target::Here(file) => exists(files, &file),
            };
            if !found {
                let message = format!("`{target}` leads nowhere");
                violations.push(Violation::at_line(path, index, message));
            }
        }
    }
    violations
}

/// Where each link leads, with the index of its line.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    let mut fence = None;
    for (index, line) in text.lines().enumerate() {
        let start = line.trim_start();
        let mark = ["```", "~~~"]
            .into_iter()
            .find(|mark| start.starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            _ => {}
        }
        if fence.is_some() || mark.is_some() {
            continue;
        }
        // What is between backticks is code; even parts are outside of them.
        let prose: String = line.split('`').step_by(2).collect();
        let targets = prose
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split_once(')'));
        links.extend(targets.map(|(target, _)| (index, target.to_owned())));
        if start.starts_with('[')
            && let Some((_, target)) = prose.split_once("]:")
        {
            links.push((index, target.to_owned()));
        }
    }
    links
}

enum Target {
    /// Not a file of ours: the web, an item of a crate, or a heading of the same page.
    Elsewhere,
    /// Above the root of the repository.
    Outside,
    Here(String),
}

/// What the link `target` in the file `from` means.
fn resolve(from: &str, target: &str) -> Target {
    let target = target.split_whitespace().next().unwrap_or("");
    let target = target.trim_start_matches('<').trim_end_matches('>');
    // What is in documentation leads to items, too; rustdoc checks that.
    let is_item = target.contains("::");
    if is_item || target.contains("://") || target.starts_with("mailto:") || target.starts_with('#')
    {
        return Target::Elsewhere;
    }
    let target = target.split(['#', '?']).next().unwrap_or("");
    let mut parts: Vec<&str> = match target.strip_prefix('/') {
        Some(_) => Vec::new(),
        None => from
            .rsplit_once('/')
            .map_or(Vec::new(), |(folder, _)| folder.split('/').collect()),
    };
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.pop().is_none() => return Target::Outside,
            ".." => {}
            part => parts.push(part),
        }
    }
    Target::Here(parts.join("/"))
}

/// Whether there is such a file, or such a folder with files in it.
fn exists(files: &BTreeSet<String>, path: &str) -> bool {
    let folder = format!("{path}/");
    let is_folder = |files: &BTreeSet<String>| {
        files
            .range(folder.clone()..)
            .next()
            .is_some_and(|file| file.starts_with(&folder))
    };
    path.is_empty() || files.contains(path) || is_folder(files)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{expect, files};
    use super::*;

    #[track_caller]
    fn check_page(page: &str, expected: &[&str]) {
        let texts = files(&[("docs/page.md", page)]);
        let files = [
            "README.md",
            "crates/a/src/lib.rs",
            "docs/page.md",
            "docs/other.md",
        ];
        let files = files.into_iter().map(str::to_owned).collect();
        expect(&check(&files, &texts), expected);
    }

    #[test]
    fn good_links_pass() {
        check_page(
            "[a](other.md) and [b](../README.md#top \"title\"), [c](/crates/a), [d](../crates/a/)
             [e](#here) [f](https://example.com/nothing.md) [g](mailto:a@example.com) [h](<other.md>)
             ![i](./other.md) [root](..)

[ref]: ../README.md
[`item`]: crate::module::item
",
            &[],
        );
    }

    #[test]
    fn dead_links_are_caught() {
        check_page(
            "[a](gone.md)\n[b](other.md) [c](../crates/b)\n![d](/other.md)\n",
            &[
                "docs/page.md:1: `gone.md` leads nowhere",
                "docs/page.md:2: `../crates/b` leads nowhere",
                "docs/page.md:3: `/other.md` leads nowhere",
            ],
        );
    }

    #[test]
    fn dead_references_are_caught() {
        check_page(
            "[a]\n\n[a]: gone.md\n",
            &["docs/page.md:3: ` gone.md` leads nowhere"],
        );
    }

    #[test]
    fn links_above_the_root_are_caught() {
        check_page(
            "[a](../../b)\n",
            &["docs/page.md:1: `../../b` leads nowhere"],
        );
    }

    #[test]
    fn part_of_a_name_is_not_enough() {
        check_page(
            "[a](../crates/a/src/lib)\n",
            &["docs/page.md:1: `../crates/a/src/lib` leads nowhere"],
        );
    }

    #[test]
    fn code_is_not_prose() {
        check_page(
            "`[a](gone.md)` and `x`\n```rust\n[a](gone.md)\n```\n~~~\n[a](gone.md)\n```\n~~~\n",
            &[],
        );
        check_page(
            "```\n```\n[a](gone.md)\n",
            &["docs/page.md:3: `gone.md` leads nowhere"],
        );
    }
}
