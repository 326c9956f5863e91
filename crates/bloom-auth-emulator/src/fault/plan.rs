//! What a fault does, as data.

use std::time::Duration;

/// What is done in the place of answering, or with the answer.
#[derive(Debug)]
pub(crate) enum Plan {
    /// This answer, and no other is made.
    Instead(Answer),
    /// The answer that is due, with these changes if it is a good one.
    Changed(&'static [Change]),
    /// The answer that is due, sent in another way.
    Framed(Framing),
    /// No answer.
    Silent(Silence),
    /// TLS with a certificate that no client may accept.
    Certificate(Certificate),
}

/// An answer made up of constants and dates.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: &'static [(&'static str, Value)],
    pub(crate) content: Content,
}

#[derive(Debug)]
pub(crate) enum Value {
    Is(&'static str),
    /// So many times the digit nine.
    Nines(usize),
    /// A date so many seconds from now.
    Date(DateForm, i64),
}

/// The three forms of an HTTP date (RFC 9110, section 5.6.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DateForm {
    Imf,
    Rfc850,
    Asctime,
}

#[derive(Debug)]
pub(crate) enum Content {
    /// No body, and no length of one.
    None,
    Empty,
    Json(&'static str),
    Html(&'static str),
    /// An OAuth error whose description repeats the request's body.
    Echo,
    /// An OAuth error whose description is long and full of control characters.
    Hostile,
}

/// A change to a good answer.
#[derive(Debug)]
pub(crate) enum Change {
    /// A field has this JSON for a value, whether or not it was there.
    Set(&'static str, &'static str),
    Without(&'static str),
    /// A field stands there once more, with this JSON for a value.
    Again(&'static str, &'static str),
    /// A string so long in a field.
    Long(&'static str, usize),
    /// So many fields that nobody knows.
    Fields(usize),
    /// A field with arrays in each other, so deep.
    Nested(&'static str, usize),
    Before(&'static [u8]),
    After(&'static [u8]),
    Body(&'static [u8]),
    Utf16,
    Form,
    /// The body of the good answer before this one.
    Previous,
    Header(&'static str, &'static str),
    WithoutHeader(&'static str),
    Date(i64),
    Status(u16),
    Wait(Duration),
}

/// A way to send an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    SlowHead,
    SlowBody,
    HeadCutShort,
    BodyCutShort,
    TrailingGarbage,
    ChunksCutShort,
    BadChunkSize,
    HugeChunkSize,
    TwoLengths,
    LengthAndChunks,
    EndlessHead,
    Interim,
    EndlessInterim,
    EndlessBody,
    GzipBomb,
    GarbageStatusLine,
    /// Promises to keep the connection, and closes it.
    BrokenPromise,
}

/// A way to send none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// A reset.
    Reset,
    /// A close.
    Close,
    /// Not a byte until the other side hangs up.
    Hang,
}

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Certificate {
    Expired,
    OtherName,
    UnknownIssuer,
}
