//! The engine's settings, and the check that they go together.

use std::time::Duration;

use super::timing::TimingPolicy;
use crate::{clock::nanos, error::ConfigurationError};

const DAY: Duration = Duration::from_secs(86_400);

/// No setting may be longer than this: it is a mistake, and arithmetic with
/// it would be another.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) margin: Duration,
    pub(crate) leeway: Duration,
    pub(crate) default_lifetime: Duration,
    pub(crate) max_lifetime: Duration,
    pub(crate) attempt_timeout: Duration,
    pub(crate) fetch_timeout: Duration,
    pub(crate) max_retry_after: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            margin: Duration::from_secs(300),
            leeway: Duration::from_secs(10),
            default_lifetime: Duration::from_secs(300),
            max_lifetime: 7 * DAY,
            attempt_timeout: Duration::from_secs(10),
            fetch_timeout: Duration::from_secs(20),
            max_retry_after: Duration::from_secs(300),
        }
    }
}

impl Settings {
    pub(crate) fn validate(&self) -> Result<(), ConfigurationError> {
        let second = Duration::from_secs(1);
        for (setting, value, least) in [
            ("margin", self.margin, Duration::from_nanos(2)),
            ("leeway", self.leeway, Duration::from_nanos(1)),
            ("default lifetime", self.default_lifetime, second),
            ("maximum lifetime", self.max_lifetime, second),
            (
                "attempt timeout",
                self.attempt_timeout,
                Duration::from_millis(1),
            ),
            (
                "fetch timeout",
                self.fetch_timeout,
                Duration::from_millis(1),
            ),
            ("maximum Retry-After", self.max_retry_after, second),
        ] {
            if value < least || value > LONGEST {
                return Err(ConfigurationError::new(
                    setting,
                    format!("is {value:?}"),
                    format!("use a time from {least:?} to {LONGEST:?}"),
                ));
            }
        }
        if self.margin < 2 * self.leeway {
            return Err(ConfigurationError::new(
                "margin",
                format!(
                    "({:?}) is less than twice the leeway ({:?})",
                    self.margin, self.leeway
                ),
                "leave time to refresh before a token is dropped",
            ));
        }
        if self.attempt_timeout > self.fetch_timeout {
            return Err(ConfigurationError::new(
                "attempt timeout",
                format!(
                    "({:?}) is longer than the fetch timeout ({:?})",
                    self.attempt_timeout, self.fetch_timeout
                ),
                "let one whole attempt fit into a fetch",
            ));
        }
        if self.default_lifetime > self.max_lifetime {
            return Err(ConfigurationError::new(
                "default lifetime",
                "is longer than the maximum lifetime",
                "use a short time: it is for servers that name none",
            ));
        }
        Ok(())
    }

    pub(crate) fn timing(&self) -> TimingPolicy {
        TimingPolicy {
            margin: nanos(self.margin),
            leeway: nanos(self.leeway),
            max_lifetime: nanos(self.max_lifetime),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k14_k16_settings_that_cannot_work_are_refused() {
        let s = Duration::from_secs;
        let good = Settings::default();
        assert!(good.validate().is_ok());
        let rows: [(&str, Settings); 11] = [
            (
                "leeway",
                Settings {
                    leeway: s(0),
                    ..good
                },
            ),
            (
                "margin",
                Settings {
                    margin: s(0),
                    ..good
                },
            ),
            (
                "margin",
                Settings {
                    margin: s(19),
                    ..good
                },
            ),
            (
                "margin",
                Settings {
                    margin: Duration::MAX,
                    ..good
                },
            ),
            (
                "attempt timeout",
                Settings {
                    attempt_timeout: s(0),
                    ..good
                },
            ),
            (
                "attempt timeout",
                Settings {
                    attempt_timeout: s(21),
                    ..good
                },
            ),
            (
                "fetch timeout",
                Settings {
                    fetch_timeout: Duration::MAX,
                    ..good
                },
            ),
            (
                "default lifetime",
                Settings {
                    default_lifetime: s(0),
                    ..good
                },
            ),
            (
                "default lifetime",
                Settings {
                    default_lifetime: 8 * DAY,
                    ..good
                },
            ),
            (
                "maximum lifetime",
                Settings {
                    max_lifetime: s(0),
                    ..good
                },
            ),
            (
                "maximum Retry-After",
                Settings {
                    max_retry_after: s(0),
                    ..good
                },
            ),
        ];
        for (setting, settings) in rows {
            assert_eq!(settings.validate().unwrap_err().setting(), setting);
        }
        assert!(
            Settings {
                margin: s(20),
                ..good
            }
            .validate()
            .is_ok()
        );
    }
}
