//! Measures the keyed path and the herd, takes in what others found of the hot path, and reports all
//! of it; `cargo xtask bench` starts it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use bench::{
    Problem,
    allocations::{self, Counting},
    herd,
    interleave::Plan,
    keyed,
    machine::Machine,
    page,
    results::{self, HotPath, Results},
    table, verdict,
};

/// What is measured here allocates nothing, so that to count takes no time.
#[global_allocator]
static COUNTING: Counting = Counting;

/// In `FOLDER` are the results of everyone's hot path, unless we are alone, and there go those of all.
const USAGE: &str = "usage: report FOLDER [--quick] [--alone] [--docs=GUIDE]";

fn main() -> Result<ExitCode, Problem> {
    let (mut folder, mut quick, mut alone, mut guide) = (None, false, false, None);
    for argument in std::env::args().skip(1) {
        match argument.strip_prefix("--docs=") {
            Some(path) => guide = Some(PathBuf::from(path)),
            None if argument == "--quick" => quick = true,
            None if argument == "--alone" => alone = true,
            None if folder.is_none() => folder = Some(PathBuf::from(argument)),
            None => return Err(USAGE.into()),
        }
    }
    let folder = folder.ok_or(USAGE)?;
    let hot_path = if alone {
        vec![ours_alone(Plan::new(quick))?]
    } else {
        everyone(&folder)?
    };
    let results = Results {
        machine: Machine::this(),
        hot_path,
        keyed: keyed::measure(quick)?,
        herd: herd::measure(quick)?,
    };
    write(&results, &folder, guide.as_deref())?;
    print!("{}", table::report(&results));
    let lines = verdict::judge(&results);
    let is_good = |line: &verdict::Line| line.is_good() || alone && line.measured.is_none();
    let is_good = lines.iter().all(is_good);
    // What was measured for a moment says nothing.
    Ok(if is_good || quick {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What programs with other clients in them have found.
fn everyone(folder: &Path) -> Result<Vec<HotPath>, Problem> {
    let read = |name: &str| {
        let text = fs::read_to_string(folder.join(name));
        text.map_err(|error| format!("{name}: {error}; measure others first, or use `--alone`"))
    };
    let counted: Vec<_> = serde_json::from_str(&read("allocations.json")?)?;
    let mut hot_path = Vec::new();
    for allocator in ["system", "mimalloc"] {
        let found = read(&format!("hot_path_{allocator}.json"))?;
        let mut found: HotPath = serde_json::from_str(&found)?;
        found.count(&counted);
        hot_path.push(found);
    }
    Ok(hot_path)
}

/// Floors and ours.
fn ours_alone(plan: Plan) -> Result<HotPath, Problem> {
    let subjects = results::subjects()?;
    let counted = allocations::measure(&subjects)?;
    let names = subjects.iter().map(|subject| subject.name.clone());
    let counted: Vec<_> = names.zip(counted).collect();
    let mut found = HotPath::measure("system", &subjects, plan)?;
    found.count(&counted);
    Ok(found)
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
