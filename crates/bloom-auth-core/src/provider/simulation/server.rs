//! The authorization server of a simulation: what it answers, and when.

use std::{
    ops::Range,
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{DATE, RETRY_AFTER},
};

use super::{SECOND, random::Random};
use crate::transport::ResponseBody;

const MINUTE: u64 = 60 * SECOND;

/// What the server's clock shows: nothing that anybody else's does.
const SERVER_CLOCK: u64 = 1_500_000_000;

/// What comes of a token request.
pub(super) struct Answer {
    /// How long that takes.
    pub(super) after: u64,
    pub(super) what: What,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum What {
    Response(Reply),
    /// No connection.
    Refused,
    /// No answer, ever.
    Silence,
}

/// A response in short.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Reply {
    /// The token with this number, and its lifetime in seconds.
    Token(u64, u64),
    Unavailable,
    /// 429 and a `Retry-After` of so many seconds.
    TooMany(u64),
    /// The same as a date, by a clock of the server's own.
    TooManyUntil(u64),
}

impl Reply {
    pub(super) fn response(self) -> Response<ResponseBody> {
        let (status, body) = match self {
            Self::Token(number, lifetime) => {
                let body = format!(
                    r#"{{"access_token":"t{number}","token_type":"Bearer","expires_in":{lifetime}}}"#
                );
                (StatusCode::OK, body)
            }
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, String::new()),
            Self::TooMany(_) | Self::TooManyUntil(_) => {
                (StatusCode::TOO_MANY_REQUESTS, String::new())
            }
        };
        let mut response = Response::new(ResponseBody::from(Bytes::from(body)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        match self {
            Self::TooMany(wait) => {
                headers.insert(RETRY_AFTER, wait.into());
            }
            Self::TooManyUntil(wait) => {
                let date = |seconds| {
                    let date = UNIX_EPOCH + Duration::from_secs(SERVER_CLOCK + seconds);
                    HeaderValue::from_str(&httpdate::fmt_http_date(date)).unwrap()
                };
                headers.insert(DATE, date(0));
                headers.insert(RETRY_AFTER, date(wait));
            }
            Self::Token(..) | Self::Unavailable => {}
        }
        response
    }
}

/// What the server does instead of its work.
#[derive(Clone, Copy, Debug)]
pub(super) enum Trouble {
    Refuses,
    Unavailable,
    Silent,
    /// So many of a hundred requests are answered with 503.
    BrownOut(u64),
    /// Every request is answered with 429 and this `Retry-After`, in seconds.
    TooMany(u64),
    /// Only so many requests in a minute are not; `Retry-After` tells when the
    /// next minute begins.
    Quota(usize),
    /// None is granted until it is over, and the date at which the next minute
    /// begins is given to all.
    Window,
    /// Answers take ten times as long.
    Slow,
}

pub(super) struct Server {
    /// Of its tokens, in seconds.
    pub(super) lifetime: u64,
    pub(super) latency: Range<u64>,
    pub(super) trouble: Option<(Range<u64>, Trouble)>,
    /// The minute and how many requests of it were granted.
    granted: (u64, usize),
    /// Whether each token is another one, which only those who share a cache
    /// could tell.
    pub(super) tokens_differ: bool,
    tokens: u64,
}

impl Server {
    /// A server in good health, with tokens of this lifetime in seconds.
    pub(super) fn new(lifetime: u64) -> Self {
        Self {
            lifetime,
            latency: SECOND / 20..SECOND / 2,
            trouble: None,
            granted: (0, 0),
            tokens_differ: false,
            tokens: 0,
        }
    }

    /// The same with trouble during these seconds.
    pub(super) fn with(mut self, seconds: Range<u64>, trouble: Trouble) -> Self {
        self.trouble = Some((seconds.start * SECOND..seconds.end * SECOND, trouble));
        self
    }

    pub(super) fn answer(&mut self, now: u64, random: &mut Random) -> Answer {
        let after = random.between(self.latency.start, self.latency.end);
        let trouble = match &self.trouble {
            Some((time, trouble)) if time.contains(&now) => Some(*trouble),
            _ => None,
        };
        let reply = |reply| (after, What::Response(reply));
        let (after, what) = match trouble {
            Some(Trouble::Refuses) => (SECOND / 1000, What::Refused),
            Some(Trouble::Silent) => (0, What::Silence),
            Some(Trouble::Unavailable) => reply(Reply::Unavailable),
            Some(Trouble::BrownOut(percent)) if random.happens(percent) => {
                reply(Reply::Unavailable)
            }
            Some(Trouble::TooMany(wait)) => reply(Reply::TooMany(wait)),
            Some(Trouble::Quota(most)) => reply(self.within(most, now, after)),
            Some(Trouble::Window) => reply(Reply::TooManyUntil(left_of_minute(now + after))),
            Some(Trouble::Slow) => (10 * after, What::Response(self.token())),
            Some(Trouble::BrownOut(_)) | None => reply(self.token()),
        };
        Answer { after, what }
    }

    fn within(&mut self, most: usize, now: u64, after: u64) -> Reply {
        let minute = now / MINUTE;
        if self.granted.0 != minute {
            self.granted = (minute, 0);
        }
        if self.granted.1 < most {
            self.granted.1 += 1;
            return self.token();
        }
        let left = ((minute + 1) * MINUTE).saturating_sub(now + after);
        Reply::TooMany(left.div_ceil(SECOND).max(1))
    }

    fn token(&mut self) -> Reply {
        if self.tokens_differ {
            self.tokens += 1;
        }
        Reply::Token(self.tokens, self.lifetime)
    }
}

/// In whole seconds, and no less.
fn left_of_minute(now: u64) -> u64 {
    (MINUTE - now % MINUTE).div_ceil(SECOND)
}
