//! The command line tool `bloom-auth`: access tokens for Bloom Credit's API in
//! shell scripts, jobs and programs in any language, a look at what is wrong when
//! there is none, and an emulator of Bloom to develop against.
//!
//! ```sh
//! cargo install --path crates/bloom-auth-cli
//! bloom-auth --help
//! ```
//!
//! The binary is what there is to use; this library holds its [`main`].

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

use clap::Parser as _;

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
    match run(arguments, environment, style, core_limit) {
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
    arguments: Vec<OsString>,
    environment: Environment,
    style: Style,
    core_limit: hardening::CoreLimit,
) -> Result<(), Failure> {
    settings::secret::refuse_as_argument(arguments.iter().skip(1))?;
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let exit = if error.use_stderr() {
                Exit::Settings
            } else {
                Exit::Ok
            };
            // If it cannot be shown, there is nobody to tell that either.
            let _ = error.print();
            return Err(Failure::quiet(exit));
        }
    };
    let verbosity = Verbosity::of(cli.quiet, cli.verbose);
    let lines = Lines {
        verbosity,
        style,
        requests: matches!(cli.command, Command::Emulator(_)) && !cli.quiet,
    };
    lines.install();
    let context = Context {
        environment,
        style,
        is_quiet: cli.quiet,
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
