//! What a process holds: memory, descriptors, threads, tasks.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    fs,
    sync::atomic::{AtomicU64, Ordering},
};

/// What this process has taken from the allocator and not given back, in bytes.
static HEAP: AtomicU64 = AtomicU64::new(0);

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

#[expect(unsafe_code, reason = "there is no other way to count what is held")]
// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HEAP.fetch_add(layout.size() as u64, Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        HEAP.fetch_add(layout.size() as u64, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        HEAP.fetch_add(size as u64, Ordering::Relaxed);
        HEAP.fetch_sub(layout.size() as u64, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HEAP.fetch_sub(layout.size() as u64, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// What the process holds at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// Resident memory, in KiB, with the pages of the program's own file that
    /// were needed so far.
    pub(super) resident: u64,
    /// Resident memory that the process has written to, in KiB.
    pub(super) written: u64,
    /// Memory that was allocated and not freed, in KiB.
    pub(super) heap: u64,
    pub(super) descriptors: u64,
    pub(super) threads: u64,
    /// As their runtimes count them.
    pub(super) tasks: u64,
}

impl Held {
    pub(super) fn now(tasks: u64) -> Self {
        // `status` has resident memory too, and is off by some pages a thread.
        let rollup = fs::read_to_string("/proc/self/smaps_rollup").unwrap();
        // One of them is that of the directory itself.
        let descriptors = fs::read_dir("/proc/self/fd").unwrap().count() - 1;
        let threads = fs::read_dir("/proc/self/task").unwrap().count();
        Self {
            resident: field(&rollup, "Rss:"),
            written: field(&rollup, "Anonymous:"),
            heap: HEAP.load(Ordering::Relaxed) / 1024,
            descriptors: descriptors as u64,
            threads: threads as u64,
            tasks,
        }
    }
}

/// Has the allocator give back what it keeps for later, where it can be told
/// to: how much that is depends on which thread freed what, and says nothing.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "there is no safe name for it")]
pub(super) fn trim() {
    // SAFETY: it may be called at any time, and takes nothing but a number.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(target_env = "gnu"))]
pub(super) fn trim() {}

/// The number in the line that begins so.
fn field(text: &str, name: &str) -> u64 {
    let rest = text.lines().find_map(|line| line.strip_prefix(name));
    let number = rest.unwrap().split_whitespace().next();
    number.unwrap().parse().unwrap()
}

#[test]
fn what_is_held_is_counted() {
    let before = HEAP.load(Ordering::Relaxed);
    let held = vec![1_u8; 64 << 20];
    // Other tests run meanwhile, and hold far less.
    let after = HEAP.load(Ordering::Relaxed);
    assert!(after - before > 32 << 20, "{before} {after}");
    let now = Held::now(0);
    assert!(
        now.resident > now.written && now.written > 64 << 10,
        "{now:?}"
    );
    assert!(now.descriptors >= 3 && now.threads >= 1, "{now:?}");
    drop(held);
    let after = HEAP.load(Ordering::Relaxed);
    assert!(after < before + (32 << 20), "{before} {after}");
}
