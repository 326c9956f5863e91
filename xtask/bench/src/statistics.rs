//! What is said of a number of turns: the least and the median.

use serde::{Deserialize, Serialize};

/// Of one subject in one setting, in nanoseconds an operation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// The least of all turns: the one that the machine disturbed least.
    pub min: f64,
    /// What half of the turns did not exceed.
    pub median: f64,
}

impl Figure {
    /// Of turns in any order; none of no turns.
    #[must_use]
    pub fn of(mut turns: Vec<f64>) -> Option<Self> {
        turns.sort_by(f64::total_cmp);
        Some(Self {
            min: *turns.first()?,
            median: *turns.get((turns.len() - 1) / 2)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn least_and_median_are_turns_that_were_measured() {
        let check = |turns: &[f64], expected: Option<(f64, f64)>| {
            let expected = expected.map(|(min, median)| Figure { min, median });
            assert_eq!(Figure::of(turns.to_vec()), expected, "{turns:?}");
        };
        check(&[], None);
        check(&[2.0], Some((2.0, 2.0)));
        check(&[3.0, 1.0, 2.0], Some((1.0, 2.0)));
        check(&[4.0, 3.0, 1.0, 2.0], Some((1.0, 2.0)));
    }
}
