//! How much of a token's time is left, at a glance.

use std::time::Duration;

const CELLS: u32 = 24;

/// A bar of what is left of the whole.
pub(crate) fn bar(left: Duration, whole: Duration) -> String {
    let share = if whole.is_zero() {
        0.0
    } else {
        (left.as_secs_f64() / whole.as_secs_f64()).clamp(0.0, 1.0)
    };
    let full = (0..CELLS)
        .filter(|cell| (f64::from(*cell) + 0.5) / f64::from(CELLS) < share)
        .count();
    let rest = (CELLS as usize).saturating_sub(full);
    format!("{}{}", "\u{2588}".repeat(full), "\u{2591}".repeat(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_as_full_as_there_is_time() {
        let second = Duration::from_secs(1);
        for (left, whole, full) in [
            (0, 10, 0),
            (5, 10, 12),
            (10, 10, 24),
            (11, 10, 24),
            (1, 0, 0),
        ] {
            let bar = bar(second * left, second * whole);
            assert_eq!(
                bar.chars().filter(|c| *c == '\u{2588}').count(),
                full,
                "{left}/{whole}"
            );
            assert_eq!(bar.chars().count(), 24);
        }
    }
}
