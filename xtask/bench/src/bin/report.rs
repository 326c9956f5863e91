//! Measures the keyed path and the herd, takes in what others found of the hot path, and reports all
//! of it; `cargo xtask bench` starts it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use bench::{
    Problem, herd,
    interleave::Plan,
    keyed,
    machine::Machine,
    page,
    results::{HotPath, Results},
    table, verdict,
};

/// In `FOLDER` are the results of the hot path, and there go those of all.
const USAGE: &str = "usage: report FOLDER [--quick] [--docs=GUIDE]";

fn main() -> Result<ExitCode, Problem> {
    let (mut folder, mut quick, mut guide) = (None, false, None);
    for argument in std::env::args().skip(1) {
        match argument.strip_prefix("--docs=") {
            Some(path) => guide = Some(PathBuf::from(path)),
            None if argument == "--quick" => quick = true,
            None if folder.is_none() => folder = Some(PathBuf::from(argument)),
            None => return Err(USAGE.into()),
        }
    }
    let folder = folder.ok_or(USAGE)?;
    let read = |name: &str| fs::read_to_string(folder.join(name));
    let counted: Vec<_> = serde_json::from_str(&read("allocations.json")?)?;
    let mut hot_path = Vec::new();
    for allocator in ["system", "mimalloc"] {
        let found = read(&format!("hot_path_{allocator}.json"))?;
        let mut found: HotPath = serde_json::from_str(&found)?;
        found.count(&counted);
        hot_path.push(found);
    }
    let results = Results {
        machine: Machine::this(),
        hot_path,
        keyed: keyed::measure(Plan::new(quick), quick)?,
        herd: herd::measure(quick)?,
    };
    write(&results, &folder, guide.as_deref())?;
    print!("{}", table::report(&results));
    let lines = verdict::judge(&results);
    let is_good = lines.iter().all(verdict::Line::is_good);
    // What was measured for a moment says nothing.
    Ok(if is_good || quick {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn write(results: &Results, folder: &Path, guide: Option<&Path>) -> Result<(), Problem> {
    let text = serde_json::to_string_pretty(results)?;
    fs::write(folder.join("results.json"), text)?;
    page::plots(results, folder)?;
    if let Some(guide) = guide {
        page::write(results, guide)?;
    }
    Ok(())
}
