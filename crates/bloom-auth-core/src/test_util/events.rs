//! The events that code emits, and those that the documentation names: a table
//! that nobody compares with the code is soon wrong.

use std::{
    collections::BTreeSet,
    fmt, fs, io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use tracing::{
    Dispatch, Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
    subscriber::NoSubscriber,
};

/// What an event looks like: all but its values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct EventShape {
    /// Its target, such as `bloom_auth.fetch`.
    pub target: String,
    /// Its level, in small letters.
    pub level: String,
    /// The names of its fields, without the message.
    pub fields: BTreeSet<String>,
}

/// A [`Subscriber`] that remembers the shape of every event under a target of
/// ours, for `tracing::subscriber::with_default`. Clones share what they saw.
#[derive(Clone, Debug)]
pub struct EventLog {
    shapes: Arc<Mutex<BTreeSet<EventShape>>>,
    /// While there is but one subscriber, tracing asks the thread that reaches
    /// an event first, which may be another test's, and takes its answer for
    /// all.
    _second: Dispatch,
}

impl EventLog {
    /// One that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            shapes: Arc::default(),
            _second: Dispatch::new(NoSubscriber::new()),
        }
    }

    /// The shapes of the events so far.
    #[must_use]
    pub fn seen(&self) -> BTreeSet<EventShape> {
        let shapes = self.shapes.lock();
        shapes.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Default for EventLog {
    fn default() -> Self {
        Self::new()
    }
}

/// Collects the fields that an event has, not those that its macro declares.
struct Names(BTreeSet<String>);

impl Visit for Names {
    fn record_debug(&mut self, field: &Field, _: &dyn fmt::Debug) {
        if field.name() != "message" {
            self.0.insert(field.name().to_owned());
        }
    }
}

impl Subscriber for EventLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target().starts_with("bloom_auth")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut names = Names(BTreeSet::new());
        event.record(&mut names);
        let shape = EventShape {
            target: event.metadata().target().to_owned(),
            level: event.metadata().level().as_str().to_lowercase(),
            fields: names.0,
        };
        let mut seen = self.shapes.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(shape);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// The events of the crate of this name, according to the table in the
/// documentation of this one.
#[must_use]
pub fn documented_events(name: &str) -> BTreeSet<EventShape> {
    table(include_str!("../lib.rs"), name)
}

fn table(text: &str, name: &str) -> BTreeSet<EventShape> {
    let rows = text.lines().filter_map(|line| {
        let cells = line.strip_prefix("//! | `bloom_auth")?;
        let mut cells = cells.split('|').map(str::trim);
        let target = cells.next()?.trim_end_matches('`');
        let (level, fields, by) = (cells.next()?, cells.next()?, cells.next()?);
        let bare = |cell: &str| cell.trim().trim_matches('`').to_owned();
        (bare(by) == name).then(|| EventShape {
            target: format!("bloom_auth{target}"),
            level: level.to_owned(),
            fields: fields.split(',').map(bare).collect(),
        })
    });
    rows.collect()
}

/// How many places in the code below `source`, tests aside, emit an event: more
/// than a run has come to, perhaps.
///
/// # Errors
///
/// If a file or folder cannot be read.
pub fn emitted_events(source: &Path) -> io::Result<usize> {
    const MACROS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "event"];
    let mut count = 0;
    for entry in source.read_dir()? {
        let entry = entry?;
        let (name, path) = (entry.file_name(), entry.path());
        if entry.file_type()?.is_dir() {
            if name != "test_util" && name != "tests" {
                count += emitted_events(&path)?;
            }
        } else if path.extension().is_some_and(|it| it == "rs") && name != "tests.rs" {
            let text = fs::read_to_string(path)?;
            for name in MACROS {
                count += text.matches(&format!("tracing::{name}!(")).count();
            }
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(target: &str, level: &str, fields: &[&str]) -> EventShape {
        EventShape {
            target: target.to_owned(),
            level: level.to_owned(),
            fields: fields.iter().map(|&field| field.to_owned()).collect(),
        }
    }

    #[test]
    fn events_of_ours_are_seen_with_all_but_their_values() {
        let log = EventLog::new();
        tracing::subscriber::with_default(log.clone(), || {
            let _span = tracing::info_span!(target: "bloom_auth.fetch", "s", x = 1).entered();
            tracing::warn!(target: "bloom_auth.fetch", a = 1, b = %"c", "message");
            tracing::warn!(target: "bloom_auth.fetch", a = 2, b = %"d", "another");
            tracing::trace!(target: "bloom_auth.cache", "message");
            tracing::error!(target: "somebody.else", a = 1, "message");
        });
        let expected = [
            shape("bloom_auth.cache", "trace", &[]),
            shape("bloom_auth.fetch", "warn", &["a", "b"]),
        ];
        assert_eq!(log.seen(), BTreeSet::from(expected));
    }

    #[test]
    fn the_table_is_read_by_crate() {
        let text = "//! | target | level | fields | crate | when |\n//! |---|---|---|---|---|\n\
                    //! | `bloom_auth.a` | info | `x`, `y` | `one` | always |\n\
                    //! | `bloom_auth.b` | warn | `z` | `two` | never |\n";
        let expected = shape("bloom_auth.a", "info", &["x", "y"]);
        assert_eq!(table(text, "one"), BTreeSet::from([expected]));
        assert_eq!(table(text, "three"), BTreeSet::new());
    }
}
