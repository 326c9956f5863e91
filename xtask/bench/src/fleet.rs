//! How many token requests a fleet makes, on paper; the core's tests simulate it.

const DAY: f64 = 86_400.0;

/// As long as Bloom's tokens live.
pub const LIFETIME: f64 = DAY;

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

    /// Token requests a day of so many machines with so many processes each, while nothing starts and
    /// nothing fails.
    #[must_use]
    pub fn a_day(self, machines: f64, processes: f64, lifetime: f64) -> f64 {
        let margin = (lifetime / 5.0).min(300.0);
        // Each draws how much earlier than the margin it refreshes; of those who share a token, the
        // earliest does it for all. Alone it is half of a margin on average.
        let earlier = if self == Self::None { 1.5 } else { 2.0 };
        DAY / (lifetime - margin * earlier) * self.tokens(machines, processes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_asks_as_often_as_it_has_tokens() {
        let check = |sharing: Sharing, a_day: f64| {
            let found = sharing.a_day(100.0, 10.0, LIFETIME);
            assert!((found - a_day).abs() < 0.01 * a_day, "{sharing:?}: {found}");
        };
        check(Sharing::None, 1_005.2);
        check(Sharing::Machine, 100.7);
        check(Sharing::Fleet, 1.007);
        // Of a short life a fifth is the margin.
        let short = Sharing::None.a_day(1.0, 1.0, 60.0);
        assert!((short - DAY / 42.0).abs() < 1e-9, "{short}");
    }
}
