//! The right to fetch: a key with a random owner that the server lets go after
//! some seconds, extended and freed by scripts that compare the owner.

use std::{sync::Arc, time::Duration};

use bloom_auth_core::{Lease, LeaseGuard};
use redis::{Cmd, Value};
use tokio::{
    runtime::Handle,
    sync::oneshot,
    time::{Instant, timeout},
};

use super::{open::Problem, server::Failure, server::Server};
use crate::seal::SealError;

/// How long a lease outlives a holder that has died.
const LEASE: Duration = Duration::from_millis(3000);
const EXTEND_EVERY: Duration = Duration::from_secs(1);

/// A holder that takes longer than any fetch with the default settings stands
/// still; its lease is extended no more.
const MAX_HELD: Duration = Duration::from_secs(60);

const EXTEND: &str = "\
if redis.call('GET', KEYS[1]) == ARGV[1] then
    return redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 0";

const FREE: &str = "\
if redis.call('GET', KEYS[1]) == ARGV[1] then
    return redis.call('DEL', KEYS[1])
end
return 0";

/// Asks once for the lease under this key.
///
/// It is a task that asks, and has the lease then: should the call be dropped
/// before it knows, the task frees what nobody got.
pub(super) async fn ask(server: &Arc<Server>, key: String) -> Result<Lease, Failure> {
    let owner = owner().map_err(|_| Failure::Refused(Problem::no_randomness()))?;
    let (answer, answered) = oneshot::channel();
    let held = Held {
        server: Arc::clone(server),
        key,
        owner,
    };
    // It ends by itself, soon after whoever has the guard or waits for it, and
    // after a minute at most.
    drop(Handle::current().spawn(held.run(answer)));
    // Its runtime is ending, and this call with it.
    let gone = |_| Err(Failure::Unreachable(Problem::closed()));
    answered.await.unwrap_or_else(gone)
}

/// A lease that may be ours.
struct Held {
    server: Arc<Server>,
    key: String,
    owner: String,
}

impl Held {
    async fn run(self, answer: oneshot::Sender<Result<Lease, Failure>>) {
        let begun = Instant::now();
        match self.take().await {
            Ok(true) => {}
            Ok(false) => {
                // Whoever does not wait any more needs no answer.
                let _ = answer.send(Ok(Lease::Held));
                return;
            }
            Err(failure) => {
                // It may have been taken all the same, and lapses then.
                let _ = answer.send(Err(failure));
                return;
            }
        }
        // Completed when the guard is dropped, be it for want of a receiver.
        let (guard, mut dropped) = oneshot::channel::<()>();
        let guard = LeaseGuard::new(Guard(Some(guard)));
        drop(answer.send(Ok(Lease::Granted(guard))));
        while timeout(EXTEND_EVERY, &mut dropped).await.is_err() {
            if begun.elapsed() >= MAX_HELD {
                return;
            }
            // If the server does not answer, it may the next time.
            if let Ok(false) = self.extend().await {
                return;
            }
        }
        self.free().await;
    }

    async fn take(&self) -> Result<bool, Failure> {
        let mut command = Cmd::new();
        command.arg("SET").arg(&self.key).arg(&self.owner);
        command.arg("NX").arg("PX").arg(millis(LEASE));
        let read = |value| match value {
            Value::Okay => Some(true),
            Value::Nil => Some(false),
            _ => None,
        };
        self.server.call(&command, read).await
    }

    /// Whether it is still ours.
    async fn extend(&self) -> Result<bool, Failure> {
        let mut command = self.script(EXTEND);
        command.arg(millis(LEASE));
        self.compare(&command).await
    }

    async fn free(&self) {
        // If this fails, the server lets it go soon.
        let _ = self.compare(&self.script(FREE)).await;
    }

    /// Runs such a script; whether the lease was ours.
    async fn compare(&self, script: &Cmd) -> Result<bool, Failure> {
        let read = |value| match value {
            Value::Int(number) => Some(number != 0),
            _ => None,
        };
        self.server.call(script, read).await
    }

    fn script(&self, script: &str) -> Cmd {
        let mut command = Cmd::new();
        command.arg("EVAL").arg(script).arg(1);
        command.arg(&self.key).arg(&self.owner);
        command
    }
}

/// Frees the lease when it is dropped, wherever that is.
struct Guard(Option<oneshot::Sender<()>>);

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.0.take());
    }
}

/// Never twice the same.
fn owner() -> Result<String, SealError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|_| SealError::NoRandomness)?;
    Ok(super::hex(&random))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
