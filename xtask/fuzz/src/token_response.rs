//! Token responses: what is read is what a second reader finds, within the limits, and shows nothing
//! secret.
//!
//! A line `status`, one `client-secret`, lines that are headers; the body is the answer's.

use bloom_auth_core::{
    ClientCredentials, MAX_BODY_BYTES, ResponseBody,
    protocol::{ExpiresIn, ResponseError, TokenResponse, response::MAX_ACCESS_TOKEN_BYTES},
};
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};

use crate::{json, message::Message, secrets};

/// An answer's scopes are kept up to this number and this size.
const MAX_SCOPES: usize = 256;
const MAX_SCOPE_BYTES: usize = 256;

/// A shorter token is no scope, but may be a part of one.
const LEAST_PART_BYTES: usize = 8;

/// What is printed of an answer is no longer than this.
const MAX_PRINTED_BYTES: usize = 1024;

/// Tries one input.
pub fn run(input: &[u8]) {
    let message = Message::parse(input);
    let secret = message.text("client-secret");
    let secret = secret.unwrap_or("canary-of-the-client-secret");
    let Some(credentials) = secrets::credentials("the-client", secret) else {
        return;
    };
    let Some(response) = response(&message, message.body) else {
        return;
    };
    let read = TokenResponse::decode(&response, &credentials);
    let status = response.status();
    let expected = expected(status, response.headers(), message.body);
    match (&read, expected) {
        (Ok(read), Ok(expected)) => {
            agree(read, &expected, &credentials);
            again(read, &expected, &credentials);
        }
        (Err(ResponseError::Refused(error)), Err(Problem::Refused)) => {
            assert_eq!(error.status(), status);
        }
        (Err(error), Err(Problem::Is(expected))) => assert_eq!(*error, expected),
        (read, expected) => panic!("read as {read:?}, and is {expected:?}"),
    }
    if let Err(error) = &read {
        let printed = format!("{error}");
        assert!(printed.len() <= MAX_PRINTED_BYTES, "{printed}");
        assert!(
            printed.bytes().all(|byte| matches!(byte, b' '..=b'~')),
            "{printed:?}"
        );
    }
}

/// An answer with the message's status and headers.
fn response(message: &Message<'_>, body: &[u8]) -> Option<Response<ResponseBody>> {
    let body = ResponseBody::from(Bytes::copy_from_slice(body));
    let mut response = Response::new(body);
    let status = message.number("status").unwrap_or(200);
    *response.status_mut() = StatusCode::from_u16(status).ok()?;
    *response.headers_mut() = message.headers();
    Some(response)
}

/// A token response as the second reader sees it.
#[derive(Debug)]
struct Expected {
    token: String,
    expires_in: Lifetime,
    scope: Option<String>,
}

#[derive(Debug)]
enum Problem {
    /// An error response; what it says is another target's business.
    Refused,
    Is(ResponseError),
}

/// The rules, in the order in which they are written down.
fn expected(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<Expected, Problem> {
    let is = |error| Err(Problem::Is(error));
    let all = |name: &str| -> Vec<&[u8]> {
        let values = headers.get_all(name).iter();
        values.map(http::HeaderValue::as_bytes).collect()
    };
    if matches!(status.as_u16(), 300..400) {
        return is(ResponseError::Redirect { status });
    }
    let encodings = all("content-encoding");
    if !encodings
        .iter()
        .all(|it| it.eq_ignore_ascii_case(b"identity"))
    {
        return is(ResponseError::Encoded);
    }
    if body.len() > MAX_BODY_BYTES {
        let limit = MAX_BODY_BYTES;
        return is(ResponseError::TooLarge { limit });
    }
    let text = std::str::from_utf8(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body));
    let members = text.ok().and_then(json::object);
    let known = [
        "access_token",
        "token_type",
        "expires_in",
        "scope",
        "error",
        "error_description",
        "error_hint",
    ];
    let mut twice = None;
    for (index, (name, _)) in members.iter().flatten().enumerate() {
        let before = members.iter().flatten().take(index);
        if let Some(known) = known.iter().find(|it| *it == name)
            && before.into_iter().any(|(other, _)| other == name)
        {
            twice = Some(*known);
        }
    }
    let value = |name: &str| {
        let mut members = members.iter().flatten();
        members.find(|(it, _)| it == name).map(|(_, value)| *value)
    };
    let string = |name: &str| json::string(value(name)?).filter(|text| !text.is_empty());
    if members.is_some() && twice.is_none() {
        let is_null = value("error").is_none_or(|value| value == "null");
        let is_text = value("error").is_some_and(|value| json::string(value).is_some());
        if is_text {
            return Err(Problem::Refused);
        }
        if !is_null && status == StatusCode::OK {
            return is(ResponseError::Missing { field: "error" });
        }
    }
    if status != StatusCode::OK {
        return is(ResponseError::Status { status });
    }
    let lengths = all("content-length");
    let first = lengths.first();
    if lengths.iter().any(|length| Some(length) != first)
        || first.is_some() && !all("transfer-encoding").is_empty()
    {
        return is(ResponseError::TwoLengths);
    }
    if let Some(field) = twice {
        return is(ResponseError::Duplicate { field });
    }
    if members.is_none() {
        if body.is_empty() {
            return is(ResponseError::Empty);
        }
        let (content_type, len) = (content_type(headers), body.len());
        return is(ResponseError::NotJson { content_type, len });
    }
    let Some(token_type) = string("token_type") else {
        return is(ResponseError::Missing {
            field: "token_type",
        });
    };
    if !token_type.eq_ignore_ascii_case("bearer") {
        return is(ResponseError::TokenType);
    }
    let Some(token) = string("access_token") else {
        return is(ResponseError::Missing {
            field: "access_token",
        });
    };
    if token.len() > MAX_ACCESS_TOKEN_BYTES {
        return is(ResponseError::TokenTooLong { len: token.len() });
    }
    if let Some(offset) = token.bytes().position(|byte| !matches!(byte, b'!'..=b'~')) {
        return is(ResponseError::TokenCharacter { offset });
    }
    Ok(Expected {
        token,
        expires_in: value("expires_in").map_or(Lifetime::Unknown, Lifetime::of),
        scope: value("scope").and_then(json::string),
    })
}

/// The media type, if it is one that can be printed.
fn content_type(headers: &HeaderMap) -> String {
    let text = headers.get("content-type").and_then(|it| it.to_str().ok());
    let media_type = text
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default();
    let media_type = media_type.trim();
    let is_safe = |c: char| c.is_ascii_alphanumeric() || "/+-.".contains(c);
    match media_type.len() {
        1..=64 if media_type.chars().all(is_safe) => media_type.to_owned(),
        _ => "unknown type".to_owned(),
    }
}

/// A number of seconds, digit by digit.
#[derive(Debug, PartialEq, Eq)]
enum Lifetime {
    Unknown,
    Over,
    /// The whole seconds, `u64::MAX` if they are more; and whether a fraction follows.
    Seconds(u64, bool),
}

impl Lifetime {
    /// Of a JSON value: a number, or a string with one in it.
    fn of(value: &str) -> Self {
        match value.chars().next() {
            Some('"') => json::string(value).map_or(Self::Unknown, |text| Self::read(&text)),
            Some('-' | '0'..='9') => Self::read(value),
            _ => Self::Unknown,
        }
    }

    /// `[+-] digits [. digits] [e [+-] digits]`, with a digit before or after the dot.
    fn read(text: &str) -> Self {
        let (is_negative, text) = match text.strip_prefix('-') {
            Some(text) => (true, text),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent)),
            None => (text, None),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let shift = exponent.map_or(Some(0), |exponent| {
            let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            if digits.is_empty() || !is_digits(digits) {
                return None;
            }
            // More than any number of digits here.
            let shift = digits.parse().unwrap_or(i64::MAX / 4).min(i64::MAX / 4);
            Some(if exponent.starts_with('-') {
                -shift
            } else {
                shift
            })
        });
        let Some(shift) = shift else {
            return Self::Unknown;
        };
        if whole.len() + fraction.len() == 0 || !is_digits(whole) || !is_digits(fraction) {
            return Self::Unknown;
        }
        let digits = [whole, fraction].concat();
        let significant = digits.trim_start_matches('0');
        // How many of them stand before the point.
        let leading = i64::try_from(digits.len() - significant.len()).unwrap_or(i64::MAX / 4);
        let point = i64::try_from(whole.len()).unwrap_or(i64::MAX / 4) - leading + shift;
        if is_negative || significant.is_empty() || point <= 0 {
            return Self::Over;
        }
        let mut seconds: Option<u64> = Some(0);
        let mut has_fraction = false;
        for (index, digit) in significant.bytes().enumerate() {
            if i64::try_from(index).is_ok_and(|index| index < point) {
                let ten = seconds.and_then(|seconds| seconds.checked_mul(10));
                seconds = ten.and_then(|ten| ten.checked_add((digit - b'0').into()));
            } else {
                has_fraction |= digit != b'0';
            }
        }
        for _ in i64::try_from(significant.len()).unwrap_or(point)..point {
            seconds = seconds.and_then(|seconds| seconds.checked_mul(10));
            if seconds.is_none() {
                break;
            }
        }
        Self::Seconds(seconds.unwrap_or(u64::MAX), has_fraction)
    }

    /// Numbers that are written as floats are read as such: the last of their 53 bits, and a
    /// nanosecond, are lost.
    fn is_read_as(&self, read: ExpiresIn) -> bool {
        match (self, read) {
            (Self::Unknown, ExpiresIn::Unknown) | (Self::Over, ExpiresIn::Over) => true,
            // 0.99999999999999999999 s.
            (Self::Over, ExpiresIn::Seconds(1)) => true,
            (Self::Seconds(seconds, has_fraction), ExpiresIn::Seconds(read)) => {
                seconds.abs_diff(read) <= u64::from(*has_fraction) + (seconds >> 52)
            }
            _ => false,
        }
    }
}

fn agree(read: &TokenResponse, expected: &Expected, credentials: &ClientCredentials) {
    let bearer = read.bearer();
    assert_eq!(
        bearer.as_bytes(),
        format!("Bearer {}", expected.token).as_bytes()
    );
    assert!(bearer.is_sensitive());
    let (lifetime, expires_in) = (&expected.expires_in, read.expires_in());
    assert!(
        lifetime.is_read_as(expires_in),
        "{lifetime:?}, read as {expires_in:?}"
    );

    assert_eq!(read.scopes().is_some(), expected.scope.is_some());
    let text = expected.scope.as_deref().unwrap_or_default();
    let is_scope = |scope: &&str| {
        let in_alphabet = |byte| matches!(byte, b'!' | b'#'..=b'[' | b']'..=b'~');
        (1..=MAX_SCOPE_BYTES).contains(&scope.len())
            && scope.bytes().all(in_alphabet)
            && *scope != expected.token
            && !(expected.token.len() >= LEAST_PART_BYTES && scope.contains(&expected.token))
    };
    let candidates: Vec<&str> = text.split(' ').take(MAX_SCOPES).filter(is_scope).collect();
    let kept: Vec<&str> = read.scopes().iter().flat_map(|it| it.iter()).collect();
    for scope in &kept {
        assert!(candidates.contains(scope), "{scope:?} is not in the answer");
    }
    // The secret may be spread over several of them.
    assert!(
        kept.is_empty() || !secrets::repeats(text.as_bytes(), credentials),
        "{kept:?}"
    );
    let is_kept_back = secrets::resembles(text.as_bytes(), credentials);
    for scope in candidates {
        assert!(
            kept.contains(&scope) || is_kept_back,
            "{scope:?} was left out for no reason"
        );
    }
}

/// What was read, written in another way, is read as the same.
fn again(read: &TokenResponse, expected: &Expected, credentials: &ClientCredentials) {
    let mut body = format!(
        "{{\"scop\\u0065\":{},\"token_type\":\"BEARER\",\"x\":[{{}}],\"access_token\":{}",
        read.scopes().map_or_else(
            || "null".to_owned(),
            |scopes| json::literal(&scopes.to_string())
        ),
        json::literal(&expected.token),
    );
    match read.expires_in() {
        ExpiresIn::Seconds(seconds) => body.push_str(&format!(",\"expires_in\":\"{seconds}\"}}")),
        ExpiresIn::Over => body.push_str(",\"expires_in\":0e9}"),
        _ => body.push('}'),
    }
    // In another order they may be the words of the secret.
    let scopes = read.scopes().map(ToString::to_string).unwrap_or_default();
    let is_secret = secrets::resembles(scopes.as_bytes(), credentials);
    if body.len() > MAX_BODY_BYTES || is_secret {
        return;
    }
    let response = Response::new(ResponseBody::from(Bytes::from(body)));
    match TokenResponse::decode(&response, credentials) {
        Ok(again) => {
            assert_eq!(again.bearer(), read.bearer());
            assert_eq!(again.expires_in(), read.expires_in());
            assert_eq!(again.scopes(), read.scopes());
        }
        Err(error) => panic!("what was read is refused: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_read_digit_by_digit() {
        use Lifetime::{Over, Seconds, Unknown};
        for (text, lifetime) in [
            ("3600", Seconds(3600, false)),
            ("\"3600\"", Seconds(3600, false)),
            ("36.5e2", Seconds(3650, false)),
            ("1234.5e-2", Seconds(12, true)),
            ("\".5e1\"", Seconds(5, false)),
            ("\"+7.\"", Seconds(7, false)),
            ("1e99", Seconds(u64::MAX, false)),
            ("1e999999999999999999999", Seconds(u64::MAX, false)),
            ("18446744073709551616", Seconds(u64::MAX, false)),
            ("0.001e3", Seconds(1, false)),
            ("0.9", Over),
            ("0e99", Over),
            ("-5", Over),
            ("1e-99999999999999999999", Over),
            ("\".\"", Unknown),
            ("\"\"", Unknown),
            ("\"1e\"", Unknown),
            ("\"--1\"", Unknown),
            ("\"1 \"", Unknown),
            ("null", Unknown),
            ("[1]", Unknown),
        ] {
            assert_eq!(Lifetime::of(text), lifetime, "{text}");
        }
    }
}
