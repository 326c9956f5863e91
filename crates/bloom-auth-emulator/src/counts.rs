//! What the emulator counts, exactly, while requests come in side by side.

use std::sync::{Mutex, PoisonError};

/// How often each thing has happened since the emulator started.
///
/// The numbers of one `Counts` were taken at one instant. Take them with
/// [`Emulator::counts`](crate::Emulator::counts).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Connections accepted, including those whose TLS handshake then failed.
    pub connections: u64,
    /// Every `POST` that arrived at a token endpoint, counted on arrival and
    /// before any check, so malformed and refused ones too.
    pub token_requests: u64,
    /// Token requests that were granted. An access token is counted when it is
    /// issued, so also when the client hangs up before it has the answer.
    pub tokens_issued: u64,
    /// Token requests that were refused, for whatever reason. One whose sender
    /// hung up before it was decided is in neither of the two, nor is one that
    /// a fault was played at before it was decided.
    pub token_requests_refused: u64,
    /// API requests answered with a 2xx status.
    pub api_authorized: u64,
    /// API requests answered with 401.
    pub api_unauthorized: u64,
    /// API requests answered with 403 because the access token lacks a scope.
    pub api_forbidden: u64,
    /// API requests answered with 401 because the access token they carried has
    /// expired; [`api_unauthorized`](Self::api_unauthorized) contains these.
    pub api_expired: u64,
    /// Requests and connections that a [fault](crate::Fault) was played at.
    pub faults_played: u64,
}

/// The live counters behind [`Counts`].
#[derive(Debug, Default)]
pub(crate) struct Counters(Mutex<Counts>);

impl Counters {
    pub(crate) fn record(&self, update: impl FnOnce(&mut Counts)) {
        update(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn snapshot(&self) -> Counts {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
