//! The corpora, replayed through every target and changed at random; that a fault would be found; and
//! what the parsers cost as inputs grow.

mod counting;
mod linear;
mod mutation;
mod replay;
