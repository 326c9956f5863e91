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
//! Each adds something, and changes nothing for those who do not use it.
//!
//! - `middleware`: `BearerMiddleware`, for clients that are built of
//!   `reqwest-middleware`.
//! - `rustls` (default): TLS by rustls with aws-lc-rs, on the platform's root
//!   certificates unless own ones are given.
//! - `native-tls`: TLS by the platform's own library, where
//!   [`ReqwestTransportBuilder`] is told so or `rustls` is off. On Linux that is
//!   OpenSSL: to build it takes `pkg-config` and OpenSSL's headers.
//! - `http2`: HTTP/2, where [`ReqwestTransportBuilder`] is told so and the server
//!   agrees.
//!
//! Without a TLS feature, https fails with a typed error.
//!
//! # Proxies
//!
//! They are taken from the environment: `HTTPS_PROXY` or else `ALL_PROXY`, by
//! either case of their names, but for what is in `NO_PROXY`. Loopback is
//! reached without. A proxy that will not open a way to the server, for want of
//! a password or for any other reason, is a
//! [`TransportErrorKind::Proxy`](bloom_auth_core::TransportErrorKind::Proxy).

#![forbid(unsafe_code)]
// On docs.rs, items say which feature they need.
#![cfg_attr(docsrs, feature(doc_cfg))]

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
