//! Scenarios for the pure decisions, as data.
