//! Tests of the caches: the conformance suite, and what each does beyond it.

#[cfg(test)]
mod memory;
#[cfg(test)]
mod sharing;
