//! Inputs that are put together out of others, always the same ones.

use bloom_auth_core::{Entropy as _, test_util::SeededEntropy};

/// Changes inputs at random. The same seed gives the same inputs on every machine.
pub(crate) struct Mutator<'a> {
    corpus: &'a [Vec<u8>],
    numbers: SeededEntropy,
}

impl<'a> Mutator<'a> {
    pub(crate) fn new(corpus: &'a [Vec<u8>], seed: u64) -> Self {
        Self {
            corpus,
            numbers: SeededEntropy::new(seed),
        }
    }

    /// Another input: one of the corpus with up to eight changes.
    pub(crate) fn next(&mut self) -> Vec<u8> {
        let mut input = self.pick().to_vec();
        for _ in 0..=self.below(8) {
            self.change(&mut input);
        }
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.below(input.len() + 1);
        let end = at + self.below((input.len() - at).min(16) + 1);
        match self.below(7) {
            0 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << self.below(8);
                }
            }
            1 => {
                let byte = self.numbers.draw();
                input.insert(at, byte.to_le_bytes()[0]);
            }
            2 => drop(input.drain(at..end)),
            3 => {
                let again = input[at..end].to_vec();
                input.splice(at..at, again);
            }
            4 => {
                // Digits in the place of others go further than any byte.
                let number = self.numbers.draw() >> self.below(64);
                input.splice(at..end, number.to_string().into_bytes());
            }
            5 => {
                // A line of another input.
                let other = self.pick();
                let lines: Vec<&[u8]> = other.split(|byte| *byte == b'\n').collect();
                let line = lines[self.below(lines.len())];
                let lines = input.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
                let starts: Vec<usize> = lines.map(|(end, _)| end + 1).chain([0]).collect();
                let start = starts[self.below(starts.len())];
                input.splice(start..start, [line, b"\n"].concat());
            }
            _ => {
                // A part of another input.
                let other = self.pick();
                let from = self.below(other.len() + 1);
                let to = from + self.below((other.len() - from).min(64) + 1);
                input.splice(at..end, other[from..to].to_vec());
            }
        }
    }

    fn pick(&mut self) -> &'a [u8] {
        let index = self.below(self.corpus.len());
        &self.corpus[index]
    }

    /// A number below this one.
    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap();
        usize::try_from(self.numbers.draw() % end).unwrap()
    }
}
