//! Counts what threads allocate.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use serde::{Deserialize, Serialize};

use crate::{Problem, interleave::Subject};

/// How often each subject is run before it is counted, and while.
const OPERATIONS: u64 = 1000;

thread_local! {
    static COUNTS: Cell<Allocations> = const { Cell::new(Allocations { count: 0, bytes: 0 }) };
}

/// How often memory was asked for, and how much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocations {
    /// How often.
    pub count: u64,
    /// How many bytes.
    pub bytes: u64,
}

impl Allocations {
    /// Those of this thread so far, if the program's allocator is [`Counting`].
    #[must_use]
    pub fn of_this_thread() -> Self {
        COUNTS.get()
    }

    /// Those of one operation, rounded.
    fn since(before: Self, operations: u64) -> Self {
        let now = Self::of_this_thread();
        let each = |now: u64, before: u64| (now - before + operations / 2) / operations;
        Self {
            count: each(now.count, before.count),
            bytes: each(now.bytes, before.bytes),
        }
    }
}

/// The system's allocator, which counts what it is asked for.
#[derive(Debug)]
pub struct Counting;

fn count(bytes: usize) {
    // A thread that is ending has no counter any more.
    let _ = COUNTS.try_with(|counts| {
        let before = counts.get();
        counts.set(Allocations {
            count: before.count + 1,
            bytes: before.bytes + bytes as u64,
        });
    });
}

#[expect(unsafe_code, reason = "there is no other way to count allocations")]
// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Counts an operation of each subject, on this thread.
///
/// # Errors
///
/// If an operation found no token, or if the program's allocator does not count.
pub fn measure(subjects: &[Subject]) -> Result<Vec<Allocations>, Problem> {
    let before = Allocations::of_this_thread();
    drop(std::hint::black_box(Box::new(before)));
    if before == Allocations::of_this_thread() {
        return Err("the program's allocator does not count".into());
    }
    let of = |subject: &Subject| {
        subject.run(OPERATIONS)?;
        let before = Allocations::of_this_thread();
        subject.run(OPERATIONS)?;
        Ok(Allocations::since(before, OPERATIONS))
    };
    subjects.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interleave::Kind;

    #[global_allocator]
    static COUNTING: Counting = Counting;

    #[test]
    fn what_an_operation_allocates_is_counted_and_the_turn_is_not() {
        let subjects = [
            Subject::of_calls("nothing", Kind::Floor, Some),
            Subject::of_calls("a box", Kind::Ours, |number| Some(Box::new(number))),
            Subject::of_calls("two vectors", Kind::Rival, |_| {
                Some((vec![0_u8; 900], Vec::<u8>::with_capacity(7)))
            }),
        ];
        let expected =
            [(0, 0), (1, 8), (2, 907)].map(|(count, bytes)| Allocations { count, bytes });
        assert_eq!(measure(&subjects).unwrap(), expected);
    }
}
