//! Reads what test binaries print and adds it up.

/// The sum of what the test binaries of a run reported.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
    /// Binaries that announced tests and never reported.
    pub(crate) unfinished: u64,
    pub(crate) passed_tests: Vec<String>,
    pub(crate) failed_tests: Vec<String>,
    pub(crate) ignored_tests: Vec<String>,
    /// How many tests the binary that is running has announced.
    announced: Option<u64>,
    /// What failed tests printed follows, until the report.
    in_failures: bool,
}

impl Tally {
    /// Takes a line of output.
    pub(crate) fn line(&mut self, line: &str) {
        if line == "failures:" {
            self.in_failures = self.announced.is_some();
        } else if let Some(count) = announcement(line) {
            if !self.in_failures {
                self.finish();
                self.announced = Some(count);
            }
        } else if let Some(report) = Report::parse(line) {
            // What does not add up is the output of a test, not a report.
            if self.announced == Some(report.total()) {
                self.announced = None;
                self.in_failures = false;
                self.passed += report.passed;
                self.failed += report.failed;
                self.ignored += report.ignored;
            }
        } else if let Some((test, outcome)) = outcome(line) {
            match outcome {
                // What a failed test printed may look like this too.
                "ok" if self.announced.is_some() && !self.in_failures => {
                    self.passed_tests.push(test.to_owned());
                }
                "FAILED" => self.failed_tests.push(test.to_owned()),
                "ignored" => self.ignored_tests.push(test.to_owned()),
                _ if outcome.starts_with("ignored, ") => self.ignored_tests.push(test.to_owned()),
                _ => {}
            }
        }
    }

    /// Takes note that there are no more lines.
    pub(crate) fn finish(&mut self) {
        if self.announced.take().is_some() {
            self.unfinished += 1;
        }
    }
}

/// The count in `running 3 tests`.
fn announcement(line: &str) -> Option<u64> {
    let rest = line.strip_prefix("running ")?;
    let count = rest
        .strip_suffix(" tests")
        .or_else(|| rest.strip_suffix(" test"))?;
    count.parse().ok()
}

/// The name and the outcome in `test a::b ... ok`.
fn outcome(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("test ")?.split_once(" ... ")
}

/// The counts in `test result: ok. 3 passed; 0 failed; ...`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Report {
    passed: u64,
    failed: u64,
    ignored: u64,
    measured: u64,
}

impl Report {
    fn parse(line: &str) -> Option<Self> {
        // A process that a test started may have left text at the start of the line.
        let (_, rest) = line.split_once("test result: ")?;
        let (_, counts) = rest.split_once(". ")?;
        let mut report = Self::default();
        for count in counts.split("; ") {
            let Some((number, what)) = count.split_once(' ') else {
                continue;
            };
            let field = match what {
                "passed" => &mut report.passed,
                "failed" => &mut report.failed,
                "ignored" => &mut report.ignored,
                "measured" => &mut report.measured,
                _ => continue,
            };
            *field = number.parse().ok()?;
        }
        Some(report)
    }

    /// As many tests as the binary announced.
    fn total(&self) -> u64 {
        self.passed + self.failed + self.ignored + self.measured
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tally of `output`, as `[passed, failed, ignored, unfinished]`.
    #[track_caller]
    fn check(output: &str, expected: [u64; 4]) -> Tally {
        let mut tally = Tally::default();
        output.lines().for_each(|line| tally.line(line));
        tally.finish();
        let Tally {
            passed,
            failed,
            ignored,
            unfinished,
            ..
        } = tally;
        assert_eq!([passed, failed, ignored, unfinished], expected);
        tally
    }

    #[test]
    fn reports_add_up() {
        let output = "
running 2 tests
test a ... ok
test b ... ok

test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s


running 1 test
test src/lib.rs - (line 3) ... ok

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 4 filtered out; finished in 0.10s

running 0 tests

test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
";
        check(output, [3, 0, 0, 0]);
    }

    #[test]
    fn failed_and_ignored_tests_are_counted_and_named() {
        let output = "
running 4 tests
test good ... ok
test bad ... FAILED
test later ... ignored
test never ... ignored, needs a network

test result: FAILED. 1 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 1.00s
";
        let tally = check(output, [1, 1, 2, 0]);
        assert_eq!(tally.passed_tests, ["good"]);
        assert_eq!(tally.failed_tests, ["bad"]);
        assert_eq!(tally.ignored_tests, ["later", "never"]);
    }

    #[test]
    fn a_binary_that_dies_is_unfinished() {
        let output = "
running 4 tests
test good ... ok
running 1 test
test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s
running 2 tests
";
        check(output, [1, 0, 0, 2]);
    }

    #[test]
    fn the_output_of_a_test_is_not_a_report() {
        let output = "
test result: ok. 70 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s
running 1 test
test a ... FAILED

failures:

---- a stdout ----
running 2 tests
test b ... ok
test result: ok. 80 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s
test result: ok. many passed; 0 failed; 0 ignored
test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s

running 1 test
test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s
";
        let tally = check(output, [1, 1, 0, 0]);
        assert_eq!(tally.passed_tests, Vec::<String>::new());
    }

    #[test]
    fn text_before_a_report_does_not_hide_it() {
        let output = "
running 1 test
left overtest result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out
";
        check(output, [1, 0, 0, 0]);
    }
}
