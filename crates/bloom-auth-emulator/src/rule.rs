//! Which requests a fault is played at.

use std::{fmt, str::FromStr};

use crate::{Endpoint, Fault, FaultError, fault::printable};

/// A fault, where it is played, and at which requests.
///
/// It can be written as a text, `NAME[@ENDPOINT][:SCHEDULE]`:
///
/// ```
/// use bloom_auth_emulator::{Endpoint, Fault, FaultRule, Schedule};
///
/// let fault: Fault = "slow-body".parse()?;
/// let rule = FaultRule::new(fault).at(Endpoint::Api)?.on(Schedule::every(3));
/// assert_eq!(rule.to_string(), "slow-body@api:every=3");
/// assert_eq!("slow-body@api:every=3".parse(), Ok(rule));
///
/// // At the first endpoint of the fault, and at every request.
/// let rule: FaultRule = "server-error".parse()?;
/// assert_eq!(rule.to_string(), "server-error@token:always");
/// # Ok::<(), bloom_auth_emulator::FaultError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FaultRule {
    pub(crate) fault: Fault,
    pub(crate) endpoint: Endpoint,
    pub(crate) schedule: Schedule,
}

/// At which of the requests to its endpoint a fault is played.
///
/// Requests that an earlier rule has played a fault at are seen by none of the
/// later ones, so that two rules of `next=1` are played one after the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule(pub(crate) When);

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum When {
    Always,
    First(u64),
    Next(u64),
    Every(u64),
    Probability(f64),
}

impl FaultRule {
    /// The fault at every request to the first of its endpoints.
    #[must_use]
    pub fn new(fault: Fault) -> Self {
        Self {
            fault,
            endpoint: fault
                .endpoints()
                .first()
                .copied()
                .unwrap_or(Endpoint::Token),
            schedule: Schedule::always(),
        }
    }

    /// The same at another endpoint.
    ///
    /// # Errors
    ///
    /// [`FaultError::Misplaced`] if the fault cannot be played there.
    pub fn at(mut self, endpoint: Endpoint) -> Result<Self, FaultError> {
        if !self.fault.endpoints().contains(&endpoint) {
            let fault = self.fault;
            return Err(FaultError::Misplaced { fault, endpoint });
        }
        self.endpoint = endpoint;
        Ok(self)
    }

    /// The same by another schedule.
    #[must_use]
    pub fn on(mut self, schedule: Schedule) -> Self {
        self.schedule = schedule;
        self
    }

    /// What is played.
    #[must_use]
    pub fn fault(&self) -> Fault {
        self.fault
    }

    /// Where it is played.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    /// When it is played.
    #[must_use]
    pub fn schedule(&self) -> Schedule {
        self.schedule
    }
}

impl From<Fault> for FaultRule {
    fn from(fault: Fault) -> Self {
        Self::new(fault)
    }
}

impl Schedule {
    /// At every request.
    #[must_use]
    pub fn always() -> Self {
        Self(When::Always)
    }

    /// At the first so many requests since the emulator started.
    #[must_use]
    pub fn first(requests: u64) -> Self {
        Self(When::First(requests))
    }

    /// At the next so many requests.
    #[must_use]
    pub fn next(requests: u64) -> Self {
        Self(When::Next(requests))
    }

    /// At every so-manieth request, counted from when the rule is set; zero
    /// counts as one.
    #[must_use]
    pub fn every(requests: u64) -> Self {
        Self(When::Every(requests.max(1)))
    }

    /// At each request with this probability, drawn from the emulator's
    /// [seed](crate::EmulatorBuilder::seed). Less than 0, and no number, count
    /// as 0, more than 1 as 1.
    #[must_use]
    pub fn probability(probability: f64) -> Self {
        // `max` takes the number where the other is none.
        Self(When::Probability(probability.max(0.0).clamp(0.0, 1.0)))
    }
}

impl fmt::Display for FaultRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:{}", self.fault, self.endpoint, self.schedule)
    }
}

impl FromStr for FaultRule {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let (place, schedule) = match text.split_once(':') {
            Some((place, schedule)) => (place, Some(schedule)),
            None => (text, None),
        };
        let (fault, endpoint) = match place.split_once('@') {
            Some((fault, endpoint)) => (fault, Some(endpoint)),
            None => (place, None),
        };
        let mut rule = Self::new(fault.parse()?);
        if let Some(endpoint) = endpoint {
            rule = rule.at(endpoint.parse()?)?;
        }
        if let Some(schedule) = schedule {
            rule = rule.on(schedule.parse()?);
        }
        Ok(rule)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            When::Always => f.write_str("always"),
            When::First(requests) => write!(f, "first={requests}"),
            When::Next(requests) => write!(f, "next={requests}"),
            When::Every(requests) => write!(f, "every={requests}"),
            When::Probability(probability) => write!(f, "probability={probability}"),
        }
    }
}

impl FromStr for Schedule {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let wrong = || FaultError::Schedule(printable(text));
        let number = |value: &str| match value.parse() {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(wrong()),
        };
        match text.split_once('=') {
            None if text == "always" => Ok(Self::always()),
            Some(("first", value)) => Ok(Self::first(number(value)?)),
            Some(("next", value)) => Ok(Self::next(number(value)?)),
            Some(("every", value)) => Ok(Self::every(number(value)?)),
            Some(("probability", value)) => match value.parse() {
                Ok(probability) if (0.0..=1.0).contains(&probability) => {
                    Ok(Self::probability(probability))
                }
                _ => Err(wrong()),
            },
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_written_as_they_are_read() {
        for (text, written) in [
            ("server-error", "server-error@token:always"),
            ("server-error:first=2", "server-error@token:first=2"),
            ("server-error@api:next=1", "server-error@api:next=1"),
            ("api-unavailable:every=3", "api-unavailable@api:every=3"),
            (
                "reset-connection:probability=0.25",
                "reset-connection@connection:probability=0.25",
            ),
            ("reset:probability=1", "reset@token:probability=1"),
        ] {
            let rule: FaultRule = text.parse().unwrap();
            assert_eq!(rule.to_string(), written);
            assert_eq!(written.parse(), Ok(rule));
        }
    }

    #[test]
    fn what_is_no_rule_is_told() {
        for (text, message) in [
            ("", "there is no fault ``; the nearest is"),
            (
                "sever-eror",
                "there is no fault `sever-eror`; the nearest is `server-error`",
            ),
            (
                "res\u{1b}et",
                "there is no fault `res?et`; the nearest is `reset`",
            ),
            ("reset@", "there is no endpoint ``: there are"),
            ("reset@tokens", "there is no endpoint `tokens`: there are"),
            (
                "reset@connection",
                "the fault `reset` cannot be played at `connection`",
            ),
            (
                "api-redirect@token",
                "the fault `api-redirect` cannot be played at `token`",
            ),
            ("reset:", "`` is no schedule: those are `always`"),
            ("reset:never", "`never` is no schedule"),
            ("reset:next", "`next` is no schedule"),
            ("reset:next=0", "`next=0` is no schedule"),
            ("reset:every=-1", "`every=-1` is no schedule"),
            ("reset:first=1.5", "`first=1.5` is no schedule"),
            ("reset:probability=1.1", "`probability=1.1` is no schedule"),
            ("reset:probability=NaN", "`probability=NaN` is no schedule"),
        ] {
            let error = text.parse::<FaultRule>().unwrap_err().to_string();
            assert!(error.starts_with(message), "{text}: {error}");
        }
    }

    #[test]
    fn schedules_take_any_number() {
        for (schedule, written) in [
            (Schedule::every(0), "every=1"),
            (Schedule::probability(f64::NAN), "probability=0"),
            (Schedule::probability(-1.0), "probability=0"),
            (Schedule::probability(7.0), "probability=1"),
        ] {
            assert_eq!(schedule.to_string(), written);
        }
    }
}
