//! Caches that keep access tokens for more than one provider.
//!
//! - [`MemoryCache`]: shared by the providers of one process.
//! - `FileCache` (feature `file`): shared by the processes of a user on one
//!   machine, and kept when they end.
//! - `MokaCache` (feature `moka`): the same with a bound, for the tokens of
//!   thousands of clients.
//!
//! All of them implement [`bloom_auth_core::TokenCache`] and pass its
//! conformance suite (feature `test-util` of the core crate), which caches of
//! your own can run too.
//!
//! # Crate features
//!
//! - `file`: `FileCache`, and `Sealer`, which encrypts what it keeps.
//! - `moka`: `MokaCache`, on the crate of that name.

#![forbid(unsafe_code)]

#[cfg(feature = "file")]
mod file;
mod leases;
mod memory;
#[cfg(feature = "moka")]
mod moka_cache;
mod refusals;
mod rules;
#[cfg(feature = "file")]
mod seal;

#[cfg(feature = "file")]
pub use file::{FileCache, FileCacheBuilder};
pub use memory::MemoryCache;
#[cfg(feature = "moka")]
pub use moka_cache::{MokaCache, MokaCacheBuilder};
#[cfg(feature = "file")]
pub use seal::{MAX_SEALED_BYTES, SealError, Sealer};
