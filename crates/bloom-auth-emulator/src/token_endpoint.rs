//! The two token endpoints over HTTP: the decision is [`crate::oauth`]'s.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
    routing::{Router, any},
};
use http::{
    HeaderValue, StatusCode,
    header::{ALLOW, CACHE_CONTROL, HOST, PRAGMA, WWW_AUTHENTICATE},
};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    assertion::Arrival,
    body,
    oauth::{self, Dialect},
    quota::Standing,
    refusal::Refusal,
    respond,
    state::Shared,
};

pub(crate) fn routes() -> Router<Arc<Shared>> {
    Dialect::ALL
        .into_iter()
        .fold(Router::new(), |router, dialect| {
            router.route(
                dialect.path(),
                any(
                    move |State(shared): State<Arc<Shared>>, request: Request| async move {
                        token(&shared, dialect, request).await
                    },
                ),
            )
        })
}

/// The error answer as HTTP, with the headers that every refusal carries.
pub(crate) fn refuse(refusal: &Refusal, dialect: Dialect) -> Response {
    let answer = refusal.answer(dialect);
    let mut response = uncached(answer.status, &answer.body);
    let headers = response.headers_mut();
    if answer.challenge {
        headers.insert(
            WWW_AUTHENTICATE,
            HeaderValue::from_static("Basic realm=\"bloom-auth-emulator\""),
        );
    }
    match refusal {
        Refusal::Method => {
            headers.insert(ALLOW, HeaderValue::from_static("POST"));
        }
        Refusal::Quota(standing) => standing.write_refused(dialect, headers),
        _ => {}
    }
    response
}

async fn token(shared: &Shared, dialect: Dialect, request: Request) -> Response {
    let counted = request.method() == http::Method::POST;
    let response = match grant(shared, dialect, request).await {
        Ok((body, standing)) => {
            shared.counters.record(|counts| counts.tokens_issued += 1);
            shared.set_previous(Some(body.to_string()));
            let mut response = uncached(StatusCode::OK, &body);
            if let Some(standing) = standing {
                standing.write(dialect, response.headers_mut());
            }
            response
        }
        Err(refusal) => {
            if counted {
                shared
                    .counters
                    .record(|counts| counts.token_requests_refused += 1);
            }
            refuse(&refusal, dialect)
        }
    };
    let latency = shared.latency();
    if !latency.is_zero() {
        sleep(latency).await;
    }
    response
}

/// The token response, and how the quotas then stand, if there are any.
async fn grant(
    shared: &Shared,
    dialect: Dialect,
    request: Request,
) -> Result<(Value, Option<Standing>), Refusal> {
    let (head, body) = request.into_parts();
    oauth::check_head(&head.method, &head.headers)?;
    let body = body::read(body).await?;
    // The host is one of ours: others do not get this far.
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    let (scheme, host, path) = (shared.scheme, host.unwrap_or_default(), dialect.path());
    let now = shared.clock.now();
    let scope = oauth::decide(
        dialect,
        &head.headers,
        &body,
        &shared.client,
        shared.tokens.audience(),
        Arrival {
            url: &format!("{scheme}://{host}{path}"),
            unix_millis: now,
        },
    )?;
    let standing = shared.quotas.take(now).map_err(Refusal::Quota)?;
    let lifetime = shared.token_lifetime_millis();
    let id = shared.token_ids.token_id();
    let token = shared.tokens.issue(&id, &scope, now, lifetime);
    let body = json!({
        "access_token": token,
        "scope": scope,
        "expires_in": lifetime / 1000,
        "token_type": "Bearer",
    });
    Ok((body, standing))
}

/// RFC 6749, section 5.1, asks for both headers against caches; errors get them
/// as well.
fn uncached(status: StatusCode, body: &Value) -> Response {
    let mut response = respond::json(status, body);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}
