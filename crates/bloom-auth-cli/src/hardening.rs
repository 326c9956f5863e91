//! What keeps secrets out of files that nobody asked for: core dumps.

/// Before a secret is read: no core dump of this process, and on Linux no look
/// into its memory by others of this user either.
///
/// Only the soft limit is set, so that a program which takes our place can have
/// its own back. What the system refuses is no reason to stop.
#[cfg(unix)]
pub(crate) fn no_core_dumps() -> CoreLimit {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let before = getrlimit(Resource::Core);
    let none = Rlimit {
        current: Some(0),
        maximum: before.maximum,
    };
    let _ = setrlimit(Resource::Core, none);
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
    CoreLimit(before)
}

/// The limit that was found.
#[cfg(unix)]
#[derive(Clone, Copy)]
pub(crate) struct CoreLimit(rustix::process::Rlimit);

#[cfg(unix)]
impl CoreLimit {
    /// For a program that takes the place of this one; it is dumpable again by
    /// being another.
    pub(crate) fn restore(self) {
        let _ = rustix::process::setrlimit(rustix::process::Resource::Core, self.0);
    }
}

#[cfg(not(unix))]
pub(crate) fn no_core_dumps() -> CoreLimit {
    CoreLimit
}

#[cfg(not(unix))]
#[derive(Clone, Copy)]
pub(crate) struct CoreLimit;

#[cfg(not(unix))]
impl CoreLimit {
    #[expect(clippy::unused_self, reason = "as on Unix")]
    pub(crate) fn restore(self) {}
}
