//! Sets of scopes (RFC 6749, section 3.3).

use std::{collections::BTreeSet, fmt, str::FromStr};

use crate::error::ConfigurationError;

/// An answer's scopes are kept up to this number and this size.
const MAX_SCOPES: usize = 256;
const MAX_SCOPE_BYTES: usize = 256;

/// A set of scopes: equality and cache keys do not depend on order or
/// repetition.
///
/// # Example
///
/// ```
/// use bloom_auth_core::Scopes;
///
/// let scopes: Scopes = "furnishment:all data-access:all".parse()?;
/// assert_eq!(scopes, "data-access:all furnishment:all".parse()?);
/// assert_eq!(scopes.to_string(), "data-access:all furnishment:all");
/// # Ok::<(), bloom_auth_core::ConfigurationError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scopes(BTreeSet<Box<str>>);

impl Scopes {
    /// Whether there is no scope in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many scopes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The scopes in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|scope| &**scope)
    }

    /// Whether the set holds this scope.
    #[must_use]
    pub fn contains(&self, scope: &str) -> bool {
        self.0.contains(scope)
    }

    /// The set of scopes that a server named, within bounds; what is not a
    /// scope token, and what must not be kept, is left out, since an answer is
    /// not ours to correct.
    pub(crate) fn from_answer(text: &str, may_keep: impl Fn(&str) -> bool) -> Self {
        let tokens = text.split(' ').take(MAX_SCOPES);
        let is_scope = |token: &&str| token.len() <= MAX_SCOPE_BYTES && is_scope_token(token);
        let scopes = tokens.filter(is_scope).filter(|token| may_keep(token));
        Self(scopes.map(Box::from).collect())
    }

    /// The scopes of this set that the other has not.
    pub(crate) fn without(&self, other: &Self) -> Self {
        Self(self.0.difference(&other.0).cloned().collect())
    }
}

impl FromStr for Scopes {
    type Err = ConfigurationError;

    /// Reads scopes that are separated by spaces; an empty text is the empty
    /// set.
    fn from_str(text: &str) -> Result<Self, ConfigurationError> {
        let tokens = text.split(' ').filter(|token| !token.is_empty());
        tokens
            .enumerate()
            .map(|(index, token)| {
                if is_scope_token(token) {
                    return Ok(Box::from(token));
                }
                let number = index + 1;
                Err(ConfigurationError::new(
                    "scope",
                    format!("has no scope as its word number {number} (RFC 6749, section 3.3)"),
                    "separate scopes by single spaces, for example \
                     `data-access:all furnishment:all`",
                ))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope)?;
        }
        Ok(())
    }
}

/// `scope-token = 1*( %x21 / %x23-5B / %x5D-7E )`
fn is_scope_token(token: &str) -> bool {
    !token.is_empty()
        && token
            .bytes()
            .all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn k4_what_is_no_scope_token_is_refused() {
        for text in [
            "a\tb",
            "a\r\nb",
            "quo\"te",
            "back\\slash",
            "é",
            "a\u{7f}",
            "a b\nc",
        ] {
            assert!(text.parse::<Scopes>().is_err(), "{text:?}");
        }
        assert!("".parse::<Scopes>().unwrap().is_empty());
        assert_eq!("  a  b ".parse::<Scopes>().unwrap().to_string(), "a b");
    }

    #[test]
    fn an_answer_keeps_what_can_be_kept() {
        let scopes = Scopes::from_answer("read:a wri\"te b\u{1b} c secret", |it| it != "secret");
        assert_eq!(scopes.to_string(), "c read:a");
        let many: Vec<_> = (0..100_000).map(|n| n.to_string()).collect();
        let scopes = Scopes::from_answer(&many.join(" "), |_| true);
        assert_eq!(scopes.len(), MAX_SCOPES);
        let long = "x".repeat(MAX_SCOPE_BYTES + 1);
        assert!(Scopes::from_answer(&long, |_| true).is_empty());
    }

    proptest! {
        #[test]
        fn k5_order_and_repetition_do_not_count(
            tokens in prop::collection::vec("[a-z:._]{1,8}", 0..8),
            seed in any::<u64>(),
        ) {
            let mut shuffled = tokens.clone();
            shuffled.extend(tokens.iter().take(2).cloned());
            let len = shuffled.len().max(1);
            shuffled.rotate_left(usize::try_from(seed % len as u64).unwrap_or(0));
            let a: Scopes = tokens.join(" ").parse().unwrap();
            let b: Scopes = shuffled.join(" ").parse().unwrap();
            prop_assert_eq!(&a, &b);
            prop_assert_eq!(a.to_string(), b.to_string());
        }
    }
}
