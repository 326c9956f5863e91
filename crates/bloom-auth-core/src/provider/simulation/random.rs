//! Chance that can be repeated, and events in the order of their time.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::{entropy::Entropy as _, test_util::SeededEntropy};

/// A seed is all there is to it.
pub(super) struct Random(SeededEntropy);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(SeededEntropy::new(seed))
    }

    pub(super) fn draw(&mut self) -> u64 {
        self.0.draw()
    }

    /// A number from `least` to `most`.
    pub(super) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + super::share(most - least, self.draw())
    }

    pub(super) fn happens(&mut self, percent: u64) -> bool {
        self.draw() % 100 < percent
    }
}

/// Events by their time; those of one moment in the order in which they were
/// added.
pub(super) struct Queue<E> {
    heap: BinaryHeap<Reverse<(u64, u64, E)>>,
    added: u64,
}

impl<E: Ord> Queue<E> {
    pub(super) fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
            added: 0,
        }
    }

    pub(super) fn add(&mut self, at: u64, event: E) {
        self.added += 1;
        self.heap.push(Reverse((at, self.added, event)));
    }

    /// The next event before that moment.
    pub(super) fn next_before(&mut self, end: u64) -> Option<(u64, E)> {
        let Reverse((at, _, _)) = self.heap.peek()?;
        if *at >= end {
            return None;
        }
        let Reverse((at, _, event)) = self.heap.pop()?;
        Some((at, event))
    }
}
