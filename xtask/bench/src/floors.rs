//! What nobody can do without: the least that a call, a map or a herd costs who keeps the promises
//! that we keep.

use std::{
    cell::Cell,
    collections::HashMap,
    hint::black_box,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::HeaderValue;

use crate::{
    Problem,
    interleave::{Kind, Subject},
    token,
};

const SLOTS: usize = 16;

/// Which clocks a floor asks whether its token is still good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clocks {
    None,
    Monotonic,
    Both,
}

/// Copies of a header, each behind a lock on a cache line of its own: threads that read at the same
/// time write nothing that another one reads.
struct Slots {
    slots: [Slot; SLOTS],
}

/// Processors fetch cache lines in pairs.
#[repr(align(128))]
struct Slot(RwLock<Prepared>);

struct Prepared {
    header: HeaderValue,
    /// By either clock, in nanoseconds.
    monotonic: u64,
    wall: u64,
}

impl Slots {
    fn new() -> Result<Self, Problem> {
        let header = header()?;
        let prepared = || Prepared {
            header: counted_apart(&header),
            monotonic: u64::MAX,
            wall: u64::MAX,
        };
        Ok(Self {
            slots: std::array::from_fn(|_| Slot(RwLock::new(prepared()))),
        })
    }

    #[inline]
    fn read(&self, clocks: Clocks) -> Option<HeaderValue> {
        let slot = self.slots.get(thread_number() % SLOTS)?;
        let prepared = slot.0.read().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = match clocks {
            Clocks::None => true,
            Clocks::Monotonic => clock::monotonic() < prepared.monotonic,
            Clocks::Both => {
                clock::monotonic() < prepared.monotonic && clock::wall() < prepared.wall
            }
        };
        is_fresh.then(|| prepared.header.clone())
    }
}

/// Threads that follow each other have different slots.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    NUMBER.with(|number| {
        if number.get() == usize::MAX {
            number.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        number.get()
    })
}

/// Those that are cheapest to ask.
#[cfg(target_os = "linux")]
mod clock {
    use rustix::time::{ClockId, Timespec, clock_gettime};

    #[inline]
    pub(super) fn monotonic() -> u64 {
        nanoseconds(clock_gettime(ClockId::MonotonicCoarse))
    }

    #[inline]
    pub(super) fn wall() -> u64 {
        nanoseconds(clock_gettime(ClockId::RealtimeCoarse))
    }

    #[inline]
    fn nanoseconds(time: Timespec) -> u64 {
        (time.tv_sec.cast_unsigned() * 1_000_000_000).wrapping_add(time.tv_nsec.cast_unsigned())
    }
}

/// Elsewhere there are none that are cheaper than the standard library's.
#[cfg(not(target_os = "linux"))]
#[expect(
    clippy::disallowed_methods,
    reason = "what is measured is what it costs to ask for the time"
)]
mod clock {
    use std::{
        sync::OnceLock,
        time::{Instant, SystemTime, UNIX_EPOCH},
    };

    pub(super) fn monotonic() -> u64 {
        static BASE: OnceLock<Instant> = OnceLock::new();
        let base = BASE.get_or_init(Instant::now);
        u64::try_from(base.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    pub(super) fn wall() -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// A value that is ready to be inserted into a request, with a token as long as Bloom's.
pub(crate) fn header() -> Result<HeaderValue, Problem> {
    let mut header = HeaderValue::try_from(format!("Bearer {}", token()))?;
    header.set_sensitive(true);
    Ok(header)
}

/// One with bytes of its own, which have been shared once: the first clone allocates.
fn separate(header: &HeaderValue) -> HeaderValue {
    let mut copy = HeaderValue::from_bytes(header.as_bytes()).unwrap_or_else(|_| header.clone());
    copy.set_sensitive(true);
    black_box(copy.clone());
    copy
}

/// The same bytes, whose users are counted on cache lines of their own, whatever the allocator is:
/// else it is luck whether two threads write to one line.
fn counted_apart(header: &HeaderValue) -> HeaderValue {
    #[repr(align(128))]
    struct Apart(HeaderValue);
    impl AsRef<[u8]> for Apart {
        fn as_ref(&self) -> &[u8] {
            self.0.as_bytes()
        }
    }
    let copy = HeaderValue::from_maybe_shared(Bytes::from_owner(Apart(header.clone())));
    let mut copy = copy.unwrap_or_else(|_| header.clone());
    copy.set_sensitive(true);
    copy
}

/// The name of the floor that the verdict is about.
pub const HOT_PATH: &str = "16 slots, both coarse clocks";

/// Those of the hot path; all give out a prepared header.
///
/// # Errors
///
/// None that a benchmark should see.
pub fn hot_path() -> Result<Vec<Subject>, Problem> {
    let all = [
        (HOT_PATH, Clocks::Both),
        ("16 slots, one coarse clock", Clocks::Monotonic),
        ("16 slots, no clock", Clocks::None),
    ];
    let subject = |(name, clocks)| {
        let slots = Slots::new()?;
        Ok(Subject::of_calls(name, Kind::Floor, move |_| {
            black_box(&slots).read(clocks)
        }))
    };
    all.into_iter().map(subject).collect()
}

/// A map with a header for each key, and nothing else: no lock, no clock, nobody who writes.
pub(crate) fn map(
    keys: impl Iterator<Item = String>,
) -> Result<HashMap<String, HeaderValue>, Problem> {
    let header = header()?;
    Ok(keys.map(|key| (key, separate(&header))).collect())
}

/// A cache line; what stands on it is which line comes next.
#[repr(align(64))]
struct Line(usize);

/// Reads one of so many cache lines after the other, each of which says where the next one is: what
/// it takes to reach memory that the processor has not at hand.
pub(crate) fn memory(lines: &[usize]) -> Subject {
    let mut all: Vec<Line> = lines.iter().map(|_| Line(0)).collect();
    for (&from, &to) in lines.iter().zip(lines.iter().cycle().skip(1)) {
        if let Some(line) = all.get_mut(from) {
            line.0 = to;
        }
    }
    let place = AtomicUsize::new(0);
    Subject::of_calls("memory", Kind::Floor, move |_| {
        let next = all.get(place.load(Ordering::Relaxed))?.0;
        place.store(next, Ordering::Relaxed);
        Some(next)
    })
}

/// What so many callers cost who do nothing but wait for so long.
pub(crate) async fn timers(callers: usize, time: Duration) {
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..callers {
        all.spawn(tokio::time::sleep(time));
    }
    all.join_all().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_gives_a_header_unless_a_clock_says_that_it_is_too_late() {
        let mut slots = Slots::new().unwrap();
        let all = [Clocks::None, Clocks::Monotonic, Clocks::Both];
        let check = |slots: &Slots, expected: [bool; 3]| {
            let found = all.map(|clocks| slots.read(clocks).is_some_and(|it| it.len() == 907));
            assert_eq!(found, expected);
        };
        check(&slots, [true; 3]);
        let mut set = |monotonic, wall| {
            for slot in &mut slots.slots {
                let prepared = slot.0.get_mut().unwrap();
                (prepared.monotonic, prepared.wall) = (monotonic, wall);
            }
            check(&slots, [true, monotonic > 0, monotonic > 0 && wall > 0]);
        };
        set(u64::MAX, 0);
        set(0, u64::MAX);
    }

    #[test]
    fn memory_is_read_line_by_line_and_all_of_it() {
        let lines = [3, 0, 2, 1];
        assert!(memory(&lines).run(9).is_ok());
        assert!(memory(&[0, 7]).run(2).is_err(), "there is no such line");
        assert_eq!(size_of::<Line>(), 64);
    }

    #[test]
    fn headers_share_no_bytes() {
        let header = header().unwrap();
        let (one, other) = (separate(&header), separate(&header));
        assert_eq!(one, other);
        assert_ne!(one.as_bytes().as_ptr(), other.as_bytes().as_ptr());
        assert_eq!(one.as_bytes().as_ptr(), one.clone().as_bytes().as_ptr());
        assert_eq!(counted_apart(&header), header);
    }
}
