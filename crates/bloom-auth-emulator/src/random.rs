//! Random identifiers and secrets, from one seed of the operating system.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use aws_lc_rs::hmac;

use crate::EmulatorError;

const ALPHANUMERIC: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// HMAC-SHA-256 in counter mode, keyed once: after the start it cannot fail,
/// which is what lets a secret be rotated without an error to handle.
pub(crate) struct Random {
    key: hmac::Key,
    blocks: AtomicU64,
}

impl Random {
    pub(crate) fn from_system() -> Result<Self, EmulatorError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| EmulatorError::Randomness(Box::new(error)))?;
        Ok(Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &seed),
            blocks: AtomicU64::new(0),
        })
    }

    /// 32 alphanumeric characters.
    pub(crate) fn client_id(&self) -> String {
        self.text(ALPHANUMERIC, 32)
    }

    /// 64 characters that need no escape in a URL, 384 bits.
    pub(crate) fn client_secret(&self) -> String {
        self.text(URL_SAFE, 64)
    }

    /// 24 characters that name one access token, 144 bits.
    pub(crate) fn token_id(&self) -> String {
        self.text(URL_SAFE, 24)
    }

    /// A UUID of version 4.
    pub(crate) fn uuid(&self) -> String {
        let [a, b, ..] = self.block();
        let value = (u128::from(a) << 64) | u128::from(b);
        let value = value & !(0xf << 76) & !(0b11 << 62) | (0x4 << 76) | (0b10 << 62);
        let hex = format!("{value:032x}");
        let mut uuid = String::with_capacity(36);
        for (index, digit) in hex.chars().enumerate() {
            if matches!(index, 8 | 12 | 16 | 20) {
                uuid.push('-');
            }
            uuid.push(digit);
        }
        uuid
    }

    /// Every character of the alphabet is as likely as any other: six bits
    /// choose one, and choices past the end of the alphabet are thrown away.
    fn text(&self, alphabet: &[u8], length: usize) -> String {
        let mut text = String::with_capacity(length);
        while text.len() < length {
            let missing = length - text.len();
            let chosen = self.block().into_iter().flat_map(u64::to_be_bytes);
            let chosen = chosen.filter_map(|byte| alphabet.get(usize::from(byte & 0x3f)));
            text.extend(chosen.take(missing).map(|&byte| char::from(byte)));
        }
        text
    }

    fn block(&self) -> [u64; 4] {
        let counter = self.blocks.fetch_add(1, Ordering::Relaxed);
        let tag = hmac::sign(&self.key, &counter.to_be_bytes());
        let mut block = [0; 4];
        for (word, bytes) in block.iter_mut().zip(tag.as_ref().chunks_exact(8)) {
            *word = bytes
                .iter()
                .fold(0, |word, byte| (word << 8) | u64::from(*byte));
        }
        block
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Random").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn s12_texts_have_the_promised_shape_and_never_repeat() {
        let random = Random::from_system().unwrap();
        let mut seen = HashSet::new();
        for _ in 0..200 {
            let id = random.client_id();
            assert_eq!(id.len(), 32);
            assert!(id.bytes().all(|byte| ALPHANUMERIC.contains(&byte)));

            let secret = random.client_secret();
            assert_eq!(secret.len(), 64);
            assert!(secret.bytes().all(|byte| URL_SAFE.contains(&byte)));

            assert!(seen.insert(id) && seen.insert(secret) && seen.insert(random.token_id()));
        }
        // 200 secrets of 64 characters use the whole alphabet.
        let used: HashSet<char> = seen.iter().flat_map(|text| text.chars()).collect();
        assert_eq!(used.len(), URL_SAFE.len());
    }

    #[test]
    fn s12_two_generators_share_nothing() {
        let (one, other) = (
            Random::from_system().unwrap(),
            Random::from_system().unwrap(),
        );
        assert_ne!(one.client_secret(), other.client_secret());
        assert_ne!(one.client_id(), other.client_id());
    }

    #[test]
    fn uuids_are_of_version_4() {
        let random = Random::from_system().unwrap();
        for _ in 0..50 {
            let uuid = random.uuid();
            let parts: Vec<&str> = uuid.split('-').collect();
            let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
            assert_eq!(lengths, [8, 4, 4, 4, 12], "{uuid}");
            assert!(parts[2].starts_with('4'), "{uuid}");
            assert!(parts[3].starts_with(['8', '9', 'a', 'b']), "{uuid}");
        }
    }
}
