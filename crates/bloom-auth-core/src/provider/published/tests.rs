//! What threads read, in the one place and in many.

use std::{
    sync::{Arc, Mutex},
    thread,
};

use super::{places::Crowd, *};
use crate::{
    clock::Clock,
    provider::timing::{Deadlines, TimingPolicy},
};

const SECOND: u64 = 1_000_000_000;

fn now() -> Timestamp {
    Timestamp::new(SECOND, 1_000 * SECOND)
}

pub(super) fn held(name: &str) -> Held {
    let policy = TimingPolicy {
        margin: 300 * SECOND,
        leeway: 10 * SECOND,
        max_lifetime: 86_400 * SECOND,
    };
    let deadlines = Deadlines::of_answer(&policy, 3600 * SECOND, now(), now(), 0).unwrap();
    Held {
        token: AccessToken::from_text(name, deadlines.expires_at.wall, None).unwrap(),
        deadlines,
        generation: 1,
    }
}

/// It shows what it is set to.
#[derive(Clone, Debug)]
struct Hands(Arc<Mutex<Timestamp>>);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

fn published() -> (Published, Hands) {
    let hands = Hands(Arc::new(Mutex::new(now())));
    let clock = AnyClock::Other(Arc::new(hands.clone()));
    (Published::new(clock), hands)
}

fn spread(published: &Published) {
    let places = &published.places;
    for _ in 0..readers::CROWD {
        assert!(places.slots.get().is_none());
        drop(places.meet(SECOND));
    }
    assert_eq!(places.slots.get().unwrap().len(), readers::slots());
}

/// What each of many threads reads.
fn read_by_many(published: &Published) -> Vec<Option<AccessToken>> {
    let read = || published.fresh(Prepared::token);
    thread::scope(|scope| {
        let threads = (0..2 * readers::slots()).map(|_| scope.spawn(read));
        let threads: Vec<_> = threads.collect();
        let read = threads.into_iter().map(|thread| thread.join().unwrap());
        read.collect()
    })
}

#[test]
fn c14_a_panic_under_the_lock_does_no_harm() {
    for is_spread in [false, true] {
        let (published, _) = published();
        if is_spread {
            spread(&published);
        }
        let thread = thread::scope(|scope| {
            let panics = || {
                let _first = published.places.first.lock();
                let _slot = published.places.slot().map(|slot| slot.0.write());
                panic!("as a bug of ours may");
            };
            scope.spawn(panics).join()
        });
        assert!(thread.is_err() && published.places.first.is_poisoned());
        let held = held("a");
        published.set(Some(&held));
        for read in read_by_many(&published) {
            assert_eq!(read.as_ref(), Some(&held.token));
        }
        published.set(None);
        assert_eq!(published.fresh(Prepared::token), None);
    }
}

#[test]
fn every_thread_reads_what_was_published_last() {
    let (published, _) = published();
    published.set(Some(&held("a")));
    spread(&published);
    for last in ["a", "b", "c"] {
        if last != "a" {
            published.set(Some(&held(last)));
        }
        for read in read_by_many(&published) {
            assert_eq!(read.unwrap().expose(), last);
        }
        published.set(None);
        assert!(read_by_many(&published).iter().all(Option::is_none));
    }
}

#[test]
fn every_slot_has_the_header_marked_sensitive() {
    let (published, _) = published();
    published.set(Some(&held("a")));
    spread(&published);
    let slots = published.places.slots.get().unwrap();
    assert_eq!(slots.len(), readers::slots());
    for slot in slots {
        let prepared = slot.0.read().unwrap();
        let prepared = prepared.as_ref().unwrap();
        assert!(prepared.authorization.is_sensitive());
        assert_eq!(prepared.authorization, "Bearer a");
    }
}

#[test]
fn it_is_fresh_until_the_first_of_both_clocks_says_no() {
    let (published, hands) = published();
    let held = held("a");
    published.set(Some(&held));
    let due = held.deadlines.refresh_at;
    let is_fresh = |monotonic, wall| {
        *hands.0.lock().unwrap() = Timestamp::new(monotonic, wall);
        // Whoever has read another clock asks this one.
        let other = AnyClock::default();
        let glimpse = published.glimpse(&other, 0, Prepared::authorization);
        let glimpse = glimpse.unwrap().if_fresh();
        let fresh = published.fresh(Prepared::authorization);
        assert_eq!(fresh, glimpse);
        fresh.is_some()
    };
    for _ in 0..2 {
        assert!(is_fresh(due.monotonic - 1, due.wall - 1));
        assert!(!is_fresh(due.monotonic, due.wall - 1));
        assert!(!is_fresh(due.monotonic - 1, due.wall));
        if published.places.slots.get().is_none() {
            spread(&published);
        }
    }
}

#[test]
fn only_a_crowd_within_a_second_is_one() {
    let crowd = |nanos_between: u64| {
        let mut crowd = Crowd::default();
        let meets = |n: &u64| crowd.meets(SECOND + n * nanos_between);
        (0..1000).find(meets)
    };
    let first = u64::from(readers::CROWD) - 1;
    assert_eq!(crowd(0), Some(first));
    assert_eq!(crowd(SECOND / 100), Some(first));
    assert_eq!(crowd(SECOND / first + 1), None);
    // A clock that goes back ends no second early.
    let mut crowd = Crowd::default();
    assert!(!crowd.meets(SECOND));
    assert!((0..first).any(|n| crowd.meets(n)));
}

#[test]
fn the_wall_clock_is_asked_once_in_each_tick() {
    let held = held("a");
    let due = held.deadlines.refresh_at;
    let prepared = Prepared::new(&held);
    let asked = std::cell::Cell::new(0);
    let is_fresh = |monotonic: u64, wall: u64| {
        let wall = || {
            asked.set(asked.get() + 1);
            wall
        };
        prepared.is_fresh_within_tick(monotonic, wall)
    };
    let (early, late) = (due.wall - 1, due.wall);
    assert!(is_fresh(SECOND, early) && asked.get() == 1);
    // Set forward within the tick: noticed at the next.
    assert!(is_fresh(SECOND, late) && asked.get() == 1);
    assert!(!is_fresh(SECOND + 1, late) && asked.get() == 2);
    // What it has against a token it is asked again, and may take back.
    assert!(!is_fresh(SECOND + 1, late) && asked.get() == 3);
    assert!(is_fresh(SECOND + 1, early) && asked.get() == 4);
    // Without its word, the other clock says when it is over.
    assert!(is_fresh(due.monotonic - 1, early) && asked.get() == 5);
    assert!(!is_fresh(due.monotonic, early) && asked.get() == 5);
    assert!(Prepared::new(&held).is_fresh_within_tick(0, || early));
}
