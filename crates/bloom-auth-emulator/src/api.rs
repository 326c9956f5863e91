//! The guarded API: every request needs an access token (RFC 6750).

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    extract::{Request, State},
    response::Response,
    routing::{Router, get},
};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_TYPE, WWW_AUTHENTICATE},
};
use serde_json::{Map, Value, json};

use crate::{
    bearer::{Denied, authorize},
    body, respond,
    state::Shared,
    tokens::TokenFault,
};

pub(crate) const ORGANIZATION: &str = "/v2/core/organization";
pub(crate) const CONSUMERS: &str = "/v2/core/consumers";

/// Any one of these will do; the last is what an access token of V2 needs.
const TO_READ: &[&str] = &["read:consumers", "data-access:all"];
const TO_WRITE: &[&str] = &["write:consumers", "data-access:all"];

/// How many consumers are kept, and how many bytes of JSON; the oldest make
/// room.
const KEPT: usize = 1000;
const KEPT_BYTES: usize = 4 * 1024 * 1024;

pub(crate) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route(ORGANIZATION, get(organization))
        .route(CONSUMERS, get(consumers).post(add_consumer))
        .method_not_allowed_fallback(async || {
            failure(
                StatusCode::METHOD_NOT_ALLOWED,
                "This path does not have this method.",
            )
        })
        .fallback(async || failure(StatusCode::NOT_FOUND, "There is nothing at this path."))
}

/// An error answer in the shape of Bloom's API.
pub(crate) fn failure(status: StatusCode, title: &str) -> Response {
    let error = json!({ "status": status.as_str(), "title": title });
    respond::json(status, &json!({ "errors": [error] }))
}

async fn organization(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    if let Err(denied) = authorize(&shared.tokens, &headers, TO_READ, shared.clock.now()) {
        return deny(&shared, denied);
    }
    let data = json!({
        "id": shared.client.id(),
        "type": "organization",
        "attributes": { "name": "The emulator's organization" },
    });
    allow(&shared, StatusCode::OK, &json!({ "data": data }))
}

async fn consumers(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    if let Err(denied) = authorize(&shared.tokens, &headers, TO_READ, shared.clock.now()) {
        return deny(&shared, denied);
    }
    let body = shared.consumers.list();
    shared.counters.record(|counts| counts.api_authorized += 1);
    respond::json_text(StatusCode::OK, body)
}

async fn add_consumer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    if let Err(denied) = authorize(&shared.tokens, &head.headers, TO_WRITE, shared.clock.now()) {
        return deny(&shared, denied);
    }
    if !is_json(&head.headers) {
        return failure(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "The content type is not JSON.",
        );
    }
    let body = match body::read(body).await {
        Ok(body) => body,
        Err(fault) => return failure(fault.status(), fault.title()),
    };
    let Ok(attributes) = serde_json::from_slice::<Map<String, Value>>(&body) else {
        return failure(StatusCode::BAD_REQUEST, "The body is not a JSON object.");
    };
    let data = json!({
        "id": shared.consumer_ids.uuid(),
        "type": "consumer",
        "attributes": attributes,
    });
    shared.consumers.add(data.to_string());
    allow(&shared, StatusCode::CREATED, &json!({ "data": data }))
}

/// The consumers that were posted, in memory alone, as the JSON that they are
/// listed as: read into values they would take many times as much.
#[derive(Default)]
pub(crate) struct Consumers(Mutex<VecDeque<String>>);

impl Consumers {
    fn add(&self, consumer: String) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_back(consumer);
        let mut bytes: usize = kept.iter().map(String::len).sum();
        while kept.len() > KEPT || bytes > KEPT_BYTES {
            bytes -= kept.pop_front().map_or(0, |consumer| consumer.len());
        }
    }

    /// The body of the list.
    fn list(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept: Vec<&str> = kept.iter().map(String::as_str).collect();
        format!(r#"{{"data":[{}]}}"#, kept.join(","))
    }
}

impl std::fmt::Debug for Consumers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consumers").finish_non_exhaustive()
    }
}

fn deny(shared: &Shared, denied: Denied) -> Response {
    shared.counters.record(|counts| match denied {
        Denied::Ambiguous => {}
        Denied::Scope(_) => counts.api_forbidden += 1,
        Denied::NoToken | Denied::Token(_) => {
            counts.api_unauthorized += 1;
            counts.api_expired += u64::from(denied == Denied::Token(TokenFault::Expired));
        }
    });
    let mut response = failure(denied.status(), denied.title());
    if let Ok(challenge) = HeaderValue::try_from(denied.challenge()) {
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

fn allow(shared: &Shared, status: StatusCode, body: &Value) -> Response {
    shared.counters.record(|counts| counts.api_authorized += 1);
    respond::json(status, body)
}

/// `application/json`, or a type built on it, such as JSON:API's.
fn is_json(headers: &HeaderMap) -> bool {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = value.unwrap_or_default().split(';').next();
    let essence = essence.unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_consumers_make_room() {
        let listed = |consumers: &Consumers| -> Vec<Value> {
            let list: Value = serde_json::from_str(&consumers.list()).unwrap();
            list["data"].as_array().unwrap().clone()
        };
        let consumers = Consumers::default();
        assert!(listed(&consumers).is_empty());
        for number in 0..KEPT + 2 {
            consumers.add(number.to_string());
        }
        let kept = listed(&consumers);
        assert_eq!(kept.len(), KEPT);
        assert_eq!(kept.first(), Some(&Value::from(2)));
        assert_eq!(kept.last(), Some(&Value::from(KEPT + 1)));

        for _ in 0..KEPT {
            consumers.add(format!("\"{}\"", "x".repeat(64 * 1024)));
        }
        assert_eq!(listed(&consumers).len(), KEPT_BYTES / (64 * 1024 + 2));
    }

    #[test]
    fn json_types() {
        for (content_type, json) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/vnd.api+json", true),
            ("text/json", false),
            ("application/jsonp", false),
            ("application/x-www-form-urlencoded", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            assert_eq!(is_json(&headers), json, "{content_type}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
