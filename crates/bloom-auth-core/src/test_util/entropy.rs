//! Randomness for tests: none, or the same each time.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

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
}

impl Entropy for FixedEntropy {
    fn draw(&self) -> u64 {
        self.0
    }
}

/// Draws numbers that look random, the same ones for each seed. Clones go on
/// with the numbers of the first.
#[derive(Clone, Debug)]
pub struct SeededEntropy(Arc<AtomicU64>);

impl SeededEntropy {
    /// Draws the numbers that belong to this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(AtomicU64::new(seed)))
    }
}

impl Entropy for SeededEntropy {
    /// SplitMix64.
    fn draw(&self) -> u64 {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let state = self.0.fetch_add(STEP, Ordering::Relaxed);
        let state = state.wrapping_add(STEP);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}
