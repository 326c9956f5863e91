//! The table of faults and the tests that are named after them: neither may claim what the other
//! does not bear out.

use std::collections::BTreeMap;

use super::Violation;
use super::snapshot::extension;
use crate::faults::names::{GROUPS, Id, Test, tests};
use crate::faults::table::{self, Entry, Status, TABLE};

/// A test that covers more shows too little of each.
const MOST_IDS: usize = 3;

pub(super) fn check(texts: &BTreeMap<String, String>) -> Vec<Violation> {
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
        .filter(|(path, _)| extension(path) == Some("rs"))
        .flat_map(|(path, text)| tests(path, text))
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
            let complaint = format!("`{text}` is no id: one letter of {GROUPS} and a number");
            complaints.push((*line, complaint));
            continue;
        };
        let place = |id: Id| GROUPS.find(id.group);
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

/// The ids of a test are few, and those whose group the table has are in it.
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
        let is_complete = table.iter().any(|entry| entry.group == id.group);
        if is_complete && !table.contains(id) {
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
        expect(&check(&files(&[(TABLE, table), ("a.rs", &code)])), expected);
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
            &[X1, DECLINED, X2, TESTED].concat(),
            "@[tokio::test(\n    flavor = \"multi_thread\",\n)]\nasync fn x2_n4_p5_it_works() {}\n",
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
            let violations = check(&files(&[(TABLE, table)]));
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
            "@[test]\nfn n1_it_is_not_x1() {}\n",
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
            "@[test]\nfn n1_x1_it_works() {}\n",
            &["xtask/faults.toml:1: X1 is declined, and `n1_x1_it_works` tests it"],
        );
        check_both(
            &[X1, PENDING].concat(),
            "@[test]\nfn n1_x1_half_of_it_works() {}\n",
            &[],
        );
    }

    #[test]
    fn tests_of_unknown_faults_are_caught_where_the_group_is_known() {
        check_both(
            &[X1, PENDING].concat(),
            "\n@[test]\nfn n9_x2_it_works() {}\n",
            &["a.rs:3: `n9_x2_it_works` is named after X2, which the table lacks"],
        );
    }

    #[test]
    fn tests_of_too_many_faults_are_caught() {
        check_both(
            &[X1, PENDING].concat(),
            "@[test]\nfn n1_n2_n3_n4_it_works() {}\n",
            &["a.rs:2: `n1_n2_n3_n4_it_works` is named after 4 faults, 3 at most"],
        );
    }
}
