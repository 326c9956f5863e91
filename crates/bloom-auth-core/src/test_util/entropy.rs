//! Randomness for tests: none.

use crate::entropy::Entropy;

/// Draws the same number always.
#[derive(Clone, Copy, Debug)]
pub struct FixedEntropy(u64);

impl FixedEntropy {
    /// The least jitter: refreshes as late as can be, backoffs as long as can
    /// be, no pause between attempts.
    pub const LEAST: Self = Self(0);
    /// The most jitter: refreshes as early as can be.
    pub const MOST: Self = Self(u64::MAX);

    /// Draws this number, of which `u64::MAX` stands for 1.
    #[must_use]
    pub fn new(draw: u64) -> Self {
        Self(draw)
    }
}

impl Entropy for FixedEntropy {
    fn draw(&self) -> u64 {
        self.0
    }
}
