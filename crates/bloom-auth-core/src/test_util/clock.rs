//! Clocks for tests.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::clock::{Clock, Timestamp, nanos};

/// 2026-01-01, in nanoseconds since 1970: where the clocks of tests start.
const START: u64 = 1_767_225_600_000_000_000;

/// How long the machine is up by then.
const UPTIME: u64 = 3600 * 1_000_000_000;

/// A clock that goes on only when it is told to. Clones are the same clock.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Mutex<Timestamp>>);

impl ManualClock {
    /// A clock that shows 2026-01-01, and an hour on its monotonic side.
    #[must_use]
    pub fn new() -> Self {
        let start = Timestamp::new(UPTIME, START).with_boottime(UPTIME);
        Self(Arc::new(Mutex::new(start)))
    }

    /// Lets time pass on both sides.
    pub fn advance(&self, time: Duration) {
        self.change(|now| *now = now.plus(nanos(time)));
    }

    /// Lets the machine sleep: all but the monotonic clock go on.
    pub fn suspend(&self, time: Duration) {
        let time = nanos(time);
        self.change(|now| {
            now.wall = now.wall.saturating_add(time);
            now.boottime = now.boottime.saturating_add(time);
        });
    }

    /// Lets the wall clock alone go on: it was set.
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
        self.now_across_suspend().with_boottime(0)
    }

    fn now_across_suspend(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A clock that follows tokio's time, also when that is paused. The wall clock
/// can be set beside it. Clones are the same clock.
#[derive(Clone, Debug)]
pub struct TokioClock {
    base: Instant,
    wall_offset: Arc<Mutex<i128>>,
    asleep: Arc<Mutex<u64>>,
}

impl TokioClock {
    /// A clock that starts now, at 2026-01-01.
    #[must_use]
    pub fn new() -> Self {
        Self {
            base: Instant::now(),
            wall_offset: Arc::default(),
            asleep: Arc::default(),
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

    /// Lets the machine sleep for this many seconds: tokio's time stands still
    /// meanwhile.
    pub fn suspend(&self, seconds: u32) {
        self.set_wall(seconds.into());
        let mut asleep = self.asleep.lock().unwrap_or_else(PoisonError::into_inner);
        *asleep += u64::from(seconds) * 1_000_000_000;
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
        let wall = u64::try_from(wall.max(0)).unwrap_or(u64::MAX);
        Timestamp::new(UPTIME + elapsed, wall)
    }

    fn now_across_suspend(&self) -> Timestamp {
        let now = self.now();
        let asleep = *self.asleep.lock().unwrap_or_else(PoisonError::into_inner);
        now.with_boottime(now.monotonic + asleep)
    }
}
