//! The thread that drives the fetches of blocking calls, and how they wait.

use std::{
    convert::Infallible,
    io, mem,
    pin::pin,
    process,
    sync::{Arc, Condvar, Mutex, PoisonError},
    task::{Context, Poll, Wake, Waker},
    thread,
};

use bloom_auth_core::{Error, ErrorKind};
use tokio::{
    runtime::{self, Handle},
    sync::oneshot,
};

/// Linux shows 15 bytes of it.
const NAME: &str = "bloom-auth";

/// A thread with a runtime, from the first time that it is needed until this is
/// dropped.
#[derive(Default)]
pub(super) struct Driver(Mutex<Option<Running>>);

struct Running {
    runtime: Handle,
    /// The process that has the thread.
    process: u32,
    /// The thread ends when this is dropped.
    _until: oneshot::Sender<Infallible>,
}

impl Driver {
    /// Waits for a future that needs a runtime for its timers and its tasks.
    ///
    /// It is polled here, on the calling thread: what goes wrong in it is the
    /// caller's, and the thread has nothing to do for those who only wait.
    pub(super) fn run<T>(
        &self,
        future: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let runtime = self.handle()?;
        let _entered = runtime.enter();
        wait(future)
    }

    /// The thread's runtime; the thread is started if there is none.
    pub(super) fn handle(&self) -> Result<Handle, Error> {
        self.handle_or(thread::Builder::new())
    }

    fn handle_or(&self, thread: thread::Builder) -> Result<Handle, Error> {
        // Whoever comes while it is being started waits for that.
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = &*running
            && running.process == process::id()
        {
            return Ok(running.runtime.clone());
        }
        let started =
            start(thread).map_err(|error| Error::with_source(ErrorKind::BlockingThread, error))?;
        let runtime = started.runtime.clone();
        // One that is there came along with a fork. Its sockets are shared with
        // the process that has the thread: they are left alone.
        mem::forget(running.replace(started));
        Ok(runtime)
    }
}

fn start(thread: thread::Builder) -> io::Result<Running> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (until, over) = oneshot::channel();
    let running = Running {
        runtime: runtime.handle().clone(),
        process: process::id(),
        _until: until,
    };
    thread.name(NAME.to_owned()).spawn(move || {
        let Err(_) = runtime.block_on(over);
        // Without waiting for a look-up of a name that hangs.
        runtime.shutdown_background();
    })?;
    Ok(running)
}

/// Polls the future whenever it has something to do, and sleeps in between.
fn wait<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(Arc::clone(&bell));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        bell.wait();
    }
}

#[derive(Default)]
struct Bell {
    has_rung: Mutex<bool>,
    rings: Condvar,
}

impl Bell {
    fn wait(&self) {
        let has_rung = self.has_rung.lock().unwrap_or_else(PoisonError::into_inner);
        let mut has_rung = self
            .rings
            .wait_while(has_rung, |has_rung| !*has_rung)
            .unwrap_or_else(PoisonError::into_inner);
        *has_rung = false;
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        *self.has_rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.rings.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::{error::Error as _, sync::mpsc};

    use bloom_auth_core::Recovery;

    use super::*;

    #[test]
    fn c12_a_thread_that_cannot_be_started_is_an_error_and_the_next_call_tries_again() {
        let driver = Driver::default();
        // No machine has room for such a stack.
        let hopeless = thread::Builder::new().stack_size(usize::MAX / 4);
        let error = driver.handle_or(hopeless).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BlockingThread);
        assert!(matches!(error.recovery(), Recovery::Retry { .. }));
        assert!(error.source().unwrap().is::<io::Error>());

        let first = driver.handle().unwrap();
        assert_eq!(first.id(), driver.handle().unwrap().id());
    }

    #[test]
    fn a_bell_that_has_rung_already_is_heard() {
        let bell = Arc::new(Bell::default());
        bell.wake_by_ref();
        Arc::clone(&bell).wake();
        bell.wait();
        // Two rings are one; the next wait needs another.
        let (sender, woken) = mpsc::channel();
        let waiter = thread::spawn({
            let bell = Arc::clone(&bell);
            move || {
                bell.wait();
                sender.send(()).unwrap();
            }
        });
        assert!(woken.try_recv().is_err());
        bell.wake_by_ref();
        waiter.join().unwrap();
        woken.recv().unwrap();
    }
}
