//! Tests of the facade as a whole, over real sockets.

#[cfg(test)]
#[cfg(feature = "tower")]
mod bearer_layer;
#[cfg(test)]
#[cfg(feature = "blocking")]
mod blocking;
#[cfg(test)]
mod canary;
#[cfg(test)]
#[cfg(all(
    target_os = "linux",
    feature = "file",
    any(feature = "rustls", feature = "native-tls")
))]
mod core_dump;
#[cfg(test)]
mod exchange;
#[cfg(test)]
mod herd;
#[cfg(test)]
#[cfg(any(feature = "rustls", feature = "native-tls"))]
mod other_servers;
#[cfg(test)]
#[cfg(all(unix, feature = "file"))]
mod processes;
#[cfg(test)]
#[cfg(all(target_os = "linux", feature = "redis"))]
mod redis;
#[cfg(test)]
mod settings;
#[cfg(test)]
#[cfg(all(target_os = "linux", feature = "file"))]
mod soak;
#[cfg(test)]
mod steady;
