//! Inputs as messages: lines of `name: value`, an empty line, and a body of any bytes.
//!
//! A fuzzer can put such a message together out of the lines of others, and somebody who looks at a
//! finding can read it.

use std::str;

use http::{HeaderMap, HeaderName, HeaderValue};

/// An input, divided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message<'a> {
    lines: Vec<(&'a str, &'a [u8])>,
    /// What follows the first empty line; everything, if there is none.
    pub body: &'a [u8],
}

impl<'a> Message<'a> {
    /// Divides an input; every one is a message.
    #[must_use]
    pub fn parse(input: &'a [u8]) -> Self {
        let Some(end) = input.windows(2).position(|two| two == b"\n\n") else {
            let body = input.strip_prefix(b"\n").unwrap_or(input);
            return Self {
                lines: Vec::new(),
                body,
            };
        };
        Self {
            lines: lines(&input[..end]),
            body: &input[end + 2..],
        }
    }

    /// An input that is lines alone.
    #[must_use]
    pub fn parse_lines(input: &'a [u8]) -> Self {
        Self {
            lines: lines(input),
            body: &[],
        }
    }

    /// The values of this name, in order.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let named = self.lines.iter().filter(move |line| line.0 == name);
        named.map(|line| line.1)
    }

    /// The first value of this name.
    #[must_use]
    pub fn first(&self, name: &str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// The first value of this name, if it is text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&'a str> {
        str::from_utf8(self.first(name)?).ok()
    }

    /// The first value of this name, if it is a number.
    #[must_use]
    pub fn number<T: str::FromStr>(&self, name: &str) -> Option<T> {
        self.text(name)?.parse().ok()
    }

    /// The lines as headers, as far as they can be.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        let header = |&(name, value): &(&str, &[u8])| {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            Some((name, HeaderValue::from_bytes(value).ok()?))
        };
        let mut headers = HeaderMap::new();
        for (name, value) in self.lines.iter().filter_map(header) {
            headers.append(name, value);
        }
        headers
    }

    /// All names and values.
    pub fn lines(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.lines.iter().copied()
    }
}

/// Lines without a name are left out.
fn lines(head: &[u8]) -> Vec<(&str, &[u8])> {
    let divide = |line| {
        let colon = <[u8]>::iter(line).position(|byte| *byte == b':')?;
        let value = &line[colon + 1..];
        let name = str::from_utf8(&line[..colon]).ok()?;
        Some((name, value.strip_prefix(b" ").unwrap_or(value)))
    };
    head.split(|byte| *byte == b'\n')
        .filter_map(divide)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_input_is_a_message() {
        let message = Message::parse(b"status: 200\na:b\n\xff: c\nnothing\na: \n\n{}\n\n");
        assert_eq!(message.number("status"), Some(200));
        assert_eq!(message.all("a").collect::<Vec<_>>(), [&b"b"[..], b""]);
        assert_eq!(message.body, b"{}\n\n");
        assert_eq!(message.headers().len(), 3);
        for (input, body) in [(&b""[..], &b""[..]), (b"a: b", b"a: b"), (b"\n{}", b"{}")] {
            let message = Message::parse(input);
            assert_eq!((message.lines().count(), message.body), (0, body));
        }
        assert_eq!(Message::parse_lines(b"a: b\n\nc: d").lines().count(), 2);
    }
}
