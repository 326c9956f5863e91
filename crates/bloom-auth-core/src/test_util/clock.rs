//! Clocks for tests.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::clock::{Clock, Timestamp, nanos};

/// 2026-01-01, in nanoseconds since 1970: where the clocks of tests start.
const START: u64 = 1_767_225_600_000_000_000;

/// A clock that goes on only when it is told to. Clones are the same clock.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Mutex<Timestamp>>);

impl ManualClock {
    /// A clock that shows 2026-01-01, and an hour on its monotonic side.
    #[must_use]
    pub fn new() -> Self {
        let start = Timestamp::new(3600 * 1_000_000_000, START);
        Self(Arc::new(Mutex::new(start)))
    }

    /// Lets time pass on both sides.
    pub fn advance(&self, time: Duration) {
        self.change(|now| *now = now.plus(nanos(time)));
    }

    /// Lets the wall clock alone go on: the machine slept, or the clock was
    /// set.
    pub fn advance_wall(&self, time: Duration) {
        self.change(|now| now.wall = now.wall.saturating_add(nanos(time)));
    }

    /// Sets the wall clock back.
    pub fn set_back_wall(&self, time: Duration) {
        self.change(|now| now.wall = now.wall.saturating_sub(nanos(time)));
    }

    fn change(&self, change: impl FnOnce(&mut Timestamp)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A clock that follows tokio's time, also when that is paused. The wall clock
/// can be set beside it. Clones are the same clock.
#[derive(Clone, Debug)]
pub struct TokioClock {
    base: Instant,
    wall_offset: Arc<Mutex<i128>>,
}

impl TokioClock {
    /// A clock that starts now, at 2026-01-01.
    #[must_use]
    pub fn new() -> Self {
        Self {
            base: Instant::now(),
            wall_offset: Arc::default(),
        }
    }

    /// Sets the wall clock forward, or back, by this many seconds.
    pub fn set_wall(&self, seconds: i64) {
        let mut offset = self
            .wall_offset
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *offset += i128::from(seconds) * 1_000_000_000;
    }
}

impl Default for TokioClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        let elapsed = nanos(self.base.elapsed());
        let offset = *self
            .wall_offset
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let wall = i128::from(START) + i128::from(elapsed) + offset;
        Timestamp::new(
            3600 * 1_000_000_000 + elapsed,
            u64::try_from(wall.max(0)).unwrap_or(u64::MAX),
        )
    }
}
