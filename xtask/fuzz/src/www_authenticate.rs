//! `WWW-Authenticate`: the challenges that a second reader finds, which are the same when they are
//! written anew.
//!
//! Every line of the input is a header value.

use bloom_auth_core::protocol::www_authenticate::{Challenge, challenges};
use http::{HeaderMap, HeaderValue, header::WWW_AUTHENTICATE};

/// Longer values are not read.
const MAX_BYTES: usize = 8 * 1024;

/// Tries one input.
pub fn run(input: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in input.split(|byte| *byte == b'\n').take(64) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(WWW_AUTHENTICATE, value);
        }
    }
    let read = challenges(&headers);
    let mut expected = Vec::new();
    for value in headers.get_all(WWW_AUTHENTICATE) {
        if let Ok(text) = value.to_str()
            && text.len() <= MAX_BYTES
        {
            let mut reader = Slow {
                text: text.chars().collect(),
                at: 0,
            };
            while reader.item(&mut expected) {}
        }
    }
    agree(&read, &expected);

    // Written anew, in one value, they are read as the same.
    let anew = expected.iter().map(Expected::to_text).collect::<Vec<_>>();
    let anew = anew.join(", ");
    if anew.len() > MAX_BYTES {
        return;
    }
    let Ok(value) = HeaderValue::from_str(&anew) else {
        panic!("{anew:?} is no header value");
    };
    let again = challenges(&HeaderMap::from_iter([(WWW_AUTHENTICATE, value)]));
    assert_eq!(again, read, "{anew}");
}

/// A challenge as the second reader sees it.
#[derive(Debug)]
struct Expected {
    scheme: String,
    parameters: Vec<(String, String)>,
}

impl Expected {
    fn to_text(&self) -> String {
        let quote = |value: &String| value.replace('\\', "\\\\").replace('"', "\\\"");
        let parameters = self.parameters.iter();
        let parameters = parameters.map(|(name, value)| format!("{name}=\"{}\"", quote(value)));
        let parameters = parameters.collect::<Vec<_>>().join(", ");
        format!("{} {parameters}", self.scheme)
    }
}

fn agree(read: &[Challenge], expected: &[Expected]) {
    assert_eq!(read.len(), expected.len(), "{read:?} is not {expected:?}");
    for (read, expected) in read.iter().zip(expected) {
        assert_eq!(read.scheme(), expected.scheme);
        let is_bearer = expected.scheme.eq_ignore_ascii_case("bearer");
        assert_eq!(read.is_bearer(), is_bearer);
        for (name, _) in &expected.parameters {
            let mut parameters = expected.parameters.iter();
            let first = parameters.find(|(it, _)| it.eq_ignore_ascii_case(name));
            let first = first.map(|(_, value)| value.as_str());
            assert_eq!(read.parameter(&name.to_uppercase()), first);
        }
    }
}

/// Reads one character at a time, and goes back where it has to.
struct Slow {
    text: Vec<char>,
    at: usize,
}

impl Slow {
    fn item(&mut self, challenges: &mut Vec<Expected>) -> bool {
        while self.is_next(" \t,") {
            self.at += 1;
        }
        let name = self.token();
        if name.is_empty() {
            return false;
        }
        let after_name = self.at;
        self.skip_blanks();
        if self.is_next("=") {
            self.at += 1;
            self.skip_blanks();
            let value = if self.is_next("\"") {
                self.quoted()
            } else {
                Some(self.token()).filter(|token| !token.is_empty())
            };
            let (Some(value), Some(challenge)) = (value, challenges.last_mut()) else {
                return false;
            };
            challenge.parameters.push((name, value));
            return true;
        }
        self.at = after_name;
        challenges.push(Expected {
            scheme: name,
            parameters: Vec::new(),
        });
        while self.is_next(" ") {
            self.at += 1;
        }
        // Credentials in the place of parameters end where the challenge does.
        let start = self.at;
        while self.is_next_by(|c| c.is_ascii_alphanumeric() || "-._~+/".contains(c)) {
            self.at += 1;
        }
        while self.is_next("=") {
            self.at += 1;
        }
        self.skip_blanks();
        if self.at < self.text.len() && !self.is_next(",") {
            self.at = start;
        }
        true
    }

    fn token(&mut self) -> String {
        let start = self.at;
        while self.is_next_by(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)) {
            self.at += 1;
        }
        self.text[start..self.at].iter().collect()
    }

    fn quoted(&mut self) -> Option<String> {
        let mut value = String::new();
        let mut is_escaped = false;
        loop {
            self.at += 1;
            let character = *self.text.get(self.at)?;
            match character {
                _ if is_escaped => {
                    value.push(character);
                    is_escaped = false;
                }
                '\\' => is_escaped = true,
                '"' => {
                    self.at += 1;
                    return Some(value);
                }
                _ => value.push(character),
            }
        }
    }

    fn skip_blanks(&mut self) {
        while self.is_next(" \t") {
            self.at += 1;
        }
    }

    fn is_next(&self, set: &str) -> bool {
        self.is_next_by(|c| set.contains(c))
    }

    fn is_next_by(&self, is_meant: impl Fn(char) -> bool) -> bool {
        self.text.get(self.at).copied().is_some_and(is_meant)
    }
}
