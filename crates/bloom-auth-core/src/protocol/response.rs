//! The token response (RFC 6749, section 5.1), read strictly and within
//! bounds.

use std::{fmt, time::Duration};

use bytes::{BufMut, BytesMut};
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING},
};
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{echo::holds_secret, error_response::OAuthError};
use crate::{client::ClientCredentials, scope::Scopes, transport::ResponseBody};

/// An access token may be this long; headers much longer are refused by the
/// servers that should read them.
pub const MAX_ACCESS_TOKEN_BYTES: usize = 64 * 1024;

/// So short a token could be a part of any scope.
const LEAST_PART_BYTES: usize = 8;

/// A token response that can be used: a bearer token that can be a header.
#[derive(Clone)]
pub struct TokenResponse {
    bearer: HeaderValue,
    expires_in: ExpiresIn,
    scopes: Option<Scopes>,
}

impl TokenResponse {
    /// Reads the answer to a token request. The credentials are those that
    /// the request was made with, so that an answer which echoes them is not
    /// repeated in an error.
    ///
    /// Tolerated, since servers in use do it: a missing or wrong content
    /// type, a byte order mark, `expires_in` as a string or a float, any case
    /// of `bearer`, unknown fields.
    ///
    /// # Errors
    ///
    /// [`ResponseError`], which says what is wrong with the answer and holds
    /// nothing of it that could be secret.
    pub fn decode(
        response: &Response<ResponseBody>,
        credentials: &ClientCredentials,
    ) -> Result<Self, ResponseError> {
        let status = response.status();
        if status.is_redirection() {
            return Err(ResponseError::Redirect { status });
        }
        if is_encoded(response.headers()) {
            return Err(ResponseError::Encoded);
        }
        let body = response.body().within_limit()?;
        let fields = Fields::read(body);
        if let Ok(fields) = &fields
            && let Some(error) = fields.error(status, credentials)?
        {
            return Err(ResponseError::Refused(error));
        }
        if status != StatusCode::OK {
            return Err(ResponseError::Status { status });
        }
        if has_two_lengths(response.headers()) {
            return Err(ResponseError::TwoLengths);
        }
        match fields {
            Ok(fields) => fields.token(credentials),
            Err(Unreadable::Duplicate(field)) => Err(ResponseError::Duplicate { field }),
            Err(Unreadable::NotJson) if body.is_empty() => Err(ResponseError::Empty),
            Err(Unreadable::NotJson) => Err(ResponseError::NotJson {
                content_type: content_type(response.headers()),
                len: body.len(),
            }),
        }
    }

    /// The `Authorization` header's value, marked sensitive.
    #[must_use]
    pub fn bearer(&self) -> &HeaderValue {
        &self.bearer
    }

    /// The lifetime that the server named.
    #[must_use]
    pub fn expires_in(&self) -> ExpiresIn {
        self.expires_in
    }

    /// The scopes that the server granted, if it named any.
    #[must_use]
    pub fn scopes(&self) -> Option<&Scopes> {
        self.scopes.as_ref()
    }
}

impl fmt::Debug for TokenResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenResponse")
            .field("expires_in", &self.expires_in)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

/// The `expires_in` field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExpiresIn {
    /// A lifetime of whole seconds; those too large for the type as the
    /// largest.
    Seconds(u64),
    /// Zero, negative or less than a second.
    Over,
    /// Not there, or nothing that can be read as a number.
    Unknown,
}

impl ExpiresIn {
    /// Reads a number, or a number in a string, by its JSON text.
    fn read(value: &Scalar) -> Self {
        let (Scalar::Number(text) | Scalar::Text(text)) = value else {
            return Self::Unknown;
        };
        let is_number = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
        if !text.bytes().all(is_number) {
            return Self::Unknown;
        }
        if let Ok(seconds) = text.parse::<u64>() {
            return if seconds == 0 {
                Self::Over
            } else {
                Self::Seconds(seconds)
            };
        }
        match text.parse::<f64>() {
            Ok(seconds) if seconds < 1.0 => Self::Over,
            // Saturates, and keeps the whole seconds.
            Ok(seconds) => Self::Seconds(
                Duration::try_from_secs_f64(seconds)
                    .map_or(u64::MAX, |lifetime| lifetime.as_secs()),
            ),
            Err(_) => Self::Unknown,
        }
    }
}

/// What is wrong with an answer of the token endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResponseError {
    /// The server answered as RFC 6749, section 5.2, says.
    #[error("{0}")]
    Refused(OAuthError),
    /// Redirects of token requests are never followed: they would carry the
    /// secret elsewhere.
    #[error("status {}: redirects are not followed; set the token URL that is right", status.as_u16())]
    Redirect {
        /// The status of the answer.
        status: StatusCode,
    },
    /// A status other than 200, without an error response.
    #[error("status {} without an OAuth error", status.as_u16())]
    Status {
        /// The status of the answer.
        status: StatusCode,
    },
    /// A `Content-Encoding`, though none was accepted.
    #[error("the body is compressed, which the request did not allow")]
    Encoded,
    /// A length that is told in two ways, as in an attempt to make two readers
    /// see two answers (RFC 9112, section 11.1).
    #[error("the length of the body is told in two ways")]
    TwoLengths,
    /// More bytes than any token response has.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// No body at all.
    #[error("the body is empty")]
    Empty,
    /// Not a JSON object: a login page, an HTML error, a truncated answer.
    #[error("the body ({len} bytes of {content_type}) is not a JSON object")]
    NotJson {
        /// The media type, made safe to print.
        content_type: String,
        /// The size of the body in bytes.
        len: usize,
    },
    /// A field that stands there twice, so that its value is anyone's guess.
    #[error("the field `{field}` stands there more than once")]
    Duplicate {
        /// The field.
        field: &'static str,
    },
    /// A field is missing, empty, or of another type than a string.
    #[error("the field `{field}` is missing, empty or not a string")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A token type other than `Bearer` (RFC 6749, section 7.1: must not be
    /// used).
    #[error("the token type is not `Bearer`")]
    TokenType,
    /// An access token over [`MAX_ACCESS_TOKEN_BYTES`].
    #[error("the access token has {len} bytes, more than {MAX_ACCESS_TOKEN_BYTES}")]
    TokenTooLong {
        /// Its size in bytes.
        len: usize,
    },
    /// An access token that could not stand in a header.
    #[error("the access token has a character at byte {offset} that no header may hold")]
    TokenCharacter {
        /// Where the first such byte is.
        offset: usize,
    },
}

/// The fields that matter, each seen at most once.
#[derive(Default)]
struct Fields {
    access_token: Option<Scalar>,
    token_type: Option<Scalar>,
    expires_in: Option<Scalar>,
    scope: Option<Scalar>,
    error: Option<Scalar>,
    error_description: Option<Scalar>,
    error_hint: Option<Scalar>,
}

enum Unreadable {
    NotJson,
    Duplicate(&'static str),
}

/// A JSON value as far as we read it.
enum Scalar {
    Text(String),
    /// As it was written: JSON numbers have no limits, Rust's have.
    Number(String),
    Null,
    Other,
}

impl Scalar {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl Fields {
    fn read(body: &[u8]) -> Result<Self, Unreadable> {
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        // As a whole: serde_json does not look into strings that it ignores.
        let body = std::str::from_utf8(body).map_err(|_| Unreadable::NotJson)?;
        let mut reader = serde_json::Deserializer::from_str(body);
        let fields = (&mut reader)
            .deserialize_map(FieldsVisitor)
            .map_err(|_| Unreadable::NotJson)?;
        reader.end().map_err(|_| Unreadable::NotJson)?;
        fields.map_err(Unreadable::Duplicate)
    }

    fn error(
        &self,
        status: StatusCode,
        credentials: &ClientCredentials,
    ) -> Result<Option<OAuthError>, ResponseError> {
        let error = match &self.error {
            None | Some(Scalar::Null) => return Ok(None),
            Some(error) => error,
        };
        let Some(code) = error.text() else {
            // Frameworks put numbers and objects there; the status says more.
            let field = "error";
            return match status {
                StatusCode::OK => Err(ResponseError::Missing { field }),
                _ => Ok(None),
            };
        };
        let text = |field: &'_ Option<Scalar>| field.as_ref()?.text().map(str::to_owned);
        Ok(Some(OAuthError::new(
            status,
            code,
            text(&self.error_description).as_deref(),
            text(&self.error_hint).as_deref(),
            credentials,
        )))
    }

    fn token(&self, credentials: &ClientCredentials) -> Result<TokenResponse, ResponseError> {
        let text = |field: &'static str, value: &'_ Option<Scalar>| {
            let text = value.as_ref().and_then(Scalar::text).unwrap_or_default();
            if text.is_empty() {
                return Err(ResponseError::Missing { field });
            }
            Ok(text.to_owned())
        };
        let token_type = text("token_type", &self.token_type)?;
        if !token_type.eq_ignore_ascii_case("bearer") {
            return Err(ResponseError::TokenType);
        }
        let token = text("access_token", &self.access_token)?;
        let bearer = bearer(&token)?;
        let expires_in = self.expires_in.as_ref();
        let scope = self.scope.as_ref().and_then(Scalar::text);
        // A scope ends up in logs: nothing secret may pass for one. The secret may
        // be spread over many, so that none of them tells.
        let holds_token = |scope: &str| {
            scope == token || token.len() >= LEAST_PART_BYTES && scope.contains(&token)
        };
        let scopes = scope.map(|text| {
            if holds_secret(text, credentials) {
                return Scopes::default();
            }
            Scopes::from_answer(text, |scope| !holds_token(scope))
        });
        Ok(TokenResponse {
            bearer,
            expires_in: expires_in.map_or(ExpiresIn::Unknown, ExpiresIn::read),
            scopes,
        })
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Result<Fields, &'static str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a token response")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields::default();
        let mut duplicate = None;
        while let Some(name) = map.next_key::<String>()? {
            let (name, slot) = match name.as_str() {
                "access_token" => ("access_token", &mut fields.access_token),
                "token_type" => ("token_type", &mut fields.token_type),
                "expires_in" => ("expires_in", &mut fields.expires_in),
                "scope" => ("scope", &mut fields.scope),
                "error" => ("error", &mut fields.error),
                "error_description" => ("error_description", &mut fields.error_description),
                "error_hint" => ("error_hint", &mut fields.error_hint),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            let value = scalar(map.next_value::<&RawValue>()?.get());
            if slot.replace(value).is_some() {
                duplicate = Some(name);
            }
        }
        Ok(duplicate.map_or(Ok(fields), Err))
    }
}

fn scalar(json: &str) -> Scalar {
    match json.bytes().next() {
        Some(b'"') => serde_json::from_str(json).map_or(Scalar::Other, Scalar::Text),
        Some(b'-' | b'0'..=b'9') => Scalar::Number(json.to_owned()),
        Some(b'n') => Scalar::Null,
        _ => Scalar::Other,
    }
}

/// `Bearer …` as a sensitive header value; only the characters that RFC 6750
/// and every header allow.
pub(crate) fn bearer(token: &str) -> Result<HeaderValue, ResponseError> {
    if token.len() > MAX_ACCESS_TOKEN_BYTES {
        return Err(ResponseError::TokenTooLong { len: token.len() });
    }
    let refused = |offset| ResponseError::TokenCharacter { offset };
    if let Some(offset) = token.bytes().position(|byte| !byte.is_ascii_graphic()) {
        return Err(refused(offset));
    }
    let mut value = BytesMut::with_capacity(BEARER.len() + token.len());
    value.put(BEARER.as_bytes());
    value.put(token.as_bytes());
    let mut bearer = HeaderValue::from_maybe_shared(value.freeze()).map_err(|_| refused(0))?;
    bearer.set_sensitive(true);
    Ok(bearer)
}

/// What stands before the token in the header: always in this spelling,
/// whatever the server's.
pub(crate) const BEARER: &str = "Bearer ";

fn is_encoded(headers: &HeaderMap) -> bool {
    headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// Whether readers could disagree about where the body ends.
fn has_two_lengths(headers: &HeaderMap) -> bool {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else {
        return false;
    };
    headers.contains_key(TRANSFER_ENCODING) || lengths.any(|length| length != first)
}

/// What a token response calls itself, made safe to print, if it is another
/// type than RFC 6749, section 5.1, asks for.
pub(crate) fn wrong_content_type(headers: &HeaderMap) -> Option<String> {
    let content_type = content_type(headers);
    (!content_type.eq_ignore_ascii_case("application/json")).then_some(content_type)
}

fn content_type(headers: &HeaderMap) -> String {
    let unknown = || "unknown type".to_owned();
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return unknown();
    };
    let text = value.to_str().unwrap_or_default();
    let media_type = text.split(';').next().unwrap_or_default().trim();
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"/+-.".contains(&byte);
    if media_type.is_empty() || media_type.len() > 64 || !media_type.bytes().all(is_safe) {
        return unknown();
    }
    media_type.to_owned()
}

#[cfg(test)]
mod tests;
