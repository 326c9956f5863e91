//! A local stand-in for Bloom Credit's API and its authorization servers.
//!
//! An [`Emulator`] listens on the loopback interface, issues access tokens at
//! both token endpoints, and guards a small part of the API with them. It is
//! made for tests, examples and offline work: it stands alone, so a mistake in
//! a client of this project cannot hide in its mirror.
//!
//! ```
//! use bloom_auth_emulator::Emulator;
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let emulator = Emulator::builder().plain_http().start().await?;
//!
//! // Any HTTP client will do; this one is written out to need none.
//! let form = format!(
//!     "grant_type=client_credentials&client_id={}&client_secret={}&audience={}",
//!     emulator.client_id(),
//!     emulator.client_secret(),
//!     emulator.audience(),
//! );
//! let request = format!(
//!     "POST /oauth/token HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
//!      Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
//!     emulator.address(),
//!     form.len(),
//! );
//! let mut stream = tokio::net::TcpStream::connect(emulator.address()).await?;
//! stream.write_all(request.as_bytes()).await?;
//! let mut response = String::new();
//! stream.read_to_string(&mut response).await?;
//!
//! assert!(response.starts_with("HTTP/1.1 200 OK"));
//! assert!(response.contains("\"access_token\""));
//! assert_eq!(emulator.counts().tokens_issued, 1);
//!
//! emulator.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # What it answers
//!
//! | request | stands for |
//! |---|---|
//! | `POST /oauth/token` | authorization server V1, of the Auth0 family |
//! | `POST /oauth2/token` | authorization server V2, Ory Hydra |
//! | `GET /v2/core/organization` | the API |
//! | `GET /v2/core/consumers` | the API; lists what was posted since the start |
//! | `POST /v2/core/consumers` | the API; takes a JSON object |
//!
//! Each token endpoint reports errors in the dialect of the server it stands
//! for. Both accept the client credentials in the body or by HTTP Basic; or, if
//! a [public key is registered](EmulatorBuilder::client_public_key), nothing but
//! assertions that its private key has signed (`private_key_jwt`). V1
//! grants its fixed scopes and ignores `scope`; V2 wants `data-access:all`,
//! `furnishment:all`, or both, and the guarded API wants `data-access:all` of
//! its tokens. The bodies of the API's good answers are the emulator's own:
//! Bloom's are not at hand.
//!
//! # Faults
//!
//! What goes wrong with real servers can be made to go wrong here: a [`Fault`] has
//! a name, such as `server-error`, `slow-body` or `duplicate-token`, and stands
//! for a row of the project's table of faults. A [`FaultRule`] says where it is
//! played and by which [`Schedule`]; a [`Scenario`] has faults in steps, read from
//! a file. Both are given to the [builder](EmulatorBuilder::fault), or
//! [while it runs](Emulator::set_fault).
//!
//! ```
//! use bloom_auth_emulator::{Emulator, Fault, FaultRule};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let emulator = Emulator::builder()
//!     .plain_http()
//!     // The first two token requests fail, then one in five is slow.
//!     .fault("unavailable:first=2".parse::<FaultRule>()?)
//!     .fault("slow-body:probability=0.2".parse::<FaultRule>()?)
//!     // Every third call of the API is refused.
//!     .fault("api-invalid-token:every=3".parse::<FaultRule>()?)
//!     // The same run every time.
//!     .seed(7)
//!     .start()
//!     .await?;
//!
//! for fault in Fault::all() {
//!     println!("{fault:28} {:4} {}", fault.row(), fault.description());
//! }
//! # drop(emulator);
//! # Ok(())
//! # }
//! ```
//!
//! Requests are met before they are looked at, so a fault needs no good
//! credentials; one that changes a good answer leaves a refusal as it is. After a
//! fault the connection ends.
//!
//! # The admin endpoint
//!
//! For those who have no handle, as in another process, there is an endpoint at
//! the same port if [the builder is told so](EmulatorBuilder::admin). It speaks
//! JSON, whatever content type a request says it has, and answers errors like the
//! API. The lines below go to an emulator with plain HTTP at port 4000, whose
//! [admin token](EmulatorBuilder::admin_token) is in `$ADMIN`.
//!
//! ```sh
//! alias emulator='curl --silent --header "Authorization: Bearer $ADMIN"'
//! base=http://127.0.0.1:4000/_emulator
//!
//! # Every fault that there is, and those that are set, with their counts.
//! emulator $base/faults
//! # One more; clear all, and the scenario with them.
//! emulator $base/faults --data '{"rule": "server-error:next=2"}'
//! emulator $base/faults --request DELETE
//! # A scenario from a file.
//! emulator $base/scenario --data-binary @scenario.toml
//! # What has happened so far.
//! emulator $base/counts
//! # Revoke all tokens; have a new client secret, which is in the answer.
//! emulator $base/revoke --request POST
//! emulator $base/rotate --request POST
//! # How long tokens stand, and how long a token endpoint waits.
//! emulator $base/settings --data '{"token_lifetime_ms": 60000, "latency_ms": 200}'
//! # An hour passes.
//! emulator $base/clock --data '{"advance_ms": 3600000}'
//! ```
//!
//! # What it bounds
//!
//! A body may have 64 KiB (413 beyond). A client may take 10 seconds for its TLS
//! handshake and for a body (408 beyond), and 30 seconds for the head of a
//! request, which is also how long an idle connection is kept. Up to 1024
//! connections are served at a time. A client assertion may stand for five
//! minutes, by a clock that is off by five seconds, and is taken once. The last 1000 consumers are kept, up to
//! 4 MiB of them.
//!
//! # What keeps it harmless
//!
//! It binds 127.0.0.1 and nothing else, makes its certificate authority, its
//! signing key and its client credentials anew at every start, refuses requests
//! with a foreign `Host` (DNS rebinding) or with any `Origin` (a browser), and
//! logs neither secrets nor tokens at any level. There is one `DEBUG` event of the
//! target `bloom_auth_emulator` for each request, with its `method`, `path` and
//! `status`, and the name of the `fault` if one was played. Its tokens name the
//! issuer `https://emulator.bloom-auth.invalid/`, which no real server can be. The
//! admin endpoint is off unless it is asked for, and refuses whom the rest refuses.

#![forbid(unsafe_code)]
// On docs.rs, items say which feature they need.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod admin;
mod api;
mod app;
mod assertion;
mod bearer;
mod body;
mod builder;
mod client_authentication;
mod clock;
mod counts;
mod credentials;
mod emulator;
mod error;
mod fault;
mod faults;
mod form;
mod guard;
mod jws;
mod log;
mod oauth;
mod quota;
mod random;
mod refusal;
mod respond;
mod rule;
mod scenario;
mod server;
mod state;
mod tls;
mod token_endpoint;
mod tokens;
mod wire;

pub use self::{
    builder::EmulatorBuilder,
    counts::Counts,
    emulator::Emulator,
    error::EmulatorError,
    fault::{Endpoint, Fault, FaultError},
    faults::FaultStatus,
    quota::TokenQuota,
    rule::{FaultRule, Schedule},
    scenario::{Scenario, ScenarioError},
};
