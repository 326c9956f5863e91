//! `WWW-Authenticate` (RFC 9110, section 11.6.1): the challenges of a refusal.

use http::{HeaderMap, header::WWW_AUTHENTICATE};

/// Longer header values than this are not read.
const MAX_BYTES: usize = 8 * 1024;

/// One challenge of a `WWW-Authenticate` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// The scheme, as it was written.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Whether the scheme is `Bearer`, in any case of letters.
    #[must_use]
    pub fn is_bearer(&self) -> bool {
        self.scheme.eq_ignore_ascii_case("Bearer")
    }

    /// The first parameter of this name, in any case of letters.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// The challenges of an answer, in order.
///
/// Reading is linear in the size of the header. It stops at what it cannot
/// read, and keeps what came before.
///
/// # Example
///
/// ```
/// use bloom_auth_core::protocol::www_authenticate::challenges;
/// use http::{HeaderMap, HeaderValue, header::WWW_AUTHENTICATE};
///
/// let value = HeaderValue::from_static(r#"Bearer realm="api", error="invalid_token""#);
/// let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, value)]);
/// let found = challenges(&headers);
/// assert!(found[0].is_bearer());
/// assert_eq!(found[0].parameter("error"), Some("invalid_token"));
/// ```
#[must_use]
pub fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    for value in headers.get_all(WWW_AUTHENTICATE) {
        if let Ok(text) = value.to_str()
            && text.len() <= MAX_BYTES
        {
            let mut reader = Reader { rest: text };
            while reader.item(&mut challenges).is_some() {}
        }
    }
    challenges
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// Reads one item of the comma-separated list: the start of a challenge,
    /// or a parameter of the last one.
    fn item(&mut self, challenges: &mut Vec<Challenge>) -> Option<()> {
        self.skip(|c| matches!(c, ' ' | '\t' | ','));
        let name = self.token()?;
        if let Some(value) = self.value() {
            let parameter = (name.to_owned(), value?);
            challenges.last_mut()?.parameters.push(parameter);
            return Some(());
        }
        let scheme = name.to_owned();
        let parameters = Vec::new();
        challenges.push(Challenge { scheme, parameters });
        self.skip(|c| c == ' ');
        self.skip_token68();
        Some(())
    }

    /// What follows `=`: `None` if there is no `=`, `Some(None)` if what
    /// follows cannot be read.
    fn value(&mut self) -> Option<Option<String>> {
        let after = self.rest.trim_start_matches([' ', '\t']);
        self.rest = after.strip_prefix('=')?.trim_start_matches([' ', '\t']);
        if !self.rest.starts_with('"') {
            return Some(self.token().map(str::to_owned));
        }
        let mut value = String::new();
        let mut characters = self.rest.char_indices().skip(1);
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.rest = self.rest.get(at + 1..).unwrap_or_default();
                    return Some(Some(value));
                }
                '\\' => match characters.next() {
                    Some((_, escaped)) => value.push(escaped),
                    None => break,
                },
                _ => value.push(character),
            }
        }
        Some(None)
    }

    fn token(&mut self) -> Option<&'a str> {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let end = self.rest.find(|c| !is_token(c)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        (!token.is_empty()).then_some(token)
    }

    /// Skips credentials-like data after a scheme, such as Negotiate's.
    fn skip_token68(&mut self) {
        let is_token68 = |c: char| c.is_ascii_alphanumeric() || "-._~+/".contains(c);
        let after = self.rest.trim_start_matches(is_token68);
        let after = after
            .trim_start_matches('=')
            .trim_start_matches([' ', '\t']);
        if after.is_empty() || after.starts_with(',') {
            self.rest = after;
        }
    }

    fn skip(&mut self, what: impl Fn(char) -> bool) {
        self.rest = self.rest.trim_start_matches(what);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn read(values: &[&str]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_str(value).unwrap());
        }
        let show = |challenge: &Challenge| {
            let parameters = challenge.parameters.iter();
            let parameters = parameters.map(|(name, value)| format!(" {name}={value:?}"));
            format!("{}{}", challenge.scheme, parameters.collect::<String>())
        };
        challenges(&headers).iter().map(show).collect()
    }

    #[test]
    fn challenges_are_read_as_they_come() {
        let rows: [(&[&str], &[&str]); 11] = [
            (&["Bearer"], &["Bearer"]),
            (
                &["bearer error=invalid_token"],
                &["bearer error=\"invalid_token\""],
            ),
            (
                &[r#"Bearer realm="a, b=c", error = "invalid_token""#],
                &[r#"Bearer realm="a, b=c" error="invalid_token""#],
            ),
            (
                &[r#"Bearer realm="q\"uote""#],
                &[r#"Bearer realm="q\"uote""#],
            ),
            (
                &[r#"Basic realm="x", Bearer error="invalid_token", scope="a""#],
                &[
                    r#"Basic realm="x""#,
                    r#"Bearer error="invalid_token" scope="a""#,
                ],
            ),
            (
                &["Negotiate YWJj==, Bearer error=x"],
                &["Negotiate", "Bearer error=\"x\""],
            ),
            (
                &["Basic", "Bearer error=x"],
                &["Basic", "Bearer error=\"x\""],
            ),
            (&[", ,Bearer ,, error=x ,"], &["Bearer error=\"x\""]),
            (&[""], &[]),
            (&["=x"], &[]),
            (&[r#"Bearer error="open"#], &["Bearer"]),
        ];
        for (values, expected) in rows {
            assert_eq!(read(values), expected, "{values:?}");
        }
    }

    #[test]
    fn names_compare_without_case() {
        let value = HeaderValue::from_static("BEARER Error=x");
        let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, value)]);
        let found = challenges(&headers);
        assert!(found[0].is_bearer());
        assert_eq!(found[0].parameter("ERROR"), Some("x"));
        assert_eq!(found[0].parameter("realm"), None);
        assert_eq!(found[0].scheme(), "BEARER");
        let value = HeaderValue::from_static("Bearers Error=x");
        let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, value)]);
        assert!(!challenges(&headers)[0].is_bearer());
    }

    #[test]
    fn an_endless_header_is_not_read() {
        assert!(read(&["a,".repeat(50_000).as_str()]).is_empty());
        let most = "a,".repeat(MAX_BYTES / 2);
        assert_eq!(read(&[&most]).len(), 4096);
        assert!(read(&[&format!("{most},")]).is_empty());
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[ -~]{0,200}") {
            let _ = read(&[&text]);
        }
    }
}
