//! A cache that fails is left alone for a growing while.

const SECOND: u64 = 1_000_000_000;
const FIRST_SKIP: u64 = SECOND;
const MAX_SKIP: u64 = 60 * SECOND;

/// Whether the cache is worth asking; moments are monotonic nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct CacheGate {
    skip: u64,
    skip_until: u64,
}

impl CacheGate {
    pub(crate) fn is_open(&self, now: u64) -> bool {
        now >= self.skip_until
    }

    pub(crate) fn succeeded(&mut self) {
        self.skip = 0;
    }

    pub(crate) fn failed(&mut self, now: u64) {
        self.skip = (self.skip.saturating_mul(2)).clamp(FIRST_SKIP, MAX_SKIP);
        self.skip_until = now.saturating_add(self.skip);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skips_grow_and_end() {
        let mut gate = CacheGate::default();
        let mut now = 0;
        assert!(gate.is_open(now));
        for skip in [1, 2, 4, 8, 16, 32, 60, 60] {
            gate.failed(now);
            assert!(!gate.is_open(now + skip * SECOND - 1));
            now += skip * SECOND;
            assert!(gate.is_open(now));
        }
        gate.succeeded();
        gate.failed(now);
        assert!(gate.is_open(now + SECOND));
    }
}
