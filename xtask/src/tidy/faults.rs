//! The table of faults and the tests that are named after them: neither may claim what the other
//! does not bear out.

use std::collections::BTreeMap;

use super::Violation;
use super::snapshot::extension;
use crate::faults::names::{self, Id, Test};
use crate::faults::table::{self, Entry, Status, TABLE};

/// A test that covers more shows too little of each.
const MOST_IDS: usize = 3;

pub(super) fn check(texts: &BTreeMap<String, String>) -> Vec<Violation> {
    let mut violations = check_rows(texts);
    if let Some(Ok(table)) = texts.get(TABLE).map(|text| table::parse(text)) {
        let ids: Vec<&str> = table.iter().map(|(_, entry)| entry.id.as_str()).collect();
        violations.extend(check_size(&ids, names::all()));
    }
    violations
}

/// The table has every fault that there is, and no more.
fn check_size(ids: &[&str], all: impl Iterator<Item = Id>) -> Vec<Violation> {
    let all: Vec<String> = all.map(|id| id.to_string()).collect();
    let lacks = all.iter().filter(|id| !ids.contains(&id.as_str()));
    let lacks = lacks.map(|id| format!("lacks {id}"));
    let is_new = |id: &&&str| Id::parse(id).is_some() && !all.iter().any(|known| known == **id);
    let new = ids.iter().filter(is_new);
    let new =
        new.map(|id| format!("has {id}, which is beyond the size of its group in `names.rs`"));
    let complaints = lacks.chain(new);
    complaints
        .map(|complaint| Violation::new(TABLE, complaint))
        .collect()
}

fn check_rows(texts: &BTreeMap<String, String>) -> Vec<Violation> {
    let Some(text) = texts.get(TABLE) else {
        return vec![Violation::new(TABLE, "is missing")];
    };
    let table = match table::parse(text) {
        Ok(table) => table,
        Err(error) => return vec![Violation::at_line(TABLE, error.line, error.message)],
    };
    let entries: Vec<(usize, &Entry)> = table.iter().map(|(line, it)| (*line, it)).collect();
    let tests: Vec<Test<'_>> = texts
        .iter()
        .flat_map(|(path, text)| match extension(path) {
            Some("rs") => names::tests(path, text),
            _ if names::holds_scenarios(path) => names::scenarios(path, text),
            _ => Vec::new(),
        })
        .collect();

    let mut violations = Vec::new();
    for (line, complaint) in check_order(&entries) {
        violations.push(Violation::at_line(TABLE, line, complaint));
    }
    for (line, entry) in &entries {
        for complaint in check_entry(entry, &tests) {
            violations.push(Violation::at_line(TABLE, *line, complaint));
        }
    }
    let ids: Vec<Id> = entries
        .iter()
        .filter_map(|(_, entry)| Id::parse(&entry.id))
        .collect();
    violations.extend(tests.iter().flat_map(|test| check_test(test, &ids)));
    violations
}

/// Every id is well formed and follows the one before it, so that none is missing or there twice.
fn check_order(entries: &[(usize, &Entry)]) -> Vec<(usize, String)> {
    let mut complaints = Vec::new();
    let mut last: Option<Id> = None;
    for (line, Entry { id: text, .. }) in entries {
        let Some(id) = Id::parse(text) else {
            let complaint = format!(
                "`{text}` is no id: one letter of {} and a number",
                names::letters()
            );
            complaints.push((*line, complaint));
            continue;
        };
        let place = |id: Id| names::place(id.group);
        match last {
            Some(last) if last.group == id.group => {
                let next = last.number.saturating_add(1);
                if id.number != next {
                    let group = id.group;
                    complaints.push((*line, format!("{id} stands where {group}{next} belongs")));
                }
            }
            Some(last) if place(last) > place(id) => {
                complaints.push((*line, format!("{id} belongs before {last}")));
            }
            _ if id.number != 1 => {
                let group = id.group;
                complaints.push((*line, format!("{id} stands where {group}1 belongs")));
            }
            _ => {}
        }
        last = Some(id);
    }
    complaints
}

/// An entry says what its status needs and nothing else, and the tests agree.
fn check_entry(entry: &Entry, tests: &[Test<'_>]) -> Vec<String> {
    let mut complaints = Vec::new();
    let id = &entry.id;
    let mut report = |complaint: &str| complaints.push(format!("{id} {complaint}"));

    if entry.fault.trim().is_empty() {
        report("says no fault");
    }
    if entry.promise.trim().is_empty() {
        report("promises nothing");
    }
    for (key, value, status) in [
        ("reason", &entry.reason, Status::Declined),
        ("waits_for", &entry.waits_for, Status::Pending),
    ] {
        let is_said = value
            .as_deref()
            .is_some_and(|value| !value.trim().is_empty());
        if entry.status == status && !is_said {
            report(&format!("lacks its `{key}`"));
        } else if entry.status != status && value.is_some() {
            report(&format!(
                "has a `{key}`, which its status does not call for"
            ));
        }
    }
    let parsed = Id::parse(id);
    let mut named = tests
        .iter()
        .filter(|test| parsed.is_some_and(|id| test.ids.contains(&id)));
    match (entry.status, named.next()) {
        (Status::Tested, None) => report("is said to be tested, and no test is named after it"),
        (Status::Declined, Some(test)) => {
            report(&format!("is declined, and `{}` tests it", test.name));
        }
        _ => {}
    }
    complaints
}

/// The ids of a test are few, and the table has them.
fn check_test(test: &Test<'_>, table: &[Id]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut report = |complaint: String| {
        let complaint = format!("`{}` {complaint}", test.name);
        violations.push(Violation::at_line(test.path, test.line, complaint));
    };
    if test.ids.len() > MOST_IDS {
        let count = test.ids.len();
        report(format!("is named after {count} faults, {MOST_IDS} at most"));
    }
    for id in &test.ids {
        if !table.contains(id) {
            report(format!("is named after {id}, which the table lacks"));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::super::testing::{expect, files};
    use super::*;

    const X1: &str = "[[fault]]\nid = \"X1\"\nfault = \"f\"\npromise = \"p\"\n";
    const X2: &str = "[[fault]]\nid = \"X2\"\nfault = \"f\"\npromise = \"p\"\n";
    const TESTED: &str = "status = \"tested\"\n";
    const PENDING: &str = "status = \"pending\"\nwaits_for = \"w\"\n";
    const DECLINED: &str = "status = \"declined\"\nreason = \"r\"\n";

    /// Judges a table and a file of tests, in which `@` stands for the start of an attribute:
    /// what stands in this file must not look like a test.
    #[track_caller]
    fn check_both(table: &str, code: &str, expected: &[&str]) {
        let code = code.replace('@', "#");
        let texts = files(&[(TABLE, table), ("a.rs", &code)]);
        expect(&check_rows(&texts), expected);
    }

    #[track_caller]
    fn check_ids(ids: &[&str], expected: &[&str]) {
        let entry = |id: &&str| X1.replace("X1", id) + PENDING;
        let table: String = ids.iter().map(entry).collect();
        check_both(&table, "", expected);
    }

    #[test]
    fn a_table_that_the_tests_bear_out_passes() {
        check_both(
            &[X1, TESTED, X2, PENDING].concat(),
            "@[test]\nfn x1_it_works() {}\n",
            &[],
        );
        check_both(
            &[X1, PENDING, X2, TESTED].concat(),
            "@[tokio::test(\n    flavor = \"multi_thread\",\n)]\nasync fn x2_x1_it_works() {}\n",
            &[],
        );
        check_ids(&["P1", "P2", "X1", "D1", "D2", "D3"], &[]);
    }

    #[test]
    fn a_missing_table_is_caught() {
        expect(&check(&BTreeMap::new()), &["xtask/faults.toml: is missing"]);
    }

    #[test]
    fn what_is_no_table_is_caught_with_its_line() {
        let unknown = format!("{X1}{PENDING}note = \"n\"\n");
        for (table, line) in [
            ("# A comment.\n[[fault]\n", 2),
            (&[X1, "status = \"done\"\n"].concat(), 5),
            (
                &[X1, "status = \"tested\"\n", "status = \"pending\"\n"].concat(),
                6,
            ),
            (unknown.as_str(), 7),
        ] {
            let violations = check_rows(&files(&[(TABLE, table)]));
            let places: Vec<&str> = violations.iter().map(|it| it.place.as_str()).collect();
            assert_eq!(places, [format!("xtask/faults.toml:{line}")], "{table}");
        }
    }

    #[test]
    fn malformed_ids_are_caught() {
        for id in ["", "X", "x1", "X0", "X01", "X1a", "V1", "1", "X-1", "XX1"] {
            let complaint = format!(
                "xtask/faults.toml:1: `{id}` is no id: one letter of NPTCXDRKAFS and a number"
            );
            check_ids(&[id], &[&complaint]);
        }
    }

    #[test]
    fn gaps_repetitions_and_disorder_are_caught() {
        check_ids(
            &["X2"],
            &["xtask/faults.toml:1: X2 stands where X1 belongs"],
        );
        check_ids(
            &["X1", "X3"],
            &["xtask/faults.toml:7: X3 stands where X2 belongs"],
        );
        check_ids(
            &["X1", "X1"],
            &["xtask/faults.toml:7: X1 stands where X2 belongs"],
        );
        check_ids(
            &["D1", "X1"],
            &["xtask/faults.toml:7: X1 belongs before D1"],
        );
        check_ids(
            &["X1", "D1", "X2"],
            &["xtask/faults.toml:13: X2 belongs before D1"],
        );
    }

    #[test]
    fn empty_words_are_caught() {
        let table = [X1, PENDING].concat().replace("\"f\"", "\" \"");
        check_both(&table, "", &["xtask/faults.toml:1: X1 says no fault"]);
        let table = [X1, PENDING].concat().replace("\"p\"", "\"\"");
        check_both(&table, "", &["xtask/faults.toml:1: X1 promises nothing"]);
        let table = [X1, PENDING].concat().replace("\"w\"", "\"\"");
        check_both(
            &table,
            "",
            &["xtask/faults.toml:1: X1 lacks its `waits_for`"],
        );
        let table = [X1, "status = \"declined\"\n"].concat();
        check_both(&table, "", &["xtask/faults.toml:1: X1 lacks its `reason`"]);
    }

    #[test]
    fn words_of_another_status_are_caught() {
        let code = "@[test]\nfn x1_it_works() {}\n";
        let complaint = |key: &str| {
            format!("xtask/faults.toml:1: X1 has a `{key}`, which its status does not call for")
        };
        let table = [X1, TESTED, "waits_for = \"w\"\n"].concat();
        check_both(&table, code, &[&complaint("waits_for")]);
        let table = [X1, PENDING, "reason = \"r\"\n"].concat();
        check_both(&table, code, &[&complaint("reason")]);
    }

    #[test]
    fn tests_that_are_not_there_are_caught() {
        let complaint =
            "xtask/faults.toml:1: X1 is said to be tested, and no test is named after it";
        for code in [
            "",
            "fn x1_of_a_helper() {}\n",
            "@[test]\nfn it_works() {}\nfn x1_of_a_helper() {}\n",
            "// @[test]\n// fn x1_it_worked() {}\n",
            "@[test]\nfn x10_it_works() {}\n",
            "@[test]\nfn v1_it_is_not_x1() {}\n",
            "@[test]\nfn X1_it_works() {}\n",
            "@[testing::expect]\nfn x1_it_works() {}\n",
        ] {
            let expected: &[&str] = if code.contains("x10") {
                &[
                    complaint,
                    "a.rs:2: `x10_it_works` is named after X10, which the table lacks",
                ]
            } else {
                &[complaint]
            };
            check_both(&[X1, TESTED].concat(), code, expected);
        }
    }

    #[test]
    fn a_test_of_what_is_declined_is_caught() {
        check_both(
            &[X1, DECLINED].concat(),
            "@[test]\nfn x1_it_works() {}\n",
            &["xtask/faults.toml:1: X1 is declined, and `x1_it_works` tests it"],
        );
        check_both(
            &[X1, PENDING].concat(),
            "@[test]\nfn x1_half_of_it_works() {}\n",
            &[],
        );
    }

    #[test]
    fn tests_of_unknown_faults_are_caught() {
        check_both(
            &[X1, PENDING].concat(),
            "\n@[test]\nfn x2_x1_it_works() {}\n@[test]\nfn n1_it_works() {}\n",
            &[
                "a.rs:3: `x2_x1_it_works` is named after X2, which the table lacks",
                "a.rs:5: `n1_it_works` is named after N1, which the table lacks",
            ],
        );
    }

    #[test]
    fn tests_of_too_many_faults_are_caught() {
        check_both(
            &[X1, PENDING, X2, PENDING].concat(),
            "@[test]\nfn x1_x2_x1_x2_it_works() {}\n",
            &["a.rs:2: `x1_x2_x1_x2_it_works` is named after 4 faults, 3 at most"],
        );
    }

    #[test]
    fn a_scenario_is_a_test() {
        let check_scenario = |name: &str, expected: &[&str]| {
            let scenario = format!("[\n  {{\n    \"name\": \"{name}\"\n  }}\n]\n");
            let table = [X1, TESTED].concat();
            let path = "crates/a/tests/it/scenarios/a.json";
            expect(
                &check_rows(&files(&[(TABLE, &table), (path, &scenario)])),
                expected,
            );
        };
        check_scenario("x1_it_works", &[]);
        check_scenario(
            "x2_x1_it_works",
            &[
                "crates/a/tests/it/scenarios/a.json:3: `x2_x1_it_works` is named after X2, which the table lacks",
            ],
        );
        check_scenario(
            "it_works",
            &["xtask/faults.toml:1: X1 is said to be tested, and no test is named after it"],
        );
    }

    #[test]
    fn missing_and_surplus_entries_are_caught() {
        let all = || names::all().filter(|id| id.group == 'S');
        let mut ids: Vec<String> = all().map(|id| id.to_string()).collect();
        let check_ids = |ids: &[String], expected: &[&str]| {
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            expect(&check_size(&ids, all()), expected);
        };
        check_ids(&ids, &[]);
        ids.push("S13".to_owned());
        check_ids(
            &ids,
            &["xtask/faults.toml: has S13, which is beyond the size of its group in `names.rs`"],
        );
        ids.truncate(11);
        check_ids(&ids, &["xtask/faults.toml: lacks S12"]);
        assert_eq!(check_size(&[], all()).len(), 12);
        // Through the door that `lint` uses.
        let table = [X1, PENDING].concat();
        let violations = check(&files(&[(TABLE, &table)]));
        assert_eq!(violations.len(), names::all().count() - 1);
    }
}
