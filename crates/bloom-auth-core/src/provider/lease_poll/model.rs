//! Three processes that share a cache, in every state that they can get into.
//!
//! A call of the cache is one step, as the conformance suite holds caches to;
//! between two steps anybody else may take any number of theirs. Each process
//! asks for the lease, looks into the cache, fetches and stores as
//! `Fetch::search` and `Fetch::run_with` do, with the real [`LeasePoll`]. Time
//! stands still until a process does. States are few, so that all of them are
//! visited: loom, which tries orders, not states, does not come to an end here.

use std::collections::HashSet;

use super::{super::state::Reason, LeasePoll, SECOND, Turn};

/// Which process.
type Name = usize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    FirstLook,
    Lease,
    /// Whether it has the lease.
    Look(bool),
    Fetch(bool),
    Store(bool),
    /// With the token of whom.
    Free(Name),
    Has(Name),
    Elsewhere,
    /// Killed, or standing still.
    Gone,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    at: [At; 3],
    waited: [u64; 3],
    /// Whose token the cache has, and who has the lease.
    record: Option<Name>,
    holder: Option<Name>,
    /// Who asked the server.
    requests: [u8; 3],
    time_passes: bool,
}

/// Where a process ends before its time, if it gets that far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Lives,
    /// The lease is freed, as the kernel frees that of files.
    DiesBeforeFetching,
    DiesBeforeStoring,
    /// When it was to fetch; nobody frees its lease.
    StandsStill,
}

#[derive(Clone, Copy)]
struct Process {
    reason: Reason,
    is_running_out: bool,
    fate: Fate,
}

const COLD: Process = Process {
    reason: Reason::Cold,
    is_running_out: false,
    fate: Fate::Lives,
};

const DUE: Process = Process {
    reason: Reason::Due,
    ..COLD
};

impl Process {
    const fn fated(self, fate: Fate) -> Self {
        Self { fate, ..self }
    }
}

impl World {
    fn new() -> Self {
        Self {
            at: [At::FirstLook; 3],
            waited: [0; 3],
            record: None,
            holder: None,
            requests: [0; 3],
            time_passes: false,
        }
    }

    /// One step of a process.
    fn step(&mut self, name: Name, process: Process) {
        self.at[name] = match self.at[name] {
            At::FirstLook => self.record.map_or(At::Lease, At::Has),
            At::Lease => {
                let is_granted = self.holder.is_none();
                if is_granted {
                    self.holder = Some(name);
                } else if self.time_passes {
                    self.waited[name] += 3 * SECOND;
                }
                At::Look(is_granted)
            }
            At::Look(is_granted) => {
                let poll = LeasePoll::new(process.reason, 0);
                let turn = || poll.turn(is_granted, self.waited[name], process.is_running_out);
                match self.record {
                    Some(token) if is_granted => At::Free(token),
                    Some(token) => At::Has(token),
                    None => match turn() {
                        Turn::Fetch => At::Fetch(is_granted),
                        Turn::Again => At::Lease,
                        Turn::Elsewhere => At::Elsewhere,
                    },
                }
            }
            At::Fetch(_) if process.fate == Fate::StandsStill => {
                self.time_passes = true;
                At::Gone
            }
            At::Fetch(_) if process.fate == Fate::DiesBeforeFetching => self.die(name),
            At::Fetch(is_granted) => {
                self.requests[name] += 1;
                At::Store(is_granted)
            }
            At::Store(_) if process.fate == Fate::DiesBeforeStoring => self.die(name),
            At::Store(is_granted) => {
                self.record = Some(name);
                if is_granted {
                    At::Free(name)
                } else {
                    At::Has(name)
                }
            }
            At::Free(token) => {
                self.free(name);
                At::Has(token)
            }
            end @ (At::Has(_) | At::Elsewhere | At::Gone) => end,
        };
    }

    fn die(&mut self, name: Name) -> At {
        self.free(name);
        At::Gone
    }

    /// Nobody frees the lease of another.
    fn free(&mut self, name: Name) {
        if self.holder == Some(name) {
            self.holder = None;
        }
    }

    fn is_over(&self, name: Name) -> bool {
        matches!(self.at[name], At::Has(_) | At::Elsewhere | At::Gone)
    }

    fn all_requests(&self) -> u8 {
        self.requests.iter().sum()
    }

    fn has_token(&self, name: Name) -> bool {
        matches!(self.at[name], At::Has(token) if self.requests[token] == 1)
    }
}

/// Visits every state there is, and tells `judge` of those in which all are over.
/// From each, an end can be reached: nobody waits for ever.
fn in_every_state(processes: [Process; 3], judge: impl Fn(&World)) {
    let mut seen = HashSet::from([World::new()]);
    let mut to_visit = vec![World::new()];
    let mut leads_to = Vec::new();
    while let Some(world) = to_visit.pop() {
        if (0..3).all(|name| world.is_over(name)) {
            judge(&world);
            continue;
        }
        for name in (0..3).filter(|&name| !world.is_over(name)) {
            let mut next = world.clone();
            next.step(name, processes[name]);
            leads_to.push((world.clone(), next.clone()));
            if seen.insert(next.clone()) {
                to_visit.push(next);
            }
        }
    }
    assert!(seen.len() > 50, "{} states", seen.len());
    let over = |world: &World| (0..3).all(|name| world.is_over(name));
    let mut ends: HashSet<World> = seen.iter().filter(|it| over(it)).cloned().collect();
    loop {
        let before = ends.len();
        for (from, to) in &leads_to {
            if ends.contains(to) {
                ends.insert(from.clone());
            }
        }
        if ends.len() == before {
            break;
        }
    }
    assert_eq!(ends.len(), seen.len(), "some states lead to no end");
}

#[test]
fn x1_c22_three_that_have_none_make_one_request() {
    in_every_state([COLD; 3], |world| {
        assert_eq!(world.all_requests(), 1, "{world:?}");
        assert!((0..3).all(|name| world.has_token(name)), "{world:?}");
        assert_eq!(world.holder, None);
    });
}

#[test]
fn x1_c22_three_that_refresh_ahead_make_one_request() {
    in_every_state([DUE; 3], |world| {
        assert_eq!(world.all_requests(), 1, "{world:?}");
        let is_well = |name| world.has_token(name) || world.at[name] == At::Elsewhere;
        assert!((0..3).all(is_well), "{world:?}");
        assert_eq!(world.holder, None);
    });
}

#[test]
fn x5_c22_one_that_dies_costs_no_more_than_its_own_request() {
    for fate in [Fate::DiesBeforeFetching, Fate::DiesBeforeStoring] {
        in_every_state([COLD.fated(fate), COLD, COLD], |world| {
            assert_eq!(
                world.requests[1] + world.requests[2] + won(world),
                1,
                "{world:?}"
            );
            assert!(
                [1, 2].iter().all(|&name| world.has_token(name)),
                "{world:?}"
            );
            assert_eq!(world.holder, None);
        });
    }
}

/// Whether the first process fetched, and lived.
fn won(world: &World) -> u8 {
    u8::from(world.at[0] != At::Gone && world.requests[0] > 0)
}

#[test]
fn x6_c22_one_that_stands_still_keeps_nobody_from_a_token() {
    let stands = Fate::StandsStill;
    let late = Process {
        is_running_out: true,
        ..DUE
    };
    for [first, other] in [[COLD, COLD], [DUE, COLD], [DUE, late], [COLD, late]] {
        in_every_state([first.fated(stands), other, other], |world| {
            // Both may have lost patience at the same time.
            assert!((1..=2).contains(&world.all_requests()), "{world:?}");
            assert!(
                [1, 2].iter().all(|&name| world.has_token(name)),
                "{world:?}"
            );
        });
    }
}
