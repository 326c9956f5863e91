//! How many token requests a fleet makes, on paper; the core's tests simulate it.

/// A day, as Bloom's tokens live.
pub const LIFETIME: f64 = 86_400.0;

/// Who shares tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sharing {
    /// Nobody: each process has its own.
    None,
    /// The processes of a machine, by files.
    Machine,
    /// The whole fleet, by Redis.
    Fleet,
}

impl Sharing {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::None, Self::Machine, Self::Fleet];

    /// Who keeps the token.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "no shared cache",
            Self::Machine => "files",
            Self::Fleet => "Redis",
        }
    }

    /// How many tokens so many machines need at a time.
    fn tokens(self, machines: f64, processes: f64) -> f64 {
        match self {
            Self::None => machines * processes,
            Self::Machine => machines,
            Self::Fleet => 1.0,
        }
    }

    /// Token requests an hour of so many machines with so many processes each, while nothing starts
    /// and nothing fails.
    #[must_use]
    pub fn an_hour(self, machines: f64, processes: f64, lifetime: f64) -> f64 {
        let margin = (lifetime / 5.0).min(300.0);
        // Each draws how much earlier than the margin it refreshes; of those who share a token, the
        // earliest does it for all. Alone it is half of a margin on average.
        let earlier = if self == Self::None { 1.5 } else { 2.0 };
        3600.0 / (lifetime - margin * earlier) * self.tokens(machines, processes)
    }

    /// Token requests when all of them start anew.
    #[must_use]
    pub fn at_a_start(self, machines: f64, processes: f64) -> f64 {
        match self {
            // What was held is there no more; what was kept is.
            Self::None => self.tokens(machines, processes),
            Self::Machine | Self::Fleet => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_asks_as_often_as_it_has_tokens() {
        let check = |sharing: Sharing, a_day: f64| {
            let found = 24.0 * sharing.an_hour(100.0, 10.0, LIFETIME);
            assert!((found - a_day).abs() < 0.01 * a_day, "{sharing:?}: {found}");
        };
        check(Sharing::None, 1_005.2);
        check(Sharing::Machine, 100.7);
        check(Sharing::Fleet, 1.007);
        // Of a short life a fifth is the margin.
        let short = Sharing::None.an_hour(1.0, 1.0, 60.0);
        assert!((short - 3600.0 / 42.0).abs() < 1e-9, "{short}");
    }

    #[test]
    fn what_is_kept_costs_nothing_at_a_start() {
        let starts = Sharing::ALL.map(|it| it.at_a_start(100.0, 10.0));
        assert_eq!(starts, [1000.0, 0.0, 0.0]);
    }
}
