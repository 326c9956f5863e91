//! `cargo xtask ci`: what the workflow runs, in the same order, so that a green laptop is a green build.

use crate::{Verdict, instructions, lint, test};

/// Runs the lints, what is counted only if those pass, and the tests only if both do; and judges
/// which faults these cover.
pub(crate) fn run() -> anyhow::Result<Verdict> {
    if lint::run()? == Verdict::Failed {
        return Ok(Verdict::Failed);
    }
    if instructions::run(&instructions::Config { record: false })? == Verdict::Failed {
        return Ok(Verdict::Failed);
    }
    test::run(&test::Config {
        long: false,
        faults: true,
        interop: true,
    })
}
