//! How to call Bloom's API, by the client that you have: one page each, with the
//! wrong way beside the right one, and why it is wrong.
//!
//! | you have | page |
//! |---|---|
//! | reqwest, or nothing yet | [`reqwest`] |
//! | a client made of `reqwest-middleware` | [`middleware`] |
//! | hyper, or another client that is a tower service | [`tower`] |
//! | a gRPC channel of tonic | [`tonic`] |
//! | an axum service that calls Bloom for its own users | [`axum`] |
//! | a client that none of these is for | [`low_level`] |
//! | no async runtime | [`blocking`] |
//! | programs that start often, or several on one machine | [`worker`] |
//! | a service on many machines | [`fleet`] |
//! | many clients of Bloom's in one process | [`many_tenants`] |
//! | a private key or a certificate in the place of a secret | [`clients_without_a_secret`] |
//! | tests to write for your service | [`testing`] |
//! | questions about speed, or a fleet to plan | [`performance`] |
//! | doubts | [`how_it_is_tested`] |
//!
//! They have one engine behind them, and promise the same: one token for all
//! callers, replaced before it expires; another one when the API refuses it; and
//! a token that goes to the API and nowhere else.
//!
//! All code on these pages is compiled, and most of it is run: `auth` is then a
//! [`BloomAuth`](crate::BloomAuth) for the `emulator`, a local stand-in for
//! Bloom. In your program it comes from
//! [`BloomAuth::from_env`](crate::BloomAuth::from_env).

// The pages are in files of their own. Those for an optional feature are empty
// without it: links to them lead somewhere, and what they name is there when
// their code is compiled.

#[doc = include_str!("reqwest.md")]
pub mod reqwest {}

#[cfg_attr(feature = "middleware", doc = include_str!("middleware.md"))]
#[cfg_attr(not(feature = "middleware"), doc = "Feature `middleware`.")]
pub mod middleware {}

#[cfg_attr(feature = "tower", doc = include_str!("tower.md"))]
#[cfg_attr(not(feature = "tower"), doc = "Feature `tower`.")]
pub mod tower {}

#[cfg_attr(feature = "tower", doc = include_str!("tonic.md"))]
#[cfg_attr(not(feature = "tower"), doc = "Feature `tower`.")]
pub mod tonic {}

#[doc = include_str!("axum.md")]
pub mod axum {}

#[doc = include_str!("low_level.md")]
pub mod low_level {}

#[cfg_attr(feature = "blocking", doc = include_str!("blocking.md"))]
#[cfg_attr(not(feature = "blocking"), doc = "Feature `blocking`.")]
pub mod blocking {}

#[cfg_attr(feature = "file", doc = include_str!("worker.md"))]
#[cfg_attr(not(feature = "file"), doc = "Feature `file`.")]
pub mod worker {}

#[cfg_attr(all(feature = "redis", feature = "file"), doc = include_str!("fleet.md"))]
#[cfg_attr(
    not(all(feature = "redis", feature = "file")),
    doc = "Features `redis` and `file`."
)]
pub mod fleet {}

#[cfg_attr(feature = "moka", doc = include_str!("many_tenants.md"))]
#[cfg_attr(not(feature = "moka"), doc = "Feature `moka`.")]
pub mod many_tenants {}

#[cfg_attr(
    all(feature = "private-key-jwt", feature = "file"),
    doc = include_str!("clients_without_a_secret.md")
)]
#[cfg_attr(
    not(all(feature = "private-key-jwt", feature = "file")),
    doc = "Features `private-key-jwt` and `file`."
)]
pub mod clients_without_a_secret {}

#[doc = include_str!("testing.md")]
pub mod testing {}

#[doc = include_str!("performance.md")]
#[doc = include_str!("performance/hot_path.svg")]
#[doc = ""]
#[doc = include_str!("performance/threads.svg")]
#[doc = ""]
#[doc = include_str!("performance/keys.svg")]
#[doc = ""]
#[doc = include_str!("performance/fleet.svg")]
pub mod performance {}

#[doc = include_str!("how_it_is_tested.md")]
pub mod how_it_is_tested {}
