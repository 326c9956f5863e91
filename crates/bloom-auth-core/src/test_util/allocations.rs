//! Counts what a thread allocates, in tests that ask for it.

use std::cell::Cell;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
    static SMALL: Cell<u64> = const { Cell::new(0) };
}

/// Blocks that are smaller may share a cache line with others.
const CACHE_LINE: usize = 64;

/// How often this thread has allocated, or let something grow, since it began;
/// 0 always where nothing counts: see [`count_allocations`](super::count_allocations).
#[must_use]
pub fn allocations() -> u64 {
    COUNT.try_with(Cell::get).unwrap_or_default()
}

/// How many of its [`allocations`] were for less than a cache line of 64 bytes:
/// two such blocks may be on one.
#[must_use]
pub fn small_allocations() -> u64 {
    SMALL.try_with(Cell::get).unwrap_or_default()
}

#[doc(hidden)]
pub fn note_allocation(bytes: usize) {
    let add = |count: &Cell<u64>| count.set(count.get() + 1);
    // A thread that is ending has no counters any more.
    let _ = COUNT.try_with(add);
    if bytes < CACHE_LINE {
        let _ = SMALL.try_with(add);
    }
}

/// Makes an allocator that counts that of the program, which is a test: for
/// [`allocations`](super::allocations). Written at most once, at the top of a
/// module.
///
/// It is a macro because this crate forbids unsafe code, which an allocator is:
/// it is in the test that asks for it.
#[doc(hidden)]
#[macro_export]
macro_rules! __count_allocations {
    () => {
        struct CountingAllocator;

        #[global_allocator]
        static COUNTING_ALLOCATOR: CountingAllocator = CountingAllocator;

        #[expect(unsafe_code, reason = "there is no other way to count allocations")]
        // SAFETY: every call goes to the system's allocator as it is.
        unsafe impl ::std::alloc::GlobalAlloc for CountingAllocator {
            unsafe fn alloc(&self, layout: ::std::alloc::Layout) -> *mut u8 {
                $crate::test_util::note_allocation(layout.size());
                // SAFETY: the caller's promises are passed on.
                unsafe { ::std::alloc::System.alloc(layout) }
            }

            unsafe fn alloc_zeroed(&self, layout: ::std::alloc::Layout) -> *mut u8 {
                $crate::test_util::note_allocation(layout.size());
                // SAFETY: as above.
                unsafe { ::std::alloc::System.alloc_zeroed(layout) }
            }

            unsafe fn realloc(
                &self,
                pointer: *mut u8,
                layout: ::std::alloc::Layout,
                size: usize,
            ) -> *mut u8 {
                $crate::test_util::note_allocation(size);
                // SAFETY: as above.
                unsafe { ::std::alloc::System.realloc(pointer, layout, size) }
            }

            unsafe fn dealloc(&self, pointer: *mut u8, layout: ::std::alloc::Layout) {
                // SAFETY: as above.
                unsafe { ::std::alloc::System.dealloc(pointer, layout) }
            }
        }
    };
}
