//! `Retry-After` with `Date`: what a second reader of dates and numbers finds, within the limit.
//!
//! Lines `now` (seconds since 1970) and `max` (milliseconds); the others are headers.

use std::time::{Duration, SystemTime};

use bloom_auth_core::protocol::retry_after::retry_after;
use http::{HeaderMap, HeaderValue};

use crate::message::Message;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// 1970-01-01 was a Thursday.
const DAYS: [&str; 7] = [
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
];

/// The last second that a date can name.
const YEAR_10000: u64 = 253_402_300_800;

/// Tries one input.
pub fn run(input: &[u8]) {
    let message = Message::parse_lines(input);
    let headers = message.headers();
    let seconds = message.number("now").unwrap_or(784_111_777) % YEAR_10000;
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let max = Duration::from_millis(message.number("max").unwrap_or(300_000));

    let after = retry_after(&headers, now, max);
    assert_eq!(after, expected(&headers, seconds, max));
    assert!(after.is_none_or(|after| after <= max));
    // Never "at once".
    assert_ne!(after, Some(Duration::ZERO));

    // The same wish in each of its forms, by whatever clock.
    let Some(wish) = after.filter(|after| after.subsec_nanos() == 0) else {
        return;
    };
    let Some(until) = seconds.checked_add(wish.as_secs()) else {
        return;
    };
    if until >= YEAR_10000 {
        return;
    }
    let date = httpdate::fmt_http_date(now);
    let date_until = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(until));
    for (form, date, now) in [
        (wish.as_secs().to_string(), None, SystemTime::UNIX_EPOCH),
        (date_until.clone(), None, now),
        (date_until, Some(date), SystemTime::UNIX_EPOCH),
    ] {
        let mut headers = HeaderMap::new();
        for (name, value) in [("retry-after", Some(&form)), ("date", date.as_ref())] {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
                headers.insert(name, value);
            }
        }
        assert_eq!(retry_after(&headers, now, max), after, "{form}, {date:?}");
    }
}

fn expected(headers: &HeaderMap, now: u64, max: Duration) -> Option<Duration> {
    let only = |name| {
        let values: Vec<_> = headers.get_all(name).iter().collect();
        match values[..] {
            [value] => value.to_str().ok().map(str::trim),
            _ => None,
        }
    };
    let text = only("retry-after")?;
    let asked = if !text.is_empty() && text.chars().all(|c| c.is_ascii_digit()) {
        // Digit by digit; what is too much is as much as can be.
        text.chars()
            .filter_map(|c| c.to_digit(10))
            .fold(0, |seconds: u64, digit| {
                seconds.saturating_mul(10).saturating_add(digit.into())
            })
    } else {
        let until = date(text)?;
        until.checked_sub(only("date").and_then(date).unwrap_or(now))?
    };
    (asked > 0 && !max.is_zero()).then(|| Duration::from_secs(asked).min(max))
}

/// A date in one of its three forms, in seconds since 1970.
fn date(text: &str) -> Option<u64> {
    let b = text.as_bytes();
    let part = |from: usize, to: usize| text.get(from..to);
    let (day_name, day, month, year, time) = if let Some(name) = DAYS
        .iter()
        .find(|name| text.starts_with(&format!("{name}, ")))
    {
        // `Sunday, 06-Nov-94 08:49:37 GMT`
        let rest = text.get(name.len() + 2..)?;
        let part = |from: usize, to: usize| rest.get(from..to);
        // The one before the time is not looked at.
        if rest.len() != 22 || part(2, 3)? != "-" || part(6, 7)? != "-" || part(18, 22)? != " GMT" {
            return None;
        }
        let year = match digits(part(7, 9)?)? {
            year @ 70.. => 1900 + year,
            year => 2000 + year,
        };
        (
            *name,
            digits(part(0, 2)?)?,
            part(3, 6)?,
            year,
            part(10, 18)?,
        )
    } else {
        let short = part(0, 3)?;
        let name = DAYS.iter().find(|name| name.starts_with(short))?;
        if b.len() == 29 {
            // `Sun, 06 Nov 1994 08:49:37 GMT`
            let blanks = [
                part(3, 5)?,
                part(7, 8)?,
                part(11, 12)?,
                part(16, 17)?,
                part(25, 29)?,
            ];
            if blanks != [", ", " ", " ", " ", " GMT"] {
                return None;
            }
            let (day, year) = (digits(part(5, 7)?)?, digits(part(12, 16)?)?);
            (*name, day, part(8, 11)?, year, part(17, 25)?)
        } else if b.len() == 24 {
            // `Sun Nov  6 08:49:37 1994`
            let blanks = [part(3, 4)?, part(7, 8)?, part(10, 11)?, part(19, 20)?];
            if blanks != [" "; 4] {
                return None;
            }
            let day = part(8, 10)?;
            let day = digits(day.strip_prefix(' ').unwrap_or(day))?;
            (
                *name,
                day,
                part(4, 7)?,
                digits(part(20, 24)?)?,
                part(11, 19)?,
            )
        } else {
            return None;
        }
    };
    let month = MONTHS.iter().position(|name| *name == month)?;
    let (hour, minute, second) = (time.get(..2)?, time.get(3..5)?, time.get(6..8)?);
    let (hour, minute, second) = (digits(hour)?, digits(minute)?, digits(second)?);
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let days_of = |month: usize| match month {
        1 if is_leap(year) => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    };
    if time.get(2..3)? != ":"
        || time.get(5..6)? != ":"
        || hour > 23
        || minute > 59
        || second > 59
        || year < 1970
        || day == 0
        || day > days_of(month)
    {
        return None;
    }
    // One year and one month after the other.
    let days = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 });
    let days = days.sum::<u64>() + (0..month).map(days_of).sum::<u64>() + day - 1;
    let is_that_day = usize::try_from(days % 7).is_ok_and(|index| DAYS[index] == day_name);
    is_that_day.then_some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

fn digits(text: &str) -> Option<u64> {
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    (is_digits && !text.is_empty()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_in_all_three_forms() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(date(text), Some(784_111_777), "{text}");
        }
        assert_eq!(date("Fri, 31 Dec 9999 23:59:59 GMT"), Some(YEAR_10000 - 1));
        assert_eq!(date("Thu, 29 Feb 2024 00:00:00 GMT"), Some(1_709_164_800));
        for text in [
            "Mon, 06 Nov 1994 08:49:37 GMT",
            "Wed, 29 Feb 2023 00:00:00 GMT",
            "Sun, 06 Nov 1994 08:49:60 GMT",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Wed, 31 Dec 1969 23:59:59 GMT",
            "",
        ] {
            assert_eq!(date(text), None, "{text}");
        }
    }
}
