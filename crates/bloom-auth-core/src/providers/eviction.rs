//! Which providers go: those that nobody has asked for in a long time, and of
//! too many the least recently used. No lock, no clock.

/// A full shard gives up this part of its providers at once. The search for
/// the oldest looks at all of them, and so costs each one that is added a
/// constant number of steps.
const BATCH: usize = 16;

/// Below twice this number of providers there is one shard, and the order of
/// last use holds for all of them.
const LEAST_PER_SHARD: usize = 512;
const MAX_SHARDS: usize = 256;

/// How many providers there may be and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// In all shards.
    pub(super) max: usize,
    /// In nanoseconds.
    pub(super) idle_after: u64,
}

impl Limits {
    /// How many shards there are: a power of two, so that each is small enough
    /// to be looked through while it is locked.
    pub(super) fn shards(self) -> usize {
        let most = (self.max / LEAST_PER_SHARD).clamp(1, MAX_SHARDS);
        1 << most.ilog2()
    }

    /// How many of its `len` providers a shard has to give up before it takes
    /// another, where all shards together have `total`.
    ///
    /// At least one, so that the bound holds; what is beyond the shard's share,
    /// so that those go that were kept while they were in use; and a batch, so
    /// that it need not be done again soon.
    pub(super) fn surplus(self, total: usize, len: usize) -> usize {
        if total < self.max {
            return 0;
        }
        let share = self.max.div_ceil(self.shards());
        (len / BATCH).max((len + 1).saturating_sub(share)).max(1)
    }

    /// How many providers a shard takes without another search after one that
    /// found `found` of the `surplus` it was to give up, since nearly all of
    /// its `len` are in use.
    pub(super) fn respite(surplus: usize, found: usize, len: usize) -> usize {
        if found < surplus {
            (len / BATCH).saturating_sub(found)
        } else {
            0
        }
    }
}

/// The place of a provider in the order of last use: when that was, and for
/// those of the same moment a number that tells them apart.
pub(super) type Rank = (u64, u64);

/// Up to which rank those go that are not in use; `None` if none goes.
///
/// All that are idle go, and the oldest until the surplus is gone.
pub(super) fn cut(
    uses: impl IntoIterator<Item = (Rank, bool)>,
    now: u64,
    idle_after: u64,
    surplus: usize,
) -> Option<Rank> {
    let unused = uses.into_iter().filter(|(_, in_use)| !in_use);
    let mut ranks: Vec<Rank> = unused.map(|(rank, _)| rank).collect();
    let is_idle = |rank: &&Rank| now.saturating_sub(rank.0) >= idle_after;
    let idle = ranks.iter().filter(is_idle).count();
    let last = idle.max(surplus.min(ranks.len())).checked_sub(1)?;
    Some(*ranks.select_nth_unstable(last).1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: fn(usize) -> Limits = |max| Limits { max, idle_after: 0 };

    #[test]
    fn shards_by_the_table() {
        for (max, shards) in [
            (1, 1),
            (1023, 1),
            (1024, 2),
            (10_000, 16),
            (100_000, 128),
            (1_000_000, 256),
            (usize::MAX, 256),
        ] {
            assert_eq!(LIMITS(max).shards(), shards, "{max}");
        }
    }

    #[test]
    fn surplus_by_the_table() {
        for (max, total, len, surplus) in [
            // There is room.
            (3, 0, 0, 0),
            (3, 2, 2, 0),
            (10_000, 9_999, 700, 0),
            // Few: exactly one.
            (1, 1, 1, 1),
            (3, 3, 3, 1),
            // Many: a sixteenth.
            (1000, 1000, 1000, 62),
            (10_000, 10_000, 625, 39),
            // A shard with little in it.
            (10_000, 10_000, 0, 1),
            (10_000, 10_000, 500, 31),
            // Some had been in use.
            (3, 10, 10, 8),
            (10_000, 20_000, 1250, 626),
            (usize::MAX, 1_000_000, 4_000, 0),
        ] {
            let found = LIMITS(max).surplus(total, len);
            assert_eq!(found, surplus, "{max} {total} {len}");
        }
    }

    #[test]
    fn respite_by_the_table() {
        for (surplus, found, len, respite) in [
            (0, 0, 1000, 0),
            (62, 62, 1000, 0),
            (62, 80, 1000, 0),
            (62, 0, 1000, 62),
            (62, 1, 1000, 61),
            (500, 100, 1000, 0),
            // Few are looked through every time.
            (1, 0, 15, 0),
            (1, 0, 16, 1),
        ] {
            let found_respite = Limits::respite(surplus, found, len);
            assert_eq!(found_respite, respite, "{surplus} {found} {len}");
        }
    }

    #[test]
    fn the_cut_by_the_table() {
        const IN_USE: bool = true;
        let of = |last_used, in_use| ((last_used, last_used), in_use);
        let five = [
            of(40, false),
            of(10, IN_USE),
            of(30, false),
            of(20, false),
            of(50, IN_USE),
        ];
        for (now, idle_after, surplus, cut_at) in [
            // Nobody has to go.
            (50, 100, 0, None),
            // The oldest that is not in use, two, all there are.
            (50, 100, 1, Some(20)),
            (50, 100, 2, Some(30)),
            (50, 100, 3, Some(40)),
            (50, 100, 100, Some(40)),
            // Idle to the nanosecond.
            (119, 100, 0, None),
            (120, 100, 0, Some(20)),
            (130, 100, 0, Some(30)),
            (1000, 100, 0, Some(40)),
            // Whichever takes more.
            (120, 100, 3, Some(40)),
            (1000, 100, 1, Some(40)),
            // A clock that has not come as far.
            (0, 1, 0, None),
        ] {
            let found = cut(five, now, idle_after, surplus);
            let expected = cut_at.map(|at| (at, at));
            assert_eq!(found, expected, "{now} {idle_after} {surplus}");
        }
        assert_eq!(cut([], 50, 1, 1), None);
        assert_eq!(cut([of(10, IN_USE)], 50, 1, 1), None);
        // Of one moment, as many go as have to.
        let same = [((7, 2), false), ((7, 0), false), ((7, 1), false)];
        assert_eq!(cut(same, 7, 100, 2), Some((7, 1)));
    }

    proptest! {
        #[test]
        fn the_cut_is_where_a_sorted_list_has_it(
            uses in prop::collection::vec((0..50_u64, any::<bool>()), 0..60),
            now in 0..60_u64,
            idle_after in 1..60_u64,
            surplus in 0..70_usize,
        ) {
            let uses: Vec<_> = (0..).zip(uses).map(|(id, (at, in_use))| ((at, id), in_use)).collect();
            let found = cut(uses.iter().copied(), now, idle_after, surplus);
            let goes = |use_: &&(Rank, bool)| !use_.1 && Some(use_.0) <= found;
            let gone = uses.iter().filter(goes).count();
            let unused = uses.iter().filter(|use_| !use_.1).count();
            let is_idle = |rank: Rank| now.saturating_sub(rank.0) >= idle_after;
            let idle = uses.iter().filter(|use_| !use_.1 && is_idle(use_.0)).count();
            prop_assert_eq!(gone, idle.max(surplus.min(unused)));
            for (rank, in_use) in uses {
                prop_assert!(in_use || Some(rank) <= found || !is_idle(rank));
            }
        }
    }
}
