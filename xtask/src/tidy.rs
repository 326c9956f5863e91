//! The project's own rules, each a function over data, so that a test can show it what it must catch.

mod code;
mod faults;
mod layers;
mod manifests;
mod markdown;
mod places;
mod readme;
mod snapshot;
mod text;
mod tree;

use std::fmt;

pub(crate) use snapshot::Snapshot;
pub(crate) use tree::crates;

/// A rule: its name, and what looks for violations.
pub(crate) struct Rule {
    pub(crate) name: &'static str,
    pub(crate) check: fn(&Snapshot) -> anyhow::Result<Vec<Violation>>,
}

pub(crate) const RULES: &[Rule] = &[
    Rule {
        name: "layers",
        check: |it| Ok(layers::check(&it.members)),
    },
    Rule {
        name: "dependency trees",
        check: |_| tree::check(),
    },
    Rule {
        name: "manifests",
        check: |it| Ok(manifests::check(&it.members, &it.texts)),
    },
    Rule {
        name: "file heads and sizes",
        check: |it| Ok(text::check_shape(&it.texts)),
    },
    Rule {
        name: "whitespace",
        check: |it| Ok(text::check_whitespace(&it.texts)),
    },
    Rule {
        name: "attributes and macros",
        check: |it| Ok(code::check(&it.texts)),
    },
    Rule {
        name: "faults",
        check: |it| Ok(faults::check(&it.texts)),
    },
    Rule {
        name: "markdown links",
        check: |it| Ok(markdown::check(&it.files, &it.texts)),
    },
    Rule {
        name: "readme",
        check: |it| {
            let commands: Vec<_> = crate::COMMANDS.iter().map(|it| it.name).collect();
            Ok(readme::check(&it.files, &it.texts, &commands))
        },
    },
    Rule {
        name: "root of the repository",
        check: |it| Ok(places::check(&it.tracked)),
    },
];

/// A place where a rule is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// A path from the root, with a line if there is one, or the name of a crate.
    place: String,
    message: String,
}

impl Violation {
    fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            message: message.into(),
        }
    }

    /// `index` counts from 0, as iterators do.
    fn at_line(path: &str, index: usize, message: impl Into<String>) -> Self {
        Self::new(format!("{path}:{}", index + 1), message)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// What the tests of all rules share.
#[cfg(test)]
mod testing {
    use std::collections::BTreeMap;

    use super::Violation;

    /// Files by path.
    pub(super) fn files(files: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |&(path, text): &(&str, &str)| (path.to_owned(), text.to_owned());
        files.iter().map(owned).collect()
    }

    /// The violations are exactly these.
    #[track_caller]
    pub(super) fn expect(violations: &[Violation], expected: &[&str]) {
        let found: Vec<String> = violations.iter().map(ToString::to_string).collect();
        assert_eq!(found, expected);
    }
}
