//! The entries of the table, the tests that are named after each, and what that leaves to fix.

use super::names::{GROUPS, Id, ids};
use super::table::{Entry, Status};
use crate::test::record::{Outcome, Record, last_part};

/// One in so many entries may be declined.
const DECLINED_AT_MOST_ONE_IN: usize = 10;

/// Where the tests ran, and what can be asked of a run there.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// Nothing may be skipped.
    pub(super) in_ci: bool,
    /// All tests exist here. Some exist on Linux alone.
    pub(super) has_all: bool,
}

/// What is covered.
pub(crate) struct Coverage {
    rows: Vec<Row>,
    /// A line for each thing that is not as the table has it.
    pub(crate) problems: Vec<String>,
}

/// An entry, and how many tests of each outcome are named after it.
struct Row {
    id: Id,
    status: Status,
    passed: usize,
    failed: Vec<String>,
    skipped: usize,
    waits_for: Option<String>,
}

impl Coverage {
    /// `all` are the faults that the table must have.
    pub(super) fn new(
        entries: &[Entry],
        all: impl Iterator<Item = Id>,
        record: &Record,
        place: Place,
    ) -> Self {
        let parsed = entries.iter();
        let parsed = parsed.filter_map(|entry| Some((Id::parse(&entry.id)?, entry)));
        let rows: Vec<Row> = parsed.map(|(id, it)| Row::new(id, it, record)).collect();
        let mut problems: Vec<String> = all
            .filter(|id| rows.iter().all(|row| row.id != *id))
            .map(|id| format!("{id} is missing"))
            .collect();
        problems.extend(rows.iter().filter_map(|row| row.problem(place)));
        let declined = count(&rows, Status::Declined);
        if declined * DECLINED_AT_MOST_ONE_IN > rows.len() {
            let count = rows.len();
            problems.push(format!(
                "{declined} of {count} are declined, more than one in {DECLINED_AT_MOST_ONE_IN}"
            ));
        }
        Self { rows, problems }
    }

    /// A line for each entry, and one for each group before its own.
    pub(super) fn print_rows(&self) {
        for (title, rows) in self.groups() {
            println!("{title}");
            for row in rows {
                println!("  {}", row.line());
            }
        }
    }

    /// A line for each group, and one for all of them.
    pub(crate) fn print_groups(&self) {
        for (title, _) in self.groups() {
            println!("{title}");
        }
        println!("{}", self.line());
    }

    /// How many entries have which status.
    pub(crate) fn line(&self) -> String {
        format!("faults: {}", counts(&self.rows))
    }

    fn groups(&self) -> impl Iterator<Item = (String, &[Row])> {
        let in_order = self.rows.chunk_by(|a, b| a.id.group == b.id.group);
        in_order.map(|rows| {
            let letter = rows.first().map_or(' ', |row| row.id.group);
            let group = GROUPS.iter().find(|group| group.letter == letter);
            let title = group.map_or("", |group| group.title);
            (format!("{letter}, {title}: {}", counts(rows)), rows)
        })
    }
}

fn count(rows: &[Row], status: Status) -> usize {
    rows.iter().filter(|row| row.status == status).count()
}

fn counts(rows: &[Row]) -> String {
    let count = |status| count(rows, status);
    let tested = count(Status::Tested);
    let (declined, pending) = (count(Status::Declined), count(Status::Pending));
    format!("{tested} tested, {declined} declined, {pending} pending")
}

impl Row {
    fn new(id: Id, entry: &Entry, record: &Record) -> Self {
        let mut row = Self {
            id,
            status: entry.status,
            passed: 0,
            failed: Vec::new(),
            skipped: 0,
            waits_for: entry.waits_for.clone(),
        };
        for (outcome, test) in &record.tests {
            if ids(last_part(test)).contains(&id) {
                match outcome {
                    Outcome::Passed => row.passed += 1,
                    Outcome::Failed => row.failed.push(test.clone()),
                    Outcome::Skipped => row.skipped += 1,
                }
            }
        }
        row
    }

    fn problem(&self, place: Place) -> Option<String> {
        let id = self.id;
        if !self.failed.is_empty() {
            return Some(format!("{id}: {} failed", self.failed.join(", ")));
        }
        match (self.status, self.passed, self.skipped) {
            (Status::Tested, 0, 0) if place.has_all => Some(format!(
                "{id} is said to be tested, and no test that is named after it ran and passed"
            )),
            (Status::Tested, 0, 1..) if place.in_ci => Some(format!(
                "{id} is said to be tested, and all tests that are named after it were skipped"
            )),
            _ => None,
        }
    }

    fn line(&self) -> String {
        let mut line = format!(
            "{:<4}{:<9}{:>3} passed",
            self.id.to_string(),
            self.status,
            self.passed
        );
        for (count, what) in [(self.failed.len(), "failed"), (self.skipped, "skipped")] {
            if count > 0 {
                line.push_str(&format!(", {count} {what}"));
            }
        }
        if let Some(what) = &self.waits_for {
            line.push_str(&format!(", waits for: {what}"));
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Outcome::{Failed, Passed, Skipped};
    use Status::{Declined, Pending, Tested};

    fn entry(id: &str, status: Status) -> Entry {
        Entry {
            id: id.to_owned(),
            fault: "f".to_owned(),
            promise: "p".to_owned(),
            status,
            reason: None,
            waits_for: (status == Pending).then(|| "w".to_owned()),
        }
    }

    const LAPTOP: Place = Place {
        in_ci: false,
        has_all: true,
    };
    const CI: Place = Place {
        in_ci: true,
        has_all: true,
    };

    fn cover(entries: &[(&str, Status)], tests: &[(Outcome, &str)], place: Place) -> Coverage {
        let entries: Vec<Entry> = entries.iter().map(|(id, it)| entry(id, *it)).collect();
        let all = entries.iter().filter_map(|entry| Id::parse(&entry.id));
        let tests = tests.iter().map(|(it, name)| (*it, (*name).to_owned()));
        let record = Record {
            tests: tests.collect(),
        };
        Coverage::new(&entries, all, &record, place)
    }

    #[test]
    fn entries_are_counted_with_what_covers_them() {
        let entries = [
            ("X1", Tested),
            ("X2", Tested),
            ("D1", Pending),
            ("D2", Pending),
        ];
        let tests = [
            (Passed, "a::x1_a"),
            (Passed, "scenarios::b::x1_x2_b"),
            (Skipped, "x2_c"),
            (Passed, "d1_half"),
            (Passed, "x10_c"),
            (Passed, "x1_x2::none"),
        ];
        let coverage = cover(&entries, &tests, CI);
        assert_eq!(coverage.problems, Vec::<String>::new());
        let lines: Vec<String> = coverage.rows.iter().map(Row::line).collect();
        let expected = [
            "X1  tested     2 passed",
            "X2  tested     1 passed, 1 skipped",
            "D1  pending    1 passed, waits for: w",
            "D2  pending    0 passed, waits for: w",
        ];
        assert_eq!(lines, expected);
        let titles: Vec<String> = coverage.groups().map(|(title, _)| title).collect();
        let expected = [
            "X, processes: 2 tested, 0 declined, 0 pending",
            "D, the disk: 0 tested, 0 declined, 2 pending",
        ];
        assert_eq!(titles, expected);
        assert_eq!(coverage.line(), "faults: 2 tested, 0 declined, 2 pending");
    }

    #[track_caller]
    fn check(status: Status, tests: &[(Outcome, &str)], place: Place, expected: &[&str]) {
        assert_eq!(cover(&[("X1", status)], tests, place).problems, expected);
    }

    #[test]
    fn what_no_test_shows_is_caught() {
        let nothing = "X1 is said to be tested, and no test that is named after it ran and passed";
        for tests in [&[][..], &[(Passed, "x2_a")], &[(Passed, "a_x1")]] {
            check(Tested, tests, LAPTOP, &[nothing]);
            check(Pending, tests, CI, &[]);
        }
    }

    #[test]
    fn failures_are_caught_whatever_else_passed() {
        let tests = [(Passed, "x1_a"), (Failed, "m::x1_b"), (Failed, "x1_c")];
        for status in [Tested, Pending] {
            check(status, &tests, LAPTOP, &["X1: m::x1_b, x1_c failed"]);
        }
    }

    #[test]
    fn what_was_only_skipped_is_caught_in_ci() {
        let tests = [(Skipped, "x1_a")];
        check(Tested, &tests, LAPTOP, &[]);
        let skipped = "X1 is said to be tested, and all tests that are named after it were skipped";
        check(Tested, &tests, CI, &[skipped]);
        check(Pending, &tests, CI, &[]);
    }

    #[test]
    fn where_tests_are_lacking_only_what_ran_is_judged() {
        let elsewhere = |in_ci| Place {
            in_ci,
            has_all: false,
        };
        check(Tested, &[], elsewhere(true), &[]);
        check(Tested, &[(Skipped, "x1_a")], elsewhere(false), &[]);
        let skipped = "X1 is said to be tested, and all tests that are named after it were skipped";
        check(Tested, &[(Skipped, "x1_a")], elsewhere(true), &[skipped]);
        check(
            Tested,
            &[(Failed, "x1_a")],
            elsewhere(false),
            &["X1: x1_a failed"],
        );
    }

    #[test]
    fn missing_entries_are_caught() {
        let all = (1..=2).map(|number| Id { group: 'X', number });
        let entries = [entry("X1", Pending)];
        let coverage = Coverage::new(&entries, all, &Record::default(), LAPTOP);
        assert_eq!(coverage.problems, ["X2 is missing"]);
    }

    #[test]
    fn too_many_declined_entries_are_caught() {
        let ids: Vec<String> = (1..=20).map(|number| format!("X{number}")).collect();
        let with = |declined: usize| {
            let status = |index| if index < declined { Declined } else { Pending };
            let entries = ids.iter().enumerate();
            let entries: Vec<_> = entries.map(|(i, id)| (id.as_str(), status(i))).collect();
            cover(&entries, &[], LAPTOP).problems
        };
        assert_eq!(with(2), Vec::<String>::new());
        assert_eq!(with(3), ["3 of 20 are declined, more than one in 10"]);
    }
}
