//! Measures the command line tool beside others that have a token at hand; `cargo xtask bench
//! --peers` starts it.

use std::{path::PathBuf, process::ExitCode};

use bench::{
    Problem,
    peers::{self, Setup},
};

fn main() -> Result<ExitCode, Problem> {
    let args: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [binary, python, scripts, folder, rounds] = args.as_slice() else {
        return Err("usage: peers BINARY PYTHON SCRIPTS FOLDER ROUNDS".into());
    };
    let rounds = rounds.to_str().unwrap_or_default().parse()?;
    let report = peers::measure(&Setup {
        binary,
        python,
        scripts,
        folder,
        rounds,
    })?;
    print!("{report}");
    Ok(if report.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
