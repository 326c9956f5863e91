//! The faults of the API.

use super::{
    Endpoint, Entry,
    plan::{Answer, Content, Plan, Value},
};

const fn entry(
    name: &'static str,
    row: &'static str,
    status: u16,
    headers: &'static [(&'static str, Value)],
    body: &'static str,
    description: &'static str,
) -> Entry {
    Entry {
        name,
        row,
        endpoints: &[Endpoint::Api],
        description,
        plan: Plan::Instead(Answer {
            status,
            headers,
            content: Content::Json(body),
        }),
    }
}

const UNAUTHORIZED: &str = r#"{"errors":[{"status":"401","title":"Unauthorized"}]}"#;

pub(super) static TABLE: &[Entry] = &[
    entry(
        "api-invalid-token",
        "A1",
        401,
        &[(
            "www-authenticate",
            Value::Is(
                "Bearer realm=\"bloom-auth-emulator\", error=\"invalid_token\", error_description=\"The access token was revoked\"",
            ),
        )],
        UNAUTHORIZED,
        "401 whose challenge says `invalid_token`.",
    ),
    entry(
        "api-unauthorized",
        "A5",
        401,
        &[],
        UNAUTHORIZED,
        "401 without a challenge.",
    ),
    entry(
        "api-unauthorized-bearer",
        "A5",
        401,
        &[("www-authenticate", Value::Is("Bearer"))],
        UNAUTHORIZED,
        "401 whose challenge is `Bearer` and says no more.",
    ),
    entry(
        "api-unauthorized-basic",
        "A5",
        401,
        &[("www-authenticate", Value::Is("Basic realm=\"api\""))],
        UNAUTHORIZED,
        "401 whose challenge is of another scheme.",
    ),
    entry(
        "api-unauthorized-several",
        "A5",
        401,
        &[
            (
                "www-authenticate",
                Value::Is("Basic realm=\"a, b\", DPoP algs=\"ES256\""),
            ),
            (
                "www-authenticate",
                Value::Is("Bearer error=\"invalid_token\""),
            ),
        ],
        UNAUTHORIZED,
        "401 with three challenges in two headers.",
    ),
    entry(
        "api-unauthorized-nonsense",
        "A5",
        401,
        &[("www-authenticate", Value::Is("=\"Bearer, error=, ,\"\\"))],
        UNAUTHORIZED,
        "401 whose challenge is none.",
    ),
    entry(
        "api-insufficient-scope",
        "A6",
        403,
        &[(
            "www-authenticate",
            Value::Is(
                "Bearer realm=\"bloom-auth-emulator\", error=\"insufficient_scope\", error_description=\"The access token lacks the scope\", scope=\"data-access:all\"",
            ),
        )],
        r#"{"errors":[{"status":"403","title":"The access token lacks the scope"}]}"#,
        "403 whose challenge says `insufficient_scope` and names one.",
    ),
    entry(
        "api-invalid-request",
        "A7",
        400,
        &[(
            "www-authenticate",
            Value::Is("Bearer realm=\"bloom-auth-emulator\", error=\"invalid_request\""),
        )],
        r#"{"errors":[{"status":"400","title":"Bad request"}]}"#,
        "400 whose challenge says `invalid_request`.",
    ),
    entry(
        "api-rate-limited",
        "A8",
        429,
        &[("retry-after", Value::Is("7"))],
        r#"{"errors":[{"status":"429","title":"Too many requests"}]}"#,
        "429 and 7 s to come back after.",
    ),
    entry(
        "api-unavailable",
        "A8",
        503,
        &[("retry-after", Value::Is("7"))],
        r#"{"errors":[{"status":"503","title":"Unavailable"}]}"#,
        "503 and 7 s to come back after.",
    ),
    entry(
        "api-redirect",
        "A11",
        307,
        &[(
            "location",
            Value::Is("https://elsewhere.bloom-auth.invalid/v2/core/organization"),
        )],
        "{}",
        "307 to another origin.",
    ),
];
