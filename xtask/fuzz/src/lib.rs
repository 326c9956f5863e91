//! What every parser of bloom-auth promises of every input: round trips, limits, and agreement with
//! a second, slower one that was written from the rules alone.
//!
//! A target is a function of some bytes, which panics if a promise is broken. libFuzzer looks for
//! such bytes (`cargo xtask fuzz`); the tests here replay those that are kept in `corpus`, a folder
//! a target, and change them at random.
//!
//! Inputs are messages that one can read: see [`message`].

pub mod cache_key;
pub mod error_response;
pub mod file_record;
pub mod json;
pub mod message;
pub mod retry_after;
pub mod sealed;
pub mod sealed_record;
pub mod secrets;
pub mod settings;
pub mod token_response;
pub mod www_authenticate;

/// A parser under scrutiny.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Target {
    /// Of the program for libFuzzer, and of the folder with the corpus.
    pub name: &'static str,
    /// Tries one input; panics if that breaks a promise.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 8] = [
    Target {
        name: "cache_key",
        run: cache_key::run,
    },
    Target {
        name: "error_response",
        run: error_response::run,
    },
    Target {
        name: "file_record",
        run: file_record::run,
    },
    Target {
        name: "retry_after",
        run: retry_after::run,
    },
    Target {
        name: "sealed_record",
        run: sealed_record::run,
    },
    Target {
        name: "settings",
        run: settings::run,
    },
    Target {
        name: "token_response",
        run: token_response::run,
    },
    Target {
        name: "www_authenticate",
        run: www_authenticate::run,
    },
];
