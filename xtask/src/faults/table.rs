//! The table of faults as it is written: `xtask/faults.toml`.

use std::fmt;

use serde::Deserialize;
use toml::Spanned;

/// Its path from the root.
pub(crate) const TABLE: &str = "xtask/faults.toml";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    fault: Vec<Spanned<Entry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    pub(crate) id: String,
    pub(crate) fault: String,
    pub(crate) promise: String,
    pub(crate) status: Status,
    pub(crate) reason: Option<String>,
    pub(crate) waits_for: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Tested,
    Declined,
    Pending,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tested => "tested",
            Self::Declined => "declined",
            Self::Pending => "pending",
        })
    }
}

/// What is no table, and the index of the line where it ceases to be one.
#[derive(Debug)]
pub(crate) struct Malformed {
    pub(crate) line: usize,
    pub(crate) message: String,
}

/// The entries, each with the index of its line.
pub(crate) fn parse(text: &str) -> Result<Vec<(usize, Entry)>, Malformed> {
    let line_of = |offset: usize| text.get(..offset).unwrap_or("").matches('\n').count();
    match toml::from_str::<Table>(text) {
        Ok(table) => Ok(table
            .fault
            .into_iter()
            .map(|entry| (line_of(entry.span().start), entry.into_inner()))
            .collect()),
        Err(error) => Err(Malformed {
            line: line_of(error.span().map_or(0, |span| span.start)),
            message: error.message().to_owned(),
        }),
    }
}
