//! What became of each mutant, over many runs.
//!
//! cargo-mutants writes lists of a run into `mutants.out`. They are added up here in a file of our
//! own, so that a run that was interrupted loses nothing, and the next one says all.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context as _;

use super::survivors::Survivors;

const FILE: &str = "verdicts.txt";
const OUTPUT: &str = "mutants.out";

/// Its names with cargo-mutants, as which its lists are called too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Caught,
    Missed,
    /// The tests did not end: nobody would overlook that.
    Timeout,
    /// It does not compile.
    Unviable,
}

const FATES: &[(Fate, &str)] = &[
    (Fate::Caught, "caught"),
    (Fate::Missed, "missed"),
    (Fate::Timeout, "timeout"),
    (Fate::Unviable, "unviable"),
];

/// The fates of mutants, which cargo-mutants names by file, line, column and change.
#[derive(Debug, Default)]
pub(super) struct Ledger(BTreeMap<String, Fate>);

impl Ledger {
    /// What is known so far, with what a run that was interrupted has found.
    pub(super) fn read(folder: &Path) -> anyhow::Result<Self> {
        let mut ledger = Self::parse(&text(&folder.join(FILE))?);
        ledger.collect(folder)?;
        Ok(ledger)
    }

    fn parse(text: &str) -> Self {
        let entry = |line: &str| {
            let (name, mutant) = line.split_once(' ')?;
            let (fate, _) = FATES.iter().find(|(_, known)| *known == name)?;
            Some((mutant.to_owned(), *fate))
        };
        Self(text.lines().filter_map(entry).collect())
    }

    /// Adds what the last run has found, and keeps it.
    pub(super) fn collect(&mut self, folder: &Path) -> anyhow::Result<()> {
        for (fate, name) in FATES {
            let list = text(&folder.join(OUTPUT).join(format!("{name}.txt")))?;
            self.0
                .extend(list.lines().map(|mutant| (mutant.to_owned(), *fate)));
        }
        let file = folder.join(FILE);
        let lines = self.0.iter().filter_map(|(mutant, fate)| {
            let (_, name) = FATES.iter().find(|(known, _)| known == fate)?;
            Some(format!("{name} {mutant}\n"))
        });
        fs::write(&file, lines.collect::<String>())
            .with_context(|| format!("cannot write {}", file.display()))
    }

    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    pub(super) fn fate(&self, mutant: &str) -> Option<Fate> {
        self.0.get(mutant).copied()
    }

    /// What is to be tested: the ones without a verdict, and the ones that survive without a
    /// reason, since there may be a test for them by now. Of the latter alone, if `survivors_only`.
    pub(super) fn unsettled(
        &self,
        mutants: &[String],
        survivors: &Survivors,
        survivors_only: bool,
    ) -> Vec<String> {
        let is_unsettled = |mutant: &&String| match self.fate(mutant) {
            None => !survivors_only,
            Some(Fate::Missed) => !survivors.has(mutant),
            Some(Fate::Caught | Fate::Timeout | Fate::Unviable) => false,
        };
        mutants.iter().filter(is_unsettled).cloned().collect()
    }

    pub(super) fn count(&self, mutants: &[String]) -> Count {
        let mut count = Count::default();
        for mutant in mutants {
            count.mutants += 1;
            match self.fate(mutant) {
                None => count.pending += 1,
                Some(Fate::Caught) => count.caught += 1,
                Some(Fate::Missed) => count.missed += 1,
                Some(Fate::Timeout) => count.timeouts += 1,
                Some(Fate::Unviable) => count.unviable += 1,
            }
        }
        count
    }
}

/// Has the next run with `--iterate` test these alone: it leaves out what it takes for caught.
pub(super) fn leave_out(folder: &Path, mutants: &[String], todo: &[String]) -> anyhow::Result<()> {
    let output = folder.join(OUTPUT);
    let context = || format!("cannot write into {}", output.display());
    match fs::remove_dir_all(&output) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(context);
        }
        _ => {}
    }
    fs::create_dir_all(&output).with_context(context)?;
    let rest = mutants.iter().filter(|mutant| !todo.contains(mutant));
    let lines: String = rest.map(|mutant| format!("{mutant}\n")).collect();
    fs::write(output.join("previously_caught.txt"), lines).with_context(context)
}

/// Nothing, if there is no such file.
fn text(path: &Path) -> anyhow::Result<String> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        text => text.with_context(|| format!("cannot read {}", path.display())),
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) mutants: usize,
    pub(super) caught: usize,
    pub(super) missed: usize,
    pub(super) timeouts: usize,
    pub(super) unviable: usize,
    pub(super) pending: usize,
}

impl Count {
    /// Of those that compile, how many do not go unnoticed, in whole percent; none if there are
    /// none, as a run without a mutant proves nothing.
    pub(super) fn share(self) -> usize {
        let noticed = self.caught + self.timeouts;
        (100 * noticed)
            .checked_div(noticed + self.missed)
            .unwrap_or(0)
    }
}

impl std::iter::Sum for Count {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |all, one| Self {
            mutants: all.mutants + one.mutants,
            caught: all.caught + one.caught,
            missed: all.missed + one.missed,
            timeouts: all.timeouts + one.timeouts,
            unviable: all.unviable + one.unviable,
            pending: all.pending + one.pending,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mutants(names: &[&str]) -> Vec<String> {
        names
            .iter()
            .map(|name| format!("a.rs:1:2: {name}"))
            .collect()
    }

    #[test]
    fn what_has_no_verdict_and_what_survives_is_to_be_tested() {
        let ledger = Ledger::parse(
            "caught a.rs:1:2: caught\nmissed a.rs:1:2: missed\nmissed a.rs:1:2: excused\n\
             timeout a.rs:1:2: timeout\nunviable a.rs:1:2: unviable\n",
        );
        let survivors = Survivors::parse(
            "[[survivor]]\nfile = \"a.rs\"\nmutant = \"excused\"\nreason = \"because\"\n",
        );
        let survivors = survivors.unwrap();
        let all = mutants(&["caught", "missed", "excused", "timeout", "unviable", "new"]);
        let todo = |only| ledger.unsettled(&all, &survivors, only);
        assert_eq!(todo(false), mutants(&["missed", "new"]));
        assert_eq!(todo(true), mutants(&["missed"]));
        let count = ledger.count(&all);
        let expected = Count {
            mutants: 6,
            caught: 1,
            missed: 2,
            timeouts: 1,
            unviable: 1,
            pending: 1,
        };
        assert_eq!(count, expected);
        assert_eq!(count.share(), 50);
        assert_eq!(Count::default().share(), 0);
    }

    #[test]
    fn runs_add_up_and_the_last_one_counts() {
        let folder = std::env::temp_dir().join(format!("xtask-mutants-{}", std::process::id()));
        let all = mutants(&["one", "two", "three"]);
        let found = |name: &str, text: &str| {
            fs::write(folder.join(OUTPUT).join(name), text).unwrap();
        };
        leave_out(&folder, &all, &all).unwrap();
        found("caught.txt", "a.rs:1:2: one\n");
        found("missed.txt", "a.rs:1:2: two\n");
        let ledger = Ledger::read(&folder).unwrap();
        assert_eq!(ledger.fate(&all[0]), Some(Fate::Caught));
        assert_eq!(ledger.fate(&all[1]), Some(Fate::Missed));
        assert_eq!(ledger.fate(&all[2]), None);

        leave_out(&folder, &all, &all[1..]).unwrap();
        let left_out = fs::read_to_string(folder.join(OUTPUT).join("previously_caught.txt"));
        assert_eq!(left_out.unwrap(), "a.rs:1:2: one\n");
        found("caught.txt", "a.rs:1:2: two\n");
        found("timeout.txt", "a.rs:1:2: three\n");
        let ledger = Ledger::read(&folder).unwrap();
        let fates = all.iter().map(|mutant| ledger.fate(mutant).unwrap());
        let expected = [Fate::Caught, Fate::Caught, Fate::Timeout];
        assert_eq!(fates.collect::<Vec<_>>(), expected);
        fs::remove_dir_all(&folder).unwrap();
    }
}
