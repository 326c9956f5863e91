//! What figures were measured on: without it they say little.

use std::{env, fmt, fs, process::Command, thread};

use serde::{Deserialize, Serialize};

/// A machine and what is on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// What the processor calls itself.
    pub processor: String,
    /// How many threads run at once.
    pub cores: usize,
    /// The operating system and the kind of processor.
    pub system: String,
    /// The version of the compiler.
    pub compiler: String,
    /// The day, by UTC.
    pub date: String,
}

impl Machine {
    /// This one, today.
    #[must_use]
    pub fn this() -> Self {
        let rustc = Command::new("rustc").arg("--version").output();
        let compiler = rustc.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let compiler = compiler.unwrap_or_default();
        let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Self {
            processor: processor(&cpuinfo).unwrap_or("unknown").to_owned(),
            cores: Self::cores(),
            system: format!("{} {}", env::consts::OS, env::consts::ARCH),
            // Without the commit.
            compiler: compiler
                .split(" (")
                .next()
                .unwrap_or_default()
                .trim()
                .to_owned(),
            date: date(since.as_secs() / 86_400),
        }
    }

    /// How many threads run at once here.
    #[must_use]
    pub fn cores() -> usize {
        thread::available_parallelism().map_or(1, usize::from)
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            processor,
            cores,
            system,
            compiler,
            date,
        } = self;
        write!(
            f,
            "{processor}, {cores} cores, {system}, {compiler}, {date}"
        )
    }
}

/// The name of the first processor in Linux's list.
fn processor(cpuinfo: &str) -> Option<&str> {
    let name = |line: &'_ str| line.starts_with("model name");
    let (_, name) = cpuinfo.lines().find(|line| name(line))?.split_once(':')?;
    Some(name.trim())
}

/// So many days after the first of January 1970.
fn date(days: u64) -> String {
    let is_leap =
        |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let (mut year, mut rest) = (1970, days);
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if rest < length {
            break;
        }
        rest -= length;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if rest < length {
            break;
        }
        rest -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", rest + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_their_dates() {
        for (days, expected) in [
            (0, "1970-01-01"),
            (30, "1970-01-31"),
            (31, "1970-02-01"),
            (364, "1970-12-31"),
            (365, "1971-01-01"),
            (11_015, "2000-02-28"),
            (11_016, "2000-02-29"),
            (11_017, "2000-03-01"),
            (20_787, "2026-11-30"),
        ] {
            assert_eq!(date(days), expected);
        }
    }

    #[test]
    fn a_processor_says_its_name() {
        let text = "processor\t: 0\nmodel name\t: A Processor: the first\nmodel name\t: B\n";
        assert_eq!(processor(text), Some("A Processor: the first"));
        assert_eq!(processor("nothing of it"), None);
        assert!(Machine::this().compiler.starts_with("rustc 1."));
    }
}
