//! What happens to every request before and after it is routed.

use std::{convert::Infallible, sync::Arc};

use axum::{body::Body, routing::Router};
use http::{Method, Request, Response};
use hyper::{body::Incoming, service::Service as _};
use hyper_util::service::TowerToHyperService;

use crate::{
    api,
    guard::{Guard, Unwelcome},
    oauth::Dialect,
    refusal::Refusal,
    state::Shared,
    token_endpoint,
};

/// The emulator as a function from requests to responses.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) shared: Arc<Shared>,
    guard: Guard,
    router: TowerToHyperService<Router>,
}

impl App {
    pub(crate) fn new(shared: Arc<Shared>, guard: Guard) -> Self {
        let router = token_endpoint::routes()
            .merge(api::routes())
            .with_state(Arc::clone(&shared));
        Self {
            shared,
            guard,
            router: TowerToHyperService::new(router),
        }
    }

    pub(crate) async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        let method = loggable_method(request.method());
        let path = loggable_path(request.uri().path());
        let dialect = Dialect::of_path(request.uri().path());
        let token_request = dialect.is_some() && request.method() == Method::POST;
        if token_request {
            self.shared
                .counters
                .record(|counts| counts.token_requests += 1);
        }
        let response = match self.guard.check(request.uri(), request.headers()) {
            Ok(()) => self.router.call(request).await?,
            Err(unwelcome) => {
                if token_request {
                    self.shared
                        .counters
                        .record(|counts| counts.token_requests_refused += 1);
                }
                turn_away(unwelcome, dialect)
            }
        };
        let status = response.status().as_u16();
        tracing::debug!(target: "bloom_auth_emulator", method, path, status, "answered a request");
        Ok(response)
    }
}

fn turn_away(unwelcome: Unwelcome, dialect: Option<Dialect>) -> Response<Body> {
    match dialect {
        Some(dialect) => token_endpoint::refuse(&Refusal::Unwelcome(unwelcome), dialect),
        None => api::failure(unwelcome.status(), unwelcome.title()),
    }
}

/// Whatever else stands in a request line may be a secret gone astray.
fn loggable_path(path: &str) -> &'static str {
    Dialect::ALL
        .map(Dialect::path)
        .into_iter()
        .chain([api::ORGANIZATION, api::CONSUMERS])
        .find(|known| *known == path)
        .unwrap_or("(unknown)")
}

fn loggable_method(method: &Method) -> &'static str {
    [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE",
    ]
    .into_iter()
    .find(|known| *known == method.as_str())
    .unwrap_or("(other)")
}
