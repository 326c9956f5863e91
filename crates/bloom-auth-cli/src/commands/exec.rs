//! `bloom-auth exec`: a program with the token in its environment.

use std::{io, process::Command, time::Duration};

use super::{
    Context, block_on, patiently_for_another,
    token::{WAITING, Wanted, exports, obtain},
};
use crate::{
    args::ExecArgs,
    exit::{Exit, Failure},
    settings::names,
};

pub(crate) fn run(args: ExecArgs, context: &Context) -> Result<(), Failure> {
    let ExecArgs {
        min_lifetime,
        command,
        settings,
    } = args;
    let mut words = command.into_iter();
    let Some(program) = words.next() else {
        return Err(Failure::settings("there is no program to run after `--`"));
    };
    let auth = context.settings(&settings)?.build()?;
    let wanted = Wanted {
        min_lifetime: Duration::from_secs(min_lifetime.into()),
        refresh: false,
    };
    let token = block_on(patiently_for_another(WAITING, obtain(&auth, wanted)))?;
    let mut command = Command::new(&program);
    command.args(words).envs(exports(&token));
    // It gets the token in the place of what it was got with.
    command.env_remove(names::CLIENT_SECRET);
    drop((auth, token));
    context.core_limit.restore();
    let error = match become_or_run(&mut command) {
        Ok(code) => return Err(Failure::quiet(Exit::Program(code))),
        Err(error) => error,
    };
    let code = if error.kind() == io::ErrorKind::NotFound {
        127
    } else {
        126
    };
    let program = program.to_string_lossy();
    Err(Failure::new(
        Exit::Program(code),
        format!("`{program}` cannot be started: {error}"),
    ))
}

/// The program takes the place of this process: signals, terminal and exit code
/// are its own, and nothing of ours stays behind it.
#[cfg(unix)]
fn become_or_run(command: &mut Command) -> io::Result<u8> {
    use std::os::unix::process::CommandExt as _;
    Err(command.exec())
}

/// Waits for the program. Whatever ends the console's programs ends both.
#[cfg(not(unix))]
fn become_or_run(command: &mut Command) -> io::Result<u8> {
    let code = command.status()?.code().unwrap_or(1);
    Ok(u8::try_from(code).unwrap_or(1))
}
