//! Error responses: what is printed of them is what is left when everything that could harm is taken
//! out.
//!
//! Lines `status`, `client-id` and `client-secret`; the body is a line with the error, one with its
//! description, and the hint.

use bloom_auth_core::{
    ClientCredentials, ResponseBody,
    protocol::{OAuthError, ResponseError, TokenResponse},
};
use bytes::Bytes;
use http::{Response, StatusCode};

use crate::{json, message::Message, secrets};

const MAX_TEXT_CHARS: usize = 256;
const MAX_CODE_CHARS: usize = 64;

const REDACTED: &str = "[redacted]";

/// These are printed whatever the secret is.
const KNOWN: [&str; 11] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "invalid_target",
    "access_denied",
    "too_many_requests",
    "server_error",
    "temporarily_unavailable",
];

/// Tries one input.
pub fn run(input: &[u8]) {
    let message = Message::parse(input);
    let secret = message.text("client-secret").unwrap_or("hunter two&%");
    let id = message.text("client-id").unwrap_or("the-client");
    let status = message.number("status").unwrap_or(400);
    let (Some(credentials), Ok(status), Ok(body)) = (
        secrets::credentials(id, secret),
        StatusCode::from_u16(status),
        std::str::from_utf8(message.body),
    ) else {
        return;
    };
    let mut texts = body.splitn(3, '\n');
    let (code, description, hint) = (texts.next(), texts.next(), texts.next());
    let read = decode(status, code, description, hint, &credentials);
    let Some(read) = read else { return };
    assert_eq!(read.status(), status);
    let printed = read.code().to_string();
    if code.is_none_or(|code| !KNOWN.contains(&code)) {
        check(code, Some(&printed), MAX_CODE_CHARS, &credentials);
    }
    check(
        description,
        read.description(),
        MAX_TEXT_CHARS,
        &credentials,
    );
    check(hint, read.hint(), MAX_TEXT_CHARS, &credentials);

    // What was made safe once is not made any safer.
    let again = decode(
        status,
        Some(&printed),
        read.description(),
        read.hint(),
        &credentials,
    );
    let is_safe = |text: Option<&str>| {
        !text.is_some_and(|text| secrets::resembles(text.as_bytes(), &credentials))
    };
    if is_safe(Some(&printed)) && is_safe(read.description()) && is_safe(read.hint()) {
        assert_eq!(again.map(|again| again.to_string()), Some(read.to_string()));
    }
}

/// Sends the texts through an answer; `None` if it is refused before it is read.
fn decode(
    status: StatusCode,
    code: Option<&str>,
    description: Option<&str>,
    hint: Option<&str>,
    credentials: &ClientCredentials,
) -> Option<OAuthError> {
    let members = [
        ("error", code),
        ("error_description", description),
        ("error_hint", hint),
    ];
    let members = members.iter().filter_map(|(name, text)| {
        let text = (*text)?;
        Some(format!("{}:{}", json::literal(name), json::literal(text)))
    });
    let body = format!("{{{}}}", members.collect::<Vec<_>>().join(","));
    let mut response = Response::new(ResponseBody::from(Bytes::from(body)));
    *response.status_mut() = status;
    match TokenResponse::decode(&response, credentials) {
        Err(ResponseError::Refused(error)) => Some(error),
        Err(ResponseError::Redirect { .. } | ResponseError::TooLarge { .. }) => None,
        read => panic!("an error response was read as {read:?}"),
    }
}

fn check(text: Option<&str>, printed: Option<&str>, max: usize, credentials: &ClientCredentials) {
    let (Some(text), Some(printed)) = (text, printed) else {
        assert_eq!(text, printed);
        return;
    };
    assert!(printed.len() <= max, "{printed}");
    assert!(
        printed.bytes().all(|byte| matches!(byte, b' '..=b'~')),
        "{printed:?}"
    );
    // What stands on both sides of it does not belong together.
    let rest = printed.replace(REDACTED, "\n");
    assert!(!secrets::repeats(rest.as_bytes(), credentials), "{printed}");

    let read: String = text.chars().take(2 * max).collect();
    if printed == REDACTED && secrets::resembles(read.as_bytes(), credentials) {
        return;
    }
    let mut clean: String = read.split(' ').map(clean).collect::<Vec<_>>().join(" ");
    // A leading space is not kept.
    if read.starts_with(' ') {
        clean = clean.trim_start_matches(' ').to_owned();
    }
    clean.truncate(max);
    assert_eq!(printed, clean);
}

/// A word without what cannot be printed, and without what could be a credential.
fn clean(word: &str) -> String {
    let mut run = 0;
    let mut has_digit = false;
    for character in word.chars() {
        match character {
            'a'..='z'
            | 'A'..='Z'
            | '0'..='9'
            | '+'
            | '/'
            | '='
            | '_'
            | '-'
            | '.'
            | '~'
            | '%'
            | ':' => {
                run += 1;
                has_digit |= character.is_ascii_digit();
            }
            _ => (run, has_digit) = (0, false),
        }
        // The digit may come after the twentieth character.
        if run >= 20 && has_digit {
            return REDACTED.to_owned();
        }
    }
    let printable = |c: char| if (' '..='~').contains(&c) { c } else { '?' };
    word.chars().map(printable).collect()
}
