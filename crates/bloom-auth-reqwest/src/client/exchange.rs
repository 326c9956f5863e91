//! One hop of a request: what core's engine has to know of reqwest.

use bloom_auth_core::{Exchange, Origin};
use http::{HeaderMap, StatusCode};
use reqwest::{Client, Request, Response};

use super::{error::RequestError, kept::Kept};
use crate::url::origin_of;

/// Sends a request of which a copy is kept.
pub(super) struct Hop<'a> {
    client: &'a Client,
    kept: &'a Kept,
    /// Whether the client followed redirects, and another URL has answered.
    is_redirected: bool,
}

impl<'a> Hop<'a> {
    pub(super) fn new(client: &'a Client, kept: &'a Kept) -> Self {
        Self {
            client,
            kept,
            is_redirected: false,
        }
    }
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
        // What led elsewhere was carried out.
        let may_send = !self.is_redirected || self.kept.method().is_safe();
        may_send.then(|| self.kept.request()).flatten()
    }

    fn send(&mut self, request: Request) -> impl Future<Output = Result<Response, RequestError>> {
        // Handed over at once, so that the future does not hold it as well.
        let pending = self.client.execute(request);
        async {
            let response = pending.await?;
            self.is_redirected = !self.kept.is_for(response.url());
            Ok(response)
        }
    }

    fn head<'a>(&self, response: &'a Response) -> (StatusCode, &'a HeaderMap) {
        (response.status(), response.headers())
    }

    fn answered_by<'a>(&'a self, response: &'a Response) -> Option<Origin<'a>> {
        origin_of(response.url())
    }
}
