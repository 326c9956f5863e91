//! Time, injected: one reading holds a monotonic and a wall-clock value.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Tells the time to the engine.
///
/// [`SystemClock`] is the real one; tests bring their own.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Both clocks, read at one moment. Called on every token read, so it
    /// must be cheap; it must not panic.
    fn now(&self) -> Timestamp;

    /// The same with a reading of a clock that goes on while the machine is
    /// suspended, where there is one: asked off the path of a fresh token, so it
    /// may cost more. By default there is none.
    fn now_across_suspend(&self) -> Timestamp {
        self.now()
    }
}

#[deny(clippy::missing_trait_methods)]
impl<T: Clock + ?Sized> Clock for Arc<T> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }

    fn now_across_suspend(&self) -> Timestamp {
        (**self).now_across_suspend()
    }
}

/// A moment, by two clocks or three, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Timestamp {
    /// Since some fixed moment; never goes back. Means nothing outside this
    /// process.
    pub monotonic: u64,
    /// Since 1970-01-01 UTC; may jump either way. Zero for all times before,
    /// and 2554 is the last year it can tell.
    pub wall: u64,
    /// As the monotonic part, and goes on while the machine is suspended. Zero
    /// if it was not read.
    pub boottime: u64,
}

impl Timestamp {
    /// A moment at which the two clocks show these nanoseconds.
    #[must_use]
    pub fn new(monotonic: u64, wall: u64) -> Self {
        Self {
            monotonic,
            wall,
            boottime: 0,
        }
    }

    /// The same with a reading of the clock that goes on during a suspend.
    #[must_use]
    pub fn with_boottime(self, boottime: u64) -> Self {
        Self { boottime, ..self }
    }

    /// The wall-clock part as the standard library's type.
    #[must_use]
    pub fn system_time(&self) -> SystemTime {
        system_time(self.wall)
    }

    /// The moment this much later, on all clocks that were read.
    #[must_use]
    pub(crate) fn plus(self, nanos: u64) -> Self {
        let boottime = match self.boottime {
            0 => 0,
            boottime => boottime.saturating_add(nanos),
        };
        Self {
            monotonic: self.monotonic.saturating_add(nanos),
            wall: self.wall.saturating_add(nanos),
            boottime,
        }
    }

    /// How much later this is than that moment, by the clock that goes on
    /// during a suspend if both have it, else by the monotonic one.
    #[must_use]
    pub(crate) fn since(self, earlier: Self) -> u64 {
        if self.boottime == 0 || earlier.boottime == 0 {
            return self.monotonic.saturating_sub(earlier.monotonic);
        }
        self.boottime.saturating_sub(earlier.boottime)
    }
}

/// A duration as nanoseconds; those beyond 584 years as the largest.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Nanoseconds since 1970 as the standard library's type.
pub(crate) fn system_time(wall_nanos: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH
        .checked_add(Duration::from_nanos(wall_nanos))
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

/// The standard library's type as nanoseconds since 1970; times before are
/// zero.
pub(crate) fn wall_nanos(time: SystemTime) -> u64 {
    nanos(
        time.duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default(),
    )
}

pub use system::SystemClock;

/// The clock that somebody was given: that of the operating system, which is
/// read without a detour, or another.
#[derive(Clone, Debug)]
pub(crate) enum AnyClock {
    System(SystemClock),
    Other(Arc<dyn Clock>),
}

impl AnyClock {
    #[inline]
    pub(crate) fn monotonic(&self) -> u64 {
        match self {
            Self::System(clock) => clock.monotonic(),
            Self::Other(clock) => clock.now().monotonic,
        }
    }

    #[inline]
    pub(crate) fn now(&self) -> Timestamp {
        match self {
            Self::System(clock) => clock.now(),
            Self::Other(clock) => clock.now(),
        }
    }

    pub(crate) fn now_across_suspend(&self) -> Timestamp {
        match self {
            Self::System(clock) => clock.now_across_suspend(),
            Self::Other(clock) => clock.now_across_suspend(),
        }
    }
}

impl Default for AnyClock {
    fn default() -> Self {
        Self::System(SystemClock::new())
    }
}

#[cfg(target_os = "linux")]
mod system {
    //! The coarse clocks of Linux: a few nanoseconds a reading, with a
    //! resolution of at most 10 ms, far inside the leeway.

    use rustix::time::{ClockId, Timespec, clock_gettime};

    use super::{Clock, Timestamp};

    /// The clocks of the operating system.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    #[non_exhaustive]
    pub struct SystemClock;

    impl SystemClock {
        /// The clocks of the operating system.
        #[must_use]
        pub fn new() -> Self {
            Self
        }
    }

    impl SystemClock {
        // Since the machine started: never negative, and centuries from the end
        // of a `u64`. To make sure of that would be one in fourteen of all
        // instructions of a call that finds a fresh token.
        #[inline]
        pub(crate) fn monotonic(self) -> u64 {
            let time = clock_gettime(ClockId::MonotonicCoarse);
            let seconds = time.tv_sec.cast_unsigned();
            let rest = u64::try_from(time.tv_nsec).unwrap_or(0);
            seconds.wrapping_mul(1_000_000_000).wrapping_add(rest)
        }

        #[inline]
        pub(crate) fn wall(self) -> u64 {
            nanos(clock_gettime(ClockId::RealtimeCoarse))
        }
    }

    impl Clock for SystemClock {
        fn now(&self) -> Timestamp {
            Timestamp::new(self.monotonic(), self.wall())
        }

        fn now_across_suspend(&self) -> Timestamp {
            let boottime = nanos(clock_gettime(ClockId::Boottime));
            self.now().with_boottime(boottime)
        }
    }

    fn nanos(time: Timespec) -> u64 {
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let rest = u64::try_from(time.tv_nsec).unwrap_or(0);
        seconds.saturating_mul(1_000_000_000).saturating_add(rest)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    //! The standard library's clocks.

    use std::time::{Instant, SystemTime};

    use super::{Clock, Timestamp, nanos, wall_nanos};

    /// The clocks of the operating system.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct SystemClock {
        base: Instant,
    }

    impl SystemClock {
        /// The clocks of the operating system.
        #[must_use]
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the one `Clock` that may"
        )]
        pub fn new() -> Self {
            Self {
                base: Instant::now(),
            }
        }
    }

    impl Default for SystemClock {
        fn default() -> Self {
            Self::new()
        }
    }

    impl SystemClock {
        pub(crate) fn monotonic(self) -> u64 {
            nanos(self.base.elapsed())
        }

        #[expect(
            clippy::disallowed_methods,
            reason = "this is the one `Clock` that may"
        )]
        pub(crate) fn wall(self) -> u64 {
            wall_nanos(SystemTime::now())
        }
    }

    impl Clock for SystemClock {
        fn now(&self) -> Timestamp {
            Timestamp::new(self.monotonic(), self.wall())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t5_no_time_panics() {
        assert_eq!(wall_nanos(SystemTime::UNIX_EPOCH), 0);
        let before = SystemTime::UNIX_EPOCH
            .checked_sub(Duration::from_secs(1))
            .unwrap();
        assert_eq!(wall_nanos(before), 0);
        let far = system_time(u64::MAX);
        assert_eq!(wall_nanos(far), u64::MAX);
        assert_eq!(Timestamp::new(u64::MAX, 1).plus(5).monotonic, u64::MAX);
        assert_eq!(nanos(Duration::MAX), u64::MAX);
    }

    #[test]
    fn the_system_clock_goes_on_and_knows_the_century() {
        let clock = SystemClock::new();
        let first = clock.now();
        let second = clock.now();
        assert!(second.monotonic >= first.monotonic);
        let across = clock.now_across_suspend();
        if cfg!(target_os = "linux") {
            // It has gone on since the same moment, and longer.
            assert!(across.boottime >= first.monotonic);
            assert!(clock.now_across_suspend().since(across) < u64::MAX / 2);
        }
        let year_2020 = 1_577_836_800_000_000_000;
        assert!(first.wall > year_2020);
    }
}
