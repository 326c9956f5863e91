//! Random identifiers and secrets, all from one seed.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use aws_lc_rs::{digest, hmac};

use crate::EmulatorError;

const ALPHANUMERIC: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What everything random of one emulator comes from.
pub(crate) struct Seed(hmac::Key);

impl Seed {
    /// One that nobody can guess.
    pub(crate) fn from_system() -> Result<Self, EmulatorError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| EmulatorError::Randomness(Box::new(error)))?;
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &seed)))
    }

    /// One that anybody can repeat.
    pub(crate) fn from_number(number: u64) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &number.to_be_bytes()))
    }

    /// A source of its own for each purpose: what is drawn for one does not
    /// shift what another gets.
    pub(crate) fn random(&self, purpose: &str) -> Random {
        Random {
            key: hmac::Key::new(hmac::HMAC_SHA256, &self.bytes(purpose)),
            blocks: AtomicU64::new(0),
        }
    }

    /// As many bytes as a key has.
    pub(crate) fn bytes(&self, purpose: &str) -> [u8; digest::SHA256_OUTPUT_LEN] {
        let tag = hmac::sign(&self.0, purpose.as_bytes());
        let mut bytes = [0; digest::SHA256_OUTPUT_LEN];
        for (byte, drawn) in bytes.iter_mut().zip(tag.as_ref()) {
            *byte = *drawn;
        }
        bytes
    }
}

/// HMAC-SHA-256 in counter mode, keyed once: after the start it cannot fail,
/// which is what lets a secret be rotated without an error to handle.
pub(crate) struct Random {
    key: hmac::Key,
    blocks: AtomicU64,
}

impl Random {
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

    /// A number from 0 up to, but not, 1.
    pub(crate) fn fraction(&self) -> f64 {
        let [word, ..] = self.block();
        // As many bits as the number can tell apart.
        (word >> 11) as f64 / (1_u64 << 53) as f64
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
        let random = Seed::from_system().unwrap().random("test");
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
            Seed::from_system().unwrap().random("test"),
            Seed::from_system().unwrap().random("test"),
        );
        assert_ne!(one.client_secret(), other.client_secret());
        assert_ne!(one.client_id(), other.client_id());
    }

    #[test]
    fn a_seed_that_is_repeated_repeats_everything() {
        let texts = |seed: u64, purpose: &str| {
            let random = Seed::from_number(seed).random(purpose);
            (random.client_secret(), random.uuid(), random.fraction())
        };
        assert_eq!(texts(7, "a"), texts(7, "a"));
        assert_ne!(texts(7, "a").0, texts(7, "b").0);
        assert_ne!(texts(7, "a").0, texts(8, "a").0);
    }

    #[test]
    fn fractions_are_spread_evenly() {
        let random = Seed::from_number(0).random("test");
        let mut tenths = [0_u32; 10];
        for _ in 0..10_000 {
            let fraction = random.fraction();
            assert!((0.0..1.0).contains(&fraction));
            tenths[(fraction * 10.0) as usize] += 1;
        }
        assert!(
            tenths.iter().all(|tenth| (850..1150).contains(tenth)),
            "{tenths:?}"
        );
    }

    #[test]
    fn uuids_are_of_version_4() {
        let random = Seed::from_system().unwrap().random("test");
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
