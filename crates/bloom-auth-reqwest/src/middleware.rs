//! [`BearerMiddleware`]: the access token for clients that are built of
//! `reqwest-middleware`.

use std::fmt;

use async_trait::async_trait;
use bloom_auth_core::{Bearer, Error, Exchange, Origin};
use http::{Extensions, HeaderMap, StatusCode};
use reqwest::{Request, Response};
use reqwest_middleware::{Middleware, Next};

use crate::url::{is_same, origin_of};

/// Puts the access token into requests to the API that go through a
/// [`reqwest_middleware::ClientWithMiddleware`], and sends them once more with
/// another one when the API refuses it, unless their body is a stream. See
/// [`Bearer`].
///
/// A request to another origin passes as it is, without a token. A token that
/// cannot be had is an error of the middleware kind, with
/// [`Error`](bloom_auth_core::Error) inside.
///
/// Put it behind a middleware that retries, so that every try has the current
/// token, and before one that records what is sent. Redirects are followed by
/// reqwest, below all middlewares: build the client with
/// [`Policy::none`](reqwest::redirect::Policy::none), since with reqwest's
/// default a chain of redirects that leaves for another host and goes on there
/// takes the `Authorization` header along (seen with reqwest 0.13.5).
///
/// ```no_run
/// # fn run(provider: bloom_auth_core::TokenProvider) -> Result<(), Box<dyn std::error::Error>> {
/// use bloom_auth_reqwest::BearerMiddleware;
/// use reqwest::redirect::Policy;
/// use reqwest_middleware::ClientBuilder;
///
/// let client = reqwest::Client::builder().redirect(Policy::none()).build()?;
/// let client = ClientBuilder::new(client)
///     .with(BearerMiddleware::new(provider))
///     .build();
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct BearerMiddleware {
    bearer: Bearer,
}

impl BearerMiddleware {
    /// A middleware for the tokens of this provider, or as this [`Bearer`]
    /// says.
    #[must_use]
    pub fn new(bearer: impl Into<Bearer>) -> Self {
        Self {
            bearer: bearer.into(),
        }
    }
}

#[async_trait]
impl Middleware for BearerMiddleware {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let rest = Rest {
            next,
            extensions,
            is_redirected: false,
        };
        Ok(self.bearer.call(rest, request).await?)
    }
}

impl fmt::Debug for BearerMiddleware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerMiddleware")
            .field("bearer", &self.bearer)
            .finish()
    }
}

/// The middlewares that come after this one.
struct Rest<'a, 'b> {
    next: Next<'a>,
    extensions: &'b mut Extensions,
    /// Whether redirects were followed, and another URL has answered.
    is_redirected: bool,
}

/// An error that can be made of ours; the compiler wants a type of this crate.
struct Failure(reqwest_middleware::Error);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(reqwest_middleware::Error::middleware(error))
    }
}

impl From<Failure> for reqwest_middleware::Error {
    fn from(failure: Failure) -> Self {
        failure.0
    }
}

impl Exchange for Rest<'_, '_> {
    type Request = Request;
    type Spare = Request;
    type Response = Response;
    type Error = Failure;

    fn destination<'a>(&'a self, request: &'a Request) -> Option<Origin<'a>> {
        origin_of(request.url())
    }

    fn headers_mut<'a>(&self, request: &'a mut Request) -> &'a mut HeaderMap {
        request.headers_mut()
    }

    fn spare(&self, request: &Request) -> Option<Request> {
        request.try_clone()
    }

    fn restore(&self, spare: Request) -> Option<Request> {
        // What led elsewhere was carried out.
        (!self.is_redirected || spare.method().is_safe()).then_some(spare)
    }

    async fn send(&mut self, request: Request) -> Result<Response, Failure> {
        let (next, url) = (self.next.clone(), request.url().clone());
        let response = next.run(request, self.extensions).await.map_err(Failure)?;
        self.is_redirected = !is_same(url.as_str(), response.url().as_str());
        Ok(response)
    }

    fn head<'a>(&self, response: &'a Response) -> (StatusCode, &'a HeaderMap) {
        (response.status(), response.headers())
    }

    fn answered_by<'a>(&'a self, response: &'a Response) -> Option<Origin<'a>> {
        origin_of(response.url())
    }
}
