//! What goes wrong, said in kinds that code can match and words that people
//! can act on.

use std::{borrow::Cow, error::Error as StdError, fmt, sync::Arc, time::Duration};

/// A setting that cannot work, found when something is built.
///
/// The text names the setting, its fault and the fix; never a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} {problem}: {fix}")]
pub struct ConfigurationError {
    setting: Cow<'static, str>,
    problem: Cow<'static, str>,
    fix: Cow<'static, str>,
}

impl ConfigurationError {
    /// Says which setting is wrong (a noun), what is wrong with it (a verb
    /// phrase), and what to do about it.
    #[must_use]
    pub fn new(
        setting: impl Into<Cow<'static, str>>,
        problem: impl Into<Cow<'static, str>>,
        fix: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            setting: setting.into(),
            problem: problem.into(),
            fix: fix.into(),
        }
    }

    /// The setting at fault.
    #[must_use]
    pub fn setting(&self) -> &str {
        &self.setting
    }

    /// The same fault under the name by which the user set it, such as that
    /// of an environment variable.
    #[must_use]
    pub fn for_setting(self, setting: impl Into<Cow<'static, str>>) -> Self {
        Self {
            setting: setting.into(),
            ..self
        }
    }
}

/// An error with all its sources, in one line.
///
/// ```
/// use bloom_auth_core::{ConfigurationError, Error, chain};
///
/// let error = Error::from(ConfigurationError::new("token URL", "is plain http", "use https"));
/// assert_eq!(
///     chain(&error),
///     "bloom-auth is set up in a way that cannot work: token URL is plain http: use https",
/// );
/// ```
#[must_use]
pub fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text += ": ";
        text += &error.to_string();
        source = error.source();
    }
    text
}

/// Why there is no access token.
///
/// Cheap to clone: everyone who waited for a fetch gets the same error. The
/// text never holds a response body, a secret or a token, and a source is
/// never repeated in the text of the error above it, so a whole
/// [chain](crate::chain) can be printed.
#[derive(Clone)]
pub struct Error {
    inner: Arc<Inner>,
    retry_after: Option<Duration>,
}

struct Inner {
    kind: ErrorKind,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind) -> Self {
        let inner = Arc::new(Inner { kind, source: None });
        Self {
            inner,
            retry_after: None,
        }
    }

    /// An error of this kind, with what it came from.
    ///
    /// The provider makes its errors itself; this is for what is built on it,
    /// and for tests. The source is printed with the error wherever that is, so
    /// it must hold no secret, token or response body.
    pub fn with_source(
        kind: ErrorKind,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        let source = Some(source.into());
        Self {
            inner: Arc::new(Inner { kind, source }),
            retry_after: None,
        }
    }

    /// The same error with the time after which trying again can help.
    pub(crate) fn after(&self, retry_after: Duration) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            retry_after: Some(retry_after),
        }
    }

    /// What kind of fault it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// How long the provider will answer with this error before it asks the
    /// authorization server again.
    ///
    /// Calls until then fail at once and cost no token request. After a refusal
    /// the credentials source is asked now and then, and changed credentials
    /// are tried at once.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// What makes it work again.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match self.kind() {
            ErrorKind::Configuration | ErrorKind::Proxy => Recovery::FixConfiguration,
            ErrorKind::Credentials | ErrorKind::ClientRefused => Recovery::FixCredentials,
            ErrorKind::RequestRefused => Recovery::FixRequest,
            ErrorKind::Runtime | ErrorKind::BlockingInRuntime => Recovery::FixProgram,
            ErrorKind::RateLimited
            | ErrorKind::Server
            | ErrorKind::Connect
            | ErrorKind::Tls
            | ErrorKind::Timeout
            | ErrorKind::Interrupted
            | ErrorKind::Response
            | ErrorKind::BudgetExhausted
            | ErrorKind::ExpiredOnArrival
            | ErrorKind::BlockingThread
            | ErrorKind::Internal => Recovery::Retry {
                after: self.retry_after.unwrap_or_default(),
            },
        }
    }

    /// Whether two errors are the one error of the same fetch.
    #[must_use]
    pub fn same_fetch(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.inner.kind)
            .field("retry_after", &self.retry_after)
            .field("source", &self.inner.source)
            .finish()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.inner.kind.what())?;
        if let Some(after) = self.retry_after {
            let seconds = after.as_secs_f64();
            write!(f, " (next try in {seconds:.1} s)")?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let source = self.inner.source.as_deref()?;
        Some(source)
    }
}

impl From<ConfigurationError> for Error {
    fn from(error: ConfigurationError) -> Self {
        Self::with_source(ErrorKind::Configuration, error)
    }
}

/// An error of this kind, without a source.
///
/// ```
/// use bloom_auth_core::{Error, ErrorKind, Recovery};
///
/// /// What a service of yours does without a token.
/// fn is_worth_a_retry(error: &Error) -> bool {
///     matches!(error.recovery(), Recovery::Retry { .. })
/// }
///
/// assert!(is_worth_a_retry(&ErrorKind::Connect.into()));
/// assert!(!is_worth_a_retry(&ErrorKind::ClientRefused.into()));
/// ```
impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self::new(kind)
    }
}

/// The kinds of [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting is wrong: a URL, a path, a transport that cannot be built, a
    /// token endpoint that redirects.
    Configuration,
    /// The credentials source had no credentials to give, or their signer did
    /// not sign.
    Credentials,
    /// The authorization server refused the client, its secret or its assertion
    /// (`invalid_client`, `unauthorized_client`, or a plain 401).
    ClientRefused,
    /// The authorization server refused what was asked for: scope, audience,
    /// parameters.
    RequestRefused,
    /// The authorization server asked to slow down (429).
    RateLimited,
    /// The authorization server is in trouble (5xx).
    Server,
    /// No connection to the authorization server.
    Connect,
    /// TLS failed, most often because the server's certificate is not trusted.
    Tls,
    /// A proxy stands before the authorization server and would not open a
    /// way to it.
    Proxy,
    /// No answer in time.
    Timeout,
    /// The connection broke, or failed in a way that the transport could not
    /// name.
    Interrupted,
    /// The answer is not a token response: not JSON, too large, a field
    /// missing or twice, a token that cannot be a header.
    Response,
    /// The [token budget](crate::TokenBudget) is used up, and nothing was
    /// asked.
    BudgetExhausted,
    /// The token arrived with no lifetime left.
    ExpiredOnArrival,
    /// The call was made outside a tokio runtime and no token is at hand.
    Runtime,
    /// A blocking call was made inside a tokio runtime, which it would hold up.
    BlockingInRuntime,
    /// The thread that fetches for blocking calls could not be started.
    BlockingThread,
    /// A transport, a credentials source or a signer panicked.
    Internal,
}

impl ErrorKind {
    /// Says it to a person, with what to do where it is not "try again".
    fn what(self) -> &'static str {
        match self {
            Self::Configuration => "bloom-auth is set up in a way that cannot work",
            Self::Credentials => "no client credentials to ask for an access token with",
            Self::ClientRefused => {
                "the authorization server refused the client: check client id, client secret \
                 or private key (and with a key, this machine's clock), client authentication \
                 method and environment (Sandbox and Production have credentials of their own)"
            }
            Self::RequestRefused => {
                "the authorization server refused the token request: check token URL, audience \
                 and scope"
            }
            Self::RateLimited => "the authorization server asked to slow down",
            Self::Server => "the authorization server is in trouble",
            Self::Connect => "no connection to the authorization server",
            Self::Tls => {
                "the TLS handshake with the authorization server failed: check its host name and \
                 the trusted root certificates"
            }
            Self::Proxy => {
                "the proxy did not let the token request through: check the proxy's address, user \
                 and password (`HTTPS_PROXY`, `ALL_PROXY`), whether it may open the authorization \
                 server, and whether this host needs it at all (`NO_PROXY`)"
            }
            Self::Timeout => "the authorization server did not answer in time",
            Self::Interrupted => "the connection to the authorization server broke",
            Self::Response => "the authorization server's answer is not a token response",
            Self::BudgetExhausted => {
                "the token budget is used up, so the authorization server was not asked: look for \
                 what fetches so many tokens"
            }
            Self::ExpiredOnArrival => "the access token arrived already expired",
            Self::Runtime => {
                "an access token must be fetched, and this thread is in no tokio runtime: call it \
                 from async code that tokio drives"
            }
            Self::BlockingInRuntime => {
                "a blocking call was made inside a tokio runtime, which it would hold up: call the \
                 same method of the async `BloomAuth` there, and await it (`as_async` of the \
                 blocking one leads to it)"
            }
            Self::BlockingThread => {
                "the thread that fetches access tokens for blocking calls could not be started"
            }
            Self::Internal => "a part of the token provider panicked: see the panic message",
        }
    }
}

/// What makes an [`Error`] go away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recovery {
    /// Trying again after this time; no person is needed.
    Retry {
        /// How long calls will fail at once; zero means that the next call
        /// may ask again.
        after: Duration,
    },
    /// Somebody must correct the client id or secret. A changed secret in a
    /// file or environment source is picked up without a restart.
    FixCredentials,
    /// Somebody must correct audience, scope or parameters.
    FixRequest,
    /// Somebody must correct a setting.
    FixConfiguration,
    /// The program calls it from where it cannot work.
    FixProgram,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_says_each_thing_once() {
        let error = Error::from(ConfigurationError::new(
            "token URL",
            "is plain http",
            "use https",
        ));
        assert_eq!(
            error.to_string(),
            "bloom-auth is set up in a way that cannot work"
        );
        let source = error.source().unwrap();
        assert_eq!(source.to_string(), "token URL is plain http: use https");
        assert!(source.source().is_none());
    }

    #[test]
    fn a_kind_alone_is_an_error_too() {
        let error = Error::from(ErrorKind::BlockingInRuntime);
        assert_eq!(error.kind(), ErrorKind::BlockingInRuntime);
        assert_eq!(error.recovery(), Recovery::FixProgram);
        assert!(error.source().is_none() && error.retry_after().is_none());
        // No two are of one fetch.
        assert!(!error.same_fetch(&ErrorKind::BlockingInRuntime.into()));
    }

    #[test]
    fn every_kind_says_what_it_is_and_what_helps() {
        use ErrorKind as Kind;
        let again = Recovery::Retry {
            after: Duration::ZERO,
        };
        let mut texts = std::collections::BTreeSet::new();
        for (kind, recovery) in [
            (Kind::Configuration, Recovery::FixConfiguration),
            (Kind::Proxy, Recovery::FixConfiguration),
            (Kind::Credentials, Recovery::FixCredentials),
            (Kind::ClientRefused, Recovery::FixCredentials),
            (Kind::RequestRefused, Recovery::FixRequest),
            (Kind::Runtime, Recovery::FixProgram),
            (Kind::BlockingInRuntime, Recovery::FixProgram),
            (Kind::RateLimited, again),
            (Kind::Server, again),
            (Kind::Connect, again),
            (Kind::Tls, again),
            (Kind::Timeout, again),
            (Kind::Interrupted, again),
            (Kind::Response, again),
            (Kind::BudgetExhausted, again),
            (Kind::ExpiredOnArrival, again),
            (Kind::BlockingThread, again),
            (Kind::Internal, again),
        ] {
            let error = Error::from(kind);
            assert_eq!((error.kind(), error.recovery()), (kind, recovery));
            let text = error.to_string();
            assert!(text.len() > 20, "{text}");
            assert!(texts.insert(text), "{kind:?} says what another one does");
        }
    }

    #[test]
    fn clones_are_the_same_fetch_and_times_differ() {
        let error = Error::new(ErrorKind::Server);
        let later = error.after(Duration::from_millis(1500));
        assert!(error.same_fetch(&later));
        assert!(!error.same_fetch(&Error::new(ErrorKind::Server)));
        assert_eq!(
            later.recovery(),
            Recovery::Retry {
                after: Duration::from_millis(1500)
            }
        );
        assert_eq!(
            later.to_string(),
            "the authorization server is in trouble (next try in 1.5 s)"
        );
    }
}
