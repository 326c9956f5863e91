//! The emulator over real sockets.

#[cfg(test)]
mod api;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod support;
#[cfg(test)]
mod timeouts;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod token_requests;
#[cfg(test)]
mod visitors;
