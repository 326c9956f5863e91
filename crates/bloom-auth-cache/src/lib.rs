//! Caches that keep access tokens for more than one provider.
//!
//! - [`MemoryCache`]: shared by the providers of one process.
//!
//! All of them implement [`bloom_auth_core::TokenCache`] and pass its
//! conformance suite (feature `test-util` of the core crate), which caches of
//! your own can run too.

#![forbid(unsafe_code)]

mod memory;

pub use memory::MemoryCache;
