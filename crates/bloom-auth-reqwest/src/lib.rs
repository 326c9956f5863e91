//! The [`reqwest`] transport of bloom-auth: it carries token requests over
//! HTTP/1.1 and TLS, and nothing else.
//!
//! Most programs use it through the facade crate, `bloom-auth`. Directly:
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use bloom_auth_core::{AuthVersion, Environment, EnvironmentCredentials, TokenProvider};
//! use bloom_auth_reqwest::ReqwestTransport;
//!
//! let provider = TokenProvider::builder(
//!     Environment::sandbox(AuthVersion::V1),
//!     EnvironmentCredentials::new(),
//!     ReqwestTransport::builder().build()?,
//! )
//! .build()?;
//! let header = provider.authorization().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Crate features
//!
//! - `rustls` (default): TLS by rustls with aws-lc-rs, on the platform's root
//!   certificates unless own ones are given. Without a TLS feature, https
//!   fails with a typed error.

#![forbid(unsafe_code)]

mod classify;
mod roots;
mod settings;
mod transport;

pub use transport::{ReqwestTransport, ReqwestTransportBuilder};
