//! [`ServiceExchange`]: says to core's engine what a request to a service is.

use std::{future::poll_fn, marker::PhantomData, mem, sync::Arc};

use bloom_auth_core::{ConfigurationError, Error, Exchange, Origin};
use http::{HeaderMap, Request, Response, StatusCode, Uri, header::AUTHORIZATION, request::Parts};
use tower_service::Service;

use crate::{BoxError, layer::Config, replay::Replay};

/// One request to a service, and its replay.
pub(crate) struct ServiceExchange<S, P, B> {
    service: S,
    /// Whether the service was asked, and is ready for the next request.
    is_ready: bool,
    config: Arc<Config<P>>,
    /// Where the request goes.
    url: Uri,
    /// Whether redirects were followed, and another URL has answered.
    is_redirected: bool,
    _body: PhantomData<fn(B)>,
}

impl<S, P, B> ServiceExchange<S, P, B> {
    /// Takes a service that is ready. An error if it cannot be known where the
    /// request goes, and so whether the token may.
    pub(crate) fn new(
        ready: S,
        config: Arc<Config<P>>,
        request: &Request<B>,
    ) -> Result<Self, Error> {
        let url = match &config.origin {
            Some(origin) if is_path(request.uri()) => origin.clone(),
            // Nothing has to be known for a request that gets no token.
            None if is_path(request.uri()) && !request.headers().contains_key(AUTHORIZATION) => {
                return Err(no_host());
            }
            _ => request.uri().clone(),
        };
        Ok(Self {
            service: ready,
            is_ready: true,
            config,
            url,
            is_redirected: false,
            _body: PhantomData,
        })
    }
}

impl<S, P, B, R> Exchange for ServiceExchange<S, P, B>
where
    S: Service<Request<B>, Response = Response<R>> + Send,
    S::Error: Into<BoxError>,
    S::Future: Send,
    P: Replay<B> + Send + Sync,
    B: Send,
    R: Send,
{
    type Request = Request<B>;
    type Spare = (Parts, B);
    type Response = Response<R>;
    type Error = BoxError;

    fn destination<'a>(&'a self, _request: &'a Request<B>) -> Option<Origin<'a>> {
        Origin::of(&self.url)
    }

    fn headers_mut<'a>(&self, request: &'a mut Request<B>) -> &'a mut HeaderMap {
        request.headers_mut()
    }

    fn spare(&self, request: &Request<B>) -> Option<(Parts, B)> {
        let body = self.config.replay.copy(request.body())?;
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.method = request.method().clone();
        parts.uri = request.uri().clone();
        parts.version = request.version();
        parts.headers = request.headers().clone();
        parts.extensions = request.extensions().clone();
        Some((parts, body))
    }

    fn restore(&self, (parts, body): (Parts, B)) -> Option<Request<B>> {
        // What led elsewhere was carried out.
        let may_send = !self.is_redirected || parts.method.is_safe();
        may_send.then(|| Request::from_parts(parts, body))
    }

    async fn send(&mut self, request: Request<B>) -> Result<Response<R>, BoxError> {
        if !mem::take(&mut self.is_ready) {
            let ready = poll_fn(|cx| self.service.poll_ready(cx));
            ready.await.map_err(Into::into)?;
        }
        let look_up = self.config.final_url;
        let look_up = look_up.map(|look_up| (look_up, request.uri().clone()));
        let response = self.service.call(request).await.map_err(Into::into)?;
        self.is_redirected = look_up.is_some_and(|(look_up, sent)| {
            let url = look_up(response.extensions());
            url.is_some_and(|url| *url != sent)
        });
        Ok(response)
    }

    fn head<'a>(&self, response: &'a Response<R>) -> (StatusCode, &'a HeaderMap) {
        (response.status(), response.headers())
    }

    fn answered_by<'a>(&'a self, response: &'a Response<R>) -> Option<Origin<'a>> {
        let look_up = self.config.final_url;
        let url = look_up.and_then(|look_up| look_up(response.extensions()));
        // A path is one at the same host.
        let url = url.filter(|url| !is_path(url));
        Origin::of(url.unwrap_or(&self.url))
    }
}

/// Whether the host is left to whoever sends the request. (`CONNECT` has no
/// scheme, but a host.)
fn is_path(uri: &Uri) -> bool {
    uri.authority().is_none()
}

fn no_host() -> Error {
    let error = ConfigurationError::new(
        "request URL",
        "has no host, so that it is not known whether the access token may go there",
        "say where such requests go with `BearerLayer::for_origin`, or use whole URLs",
    );
    error.into()
}
