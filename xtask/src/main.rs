//! The project's chores, run as `cargo xtask <command>`; one file per command.
//!
//! Nothing but cargo and rustc is needed to start, on any platform: no shell,
//! few dependencies. There are no integration tests here on purpose: they would
//! make `cargo test` rebuild the very binary that runs it, which Windows refuses.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool talks to whoever started it"
)]

mod bench;
mod build_cost;
mod ci;
mod coverage;
mod faults;
mod features;
mod fuzz;
mod instructions;
mod lint;
mod mutants;
mod packages;
mod servers;
mod simulate;
mod stream;
mod stress;
mod sys;
mod test;
mod tidy;
mod tools;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

/// What `cargo xtask <name>` does.
struct Command {
    name: &'static str,
    /// One line for the help text.
    summary: &'static str,
    flags: &'static [Flag],
    run: fn(&Options) -> anyhow::Result<Verdict>,
}

struct Flag {
    /// One that ends in `=` takes a value, behind that or as the next argument.
    name: &'static str,
    summary: &'static str,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "test",
        summary: "run all unit, integration and documentation tests, and every example",
        flags: &[
            Flag {
                name: "--long",
                summary: "play more orders, seeds and processes: hours instead of minutes (sets BLOOM_AUTH_TEST_LONG=1)",
            },
            Flag {
                name: "--interop",
                summary: "test against the authorization servers of others too; installs them with npm and pip",
            },
        ],
        run: |options| {
            test::run(&test::Config {
                long: options.has("--long"),
                interop: options.has("--interop"),
                faults: false,
            })
        },
    },
    Command {
        name: "faults",
        summary: "run the tests, and say which entries of the table of faults they cover",
        flags: &[Flag {
            name: "--recorded",
            summary: "take what the last `test` found instead of running the tests",
        }],
        run: |options| {
            faults::run(&faults::Config {
                recorded: options.has("--recorded"),
            })
        },
    },
    Command {
        name: "lint",
        summary: "run rustfmt, clippy, rustdoc, tidy, packaging, cargo-deny and the workflow schema check",
        flags: &[],
        run: |_| lint::run(),
    },
    Command {
        name: "bench",
        summary: "measure what a call and a start cost, beside other clients, and hold it to what we promise",
        flags: &[
            Flag {
                name: "--quick",
                summary: "measure for a moment only, to see that everything runs",
            },
            Flag {
                name: "--alone",
                summary: "leave out other clients, which take minutes to build",
            },
            Flag {
                name: "--docs",
                summary: "write figures and plots into the guide",
            },
            Flag {
                name: "--peers",
                summary: "measure the command line tool beside Python clients instead",
            },
            Flag {
                name: "--instructions",
                summary: "count the instructions of the command line tool by valgrind instead",
            },
            Flag {
                name: "--binary=",
                summary: "with `--peers` or `--instructions`: the path of the command line tool, which is built otherwise",
            },
        ],
        run: |options| {
            let (quick, docs) = (options.has("--quick"), options.has("--docs"));
            let alone = options.has("--alone");
            let binary: Option<PathBuf> = options.value("--binary=").map(Into::into);
            match (options.has("--peers"), options.has("--instructions")) {
                (true, true) => anyhow::bail!("`--peers` and `--instructions` are two benchmarks"),
                (true, _) | (_, true) if docs || alone => {
                    anyhow::bail!(
                        "`--docs` and `--alone` go with neither `--peers` nor `--instructions`"
                    )
                }
                (true, false) => bench::peers(&bench::Peers { quick, binary }),
                (false, true) => bench::instructions(binary.as_deref()),
                (false, false) if binary.is_some() => {
                    anyhow::bail!("`--binary=` goes with `--peers` or `--instructions`")
                }
                (false, false) if docs && (quick || alone) => {
                    anyhow::bail!(
                        "`--docs` wants a whole run: it goes with neither `--quick` nor `--alone`"
                    )
                }
                (false, false) => bench::run(&bench::Config { quick, alone, docs }),
            }
        },
    },
    Command {
        name: "instructions",
        summary: "count the instructions of the paths that matter, and fail if one takes more than it did",
        flags: &[Flag {
            name: "--record",
            summary: "write down what they take now, to be held against from then on",
        }],
        run: |options| {
            instructions::run(&instructions::Config {
                record: options.has("--record"),
            })
        },
    },
    Command {
        name: "build-cost",
        summary: "measure what our crates cost to build beside others, and what programs weigh",
        flags: &[
            Flag {
                name: "--quick",
                summary: "build each once",
            },
            Flag {
                name: "--release",
                summary: "build with optimizations",
            },
        ],
        run: |options| {
            build_cost::run(&build_cost::Config {
                quick: options.has("--quick"),
                release: options.has("--release"),
            })
        },
    },
    Command {
        name: "fuzz",
        summary: "look for inputs that break a promise of a parser, with libFuzzer",
        flags: &[
            Flag {
                name: "--target=",
                summary: "the one target to try; all of them otherwise",
            },
            Flag {
                name: "--runs=",
                summary: "how many inputs each target gets: a million otherwise",
            },
        ],
        run: |options| {
            fuzz::run(&fuzz::Config {
                target: options.value("--target=").map(str::to_owned),
                runs: options.number("--runs=")?,
            })
        },
    },
    Command {
        name: "simulate",
        summary: "play fleets in virtual time, optimized and with 1,000 seeds, and print what they were held to",
        flags: &[
            Flag {
                name: "--seeds=",
                summary: "how many seeds, from 1 on",
            },
            Flag {
                name: "--seed=",
                summary: "play this one alone, which another run has named",
            },
        ],
        run: |options| {
            simulate::run(&simulate::Config {
                seeds: options.number("--seeds=")?.unwrap_or(simulate::SEEDS),
                seed: options.number("--seed=")?,
            })
        },
    },
    Command {
        name: "mutants",
        summary: "change the code in many small ways, and say which of them no test notices",
        flags: &[
            Flag {
                name: "--file=",
                summary: "a file or folder, from the root; otherwise the modules where mistakes cost most",
            },
            Flag {
                name: "--again",
                summary: "test those too that have a verdict from before",
            },
        ],
        run: |options| {
            mutants::run(&mutants::Config {
                file: options.value("--file=").map(str::to_owned),
                again: options.has("--again"),
            })
        },
    },
    Command {
        name: "coverage",
        summary: "count the lines of the core that its tests run",
        flags: &[],
        run: |_| coverage::run(),
    },
    Command {
        name: "stress",
        summary: "call at full speed for minutes while servers fail, and see that nothing grows (Linux)",
        flags: &[
            Flag {
                name: "--minutes=",
                summary: "how long: 10 if nothing is said, 3 at least",
            },
            Flag {
                name: "--seed=",
                summary: "of all that is random: 1 if nothing is said",
            },
        ],
        run: |options| {
            let minutes = options.number("--minutes=")?;
            let seed = options.number("--seed=")?;
            stress::run(&stress::Config::new(minutes, seed)?)
        },
    },
    Command {
        name: "ci",
        summary: "run lint, then instructions, then test --interop, and hold the table of faults against it: what the workflow runs",
        flags: &[],
        run: |_| ci::run(),
    },
];

/// Whether what a command looked at is in order.
///
/// An `Err` is something else: the command could not do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    Failed,
}

/// The flags that were given.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options(Vec<String>);

impl Options {
    fn has(&self, flag: &str) -> bool {
        self.0.iter().any(|given| given == flag)
    }

    /// What was given with a flag that takes a value.
    fn value(&self, flag: &str) -> Option<&str> {
        self.0.iter().find_map(|given| given.strip_prefix(flag))
    }

    /// The same, of a flag that takes a number.
    fn number(&self, flag: &str) -> anyhow::Result<Option<u64>> {
        let number = self.value(flag).map(str::parse).transpose();
        number.with_context(|| format!("`{flag}` takes a whole number"))
    }
}

fn main() -> ExitCode {
    if let Some(code) = coverage::wrap() {
        return code;
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (command, options) = match parse(&args) {
        Ok(Request::Run(command, options)) => (command, options),
        Ok(Request::Help) => {
            print!("{}", help());
            return ExitCode::SUCCESS;
        }
        Err(misuse) => {
            eprintln!("error: {misuse}\n\n{}", help().trim_end());
            return ExitCode::from(2);
        }
    };
    match (command.run)(&options) {
        Ok(Verdict::Passed) => ExitCode::SUCCESS,
        Ok(Verdict::Failed) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

enum Request {
    Help,
    Run(&'static Command, Options),
}

fn parse(args: &[String]) -> Result<Request, String> {
    let Some((name, flags)) = args.split_first() else {
        return Ok(Request::Help);
    };
    let is_help = |arg: &String| matches!(arg.as_str(), "-h" | "--help" | "help");
    if args.iter().any(is_help) {
        return Ok(Request::Help);
    }
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        return Err(format!("there is no command `{name}`"));
    };
    let mut options = Options::default();
    let mut flags = flags.iter();
    while let Some(given) = flags.next() {
        // `--file a` is `--file=a`.
        let assigned = format!("{given}=");
        let given = if command.flags.iter().any(|flag| flag.name == assigned) {
            let value = flags.next().map_or("", String::as_str);
            format!("{assigned}{value}")
        } else {
            given.clone()
        };
        let is_given = |flag: &Flag| match given.strip_prefix(flag.name) {
            Some("") => !flag.name.ends_with('='),
            Some(_) => flag.name.ends_with('='),
            None => false,
        };
        if !command.flags.iter().any(is_given) {
            return Err(format!("`{name}` does not take `{given}`"));
        }
        options.0.push(given);
    }
    Ok(Request::Run(command, options))
}

fn help() -> String {
    let mut text = String::from("Usage: cargo xtask <command>\n\nCommands:\n");
    for command in COMMANDS {
        text.push_str(&format!("  {:<18}{}\n", command.name, command.summary));
        for flag in command.flags {
            text.push_str(&format!("    {:<16}{}\n", flag.name, flag.summary));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(line: &str) -> Result<Request, String> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&args)
    }

    #[test]
    fn nothing_and_help_ask_for_help() {
        for line in ["", "--help", "-h", "help", "test --help"] {
            assert!(matches!(request(line), Ok(Request::Help)), "{line:?}");
        }
    }

    #[test]
    fn commands_are_found_with_their_flags() {
        let Ok(Request::Run(command, options)) = request("test --long") else {
            panic!("`test --long` is a command");
        };
        assert_eq!(command.name, "test");
        assert!(options.has("--long"));
        let Ok(Request::Run(_, options)) = request("test") else {
            panic!("`test` is a command");
        };
        assert!(!options.has("--long"));
    }

    #[test]
    fn misuse_is_named() {
        assert_eq!(request("tset").err().unwrap(), "there is no command `tset`");
        assert_eq!(
            request("lint --long").err().unwrap(),
            "`lint` does not take `--long`"
        );
        for line in [
            "test --long=1",
            "bench --binary",
            "bench --binary=",
            "bench --quick 1",
            "stress 3",
        ] {
            assert!(request(line).is_err(), "{line}");
        }
    }

    #[test]
    fn flags_may_have_values() {
        let Ok(Request::Run(_, options)) = request("bench --peers --binary=a/b=c") else {
            panic!("`bench` takes a path");
        };
        assert!(options.has("--peers"));
        assert_eq!(options.value("--binary="), Some("a/b=c"));
        let Ok(Request::Run(_, options)) = request("stress --minutes 3 --seed=7") else {
            panic!("`stress` takes numbers");
        };
        assert_eq!(options.value("--minutes="), Some("3"));
        assert_eq!(options.value("--seed="), Some("7"));
        let Ok(Request::Run(_, options)) = request("mutants --file a/b.rs --again") else {
            panic!("`mutants` takes a path");
        };
        assert!(options.has("--again"));
        assert_eq!(options.value("--file="), Some("a/b.rs"));
        assert_eq!(Options::default().value("--binary="), None);
    }

    #[test]
    fn numbers_are_taken_and_nonsense_is_not() {
        let number = |line: &str| {
            let Ok(Request::Run(_, options)) = request(line) else {
                panic!("`simulate` takes numbers");
            };
            options.number("--seeds=")
        };
        assert_eq!(number("simulate").unwrap(), None);
        assert_eq!(number("simulate --seeds 0").unwrap(), Some(0));
        assert_eq!(number("simulate --seeds=3").unwrap(), Some(3));
        for wrong in ["-3", "ten", "3.5", "99999999999999999999"] {
            let error = number(&format!("simulate --seeds={wrong}")).unwrap_err();
            assert_eq!(error.to_string(), "`--seeds=` takes a whole number");
        }
    }

    #[test]
    fn help_names_every_command_once() {
        let help = help();
        for command in COMMANDS {
            let line = format!("\n  {} ", command.name);
            assert_eq!(help.matches(&line).count(), 1, "{}", command.name);
        }
    }
}
