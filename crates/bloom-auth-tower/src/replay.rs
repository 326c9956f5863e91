//! [`Replay`]: which bodies can be sent twice.

use http_body::Body;

/// Copies the body of a request before it is sent, in case that it has to be
/// sent once more.
///
/// A closure `Fn(&B) -> Option<B>` is one.
pub trait Replay<B> {
    /// A body that sends what this one would; `None` if there can be none.
    fn copy(&self, body: &B) -> Option<B>;
}

/// Sends a request once more if its body is empty.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct ReplayEmpty;

impl<B: Body + Default> Replay<B> for ReplayEmpty {
    fn copy(&self, body: &B) -> Option<B> {
        body.is_end_stream().then(B::default)
    }
}

/// Sends a request once more with a clone of its body.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct ReplayCloned;

impl<B: Clone> Replay<B> for ReplayCloned {
    fn copy(&self, body: &B) -> Option<B> {
        Some(body.clone())
    }
}

impl<B, F: Fn(&B) -> Option<B>> Replay<B> for F {
    fn copy(&self, body: &B) -> Option<B> {
        self(body)
    }
}
