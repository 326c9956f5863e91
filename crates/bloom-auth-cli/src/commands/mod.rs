//! The commands, and what they have in common.

pub(crate) mod cache;
pub(crate) mod doctor;
pub(crate) mod emulator;
pub(crate) mod exec;
pub(crate) mod manual;
pub(crate) mod request;
pub(crate) mod status;
pub(crate) mod token;

use std::{pin::pin, time::Duration};

use tokio::time::sleep;

use crate::{
    args::SettingsArgs,
    exit::{Exit, Failure},
    hardening::CoreLimit,
    output::{self, Kind, Style, spinner::Spinner},
    settings::{self, Environment, Settings},
};

/// What every command is given.
pub(crate) struct Context {
    pub(crate) environment: Environment,
    /// For stderr.
    pub(crate) style: Style,
    pub(crate) is_quiet: bool,
    pub(crate) core_limit: CoreLimit,
}

impl Context {
    pub(crate) fn settings(&self, args: &SettingsArgs) -> Result<Settings, Failure> {
        let settings = settings::resolve(args, &self.environment)?;
        if !self.is_quiet {
            for warning in &settings.warnings {
                output::say(self.style, Kind::Warning, warning);
            }
        }
        Ok(settings)
    }

    pub(crate) fn stdout_style(&self) -> Style {
        Style::stdout(&*self.environment.lookup)
    }
}

/// Runs it on this thread, in a runtime that is gone afterwards.
pub(crate) fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Unavailable, format!("no runtime: {error}")))?;
    let result = runtime.block_on(future);
    // Nobody waits for a write that hangs.
    runtime.shutdown_background();
    result
}

/// A token from a cache is there in less than this, and what would be set up for
/// a longer wait is not needed.
const AT_ONCE: Duration = Duration::from_millis(50);

/// Waits for it, with a sign of life, and ends at a signal. Before a moment has
/// passed a signal ends the process by itself.
pub(crate) async fn patiently<T>(
    message: &'static str,
    future: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    wait(message, future, true).await
}

/// As [`patiently`], and leaves signals as they were found: a program that takes
/// the place of this one is to ignore those that it was started to ignore.
pub(crate) async fn patiently_for_another<T>(
    message: &'static str,
    future: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    wait(message, future, false).await
}

async fn wait<T>(
    message: &'static str,
    future: impl Future<Output = Result<T, Failure>>,
    takes_signals: bool,
) -> Result<T, Failure> {
    let mut future = pin!(future);
    tokio::select! {
        biased;
        result = &mut future => return result,
        () = sleep(AT_ONCE) => {}
    }
    let mut signals = takes_signals.then(Signals::new).transpose()?;
    let mut spinner = Spinner::new(message);
    loop {
        let pause = spinner.pause(AT_ONCE);
        tokio::select! {
            biased;
            result = &mut future => return result,
            signal = next_of(signals.as_mut()) => return Err(Failure::signal(signal)),
            () = sleep(pause) => spinner.turn(),
        }
    }
}

async fn next_of(signals: Option<&mut Signals>) -> u8 {
    match signals {
        Some(signals) => signals.next().await,
        None => std::future::pending().await,
    }
}

/// As [`patiently`], without the sign of life.
pub(crate) async fn until_signal<T>(
    future: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut signals = Signals::new()?;
    tokio::select! {
        biased;
        result = future => result,
        signal = signals.next() => Err(Failure::signal(signal)),
    }
}

/// SIGINT and SIGTERM; elsewhere what is like them.
#[cfg(unix)]
pub(crate) struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    pub(crate) fn new() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};
        let take = |kind| {
            signal(kind).map_err(|error| {
                Failure::new(
                    Exit::Unavailable,
                    format!("signals cannot be handled: {error}"),
                )
            })
        };
        Ok(Self {
            interrupt: take(SignalKind::interrupt())?,
            terminate: take(SignalKind::terminate())?,
        })
    }

    /// The number of the next one.
    pub(crate) async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => 2,
            _ = self.terminate.recv() => 15,
        }
    }
}

#[cfg(not(unix))]
pub(crate) struct Signals;

#[cfg(not(unix))]
impl Signals {
    #[expect(clippy::unnecessary_wraps, reason = "as on Unix")]
    pub(crate) fn new() -> Result<Self, Failure> {
        Ok(Self)
    }

    pub(crate) async fn next(&mut self) -> u8 {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        2
    }
}
