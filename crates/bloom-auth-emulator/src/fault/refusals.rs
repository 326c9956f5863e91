//! The faults of a token endpoint that answers with something else than a token.

use super::{
    Endpoint, Entry,
    plan::{Answer, Content, DateForm, Plan, Value},
};

const TOKEN: &[Endpoint] = &[Endpoint::Token];

const LIMITED: Content = Content::Json(
    r#"{"error":"too_many_requests","error_description":"Global limit has been reached."}"#,
);

const fn instead(
    name: &'static str,
    row: &'static str,
    status: u16,
    headers: &'static [(&'static str, Value)],
    content: Content,
    description: &'static str,
) -> Entry {
    Entry {
        name,
        row,
        endpoints: TOKEN,
        description,
        plan: Plan::Instead(Answer {
            status,
            headers,
            content,
        }),
    }
}

/// A refusal by RFC 6749, section 5.2.
const fn refused(
    name: &'static str,
    status: u16,
    body: &'static str,
    description: &'static str,
) -> Entry {
    instead(name, "P7", status, &[], Content::Json(body), description)
}

macro_rules! redirect {
    ($name:literal, $row:literal, $status:literal, $location:literal, $description:literal) => {
        instead(
            $name,
            $row,
            $status,
            &[("location", Value::Is($location))],
            Content::Empty,
            $description,
        )
    };
}

/// 429 with this `Retry-After`.
macro_rules! limited {
    ($name:literal, $row:literal, $retry_after:expr, $description:literal) => {
        instead(
            $name,
            $row,
            429,
            &[("retry-after", $retry_after)],
            LIMITED,
            $description,
        )
    };
}

pub(super) static TABLE: &[Entry] = &[
    instead(
        "login-page",
        "P1",
        200,
        &[],
        Content::Html(
            "<!DOCTYPE html><html><body><form method=\"post\"><input name=\"password\"></form></body></html>\n",
        ),
        "200 with a login page.",
    ),
    instead("no-content", "P3", 204, &[], Content::None, "204."),
    redirect!(
        "redirect-301",
        "P4",
        301,
        "https://elsewhere.bloom-auth.invalid/oauth/token?next=1",
        "301 to another host."
    ),
    redirect!(
        "redirect-302",
        "P4",
        302,
        "https://elsewhere.bloom-auth.invalid/oauth/token?next=1",
        "302 to another host."
    ),
    redirect!(
        "redirect-303",
        "P4",
        303,
        "https://elsewhere.bloom-auth.invalid/oauth/token?next=1",
        "303 to another host."
    ),
    redirect!(
        "redirect-307",
        "P5",
        307,
        "https://elsewhere.bloom-auth.invalid/oauth/token?next=1",
        "307 to another host, which asks for the body to be sent on."
    ),
    redirect!(
        "redirect-308",
        "P5",
        308,
        "https://elsewhere.bloom-auth.invalid/oauth/token?next=1",
        "308 to another host, which asks for the body to be sent on."
    ),
    redirect!(
        "redirect-same-origin",
        "P6",
        308,
        "/oauth2/token",
        "308 to another path of this server."
    ),
    refused(
        "invalid-request",
        400,
        r#"{"error":"invalid_request","error_description":"A parameter is missing."}"#,
        "400 `invalid_request`.",
    ),
    refused(
        "invalid-grant",
        400,
        r#"{"error":"invalid_grant"}"#,
        "400 `invalid_grant`.",
    ),
    refused(
        "unauthorized-client",
        400,
        r#"{"error":"unauthorized_client","error_description":"Grant type not allowed for the client."}"#,
        "400 `unauthorized_client`.",
    ),
    refused(
        "unsupported-grant-type",
        400,
        r#"{"error":"unsupported_grant_type"}"#,
        "400 `unsupported_grant_type`.",
    ),
    refused(
        "invalid-scope",
        400,
        r#"{"error":"invalid_scope"}"#,
        "400 `invalid_scope`.",
    ),
    refused(
        "invalid-target",
        400,
        r#"{"error":"invalid_target"}"#,
        "400 `invalid_target`.",
    ),
    refused(
        "unknown-error-code",
        400,
        r#"{"error":"not_in_the_standard"}"#,
        "400 with an error code that nobody knows.",
    ),
    refused(
        "client-denied",
        401,
        r#"{"error":"access_denied","error_description":"Unauthorized"}"#,
        "401 `access_denied`, which is what Auth0 says to a wrong secret.",
    ),
    refused(
        "audience-denied",
        403,
        r#"{"error":"access_denied","error_description":"Service not enabled within domain"}"#,
        "403 `access_denied`, which is what Auth0 says to an unknown audience.",
    ),
    instead(
        "invalid-client",
        "P8",
        401,
        &[(
            "www-authenticate",
            Value::Is("Basic realm=\"bloom-auth-emulator\""),
        )],
        Content::Json(
            r#"{"error":"invalid_client","error_description":"Client authentication failed."}"#,
        ),
        "401 `invalid_client` with a challenge.",
    ),
    instead(
        "bad-request-page",
        "P10",
        400,
        &[],
        Content::Html("<html><body>Bad Request</body></html>\n"),
        "400 with an HTML page.",
    ),
    instead(
        "unauthorized-page",
        "P10",
        401,
        &[],
        Content::Html("<html><body>Unauthorized</body></html>\n"),
        "401 with an HTML page.",
    ),
    instead(
        "forbidden-page",
        "P10",
        403,
        &[],
        Content::Html("<html><body>Forbidden</body></html>\n"),
        "403 with an HTML page.",
    ),
    instead(
        "not-found-page",
        "P10",
        404,
        &[],
        Content::Html("<html><body>Not Found</body></html>\n"),
        "404 with an HTML page.",
    ),
    limited!(
        "rate-limited",
        "P11",
        Value::Is("7"),
        "429 and 7 s to come back after."
    ),
    instead(
        "rate-limited-openly",
        "P11",
        429,
        &[],
        LIMITED,
        "429 without a time to come back at.",
    ),
    limited!(
        "retry-after-date",
        "P12",
        Value::Date(DateForm::Imf, 7),
        "429 and a date to come back at, in 7 s."
    ),
    limited!(
        "retry-after-rfc850",
        "P12",
        Value::Date(DateForm::Rfc850, 7),
        "429 and a date to come back at, in 7 s, in the form of RFC 850."
    ),
    limited!(
        "retry-after-asctime",
        "P12",
        Value::Date(DateForm::Asctime, 7),
        "429 and a date to come back at, in 7 s, in the form of asctime."
    ),
    limited!(
        "retry-after-past",
        "P12",
        Value::Date(DateForm::Imf, -3600),
        "429 and a date to come back at that is past."
    ),
    limited!(
        "retry-after-huge",
        "P13",
        Value::Is("9223372037"),
        "429 and three centuries to come back after."
    ),
    limited!(
        "retry-after-digits",
        "P13",
        Value::Nines(10_000),
        "429 and a number of 10,000 digits to come back after."
    ),
    limited!(
        "retry-after-exponent",
        "P13",
        Value::Is("1e9"),
        "429 and a time to come back after that is no whole number."
    ),
    limited!(
        "retry-after-negative",
        "P13",
        Value::Is("-1"),
        "429 and a negative time to come back after."
    ),
    limited!(
        "retry-after-zero",
        "P13",
        Value::Is("0"),
        "429 and no time at all to come back after."
    ),
    limited!(
        "retry-after-words",
        "P13",
        Value::Is("abc"),
        "429 and a word to come back after."
    ),
    limited!(
        "retry-after-list",
        "P13",
        Value::Is("3600, 7"),
        "429 and two times to come back after."
    ),
    limited!(
        "retry-after-empty",
        "P13",
        Value::Is(""),
        "429 and an empty time to come back after."
    ),
    instead(
        "unavailable-retry-after",
        "P14",
        503,
        &[("retry-after", Value::Is("7"))],
        Content::Json(r#"{"error":"temporarily_unavailable"}"#),
        "503 and 7 s to come back after.",
    ),
    instead(
        "retry-after-wrong-clock",
        "P40",
        429,
        &[
            ("date", Value::Date(DateForm::Imf, -3600)),
            ("retry-after", Value::Date(DateForm::Imf, -3593)),
        ],
        LIMITED,
        "429 and a date to come back at, by a clock that is an hour slow.",
    ),
    instead(
        "hostile-description",
        "P41",
        400,
        &[],
        Content::Hostile,
        "400 whose description is long, and full of escape sequences and line breaks.",
    ),
    instead(
        "echo",
        "P42",
        400,
        &[],
        Content::Echo,
        "400 whose description repeats the request, client secret and all.",
    ),
];
