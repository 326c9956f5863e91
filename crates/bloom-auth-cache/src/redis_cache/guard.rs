//! Looks at what a server sends before anything else does: replies of the few
//! kinds that we ask for, none of them large. Whatever else comes, of whatever
//! length it is said to be, ends the connection before memory is taken for it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Longer than any status, number or error.
const MAX_LINE: usize = 8 * 1024;

/// A stream whose reads fail once the server has sent something odd.
#[derive(Debug)]
pub(super) struct Guarded<S> {
    stream: S,
    replies: Replies,
}

impl<S> Guarded<S> {
    /// Lets values through that have no more bytes than this.
    pub(super) fn new(stream: S, max_value: usize) -> Self {
        Self {
            stream,
            replies: Replies {
                max_value,
                state: State::Start,
            },
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        let new = buffer.filled().get(before..).unwrap_or_default();
        let checked = this.replies.take(new);
        if checked.is_err() {
            buffer.set_filled(before);
        }
        Poll::Ready(checked)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

/// Follows replies byte by byte.
#[derive(Debug)]
struct Replies {
    max_value: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Before a reply.
    Start,
    /// In a line of so many bytes, whose length does not matter.
    Line(usize),
    /// The same after a carriage return.
    LineEnd(usize),
    /// In the length of a value.
    Length { text: Vec<u8> },
    /// In a value with so many bytes to come, its line break among them.
    Value(usize),
    /// It went wrong.
    Odd,
}

/// The most digits of a length, and its carriage return.
const MAX_DIGITS: usize = 21;

impl Replies {
    fn take(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while let Some((byte, rest)) = bytes.split_first() {
            self.state = match std::mem::replace(&mut self.state, State::Odd) {
                State::Value(left) => {
                    let passed = left.min(bytes.len());
                    bytes = bytes.get(passed..).unwrap_or_default();
                    self.state = match left - passed {
                        0 => State::Start,
                        left => State::Value(left),
                    };
                    continue;
                }
                State::Start => match byte {
                    b'+' | b'-' | b':' => State::Line(0),
                    b'$' => State::Length { text: Vec::new() },
                    _ => return Err(odd("a reply of a kind that was not asked for")),
                },
                State::LineEnd(_) if *byte == b'\n' => State::Start,
                // The parser behind this one would read on, and keep it all.
                State::Line(_) if *byte == b'\n' => return Err(odd("a line without an end")),
                State::Line(length) | State::LineEnd(length) if length < MAX_LINE => match byte {
                    b'\r' => State::LineEnd(length + 1),
                    _ => State::Line(length + 1),
                },
                State::Line(_) | State::LineEnd(_) => return Err(odd("a line without an end")),
                State::Length { text } if *byte == b'\n' => self.value(&text)?,
                State::Length { mut text } if text.len() < MAX_DIGITS => {
                    text.push(*byte);
                    State::Length { text }
                }
                State::Length { .. } => return Err(odd("a value of no length")),
                State::Odd => return Err(odd("more after what was wrong")),
            };
            bytes = rest;
        }
        Ok(())
    }

    /// What comes after the length of a value.
    fn value(&self, text: &[u8]) -> io::Result<State> {
        let text = text
            .strip_suffix(b"\r")
            .ok_or_else(|| odd("a line without an end"))?;
        if text == b"-1" {
            return Ok(State::Start);
        }
        let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
        let length = std::str::from_utf8(text)
            .ok()
            .filter(|_| is_number)
            .ok_or_else(|| odd("a value of no length"))?;
        match length.parse::<usize>() {
            Ok(length) if length <= self.max_value => Ok(State::Value(length + 2)),
            _ => Err(odd("a value that is larger than any of ours")),
        }
    }
}

fn odd(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("it sent {what}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(bytes: &[u8], chunk: usize) -> Result<(), String> {
        let mut replies = Replies {
            max_value: 10,
            state: State::Start,
        };
        for chunk in bytes.chunks(chunk.max(1)) {
            replies.take(chunk).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    #[test]
    fn r6_replies_that_were_asked_for_pass_however_they_are_cut() {
        let good =
            b"+OK\r\n:1\r\n:-12\r\n-ERR no\r\n$-1\r\n$0\r\n\r\n$10\r\n$9\r\n*9\r\n>>\r\n+OK\r\n";
        for chunk in 1..=good.len() {
            assert_eq!(check(good, chunk), Ok(()), "{chunk}");
        }
    }

    #[test]
    fn r6_what_is_odd_is_seen_at_its_first_bytes() {
        let long_line = [b"+", &[b'x'; MAX_LINE + 1][..]].concat();
        for (bytes, problem) in [
            (&b"$11\r\n"[..], "larger"),
            (b"$1073741824\r\n", "larger"),
            (b"$18446744073709551615\r\n", "larger"),
            (b"$99999999999999999999\r\n", "larger"),
            (b"$-2\r\n", "no length"),
            (b"$+1\r\n", "no length"),
            (b"$\r\n", "no length"),
            (b"$1.5\r\n", "no length"),
            (b"$000000000000000000000001", "no length"),
            (b"*1000000000\r\n", "kind"),
            (b"*-1\r\n", "kind"),
            (b">3\r\n", "kind"),
            (b"%1\r\n", "kind"),
            (b"HTTP/1.1 400 Bad Request\r\n", "kind"),
            (b"\0", "kind"),
            (b"\r\n", "kind"),
            (b"+OK\r\n\r\n", "kind"),
            // Longer than it said.
            (b"$1\r\nab\r\n", "kind"),
            (&long_line, "without an end"),
            (b"+\n", "without an end"),
            (b"+OK\n+OK\r\n", "without an end"),
            (b":1\n", "without an end"),
            (b"+\r\r\rx\n", "without an end"),
            (b"$0\nxx", "without an end"),
        ] {
            for chunk in [1, 2, 3, bytes.len()] {
                let error = check(bytes, chunk).unwrap_err();
                assert!(error.contains(problem), "{bytes:?}: {error}");
            }
        }
    }

    proptest! {
        #[test]
        fn r6_noise_never_panics_and_cuts_do_not_matter(
            bytes in proptest::collection::vec(
                prop_oneof![Just(b'$'), Just(b'1'), Just(b'\r'), Just(b'\n'), Just(b'+'), any::<u8>()],
                0..200,
            ),
            chunk in 1_usize..50,
        ) {
            prop_assert_eq!(check(&bytes, chunk).is_ok(), check(&bytes, 1).is_ok());
        }
    }
}
