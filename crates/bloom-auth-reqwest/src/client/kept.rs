//! [`Kept`]: a request as it was before it was sent, to send it again.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use http_body::Body as _;
use reqwest::{Body, Request, Url};
use smallvec::SmallVec;

use crate::url::is_same;

/// What a request consists of, kept aside while it is sent.
///
/// It is nearly always thrown away, so it costs no allocation for requests of
/// a usual size: text and headers are kept in place, and the body is shared.
pub(super) struct Kept {
    method: Method,
    url: SmallVec<[u8; 128]>,
    headers: SmallVec<[(HeaderName, HeaderValue); 4]>,
    body: KeptBody,
    version: Version,
    timeout: Option<Duration>,
}

enum KeptBody {
    None,
    Bytes(Bytes),
    /// It can be sent only once.
    Stream,
}

impl Kept {
    /// Looks at a request that is going to be sent.
    pub(super) fn of(request: &mut Request) -> Self {
        let body = keep_body(request.body_mut());
        let headers = request.headers().iter();
        Self {
            method: request.method().clone(),
            url: SmallVec::from_slice(request.url().as_str().as_bytes()),
            headers: headers
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            body,
            version: request.version(),
            timeout: request.timeout().copied(),
        }
    }

    /// Whether its body can be sent more than once.
    pub(super) fn is_whole(&self) -> bool {
        !matches!(self.body, KeptBody::Stream)
    }

    pub(super) fn method(&self) -> &Method {
        &self.method
    }

    pub(super) fn url(&self) -> Option<Url> {
        // It was made from a URL, so neither can fail.
        Url::parse(std::str::from_utf8(&self.url).ok()?).ok()
    }

    /// Whether this is the URL that it was for.
    pub(super) fn is_for(&self, url: &Url) -> bool {
        std::str::from_utf8(&self.url).is_ok_and(|kept| is_same(kept, url.as_str()))
    }

    /// The request anew; `None` if its body is gone.
    pub(super) fn request(&self) -> Option<Request> {
        self.request_to(self.method.clone(), self.url()?, true)
    }

    /// The request for another URL, with or without its body; `None` if the
    /// body is wanted, and gone.
    pub(super) fn request_to(&self, method: Method, url: Url, with_body: bool) -> Option<Request> {
        let mut request = Request::new(method, url);
        *request.headers_mut() = self.headers.iter().cloned().collect::<Headers>().0;
        *request.version_mut() = self.version;
        *request.timeout_mut() = self.timeout;
        match &self.body {
            KeptBody::Bytes(bytes) if with_body => {
                *request.body_mut() = Some(Body::from(bytes.clone()));
            }
            KeptBody::Stream if with_body => return None,
            _ => {}
        }
        Some(request)
    }
}

/// Collects what may have a name more than once.
struct Headers(HeaderMap);

impl FromIterator<(HeaderName, HeaderValue)> for Headers {
    fn from_iter<T: IntoIterator<Item = (HeaderName, HeaderValue)>>(pairs: T) -> Self {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, value);
        }
        Self(headers)
    }
}

/// Shares the bytes of a body that is in memory. reqwest shows them as a slice
/// only; read as a stream, such a body gives all of them at once, uncopied.
fn keep_body(body: &mut Option<Body>) -> KeptBody {
    let Some(given) = body.take() else {
        return KeptBody::None;
    };
    let Some(length) = given.as_bytes().map(<[u8]>::len) else {
        *body = Some(given);
        return KeptBody::Stream;
    };
    let mut given = pin!(given);
    let mut context = Context::from_waker(Waker::noop());
    let mut bytes = Bytes::new();
    // All of it comes at once; should that change, it is put together.
    while bytes.len() < length
        && let Poll::Ready(Some(Ok(frame))) = given.as_mut().poll_frame(&mut context)
    {
        let data = frame.into_data().unwrap_or_default();
        bytes = if bytes.is_empty() {
            data
        } else {
            [bytes, data].concat().into()
        };
    }
    *body = Some(Body::from(bytes.clone()));
    KeptBody::Bytes(bytes)
}
