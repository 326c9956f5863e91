//! What happens to every request before and after it is routed.

use std::sync::Arc;

use axum::{body::Body, response::Response, routing::Router};
use http::{HeaderValue, Method, Request, header::DATE};
use hyper::{body::Incoming, service::Service as _};
use hyper_util::service::TowerToHyperService;
use tokio::time::sleep;

use crate::{
    Endpoint, Fault,
    admin::{self, Admin},
    api, body,
    body::BodyFault,
    fault::{Answered, Certificate, Plan, Setting},
    guard::{Guard, Unwelcome},
    log::{self, LogLine},
    oauth::Dialect,
    refusal::Refusal,
    state::Shared,
    token_endpoint,
    wire::Script,
};

/// The emulator as a function from requests to what is sent.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) shared: Arc<Shared>,
    guard: Guard,
    router: TowerToHyperService<Router>,
    admin: Option<Admin>,
}

/// What is sent.
pub(crate) enum Reply {
    Response(Response),
    /// The bytes themselves, after which the connection ends.
    Script(Script),
}

/// What is done to a connection before anything is read.
pub(crate) enum Greeting {
    Script(Script),
    /// It goes on with this certificate.
    Certificate(Certificate),
}

/// What a request is, as far as its line tells.
#[derive(Clone, Copy)]
struct Kind {
    dialect: Option<Dialect>,
    token_request: bool,
    admin: bool,
}

impl App {
    pub(crate) fn new(shared: Arc<Shared>, guard: Guard, admin: Option<Admin>) -> Self {
        let router = token_endpoint::routes()
            .merge(api::routes())
            .with_state(Arc::clone(&shared));
        Self {
            shared,
            guard,
            router: TowerToHyperService::new(router),
            admin,
        }
    }

    /// What is to be done to a connection before anything is read.
    pub(crate) fn greet(&self) -> Option<Greeting> {
        let fault = self.shared.faults.next(Endpoint::Connection)?;
        log::fault_at_connection(fault);
        self.count_fault();
        if let Plan::Certificate(certificate) = fault.plan() {
            return Some(Greeting::Certificate(*certificate));
        }
        let script = fault.plan().script(None, self.setting(&[], None));
        script.map(Greeting::Script)
    }

    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Reply {
        let path = request.uri().path();
        let line = LogLine::new(request.method(), path);
        let dialect = Dialect::of_path(path);
        let kind = Kind {
            dialect,
            token_request: dialect.is_some() && request.method() == Method::POST,
            admin: self.admin.is_some() && path.starts_with(admin::PREFIX),
        };
        if kind.token_request {
            self.shared
                .counters
                .record(|counts| counts.token_requests += 1);
        }
        let fault = match self.guard.check(request.uri(), request.headers()) {
            Ok(()) => kind.endpoint().and_then(|it| self.shared.faults.next(it)),
            Err(unwelcome) => {
                self.count_refused(kind);
                return self.respond(turn_away(unwelcome, dialect), line);
            }
        };
        let request = request.map(Body::new);
        if let Some(fault) = fault {
            return self.play(fault, kind, request, line).await;
        }
        let response = match &self.admin {
            Some(admin) if kind.admin => admin.answer(request).await,
            _ => self.route(request).await,
        };
        self.respond(response, line)
    }

    async fn route(&self, request: Request<Body>) -> Response {
        match self.router.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    fn respond(&self, mut response: Response, line: LogLine) -> Reply {
        if let Ok(date) = HeaderValue::try_from(self.shared.clock.http_date(0)) {
            response.headers_mut().insert(DATE, date);
        }
        line.answered(Some(response.status().as_u16()), None);
        Reply::Response(response)
    }

    /// Reads the request as a whole, so that nothing of it is on its way when
    /// the connection ends, and plays the fault.
    async fn play(&self, fault: Fault, kind: Kind, request: Request<Body>, line: LogLine) -> Reply {
        let (head, body) = request.into_parts();
        let body = match body::read(body).await {
            Ok(body) => body,
            Err(fault) => {
                self.count_refused(kind);
                return self.respond(turn_back(fault, kind.dialect), line);
            }
        };
        let plan = fault.plan();
        let previous = self.shared.previous();
        let due = if plan.needs_answer() {
            let request = Request::from_parts(head, Body::from(body.clone()));
            let due = Answered::of(self.route(request).await).await;
            if plan.repeats() && previous.is_some() {
                self.shared.set_previous(previous.clone());
            }
            Some(due)
        } else {
            let latency = self.shared.latency();
            if kind.token_request && !latency.is_zero() {
                sleep(latency).await;
            }
            None
        };
        let setting = self.setting(&body, previous.as_deref());
        let (script, fault) = match due {
            Some(due) if !plan.changes(due.status) => (due.closing(setting), None),
            due => match plan.script(due, setting) {
                Some(script) => (script, Some(fault)),
                None => (Script::close(), Some(fault)),
            },
        };
        if fault.is_some() {
            self.count_fault();
        }
        line.answered(script.status, fault);
        Reply::Script(script)
    }

    fn setting<'a>(&'a self, request: &'a [u8], previous: Option<&'a str>) -> Setting<'a> {
        Setting {
            clock: &self.shared.clock,
            request,
            previous,
        }
    }

    fn count_fault(&self) {
        self.shared
            .counters
            .record(|counts| counts.faults_played += 1);
    }

    fn count_refused(&self, kind: Kind) {
        if kind.token_request {
            self.shared
                .counters
                .record(|counts| counts.token_requests_refused += 1);
        }
    }
}

impl Kind {
    /// Where a fault would have to be set to meet it.
    fn endpoint(self) -> Option<Endpoint> {
        match self {
            Self { admin: true, .. } => None,
            Self {
                token_request: true,
                ..
            } => Some(Endpoint::Token),
            Self {
                dialect: Some(_), ..
            } => None,
            _ => Some(Endpoint::Api),
        }
    }
}

fn turn_away(unwelcome: Unwelcome, dialect: Option<Dialect>) -> Response {
    match dialect {
        Some(dialect) => token_endpoint::refuse(&Refusal::Unwelcome(unwelcome), dialect),
        None => api::failure(unwelcome.status(), unwelcome.title()),
    }
}

fn turn_back(fault: BodyFault, dialect: Option<Dialect>) -> Response {
    match dialect {
        Some(dialect) => token_endpoint::refuse(&Refusal::Body(fault), dialect),
        None => api::failure(fault.status(), fault.title()),
    }
}
