//! How many tokens are granted in a period, and how a client is told.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue, header::RETRY_AFTER};

use crate::{clock::saturating_millis, oauth::Dialect};

/// So many tokens in a period, which begins with its first token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenQuota {
    tokens: u64,
    period: Duration,
}

impl TokenQuota {
    /// So many tokens in each period; a period is at least a second long.
    #[must_use]
    pub fn new(tokens: u64, period: Duration) -> Self {
        Self {
            tokens,
            period: period.max(Duration::from_secs(1)),
        }
    }

    /// So many tokens an hour.
    #[must_use]
    pub fn per_hour(tokens: u64) -> Self {
        Self::new(tokens, HOUR)
    }

    /// So many tokens a day.
    #[must_use]
    pub fn per_day(tokens: u64) -> Self {
        Self::new(tokens, DAY)
    }

    /// The name of the bucket; Auth0 has the first two.
    fn name(&self) -> String {
        match self.period {
            HOUR => "per_hour".to_owned(),
            DAY => "per_day".to_owned(),
            other => format!("per_{}_seconds", other.as_secs()),
        }
    }
}

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// The quotas of one emulator; a token counts in each.
#[derive(Debug, Default)]
pub(crate) struct Quotas(Mutex<Vec<Window>>);

#[derive(Debug)]
struct Window {
    quota: TokenQuota,
    /// When it refills, in milliseconds since the Unix epoch.
    ends: u64,
    used: u64,
}

/// How the quotas stand, at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// In milliseconds since the Unix epoch.
    now: u64,
    buckets: Vec<Bucket>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Bucket {
    name: String,
    quota: u64,
    remaining: u64,
    ends: u64,
}

impl Quotas {
    /// In the place of all that there were; what they have counted is forgotten.
    pub(crate) fn set(&self, quotas: &[TokenQuota]) {
        let window = |quota: &TokenQuota| Window {
            quota: *quota,
            ends: 0,
            used: 0,
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
            quotas.iter().map(window).collect();
    }

    /// Takes one token, if all quotas have one left, and says how they stand
    /// then; `None` if there are no quotas.
    pub(crate) fn take(&self, now: u64) -> Result<Option<Standing>, Standing> {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.is_empty() {
            return Ok(None);
        }
        for window in windows.iter_mut().filter(|window| now >= window.ends) {
            window.used = 0;
            window.ends = now.saturating_add(saturating_millis(window.quota.period));
        }
        let spent = windows
            .iter()
            .any(|window| window.used >= window.quota.tokens);
        if !spent {
            for window in windows.iter_mut() {
                window.used += 1;
            }
        }
        let bucket = |window: &Window| Bucket {
            name: window.quota.name(),
            quota: window.quota.tokens,
            remaining: window.quota.tokens.saturating_sub(window.used),
            ends: window.ends,
        };
        let standing = Standing {
            now,
            buckets: windows.iter().map(bucket).collect(),
        };
        if spent {
            Err(standing)
        } else {
            Ok(Some(standing))
        }
    }
}

impl Standing {
    /// What the headers of an answer say of it. V1 does so as Auth0, V2 as a
    /// gateway in front of Hydra, which itself knows no quotas.
    pub(crate) fn write(&self, dialect: Dialect, headers: &mut HeaderMap) {
        let Some(tightest) = self.buckets.iter().min_by_key(|bucket| bucket.remaining) else {
            return;
        };
        let reset = match dialect {
            Dialect::V1 => tightest.ends.div_ceil(1000),
            Dialect::V2 => self.seconds_left(tightest),
        };
        for (name, value) in [
            ("x-ratelimit-limit", tightest.quota),
            ("x-ratelimit-remaining", tightest.remaining),
            ("x-ratelimit-reset", reset),
        ] {
            headers.insert(HeaderName::from_static(name), value.into());
        }
        if dialect == Dialect::V1 {
            let limits: Vec<String> = self.buckets.iter().map(|it| self.limit(it)).collect();
            if let Ok(limits) = HeaderValue::try_from(limits.join(",")) {
                headers.insert(HeaderName::from_static("auth0-client-quota-limit"), limits);
            }
        }
    }

    /// The same for an answer that grants no token.
    pub(crate) fn write_refused(&self, dialect: Dialect, headers: &mut HeaderMap) {
        self.write(dialect, headers);
        let spent = self.buckets.iter().filter(|bucket| bucket.remaining == 0);
        let after = spent.map(|bucket| self.seconds_left(bucket)).max();
        headers.insert(RETRY_AFTER, after.unwrap_or(1).into());
    }

    fn limit(&self, bucket: &Bucket) -> String {
        let Bucket {
            name,
            quota,
            remaining,
            ..
        } = bucket;
        let left = self.seconds_left(bucket);
        format!("b={name};q={quota};r={remaining};t={left}")
    }

    fn seconds_left(&self, bucket: &Bucket) -> u64 {
        bucket.ends.saturating_sub(self.now).div_ceil(1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(standing: &Standing, dialect: Dialect, refused: bool) -> Vec<String> {
        let mut headers = HeaderMap::new();
        if refused {
            standing.write_refused(dialect, &mut headers);
        } else {
            standing.write(dialect, &mut headers);
        }
        let line = |(name, value): (&HeaderName, &HeaderValue)| {
            format!("{name}: {}", value.to_str().unwrap())
        };
        headers.iter().map(line).collect()
    }

    #[test]
    fn a_period_begins_with_its_first_token() {
        let quotas = Quotas::default();
        assert_eq!(quotas.take(0), Ok(None));
        quotas.set(&[TokenQuota::new(2, Duration::from_secs(60))]);
        for (now, granted, remaining, ends) in [
            (500, true, 1, 60_500),
            (60_000, true, 0, 60_500),
            (60_000, false, 0, 60_500),
            (60_499, false, 0, 60_500),
            (60_500, true, 1, 120_500),
            (200_000, true, 1, 260_000),
        ] {
            let taken = quotas.take(now);
            assert_eq!(taken.is_ok(), granted, "at {now}");
            let standing = taken.map_or_else(|standing| standing, Option::unwrap);
            let bucket = &standing.buckets[0];
            assert_eq!(
                (bucket.remaining, bucket.ends),
                (remaining, ends),
                "at {now}"
            );
        }
        quotas.set(&[TokenQuota::per_hour(0)]);
        assert!(quotas.take(0).is_err());
    }

    #[test]
    fn a_token_counts_in_every_quota() {
        let quotas = Quotas::default();
        quotas.set(&[TokenQuota::per_hour(1), TokenQuota::per_day(2)]);
        let hour = 3_600_000;
        let standing = quotas.take(1_000).unwrap().unwrap();
        assert_eq!(
            headers(&standing, Dialect::V1, false),
            [
                "x-ratelimit-limit: 1",
                "x-ratelimit-remaining: 0",
                "x-ratelimit-reset: 3601",
                "auth0-client-quota-limit: b=per_hour;q=1;r=0;t=3600,b=per_day;q=2;r=1;t=86400",
            ]
        );
        // A refused request takes none.
        for _ in 0..3 {
            let standing = quotas.take(1_001).unwrap_err();
            assert_eq!(
                headers(&standing, Dialect::V2, true),
                [
                    "x-ratelimit-limit: 1",
                    "x-ratelimit-remaining: 0",
                    "x-ratelimit-reset: 3600",
                    "retry-after: 3600",
                ]
            );
        }
        assert!(quotas.take(1_000 + hour).is_ok());
        // Both are spent: the later one counts.
        let standing = quotas.take(1_000 + hour).unwrap_err();
        let headers = headers(&standing, Dialect::V1, true);
        assert_eq!(headers.last().unwrap(), "retry-after: 82800");
    }
}
