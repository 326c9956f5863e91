//! The table of faults: what can go wrong, what we promise, and which tests show it.

pub(crate) mod names;
pub(crate) mod table;
