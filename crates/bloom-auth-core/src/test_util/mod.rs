//! What tests of providers, transports and caches need: clocks that obey,
//! a transport and credentials that follow a script, conformance suites, and
//! mocks.
//!
//! Feature `test-util`; not covered by the promises of semantic versioning.

mod clock;
mod credentials;
mod entropy;
mod mocks;
mod transport;

pub use clock::{ManualClock, TokioClock};
pub use credentials::ScriptedCredentials;
pub use entropy::FixedEntropy;
pub use mocks::{MockCredentialsSource, MockTokenCache, MockTransport};
pub use transport::{Reply, ScriptedTransport, SentRequest};
