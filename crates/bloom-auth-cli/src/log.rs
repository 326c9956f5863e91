//! What the library says of its work, as lines on stderr.

use std::{
    fmt::{self, Write as _},
    io::Write as _,
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use crate::output::{self, Kind, Style};

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verbosity {
    Quiet,
    /// What is wrong with the cache, since nobody else will tell.
    Warnings,
    /// What the library does, up to this level.
    Library(Level),
    /// What everything does.
    Everything,
}

impl Verbosity {
    pub(crate) fn of(quiet: bool, verbose: u8) -> Self {
        match (quiet, verbose) {
            (true, _) => Self::Quiet,
            (false, 0) => Self::Warnings,
            (false, 1) => Self::Library(Level::INFO),
            (false, 2) => Self::Library(Level::DEBUG),
            (false, _) => Self::Everything,
        }
    }

    fn says(self, target: &str, level: Level) -> bool {
        let is_ours = target.starts_with("bloom_auth");
        match self {
            Self::Quiet => false,
            Self::Warnings => target == "bloom_auth.cache" && level <= Level::WARN,
            Self::Library(most) => is_ours && level <= most,
            Self::Everything => true,
        }
    }
}

/// Prints events, and knows nothing of spans.
pub(crate) struct Lines {
    pub(crate) verbosity: Verbosity,
    pub(crate) style: Style,
    /// Whether to print the requests to an emulator, as lines of their own kind.
    pub(crate) requests: bool,
}

impl Lines {
    pub(crate) fn install(self) {
        // There is no other: it is called once.
        let _ = tracing::subscriber::set_global_default(self);
    }

    fn is_request(&self, metadata: &Metadata<'_>) -> bool {
        self.requests && metadata.target() == "bloom_auth_emulator"
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
            && (self.is_request(metadata)
                || self.verbosity.says(metadata.target(), *metadata.level()))
    }

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        if self.is_request(metadata) {
            let Fields { message, rest } = fields;
            let time = output::time::rfc3339(output::time::now());
            let what = if rest.contains(" status=") {
                ""
            } else {
                message.as_str()
            };
            let line = output::harmless(&format!("{time}{rest} {what}"));
            let _ = std::io::stderr().write_all(format!("{}\n", line.trim_end()).as_bytes());
            return;
        }
        let kind = if *metadata.level() <= Level::WARN {
            Kind::Warning
        } else {
            Kind::Note
        };
        let rest = fields.rest.trim_start();
        let message = match (fields.message.as_str(), rest) {
            (message, "") => message.to_owned(),
            (message, rest) => format!("{message} ({rest})"),
        };
        output::say(self.style, kind, &message);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[derive(Default)]
struct Fields {
    message: String,
    rest: String,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // To write to a string does not fail.
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.rest, " {}={value:?}", field.name())
        };
    }
}
