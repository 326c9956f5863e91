//! Faults by name: what each is, where it can be played, and which row of the
//! project's table of faults it stands for.

mod answer;
mod api;
mod change;
mod framing;
mod gzip;
mod network;
mod plan;
mod refusals;
#[cfg(test)]
mod tests;
mod token_response;

use std::{fmt, str::FromStr};

pub(crate) use self::{
    answer::{Answered, Setting},
    plan::{Certificate, Plan},
};

/// Something that goes wrong, by its name.
///
/// [`Fault::all`] has every one. Most are of the network (group N of the table
/// of faults in `xtask/faults.toml`) or of the protocol (group P); a few are of
/// the API (group A).
///
/// ```
/// use bloom_auth_emulator::Fault;
///
/// let fault: Fault = "server-error".parse()?;
/// assert_eq!((fault.name(), fault.row()), ("server-error", "N24"));
///
/// let error = "sever-error".parse::<Fault>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "there is no fault `sever-error`; the nearest is `server-error`",
/// );
/// # Ok::<(), bloom_auth_emulator::FaultError>(())
/// ```
#[derive(Clone, Copy)]
pub struct Fault(&'static Entry);

/// A line of the tables in this folder.
#[derive(Debug)]
pub(crate) struct Entry {
    name: &'static str,
    row: &'static str,
    endpoints: &'static [Endpoint],
    description: &'static str,
    plan: Plan,
}

impl Entry {
    /// Where its row stands in the project's table: network, protocol, API.
    fn place(&self) -> (Option<usize>, u32) {
        let mut row = self.row.chars();
        let group = row.next().and_then(|group| "NPA".find(group));
        (group, row.as_str().parse().unwrap_or_default())
    }
}

/// Where a fault is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Endpoint {
    /// The token endpoints, at requests by `POST`.
    Token,
    /// Everything else but the admin endpoint.
    Api,
    /// Connections as they are accepted, whatever they are for: the admin
    /// endpoint is behind them too.
    Connection,
}

/// What stands in the place of a fault, an endpoint or a schedule and is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FaultError {
    /// No fault has this name.
    #[error("there is no fault `{name}`; the nearest is `{nearest}`")]
    #[non_exhaustive]
    Unknown {
        /// The name, cut and made safe to print.
        name: String,
        /// The name that looks most like it.
        nearest: &'static str,
    },
    /// The fault cannot be played there.
    #[error("the fault `{fault}` cannot be played at `{endpoint}`")]
    #[non_exhaustive]
    Misplaced {
        /// The fault.
        fault: Fault,
        /// Where it was to be played.
        endpoint: Endpoint,
    },
    /// No endpoint has this name.
    #[error("there is no endpoint `{0}`: there are `token`, `api` and `connection`")]
    Endpoint(String),
    /// No schedule reads like this.
    #[error(
        "`{0}` is no schedule: those are `always`, `first=N`, `next=N`, `every=N` and \
         `probability=P`, with N from 1 and P from 0 to 1"
    )]
    Schedule(String),
}

impl Fault {
    /// Every fault that there is, in the order of the table's rows.
    pub fn all() -> impl ExactSizeIterator<Item = Self> + Clone {
        let tables = [
            network::TABLE,
            refusals::TABLE,
            token_response::TABLE,
            api::TABLE,
        ];
        let mut all: Vec<Self> = tables.into_iter().flatten().map(Self).collect();
        all.sort_by_key(|fault| fault.0.place());
        all.into_iter()
    }

    /// Its name, in kebab case; it stays what it is.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// What happens, in one line.
    #[must_use]
    pub fn description(self) -> &'static str {
        self.0.description
    }

    /// The id of the row that it stands for, such as `N8`.
    #[must_use]
    pub fn row(self) -> &'static str {
        self.0.row
    }

    /// Where it can be played; the first is where it is if nothing else is said.
    #[must_use]
    pub fn endpoints(self) -> &'static [Endpoint] {
        self.0.endpoints
    }

    pub(crate) fn plan(self) -> &'static Plan {
        &self.0.plan
    }
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(name: &str) -> Result<Self, FaultError> {
        if let Some(fault) = Self::all().find(|fault| fault.name() == name) {
            return Ok(fault);
        }
        let name = printable(name);
        let nearest = Self::all().map(Self::name);
        let nearest = nearest.min_by_key(|known| distance(known, &name));
        Err(FaultError::Unknown {
            nearest: nearest.unwrap_or_default(),
            name,
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Fault").field(&self.name()).finish()
    }
}

/// Names are unique.
impl PartialEq for Fault {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Fault {}

impl std::hash::Hash for Fault {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl Endpoint {
    const ALL: [Self; 3] = [Self::Token, Self::Api, Self::Connection];

    fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Api => "api",
            Self::Connection => "connection",
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Endpoint {
    type Err = FaultError;

    fn from_str(name: &str) -> Result<Self, FaultError> {
        let mut all = Self::ALL.into_iter();
        let known = all.find(|endpoint| endpoint.name() == name);
        known.ok_or_else(|| FaultError::Endpoint(printable(name)))
    }
}

/// What is safe to print of a text that somebody else wrote.
pub(crate) fn printable(text: &str) -> String {
    let safe = |c: char| if c.is_ascii_graphic() { c } else { '?' };
    text.chars().take(64).map(safe).collect()
}

/// How many letters have to be put in, taken out or replaced (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.chars().enumerate() {
        let mut diagonal = index;
        let mut left = index + 1;
        for (cell, other) in row.iter_mut().skip(1).zip(&other) {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = *cell;
            *cell = replaced.min(left + 1).min(diagonal + 1);
            left = *cell;
        }
        if let Some(first) = row.first_mut() {
            *first = index + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}
