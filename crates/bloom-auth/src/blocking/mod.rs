//! Access tokens for programs without an async runtime.
//!
//! [`BloomAuth`] has the calls for tokens of the [async one](crate::BloomAuth),
//! and they return when there is a result. Build one at the start of the program, and
//! give a clone of it to each thread:
//!
//! ```no_run
//! use bloom_auth::blocking::BloomAuth;
//!
//! let auth = BloomAuth::from_env()?; // once, at the start
//! let header = auth.authorization()?; // at every request
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What the environment cannot say goes through the
//! [builder](crate::BloomAuth::builder):
//!
//! ```
//! use bloom_auth::{BloomAuth, ClientId, ClientSecret};
//!
//! let auth = BloomAuth::builder()
//!     .client(ClientId::new("my-program")?, ClientSecret::new("from a vault".to_owned())?)
//!     .build()?
//!     .blocking();
//! # Ok::<(), bloom_auth::ConfigurationError>(())
//! ```
//!
//! # One engine
//!
//! It is the same provider as behind the async one that it was made from: what
//! one of them has fetched the other one has too, and while a fetch is under way
//! all wait for that one, threads and tasks alike. All that
//! [`TokenProvider`] promises holds here as well.
//!
//! # The thread
//!
//! Fetches are made on one thread with the name `bloom-auth`, which a
//! [`BloomAuth`] shares with its clones. The first call that finds no fresh token
//! starts it; nothing is started before. When the last clone is dropped, it is
//! told to stop, and nobody waits until it has. An async caller who was waiting
//! for its fetch then makes one of its own.
//!
//! A call that finds a fresh token reads it, and has nothing to do with the
//! thread. One that finds a token that is due for a refresh returns that, and
//! leaves the refresh to the thread.
//!
//! A process that was made by a fork has a copy of everything but the thread, so
//! its first call that finds no fresh token starts one of its own; see also what
//! `FileCache` says of forks. Fork while no other thread is in a call, and no
//! fetch is under way: what is locked at that moment stays so in the child.
//!
//! # Inside a runtime
//!
//! A thread that waits does not drive the tasks that it should, and among them
//! may be what it waits for. So inside a tokio runtime, `spawn_blocking`
//! included, [`token`](BloomAuth::token),
//! [`authorization`](BloomAuth::authorization) and
//! [`refresh`](BloomAuth::refresh) return an error at once, whatever is held: in
//! the first test, and not only when a token has expired.
//!
//! Wrong:
//!
//! ```
//! # use bloom_auth::{BloomAuth, ClientId, ClientSecret};
//! # let (id, secret) = (ClientId::new("id")?, ClientSecret::new("secret".to_owned())?);
//! # let auth = BloomAuth::builder().client(id, secret).build()?.blocking();
//! use bloom_auth::ErrorKind;
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
//! # runtime.block_on(async {
//! let error = auth.token().unwrap_err(); // in an `async fn`
//! assert_eq!(error.kind(), ErrorKind::BlockingInRuntime);
//! # });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Right:
//!
//! ```no_run
//! # async fn run(auth: bloom_auth::blocking::BloomAuth) -> Result<(), bloom_auth::Error> {
//! let token = auth.as_async().token().await?;
//! # Ok(())
//! # }
//! ```
//!
//! And in `spawn_blocking`, where nothing can be awaited:
//!
//! ```no_run
//! # fn run(auth: bloom_auth::BloomAuth) -> Result<(), bloom_auth::Error> {
//! let token = tokio::runtime::Handle::current().block_on(auth.token())?;
//! # Ok(())
//! # }
//! ```
//!
//! Other async runtimes cannot be told from here: in their tasks, use the async
//! one too.
//!
//! # Without a runtime
//!
//! Wrong: a runtime for each call. It costs more than the call, and ends with
//! it, and so does the refresh that the call has started, so that sooner or
//! later every caller waits.
//!
//! ```no_run
//! # fn run(auth: bloom_auth::BloomAuth) -> Result<(), Box<dyn std::error::Error>> {
//! let token = tokio::runtime::Runtime::new()?.block_on(auth.token())?;
//! # Ok(())
//! # }
//! ```
//!
//! Wrong, too: a blocking handle for each call, for each has a thread of its
//! own. Right: one, and its clones.
//!
//! ```no_run
//! # fn run(auth: bloom_auth::BloomAuth) -> Result<(), bloom_auth::Error> {
//! let auth = auth.blocking(); // once
//! let token = auth.token()?; // here, and in any thread with a clone
//! # Ok(())
//! # }
//! ```

mod thread;

use std::{ffi::OsString, fmt, sync::Arc};

use bloom_auth_core::{
    AccessToken, ConfigurationError, Environment, Error, ErrorKind, Rejection, Status,
    TokenProvider,
};
use http::HeaderValue;
use tokio::runtime::Handle;

use self::thread::Driver;

/// Always has a valid access token for Bloom's API, for programs without an
/// async runtime.
///
/// Clones share everything, the [thread](self#the-thread) too.
///
/// # Example
///
/// ```no_run
/// use bloom_auth::blocking::BloomAuth;
///
/// let auth = BloomAuth::from_env()?;
/// let token = auth.token()?;
/// let response = ureq::get(auth.environment().url_of("/v2/core/organization"))
///     .config()
///     .http_status_as_error(false)
///     .build()
///     .header("authorization", token.authorization())
///     .call()?;
/// if response.status() == 401 {
///     auth.reject(&token); // the next call gets another
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct BloomAuth {
    auth: crate::BloomAuth,
    driver: Arc<Driver>,
}

impl BloomAuth {
    /// Reads the settings from the environment; see [the crate's
    /// page](crate#settings) for the variables.
    ///
    /// # Errors
    ///
    /// As [`crate::BloomAuth::from_env`].
    pub fn from_env() -> Result<Self, ConfigurationError> {
        crate::BloomAuth::from_env().map(Self::from)
    }

    /// As [`from_env`](Self::from_env), with a look-up of one's own in the
    /// place of the process's environment.
    ///
    /// # Errors
    ///
    /// As [`from_env`](Self::from_env).
    pub fn from_lookup(
        lookup: impl Fn(&str) -> Option<OsString> + Send + Sync + 'static,
    ) -> Result<Self, ConfigurationError> {
        crate::BloomAuth::from_lookup(lookup).map(Self::from)
    }

    /// The current access token; fetched if there is none, which is waited for.
    ///
    /// The wait is over within the provider's
    /// [time limits](crate::core::TokenProviderBuilder::fetch_timeout).
    ///
    /// # Errors
    ///
    /// As [`TokenProvider::token`]; of kind
    /// [`BlockingInRuntime`](ErrorKind::BlockingInRuntime) in a tokio
    /// runtime, and of kind [`BlockingThread`](ErrorKind::BlockingThread)
    /// if the thread could not be started.
    pub fn token(&self) -> Result<AccessToken, Error> {
        outside_of_runtimes()?;
        if let Some(token) = self.auth.provider().fresh_token() {
            return Ok(token);
        }
        self.driver.run(self.auth.token())
    }

    /// The value for the `Authorization` header, marked sensitive; a token is
    /// fetched if there is none.
    ///
    /// # Errors
    ///
    /// As [`token`](Self::token).
    pub fn authorization(&self) -> Result<HeaderValue, Error> {
        self.token().map(|token| token.authorization())
    }

    /// The header's value if a usable token is held, without waiting.
    ///
    /// If a fetch is due, the thread makes it, so that a later call finds a
    /// token. Unlike the others this call may be made in a tokio runtime, which
    /// then makes the fetch.
    #[must_use]
    pub fn try_authorization(&self) -> Option<HeaderValue> {
        if let Some(token) = self.auth.provider().fresh_token() {
            return Some(token.authorization());
        }
        let handle = outside_of_runtimes().and_then(|()| self.driver.handle());
        // Without a thread, what is held is better than nothing.
        let _entered = handle.as_ref().ok().map(Handle::enter);
        self.auth.try_authorization()
    }

    /// Says that the API refused this token; see [`TokenProvider::reject`].
    #[expect(
        clippy::must_use_candidate,
        reason = "it acts; the result is for the curious"
    )]
    pub fn reject(&self, token: &AccessToken) -> Rejection {
        self.auth.reject(token)
    }

    /// Fetches a new token now, whatever is held, and waits for it; see
    /// [`TokenProvider::refresh`].
    ///
    /// # Errors
    ///
    /// As [`token`](Self::token); also while the provider holds back after a
    /// failure.
    pub fn refresh(&self) -> Result<AccessToken, Error> {
        outside_of_runtimes()?;
        self.driver.run(self.auth.refresh())
    }

    /// What is held and has been done; see [`TokenProvider::status`].
    #[must_use]
    pub fn status(&self) -> Status {
        self.auth.status()
    }

    /// Where the tokens come from and which API they are for.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        self.auth.environment()
    }

    /// The async one, on the same provider: for tasks of a runtime.
    #[must_use]
    pub fn as_async(&self) -> &crate::BloomAuth {
        &self.auth
    }
}

/// Shares the provider, and has a thread of its own.
impl From<crate::BloomAuth> for BloomAuth {
    fn from(auth: crate::BloomAuth) -> Self {
        let driver = Arc::new(Driver::default());
        Self { auth, driver }
    }
}

/// For a provider that was built by hand or is one of
/// [`TokenProviders`](crate::TokenProviders); shares it, and has a thread of its
/// own. [`api`](crate::BloomAuth::api) of [`as_async`](BloomAuth::as_async) has
/// the defaults of [`AuthorizedClient`](crate::AuthorizedClient), as nothing is
/// known of the provider's transport.
impl From<TokenProvider> for BloomAuth {
    fn from(provider: TokenProvider) -> Self {
        crate::BloomAuth::on(provider).into()
    }
}

impl fmt::Debug for BloomAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("blocking::BloomAuth")
            .field(self.auth.provider())
            .finish()
    }
}

/// To wait in a runtime is to hold up what one waits for.
fn outside_of_runtimes() -> Result<(), Error> {
    match Handle::try_current() {
        Ok(_) => Err(ErrorKind::BlockingInRuntime.into()),
        Err(error) if error.is_missing_context() => Ok(()),
        // In the drop of a thread-local value, after tokio's own.
        Err(_) => {
            let ending = "the calling thread is ending";
            Err(Error::with_source(ErrorKind::BlockingThread, ending))
        }
    }
}
