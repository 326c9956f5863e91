//! `bloom-auth doctor`: everything that a token and the API need, looked at.

mod checks;

use serde_json::json;

use super::Context;
use crate::{
    args::DoctorArgs,
    exit::{Exit, Failure},
    output::{self, Colour, Style},
};

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Ok,
    Warning,
    Error(Exit),
    /// It needs what another check has found broken.
    Skipped,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error(_) => "error",
            Self::Skipped => "skipped",
        }
    }
}

#[derive(Debug)]
struct Finding {
    check: &'static str,
    level: Level,
    found: String,
    /// What to do; empty if there is nothing to do.
    fix: String,
}

impl Finding {
    fn new(check: &'static str, level: Level, found: impl Into<String>, fix: &str) -> Self {
        Self {
            check,
            level,
            found: output::harmless(&found.into()),
            fix: fix.to_owned(),
        }
    }

    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(check, Level::Ok, found, "")
    }

    fn skipped(check: &'static str, found: &str) -> Self {
        Self::new(check, Level::Skipped, found, "")
    }
}

pub(crate) fn run(args: &DoctorArgs, context: &Context) -> Result<(), Failure> {
    let findings = checks::all(&args.settings, context)?;
    let exit = findings.iter().find_map(|finding| match finding.level {
        Level::Error(exit) => Some(exit),
        _ => None,
    });
    let text = if args.json {
        as_json(&findings, exit)
    } else {
        for_people(&findings, context.stdout_style())
    };
    output::print(text.as_bytes())?;
    exit.map_or(Ok(()), |exit| Err(Failure::quiet(exit)))
}

fn for_people(findings: &[Finding], style: Style) -> String {
    let mut text = String::new();
    for Finding {
        check,
        level,
        found,
        fix,
    } in findings
    {
        let colour = match level {
            Level::Ok => Colour::Green,
            Level::Warning => Colour::Yellow,
            Level::Error(_) => Colour::Red,
            Level::Skipped => Colour::Dim,
        };
        let level = style.paint(colour, &format!("{:<8}", level.name()));
        text += &format!("{level} {check:<12} {found}\n");
        if !fix.is_empty() {
            text += &format!("{:21} -> {fix}\n", "");
        }
    }
    text
}

fn as_json(findings: &[Finding], exit: Option<Exit>) -> String {
    let list = findings.iter().map(|finding| {
        json!({
            "check": finding.check,
            "level": finding.level.name(),
            "found": finding.found,
            "fix": (!finding.fix.is_empty()).then_some(&finding.fix),
        })
    });
    let list: Vec<_> = list.collect();
    let code = exit.unwrap_or(Exit::Ok).code();
    format!("{}\n", json!({ "checks": list, "exit_code": code }))
}
