//! Runs the calls of a file cache where they may block: on threads of their
//! own.
//!
//! Not on the runtime's threads for blocking work: a runtime waits for those
//! when it shuts down, and a file system that hangs would keep a program from
//! ending.

use std::{io, sync::Arc, thread};

use bloom_auth_core::CacheError;
use tokio::sync::{Semaphore, oneshot};

/// More calls than this at a time wait for others to be done: a file system
/// that hangs keeps no more threads.
const MAX_THREADS: usize = 8;

/// The threads of one cache; each lives for one call.
#[derive(Debug)]
pub(super) struct Workers(Arc<Semaphore>);

impl Workers {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(MAX_THREADS)))
    }

    /// Runs a call that may block. Dropping this future does not stop one
    /// that has begun; what it returns is dropped on its thread then.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, CacheError> {
        let failed = |source: io::Error| {
            CacheError::new("the cache could not start a thread").with_source(source)
        };
        let permit = Arc::clone(&self.0).acquire_owned().await;
        let permit = permit.map_err(|error| failed(io::Error::other(error)))?;
        let (sender, receiver) = oneshot::channel();
        thread::Builder::new()
            .name("bloom-auth-cache".to_owned())
            .spawn(move || {
                let _permit = permit;
                // Nobody may be waiting any more.
                let _ = sender.send(call());
            })
            .map_err(failed)?;
        receiver
            .await
            .map_err(|_| CacheError::new("a call of the cache panicked"))
    }
}
