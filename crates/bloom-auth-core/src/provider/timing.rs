//! When a token is served, refreshed and dropped: two deadlines, fixed when
//! the token is stored, as pure arithmetic.
//!
//! With L the lifetime, counted from the moment at which the request was
//! *sent*:
//!
//! - `expires_at = sent + L`
//! - `refresh_at = expires_at − m·(1 + j)`, `m = min(margin, L/5)`, and `j` in
//!   [0, 1] drawn from the OS for each stored token, so that a fleet does not
//!   refresh in step; jitter moves a refresh earlier, never later
//! - `unusable_at = expires_at − min(leeway, L/20)`, so that a token does not
//!   expire between here and the API
//!
//! Every deadline is kept for both clocks, and whichever passes first counts:
//! the monotonic one holds when the wall clock is set back, the wall one when
//! the machine slept. Where there is a clock that goes on during a suspend, the
//! deadline is kept for it as well, and counts where it is read: not on the path
//! of a fresh token.

use crate::clock::Timestamp;

const SECOND: u64 = 1_000_000_000;

/// A record from a clock this far ahead of ours is as old as "now": clocks of
/// a fleet differ. Beyond it, the record is not believed.
const MAX_CLOCK_DIFFERENCE: u64 = 300 * SECOND;

/// The settings that deadlines are made of, in nanoseconds. The builder has
/// checked that `margin >= 2 * leeway > 0`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimingPolicy {
    pub(crate) margin: u64,
    pub(crate) leeway: u64,
    pub(crate) max_lifetime: u64,
}

/// Until when a token is what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadlines {
    pub(crate) refresh_at: Timestamp,
    pub(crate) unusable_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

/// What may be done with a token at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Freshness {
    /// Serve it.
    Fresh,
    /// Serve it and fetch the next one.
    Due,
    /// Never serve it again.
    Expired,
}

impl Deadlines {
    /// Of a token that has just arrived. `None` if it is expired on arrival:
    /// a lifetime under a second, or an answer that took too long.
    ///
    /// A token that has just arrived is not due before half of the time that
    /// it can be used, so that a slow server does not make us ask again after
    /// every answer.
    pub(crate) fn of_answer(
        policy: &TimingPolicy,
        lifetime: u64,
        sent: Timestamp,
        received: Timestamp,
        draw: u64,
    ) -> Option<Self> {
        let offsets = Offsets::new(policy, lifetime, sent, draw)?;
        let unusable_at = sent.plus(offsets.unusable);
        if Self::passed(unusable_at, received) {
            return None;
        }
        let refresh_at = sent.plus(offsets.refresh);
        Some(Self {
            refresh_at: Timestamp {
                monotonic: refresh_at
                    .monotonic
                    .max(half(received.monotonic, unusable_at.monotonic)),
                wall: refresh_at.wall.max(half(received.wall, unusable_at.wall)),
                boottime: refresh_at
                    .boottime
                    .max(half(received.boottime, unusable_at.boottime)),
            },
            unusable_at,
            expires_at: sent.plus(offsets.expires),
        })
    }

    /// Of a record from a cache, which knows wall-clock times only. `None` if
    /// it cannot be used (any more), or claims to come from the future.
    pub(crate) fn of_record(
        policy: &TimingPolicy,
        lifetime: u64,
        sent_wall: u64,
        now: Timestamp,
        draw: u64,
    ) -> Option<Self> {
        if sent_wall > now.wall.saturating_add(MAX_CLOCK_DIFFERENCE) {
            return None;
        }
        let age = now.wall.saturating_sub(sent_wall);
        let sent = Timestamp {
            wall: now.wall - age,
            ..now
        };
        let offsets = Offsets::new(policy, lifetime, sent, draw)?;
        if offsets.unusable <= age {
            return None;
        }
        let at = |offset: u64| now.plus(offset.saturating_sub(age));
        Some(Self {
            refresh_at: at(offsets.refresh),
            unusable_at: at(offsets.unusable),
            expires_at: at(offsets.expires),
        })
    }

    /// For how many nanoseconds it stays fresh, by whichever clock is first.
    pub(crate) fn fresh_for(&self, now: Timestamp) -> u64 {
        let at = self.refresh_at;
        (at.monotonic.saturating_sub(now.monotonic)).min(at.wall.saturating_sub(now.wall))
    }

    /// Whether half of the time is over in which it is due.
    pub(crate) fn is_running_out(&self, now: Timestamp) -> bool {
        let (refresh, unusable) = (self.refresh_at, self.unusable_at);
        now.monotonic >= half(refresh.monotonic, unusable.monotonic)
            || now.wall >= half(refresh.wall, unusable.wall)
    }

    pub(crate) fn freshness(&self, now: Timestamp) -> Freshness {
        if Self::passed(self.unusable_at, now) {
            Freshness::Expired
        } else if Self::passed(self.refresh_at, now) {
            Freshness::Due
        } else {
            Freshness::Fresh
        }
    }

    fn passed(deadline: Timestamp, now: Timestamp) -> bool {
        let both_read = now.boottime != 0 && deadline.boottime != 0;
        now.monotonic >= deadline.monotonic
            || now.wall >= deadline.wall
            || both_read && now.boottime >= deadline.boottime
    }
}

/// The deadlines as distances from the moment of sending.
struct Offsets {
    refresh: u64,
    unusable: u64,
    expires: u64,
}

impl Offsets {
    fn new(policy: &TimingPolicy, lifetime: u64, sent: Timestamp, draw: u64) -> Option<Self> {
        // Clamped to what the clocks can tell, so that nothing saturates and
        // the order of the deadlines holds for every lifetime.
        let tellable = u64::MAX - sent.monotonic.max(sent.wall).max(sent.boottime);
        let lifetime = lifetime.min(policy.max_lifetime).min(tellable);
        if lifetime < SECOND {
            return None;
        }
        let margin = policy.margin.min(lifetime / 5);
        let leeway = policy.leeway.min(lifetime / 20);
        Some(Self {
            refresh: lifetime - margin - share(margin, draw),
            unusable: lifetime - leeway,
            expires: lifetime,
        })
    }
}

/// The middle between two moments.
fn half(from: u64, to: u64) -> u64 {
    from + to.saturating_sub(from) / 2
}

/// `whole · j`, where the draw stands for a `j` in [0, 1].
pub(crate) fn share(whole: u64, draw: u64) -> u64 {
    let product = u128::from(whole) * u128::from(draw) / u128::from(u64::MAX);
    u64::try_from(product).unwrap_or(whole)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: u64 = 86_400 * SECOND;
    const POLICY: TimingPolicy = TimingPolicy {
        margin: 300 * SECOND,
        leeway: 10 * SECOND,
        max_lifetime: 7 * DAY,
    };

    fn at(seconds: u64) -> Timestamp {
        Timestamp::new(seconds * SECOND, (1_000_000 + seconds) * SECOND)
    }

    /// Refresh and unusable in whole seconds after sending.
    fn offsets(lifetime: u64, received: u64, draw: u64) -> Option<(u64, u64)> {
        let deadlines =
            Deadlines::of_answer(&POLICY, lifetime * SECOND, at(0), at(received), draw)?;
        let offset = |deadline: Timestamp| {
            assert_eq!(deadline.wall - deadline.monotonic, 1_000_000 * SECOND);
            deadline.monotonic / SECOND
        };
        Some((offset(deadlines.refresh_at), offset(deadlines.unusable_at)))
    }

    #[test]
    fn t14_deadlines_by_the_table() {
        for (lifetime, draw, refresh, unusable) in [
            // A day: margin 300 s, doubled by the largest draw; leeway 10 s.
            (86_400, 0, 86_100, 86_390),
            (86_400, u64::MAX, 85_800, 86_390),
            (86_400, u64::MAX / 2 + 1, 85_950, 86_390),
            // Short: a fifth and a twentieth.
            (100, 0, 80, 95),
            (100, u64::MAX, 60, 95),
            // Clamped to seven days.
            (u64::MAX / SECOND, 0, 604_500, 604_790),
        ] {
            let expected = Some((refresh, unusable));
            assert_eq!(offsets(lifetime, 0, draw), expected, "{lifetime} {draw}");
        }
    }

    #[test]
    fn p21_time_counts_from_the_request() {
        // 50 of 95 usable seconds are gone: due after half of the rest.
        assert_eq!(offsets(100, 50, u64::MAX), Some((72, 95)));
        assert_eq!(offsets(100, 50, 0), Some((80, 95)));
        assert_eq!(offsets(100, 94, 0), Some((94, 95)));
        assert_eq!(offsets(100, 95, 0), None);
        assert_eq!(offsets(100, 500, 0), None);
    }

    #[test]
    fn p18_a_lifetime_under_a_second_is_none() {
        for lifetime in [0, 1, SECOND - 1] {
            assert_eq!(
                Deadlines::of_answer(&POLICY, lifetime, at(0), at(0), 0),
                None
            );
        }
        assert!(Deadlines::of_answer(&POLICY, SECOND, at(0), at(0), 0).is_some());
    }

    #[test]
    fn t13_boundaries_to_the_nanosecond() {
        let deadlines = Deadlines::of_answer(&POLICY, 100 * SECOND, at(0), at(0), 0).unwrap();
        let moment = |nanos: u64| at(0).plus(nanos);
        for (nanos, freshness) in [
            (80 * SECOND - 1, Freshness::Fresh),
            (80 * SECOND, Freshness::Due),
            (80 * SECOND + 1, Freshness::Due),
            (95 * SECOND - 1, Freshness::Due),
            (95 * SECOND, Freshness::Expired),
            (95 * SECOND + 1, Freshness::Expired),
            (u64::MAX / 2, Freshness::Expired),
        ] {
            assert_eq!(deadlines.freshness(moment(nanos)), freshness, "{nanos}");
        }
    }

    #[test]
    fn t1_t3_t4_whichever_clock_passes_first_counts() {
        let deadlines = Deadlines::of_answer(&POLICY, DAY, at(0), at(0), 0).unwrap();
        let now = at(10);
        let freshness = |monotonic, wall| deadlines.freshness(Timestamp::new(monotonic, wall));
        assert_eq!(deadlines.freshness(now), Freshness::Fresh);
        // Suspend: the wall clock alone goes on.
        assert_eq!(freshness(now.monotonic, now.wall + DAY), Freshness::Expired);
        // Set back by an hour: the monotonic clock still expires it.
        let hour = 3600 * SECOND;
        assert_eq!(freshness(DAY, at(0).wall - hour), Freshness::Expired);
        assert_eq!(freshness(now.monotonic, 0), Freshness::Fresh);
    }

    #[test]
    fn t1_a_clock_that_goes_on_in_a_suspend_counts_where_it_was_read() {
        let boot = |seconds: u64| 5_000 * SECOND + seconds * SECOND;
        let sent = at(0).with_boottime(boot(0));
        let deadlines = Deadlines::of_answer(&POLICY, 100 * SECOND, sent, sent, 0).unwrap();
        for (boottime, freshness) in [
            (0, Freshness::Fresh),
            (boot(80) - 1, Freshness::Fresh),
            (boot(80), Freshness::Due),
            (boot(95) - 1, Freshness::Due),
            (boot(95), Freshness::Expired),
        ] {
            let now = at(1).with_boottime(boottime);
            assert_eq!(deadlines.freshness(now), freshness, "{boottime}");
        }
        let unread = Deadlines::of_answer(&POLICY, 100 * SECOND, at(0), at(0), 0).unwrap();
        let now = at(1).with_boottime(u64::MAX);
        assert_eq!(unread.freshness(now), Freshness::Fresh);
    }

    #[test]
    fn each_clock_has_its_own_half_of_the_rest() {
        let sent = Timestamp::new(1, 1).with_boottime(1).plus(1_000 * SECOND);
        let received = Timestamp {
            monotonic: sent.monotonic + 50 * SECOND,
            wall: sent.wall + 60 * SECOND,
            boottime: sent.boottime + 40 * SECOND,
        };
        let lifetime = 100 * SECOND;
        let deadlines = Deadlines::of_answer(&POLICY, lifetime, sent, received, u64::MAX).unwrap();
        let refresh_at = Timestamp {
            monotonic: sent.monotonic + 72_500_000_000,
            wall: sent.wall + 77_500_000_000,
            boottime: sent.boottime + 67_500_000_000,
        };
        assert_eq!(deadlines.refresh_at, refresh_at);
    }

    #[test]
    fn the_rest_of_its_fresh_time_is_that_of_the_clock_that_is_further() {
        let deadlines = Deadlines::of_answer(&POLICY, 100 * SECOND, at(0), at(0), 0).unwrap();
        let now = at(10);
        for (monotonic, wall, seconds) in
            [(0, 0, 70), (5, 0, 65), (0, 5, 65), (70, 0, 0), (0, 99, 0)]
        {
            let now = Timestamp::new(now.monotonic + monotonic * SECOND, now.wall + wall * SECOND);
            assert_eq!(
                deadlines.fresh_for(now),
                seconds * SECOND,
                "{monotonic} {wall}"
            );
        }
    }

    #[test]
    fn it_runs_out_after_half_of_its_due_time_by_either_clock() {
        // Due from 80 s on, for 15 s.
        let deadlines = Deadlines::of_answer(&POLICY, 100 * SECOND, at(0), at(0), 0).unwrap();
        let half = 87_500_000_000;
        for (monotonic, wall, expected) in [
            (half - 1, half - 1, false),
            (half, half - 1, true),
            (half - 1, half, true),
            (0, 0, false),
            (100 * SECOND, 100 * SECOND, true),
        ] {
            let now = Timestamp::new(at(0).monotonic + monotonic, at(0).wall + wall);
            assert_eq!(
                deadlines.is_running_out(now),
                expected,
                "{monotonic} {wall}"
            );
        }
    }

    #[test]
    fn t6_a_record_that_outlives_what_clocks_can_tell_has_deadlines_on_both() {
        let policy = TimingPolicy {
            max_lifetime: u64::MAX,
            ..POLICY
        };
        let now = Timestamp::new(1_000 * SECOND, 1_000_000 * SECOND);
        let age = 10 * SECOND;
        let sent = now.wall - age;
        let deadlines = Deadlines::of_record(&policy, u64::MAX, sent, now, 0).unwrap();
        // The wall clock ends first, counted from the moment of sending.
        let left = u64::MAX - sent - age;
        assert_eq!(deadlines.expires_at, now.plus(left));
        assert_eq!(deadlines.expires_at.wall, u64::MAX);
        assert_eq!(deadlines.unusable_at, now.plus(left - POLICY.leeway));
    }

    #[test]
    fn t6_t8_a_record_is_aged_by_the_wall_clock_alone() {
        let record = |lifetime: u64, sent: u64, now: Timestamp| {
            Deadlines::of_record(&POLICY, lifetime * SECOND, sent * SECOND, now, 0)
        };
        // A monotonic clock that has just started, as after a reboot.
        let now = Timestamp::new(5 * SECOND, 1_000_000 * SECOND);
        let deadlines = record(100, 999_970, now).unwrap();
        assert_eq!(deadlines.refresh_at.monotonic, 55 * SECOND);
        assert_eq!(deadlines.refresh_at.wall, 1_000_050 * SECOND);
        assert_eq!(deadlines.unusable_at.wall, 1_000_065 * SECOND);
        // Due already, and too old.
        assert_eq!(
            record(100, 999_910, now).unwrap().freshness(now),
            Freshness::Due
        );
        assert_eq!(record(100, 999_905, now), None);
        assert_eq!(record(100, 0, now), None);
        // A little ahead is new, far ahead is not believed.
        let ahead = record(100, 1_000_300, now).unwrap();
        assert_eq!(ahead.unusable_at.wall, 1_000_095 * SECOND);
        assert_eq!(record(100, 1_000_301, now), None);
    }

    /// Lifetimes of every magnitude, in seconds.
    fn lifetimes() -> impl Strategy<Value = u64> {
        (0..64_u32, any::<u64>()).prop_map(|(shift, bits)| (bits >> shift).max(1))
    }

    /// Policies that the builder lets through.
    fn policies() -> impl Strategy<Value = TimingPolicy> {
        (1..u64::MAX / 2, 0..=u64::MAX, SECOND..=u64::MAX).prop_map(
            |(leeway, more, max_lifetime)| TimingPolicy {
                margin: (2 * leeway).saturating_add(more),
                leeway,
                max_lifetime,
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn p17_p20_deadlines_are_in_order_for_every_lifetime(
            policy in policies(),
            seconds in lifetimes(),
            monotonic in 0..u64::MAX / 4,
            wall in 0..u64::MAX / 4,
            draw in any::<u64>(),
        ) {
            let sent = Timestamp::new(monotonic, wall);
            let lifetime = seconds.saturating_mul(SECOND);
            let d = Deadlines::of_answer(&policy, lifetime, sent, sent, draw).unwrap();
            for (sent, refresh, unusable, expires) in [
                (monotonic, d.refresh_at.monotonic, d.unusable_at.monotonic, d.expires_at.monotonic),
                (wall, d.refresh_at.wall, d.unusable_at.wall, d.expires_at.wall),
            ] {
                prop_assert!(sent < refresh && refresh < unusable && unusable < expires);
                // At least six tenths of the life pass before the next request.
                prop_assert!(u128::from(refresh - sent) * 10 >= u128::from(expires - sent) * 6 - 10);
            }
        }

        #[test]
        fn t13_a_token_only_ages(
            lifetime in lifetimes(),
            draw in any::<u64>(),
            mut moments in prop::collection::vec(0..20 * DAY, 2..20),
        ) {
            let lifetime = lifetime.saturating_mul(SECOND);
            let d = Deadlines::of_answer(&POLICY, lifetime, at(0), at(0), draw).unwrap();
            moments.sort_unstable();
            let ages: Vec<_> = moments.iter().map(|&m| d.freshness(at(0).plus(m))).collect();
            prop_assert!(ages.is_sorted());
        }

        #[test]
        fn t5_no_reading_of_the_clocks_panics(
            lifetime in any::<u64>(),
            sent in any::<(u64, u64)>(),
            received in any::<(u64, u64)>(),
            draw in any::<u64>(),
        ) {
            let sent = Timestamp::new(sent.0, sent.1);
            let received = Timestamp::new(received.0, received.1);
            let _ = Deadlines::of_answer(&POLICY, lifetime, sent, received, draw);
            if let Some(d) = Deadlines::of_record(&POLICY, lifetime, sent.wall, received, draw) {
                prop_assert_ne!(d.freshness(received), Freshness::Expired);
                let left = d.unusable_at.monotonic - received.monotonic;
                prop_assert!(left < lifetime.min(POLICY.max_lifetime));
            }
        }

        #[test]
        fn a_share_is_a_share(whole in any::<u64>(), draw in any::<u64>()) {
            prop_assert!(share(whole, draw) <= whole);
            prop_assert_eq!(share(whole, 0), 0);
            prop_assert_eq!(share(whole, u64::MAX), whole);
        }
    }
}
