//! Randomness for jitter and ids, injected.

use std::{fmt, sync::Arc};

/// Draws numbers for jitter, and for ids that come once. Not for keys or nonces.
pub trait Entropy: fmt::Debug + Send + Sync {
    /// A number of which every bit is random. It must not panic.
    fn draw(&self) -> u64;
}

impl<T: Entropy + ?Sized> Entropy for Arc<T> {
    fn draw(&self) -> u64 {
        (**self).draw()
    }
}

/// The randomness of the operating system.
///
/// Processes that were cloned from one image, or forked, must not draw the
/// same jitter; a generator that is seeded once would.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct SystemEntropy;

impl SystemEntropy {
    /// The randomness of the operating system.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

impl Entropy for SystemEntropy {
    fn draw(&self) -> u64 {
        // Without randomness there is no jitter, and nothing worse: ids hold
        // more than this.
        getrandom::u64().unwrap_or(u64::MAX / 2)
    }
}
