//! How many token requests of many providers may be under way at once.

use std::{fmt, sync::Arc};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ConfigurationError;

/// How many token requests may be under way at once, for all providers that
/// were built with clones of it.
///
/// A process that keeps tokens for many tenants asks for all of them when it
/// starts. With a limit those requests do not arrive together: the first ones
/// are sent, and the others wait for a place, in the order in which they came.
/// Providers have no limit of their own, and different limits have nothing to
/// do with each other: one for each authorization server is a good choice.
///
/// What is limited is token requests alone. A token that is held or that a
/// cache has is served without a place, and so is a pause before a retry spent
/// without one.
///
/// # How long it is waited for
///
/// Up to the [fetch timeout](crate::TokenProviderBuilder::fetch_timeout), which
/// then starts anew for the token requests. Without a place by then, the fetch
/// fails with an error of kind [`Timeout`](crate::ErrorKind::Timeout), with
/// nothing sent, and is over like any other that failed: a usable token is
/// served on, and the next fetch waits for its time.
///
/// A request gives its place back when it is answered, at the latest at its
/// [attempt timeout](crate::TokenProviderBuilder::attempt_timeout), and when
/// its provider or its runtime is dropped. A runtime that stands still, since
/// nobody drives it, keeps the places of its requests meanwhile.
///
/// # Example
///
/// ```
/// use bloom_auth_core::{
///     AuthVersion, ClientCredentials, ClientId, ClientSecret, Environment, FetchLimit,
///     TokenProvider, TokenProviders,
/// };
/// # #[derive(Clone, Debug)]
/// # struct MyTransport;
/// #
/// # #[async_trait::async_trait]
/// # impl bloom_auth_core::Transport for MyTransport {
/// #     async fn send(
/// #         &self,
/// #         _: http::Request<bloom_auth_core::RequestBody>,
/// #     ) -> Result<
/// #         http::Response<bloom_auth_core::ResponseBody>,
/// #         bloom_auth_core::TransportError,
/// #     > {
/// #         std::future::pending().await
/// #     }
/// # }
/// # let transport = MyTransport;
///
/// let limit = FetchLimit::new(8)?;
/// let providers = TokenProviders::builder(move |tenant: &String| {
///     let secret = ClientSecret::new(format!("{tenant}'s, from a vault"))?;
///     let credentials = ClientCredentials::new(ClientId::new(tenant)?, secret);
///     let environment = Environment::sandbox(AuthVersion::V1);
///     TokenProvider::builder(environment, credentials, transport.clone())
///         .fetch_limit(limit.clone())
///         .build()
/// })
/// .build()?;
/// # Ok::<(), bloom_auth_core::ConfigurationError>(())
/// ```
#[derive(Clone)]
pub struct FetchLimit {
    places: Arc<Semaphore>,
    max: usize,
}

impl FetchLimit {
    /// A limit of so many token requests at once.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`] if it is 0: no token could ever be fetched.
    pub fn new(max: usize) -> Result<Self, ConfigurationError> {
        if max == 0 {
            return Err(ConfigurationError::new(
                "fetch limit",
                "is 0",
                "allow at least one token request at a time",
            ));
        }
        // More than a semaphore can count is as good as no limit.
        let max = max.min(Semaphore::MAX_PERMITS);
        let places = Arc::new(Semaphore::new(max));
        Ok(Self { places, max })
    }

    /// Waits for a place, behind those who wait already.
    ///
    /// Dropping the future gives the turn to the next one.
    pub(super) async fn place(&self) -> Place {
        // It is never closed, which would be the one way to fail.
        Place(Arc::clone(&self.places).acquire_owned().await.ok())
    }
}

impl fmt::Debug for FetchLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let taken = self.max.saturating_sub(self.places.available_permits());
        write!(f, "FetchLimit({taken} of {})", self.max)
    }
}

/// The right to have a token request under way; free again when dropped.
pub(super) struct Place(
    #[expect(dead_code, reason = "it counts for as long as it exists")]
    Option<OwnedSemaphorePermit>,
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k14_a_limit_that_cannot_work_is_refused() {
        let error = FetchLimit::new(0).unwrap_err();
        assert_eq!(error.setting(), "fetch limit");
        assert!(FetchLimit::new(1).is_ok());
        let most = FetchLimit::new(usize::MAX).unwrap();
        assert_eq!(most.places.available_permits(), Semaphore::MAX_PERMITS);
    }
}
