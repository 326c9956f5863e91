//! Counts the instructions of `bloom-auth token` with its token in the cache, and those of a
//! program that reads the same file, by valgrind: other than time, they are the same at each run,
//! whatever else the machine does.

use std::{
    fmt, fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    Problem,
    peers::{self, MOST_OF_READING, TokenServer},
};

/// What was counted; its text is the table.
#[derive(Debug)]
pub struct Report {
    bloom_auth: u64,
    reads_a_file: u64,
}

/// Counts, with the tool at this path and an emptied folder for its cache.
///
/// # Errors
///
/// If a program fails, the tool sends more than the one token request that fills its cache, or
/// valgrind is not there.
pub fn count(binary: &Path, folder: &Path) -> Result<Report, Problem> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    let token = crate::token();
    let server = TokenServer::start(&token)?;
    let [bloom_auth, reads_a_file] = peers::warm(binary, folder, &server, &token)?;
    let report = Report {
        bloom_auth: instructions(&bloom_auth.command, &format!("{token}\n"))?,
        reads_a_file: instructions(&reads_a_file.command, "")?,
    };
    match server.requests() {
        1 => Ok(report),
        requests => Err(format!("{requests} token requests, expected the first alone").into()),
    }
}

/// All that its process executes, from the first of the dynamic linker on.
fn instructions(command: &Command, prints: &str) -> Result<u64, Problem> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    valgrind
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => valgrind.env(name, value),
            None => valgrind.env_remove(name),
        };
    }
    let output = valgrind
        .output()
        .map_err(|error| format!("valgrind cannot be started ({error}): is it installed?"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() || output.stdout != prints.as_bytes() {
        return Err(format!("under valgrind, {command:?}: {}\n{errors}", output.status).into());
    }
    collected(&errors).ok_or_else(|| format!("valgrind counted nothing:\n{errors}").into())
}

/// What callgrind says at the end.
fn collected(errors: &str) -> Option<u64> {
    let mut counts = errors.lines().filter_map(|line| {
        let (_, count) = line.split_once("Collected : ")?;
        count.trim().parse().ok()
    });
    counts.next_back()
}

impl Report {
    /// Whether the tool does as little as we promise.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.ratio() <= MOST_OF_READING
    }

    fn ratio(&self) -> f64 {
        self.bloom_auth as f64 / self.reads_a_file as f64
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bloom_auth, reads_a_file) = (self.bloom_auth, self.reads_a_file);
        let (ratio, verdict) = (
            self.ratio(),
            if self.is_good() { "good" } else { "too many" },
        );
        writeln!(f, "{:<24}{bloom_auth} instructions", "bloom-auth token")?;
        writeln!(f, "{:<24}{reads_a_file} instructions", "reads a file")?;
        writeln!(
            f,
            "bloom-auth token: {ratio:.1} times (at most {MOST_OF_READING}): {verdict}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_callgrind_says_last_counts() {
        let check = |errors, expected| assert_eq!(collected(errors), expected, "{errors}");
        check(
            "==7== Events    : Ir\n==7== Collected : 172312\n==7== \n",
            Some(172_312),
        );
        check("==7== Collected : 1\n==8== Collected : 2\n", Some(2));
        check("==7== valgrind: no such program\n", None);
        check("==7== Collected : many\n", None);
    }

    #[test]
    fn three_times_the_instructions_are_good_and_more_are_not() {
        let report = |bloom_auth| Report {
            bloom_auth,
            reads_a_file: 1000,
        };
        assert!(report(3000).is_good());
        assert!(!report(3001).is_good());
        assert_eq!(
            report(2500).to_string(),
            "bloom-auth token        2500 instructions\n\
             reads a file            1000 instructions\n\
             bloom-auth token: 2.5 times (at most 3): good\n"
        );
    }
}
