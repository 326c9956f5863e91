//! Lines that were run: what llvm-cov says of them, without those of the tests themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// How often each line was run, by number.
pub(super) type Runs = BTreeMap<usize, u64>;

/// The files of a report in the format of lcov.
pub(super) fn parse(lcov: &str) -> BTreeMap<String, Runs> {
    let mut files: BTreeMap<String, Runs> = BTreeMap::new();
    let mut current = None;
    for line in lcov.lines() {
        if let Some(path) = line.strip_prefix("SF:") {
            current = Some(files.entry(path.to_owned()).or_default());
        } else if let Some(runs) = &mut current
            && let Some((number, count)) = line.strip_prefix("DA:").and_then(pair)
        {
            let all = runs.entry(number).or_default();
            *all = all.saturating_add(count);
        }
    }
    files
}

fn pair(text: &str) -> Option<(usize, u64)> {
    let mut numbers = text.split(',');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Which of the files belong to tests: modules that are declared under `#[cfg(test)]`.
pub(super) fn test_files<'a>(
    files: impl Iterator<Item = &'a String> + Clone,
    text: impl Fn(&str) -> anyhow::Result<String>,
) -> anyhow::Result<BTreeSet<String>> {
    let mut modules = Vec::new();
    for file in files.clone() {
        let text = text(file)?;
        let lines = text.lines().zip(text.lines().skip(1));
        let declared = lines.filter(|(first, _)| *first == "#[cfg(test)]");
        for (_, second) in declared {
            let words = second
                .split_once("mod ")
                .and_then(|(_, name)| name.strip_suffix(';'));
            if let Some(name) = words {
                modules.push(Path::new(&children(file)).join(name));
            }
        }
    }
    let is_test = |file: &&String| {
        modules.iter().any(|module| {
            Path::new(file.as_str()).starts_with(module)
                || Path::new(file.as_str()) == module.with_extension("rs")
        })
    };
    Ok(files.filter(is_test).cloned().collect())
}

/// The folder of a module's modules.
fn children(file: &str) -> String {
    let folder = ["/mod.rs", "/lib.rs", ".rs"];
    let folder = folder.iter().find_map(|end| file.strip_suffix(end));
    folder.unwrap_or(file).to_owned()
}

/// A file's lines, without those of its own tests, which stand last.
#[derive(Debug)]
pub(super) struct File(Runs);

impl File {
    pub(super) fn new(runs: &Runs, text: &str) -> Self {
        let lines: Vec<&str> = text.lines().collect();
        let tests = lines.windows(2).position(|lines| {
            matches!(lines, ["#[cfg(test)]", second] if second.starts_with("mod ") && second.ends_with('{'))
        });
        // The index of that line is the number of the one before it.
        let last = tests.unwrap_or(usize::MAX);
        Self(
            runs.range(..=last)
                .map(|(line, count)| (*line, *count))
                .collect(),
        )
    }

    pub(super) fn count(&self) -> Lines {
        Lines {
            lines: self.0.len(),
            run: self.0.values().filter(|count| **count > 0).count(),
        }
    }

    /// The numbers of the lines that were not run, and from where to where if there are more.
    pub(super) fn missed(&self) -> String {
        let mut spans: Vec<(usize, usize)> = Vec::new();
        for (line, _) in self.0.iter().filter(|(_, count)| **count == 0) {
            match spans.last_mut() {
                Some((_, last)) if *last + 1 == *line => *last = *line,
                _ => spans.push((*line, *line)),
            }
        }
        let spans = spans.into_iter().map(|(first, last)| {
            if first == last {
                first.to_string()
            } else {
                format!("{first}-{last}")
            }
        });
        spans.collect::<Vec<_>>().join(" ")
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lines {
    pub(super) lines: usize,
    pub(super) run: usize,
}

impl Lines {
    pub(super) fn add(&mut self, other: Self) {
        self.lines += other.lines;
        self.run += other.run;
    }

    /// In percent, for people.
    pub(super) fn share(self) -> f64 {
        100.0 * self.run as f64 / self.lines.max(1) as f64
    }

    /// Whether so many percent were run; not if there are no lines.
    pub(super) fn reaches(self, percent: usize) -> bool {
        self.lines > 0 && 100 * self.run >= percent * self.lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_outside_of_tests() {
        let lcov = "SF:a.rs\nFN:1,f\nDA:1,3\nDA:2,0\nDA:3,0\nDA:5,0\nDA:7,9\nDA:8,0\n\
                    end_of_record\nSF:b.rs\nDA:1,0\nend_of_record\nSF:a.rs\nDA:2,0\nDA:5,1\n";
        let files = parse(lcov);
        assert_eq!(files.len(), 2);
        let text = "fn f() {\n}\n\n#[cfg(test)]\nuse a;\n#[cfg(test)]\nmod tests {\n}\n";
        let file = File::new(&files["a.rs"], text);
        assert_eq!(file.count(), Lines { lines: 4, run: 2 });
        assert_eq!(file.missed(), "2-3");
        let whole = File::new(&files["a.rs"], "");
        assert_eq!(whole.count(), Lines { lines: 6, run: 3 });
        assert_eq!(whole.missed(), "2-3 8");
    }

    #[test]
    fn modules_of_tests_are_known_by_their_declaration() {
        let files = [
            ("s/lib.rs", "#[cfg(test)]\nmod keys;\nmod a;\n"),
            (
                "s/a/mod.rs",
                "#[cfg(test)]\npub(super) mod model;\n#[cfg(test)]\nmod tests {\n",
            ),
            ("s/a/model.rs", ""),
            ("s/a/models.rs", "#[cfg(test)]\nmod tests;\n"),
            ("s/a/models/tests.rs", ""),
            ("s/a/models/tests/more.rs", ""),
            ("s/a/tests.rs", ""),
            ("s/keys.rs", ""),
        ];
        let texts: BTreeMap<String, &str> = files
            .iter()
            .map(|(name, text)| ((*name).to_owned(), *text))
            .collect();
        let tests = test_files(texts.keys(), |file| Ok(texts[file].to_owned())).unwrap();
        let expected = [
            "s/a/model.rs",
            "s/a/models/tests.rs",
            "s/a/models/tests/more.rs",
            "s/keys.rs",
        ];
        assert_eq!(tests.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn shares_are_exact() {
        let lines = |lines, run| Lines { lines, run };
        assert!(lines(20, 19).reaches(95) && !lines(200, 189).reaches(95));
        assert!(lines(3, 3).reaches(100) && !lines(3000, 2999).reaches(100));
        assert!(!lines(0, 0).reaches(0));
    }
}
