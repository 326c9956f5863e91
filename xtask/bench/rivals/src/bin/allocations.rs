//! Counts what a call of each allocates, in a process of its own, since that takes time; `cargo xtask
//! bench` starts it.

use std::fs;

use bench::{
    Problem,
    allocations::{self, Counting},
};

#[global_allocator]
static COUNTING: Counting = Counting;

fn main() -> Result<(), Problem> {
    let (file, _) = rivals::arguments()?;
    let (runtime, subjects) = rivals::subjects()?;
    let entered = runtime.enter();
    let counted = allocations::measure(&subjects)?;
    drop(entered);
    let names = subjects.iter().map(|subject| &subject.name);
    let named: Vec<_> = names.zip(counted).collect();
    fs::write(file, serde_json::to_string_pretty(&named)?)?;
    Ok(())
}
