//! Bencher Metric Format: benchmark → measure → `value`, `lower_value`, `upper_value`.
//!
//! Schema: <https://bencher.dev/bmf.json> (version 0). A measure goes by its slug, of at most 64
//! characters, a benchmark by its name, of at most 1024.

use super::{Entry, ExportError, Sheet};
use serde::Serialize;
use std::collections::BTreeMap;

/// Longest slug of a measure.
const SLUG_MAX: usize = 64;
/// Longest name of a benchmark.
const NAME_MAX: usize = 1024;

#[derive(Serialize)]
struct Metric {
    value: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    lower_value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upper_value: Option<f64>,
}

/// Writes the measurements of a sheet.
///
/// # Errors
/// The serialiser's.
pub fn write(sheet: &Sheet) -> Result<String, ExportError> {
    let mut benchmarks = BTreeMap::<String, BTreeMap<String, Metric>>::new();
    for (entry, value) in sheet.measurements() {
        let name: String = entry.benchmark.chars().take(NAME_MAX).collect();
        let metric = Metric { value, lower_value: entry.low, upper_value: entry.high };
        benchmarks.entry(name).or_default().insert(measure(entry), metric);
    }
    Ok(serde_json::to_string_pretty(&benchmarks)? + "\n")
}

/// Figure and unit as a slug: `forwarded-per-core-mpps`.
fn measure(entry: &Entry) -> String {
    let text = format!("{} {}", entry.figure, entry.unit.replace('µ', "u").replace('%', "percent"));
    let mut slug = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(SLUG_MAX);
    slug.trim_end_matches('-').to_owned()
}
