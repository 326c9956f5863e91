//! A sign of life on stderr while a fetch takes long, on a terminal alone.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

/// Before that, nobody wonders.
pub(crate) const PATIENCE: Duration = Duration::from_millis(500);
const TURN: Duration = Duration::from_millis(100);
const FRAMES: [&str; 8] = ["|", "/", "-", "\\", "|", "/", "-", "\\"];

/// It is gone from the terminal when it is dropped.
pub(crate) struct Spinner {
    message: &'static str,
    turns: usize,
    is_on_terminal: bool,
}

impl Spinner {
    pub(crate) fn new(message: &'static str) -> Self {
        Self {
            message,
            turns: 0,
            is_on_terminal: io::stderr().is_terminal(),
        }
    }

    /// How long until it turns, after so much of the first wait has passed.
    pub(crate) fn pause(&self, waited: Duration) -> Duration {
        if self.turns == 0 {
            PATIENCE.saturating_sub(waited)
        } else {
            TURN
        }
    }

    pub(crate) fn turn(&mut self) {
        let frame = FRAMES.get(self.turns % FRAMES.len()).unwrap_or(&"");
        self.turns += 1;
        if self.is_on_terminal {
            let _ = write!(io::stderr(), "\r{frame} {} ", self.message);
        }
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        if self.is_on_terminal && self.turns > 0 {
            let _ = io::stderr().write_all(b"\r\x1b[K");
        }
    }
}
