//! Tests of the caches: the conformance suite, and what each does beyond it.

#[cfg(test)]
#[cfg(feature = "file")]
mod file;
#[cfg(test)]
mod isolation;
#[cfg(test)]
mod memory;
#[cfg(test)]
#[cfg(feature = "moka")]
mod moka;
#[cfg(test)]
mod races;
#[cfg(test)]
#[cfg(all(feature = "redis", feature = "file", target_os = "linux"))]
mod redis;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod sharing;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tiered;
