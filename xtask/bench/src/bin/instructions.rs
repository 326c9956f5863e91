//! Counts the instructions of the command line tool beside those of a program that reads a file;
//! `cargo xtask bench --instructions` starts it.

use std::{path::PathBuf, process::ExitCode};

use bench::{Problem, instructions};

fn main() -> Result<ExitCode, Problem> {
    let args: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [binary, folder] = args.as_slice() else {
        return Err("usage: instructions BINARY FOLDER".into());
    };
    let report = instructions::count(binary, folder)?;
    print!("{report}");
    Ok(if report.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
