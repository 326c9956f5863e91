//! How a command ends: the exit codes, and what is said with them.

use std::{error::Error as StdError, fmt};

use bloom_auth::{
    CacheError, ConfigurationError, Error, ErrorKind, RequestError,
    core::{Recovery, chain},
};

/// The exit codes; scripts rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    Ok,
    Settings,
    Refused,
    Unavailable,
    Api,
    Files,
    /// By this signal, as a shell would report it.
    Signal(u8),
    /// Of the program that `exec` could not start, as a shell would report it.
    Program(u8),
}

impl Exit {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Settings => 2,
            Self::Refused => 3,
            Self::Unavailable => 4,
            Self::Api => 5,
            Self::Files => 6,
            Self::Signal(signal) => 128 | signal,
            Self::Program(code) => code,
        }
    }

    fn of(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::ClientRefused | ErrorKind::RequestRefused => Self::Refused,
            ErrorKind::Configuration
            | ErrorKind::Credentials
            | ErrorKind::Runtime
            | ErrorKind::BlockingInRuntime => Self::Settings,
            // Server, network, or an answer that cannot be used.
            _ => Self::Unavailable,
        }
    }
}

/// Why a command failed: in words without a secret, and as a code.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// Empty if there is nothing to say.
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { exit, message }
    }

    pub(crate) fn settings(message: impl Into<String>) -> Self {
        Self::new(Exit::Settings, message)
    }

    /// Whoever read the output has had enough: that is fine.
    pub(crate) fn quiet(exit: Exit) -> Self {
        Self::new(exit, "")
    }

    pub(crate) fn signal(signal: u8) -> Self {
        Self::quiet(Exit::Signal(signal))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Failure {}

impl From<ConfigurationError> for Failure {
    fn from(error: ConfigurationError) -> Self {
        Self::settings(error.to_string())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(Exit::of(error.kind()), chain(&error))
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        let exit = match &error {
            RequestError::Token(error) => Exit::of(error.kind()),
            // An answer that cannot be used; no setting is wrong.
            RequestError::TooManyRedirects => Exit::Unavailable,
            _ if matches!(error.recovery(), Recovery::Retry { .. }) => Exit::Unavailable,
            _ => Exit::Settings,
        };
        Self::new(exit, chain(&error))
    }
}

impl From<CacheError> for Failure {
    fn from(error: CacheError) -> Self {
        Self::new(Exit::Files, chain(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s5_the_codes_are_what_the_manual_says() {
        for (exit, code) in [
            (Exit::Ok, 0),
            (Exit::Settings, 2),
            (Exit::Refused, 3),
            (Exit::Unavailable, 4),
            (Exit::Api, 5),
            (Exit::Files, 6),
            (Exit::Signal(2), 130),
            (Exit::Signal(15), 143),
            (Exit::Program(127), 127),
        ] {
            assert_eq!(exit.code(), code, "{exit:?}");
            assert!(super::super::args::EXIT_CODES.contains(&format!("{code}")));
        }
    }

    #[test]
    fn s5_redirects_without_end_are_an_answer_that_cannot_be_used() {
        let failure = Failure::from(RequestError::TooManyRedirects);
        assert_eq!(failure.exit, Exit::Unavailable);
    }

    #[test]
    fn s5_every_kind_of_error_has_its_code() {
        for (kind, exit) in [
            (ErrorKind::Configuration, Exit::Settings),
            (ErrorKind::Credentials, Exit::Settings),
            (ErrorKind::ClientRefused, Exit::Refused),
            (ErrorKind::RequestRefused, Exit::Refused),
            (ErrorKind::RateLimited, Exit::Unavailable),
            (ErrorKind::Server, Exit::Unavailable),
            (ErrorKind::Connect, Exit::Unavailable),
            (ErrorKind::Tls, Exit::Unavailable),
            (ErrorKind::Proxy, Exit::Unavailable),
            (ErrorKind::Timeout, Exit::Unavailable),
            (ErrorKind::Response, Exit::Unavailable),
            (ErrorKind::ExpiredOnArrival, Exit::Unavailable),
        ] {
            assert_eq!(Failure::from(Error::from(kind)).exit, exit, "{kind:?}");
        }
    }
}
