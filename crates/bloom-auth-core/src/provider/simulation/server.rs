//! The authorization server of a simulation: what it answers, and when.

use std::ops::Range;

use bytes::Bytes;
use http::{Response, StatusCode, header::RETRY_AFTER};

use super::{SECOND, random::Random};
use crate::transport::ResponseBody;

/// What comes of a token request.
pub(super) struct Answer {
    /// How long that takes.
    pub(super) after: u64,
    pub(super) what: What,
}

pub(super) enum What {
    Response(Response<ResponseBody>),
    /// No connection.
    Refused,
    /// No answer, ever.
    Silence,
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
        let (after, what) = match trouble {
            Some(Trouble::Refuses) => (SECOND / 1000, What::Refused),
            Some(Trouble::Silent) => (0, What::Silence),
            Some(Trouble::Unavailable) => (after, unavailable()),
            Some(Trouble::BrownOut(percent)) if random.happens(percent) => (after, unavailable()),
            Some(Trouble::TooMany(wait)) => (after, too_many(wait)),
            Some(Trouble::Quota(most)) => (after, self.within(most, now, after)),
            Some(Trouble::Slow) => (10 * after, self.token()),
            Some(Trouble::BrownOut(_)) | None => (after, self.token()),
        };
        Answer { after, what }
    }

    fn within(&mut self, most: usize, now: u64, after: u64) -> What {
        let minute = now / (60 * SECOND);
        if self.granted.0 != minute {
            self.granted = (minute, 0);
        }
        if self.granted.1 < most {
            self.granted.1 += 1;
            return self.token();
        }
        let left = ((minute + 1) * 60 * SECOND).saturating_sub(now + after);
        too_many(left.div_ceil(SECOND).max(1))
    }

    fn token(&mut self) -> What {
        self.tokens += 1;
        let body = format!(
            r#"{{"access_token":"t{}","token_type":"Bearer","expires_in":{}}}"#,
            self.tokens, self.lifetime
        );
        What::Response(Response::new(ResponseBody::from(Bytes::from(body))))
    }
}

fn unavailable() -> What {
    status(StatusCode::SERVICE_UNAVAILABLE)
}

fn too_many(wait: u64) -> What {
    let mut what = status(StatusCode::TOO_MANY_REQUESTS);
    if let What::Response(response) = &mut what {
        response.headers_mut().insert(RETRY_AFTER, wait.into());
    }
    what
}

fn status(status: StatusCode) -> What {
    let mut response = Response::new(ResponseBody::new());
    *response.status_mut() = status;
    What::Response(response)
}
