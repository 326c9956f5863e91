//! A cache that fails, or that nobody waits for any longer, is left alone for
//! a growing while.

use std::{
    future::Future,
    sync::{Mutex, PoisonError},
};

use bloom_auth_core::CacheError;

const SECOND: u64 = 1_000_000_000;
const MAX_SKIP: u64 = 60 * SECOND;

/// A call that is dropped sooner was not dropped because it took too long: the
/// provider waits for 100 ms at least.
const SLOW: u64 = SECOND / 20;

/// Moments are monotonic nanoseconds.
#[derive(Debug, Default)]
pub(super) struct Trouble(Mutex<Skip>);

#[derive(Debug, Default)]
struct Skip {
    time: u64,
    until: u64,
}

impl Trouble {
    /// Whether the cache is worth asking.
    pub(super) fn is_over(&self, now: u64) -> bool {
        self.with(|skip| now >= skip.until)
    }

    /// Runs a call, and remembers how that ended.
    pub(super) async fn watch<T>(
        &self,
        clock: impl Fn() -> u64,
        call: impl Future<Output = Result<T, CacheError>>,
    ) -> Result<T, CacheError> {
        let begun = clock();
        let mut watched = Watched {
            trouble: self,
            clock,
            begun,
            is_over: false,
        };
        let result = call.await;
        watched.is_over = true;
        match result {
            Ok(_) => self.with(|skip| skip.time = 0),
            Err(_) => self.failed((watched.clock)()),
        }
        result
    }

    fn failed(&self, now: u64) {
        self.with(|skip| {
            // What was under way when it failed is no further failure.
            if now < skip.until {
                return;
            }
            skip.time = skip.time.saturating_mul(2).clamp(SECOND, MAX_SKIP);
            skip.until = now.saturating_add(skip.time);
        });
    }

    fn with<T>(&self, run: impl FnOnce(&mut Skip) -> T) -> T {
        run(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A call under way, which may be dropped.
struct Watched<'a, C: Fn() -> u64> {
    trouble: &'a Trouble,
    clock: C,
    begun: u64,
    is_over: bool,
}

impl<C: Fn() -> u64> Drop for Watched<'_, C> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let now = (self.clock)();
        if now.saturating_sub(self.begun) >= SLOW {
            self.trouble.failed(now);
        }
    }
}
