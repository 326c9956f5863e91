//! Reading and comparing what scenarios are written in.

use std::{fmt::Display, str::FromStr, time::Duration};

/// A number, or what else can be read from one word.
pub(super) fn parse<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error| format!("`{text}`: {error}"))
}

/// Fails unless both are the same.
pub(super) fn equal(got: &str, expected: &str) -> Result<(), String> {
    if got == expected {
        return Ok(());
    }
    Err(format!("expected: {expected}, got: {got}"))
}

/// Equal up to what tokio's timers round.
pub(super) fn near(got: Duration, expected: f64) -> Result<(), String> {
    if (got.as_secs_f64() - expected).abs() < 0.01 {
        return Ok(());
    }
    equal(&seconds(got), &expected.to_string())
}

/// Seconds, rounded to hundredths: tokio's timers round to milliseconds.
pub(super) fn seconds(time: Duration) -> String {
    ((time.as_secs_f64() * 100.0).round() / 100.0).to_string()
}
