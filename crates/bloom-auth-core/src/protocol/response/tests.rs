//! Answers of every kind, as tables, and bytes of no kind.

mod refused;

use bytes::Bytes;
use http::{HeaderName, header::HeaderValue};
use proptest::prelude::*;

use super::*;
use crate::client::{ClientId, ClientSecret};

/// In every token, secret and page of these tests, and in no error.
const CANARY: &str = "canary";

fn credentials() -> ClientCredentials {
    let secret = ClientSecret::new("canary-secret").unwrap();
    ClientCredentials::new(ClientId::new("id").unwrap(), secret)
}

fn answer(status: u16, headers: &[(HeaderName, &str)], body: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(ResponseBody::from(body.into()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).unwrap();
        response.headers_mut().append(name, value);
    }
    let read = TokenResponse::decode(&response, &credentials());
    let text = match &read {
        Ok(token) => format!("{token:?} {token:#?} {:?}", token.bearer()),
        Err(error) => format!("{error} {error:?} {error:#?}"),
    };
    assert!(!text.contains(CANARY), "{text}");
    read
}

type Answer = Result<TokenResponse, ResponseError>;

fn ok(body: impl Into<Bytes>) -> Answer {
    answer(200, &[], body)
}

/// The answer with these fields beside a good token.
fn with(fields: &str) -> Answer {
    ok(format!(
        r#"{{"access_token":"canary-a","token_type":"Bearer"{fields}}}"#
    ))
}

fn missing(field: &'static str) -> ResponseError {
    ResponseError::Missing { field }
}

fn not_json(len: usize) -> ResponseError {
    let content_type = "unknown type".to_owned();
    ResponseError::NotJson { content_type, len }
}

#[test]
fn a_token_response_is_read() {
    let read = with(r#","expires_in":3600,"scope":"b a""#).unwrap();
    assert_eq!(read.bearer(), "Bearer canary-a");
    assert!(read.bearer().is_sensitive());
    assert_eq!(read.expires_in(), ExpiresIn::Seconds(3600));
    assert_eq!(*read.scopes().unwrap(), "a b".parse().unwrap());
    assert!(with("").unwrap().scopes().is_none());
}

#[test]
fn what_is_no_secret_of_a_token_response_is_shown() {
    let read = with(r#","expires_in":3600,"scope":"a""#).unwrap();
    let shown = format!("{read:?}");
    assert!(shown.starts_with("TokenResponse { expires_in: Seconds(3600), scopes: Some("));
}

#[test]
fn p42_no_scope_is_the_token_or_holds_the_secret() {
    let kept = |secret: &str, token: &str, scope: &str| {
        let body =
            format!(r#"{{"access_token":"{token}","token_type":"Bearer","scope":"{scope}"}}"#);
        let secret = ClientSecret::new(secret).unwrap();
        let credentials = ClientCredentials::new(ClientId::new("id").unwrap(), secret);
        let response = Response::new(ResponseBody::from(Bytes::from(body)));
        let read = TokenResponse::decode(&response, &credentials).unwrap();
        read.scopes().unwrap().to_string()
    };
    let of_words = "ab cd ef gh ij kl";
    for (secret, token, scope, expected) in [
        ("canary-secret", "canary-a", "read write", "read write"),
        // An answer that repeats the secret has no scopes, only parts of it.
        ("canary-secret", "canary-a", "read canary-secret", ""),
        (of_words, "canary-a", of_words, ""),
        (of_words, "canary-a", "read ab cd ef gh ij kl write", ""),
        (of_words, "canary-a", "ab cd", "ab cd"),
        ("canary-secret", "t0ken", "read t0ken", "read"),
        ("canary-secret", "s3cr3t.tok", "read:s3cr3t.tok a", "a"),
        ("canary-secret", "t0ken.8c", "read xt0ken.8cx", "read"),
        // So short a token says nothing, and could be part of any scope.
        ("canary-secret", "t0ken", "read t0ken2", "read t0ken2"),
        ("canary-secret", "t0ken.7", "read t0ken.7x", "read t0ken.7x"),
    ] {
        assert_eq!(kept(secret, token, scope), expected, "{token}, {scope}");
    }
}

#[test]
fn a_content_type_is_named_if_it_can_be_printed() {
    let (most, more) = ("x".repeat(64), "x".repeat(65));
    for (value, name, is_wrong) in [
        (Some("application/json"), "application/json", false),
        (
            Some("Application/JSON; charset=utf-8"),
            "Application/JSON",
            false,
        ),
        (Some("text/html"), "text/html", true),
        (
            Some(" application/problem+json ;x"),
            "application/problem+json",
            true,
        ),
        (Some(most.as_str()), &most, true),
        (Some(more.as_str()), "unknown type", true),
        (Some("text/ html"), "unknown type", true),
        (Some("; charset=utf-8"), "unknown type", true),
        (Some(""), "unknown type", true),
        (None, "unknown type", true),
    ] {
        let value = value.map(|value| (CONTENT_TYPE, HeaderValue::from_str(value).unwrap()));
        let headers = HeaderMap::from_iter(value);
        assert_eq!(content_type(&headers), name, "{headers:?}");
        let wrong = is_wrong.then(|| name.to_owned());
        assert_eq!(wrong_content_type(&headers), wrong, "{headers:?}");
    }
}

#[test]
fn p15_p16_p17_lifetimes_in_all_their_forms() {
    use ExpiresIn::{Over, Seconds, Unknown};
    let digits = format!("1{}", "0".repeat(400));
    for (json, expected) in [
        ("3600", Seconds(3600)),
        (r#""3600""#, Seconds(3600)),
        ("3600.0", Seconds(3600)),
        ("3.6e3", Seconds(3600)),
        (r#""3.6E+3""#, Seconds(3600)),
        ("3600.9", Seconds(3600)),
        ("1.0", Seconds(1)),
        ("1", Seconds(1)),
        ("4294967296", Seconds(1 << 32)),
        ("9223372036854775808", Seconds(1 << 63)),
        ("18446744073709551615", Seconds(u64::MAX)),
        ("18446744073709551616", Seconds(u64::MAX)),
        ("1e400", Seconds(u64::MAX)),
        (digits.as_str(), Seconds(u64::MAX)),
    ] {
        let read = with(&format!(r#","expires_in":{json}"#)).unwrap();
        assert_eq!(read.expires_in(), expected, "{json}");
    }
    for json in [
        "0", "-0", "0.0", "0.9", "-1", "-9e18", "-1e400", r#""0""#, r#""-1""#, "1e-400",
    ] {
        let read = with(&format!(r#","expires_in":{json}"#)).unwrap();
        assert_eq!(read.expires_in(), Over, "{json}");
    }
    for json in [
        "null",
        "true",
        "{}",
        "[3600]",
        r#""""#,
        r#""soon""#,
        r#"" 3600""#,
        r#""0x10""#,
        r#""NaN""#,
        r#""inf""#,
        r#""1_000""#,
        r#""e""#,
        r#""\ud800""#,
    ] {
        let read = with(&format!(r#","expires_in":{json}"#)).unwrap();
        assert_eq!(read.expires_in(), Unknown, "{json}");
    }
    assert_eq!(with("").unwrap().expires_in(), Unknown);
}

#[test]
fn p22_p23_the_type_is_bearer_in_any_case() {
    let of_type = |json: &str| {
        ok(format!(
            r#"{{"access_token":"canary-a","token_type":{json}}}"#
        ))
    };
    for json in [
        r#""Bearer""#,
        r#""bearer""#,
        r#""BEARER""#,
        r#""be\u0061rer""#,
    ] {
        assert_eq!(of_type(json).unwrap().bearer(), "Bearer canary-a", "{json}");
    }
    for json in [
        r#""mac""#,
        r#""DPoP""#,
        r#""N_A""#,
        r#""Bearer ""#,
        r#""canary""#,
    ] {
        assert_eq!(
            of_type(json).unwrap_err(),
            ResponseError::TokenType,
            "{json}"
        );
    }
    for json in [r#""""#, "null", "1", r#"["Bearer"]"#] {
        assert_eq!(of_type(json).unwrap_err(), missing("token_type"), "{json}");
    }
    let none = ok(r#"{"access_token":"canary-a"}"#);
    assert_eq!(none.unwrap_err(), missing("token_type"));
}

fn token(json: &str) -> Answer {
    ok(format!(
        r#"{{"access_token":{json},"token_type":"bearer"}}"#
    ))
}

#[test]
fn p24_only_what_a_header_may_hold_is_a_token() {
    for byte in (0..=0x20).chain(0x7f..=0xff_u8) {
        let json = serde_json::to_string(&format!("ab{}c", char::from(byte))).unwrap();
        let error = ResponseError::TokenCharacter { offset: 2 };
        assert_eq!(token(&json).unwrap_err(), error, "{byte:#x}");
    }
    for byte in 0x21..0x7f_u8 {
        let text = format!("ab{}c", char::from(byte));
        let json = serde_json::to_string(&text).unwrap();
        assert_eq!(
            *token(&json).unwrap().bearer(),
            format!("Bearer {text}"),
            "{byte:#x}"
        );
    }
    for (json, offset) in [(r#"" a""#, 0), (r#""a\r\nx: y""#, 1), ("\"\u{1f511}\"", 0)] {
        assert_eq!(
            token(json).unwrap_err(),
            ResponseError::TokenCharacter { offset }
        );
    }
}

#[test]
fn p25_what_is_no_token_is_refused() {
    for json in [
        r#""""#,
        "null",
        "1",
        "true",
        "{}",
        r#"["canary"]"#,
        r#"{"a":"canary"}"#,
    ] {
        assert_eq!(token(json).unwrap_err(), missing("access_token"), "{json}");
    }
    let none = ok(r#"{"token_type":"bearer","id_token":"canary"}"#);
    assert_eq!(none.unwrap_err(), missing("access_token"));
    let long = |len: usize| token(&format!("\"{}\"", "x".repeat(len)));
    assert_eq!(MAX_ACCESS_TOKEN_BYTES, 65_536);
    assert!(long(MAX_ACCESS_TOKEN_BYTES).is_ok());
    let len = MAX_ACCESS_TOKEN_BYTES + 1;
    assert_eq!(long(len).unwrap_err(), ResponseError::TokenTooLong { len });
}

#[test]
fn p26_what_stands_there_twice_is_refused() {
    for field in [
        "access_token",
        "token_type",
        "expires_in",
        "scope",
        "error",
        "error_description",
        "error_hint",
    ] {
        for value in ["null", "1", r#""canary""#] {
            let twice = format!(r#","{field}":{value},"{field}":{value}"#);
            assert_eq!(
                with(&twice).unwrap_err(),
                ResponseError::Duplicate { field },
                "{twice}"
            );
        }
    }
    let escaped = with(r#","access\u005ftoken":"canary-b""#);
    assert_eq!(
        escaped.unwrap_err(),
        ResponseError::Duplicate {
            field: "access_token"
        }
    );
    assert!(with(r#","x":1,"x":2"#).is_ok());
}

#[test]
fn p27_p31_p35_what_does_not_matter_is_tolerated() {
    let body = r#"{"access_token":"canary-a","token_type":"bearer"}"#;
    let many: String = (0..10_000)
        .map(|n| format!(r#","{n}":{{"a":[]}}"#))
        .collect();
    for read in [
        ok(format!("\u{feff}{body}")),
        ok(format!(" \r\n\t{body}\n")),
        answer(200, &[(CONTENT_TYPE, "text/plain")], body),
        answer(200, &[(CONTENT_TYPE, "text/html")], body),
        answer(200, &[(CONTENT_ENCODING, "Identity")], body),
        with(&many),
        with(r#","refresh_token":"canary-r","id_token":"canary-i""#),
        with(r#","error":null"#),
        with(r#","scope":null"#),
        with(r#","scope":["a"]"#),
        with(r#","Access_Token":"canary-b""#),
    ] {
        let read = read.unwrap();
        assert_eq!(read.bearer(), "Bearer canary-a");
        assert!(read.scopes().is_none());
    }
}

#[test]
fn p28_text_that_is_none_is_refused() {
    let body = r#"{"access_token":"canary-a","token_type":"bearer"}"#;
    let utf16: Vec<u8> = body.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let with_mark = [b"\xff\xfe".as_slice(), &utf16].concat();
    for body in [
        utf16,
        with_mark,
        [b"\xef\xbb\xbf\xef\xbb\xbf", body.as_bytes()].concat(),
    ] {
        let len = body.len();
        assert_eq!(ok(body).unwrap_err(), not_json(len));
    }
    // Wherever it stands.
    for (before, after) in [
        (r#"{"access_token":"a"#, r#"","token_type":"bearer"}"#),
        (
            r#"{"access_token":"a","token_type":"bearer","x":""#,
            r#""}"#,
        ),
        (r#"{"access_token":"a","token_type":"bearer",""#, r#"":1}"#),
    ] {
        for bad in [
            b"\xff".as_slice(),
            b"\xc0\x80",
            b"\xed\xa0\x80",
            b"\xf8\x88\x80\x80\x80",
        ] {
            let body = [before.as_bytes(), bad, after.as_bytes()].concat();
            let len = body.len();
            assert_eq!(ok(body).unwrap_err(), not_json(len), "{before}{bad:?}");
        }
    }
    assert_eq!(token(r#""a\ud800""#).unwrap_err(), missing("access_token"));
    assert_eq!(
        token(r#""a\udc00\ud800""#).unwrap_err(),
        missing("access_token")
    );
}

#[test]
fn p29_no_depth_overflows_the_stack() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let depth = 200_000 / (open.len() + close.len());
        let deep = format!("{}1{}", open.repeat(depth), close.repeat(depth));
        assert_eq!(token(&deep).unwrap_err(), missing("access_token"));
        assert!(with(&format!(r#","x":{deep}"#)).is_ok());
        let unclosed = open.repeat(depth);
        assert_eq!(ok(unclosed.clone()).unwrap_err(), not_json(unclosed.len()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn no_bytes_panic(status in 100..1000_u16, body in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = answer(status, &[], body);
    }

    #[test]
    fn no_json_like_text_panics(parts in prop::collection::vec(prop::sample::select(PARTS), 0..40)) {
        let body = parts.concat();
        if let Ok(read) = ok(body.clone()) {
            // Whatever was read as a token stood there.
            let text = read.bearer().to_str().unwrap();
            prop_assert!(body.contains(text.strip_prefix("Bearer ").unwrap()));
        }
    }
}

/// What token responses are made of.
const PARTS: &[&str] = &[
    "{",
    "}",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    ",",
    "\"",
    "\\",
    "\\u",
    "d800",
    "null",
    "true",
    "-",
    "1",
    "e9",
    ".5",
    r#""access_token":"a""#,
    r#""token_type":"bearer""#,
    r#""expires_in":"#,
    r#""error":"#,
    r#""scope":"#,
    r#"{"access_token":"a","token_type":"bearer""#,
    "\u{feff}",
    "\0",
    " ",
    "é",
];
