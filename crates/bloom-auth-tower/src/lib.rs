//! A [`tower`](tower_service) layer that puts the access token into requests to
//! Bloom's API, and replaces it when the API refuses it: for hyper's clients,
//! tonic's channels, and whatever else is a service of HTTP requests.
//!
//! Most programs come to it through the facade crate, `bloom-auth`, with its
//! feature `tower` and `BloomAuth::bearer_layer`. Directly:
//!
//! ```no_run
//! # async fn run(
//! #     provider: bloom_auth_core::TokenProvider,
//! # ) -> Result<(), bloom_auth_tower::BoxError> {
//! use bloom_auth_tower::BearerLayer;
//! use bytes::Bytes;
//! use http::Request;
//! use http_body_util::Empty;
//! use hyper_util::{client::legacy::Client, rt::TokioExecutor};
//! use tower::{Service as _, ServiceBuilder, ServiceExt as _};
//!
//! # let tls = rustls::ClientConfig::builder()
//! #     .with_root_certificates(rustls::RootCertStore::empty())
//! #     .with_no_client_auth();
//! let https = hyper_rustls::HttpsConnectorBuilder::new()
//!     .with_tls_config(tls)
//!     .https_only()
//!     .enable_http1()
//!     .build();
//! let url = provider.environment().url_of("/v2/core/organization");
//! let mut client = ServiceBuilder::new() // once; clone it wherever it is needed
//!     .layer(BearerLayer::new(provider))
//!     .service(Client::builder(TokioExecutor::new()).build(https));
//!
//! let request = Request::get(url).body(Empty::<Bytes>::new())?;
//! let response = client.ready().await?.call(request).await?;
//! # Ok(())
//! # }
//! ```
//!
//! The folder `examples` has programs that run: a hyper client, a tonic
//! channel, and an axum service that calls Bloom for its own users.
//!
//! # What it does
//!
//! All that [`Bearer`](bloom_auth_core::Bearer) promises; this crate says to it
//! what a request and an answer are. In short: the token goes to the
//! environment's API and to the origins that were allowed by name; every other
//! request passes on without it, as does one with an `Authorization` header of
//! its own. A 401 drops the token that was refused, and the request is sent
//! once more if there is another token and [its body can be sent
//! twice](BearerLayer#bodies).
//!
//! # Where it belongs in a stack
//!
//! Next to the client, with one exception. A layer further out sees the two
//! requests of a replay as one: a timeout there bounds both and the wait for
//! the token. A layer further in, between this one and the client, meets each
//! of them: that is where a limit of requests under way, or a trace of what is
//! sent, belongs. A retry belongs outside: this layer sends a request again for
//! a refused token alone.
//!
//! **Redirects.** What follows them can be further in or further out:
//!
//! ```
//! # fn stack<S: Clone>(bearer: bloom_auth_tower::BearerLayer, client: S) {
//! use tower::ServiceBuilder;
//! use tower_http::follow_redirect::{
//!     FollowRedirectLayer, RequestUri,
//!     policy::{Limited, PolicyExt as _, SameOrigin},
//! };
//! # let _ =
//! // Right: it stays at the origin, and a redirect to another one reaches the
//! // caller. The layer is told of redirects, so that it does not repeat a
//! // `POST` that was carried out and redirected, and refused only then.
//! ServiceBuilder::new()
//!     .layer(bearer.clone().final_url(|extensions| {
//!         extensions.get::<RequestUri>().map(|RequestUri(uri)| uri)
//!     }))
//!     .layer(FollowRedirectLayer::with_policy(
//!         Limited::default().and::<_, (), ()>(SameOrigin::new()),
//!     ))
//!     .service(client.clone());
//!
//! # let _ =
//! // Right: each hop is a request of its own, and has the token if it goes to
//! // where the token may go.
//! ServiceBuilder::new()
//!     .layer(FollowRedirectLayer::new())
//!     .layer(bearer.clone())
//!     .service(client.clone());
//!
//! # let _ =
//! // Wrong: a redirect to another origin leaves the token behind, but the next
//! // one that stays there brings it along (seen with tower-http 0.6.11).
//! ServiceBuilder::new()
//!     .layer(bearer)
//!     .layer(FollowRedirectLayer::new())
//!     .service(client);
//! # }
//! ```
//!
//! With the second, whoever the API redirects to can redirect back to any path
//! of the API, and that request has the token again; with the first nobody can.
//!
//! # gRPC
//!
//! The requests of a tonic client carry a path alone, since the channel knows
//! the host: [`BearerLayer::for_origin`] says it to the layer too. An answer
//! that consists of headers alone and has the `grpc-status` 16
//! (`UNAUTHENTICATED`) counts as a 401. The token is dropped then, and the next
//! call has another; the call itself is not sent again, since even the body of a
//! unary call is a stream, unless [`BearerLayer::replay_with`] can copy it. A
//! status that comes later, in trailers, is not seen here.
//!
//! Without a token the call fails before anything is sent: tonic makes a
//! `Status` of it whose source is the [`Error`](bloom_auth_core::Error).
//!
//! # reqwest
//!
//! `reqwest::Client` is a service of its own kinds of request and answer. For it
//! there are `AuthorizedClient` and `BearerMiddleware` of `bloom-auth-reqwest`.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod exchange;
mod layer;
mod replay;
mod service;

pub use self::{
    layer::BearerLayer,
    replay::{Replay, ReplayCloned, ReplayEmpty},
    service::{BearerService, ResponseFuture},
};

/// What a [`BearerService`] fails with: a [`bloom_auth_core::Error`] if there is
/// no token, or the error of the service inside; `downcast_ref` finds either.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
