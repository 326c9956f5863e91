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

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Condvar, Mutex,
            atomic::{AtomicUsize, Ordering},
            mpsc,
        },
        time::Duration,
    };

    use tokio::{
        join,
        task::{JoinSet, yield_now},
        time::timeout,
    };

    use super::*;

    /// No call takes this long, unless it gets no thread.
    const PATIENCE: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn d20_calls_that_hang_keep_so_many_threads_and_no_more() {
        let workers = Arc::new(Workers::new());
        let begun = Arc::new(AtomicUsize::new(0));
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let mut calls = JoinSet::new();
        for _ in 0..3 * MAX_THREADS {
            let (workers, begun, gate) =
                (Arc::clone(&workers), Arc::clone(&begun), Arc::clone(&gate));
            let hang = move || {
                begun.fetch_add(1, Ordering::SeqCst);
                let (is_open, opened) = &*gate;
                let is_open = is_open.lock().unwrap();
                drop(opened.wait_while(is_open, |is_open| !*is_open).unwrap());
            };
            calls.spawn(async move { workers.run(hang).await });
        }
        while begun.load(Ordering::SeqCst) < MAX_THREADS {
            yield_now().await;
        }
        // Those that wait have all asked for a thread by now.
        for _ in 0..100 {
            yield_now().await;
        }
        assert_eq!(workers.0.available_permits(), 0);
        assert_eq!(begun.load(Ordering::SeqCst), MAX_THREADS);
        *gate.0.lock().unwrap() = true;
        gate.1.notify_all();
        for result in timeout(PATIENCE, calls.join_all()).await.unwrap() {
            result.unwrap();
        }
        assert_eq!(begun.load(Ordering::SeqCst), 3 * MAX_THREADS);
    }

    #[tokio::test]
    async fn d20_a_call_that_hangs_keeps_no_other() {
        let workers = Workers::new();
        let (end, is_over) = mpsc::channel();
        let hanging = workers.run(move || is_over.recv().is_ok());
        let other = async {
            let seven = timeout(PATIENCE, workers.run(|| 7)).await;
            end.send(()).unwrap();
            seven.unwrap().unwrap()
        };
        let (hanging, seven) = join!(hanging, other);
        assert_eq!((hanging.unwrap(), seven), (true, 7));
    }

    #[tokio::test]
    async fn a_call_that_panics_is_an_error_and_gives_its_thread_back() {
        let workers = Workers::new();
        for _ in 0..2 * MAX_THREADS {
            let panicked = timeout(PATIENCE, workers.run(|| panic!("the test says so")));
            let error = panicked.await.unwrap().unwrap_err().to_string();
            assert!(error.contains("panicked"), "{error}");
        }
        assert_eq!(workers.run(|| 7).await.unwrap(), 7);
    }
}
