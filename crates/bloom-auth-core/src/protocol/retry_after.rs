//! `Retry-After` (RFC 9110, section 10.2.3): seconds or a date.

use std::time::{Duration, SystemTime};

use http::{
    HeaderMap, HeaderValue,
    header::{DATE, RETRY_AFTER},
};

/// How long the server asks to wait, at most `max`.
///
/// A date counts from the answer's own `Date`, so that a wrong clock on
/// either side does not matter, and from `now` if there is none. What cannot
/// be read, and what lies in the past, is `None`: the usual back-off then
/// applies, never "at once".
///
/// # Example
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use bloom_auth_core::protocol::retry_after::retry_after;
/// use http::{HeaderMap, HeaderValue, header::RETRY_AFTER};
///
/// let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static("7"))]);
/// let max = Duration::from_secs(300);
/// let after = retry_after(&headers, SystemTime::UNIX_EPOCH, max);
/// assert_eq!(after, Some(Duration::from_secs(7)));
/// ```
#[must_use]
pub fn retry_after(headers: &HeaderMap, now: SystemTime, max: Duration) -> Option<Duration> {
    let value = only(headers, RETRY_AFTER)?;
    let digits = value.as_bytes().trim_ascii();
    let asked = if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) {
        // Too many digits for a number is a wish for "very long".
        let seconds = str::from_utf8(digits).ok()?.parse();
        seconds.map_or(max, Duration::from_secs)
    } else {
        let until = date(value)?;
        let date = only(headers, DATE).and_then(date);
        until.duration_since(date.unwrap_or(now)).ok()?
    };
    Some(asked.min(max)).filter(|asked| !asked.is_zero())
}

/// The header's value, if it is there once.
fn only(headers: &HeaderMap, name: http::HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

fn date(value: &HeaderValue) -> Option<SystemTime> {
    httpdate::parse_http_date(value.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn check(values: &[&str], date: Option<&str>, seconds: Option<u64>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(RETRY_AFTER, HeaderValue::from_str(value).unwrap());
        }
        if let Some(date) = date {
            headers.insert(DATE, HeaderValue::from_str(date).unwrap());
        }
        let now = httpdate::parse_http_date(NOW).unwrap();
        assert_eq!(
            retry_after(&headers, now, Duration::from_secs(300)),
            seconds.map(Duration::from_secs),
            "{values:?}"
        );
    }

    #[test]
    fn p12_dates_in_all_three_forms() {
        check(&["Sun, 06 Nov 1994 08:49:47 GMT"], None, Some(10));
        check(&["Sunday, 06-Nov-94 08:49:47 GMT"], None, Some(10));
        check(&["Sun Nov  6 08:49:47 1994"], None, Some(10));
        // In the past: not zero, nothing.
        check(&["Sun, 06 Nov 1994 08:49:27 GMT"], None, None);
        check(&[NOW], None, None);
        // The server's own clock counts, however wrong it is.
        let an_hour_later = "Sun, 06 Nov 1994 09:49:37 GMT";
        check(
            &["Sun, 06 Nov 1994 09:49:42 GMT"],
            Some(an_hour_later),
            Some(5),
        );
        check(
            &["Sun, 06 Nov 1994 08:49:47 GMT"],
            Some(an_hour_later),
            None,
        );
    }

    #[test]
    fn p13_nonsense_is_ignored_and_excess_is_clamped() {
        check(&["7"], None, Some(7));
        check(&["9223372037"], None, Some(300));
        check(&["18446744073709551616"], None, Some(300));
        check(&["9".repeat(10_000).as_str()], None, Some(300));
        for nonsense in [
            "", "0", "-1", "+5", "1e9", "abc", "3600, 7", "7.5", "0x10", "\u{a0}",
        ] {
            check(&[nonsense], None, None);
        }
        check(&["7", "7"], None, None);
        check(&[], None, None);
    }

    #[test]
    fn p13_a_limit_of_nothing_is_not_at_once_either() {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static("7"))]);
        let after = |max| retry_after(&headers, SystemTime::UNIX_EPOCH, max);
        assert_eq!(after(Duration::ZERO), None);
        assert_eq!(
            after(Duration::from_millis(1)),
            Some(Duration::from_millis(1))
        );
    }
}
