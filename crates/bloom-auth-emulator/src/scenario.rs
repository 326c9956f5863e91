//! Scenarios: faults in steps, read from a file.

use serde::Deserialize;
use toml::Spanned;

use crate::{Endpoint, Fault, FaultRule, Schedule, rule::When};

/// Faults in an order, as read from TOML.
///
/// The steps of an endpoint follow each other: each takes so many requests
/// (`count`; without one, all that are left) and plays its fault at all of them,
/// or at `every` so-manieth, or with a `probability`. A step without a fault lets
/// its requests pass. With `repeat` the last step is followed by the first;
/// otherwise the scenario is over, and only the [rules](FaultRule) that are set
/// count.
///
/// ```
/// use bloom_auth_emulator::Scenario;
///
/// let scenario = Scenario::parse(
///     r#"
///     ## Two requests fail, one gets through, and then half of them are slow.
///     [[step]]
///     fault = "unavailable"
///     count = 2
///
///     [[step]]
///     count = 1
///
///     [[step]]
///     fault = "slow-body"
///     probability = 0.5
///
///     ## The API goes its own way.
///     [[step]]
///     fault = "api-invalid-token"
///     at = "api"
///     every = 10
///     "#,
/// )?;
/// assert_eq!(scenario.len(), 4);
///
/// let error = Scenario::parse("[[step]]\nfault = 'slow-boddy'").unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "line 2: there is no fault `slow-boddy`; the nearest is `slow-body`",
/// );
/// # Ok::<(), bloom_auth_emulator::ScenarioError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    repeat: bool,
    token: Vec<Step>,
    api: Vec<Step>,
    connection: Vec<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Step {
    pub(crate) fault: Option<Fault>,
    /// Of so many requests.
    pub(crate) count: Option<u64>,
    /// At which of them.
    pub(crate) pick: When,
}

/// What is wrong with a scenario, and in which line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct ScenarioError {
    line: usize,
    problem: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    repeat: bool,
    #[serde(default)]
    step: Vec<Spanned<FileStep>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileStep {
    fault: Option<Spanned<String>>,
    at: Option<Spanned<String>>,
    count: Option<Spanned<i64>>,
    every: Option<Spanned<i64>>,
    probability: Option<Spanned<f64>>,
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    ///
    /// [`ScenarioError`] with the line of what is wrong: what is no TOML, keys
    /// that no scenario has, faults that there are not, with the nearest that
    /// there is, numbers out of their range, and steps that nothing would get to.
    pub fn parse(toml: &str) -> Result<Self, ScenarioError> {
        let file: File = toml::from_str(toml).map_err(|error| ScenarioError {
            line: line(toml, error.span().map_or(0, |span| span.start)),
            problem: error.message().lines().collect::<Vec<_>>().join(" "),
        })?;
        let mut scenario = Self {
            repeat: file.repeat,
            token: Vec::new(),
            api: Vec::new(),
            connection: Vec::new(),
        };
        if file.step.is_empty() {
            return Err(ScenarioError {
                line: 1,
                problem: "a scenario has steps: `[[step]]`".to_owned(),
            });
        }
        for step in file.step {
            let start = step.span().start;
            let (endpoint, step) = step.into_inner().read().map_err(|(at, problem)| {
                let line = line(toml, at.unwrap_or(start));
                ScenarioError { line, problem }
            })?;
            let steps = scenario.steps_mut(endpoint);
            if steps.last().is_some_and(|last| last.count.is_none()) {
                return Err(ScenarioError {
                    line: line(toml, start),
                    problem: format!(
                        "the step before it at `{endpoint}` has no `count` and never ends"
                    ),
                });
            }
            steps.push(step);
        }
        Ok(scenario)
    }

    /// How many steps it has.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "no scenario is empty")]
    pub fn len(&self) -> usize {
        self.token.len() + self.api.len() + self.connection.len()
    }

    pub(crate) fn repeats(&self) -> bool {
        self.repeat
    }

    pub(crate) fn steps(&self, endpoint: Endpoint) -> &[Step] {
        match endpoint {
            Endpoint::Token => &self.token,
            Endpoint::Api => &self.api,
            Endpoint::Connection => &self.connection,
        }
    }

    fn steps_mut(&mut self, endpoint: Endpoint) -> &mut Vec<Step> {
        match endpoint {
            Endpoint::Token => &mut self.token,
            Endpoint::Api => &mut self.api,
            Endpoint::Connection => &mut self.connection,
        }
    }
}

impl ScenarioError {
    /// The line, counted from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }
}

/// A problem, and where it is if not at the start of the step.
type Problem = (Option<usize>, String);

impl FileStep {
    fn read(self) -> Result<(Endpoint, Step), Problem> {
        let endpoint = match &self.at {
            Some(at) => Some(parsed::<Endpoint>(at)?),
            None => None,
        };
        let fault = match &self.fault {
            Some(fault) => Some(parsed::<Fault>(fault)?),
            None => None,
        };
        let endpoint = match (fault, endpoint) {
            (Some(fault), Some(endpoint)) => {
                let at = self.at.as_ref().map(|at| at.span().start);
                let rule = FaultRule::new(fault).at(endpoint);
                rule.map_err(|error| (at, error.to_string()))?.endpoint
            }
            (Some(fault), None) => FaultRule::new(fault).endpoint,
            (None, endpoint) => endpoint.unwrap_or(Endpoint::Token),
        };
        let count = self
            .count
            .as_ref()
            .map(|count| whole("count", count))
            .transpose()?;
        let pick = match (&self.every, &self.probability) {
            (None, None) => Schedule::always().0,
            (Some(every), None) => Schedule::every(whole("every", every)?).0,
            (None, Some(probability)) => {
                if !(0.0..=1.0).contains(probability.get_ref()) {
                    let problem = "`probability` is a number from 0 to 1";
                    return Err((Some(probability.span().start), problem.to_owned()));
                }
                Schedule::probability(*probability.get_ref()).0
            }
            (Some(_), Some(probability)) => {
                let problem = "a step has `every` or `probability`, not both";
                return Err((Some(probability.span().start), problem.to_owned()));
            }
        };
        if fault.is_none() && (self.every.is_some() || self.probability.is_some()) {
            return Err((
                None,
                "a step without a `fault` has nothing to choose".to_owned(),
            ));
        }
        Ok((endpoint, Step { fault, count, pick }))
    }
}

fn parsed<T: std::str::FromStr>(text: &Spanned<String>) -> Result<T, Problem>
where
    T::Err: std::fmt::Display,
{
    let parsed = text.get_ref().parse();
    parsed.map_err(|error: T::Err| (Some(text.span().start), error.to_string()))
}

fn whole(name: &str, number: &Spanned<i64>) -> Result<u64, Problem> {
    match u64::try_from(*number.get_ref()) {
        Ok(number) if number > 0 => Ok(number),
        _ => Err((
            Some(number.span().start),
            format!("`{name}` is a whole number from 1"),
        )),
    }
}

fn line(text: &str, offset: usize) -> usize {
    let before = text.bytes().take(offset);
    before.filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let step = "\n[[step]]\nfault = 'reset'\n";
        for (toml, message) in [
            ("", "line 1: a scenario has steps: `[[step]]`"),
            ("repeat = true", "line 1: a scenario has steps: `[[step]]`"),
            (
                "[[step]]\nfault = 'rest'",
                "line 2: there is no fault `rest`; the nearest is `reset`",
            ),
            (
                "# one\n\n[[step]]\ncount = 1\nfault = 'unavailible'",
                "line 5: there is no fault `unavailible`; the nearest is `unavailable`",
            ),
            (
                &format!("{step}at = 'tokens'"),
                "line 4: there is no endpoint `tokens`: there are `token`, `api` and `connection`",
            ),
            (
                &format!("{step}at = 'connection'"),
                "line 4: the fault `reset` cannot be played at `connection`",
            ),
            (
                &format!("{step}count = 0"),
                "line 4: `count` is a whole number from 1",
            ),
            (
                &format!("{step}every = -3"),
                "line 4: `every` is a whole number from 1",
            ),
            (
                &format!("{step}probability = 1.5"),
                "line 4: `probability` is a number from 0 to 1",
            ),
            (
                &format!("{step}probability = nan"),
                "line 4: `probability` is a number from 0 to 1",
            ),
            (
                &format!("{step}every = 2\nprobability = 0.5"),
                "line 5: a step has `every` or `probability`, not both",
            ),
            (
                "[[step]]\ncount = 1\n[[step]]\nevery = 2",
                "line 3: a step without a `fault` has nothing to choose",
            ),
            (
                &format!("{step}times = 3"),
                "line 4: unknown field `times`, expected one of `fault`, `at`, `count`, `every`, `probability`",
            ),
            (
                "[[step]]\nfault = 'reset'\n[[step]]\nat = 'api'\n[[step]]\ncount = 1",
                "line 5: the step before it at `token` has no `count` and never ends",
            ),
            (
                "steps = 3",
                "line 1: unknown field `steps`, expected `repeat` or `step`",
            ),
            (
                &format!("{step}count = 'two'"),
                "line 4: invalid type: string \"two\", expected i64",
            ),
            ("[[step]]\nfault = reset", "line 2: "),
        ] {
            let error = Scenario::parse(toml).unwrap_err();
            assert!(error.to_string().starts_with(message), "{toml}: {error}");
            assert!(message.starts_with(&format!("line {}:", error.line())));
        }
    }
}
