//! bloom-auth over [`reqwest`]: [`ReqwestTransport`] carries token requests, and
//! [`AuthorizedClient`] calls the API with the token in every request.
//!
//! Most programs use it through the facade crate, `bloom-auth`. Directly:
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use bloom_auth_core::{AuthVersion, Environment, EnvironmentCredentials, TokenProvider};
//! use bloom_auth_reqwest::{AuthorizedClient, ReqwestTransport};
//!
//! let provider = TokenProvider::builder(
//!     Environment::sandbox(AuthVersion::V1),
//!     EnvironmentCredentials::new(),
//!     ReqwestTransport::builder().build()?,
//! )
//! .build()?;
//! let client = AuthorizedClient::new(provider);
//! let response = client.get("/v2/core/organization").send().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Crate features
//!
//! - `middleware`: `BearerMiddleware`, for clients that are built of
//!   `reqwest-middleware`.
//! - `rustls` (default): TLS by rustls with aws-lc-rs, on the platform's root
//!   certificates unless own ones are given. Without a TLS feature, https
//!   fails with a typed error.

#![forbid(unsafe_code)]

mod classify;
mod client;
#[cfg(feature = "middleware")]
mod middleware;
mod settings;
mod tls;
mod transport;
mod url;

pub use client::{AuthorizedClient, AuthorizedClientBuilder, RequestBuilder, RequestError};
#[cfg(feature = "middleware")]
pub use middleware::BearerMiddleware;
pub use transport::{ReqwestTransport, ReqwestTransportBuilder};
