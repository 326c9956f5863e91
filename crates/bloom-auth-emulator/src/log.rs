//! One event for each request, and nothing secret in it.

use http::Method;

use crate::{Fault, admin, api, oauth::Dialect};

/// The event of one request, which is emitted when this is dropped: whatever
/// becomes of the request, there is one.
#[derive(Debug)]
pub(crate) struct LogLine {
    method: &'static str,
    path: &'static str,
    status: Option<u16>,
    fault: Option<Fault>,
    answered: bool,
}

impl LogLine {
    pub(crate) fn new(method: &Method, path: &str) -> Self {
        Self {
            method: loggable_method(method),
            path: loggable_path(path),
            status: None,
            fault: None,
            answered: false,
        }
    }

    pub(crate) fn answered(mut self, status: Option<u16>, fault: Option<Fault>) {
        self.status = status;
        self.fault = fault;
        self.answered = true;
    }
}

impl Drop for LogLine {
    fn drop(&mut self) {
        let Self {
            method,
            path,
            status,
            ..
        } = *self;
        let fault = self.fault.map(Fault::name);
        let what = if self.answered {
            "answered a request"
        } else {
            "a request ended before it was answered"
        };
        tracing::debug!(target: "bloom_auth_emulator", method, path, status, fault, "{what}");
    }
}

/// The event of a connection that met a fault before any request.
pub(crate) fn fault_at_connection(fault: Fault) {
    let fault = fault.name();
    tracing::debug!(target: "bloom_auth_emulator", fault, "played a fault at a connection");
}

/// Whatever else stands in a request line may be a secret gone astray.
fn loggable_path(path: &str) -> &'static str {
    Dialect::ALL
        .map(Dialect::path)
        .into_iter()
        .chain([api::ORGANIZATION, api::CONSUMERS])
        .chain(admin::PATHS)
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
