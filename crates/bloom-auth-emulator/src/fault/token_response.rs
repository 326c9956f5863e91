//! The faults of a token response that is good but for one thing.

use std::time::Duration;

use super::{
    Endpoint, Entry,
    plan::{
        Change::{
            After, Again, Before, Body, Date, Fields, Form, Header, Long, Nested, Previous, Set,
            Status, Utf16, Wait, Without, WithoutHeader,
        },
        Plan,
    },
};

/// A line of the table: the answer that is due, changed.
macro_rules! changed {
    ($name:literal, $row:literal, [$($change:expr),+], $description:literal) => {
        Entry {
            name: $name,
            row: $row,
            endpoints: &[Endpoint::Token],
            description: $description,
            plan: Plan::Changed(&[$($change),+]),
        }
    };
}

pub(super) static TABLE: &[Entry] = &[
    changed!("empty-body", "P2", [Body(b"")], "200 with an empty body."),
    changed!(
        "error-beside-token",
        "P9",
        [Set("error", "\"invalid_scope\"")],
        "200 with an error beside the token."
    ),
    changed!(
        "expires-in-string",
        "P15",
        [Set("expires_in", "\"3600\"")],
        "The lifetime is a number in quotes."
    ),
    changed!(
        "expires-in-float",
        "P16",
        [Set("expires_in", "3600.0")],
        "The lifetime is a float."
    ),
    changed!(
        "expires-in-exponent",
        "P16",
        [Set("expires_in", "3.6e3")],
        "The lifetime is a float with an exponent."
    ),
    changed!(
        "expires-in-31-bits",
        "P17",
        [Set("expires_in", "2147483648")],
        "The lifetime is 2^31 s."
    ),
    changed!(
        "expires-in-64-bits",
        "P17",
        [Set("expires_in", "18446744073709551615")],
        "The lifetime is 2^64 - 1 s."
    ),
    changed!(
        "expires-in-endless",
        "P17",
        [Set("expires_in", "1e400")],
        "The lifetime is more than any number type holds."
    ),
    changed!(
        "expires-in-zero",
        "P18",
        [Set("expires_in", "0")],
        "The lifetime is zero."
    ),
    changed!(
        "expires-in-negative",
        "P18",
        [Set("expires_in", "-1")],
        "The lifetime is negative."
    ),
    changed!(
        "expires-in-very-negative",
        "P18",
        [Set("expires_in", "-9e18")],
        "The lifetime is very negative."
    ),
    changed!(
        "expires-in-missing",
        "P19",
        [Without("expires_in")],
        "The lifetime is missing."
    ),
    changed!(
        "expires-in-null",
        "P19",
        [Set("expires_in", "null")],
        "The lifetime is null."
    ),
    changed!(
        "expires-in-object",
        "P19",
        [Set("expires_in", "{\"seconds\":3600}")],
        "The lifetime is an object."
    ),
    changed!(
        "expires-in-words",
        "P19",
        [Set("expires_in", "\"an hour\"")],
        "The lifetime is a text."
    ),
    changed!(
        "expires-in-short",
        "P20",
        [Set("expires_in", "5")],
        "The lifetime is 5 s."
    ),
    changed!(
        "slower-than-lifetime",
        "P21",
        [Set("expires_in", "2"), Wait(Duration::from_secs(3))],
        "The lifetime is 2 s, and the answer comes after 3."
    ),
    changed!(
        "token-type-lower",
        "P22",
        [Set("token_type", "\"bearer\"")],
        "The token type is `bearer`."
    ),
    changed!(
        "token-type-upper",
        "P22",
        [Set("token_type", "\"BEARER\"")],
        "The token type is `BEARER`."
    ),
    changed!(
        "token-type-mac",
        "P23",
        [Set("token_type", "\"mac\"")],
        "The token type is `mac`."
    ),
    changed!(
        "token-type-dpop",
        "P23",
        [Set("token_type", "\"DPoP\"")],
        "The token type is `DPoP`."
    ),
    changed!(
        "token-type-empty",
        "P23",
        [Set("token_type", "\"\"")],
        "The token type is empty."
    ),
    changed!(
        "token-type-missing",
        "P23",
        [Without("token_type")],
        "The token type is missing."
    ),
    changed!(
        "token-with-line-break",
        "P24",
        [Set("access_token", r#""line\r\nx-break: 1""#)],
        "The access token has a line break."
    ),
    changed!(
        "token-with-nul",
        "P24",
        [Set("access_token", r#""nul\u0000nul""#)],
        "The access token has a NUL."
    ),
    changed!(
        "token-with-space",
        "P24",
        [Set("access_token", r#""two words""#)],
        "The access token has a space."
    ),
    changed!(
        "token-not-ascii",
        "P24",
        [Set("access_token", "\"t\u{f6}ken\"")],
        "The access token has a letter that is not of ASCII."
    ),
    changed!(
        "token-missing",
        "P25",
        [Without("access_token")],
        "The access token is missing."
    ),
    changed!(
        "token-empty",
        "P25",
        [Set("access_token", "\"\"")],
        "The access token is empty."
    ),
    changed!(
        "token-null",
        "P25",
        [Set("access_token", "null")],
        "The access token is null."
    ),
    changed!(
        "token-number",
        "P25",
        [Set("access_token", "42")],
        "The access token is a number."
    ),
    changed!(
        "token-list",
        "P25",
        [Set("access_token", "[\"a\"]")],
        "The access token is a list."
    ),
    changed!(
        "token-huge",
        "P25",
        [Long("access_token", 128 * 1024)],
        "The access token has 128 KiB."
    ),
    changed!(
        "duplicate-token",
        "P26",
        [Again("access_token", "\"another\"")],
        "There are two access tokens."
    ),
    changed!(
        "duplicate-expires-in",
        "P26",
        [Again("expires_in", "1")],
        "There are two lifetimes."
    ),
    changed!(
        "byte-order-mark",
        "P27",
        [Before(b"\xef\xbb\xbf")],
        "A byte order mark precedes the JSON."
    ),
    changed!(
        "invalid-utf8",
        "P28",
        [Body(
            b"{\"access_token\":\"\xff\xfe\",\"token_type\":\"Bearer\",\"expires_in\":3600}"
        )],
        "The body is not UTF-8."
    ),
    changed!(
        "lone-surrogate",
        "P28",
        [Set("access_token", r#""\ud800""#)],
        "The access token has an escape for half a character."
    ),
    changed!("utf-16", "P28", [Utf16], "The body is UTF-16."),
    changed!(
        "deep-nesting",
        "P29",
        [Nested("unknown", 100_000)],
        "A field that nobody knows has 100,000 lists in each other."
    ),
    changed!(
        "deep-token",
        "P29",
        [Nested("access_token", 100_000)],
        "The access token is 100,000 lists in each other."
    ),
    changed!(
        "trailing-data",
        "P30",
        [After(b"{}")],
        "Something follows the JSON."
    ),
    changed!(
        "many-fields",
        "P31",
        [Fields(10_000)],
        "There are 10,000 fields that nobody knows."
    ),
    changed!(
        "content-type-text",
        "P32",
        [Header("content-type", "text/plain")],
        "The content type is that of a text."
    ),
    changed!(
        "content-type-missing",
        "P32",
        [WithoutHeader("content-type")],
        "The content type is missing."
    ),
    changed!(
        "form-response",
        "P33",
        [Form],
        "The token response is a form."
    ),
    changed!(
        "fewer-scopes",
        "P34",
        [Set("scope", "\"read:nothing\"")],
        "Other scopes are granted than were asked for."
    ),
    changed!(
        "refresh-token",
        "P35",
        [Set("refresh_token", "\"do-not-keep-me\"")],
        "A refresh token comes along."
    ),
    changed!(
        "cacheable",
        "P36",
        [
            WithoutHeader("pragma"),
            Header("cache-control", "public, max-age=31536000")
        ],
        "The answer allows caches on the way to keep it."
    ),
    changed!(
        "same-token",
        "P39",
        [Previous],
        "The token of the answer before this one comes again."
    ),
    changed!(
        "wrong-date",
        "P40",
        [Date(-3600)],
        "The server's date is an hour ago."
    ),
    changed!(
        "created",
        "P10",
        [Status(201)],
        "A good answer has the status 201."
    ),
];
