//! From a fault and the answer that is due to what is sent.

use axum::response::Response;
use http::{
    StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING},
};
use serde_json::json;

use super::{
    change, framing,
    plan::{Answer, Content, DateForm, Plan, Silence, Value},
};
use crate::{
    body,
    clock::Clock,
    wire::{End, Script, Step},
};

/// An answer as it goes over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    /// `None` where there is to be no length of a body either.
    pub(crate) body: Option<Vec<u8>>,
}

/// What an answer may depend on besides the fault.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting<'a> {
    pub(crate) clock: &'a Clock,
    /// The body of the request.
    pub(crate) request: &'a [u8],
    /// The body of the last good token response.
    pub(crate) previous: Option<&'a str>,
}

impl Plan {
    /// Whether it needs the answer that is due, which is then made, tokens and
    /// all.
    pub(crate) fn needs_answer(&self) -> bool {
        matches!(self, Self::Changed(_) | Self::Framed(_))
    }

    /// Whether the token of the answer that is due never arrives anywhere.
    pub(crate) fn repeats(&self) -> bool {
        matches!(self, Self::Changed([super::plan::Change::Previous]))
    }

    /// Whether an answer of this status, which is due, is another for it.
    pub(crate) fn changes(&self, status: u16) -> bool {
        !matches!(self, Self::Changed(_)) || (200..300).contains(&status)
    }

    /// What is sent; `None` if the answer that is due is missing and needed, and
    /// for certificates, which come before.
    pub(crate) fn script(&self, due: Option<Answered>, setting: Setting<'_>) -> Option<Script> {
        Some(match self {
            Self::Silent(silence) => silence.script(),
            Self::Instead(answer) => answer.answered(setting).closing(setting),
            Self::Changed(changes) => change::script(changes, due?, setting),
            Self::Framed(framing) => framing::script(*framing, &due?, setting),
            Self::Certificate(_) => return None,
        })
    }
}

impl Silence {
    fn script(self) -> Script {
        Script {
            status: None,
            steps: match self {
                Self::Hang => vec![Step::Silence],
                Self::Reset | Self::Close => Vec::new(),
            },
            end: match self {
                Self::Reset => End::Reset,
                Self::Close | Self::Hang => End::Close,
            },
        }
    }
}

impl Answered {
    pub(crate) async fn of(response: Response) -> Self {
        let (head, body) = response.into_parts();
        // The framing is not the answer's matter.
        let framing = [CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION];
        let headers = head.headers.iter();
        let headers = headers.filter(|(name, _)| !framing.contains(name));
        Self {
            status: head.status.as_u16(),
            headers: headers
                .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
                .collect(),
            body: Some(body::whole(body).await),
        }
    }

    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.headers.push((name.to_owned(), value.into()));
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.headers.retain(|(known, _)| known != name);
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(known, _)| known == name)
    }

    pub(super) fn body(&self) -> &[u8] {
        self.body.as_deref().unwrap_or_default()
    }

    /// Status line and headers, without those of the framing and the empty line.
    pub(super) fn head(&self, setting: Setting<'_>) -> Vec<u8> {
        let reason = StatusCode::from_u16(self.status)
            .ok()
            .and_then(|status| status.canonical_reason())
            .unwrap_or("Unknown");
        let mut head = format!("HTTP/1.1 {} {reason}\r\n", self.status).into_bytes();
        if !self.has("date") {
            head.extend(format!("date: {}\r\n", setting.clock.http_date(0)).into_bytes());
        }
        for (name, value) in &self.headers {
            head.extend(name.as_bytes());
            head.extend(b": ");
            head.extend(value);
            head.extend(b"\r\n");
        }
        head
    }

    /// The head with these headers of the framing, and its end.
    pub(super) fn bytes_of_head(&self, framing: &str, setting: Setting<'_>) -> Vec<u8> {
        let head = self.head(setting);
        [&head, framing.as_bytes(), b"\r\n"].concat()
    }

    /// The answer as it is, after which the connection is closed.
    pub(crate) fn closing(&self, setting: Setting<'_>) -> Script {
        let head = self.bytes_of_head(&self.framing(), setting);
        Script {
            status: Some(self.status),
            steps: vec![Step::Send([&head, self.body()].concat())],
            end: End::Close,
        }
    }

    /// The headers that a server sends which closes the connection.
    pub(super) fn framing(&self) -> String {
        match &self.body {
            Some(body) => format!("content-length: {}\r\nconnection: close\r\n", body.len()),
            None if self.has("connection") => String::new(),
            None => "connection: close\r\n".to_owned(),
        }
    }
}

impl Answer {
    fn answered(&self, setting: Setting<'_>) -> Answered {
        let json = "application/json";
        let (content_type, body) = match &self.content {
            Content::None => (None, None),
            Content::Empty => (None, Some(Vec::new())),
            Content::Json(text) => (Some(json), Some(text.as_bytes().to_vec())),
            Content::Html(text) => (
                Some("text/html; charset=utf-8"),
                Some(text.as_bytes().to_vec()),
            ),
            Content::Echo => {
                let request = String::from_utf8_lossy(setting.request);
                (Some(json), Some(invalid_request(&request)))
            }
            Content::Hostile => (Some(json), Some(invalid_request(&hostile()))),
        };
        let mut answered = Answered {
            status: self.status,
            headers: Vec::new(),
            body,
        };
        if let Some(content_type) = content_type {
            answered.set("content-type", content_type);
        }
        answered.set("cache-control", "no-store");
        for (name, value) in self.headers {
            let value = value.text(setting.clock);
            answered.headers.push(((*name).to_owned(), value.into()));
        }
        answered
    }
}

impl Value {
    fn text(&self, clock: &Clock) -> String {
        match self {
            Self::Is(text) => (*text).to_owned(),
            Self::Nines(count) => "9".repeat(*count),
            Self::Date(form, seconds) => form.write(&clock.http_date(*seconds)),
        }
    }
}

impl DateForm {
    /// The date in this form, from that in the usual one.
    pub(super) fn write(self, imf: &str) -> String {
        let mut parts = imf.split(' ');
        let mut next = || parts.next().unwrap_or_default();
        let (weekday, day, month, year, time) = (next(), next(), next(), next(), next());
        let weekday = weekday.trim_end_matches(',');
        let long = match weekday {
            "Tue" => "Tuesday",
            "Wed" => "Wednesday",
            "Thu" => "Thursday",
            "Sat" => "Saturday",
            "Sun" => "Sunday",
            "Mon" => "Monday",
            _ => "Friday",
        };
        match self {
            Self::Imf => imf.to_owned(),
            Self::Rfc850 => {
                let short_year = year.get(2..).unwrap_or_default();
                format!("{long}, {day}-{month}-{short_year} {time} GMT")
            }
            Self::Asctime => {
                let day = day.trim_start_matches('0');
                format!("{weekday} {month} {day:>2} {time} {year}")
            }
        }
    }
}

fn invalid_request(description: &str) -> Vec<u8> {
    json!({ "error": "invalid_request", "error_description": description })
        .to_string()
        .into_bytes()
}

/// Clears the screen, sets a title, rings, breaks lines, turns the writing
/// around, and goes on for 100 KiB.
fn hostile() -> String {
    let bad = "\u{1b}[2J\u{1b}]0;title\u{7}\r\nWARN forged=1\n\u{202e}\u{9b}31m";
    bad.repeat(100 * 1024 / bad.len() + 1)
}
