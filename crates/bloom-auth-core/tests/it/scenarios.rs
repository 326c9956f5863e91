//! Runs the scenarios in `scenarios/*.json`, in paused time.
//!
//! A file is a list of
//! `{"name", "kind", "settings", "server", "steps"}`. `kind` is `positive`, or
//! `negative` where a fault is met. `settings` overrides the builder's
//! defaults. `server` is the script of the token endpoint, whose last line is
//! repeated ([`server`] has the words); `steps` are what the caller does and
//! what must come of it ([`run`] has the words). Whatever is not understood
//! fails. A scenario whose name starts with ids of faults covers these, as a
//! test would.

mod run;
mod server;
mod words;

use std::collections::HashSet;

use bloom_auth_core::test_util::passed;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    name: String,
    kind: Kind,
    #[serde(default)]
    settings: run::Settings,
    server: Vec<String>,
    steps: Vec<String>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Positive,
    Negative,
}

macro_rules! files {
    ($($file:ident),+ $(,)?) => {
        const FILES: &[(&str, &str)] = &[$((
            stringify!($file),
            include_str!(concat!("scenarios/", stringify!($file), ".json")),
        )),+];

        $(
            #[test]
            fn $file() {
                run_file(stringify!($file));
            }
        )+
    };
}

files!(
    answers,
    budget,
    cache,
    clocks,
    credentials,
    expiry,
    failure,
    fetch,
    lifetimes,
    refresh,
    refusal,
    reject,
    retry_after,
    timeouts,
    warm,
);

fn scenarios(file: &str, text: &str) -> Vec<Scenario> {
    match serde_json::from_str(text) {
        Ok(scenarios) => scenarios,
        Err(error) => panic!("{file}.json: {error}"),
    }
}

fn run_file(wanted: &str) {
    let (file, text) = FILES.iter().find(|(file, _)| *file == wanted).unwrap();
    let scenarios = scenarios(file, text);
    assert!(!scenarios.is_empty(), "{file}.json has no scenario");
    let mut failures = Vec::new();
    for scenario in &scenarios {
        match run::run(scenario) {
            Ok(()) => {
                let case = format!("scenarios::{file}::{}", scenario.name);
                println!("scenario {case} ... ok");
                passed(&case);
            }
            Err(problem) => failures.push(format!("{file}::{}: {problem}", scenario.name)),
        }
    }
    println!("{} scenarios of {file} were run", scenarios.len());
    assert!(failures.is_empty(), "\n{}\n", failures.join("\n"));
}

#[test]
fn the_scenarios_are_many_and_every_file_is_run() {
    let all: Vec<Scenario> = FILES
        .iter()
        .flat_map(|(f, text)| scenarios(f, text))
        .collect();
    let negative = all.iter().filter(|s| s.kind == Kind::Negative).count();
    println!("{} scenarios, {negative} of them negative", all.len());
    assert!(all.len() >= 60 && negative * 10 >= all.len() * 4);

    let mut names = HashSet::new();
    for Scenario { name, .. } in &all {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        assert!(name.chars().all(is_plain), "{name}");
        assert!(names.insert(name), "{name} stands there twice");
    }

    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/scenarios");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let is_run = FILES.iter().any(|(file, _)| *file == stem);
        assert!(
            is_run || path.extension().unwrap() != "json",
            "{stem}.json is not run"
        );
    }
}

#[test]
fn what_is_not_understood_fails() {
    let scenario = |server: &str, step: &str| Scenario {
        name: "nonsense".to_owned(),
        kind: Kind::Negative,
        settings: run::Settings::default(),
        server: vec![server.to_owned()],
        steps: vec!["requests 0".to_owned(), step.to_owned()],
    };
    let token = "token A 100";
    assert_eq!(run::run(&scenario(token, "token => A")), Ok(()));
    for step in [
        "tokn => A",
        "token",
        "token => B",
        "token => error Server",
        "requests",
        "requests many",
        "requests 1",
        "advance",
        "reject A => dropped",
        "",
        "count nonsense 0",
        "status fresh",
    ] {
        let problem = run::run(&scenario(token, step)).unwrap_err();
        assert!(
            problem.starts_with(&format!("step 2 `{step}`: ")),
            "{problem}"
        );
    }
    for line in [
        "tokn A 100",
        "token A",
        "status",
        "fail nonsense",
        "never ever",
        "token A 1 | x",
    ] {
        assert!(run::run(&scenario(line, "requests 0")).is_err(), "{line}");
    }
    let json = r#"[{"name": "a", "kind": "positive", "server": [], "stepz": []}]"#;
    assert!(serde_json::from_str::<Vec<Scenario>>(json).is_err());
}
