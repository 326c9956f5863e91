//! The engine as its users meet it: scenarios that are data, exact counts
//! under concurrency, runtimes that die, caches and sources in trouble, many
//! providers at once.

#[cfg(test)]
mod allocations;
#[cfg(test)]
mod bearer;
#[cfg(test)]
mod cache_lies;
#[cfg(test)]
mod cache_trouble;
#[cfg(test)]
mod cache_use;
#[cfg(test)]
mod concurrency;
#[cfg(test)]
mod events;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod footprint;
#[cfg(test)]
mod herds;
#[cfg(test)]
mod limit;
#[cfg(test)]
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(test)]
mod odd_answers;
#[cfg(test)]
mod outage;
#[cfg(test)]
mod polls;
#[cfg(test)]
mod providers;
#[cfg(test)]
mod runtimes;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod schedules;
#[cfg(test)]
mod settings;
#[cfg(test)]
mod signers;
#[cfg(test)]
mod slow;
#[cfg(test)]
mod sources;
#[cfg(test)]
mod support;
#[cfg(test)]
mod time;
#[cfg(test)]
mod warm;
