//! The names of faults, and of the tests that cover them.

use std::fmt;

/// A letter for what faults have in common.
pub(crate) struct Group {
    pub(crate) letter: char,
    pub(crate) title: &'static str,
    /// How many faults it has, so that none can go missing at its end.
    pub(crate) size: u32,
}

/// The groups, in the order in which the table has them.
pub(crate) const GROUPS: [Group; 11] = [
    group('N', "the network", 30),
    group('P', "the protocol", 42),
    group('T', "time", 16),
    group('C', "concurrency", 25),
    group('X', "processes", 18),
    group('D', "the disk", 27),
    group('R', "a shared cache", 20),
    group('K', "settings", 18),
    group('A', "the API", 16),
    group('F', "the fleet", 10),
    group('S', "the command line and the emulator", 12),
];

const fn group(letter: char, title: &'static str, size: u32) -> Group {
    Group {
        letter,
        title,
        size,
    }
}

/// The letters of all groups.
pub(crate) fn letters() -> String {
    GROUPS.iter().map(|group| group.letter).collect()
}

/// The name of a fault: its group and its number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id {
    pub(crate) group: char,
    pub(crate) number: u32,
}

impl Id {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut rest = text.chars();
        let group = rest.next().filter(|&letter| place(letter).is_some())?;
        let digits = rest.as_str();
        if digits.starts_with('0') || !digits.chars().all(|c| c.is_ascii_digit()) {
            return None;
        }
        let number = digits.parse().ok()?;
        Some(Self { group, number })
    }
}

/// Where the group with this letter stands among the others.
pub(crate) fn place(letter: char) -> Option<usize> {
    GROUPS.iter().position(|group| group.letter == letter)
}

/// Every fault that there is.
pub(crate) fn all() -> impl Iterator<Item = Id> {
    GROUPS.iter().flat_map(|group| {
        let letter = group.letter;
        (1..=group.size).map(move |number| Id {
            group: letter,
            number,
        })
    })
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.group, self.number)
    }
}

/// A test that is named after faults.
pub(crate) struct Test<'a> {
    pub(crate) path: &'a str,
    /// The index of its line.
    pub(crate) line: usize,
    pub(crate) name: &'a str,
    pub(crate) ids: Vec<Id>,
}

/// The tests in a file that are named after faults.
///
/// A function is a test if an attribute that says so stands before it; helpers
/// may have names such as `t1_of`. Comments are passed over.
pub(crate) fn tests<'a>(path: &'a str, text: &'a str) -> Vec<Test<'a>> {
    let mut tests = Vec::new();
    let mut is_test = false;
    for (line, code) in text.lines().enumerate() {
        let code = code.trim_start();
        if code.starts_with("//") {
            continue;
        }
        is_test |= is_test_attribute(code);
        let Some(name) = function(code) else {
            continue;
        };
        let ids = ids(name);
        if std::mem::take(&mut is_test) && !ids.is_empty() {
            let test = Test {
                path,
                line,
                name,
                ids,
            };
            tests.push(test);
        }
    }
    tests
}

/// The scenarios in a file of them that are named after faults.
///
/// They are found by their lines, `"name": "…"`: the runner of the scenarios
/// reads them properly, and fails if two have one name.
pub(crate) fn scenarios<'a>(path: &'a str, text: &'a str) -> Vec<Test<'a>> {
    let name = |line: &'a str| {
        let start = line.trim_start().trim_start_matches(['{', ' ']);
        let (name, _) = start.strip_prefix("\"name\": \"")?.split_once('"')?;
        Some(name)
    };
    let named = text.lines().enumerate().filter_map(|(line, text)| {
        let name = name(text)?;
        let ids = ids(name);
        (!ids.is_empty()).then_some(Test {
            path,
            line,
            name,
            ids,
        })
    });
    named.collect()
}

/// Whether a file holds scenarios.
pub(crate) fn holds_scenarios(path: &str) -> bool {
    path.ends_with(".json") && path.contains("/scenarios/")
}

/// Whether a line starts with `#[test]`, `#[tokio::test(…)]` or the like.
fn is_test_attribute(line: &str) -> bool {
    let Some(inside) = line.strip_prefix("#[") else {
        return false;
    };
    let path = inside.split([']', '(', ' ']).next().unwrap_or("");
    path.rsplit("::").next() == Some("test")
}

/// The name of the function that starts in a line.
fn function(line: &str) -> Option<&str> {
    let start = if line.starts_with("fn ") {
        0
    } else {
        line.find(" fn ")? + 1
    };
    let name = line.get(start + "fn ".len()..)?;
    let end = name.find(|c: char| c != '_' && !c.is_alphanumeric());
    name.get(..end.unwrap_or(name.len()))
}

/// The ids at the start of a test's name.
pub(crate) fn ids(name: &str) -> Vec<Id> {
    // In names, letters are small.
    let is_small = |part: &&str| !part.starts_with(char::is_uppercase);
    name.split('_')
        .take_while(is_small)
        .map_while(|part| Id::parse(&part.to_uppercase()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_found_in_all_their_forms() {
        #[track_caller]
        fn check_names(code: &str, expected: &[&str]) {
            let code = code.replace('@', "#");
            let tests = tests("a.rs", &code);
            let found: Vec<&str> = tests.iter().map(|test| test.name).collect();
            assert_eq!(found, expected, "{code}");
        }
        check_names("@[test] fn x1_a() {}", &["x1_a"]);
        check_names("    @[::core::prelude::v1::test]\n    fn x1() {}", &["x1"]);
        check_names(
            "proptest! {\n  @[test]\n  fn x1_a(b in 0..1) {\n  }\n}",
            &["x1_a"],
        );
        check_names(
            "@[test]\n@[cfg(unix)]\n/// Why.\npub(crate) async fn x1_a() {}\nfn x2_b() {}",
            &["x1_a"],
        );
        check_names(
            "@[test]\nfn x1_a<T>() {}\n@[test]\nfn d2_b() {}",
            &["x1_a", "d2_b"],
        );
        check_names("@[test]\nfn v1_a() {}\n@[test]\nfn a() {}", &[]);
        check_names("@[cfg(test)]\nmod tests { fn x1_a() {} }", &[]);
    }

    #[test]
    fn scenarios_are_found_by_their_names() {
        let text = "[\n  {\n    \"name\": \"p1_a\",\n    \"steps\": [\"x1_b\"]\n  },\n  \
                    {\"name\": \"c3_c25_a\"},\n  {\"name\": \"none\"}\n]\n";
        let found = scenarios("a.json", text);
        let found: Vec<_> = found.iter().map(|it| (it.line, it.name)).collect();
        assert_eq!(found, [(2, "p1_a"), (5, "c3_c25_a")]);
        assert!(holds_scenarios("crates/a/tests/it/scenarios/a.json"));
        assert!(!holds_scenarios("crates/a/tests/it/scenarios/run.rs"));
        assert!(!holds_scenarios("crates/a/package.json"));
    }

    #[test]
    fn ids_end_at_the_first_part_that_is_none() {
        #[track_caller]
        fn check_name(name: &str, expected: &[&str]) {
            let found: Vec<String> = ids(name).iter().map(ToString::to_string).collect();
            assert_eq!(found, expected, "{name}");
        }
        check_name("p18_a_lifetime_of_n1", &["P18"]);
        check_name("d1_d2_it", &["D1", "D2"]);
        check_name("d1_v2_d3", &["D1"]);
        check_name("d1_d02_d3_it", &["D1"]);
        check_name("v1_token_url", &[]);
        check_name("d_1", &[]);
        check_name("_d1", &[]);
        check_name("d99999999999_it", &[]);
    }
}
