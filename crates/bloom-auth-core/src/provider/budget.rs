//! How many token requests may be sent in a period.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{clock::nanos, error::ConfigurationError};

/// No period is longer than this: it is a mistake.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// How many token requests may be sent in a period, retries included, by all
/// providers that were built with clones of it.
///
/// Authorization servers limit how many tokens a client gets in an hour or a
/// day, and some answer what is beyond as an error that looks like any other. A
/// budget below theirs tells a program of its own mistake (a provider for each
/// request, a cache that does not work), and leaves something for others who
/// have the same client. It is of this process: a cache that processes share
/// makes them ask for less.
///
/// In any period of that length, however it lies, no more requests are sent.
/// When it is used up, a usable token is served on; without one, calls fail
/// with an error of kind [`BudgetExhausted`](crate::ErrorKind::BudgetExhausted)
/// that says when there is room again.
///
/// # Example
///
/// ```
/// use std::time::Duration;
///
/// use bloom_auth_core::TokenBudget;
///
/// // A token lives for a day: whoever asks more often has a reason to stop.
/// let budget = TokenBudget::new(10, Duration::from_secs(3600))?;
/// // TokenProvider::builder(..).token_budget(budget)
/// # Ok::<(), bloom_auth_core::ConfigurationError>(())
/// ```
#[derive(Clone)]
pub struct TokenBudget {
    max: usize,
    period: u64,
    sent: Arc<Mutex<VecDeque<u64>>>,
}

impl TokenBudget {
    /// A budget of so many token requests in a period.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`] if the number is 0 or above 100 000, or the period
    /// is 0 or longer than a year.
    pub fn new(max: usize, period: Duration) -> Result<Self, ConfigurationError> {
        if !(1..=100_000).contains(&max) {
            return Err(ConfigurationError::new(
                "token budget",
                format!("is {max} token requests"),
                "allow from 1 to 100000",
            ));
        }
        if period.is_zero() || period > LONGEST {
            return Err(ConfigurationError::new(
                "token budget",
                format!("is for a period of {period:?}"),
                format!("use a period of up to {LONGEST:?}"),
            ));
        }
        Ok(Self {
            max,
            period: nanos(period),
            sent: Arc::default(),
        })
    }

    /// Takes one token request out of the budget at this moment (monotonic
    /// nanoseconds); `Err` with the time until there is one.
    pub(super) fn take(&self, now: u64) -> Result<(), Duration> {
        let mut sent = self.sent();
        while let Some(first) = sent.front().copied() {
            let relief = first.saturating_add(self.period);
            if now >= relief {
                sent.pop_front();
            } else if sent.len() < self.max {
                break;
            } else {
                return Err(Duration::from_nanos(relief - now));
            }
        }
        // Providers read the clock before they get here, and not in order.
        let at = sent.back().map_or(now, |last| now.max(*last));
        sent.push_back(at);
        Ok(())
    }

    fn sent(&self) -> MutexGuard<'_, VecDeque<u64>> {
        // It is whole between any two statements.
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for TokenBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let period = Duration::from_nanos(self.period);
        write!(f, "TokenBudget({} in {period:?})", self.max)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn budget(max: usize, seconds: u64) -> TokenBudget {
        TokenBudget::new(max, Duration::from_secs(seconds)).unwrap()
    }

    #[test]
    fn k14_budgets_that_cannot_be_are_refused() {
        let second = Duration::from_secs(1);
        for (max, period) in [
            (0, second),
            (100_001, second),
            (usize::MAX, second),
            (1, Duration::ZERO),
            (1, Duration::MAX),
        ] {
            let error = TokenBudget::new(max, period).unwrap_err();
            assert_eq!(error.setting(), "token budget");
        }
        assert_eq!(format!("{:?}", budget(3, 60)), "TokenBudget(3 in 60s)");
    }

    #[test]
    fn room_comes_back_one_by_one() {
        let budget = budget(2, 10);
        let take = |second| budget.take(second * SECOND).map_err(|left| left.as_secs());
        assert_eq!(take(100), Ok(()));
        assert_eq!(take(103), Ok(()));
        assert_eq!(take(104), Err(6));
        assert_eq!(
            budget.clone().take(109 * SECOND),
            Err(Duration::from_secs(1))
        );
        assert_eq!(take(110), Ok(()));
        assert_eq!(take(110), Err(3));
        assert_eq!(take(113), Ok(()));
        assert_eq!(take(1000), Ok(()));
        assert_eq!(take(1000), Ok(()));
        assert_eq!(take(1000), Err(10));
        // A reading from before does no harm.
        assert_eq!(take(999), Err(11));
    }

    proptest! {
        #[test]
        fn in_no_period_are_there_more(
            max in 1..6_usize,
            period in 1..50_u64,
            mut moments in prop::collection::vec(0..500_u64, 0..200),
        ) {
            moments.sort_unstable();
            let budget = budget(max, period);
            let taken: Vec<u64> = moments
                .into_iter()
                .filter(|moment| budget.take(moment * SECOND).is_ok())
                .collect();
            for from in &taken {
                let within = taken.iter().filter(|at| (*from..from + period).contains(*at));
                prop_assert!(within.count() <= max);
            }
        }
    }
}
