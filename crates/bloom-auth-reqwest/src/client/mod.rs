//! [`AuthorizedClient`]: reqwest, with the access token in every request to the
//! API.
//!
//! Core's engine decides who gets the token and what an answer means; [`kept`]
//! makes that a request can be sent again, and [`redirect`] says where an
//! answer leads.

mod builder;
mod error;
mod exchange;
mod kept;
mod redirect;
mod request;

use std::{fmt, sync::Arc};

use bloom_auth_core::{Bearer, ConfigurationError, Exchange as _};
use http::{
    HeaderMap, HeaderName, Method,
    header::{
        AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST,
        PROXY_AUTHORIZATION, TRANSFER_ENCODING,
    },
};
use reqwest::{Client, Request, Response, Url};
use smallvec::SmallVec;

pub use self::{builder::AuthorizedClientBuilder, error::RequestError, request::RequestBuilder};
use self::{builder::Source, exchange::Hop, kept::Kept, redirect::MAX_HOPS};
use crate::url::origin_of;

/// What does not go along to another origin, beside all that is marked sensitive:
/// credentials, and the name of who is asked.
const OF_AN_ORIGIN: [HeaderName; 4] = [AUTHORIZATION, COOKIE, HOST, PROXY_AUTHORIZATION];
/// What is said of a body that does not go along.
const OF_A_BODY: [HeaderName; 4] = [
    CONTENT_TYPE,
    CONTENT_LENGTH,
    CONTENT_ENCODING,
    TRANSFER_ENCODING,
];

/// Calls Bloom's API through reqwest, with the access token in every request.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use bloom_auth_core::{AuthVersion, Environment, EnvironmentCredentials, TokenProvider};
/// use bloom_auth_reqwest::{AuthorizedClient, ReqwestTransport};
///
/// let provider = TokenProvider::builder(
///     Environment::sandbox(AuthVersion::V1),
///     EnvironmentCredentials::new(),
///     ReqwestTransport::builder().build()?,
/// )
/// .build()?;
/// let client = AuthorizedClient::new(provider);
/// let response = client.get("/v2/core/organization").send().await?;
/// # Ok(())
/// # }
/// ```
///
/// - Paths are those under the environment's API URL. A whole URL is taken as
///   it is, and refused if it is of an origin that the token may not go to
///   (the API's own, and those [allowed by
///   name](AuthorizedClientBuilder::allow_origin)).
/// - An `Authorization` header of the caller's is left alone.
/// - When the API refuses the token (401), it is dropped, and the request is
///   sent once more with another one, unless its body is a stream. The second
///   401 is the caller's, as is every other status: see [`Bearer`].
/// - Redirects are followed, ten at most, and never from https to http. The
///   token goes along within the origins that it is allowed for; a chain that
///   has left them has lost it for good. To another origin, no cookies and no
///   `Host` of the caller's go along, nor headers that are [marked
///   sensitive](http::HeaderValue::set_sensitive), as an API key should be;
///   other headers do, and with 307 and 308 the body.
/// - Connections are kept for later in one pool, for all clones; they belong to
///   the runtime that opened them.
///
/// Clones share everything.
#[derive(Clone)]
pub struct AuthorizedClient(Arc<Inner>);

struct Inner {
    bearer: Bearer,
    source: Source,
    /// The API URL with a slash at its end. It was checked when the environment
    /// was built, and can always be read.
    base: Option<Url>,
}

impl AuthorizedClient {
    /// A client with the defaults for the tokens of this provider (or as this
    /// [`Bearer`] says); its HTTP client is built by the first request.
    #[must_use]
    pub fn new(bearer: impl Into<Bearer>) -> Self {
        Self::builder(bearer).into_client()
    }

    /// A client that goes through one of yours, with its pool and settings.
    ///
    /// Redirects are then followed by that client, by its own policy. Give it
    /// [`Policy::none`](reqwest::redirect::Policy::none), and a redirect is
    /// yours to look at; with reqwest's default policy, a chain of redirects
    /// that leaves for another host and goes on there takes the
    /// `Authorization` header along (seen with reqwest 0.13.5). A request that
    /// changes something, such as a `POST`, is not sent again for the 401 of
    /// another URL that it was redirected to. To set up a
    /// client whose redirects are safe, use
    /// [`AuthorizedClientBuilder::configure`].
    #[must_use]
    pub fn with_client(bearer: impl Into<Bearer>, client: Client) -> Self {
        Self::with(bearer.into(), Source::Brought(client))
    }

    /// A builder with the defaults.
    pub fn builder(bearer: impl Into<Bearer>) -> AuthorizedClientBuilder {
        AuthorizedClientBuilder::new(bearer.into())
    }

    fn with(bearer: Bearer, source: Source) -> Self {
        let base = Url::parse(&bearer.provider().environment().url_of("")).ok();
        Self(Arc::new(Inner {
            bearer,
            source,
            base,
        }))
    }

    /// A `GET` of this path.
    pub fn get(&self, path: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    /// A `POST` to this path.
    pub fn post(&self, path: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    /// A `PUT` to this path.
    pub fn put(&self, path: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::PUT, path)
    }

    /// A `PATCH` of this path.
    pub fn patch(&self, path: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::PATCH, path)
    }

    /// A `DELETE` of this path.
    pub fn delete(&self, path: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::DELETE, path)
    }

    /// A `HEAD` of this path.
    pub fn head(&self, path: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::HEAD, path)
    }

    /// A request to this path, with or without a slash at its start, and with
    /// its query if it has one.
    pub fn request(&self, method: Method, path: impl AsRef<str>) -> RequestBuilder {
        let builder = self.url_of(path.as_ref()).and_then(|url| {
            let client = self.0.source.client(&url)?.clone();
            let request = Request::new(method, url);
            Ok(reqwest::RequestBuilder::from_parts(client, request))
        });
        RequestBuilder::new(self.clone(), builder)
    }

    /// Sends a request with the token, and follows where the answer leads.
    ///
    /// # Errors
    ///
    /// [`RequestError`] if there is no token, the token may not go there, or no
    /// answer came. An answer of any status is not an error.
    ///
    /// # Cancellation
    ///
    /// Dropping the future ends the request; a fetch of a token goes on for
    /// others.
    pub async fn execute(&self, mut request: Request) -> Result<Response, RequestError> {
        let Inner { bearer, source, .. } = &*self.0;
        // A header of the caller's own is theirs on every hop.
        let mut may_attach = !request.headers().contains_key(AUTHORIZATION);
        if may_attach && !permits(bearer, request.url()) {
            return Err(forbidden());
        }
        for _ in 0..=MAX_HOPS {
            let client = source.client(request.url())?;
            let kept = Kept::of(&mut request);
            let mut hop = Hop::new(client, &kept);
            let response = if may_attach {
                bearer.call(hop, request).await?
            } else {
                hop.send(request).await?
            };
            match source.follows(&kept, &response) {
                Some(next) => request = next,
                None => return Ok(response),
            }
            may_attach &= permits(bearer, request.url());
        }
        Err(RequestError::TooManyRedirects)
    }

    /// Where the tokens come from, and who gets them.
    #[must_use]
    pub fn bearer(&self) -> &Bearer {
        &self.0.bearer
    }

    fn url_of(&self, path: &str) -> Result<Url, RequestError> {
        let is_whole = ["http://", "https://"].iter().any(|scheme| {
            let start = path.as_bytes().get(..scheme.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes()))
        });
        let url = match &self.0.base {
            Some(base) if !is_whole => {
                // On the stack, for paths of a usual length. What starts like
                // this is a path, whatever follows.
                let mut text = SmallVec::<[u8; 128]>::from_slice(b"./");
                text.extend_from_slice(path.trim_start_matches('/').as_bytes());
                let text = std::str::from_utf8(&text);
                text.ok().and_then(|text| base.join(text).ok())
            }
            _ => Url::parse(path).ok(),
        };
        url.ok_or_else(|| {
            ConfigurationError::new(
                "request URL",
                "is not a path, nor a URL",
                "use a path such as `/v2/core/organization`",
            )
            .into()
        })
    }
}

impl Source {
    /// The request that an answer leads to, if redirects are ours to follow.
    fn follows(&self, kept: &Kept, response: &Response) -> Option<Request> {
        if matches!(self, Self::Brought(_)) {
            return None;
        }
        let (url, headers) = (response.url(), response.headers());
        let next = redirect::next(kept.method(), url, response.status(), headers)?;
        let is_elsewhere = origin_of(&next.url) != origin_of(url);
        let mut request = kept.request_to(next.method, next.url, next.keeps_body)?;
        let headers = request.headers_mut();
        if is_elsewhere {
            remove(headers, &OF_AN_ORIGIN);
            remove(headers, &sensitive(headers));
        }
        if !next.keeps_body {
            remove(headers, &OF_A_BODY);
        }
        Some(request)
    }
}

fn remove(headers: &mut HeaderMap, names: &[HeaderName]) {
    for name in names {
        headers.remove(name);
    }
}

/// The names of headers that say of themselves that they are secret.
fn sensitive(headers: &HeaderMap) -> Vec<HeaderName> {
    let sensitive = headers.iter().filter(|(_, value)| value.is_sensitive());
    sensitive.map(|(name, _)| name.clone()).collect()
}

fn permits(bearer: &Bearer, url: &Url) -> bool {
    origin_of(url).is_some_and(|origin| bearer.permits(&origin))
}

fn forbidden() -> RequestError {
    ConfigurationError::new(
        "request URL",
        "is of an origin that the access token must not go to",
        "use a path under the API URL, or allow the origin by name",
    )
    .into()
}

impl fmt::Debug for AuthorizedClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizedClient")
            .field("bearer", &self.0.bearer)
            .finish_non_exhaustive()
    }
}
