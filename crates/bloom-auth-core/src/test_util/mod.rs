//! What tests of providers, transports and caches need: clocks that obey,
//! a transport, a server and credentials that follow a script, conformance
//! suites, mocks, a log of events, a count of allocations, and ways to say that
//! a test cannot run here or which of its cases passed.
//!
//! Feature `test-util`; not covered by the promises of semantic versioning.

mod allocations;
pub mod cache_suite;
mod clock;
mod credentials;
mod entropy;
mod events;
mod mocks;
mod scripted_server;
mod skip;
mod transport;
pub mod transport_suite;

pub use allocations::{allocations, note_allocation, small_allocations};
pub use clock::{ManualClock, TokioClock};
pub use credentials::ScriptedCredentials;
pub use entropy::{FixedEntropy, SeededEntropy};
pub use events::{EventLog, EventShape, documented_events, emitted_events};
pub use mocks::{MockCredentialsSource, MockTokenCache, MockTransport};
pub use scripted_server::{ScriptedServer, Seen, Turn};
pub use skip::{is_long, passed, skip, tool};
pub use transport::{Reply, ScriptedTransport, SentRequest};

pub use crate::{
    __count_allocations as count_allocations,
    test_keys::{ED25519, P256, RSA, TestKey},
};
