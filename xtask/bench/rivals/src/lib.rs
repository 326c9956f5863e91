//! Other clients of token endpoints, as subjects beside ours: each holds a token as long as Bloom's,
//! and gives out a header value that its caller owns.
//!
//! Tokens come from a server in this process, or are simply there.

mod aws;
mod azure;
mod google;
mod patterns;

use std::{fs, path::PathBuf};

use bench::{
    Problem,
    interleave::{Plan, Subject},
    results::{self, HotPath},
};
use http::HeaderValue;
use tokio::runtime::Runtime;

/// Floors, ours and all others; and what must stay as long as they are measured.
///
/// # Errors
///
/// If one of them gets no token.
pub fn subjects() -> Result<(Runtime, Vec<Subject>), Problem> {
    // For what some of them do in the background.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let mut subjects = results::subjects()?;
    let entered = runtime.enter();
    subjects.extend(google::subjects(&runtime)?);
    subjects.extend(azure::subjects()?);
    subjects.extend(aws::subjects()?);
    subjects.extend(patterns::subjects(&runtime)?);
    for subject in &subjects {
        // From here on, each has its token.
        subject.run(1)?;
    }
    drop(entered);
    Ok((runtime, subjects))
}

/// Measures with the allocator that this program has, and writes what it found to the file that its
/// first argument names.
///
/// # Errors
///
/// If one of them gets no token, or the file cannot be written.
pub fn measure(allocator: &str) -> Result<(), Problem> {
    let (file, quick) = arguments()?;
    let (_runtime, subjects) = subjects()?;
    let found = HotPath::measure(allocator, &subjects, Plan::new(quick))?;
    fs::write(file, serde_json::to_string_pretty(&found)?)?;
    Ok(())
}

/// The file, and whether this is to be quick.
///
/// # Errors
///
/// If they are not given.
pub fn arguments() -> Result<(PathBuf, bool), Problem> {
    let mut arguments = std::env::args_os().skip(1);
    let file = arguments.next().ok_or("usage: PROGRAM FILE [--quick]")?;
    let quick = arguments.next().is_some_and(|it| it == "--quick");
    Ok((file.into(), quick))
}

/// As whoever has a token makes a header of it.
fn bearer(token: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}
