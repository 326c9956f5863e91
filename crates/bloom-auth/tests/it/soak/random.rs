//! Chance that can be repeated.

use std::time::Duration;

use bloom_auth_core::{Entropy as _, test_util::SeededEntropy};

/// A seed is all there is to it.
#[derive(Debug)]
pub(super) struct Random(SeededEntropy);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(SeededEntropy::new(seed))
    }

    /// Another one, which goes its own way.
    pub(super) fn fork(&mut self) -> Self {
        Self::new(self.0.draw())
    }

    /// A number less than this one.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0.draw() % end
    }

    pub(super) fn happens(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(super) fn millis(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.below(most - least + 1))
    }

    pub(super) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}
