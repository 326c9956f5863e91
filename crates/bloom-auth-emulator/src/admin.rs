//! The admin endpoint: what a handle to the emulator can do, over HTTP.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Request, State},
    response::Response,
    routing::{Router, get, post},
};
use http::{
    HeaderValue, StatusCode,
    header::{AUTHORIZATION, CACHE_CONTROL, WWW_AUTHENTICATE},
};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    Fault, FaultRule, Scenario, api, body, credentials::Password, faults::FaultStatus, respond,
    state::Shared,
};

/// What all its paths begin with.
pub(crate) const PREFIX: &str = "/_emulator/";

const FAULTS: &str = "/_emulator/faults";
const SCENARIO: &str = "/_emulator/scenario";
const COUNTS: &str = "/_emulator/counts";
const REVOKE: &str = "/_emulator/revoke";
const ROTATE: &str = "/_emulator/rotate";
const SETTINGS: &str = "/_emulator/settings";
const CLOCK: &str = "/_emulator/clock";

pub(crate) const PATHS: [&str; 7] = [FAULTS, SCENARIO, COUNTS, REVOKE, ROTATE, SETTINGS, CLOCK];

/// Who may use it, and what it does.
#[derive(Debug)]
pub(crate) struct Admin {
    token: Option<Password>,
    router: TowerToHyperService<Router>,
}

impl Admin {
    pub(crate) fn new(token: Option<&str>, shared: Arc<Shared>) -> Self {
        let router = Router::new()
            .route(FAULTS, get(faults).post(set_fault).delete(clear_faults))
            .route(SCENARIO, post(set_scenario))
            .route(COUNTS, get(counts))
            .route(REVOKE, post(revoke))
            .route(ROTATE, post(rotate))
            .route(SETTINGS, post(set_settings))
            .route(CLOCK, post(advance_clock))
            .method_not_allowed_fallback(async || {
                api::failure(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "This path does not have this method.",
                )
            })
            .fallback(async || {
                api::failure(StatusCode::NOT_FOUND, "There is nothing at this path.")
            })
            .with_state(shared);
        Self {
            token: token.map(Password::new),
            router: TowerToHyperService::new(router),
        }
    }

    /// The answer to a request whose path begins with [`PREFIX`].
    pub(crate) async fn answer(&self, request: Request<Body>) -> Response {
        if let Some(token) = &self.token
            && !is_authorized(token, &request)
        {
            let mut response = api::failure(
                StatusCode::UNAUTHORIZED,
                "The request does not carry the admin token.",
            );
            let challenge = HeaderValue::from_static("Bearer realm=\"bloom-auth-emulator admin\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            return response;
        }
        match self.router.call(request).await {
            Ok(mut response) => {
                let headers = response.headers_mut();
                headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
                response
            }
            Err(never) => match never {},
        }
    }
}

fn is_authorized(token: &Password, request: &Request<Body>) -> bool {
    let mut headers = request.headers().get_all(AUTHORIZATION).iter();
    let (Some(only), None) = (headers.next(), headers.next()) else {
        return false;
    };
    let (scheme, presented) = only
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .unwrap_or_default();
    scheme.eq_ignore_ascii_case("Bearer") && token.is(presented.trim_start_matches(' '))
}

async fn faults(State(shared): State<Arc<Shared>>) -> Response {
    let known = |fault: Fault| {
        let endpoints = fault.endpoints().iter().map(ToString::to_string);
        json!({
            "fault": fault.name(),
            "row": fault.row(),
            "endpoints": endpoints.collect::<Vec<_>>(),
            "description": fault.description(),
        })
    };
    let known: Vec<Value> = Fault::all().map(known).collect();
    let set = shared.faults.statuses();
    let set: Vec<Value> = set.iter().map(status).collect();
    ok(&json!({ "known": known, "set": set }))
}

fn status(status: &FaultStatus) -> Value {
    json!({
        "rule": status.rule.to_string(),
        "seen": status.seen,
        "played": status.played,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetFault {
    rule: String,
}

async fn set_fault(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let asked: SetFault = match read(request).await {
        Ok(asked) => asked,
        Err(response) => return response,
    };
    match asked.rule.parse::<FaultRule>() {
        Ok(rule) => {
            shared.faults.add(rule);
            ok(&json!({ "rule": rule.to_string() }))
        }
        Err(error) => wrong(&error.to_string()),
    }
}

async fn clear_faults(State(shared): State<Arc<Shared>>) -> Response {
    shared.faults.clear();
    ok(&json!({}))
}

async fn set_scenario(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let body = match body::read(request.into_body()).await {
        Ok(body) => body,
        Err(fault) => return api::failure(fault.status(), fault.title()),
    };
    let Ok(text) = String::from_utf8(body) else {
        return wrong("The body is not UTF-8.");
    };
    match Scenario::parse(&text) {
        Ok(scenario) => {
            let steps = scenario.len();
            shared.faults.start(scenario);
            ok(&json!({ "steps": steps }))
        }
        Err(error) => wrong(&error.to_string()),
    }
}

async fn counts(State(shared): State<Arc<Shared>>) -> Response {
    let counts = shared.counters.snapshot();
    ok(&json!({
        "connections": counts.connections,
        "token_requests": counts.token_requests,
        "tokens_issued": counts.tokens_issued,
        "token_requests_refused": counts.token_requests_refused,
        "api_authorized": counts.api_authorized,
        "api_unauthorized": counts.api_unauthorized,
        "api_forbidden": counts.api_forbidden,
        "api_expired": counts.api_expired,
        "faults_played": counts.faults_played,
    }))
}

async fn revoke(State(shared): State<Arc<Shared>>) -> Response {
    shared.tokens.revoke_all();
    ok(&json!({}))
}

async fn rotate(State(shared): State<Arc<Shared>>) -> Response {
    ok(&json!({ "client_secret": shared.rotate_secret() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    token_lifetime_ms: Option<u64>,
    latency_ms: Option<u64>,
}

async fn set_settings(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let settings: Settings = match read(request).await {
        Ok(settings) => settings,
        Err(response) => return response,
    };
    if let Some(lifetime) = settings.token_lifetime_ms {
        shared.set_token_lifetime(Duration::from_millis(lifetime));
    }
    if let Some(latency) = settings.latency_ms {
        shared.set_latency(Duration::from_millis(latency));
    }
    let latency = shared.latency().as_millis();
    ok(&json!({
        "token_lifetime_ms": shared.token_lifetime_millis(),
        "latency_ms": u64::try_from(latency).unwrap_or(u64::MAX),
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_ms: u64,
}

async fn advance_clock(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let asked: Advance = match read(request).await {
        Ok(asked) => asked,
        Err(response) => return response,
    };
    shared
        .clock
        .advance(Duration::from_millis(asked.advance_ms));
    ok(&json!({ "now_ms": shared.clock.now() }))
}

/// The body as JSON, whatever its content type: `curl -d` says that it is a form.
async fn read<T: DeserializeOwned>(request: Request) -> Result<T, Response> {
    let body = body::read(request.into_body())
        .await
        .map_err(|fault| api::failure(fault.status(), fault.title()))?;
    serde_json::from_slice(&body).map_err(|error| wrong(&error.to_string()))
}

fn ok(body: &Value) -> Response {
    respond::json(StatusCode::OK, body)
}

fn wrong(title: &str) -> Response {
    api::failure(StatusCode::BAD_REQUEST, title)
}
