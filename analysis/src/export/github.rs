//! The JSON of github-action-benchmark's tools `customBiggerIsBetter` and `customSmallerIsBetter`:
//! a list of `name`, `unit`, `value` and, where known, `range` and `extra`.
//!
//! The action reads one direction per file, so the direction is the caller's to name. Source: the
//! action's README, <https://github.com/benchmark-action/github-action-benchmark>, section on
//! custom benchmarks.

use super::{ExportError, Sheet};
use crate::figure;
use serde::Serialize;

#[derive(Serialize)]
struct Point {
    name: String,
    unit: String,
    value: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    range: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra: Option<String>,
}

/// Writes the measurements of one direction.
///
/// # Errors
/// The serialiser's.
pub fn write(sheet: &Sheet, bigger_is_better: bool) -> Result<String, ExportError> {
    let points: Vec<Point> = sheet
        .measurements()
        .filter(|(entry, _)| entry.bigger_is_better == bigger_is_better)
        .map(|(entry, value)| Point {
            name: format!("{}: {}", entry.benchmark, entry.figure),
            unit: entry.unit.clone(),
            value,
            range: entry.low.zip(entry.high).map(|(low, high)| {
                format!("{} to {}", figure::significant(low, 4), figure::significant(high, 4))
            }),
            extra: entry.why.clone(),
        })
        .collect();
    Ok(serde_json::to_string_pretty(&points)? + "\n")
}
