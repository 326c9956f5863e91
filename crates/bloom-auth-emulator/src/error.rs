//! Why an emulator cannot be started.

use std::io;

/// Why an emulator cannot be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmulatorError {
    /// The address cannot be listened on: most often the port is in use.
    #[error("cannot listen on 127.0.0.1:{port}")]
    #[non_exhaustive]
    Bind {
        /// The port that was asked for; 0 stands for any free one.
        port: u16,
        /// What the operating system said.
        source: io::Error,
    },
    /// The certificates or the key that signs access tokens cannot be made.
    #[error("cannot make the emulator's certificates and keys")]
    Certificate(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A setting of the builder cannot be used.
    #[error("the {setting} {problem}")]
    #[non_exhaustive]
    Settings {
        /// Which setting, in words.
        setting: &'static str,
        /// What is wrong with it; never its value.
        problem: &'static str,
    },
    /// The operating system has no randomness to give.
    #[error("the operating system gives no randomness")]
    Randomness(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl EmulatorError {
    pub(crate) fn public_key(problem: &'static str) -> Self {
        let setting = "client's public key";
        Self::Settings { setting, problem }
    }
}
