//! The command line tool `bloom-auth`: access tokens for Bloom Credit's API in
//! shell scripts, jobs and programs in any language, a look at what is wrong when
//! there is none, and an emulator of Bloom to develop against.
//!
//! ```text
//! cargo install --path crates/bloom-auth-cli
//! bloom-auth --help
//! ```
//!
//! The binary is what there is to use; this library holds its [`main`].
//!
//! # Commands
//!
//! | command | what it does |
//! |---|---|
//! | `token` | prints an access token: alone, as a header, as `export` lines or as JSON |
//! | `request` | calls the API with the token; the body goes to stdout as it comes |
//! | `exec` | runs a program with the token in its environment |
//! | `status` | shows what is set, where it came from, and the token that is held; asks no server |
//! | `doctor` | checks everything that a token and the API need, and says what to do |
//! | `cache` | lists or clears the files in which tokens are kept |
//! | `emulator` | is a Bloom on this machine, with faults, quotas and an admin endpoint |
//! | `completions`, `man` | print completion scripts and the manual |
//!
//! # Settings
//!
//! A flag wins over a variable, that over a profile, and that over a default. The
//! variables are those of `BloomAuth::from_env`; `--token-url` is `BLOOM_TOKEN_URL`
//! is the key `token_url`. Tokens are kept in files unless `--cache` says otherwise.
//!
//! The file is `bloom-auth.toml` in the platform's directory for settings
//! (`$XDG_CONFIG_HOME` or `~/.config`; on macOS `~/Library/Application Support`, on
//! Windows `%APPDATA%`), or what `--config` or `BLOOM_CONFIG` names:
//!
//! ```toml
//! # For every profile.
//! client_secret_file = "bloom-secret" # beside this file
//! default_profile = "sandbox"
//!
//! [profiles.sandbox]
//! client_id = "..."
//!
//! [profiles.live]
//! client_id = "..."
//! environment = "production"
//! client_secret_file = "bloom-secret-live"
//! ```
//!
//! `--profile` or `BLOOM_PROFILE` choose a profile. Unknown keys are errors with
//! the nearest known one; a file that holds a `client_secret` and can be read by
//! others is refused, and so is one that everybody can write to.
//!
//! The secret comes from `BLOOM_CLIENT_SECRET`, a file, the standard input
//! (`--secret-stdin`) or the keyring (`--keyring`, feature `keyring`), never from an
//! argument, which all users of a machine can see. Where two levels name one, the
//! stronger one's counts alone. Core dumps are off before it is read.
//!
//! # Exit codes
//!
//! | code | meaning |
//! |---|---|
//! | 0 | ok; also if whoever reads the output closes it early |
//! | 2 | wrong usage or settings |
//! | 3 | the authorization server refused the credentials, the client or the request |
//! | 4 | server or network trouble, or an answer that cannot be used: try again |
//! | 5 | the API refused the request |
//! | 6 | a local file or output that the command needs cannot be used |
//! | 130, 143 | ended by SIGINT, by SIGTERM |
//!
//! `exec` ends with the code of its program, or 126 or 127 if that cannot be
//! started. On Unix the program takes the place of `bloom-auth`, so that signals are
//! its own; elsewhere `bloom-auth` waits for it.
//!
//! # How long it takes
//!
//! `bloom-auth token`, with the token in the file cache, whole process from start
//! to end, against a program that reads the same file and does nothing else.
//! Release profile, 200 runs of each in turns, on Linux (x86-64) with two virtual
//! cores that several builds used too; the times include what it takes to start a
//! process from a script:
//!
//! | | 1 in 10 is faster | median | ratio of medians |
//! |---|---|---|---|
//! | the program that only reads | 1.3 ms | 1.4 ms | |
//! | `bloom-auth token` | 2.1 ms | 2.5 ms | 1.7 |
//!
//! Instructions are the same however busy the machine is: 974,000 against 336,000,
//! or 2.9 times as many. `cargo xtask bench --instructions` counts them, and fails
//! above 3. Flags cost some more: with `--format header` it is about 3.3 times.
//!
//! No HTTP client and no TLS is set up for it: that is left to the first fetch.
//!
//! # Crate features
//!
//! - `keyring`: the client secret from the operating system's keyring, asked by the
//!   tool that the platform has for it: `secret-tool lookup service bloom-auth
//!   client_id ID` of libsecret, on macOS `security find-generic-password -s
//!   bloom-auth -a ID`. No crate speaks to a keyring without either a D-Bus stack or
//!   a session that a job has not; the tool is given three seconds, so that nothing
//!   hangs where nobody can unlock it.

#![forbid(unsafe_code)]
// On docs.rs, items say which feature they need.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod args;
mod commands;
mod exit;
mod hardening;
mod log;
mod output;
mod settings;

use std::{ffi::OsString, process::ExitCode, sync::Arc};

use crate::{
    args::{Cli, Command},
    commands::Context,
    exit::{Exit, Failure},
    log::{Lines, Verbosity},
    output::{Kind, Style},
    settings::Environment,
};

/// Runs the command that the process's arguments say.
#[must_use]
pub fn main() -> ExitCode {
    // Before anything is read that may be a secret.
    let core_limit = hardening::no_core_dumps();
    let environment = environment();
    let style = Style::stderr(&*environment.lookup);
    let arguments: Vec<OsString> = std::env::args_os().collect();
    match run(&arguments, environment, style, core_limit) {
        Ok(()) => ExitCode::from(Exit::Ok.code()),
        Err(failure) => {
            if !failure.message.is_empty() {
                output::say(style, Kind::Error, &failure.message);
            }
            ExitCode::from(failure.exit.code())
        }
    }
}

fn run(
    arguments: &[OsString],
    environment: Environment,
    style: Style,
    core_limit: hardening::CoreLimit,
) -> Result<(), Failure> {
    settings::secret::refuse_as_argument(arguments.iter().skip(1))?;
    let cli = match Cli::read(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let exit = if error.use_stderr() {
                Exit::Settings
            } else {
                Exit::Ok
            };
            return match error.print() {
                // What was asked for, and did not get there.
                Err(error) if exit == Exit::Ok => Err(output::unwritable(&error)),
                // If an error cannot be shown, there is nobody to tell that either.
                _ => Err(Failure::quiet(exit)),
            };
        }
    };
    let verbosity = Verbosity::of(cli.volume.quiet, cli.volume.verbose);
    let lines = Lines {
        verbosity,
        style,
        requests: matches!(cli.command, Command::Emulator(_)) && !cli.volume.quiet,
    };
    lines.install();
    let context = Context {
        environment,
        style,
        is_quiet: cli.volume.quiet,
        core_limit,
    };
    match cli.command {
        Command::Token(args) => commands::token::run(&args, &context),
        Command::Request(args) => commands::request::run(&args, &context),
        Command::Exec(args) => commands::exec::run(args, &context),
        Command::Status(args) => commands::status::run(&args, &context),
        Command::Doctor(args) => commands::doctor::run(&args, &context),
        Command::Cache(args) => commands::cache::run(&args, &context),
        Command::Emulator(args) => commands::emulator::run(&args, &context),
        Command::Completions(args) => commands::manual::completions(&args),
        Command::Man(args) => commands::manual::man(&args),
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the look-up to inject")]
fn environment() -> Environment {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    Environment {
        names: names.filter(|name| name.starts_with("BLOOM_")).collect(),
        lookup: Arc::new(|name| std::env::var_os(name)),
    }
}
