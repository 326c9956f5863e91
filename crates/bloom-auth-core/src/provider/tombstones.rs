//! Tokens that the API rejected, by their hash, until they expire.

use std::{collections::VecDeque, time::SystemTime};

use crate::{
    clock::{Timestamp, wall_nanos},
    token::TokenHash,
};

/// More rejected tokens than any provider has within a token's lifetime; the
/// oldest is forgotten.
const MAX_TOMBSTONES: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct Tombstones(VecDeque<Tombstone>);

#[derive(Debug)]
struct Tombstone {
    hash: TokenHash,
    until: u64,
    /// The newest fetch when the token was rejected.
    generation: u64,
    told: bool,
}

impl Tombstones {
    pub(crate) fn add(
        &mut self,
        hash: TokenHash,
        expires_at: SystemTime,
        generation: u64,
        now: Timestamp,
    ) {
        self.0.retain(|tombstone| tombstone.until > now.wall);
        if self.0.len() == MAX_TOMBSTONES {
            self.0.pop_front();
        }
        self.0.push_back(Tombstone {
            hash,
            until: wall_nanos(expires_at),
            generation,
            told: false,
        });
    }

    pub(crate) fn holds(&self, hash: &TokenHash) -> bool {
        self.0.iter().any(|tombstone| tombstone.hash == *hash)
    }

    /// Whether it was rejected when this fetch had begun already.
    pub(crate) fn holds_since(&self, hash: &TokenHash, generation: u64) -> bool {
        let is_it = |it: &Tombstone| it.hash == *hash && it.generation >= generation;
        self.0.iter().any(is_it)
    }

    pub(crate) fn lift(&mut self, hash: &TokenHash) {
        self.0.retain(|tombstone| tombstone.hash != *hash);
    }

    /// Those that caches have not been told of.
    pub(crate) fn untold(&self) -> Vec<TokenHash> {
        let untold = self.0.iter().filter(|tombstone| !tombstone.told);
        untold.map(|tombstone| tombstone.hash).collect()
    }

    pub(crate) fn told(&mut self, hash: &TokenHash) {
        for tombstone in &mut self.0 {
            tombstone.told |= tombstone.hash == *hash;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::system_time, token::AccessToken};

    fn hash(n: u64) -> TokenHash {
        let token = AccessToken::from_text(&n.to_string(), 0, None);
        token.unwrap().hash()
    }

    #[test]
    fn tombstones_last_until_expiry_and_stay_few() {
        let mut tombstones = Tombstones::default();
        let now = Timestamp::new(0, 100);
        tombstones.add(hash(0), system_time(200), 7, now);
        assert!(tombstones.holds(&hash(0)));
        assert!(tombstones.holds_since(&hash(0), 7) && !tombstones.holds_since(&hash(0), 8));
        assert!(!tombstones.holds_since(&hash(1), 7));
        assert_eq!(tombstones.untold(), [hash(0)]);
        tombstones.told(&hash(0));
        assert_eq!(tombstones.untold(), []);
        for n in 1..=1000 {
            tombstones.add(hash(n), system_time(1_000), 7, now);
        }
        assert_eq!(tombstones.0.len(), MAX_TOMBSTONES);
        assert!(!tombstones.holds(&hash(0)) && tombstones.holds(&hash(1000)));
        tombstones.lift(&hash(1000));
        assert!(!tombstones.holds(&hash(1000)));
        let later = Timestamp::new(0, 1_000);
        tombstones.add(hash(1001), system_time(2_000), 7, later);
        assert_eq!(tombstones.0.len(), 1);
    }
}
