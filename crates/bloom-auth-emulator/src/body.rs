//! Reads request bodies, up to a size and within a time.

use std::{future::poll_fn, pin::Pin, time::Duration};

use axum::body::Body;
use http::StatusCode;
use hyper::body::Body as _;
use tokio::time::timeout;

/// The most that is kept of a body, in bytes.
pub(crate) const LIMIT: usize = 64 * 1024;

/// The most that is read of a body, in bytes. What is past [`LIMIT`] is thrown
/// away: a client that is still writing when the connection closes would not
/// see the answer.
const DRAINED: usize = 1024 * 1024;

const TIME: Duration = Duration::from_secs(10);

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyFault {
    TooLarge,
    TooSlow,
    Broken,
}

pub(crate) async fn read(body: Body) -> Result<Vec<u8>, BodyFault> {
    timeout(TIME, collect(body))
        .await
        .unwrap_or(Err(BodyFault::TooSlow))
}

async fn collect(mut body: Body) -> Result<Vec<u8>, BodyFault> {
    let mut kept = Vec::new();
    let mut seen = 0_usize;
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(data) = frame.map_err(|_| BodyFault::Broken)?.into_data() else {
            continue;
        };
        seen = seen.saturating_add(data.len());
        if seen <= LIMIT {
            kept.extend_from_slice(&data);
        } else if seen > DRAINED {
            break;
        }
    }
    if seen > LIMIT {
        return Err(BodyFault::TooLarge);
    }
    Ok(kept)
}

/// All of a body that this server has made itself, which cannot fail.
pub(crate) async fn whole(mut body: Body) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        if let Ok(data) = frame.into_data() {
            whole.extend_from_slice(&data);
        }
    }
    whole
}

impl BodyFault {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Broken => StatusCode::BAD_REQUEST,
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::TooLarge => "The body is larger than 64 KiB.",
            Self::TooSlow => "The body did not arrive in time.",
            Self::Broken => "The body ended too early.",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_limit_is_the_largest_that_fits() {
        for (size, fits) in [
            (0, true),
            (LIMIT, true),
            (LIMIT + 1, false),
            (DRAINED + 1, false),
        ] {
            let result = read(Body::from(vec![b'a'; size])).await;
            match result {
                Ok(body) => assert!(fits && body.len() == size, "{size}"),
                Err(fault) => assert!(!fits && fault == BodyFault::TooLarge, "{size}"),
            }
        }
    }
}
