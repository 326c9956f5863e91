//! How bytes reach the token endpoint: the one trait that an HTTP client has
//! to implement.

use std::{error::Error as StdError, fmt, sync::Arc};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use zeroize::Zeroizing;

use crate::protocol::ResponseError;

/// A token response is cut off at this size.
pub const MAX_BODY_BYTES: usize = 256 * 1024;

/// Sends one HTTP request and returns its answer. It moves bytes and knows
/// nothing of OAuth: reading, limits, retries and the judgement of errors are
/// the engine's.
///
/// # Contract
///
/// - The request is sent as it is: method, URI, headers and body. Headers that
///   the HTTP version needs (`host`, `content-length`) and `user-agent` may be
///   added; `accept-encoding` may not.
/// - Redirects are not followed: they would carry the secret elsewhere.
/// - Every status is an answer, not an error. An answer that ends before its
///   announced length is an error of kind
///   [`Interrupted`](TransportErrorKind::Interrupted).
/// - The body is read through [`ResponseBody::push`], which ends it at
///   [`MAX_BODY_BYTES`].
/// - `localhost` means this machine: it is not looked up.
/// - Nothing is retried, and no credentials are added from the environment.
/// - Errors hold no URL and no body.
///
/// `test_util::transport_suite` (feature `test-util`) checks all of it.
///
/// # Cancellation
///
/// The engine drops the future when its time is up. Whatever it holds must
/// then be released.
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync {
    /// Sends the request and reads the whole answer.
    ///
    /// # Errors
    ///
    /// [`TransportError`] if there is no whole answer; its kind decides
    /// whether the engine tries again.
    async fn send(
        &self,
        request: Request<RequestBody>,
    ) -> Result<Response<ResponseBody>, TransportError>;
}

#[async_trait]
impl<T: Transport + ?Sized> Transport for Arc<T> {
    async fn send(
        &self,
        request: Request<RequestBody>,
    ) -> Result<Response<ResponseBody>, TransportError> {
        (**self).send(request).await
    }
}

/// The body of a token request, which holds the client secret: never printed,
/// zeroized when the last clone is dropped.
#[derive(Clone, Default)]
pub struct RequestBody(Bytes);

impl RequestBody {
    /// The bytes, for the HTTP client that sends them.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// The bytes, to look at.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// A body that is zeroized with its last clone.
    pub(crate) fn zeroizing(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(Bytes::from_owner(bytes))
    }
}

impl From<Bytes> for RequestBody {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestBody({} bytes)", self.0.len())
    }
}

/// The body of an answer, collected within [`MAX_BODY_BYTES`].
///
/// # Example
///
/// ```
/// use bloom_auth_core::ResponseBody;
///
/// let mut body = ResponseBody::new();
/// body.push(b"{}")?;
/// assert!(body.push(&vec![b' '; 256 * 1024]).is_err());
/// # Ok::<(), bloom_auth_core::TransportError>(())
/// ```
#[derive(Default)]
pub struct ResponseBody(BytesMut);

impl ResponseBody {
    /// An empty body.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends what was read.
    ///
    /// # Errors
    ///
    /// [`TransportErrorKind::BodyTooLarge`] if it would be too much; stop
    /// reading and return the error.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), TransportError> {
        if self.0.len().saturating_add(bytes.len()) > MAX_BODY_BYTES {
            return Err(TransportErrorKind::BodyTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    /// The bytes, unless somebody let in too many.
    pub(crate) fn within_limit(&self) -> Result<&[u8], ResponseError> {
        if self.0.len() > MAX_BODY_BYTES {
            return Err(ResponseError::TooLarge {
                limit: MAX_BODY_BYTES,
            });
        }
        Ok(&self.0)
    }
}

/// Takes a body that is in memory already; its size is checked when it is
/// read.
impl From<Bytes> for ResponseBody {
    fn from(bytes: Bytes) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResponseBody({} bytes)", self.0.len())
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[error("{}", kind.what())]
pub struct TransportError {
    kind: TransportErrorKind,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl TransportError {
    /// An error of this kind with its cause. The cause's text must hold no
    /// URL, header or body.
    #[must_use]
    pub fn new(
        kind: TransportErrorKind,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            source: Some(source.into()),
        }
    }

    /// What kind of fault it is.
    #[must_use]
    pub fn kind(&self) -> TransportErrorKind {
        self.kind
    }
}

impl From<TransportErrorKind> for TransportError {
    fn from(kind: TransportErrorKind) -> Self {
        Self { kind, source: None }
    }
}

/// The kinds of [`TransportError`]. What a transport cannot tell is
/// [`Interrupted`](Self::Interrupted): it is then tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransportErrorKind {
    /// No connection: a refused port, a name that does not resolve. Tried
    /// again.
    Connect,
    /// The TLS handshake failed. Not tried again within a fetch.
    Tls,
    /// A proxy would not open a way to the server: it wants a password, forbids
    /// it, or answered with a page of its own. Not tried again within a fetch.
    Proxy,
    /// The transport's own time limit. Tried again.
    Timeout,
    /// The connection broke before the answer was whole, or anything else.
    /// Tried again.
    Interrupted,
    /// The answer is larger than [`MAX_BODY_BYTES`]. Not tried again within a
    /// fetch.
    BodyTooLarge,
    /// The transport cannot work as it is set up. Not tried again within a
    /// fetch.
    Configuration,
}

impl TransportErrorKind {
    fn what(self) -> &'static str {
        match self {
            Self::Connect => "the connection could not be opened",
            Self::Tls => "the TLS handshake failed",
            Self::Proxy => "the proxy did not let the request through",
            Self::Timeout => "the transport's time limit passed",
            Self::Interrupted => "the exchange broke off",
            Self::BodyTooLarge => "the answer is too large",
            Self::Configuration => "the transport cannot work as it is set up",
        }
    }
}
