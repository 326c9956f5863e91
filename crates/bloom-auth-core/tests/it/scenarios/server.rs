//! The words of a scenario's `server`, one line for each answer:
//!
//! - `token A 100`: the token called A, for 100 s
//! - `status 503`, `oauth 401 invalid_client`, `html 200`, `empty 200`,
//!   `large 200`
//! - `raw 200 {"access_token": "@A"}`: this body, where `@A` is the token
//!   called A
//! - `big 65537`: a token of so many bytes
//! - `deep 50000`: the token called A beside lists of this depth
//! - `fail connect`: no answer, an error of the transport
//! - `never`, `panic`
//!
//! and then, each after ` | `, `delay 3` for an answer that takes 3 s, or a
//! header as `retry-after: 7`.

use std::time::Duration;

use bloom_auth_core::{MAX_BODY_BYTES, TransportErrorKind, test_util::Reply};
use http::{HeaderName, StatusCode, header::CONTENT_TYPE};

use super::words::parse;
use crate::support::{token_reply, wire};

pub(super) fn reply(line: &str) -> Result<Reply, String> {
    let mut parts = line.split(" | ");
    let what = parts.next().unwrap_or_default();
    let mut reply = answer(what)?;
    for option in parts {
        reply = if let Some(seconds) = option.strip_prefix("delay ") {
            reply.after(Duration::from_secs_f64(parse(seconds)?))
        } else if let Some((name, value)) = option.split_once(": ") {
            let name = parse::<HeaderName>(name)?;
            // The reply takes headers from source code; a test may leak.
            reply.with_header(name, value.to_owned().leak())
        } else {
            return Err(format!("unknown option `{option}` of the server"));
        };
    }
    Ok(reply)
}

fn answer(line: &str) -> Result<Reply, String> {
    let words: Vec<&str> = line.splitn(3, ' ').collect();
    Ok(match words[..] {
        ["token", name, lifetime] => token_reply(name, parse(lifetime)?),
        ["status", code] => Reply::answer(status(code)?, ""),
        ["oauth", code, error] => Reply::error(status(code)?, error),
        ["html", code] => Reply::answer(status(code)?, "<html>canary-body</html>")
            .with_header(CONTENT_TYPE, "text/html; charset=utf-8"),
        ["empty", code] => Reply::answer(status(code)?, ""),
        ["large", code] => Reply::answer(status(code)?, vec![b' '; MAX_BODY_BYTES + 1]),
        ["raw", code, body] => Reply::answer(status(code)?, body.replace('@', &wire(""))),
        ["big", length] => Reply::token(&"x".repeat(parse(length)?), 100),
        ["deep", depth] => Reply::answer(StatusCode::OK, deep(parse(depth)?)),
        ["fail", kind] => Reply::failure(failure(kind)?),
        ["never"] => Reply::never(),
        ["panic"] => Reply::panic(),
        _ => return Err(format!("unknown word of the server: `{line}`")),
    })
}

fn deep(depth: usize) -> String {
    let (open, close, token) = ("[".repeat(depth), "]".repeat(depth), wire("A"));
    format!(
        r#"{{"x":{open}{close},"access_token":"{token}","token_type":"bearer","expires_in":100}}"#
    )
}

fn failure(kind: &str) -> Result<TransportErrorKind, String> {
    Ok(match kind {
        "connect" => TransportErrorKind::Connect,
        "tls" => TransportErrorKind::Tls,
        "proxy" => TransportErrorKind::Proxy,
        "timeout" => TransportErrorKind::Timeout,
        "interrupted" => TransportErrorKind::Interrupted,
        "too_large" => TransportErrorKind::BodyTooLarge,
        "configuration" => TransportErrorKind::Configuration,
        _ => return Err(format!("unknown failure `{kind}`")),
    })
}

fn status(code: &str) -> Result<StatusCode, String> {
    code.parse().map_err(|_| format!("`{code}` is no status"))
}
