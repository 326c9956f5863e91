//! Which of a token's slots a thread reads.

use std::{
    cell::Cell,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

/// So many meetings within a second are no accident. Threads that do nothing
/// but read have met so often after some microseconds; those who send a
/// thousand requests a second with one token never do.
pub(super) const CROWD: u32 = 16;

/// Threads are counted for as long as the process lives: a number says nothing
/// of a provider, and only spreads threads over slots.
static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static NUMBER: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The number of this thread. Consecutive ones fall into different slots.
#[inline]
pub(super) fn number() -> usize {
    // A thread that is ending, and has none any more, takes any slot.
    NUMBER
        .try_with(|number| match number.get() {
            Some(known) => known,
            None => take_a_number(number),
        })
        .unwrap_or_default()
}

#[cold]
fn take_a_number(number: &Cell<Option<usize>>) -> usize {
    let taken = NEXT.fetch_add(1, Ordering::Relaxed);
    number.set(Some(taken));
    taken
}

/// How many slots are enough for threads that run at the same time to seldom
/// share one: a power of two. It may read files.
pub(super) fn slots() -> usize {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    (2 * threads.min(64)).next_power_of_two().max(16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_have_numbers_of_their_own_and_keep_them() {
        let twice = || (number(), number());
        let mut numbers: Vec<usize> = thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(twice)).collect();
            let numbers = threads.into_iter().map(|thread| {
                let (first, second) = thread.join().unwrap();
                assert_eq!(first, second);
                first
            });
            numbers.collect()
        });
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 8);
    }

    #[test]
    fn there_are_slots_for_all_threads_that_run_at_once() {
        let slots = slots();
        assert!(slots.is_power_of_two() && (16..=128).contains(&slots));
    }
}
