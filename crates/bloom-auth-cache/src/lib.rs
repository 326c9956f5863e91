//! Caches that keep access tokens for more than one provider.
//!
//! | cache | shared by | kept | for |
//! |---|---|---|---|
//! | none | the clones of one provider | as long as the provider | one provider: the default |
//! | [`MemoryCache`] | the providers of a process | until they expire, without a bound | a few hundred clients |
//! | `MokaCache` (feature `moka`) | the providers of a process | within a bound: the least recently used go | thousands of clients, behind [`TokenProviders`](bloom_auth_core::TokenProviders) |
//! | `FileCache` (feature `file`) | the processes of a user on one machine | when processes end, for 30 days at most | programs that start often, and several on one machine |
//! | `RedisCache` (feature `redis`) | the machines of a fleet | in Redis or Valkey, until they expire | services on many machines |
//! | [`Tiered`] | as its two | in a near one and a far one | programs that start often on many machines: files in front of Redis |
//!
//! All of them implement [`bloom_auth_core::TokenCache`] and pass its
//! conformance suite (feature `test-util` of the core crate), which caches of
//! your own can run too.
//!
//! # Crate features
//!
//! - `file`: `FileCache`, and `Sealer`, which encrypts what it keeps.
//! - `moka`: `MokaCache`, on the crate of that name.
//! - `redis`: `RedisCache`, and `Sealer` as for `file`.

#![forbid(unsafe_code)]
// On docs.rs, items say which feature they need.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "file")]
mod file;
mod leases;
mod memory;
#[cfg(feature = "moka")]
mod moka_cache;
#[cfg(feature = "redis")]
mod redis_cache;
mod refusals;
mod rules;
#[cfg(any(feature = "file", feature = "redis"))]
mod seal;
mod tiered;

#[cfg(feature = "file")]
pub use file::{FileCache, FileCacheBuilder, FileCacheEntry};
pub use memory::MemoryCache;
#[cfg(feature = "moka")]
pub use moka_cache::{MokaCache, MokaCacheBuilder};
#[cfg(feature = "redis")]
pub use redis_cache::{RedisCache, RedisCacheBuilder};
#[cfg(any(feature = "file", feature = "redis"))]
pub use seal::{MAX_SEALED_BYTES, SealError, Sealer};
pub use tiered::Tiered;
