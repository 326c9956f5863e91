//! The layer around services that a test scripts, and around a client against
//! the emulator.

#[cfg(test)]
mod calls;
#[cfg(test)]
mod emulator;
#[cfg(test)]
mod readiness;
#[cfg(test)]
mod redirects;
#[cfg(test)]
mod support;
#[cfg(test)]
mod targets;
