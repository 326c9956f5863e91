//! The mutants that no test catches, and why: `xtask/mutants.toml`.

use std::fs;

use anyhow::Context as _;
use serde::Deserialize;

use super::ledger::{Fate, Ledger};
use crate::sys;

/// Its path from the root.
const LIST: &str = "xtask/mutants.toml";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Survivors {
    #[serde(default)]
    survivor: Vec<Survivor>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Survivor {
    file: String,
    /// What cargo-mutants calls it, without its place: lines move.
    mutant: String,
    reason: String,
    /// How many there are of this name in the file.
    #[serde(default = "one")]
    times: usize,
}

fn one() -> usize {
    1
}

impl Survivors {
    pub(super) fn read() -> anyhow::Result<Self> {
        let text = fs::read_to_string(sys::root().join(LIST));
        Self::parse(&text.with_context(|| format!("cannot read {LIST}"))?)
    }

    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let list: Self = toml::from_str(text).with_context(|| format!("{LIST} is no such list"))?;
        for it in &list.survivor {
            let Survivor { file, mutant, .. } = it;
            anyhow::ensure!(
                !it.reason.trim().is_empty() && it.times > 0,
                "{LIST}: {file}: `{mutant}` has no reason"
            );
        }
        Ok(list)
    }

    fn of(&self, mutant: &str) -> Option<&Survivor> {
        let (file, change) = parts(mutant)?;
        let mut list = self.survivor.iter();
        list.find(|it| it.file == file && it.mutant == change)
    }

    /// Whether there is a reason why no test catches it.
    pub(super) fn has(&self, mutant: &str) -> bool {
        self.of(mutant).is_some()
    }

    /// Prints the survivors of a module with their reasons; returns what is wrong with the list.
    pub(super) fn judge(&self, module: &str, mutants: &[String], ledger: &Ledger) -> Vec<String> {
        let survives = |mutant: &&String| ledger.fate(mutant) == Some(Fate::Missed);
        let mut problems = Vec::new();
        for mutant in mutants.iter().filter(survives) {
            match self.of(mutant) {
                Some(survivor) => println!("survives: {mutant}\n    {}", survivor.reason),
                None => problems.push(format!(
                    "{mutant}: survives: write a test for it, or its reason into {LIST}"
                )),
            }
        }
        let folder = format!("{module}/");
        let is_here = |it: &&Survivor| it.file == module || it.file.starts_with(&folder);
        for it in self.survivor.iter().filter(is_here) {
            let is_it = |mutant: &&String| parts(mutant) == Some((&it.file, &it.mutant));
            let count = mutants.iter().filter(is_it).filter(survives).count();
            if count != it.times {
                let Survivor {
                    file,
                    mutant,
                    times,
                    ..
                } = it;
                problems.push(format!(
                    "{LIST}: {file}: `{mutant}`: survives {count} times, and not {times}: correct it"
                ));
            }
        }
        problems
    }
}

/// The file and the change in `a.rs:1:2: replace …`.
fn parts(mutant: &str) -> Option<(&str, &str)> {
    let (place, change) = mutant.split_once(": ")?;
    let (file, _) = place.split_once(':')?;
    Some((file, change))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: &str =
        "[[survivor]]\nfile = \"a/b.rs\"\nmutant = \"x -> y: z\"\nreason = \"r\"\n";

    fn judge(list: &str, fates: &[(&str, &str)]) -> Vec<String> {
        let folder = std::env::temp_dir().join(format!(
            "xtask-survivors-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        fs::create_dir_all(&folder).unwrap();
        let lines: String = fates
            .iter()
            .map(|(fate, it)| format!("{fate} {it}\n"))
            .collect();
        fs::write(folder.join("verdicts.txt"), lines).unwrap();
        let ledger = Ledger::read(&folder).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        let mutants: Vec<_> = fates.iter().map(|(_, it)| (*it).to_owned()).collect();
        Survivors::parse(list)
            .unwrap()
            .judge("a", &mutants, &ledger)
    }

    #[test]
    fn who_survives_needs_a_reason_and_every_reason_a_survivor() {
        let it = "a/b.rs:10:20: x -> y: z";
        assert_eq!(judge(LISTED, &[("missed", it)]), [""; 0]);
        assert_eq!(judge("", &[("caught", it)]), [""; 0]);
        let problems = judge("", &[("missed", it)]);
        assert!(problems[0].starts_with("a/b.rs:10:20: x -> y: z: survives: "));
        // Caught by now, of another file, gone, and one more of them.
        let more = "a/b.rs:11:20: x -> y: z";
        for (fates, count) in [
            (&[("caught", it)][..], 0),
            (&[("missed", it), ("missed", more)], 2),
            (&[], 0),
        ] {
            let expected = format!("`x -> y: z`: survives {count} times, and not 1");
            let problems = judge(LISTED, fates);
            assert!(problems[0].contains(&expected), "{problems:?}");
        }
        assert_eq!(judge(&LISTED.replace("a/b", "ab/b"), &[]), [""; 0]);
    }

    #[test]
    fn a_reason_is_not_left_out() {
        for list in [
            LISTED.replace("\"r\"", "\" \""),
            LISTED.replace("reason = \"r\"\n", ""),
            format!("{LISTED}times = 0\n"),
            format!("{LISTED}why = \"\"\n"),
        ] {
            assert!(Survivors::parse(&list).is_err(), "{list}");
        }
    }

    #[test]
    fn the_list_is_read() {
        Survivors::read().unwrap();
    }
}
