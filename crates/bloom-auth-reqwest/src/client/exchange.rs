//! One hop of a request: what core's engine has to know of reqwest.

use bloom_auth_core::{Exchange, Origin};
use http::{HeaderMap, StatusCode};
use reqwest::{Client, Request, Response};

use super::{error::RequestError, kept::Kept};
use crate::url::origin_of;

/// Sends a request of which a copy is kept.
pub(super) struct Hop<'a> {
    pub(super) client: &'a Client,
    pub(super) kept: &'a Kept,
}

impl Exchange for Hop<'_> {
    type Request = Request;
    /// The copy is there already.
    type Spare = ();
    type Response = Response;
    type Error = RequestError;

    fn destination<'a>(&'a self, request: &'a Request) -> Option<Origin<'a>> {
        origin_of(request.url())
    }

    fn headers_mut<'a>(&self, request: &'a mut Request) -> &'a mut HeaderMap {
        request.headers_mut()
    }

    fn spare(&self, _: &Request) -> Option<()> {
        self.kept.is_whole().then_some(())
    }

    fn restore(&self, (): ()) -> Option<Request> {
        self.kept.request()
    }

    fn send(&mut self, request: Request) -> impl Future<Output = Result<Response, RequestError>> {
        // Handed over at once, so that the future does not hold it as well.
        let pending = self.client.execute(request);
        async { Ok(pending.await?) }
    }

    fn head<'a>(&self, response: &'a Response) -> (StatusCode, &'a HeaderMap) {
        (response.status(), response.headers())
    }

    fn answered_by<'a>(&'a self, response: &'a Response) -> Option<Origin<'a>> {
        origin_of(response.url())
    }
}
