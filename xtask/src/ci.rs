//! `cargo xtask ci`: what the workflow runs, in the same order, so that a green laptop is a green build.

use crate::{Verdict, lint, test};

/// Runs the lints, and the tests only if those pass; and judges which faults these cover.
pub(crate) fn run() -> anyhow::Result<Verdict> {
    match lint::run()? {
        Verdict::Failed => Ok(Verdict::Failed),
        Verdict::Passed => test::run(&test::Config {
            long: false,
            faults: true,
            interop: true,
        }),
    }
}
