//! The reqwest transport against servers that behave, and that do not.

#[cfg(test)]
mod allocations;
#[cfg(test)]
mod answers;
#[cfg(test)]
mod api_server;
#[cfg(test)]
mod authorized;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod framing;
#[cfg(test)]
#[cfg(feature = "middleware")]
mod middleware;
#[cfg(test)]
mod redirects;
#[cfg(test)]
mod suite;
#[cfg(test)]
mod support;
#[cfg(test)]
mod user_agent;

#[cfg(test)]
#[cfg(any(feature = "rustls", feature = "native-tls"))]
mod child;
#[cfg(test)]
#[cfg(any(feature = "rustls", feature = "native-tls"))]
mod conformance_tls;
#[cfg(test)]
#[cfg(any(feature = "rustls", feature = "native-tls"))]
mod environment;
#[cfg(test)]
#[cfg(all(any(feature = "rustls", feature = "native-tls"), target_os = "linux"))]
mod floods;
#[cfg(test)]
#[cfg(any(feature = "rustls", feature = "native-tls"))]
mod fronts;
#[cfg(test)]
#[cfg(all(feature = "http2", any(feature = "rustls", feature = "native-tls")))]
mod http2;
#[cfg(test)]
#[cfg(any(feature = "rustls", feature = "native-tls"))]
mod mutual_tls;
#[cfg(test)]
#[cfg(any(feature = "rustls", feature = "native-tls"))]
mod proxies;
#[cfg(test)]
#[cfg(any(feature = "rustls", feature = "native-tls"))]
mod tls;
#[cfg(test)]
#[cfg(any(feature = "rustls", feature = "native-tls"))]
mod tls_server;
#[cfg(test)]
#[cfg(any(feature = "rustls", feature = "native-tls"))]
mod tokens;
