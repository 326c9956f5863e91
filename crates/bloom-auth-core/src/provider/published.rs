//! The one token that every caller reads: the hot path.

use std::sync::{PoisonError, RwLock};

use super::{state::Held, timing::Freshness};
use crate::{clock::Timestamp, token::AccessToken};

/// A copy of the held token behind a lock that readers share. It is written
/// under the engine's lock, so that both change in the same order.
#[derive(Debug, Default)]
pub(crate) struct Published(RwLock<Option<Held>>);

impl Published {
    /// The token, if it is fresh: neither due nor expired.
    pub(crate) fn fresh<T>(
        &self,
        now: Timestamp,
        read: impl FnOnce(&AccessToken) -> T,
    ) -> Option<T> {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        held.as_ref()
            .filter(|held| held.deadlines.freshness(now) == Freshness::Fresh)
            .map(|held| read(&held.token))
    }

    pub(crate) fn set(&self, held: Option<&Held>) {
        let mut published = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *published = held.cloned();
    }
}
