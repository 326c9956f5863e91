//! Runs one routine many times, in a function of which valgrind is told by name to count alone what
//! happens within: see `cargo xtask instructions`.
//!
//! `instructions list` says what there is, a line for each: the routine, its floor or `-` if it is
//! one, and how often it is run. `instructions <routine>` runs it.
#![forbid(unsafe_code)]

#[cfg(target_os = "linux")]
mod floors;
#[cfg(target_os = "linux")]
mod routines;

#[cfg(target_os = "linux")]
use std::hint::black_box;
use std::{env, error::Error};

/// What may go wrong, which ends the count.
type Problem = Box<dyn Error>;

/// Something that is counted.
struct Routine {
    name: &'static str,
    /// What it is held against; nothing if it is a floor itself.
    floor: Option<&'static str>,
    /// How often it is run: enough for what happens now and then not to be seen in the count, such
    /// as that a clock ticks.
    times: u64,
    /// Prepares, and has it counted, this many times.
    run: fn(u64) -> Result<(), Problem>,
}

#[cfg(target_os = "linux")]
const ROUTINES: &[&[Routine]] = &[routines::ROUTINES, floors::ROUTINES];
#[cfg(not(target_os = "linux"))]
const ROUTINES: &[&[Routine]] = &[];

fn main() -> Result<(), Problem> {
    let args: Vec<String> = env::args().skip(1).collect();
    match args.as_slice() {
        [list] if list == "list" => {
            for routine in ROUTINES.iter().copied().flatten() {
                let floor = routine.floor.unwrap_or("-");
                println!("{} {floor} {}", routine.name, routine.times);
            }
            Ok(())
        }
        [name] => {
            let mut routines = ROUTINES.iter().copied().flatten();
            let routine = routines.find(|routine| routine.name == name);
            let routine = routine.ok_or("there is no such routine: see `instructions list`")?;
            (routine.run)(routine.times)
        }
        _ => Err("give `list`, or the name of a routine".into()),
    }
}

/// How often a call is made before it is counted, for whatever is done once.
#[cfg(target_os = "linux")]
const BEFORE: u64 = 16;

/// Has a call counted, which says whether it went well; the number is that of the call, from 0.
#[cfg(target_os = "linux")]
fn count(times: u64, call: impl Fn(u64) -> bool) -> Result<(), Problem> {
    for number in 0..BEFORE {
        black_box(call(number));
    }
    let well = counted(times, &call);
    if well == times {
        Ok(())
    } else {
        Err(format!("{well} of {times} calls went well").into())
    }
}

/// What valgrind counts. The name is known to `cargo xtask instructions`.
#[cfg(target_os = "linux")]
#[inline(never)]
fn counted(times: u64, call: &impl Fn(u64) -> bool) -> u64 {
    let mut well = 0;
    for number in 0..times {
        well += u64::from(black_box(call(number)));
    }
    well
}
