//! [`BearerService`]: the service around another one.

use std::{
    fmt, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower_service::Service;

use crate::{
    BoxError,
    exchange::ServiceExchange,
    layer::Config,
    replay::{Replay, ReplayEmpty},
};

/// Puts the access token into the requests of the service inside; made by
/// [`BearerLayer`](crate::BearerLayer).
///
/// It is ready when the service inside is, and a request is sent by the very
/// service that was ready; a replay waits for readiness anew. While a token is
/// fetched, the request holds what readiness reserved, such as a permit of a
/// concurrency limit.
///
/// Dropping the future of a call ends it, and what the service inside does for
/// it. A token that was refused by then stays dropped; the fetch of another
/// goes on, for others.
pub struct BearerService<S, P = ReplayEmpty> {
    inner: S,
    config: Arc<Config<P>>,
}

impl<S, P> BearerService<S, P> {
    pub(crate) fn new(inner: S, config: Arc<Config<P>>) -> Self {
        Self { inner, config }
    }
}

impl<S, P, B, R> Service<Request<B>> for BearerService<S, P>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    P: Replay<B> + Send + Sync + 'static,
    B: Send + 'static,
    R: Send + 'static,
{
    type Response = Response<R>;
    type Error = BoxError;
    type Future = ResponseFuture<R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture<R> {
        // The clone stays behind, and need not be ready.
        let clone = self.inner.clone();
        let ready = mem::replace(&mut self.inner, clone);
        let config = Arc::clone(&self.config);
        ResponseFuture(Box::pin(async move {
            let exchange = ServiceExchange::new(ready, Arc::clone(&config), &request)?;
            config.bearer.call(exchange, request).await
        }))
    }
}

impl<S: Clone, P> Clone for BearerService<S, P> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            config: Arc::clone(&self.config),
        }
    }
}

impl<S: fmt::Debug, P> fmt::Debug for BearerService<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerService")
            .field("inner", &self.inner)
            .field("config", &self.config)
            .finish()
    }
}

/// The answer to a request, replay included.
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<R>(Pin<Box<dyn Future<Output = Answer<R>> + Send>>);

type Answer<R> = Result<Response<R>, BoxError>;

impl<R> Future for ResponseFuture<R> {
    type Output = Answer<R>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer<R>> {
        self.0.as_mut().poll(cx)
    }
}

impl<R> fmt::Debug for ResponseFuture<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
