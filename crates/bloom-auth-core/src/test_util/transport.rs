//! A transport that plays a script in the place of a server.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};

use crate::transport::{RequestBody, ResponseBody, Transport, TransportError, TransportErrorKind};

/// Answers each request with the next reply of its script; the last one is
/// repeated. Clones play the same script.
#[derive(Clone, Default)]
pub struct ScriptedTransport(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    replies: VecDeque<Reply>,
    requests: Vec<SentRequest>,
}

/// A request as it was sent.
#[derive(Clone)]
#[non_exhaustive]
pub struct SentRequest {
    /// The method.
    pub method: Method,
    /// The whole URI.
    pub uri: Uri,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl ScriptedTransport {
    /// A transport with this script. With an empty one, no connection opens.
    pub fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        let transport = Self::default();
        transport.script().replies.extend(replies);
        transport
    }

    /// Puts a reply at the end of the script; the one that was last is not
    /// repeated any more.
    pub fn push(&self, reply: Reply) {
        self.script().replies.push_back(reply);
    }

    /// The requests so far. One is counted when it is sent, whatever becomes
    /// of it.
    #[must_use]
    pub fn requests(&self) -> Vec<SentRequest> {
        self.script().requests.clone()
    }

    /// How many requests there have been.
    #[must_use]
    pub fn request_count(&self) -> usize {
        self.script().requests.len()
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ScriptedTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScriptedTransport({} requests)", self.request_count())
    }
}

impl fmt::Debug for SentRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SentRequest({} {})", self.method, self.uri)
    }
}

#[async_trait]
impl Transport for ScriptedTransport {
    async fn send(
        &self,
        request: Request<RequestBody>,
    ) -> Result<Response<ResponseBody>, TransportError> {
        let (parts, body) = request.into_parts();
        let reply = {
            let mut script = self.script();
            script.requests.push(SentRequest {
                method: parts.method,
                uri: parts.uri,
                headers: parts.headers,
                body: body.into_bytes(),
            });
            match script.replies.len() {
                0 | 1 => script.replies.front().cloned(),
                _ => script.replies.pop_front(),
            }
        };
        let reply = reply.unwrap_or_else(|| Reply::failure(TransportErrorKind::Connect));
        if let Some(delay) = reply.delay {
            tokio::time::sleep(delay).await;
        }
        match reply.what {
            What::Answer(status, headers, body) => {
                let mut response = Response::new(ResponseBody::from(body));
                *response.status_mut() = status;
                *response.headers_mut() = headers;
                Ok(response)
            }
            What::Failure(kind) => Err(kind.into()),
            What::Never => std::future::pending().await,
            #[expect(clippy::panic, reason = "what is asked for")]
            What::Panic => panic!("the script says so"),
        }
    }
}

/// What a [`ScriptedTransport`] does with one request.
#[derive(Clone, Debug)]
pub struct Reply {
    what: What,
    delay: Option<Duration>,
}

#[derive(Clone, Debug)]
enum What {
    Answer(StatusCode, HeaderMap, Bytes),
    Failure(TransportErrorKind),
    Never,
    Panic,
}

impl Reply {
    /// An answer with this status and body.
    #[must_use]
    pub fn answer(status: StatusCode, body: impl Into<Bytes>) -> Self {
        What::Answer(status, HeaderMap::new(), body.into()).into()
    }

    /// A token response with this token and lifetime in seconds.
    #[must_use]
    pub fn token(token: &str, expires_in: u64) -> Self {
        let body = serde_json::json!({
            "access_token": token,
            "expires_in": expires_in,
            "token_type": "Bearer",
        });
        Self::answer(StatusCode::OK, body.to_string())
    }

    /// An error response (RFC 6749, section 5.2) with this code.
    #[must_use]
    pub fn error(status: StatusCode, code: &str) -> Self {
        let body = serde_json::json!({ "error": code });
        Self::answer(status, body.to_string())
    }

    /// No answer: this error.
    #[must_use]
    pub fn failure(kind: TransportErrorKind) -> Self {
        What::Failure(kind).into()
    }

    /// No answer, ever.
    #[must_use]
    pub fn never() -> Self {
        What::Never.into()
    }

    /// A transport with a bug: it panics.
    #[must_use]
    pub fn panic() -> Self {
        What::Panic.into()
    }

    /// The same, after this time.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// The same with this header; of an answer only.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: &'static str) -> Self {
        if let What::Answer(_, headers, _) = &mut self.what {
            headers.append(name, HeaderValue::from_static(value));
        }
        self
    }
}

impl From<What> for Reply {
    fn from(what: What) -> Self {
        Self { what, delay: None }
    }
}
