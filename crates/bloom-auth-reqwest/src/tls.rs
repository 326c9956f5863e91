//! How TLS is done: by which library, whom to trust, and who we are.

#[cfg(any(feature = "rustls", feature = "native-tls"))]
mod client_certificate;
#[cfg(any(feature = "rustls", feature = "native-tls"))]
mod roots;
#[cfg(any(feature = "rustls", feature = "native-tls"))]
mod with;
#[cfg(not(any(feature = "rustls", feature = "native-tls")))]
mod without;

#[cfg(any(feature = "rustls", feature = "native-tls"))]
pub(crate) use with::Tls;
#[cfg(not(any(feature = "rustls", feature = "native-tls")))]
pub(crate) use without::Tls;

/// Whether this build can do TLS at all.
pub(crate) const IS_BUILT_IN: bool = cfg!(any(feature = "rustls", feature = "native-tls"));

/// What to do about a build that cannot.
pub(crate) const HOW_TO_BUILD_IT_IN: &str = "build with the feature `rustls` or `native-tls`";
