//! What stands between the engine and the HTTP client, where it was asked for.

use std::sync::Arc;

use async_trait::async_trait;
use bloom_auth_core::{
    ConfigurationError, RequestBody, ResponseBody, Transport, TransportError, TransportErrorKind,
};
use http::{HeaderMap, Request, Response, StatusCode};

type Observer = dyn Fn(StatusCode, &HeaderMap) + Send + Sync;

#[derive(Default)]
pub(crate) struct TokenExchange {
    pub(crate) is_offline: bool,
    pub(crate) observer: Option<Arc<Observer>>,
}

impl TokenExchange {
    /// A transport that keeps to it.
    pub(crate) fn over(self, transport: impl Transport + 'static) -> Arc<dyn Transport> {
        if self.is_offline {
            return Arc::new(Offline);
        }
        match self.observer {
            None => Arc::new(transport),
            Some(observer) => Arc::new(Observed {
                transport,
                observer,
            }),
        }
    }
}

#[derive(Debug)]
struct Offline;

#[async_trait]
impl Transport for Offline {
    async fn send(
        &self,
        _: Request<RequestBody>,
    ) -> Result<Response<ResponseBody>, TransportError> {
        let error = ConfigurationError::new(
            "token request",
            "is not sent, because everything is offline",
            "leave out `offline`, or put a token into the cache before",
        );
        Err(TransportError::new(
            TransportErrorKind::Configuration,
            error,
        ))
    }
}

struct Observed<T> {
    transport: T,
    observer: Arc<Observer>,
}

impl<T: std::fmt::Debug> std::fmt::Debug for Observed<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Observed")
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl<T: Transport> Transport for Observed<T> {
    async fn send(
        &self,
        request: Request<RequestBody>,
    ) -> Result<Response<ResponseBody>, TransportError> {
        let response = self.transport.send(request).await?;
        (self.observer)(response.status(), response.headers());
        Ok(response)
    }
}
