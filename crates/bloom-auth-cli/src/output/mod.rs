//! What goes to stdout and stderr, and how it looks.

pub(crate) mod bar;
pub(crate) mod shell;
pub(crate) mod spinner;
pub(crate) mod time;

use std::{
    ffi::OsString,
    io::{self, IsTerminal as _, Write as _},
};

use crate::exit::{Exit, Failure};

/// Writes all of it to stdout. Whoever has closed it early has had enough, which
/// is fine; anything else is a failure that does not repeat what was written.
pub(crate) fn print(bytes: &[u8]) -> Result<(), Failure> {
    let written = stdout().and_then(|mut stdout| {
        stdout.write_all(bytes)?;
        stdout.flush()
    });
    written.map_err(|error| unwritable(&error))
}

pub(crate) fn unwritable(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Failure::quiet(Exit::Ok);
    }
    Failure::new(
        Exit::Files,
        format!("the standard output cannot be written to: {error}"),
    )
}

/// Without the buffer of the standard library, and without its indulgence for an
/// output that cannot be written to.
#[cfg(unix)]
fn stdout() -> io::Result<std::fs::File> {
    use std::os::fd::AsFd as _;
    Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
}

#[cfg(not(unix))]
fn stdout() -> io::Result<io::StdoutLock<'static>> {
    Ok(io::stdout().lock())
}

/// One line to stderr; if that cannot be written to there is nobody to tell.
pub(crate) fn say(style: Style, kind: Kind, message: &str) {
    let (label, colour) = match kind {
        Kind::Error => ("error", Colour::Red),
        Kind::Warning => ("warning", Colour::Yellow),
        Kind::Note => ("note", Colour::Blue),
    };
    let line = format!("{}: {}\n", style.paint(colour, label), harmless(message));
    let _ = io::stderr().write_all(line.as_bytes());
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Error,
    Warning,
    Note,
}

/// Without what a terminal would take for a command. Messages may repeat what a
/// server, a file or a path said.
pub(crate) fn harmless(text: &str) -> String {
    let character = |c: char| match c {
        '\n' | '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        // They turn the direction of what follows.
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c => c,
    };
    text.chars().map(character).collect()
}

/// Does the same to bytes as they come, which may end within a character.
#[derive(Debug, Default)]
pub(crate) struct Harmless {
    last: u8,
}

impl Harmless {
    pub(crate) fn make(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            let is_command = match *byte {
                b'\n' | b'\r' | b'\t' => false,
                0x7f => true,
                // U+0080 to U+009F, in UTF-8.
                0x80..=0x9f => self.last == 0xc2,
                other => other < b' ',
            };
            self.last = *byte;
            if is_command {
                *byte = b'?';
            }
        }
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Colour {
    Red,
    Green,
    Yellow,
    Blue,
    Bold,
    Dim,
}

/// Whether there are colours: on a terminal, unless `NO_COLOR` is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Style {
    colours: bool,
}

impl Style {
    pub(crate) fn of(is_terminal: bool, lookup: &dyn Fn(&str) -> Option<OsString>) -> Self {
        let forbidden = lookup("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_dumb = lookup("TERM").is_some_and(|term| term == "dumb");
        Self {
            colours: is_terminal && !forbidden && !is_dumb,
        }
    }

    pub(crate) fn stdout(lookup: &dyn Fn(&str) -> Option<OsString>) -> Self {
        Self::of(io::stdout().is_terminal(), lookup)
    }

    pub(crate) fn stderr(lookup: &dyn Fn(&str) -> Option<OsString>) -> Self {
        Self::of(io::stderr().is_terminal(), lookup)
    }

    pub(crate) fn paint(self, colour: Colour, text: &str) -> String {
        let code = match colour {
            Colour::Red => "1;31",
            Colour::Green => "32",
            Colour::Yellow => "1;33",
            Colour::Blue => "34",
            Colour::Bold => "1",
            Colour::Dim => "2",
        };
        if self.colours {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_that_want_them() {
        let environment = |pairs: &'static [(&str, &str)]| {
            move |name: &str| {
                let found = pairs.iter().find(|(it, _)| *it == name);
                found.map(|(_, value)| OsString::from(value))
            }
        };
        for (is_terminal, pairs, colours) in [
            (true, &[][..], true),
            (true, &[("NO_COLOR", "")], true),
            (true, &[("TERM", "xterm")], true),
            (true, &[("NO_COLOR", "1")], false),
            (true, &[("TERM", "dumb")], false),
            (false, &[], false),
        ] {
            let style = Style::of(is_terminal, &environment(pairs));
            assert_eq!(style.paint(Colour::Red, "x") != "x", colours, "{pairs:?}");
        }
    }

    #[test]
    fn bytes_command_no_terminal_however_they_are_cut() {
        let bytes = "a\x1b]0;t\x07\u{9b}31m\r\n\t\x7f\u{e9}\u{1f980}\u{a0}\0".as_bytes();
        let expected = [
            b"a?]0;t?\xc2?31m\r\n\t?",
            "\u{e9}\u{1f980}\u{a0}?".as_bytes(),
        ];
        for cut in 0..=bytes.len() {
            let mut bytes = bytes.to_vec();
            let mut harmless = Harmless::default();
            let (start, end) = bytes.split_at_mut(cut);
            harmless.make(start);
            harmless.make(end);
            assert_eq!(bytes, expected.concat(), "{cut}");
        }
    }

    #[test]
    fn nothing_that_is_printed_commands_a_terminal() {
        let text = "a\x1b]0;title\x07\u{9b}31m\u{202e}b\nc";
        assert_eq!(
            harmless(text),
            "a\u{fffd}]0;title\u{fffd}\u{fffd}31m\u{fffd}b c"
        );
    }
}
