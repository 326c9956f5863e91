//! A strict reading of `application/x-www-form-urlencoded`.

use std::collections::{BTreeMap, btree_map::Entry};

/// Why a form cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FormError {
    #[error("a `%` in the body is not followed by two hexadecimal digits")]
    Escape,
    #[error("the body is not UTF-8")]
    Utf8,
    #[error("a parameter occurs more than once")]
    Repeated,
}

/// The parameters of a form, each at most once.
#[derive(Default, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(crate) struct Form(BTreeMap<String, String>);

impl Form {
    /// Reads a whole body. Escapes are looked at before repetition is.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, FormError> {
        let mut pairs = Vec::new();
        for pair in body.split(|byte| *byte == b'&') {
            if pair.is_empty() {
                continue;
            }
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let name = decode(halves.next().unwrap_or_default())?;
            let value = decode(halves.next().unwrap_or_default())?;
            pairs.push((name, value));
        }
        let mut form = BTreeMap::new();
        for (name, value) in pairs {
            match form.entry(name) {
                Entry::Vacant(entry) => entry.insert(value),
                Entry::Occupied(_) => return Err(FormError::Repeated),
            };
        }
        Ok(Self(form))
    }

    /// The value of a parameter; one without a value counts as not sent
    /// (RFC 6749, section 3.2).
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }
}

/// Decodes `%XX` and `+`; every other byte stands for itself.
pub(crate) fn decode(encoded: &[u8]) -> Result<String, FormError> {
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut bytes = encoded.iter().copied();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = bytes.next().and_then(hex).ok_or(FormError::Escape)?;
                let low = bytes.next().and_then(hex).ok_or(FormError::Escape)?;
                high << 4 | low
            }
            other => other,
        });
    }
    String::from_utf8(decoded).map_err(|_| FormError::Utf8)
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies() {
        type Expected<'a> = Result<&'a [(&'a str, &'a str)], FormError>;
        let table: &[(&[u8], Expected<'_>)] = &[
            (b"", Ok(&[])),
            (b"&&", Ok(&[])),
            (b"a=b", Ok(&[("a", "b")])),
            (b"a=b&c=d&", Ok(&[("a", "b"), ("c", "d")])),
            (b"a", Ok(&[("a", "")])),
            (b"a=", Ok(&[("a", "")])),
            (b"=b", Ok(&[("", "b")])),
            (b"a=b=c", Ok(&[("a", "b=c")])),
            (b"a=b+c%20d%2Be", Ok(&[("a", "b c d+e")])),
            (b"a=%c3%A9&%61b=%26%3d", Ok(&[("a", "é"), ("ab", "&=")])),
            ("a=é".as_bytes(), Ok(&[("a", "é")])),
            (b"a=%", Err(FormError::Escape)),
            (b"a=%2", Err(FormError::Escape)),
            (b"a=%2g", Err(FormError::Escape)),
            (b"a=%%20", Err(FormError::Escape)),
            (b"a=%+1", Err(FormError::Escape)),
            (b"%zz=a", Err(FormError::Escape)),
            (b"a=%c3", Err(FormError::Utf8)),
            (b"a=\xff", Err(FormError::Utf8)),
            (b"%ff=a", Err(FormError::Utf8)),
            (b"a=1&a=1", Err(FormError::Repeated)),
            (b"a=1&%61=2", Err(FormError::Repeated)),
            (b"a&a", Err(FormError::Repeated)),
            (b"a=1&a=2&b=%", Err(FormError::Escape)),
        ];
        for (body, expected) in table {
            let expected = expected.map(|pairs| {
                let owned = pairs
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
                Form(owned.collect())
            });
            let body_text = String::from_utf8_lossy(body);
            assert_eq!(Form::parse(body), expected, "{body_text}");
        }
    }

    #[test]
    fn a_parameter_without_a_value_was_not_sent() {
        let form = Form::parse(b"a=&b=1&c").unwrap();
        assert_eq!(form.get("a"), None);
        assert_eq!(form.get("b"), Some("1"));
        assert_eq!(form.get("c"), None);
        assert_eq!(form.get("d"), None);
    }
}
