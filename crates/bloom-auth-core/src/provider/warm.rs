//! Keeps a provider's token fresh while nobody asks for it.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{runtime::Handle, task::AbortHandle, time::sleep};

use super::{Owner, TokenProvider, state::Ask};
use crate::error::{Error, ErrorKind};

/// A look at the provider is cheap, and timers stand still while the machine
/// sleeps.
const LONGEST_REST: Duration = Duration::from_secs(10);
const SHORTEST_REST: Duration = Duration::from_millis(10);

/// Keeps a token at hand until it is dropped: see
/// [`TokenProvider::keep_warm`].
#[must_use = "the token is kept warm for as long as this exists"]
pub struct KeepWarm {
    task: AbortHandle,
}

impl Drop for KeepWarm {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for KeepWarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeepWarm")
            .field("is_running", &!self.task.is_finished())
            .finish()
    }
}

impl TokenProvider {
    /// Fetches a token now, and the next ones when they are due, also while
    /// nobody asks: the first request after a quiet night does not wait.
    ///
    /// It costs a token request in each token's lifetime, used or not. What
    /// happens after failures and refusals is as ever. The work is done by a
    /// task of the current runtime, which ends when the result is dropped, or
    /// with the last handle of the provider.
    ///
    /// # Errors
    ///
    /// [`Error`] of kind [`Runtime`](ErrorKind::Runtime) outside a tokio
    /// runtime.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # async fn run(
    /// #     provider: bloom_auth_core::TokenProvider,
    /// # ) -> Result<(), bloom_auth_core::Error> {
    /// let _warm = provider.keep_warm()?;
    /// // Serve requests, with `provider.authorization().await?`.
    /// # Ok(())
    /// # }
    /// ```
    pub fn keep_warm(&self) -> Result<KeepWarm, Error> {
        let runtime = Handle::try_current().map_err(|_| Error::new(ErrorKind::Runtime))?;
        let task = runtime.spawn(run(Arc::downgrade(&self.owner)));
        Ok(KeepWarm {
            task: task.abort_handle(),
        })
    }

    /// Does what is to be done, and says for how long that is nothing.
    fn warm_up(&self) -> Duration {
        let shared = &self.shared;
        // First: no foreign clock is asked under the lock.
        let now = shared.now();
        let is_fresh = shared.engine().state.is_fresh(now);
        if !is_fresh {
            // It starts a fetch, if one may start; nobody waits for it.
            let _ = self.step(Ask::Usable);
        }
        let now = shared.now();
        let rest = Duration::from_nanos(shared.engine().state.rest(now));
        rest.clamp(SHORTEST_REST, LONGEST_REST)
    }
}

async fn run(owner: Weak<Owner>) {
    loop {
        // Between two looks it does not keep the provider.
        let rest = match owner.upgrade() {
            Some(owner) => TokenProvider::of(owner).warm_up(),
            None => return,
        };
        sleep(rest).await;
    }
}
