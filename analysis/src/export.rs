//! Figures and verdicts in the formats that others read.
//!
//! A [`Sheet`] holds what is to be said, be it of a run ([`of_run`]) or of the verdicts of a gate
//! ([`of_rows`]); each format is one file below and knows nothing of where a sheet comes from.
//! Services that draw a value over commits ([`bmf`], [`github`]) are given only values that are
//! measurements: a lower bound or a figure of an invalid run would be drawn as if it were one, so
//! it is left out and named in [`Sheet::left_out`]. What is read by people and test tools
//! ([`junit`], [`markdown`], [`csv`], [`json`]) gets everything, marked as what it is.

pub mod bmf;
pub mod csv;
pub mod github;
pub mod json;
pub mod junit;
pub mod markdown;

use crate::compare::figures::{self, Figure, Values};
use crate::figure;
use crate::gate::{Class, Direction, Row};
use crate::load::Run;
use crate::report::limit;
use crate::stats::bootstrap;
use crate::stats::change::Raw;
use schemars::JsonSchema;
use serde::Serialize;
use thiserror::Error;

/// Confidence of the intervals of a run's figures.
const CONFIDENCE: f64 = 0.95;

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Target {
    /// Bencher Metric Format, for bencher.dev.
    Bmf,
    /// github-action-benchmark, one direction per file.
    Github,
    /// JUnit XML: pass criteria and verdicts as test cases.
    Junit,
    /// Markdown, such as for the summary of a CI step.
    Markdown,
    /// A row per figure.
    Csv,
    /// An object `krono.export/1`.
    Json,
}

/// Why a sheet could not be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The format holds figures of one direction, and none was named.
    #[error("github-action-benchmark reads one direction per file: say --better bigger or smaller")]
    NoDirection,
    /// XML could not be written.
    #[error("no JUnit report: {0}")]
    Junit(#[from] quick_junit::SerializeError),
    /// JSON could not be written.
    #[error("no JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// CSV could not be written.
    #[error("no CSV: {0}")]
    Csv(#[from] ::csv::Error),
}

/// What is to be said.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Sheet {
    /// Always `krono.export/1`.
    pub schema: String,
    /// What the entries are of, in a few words.
    pub title: String,
    /// The figures.
    pub entries: Vec<Entry>,
    /// What was judged, and how it came out.
    pub checks: Vec<Check>,
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Entry {
    /// What was measured: scenario and testbed, the same from commit to commit.
    pub benchmark: String,
    /// Name of the figure.
    pub figure: String,
    /// Unit of the values.
    pub unit: String,
    /// Whether more is better.
    pub bigger_is_better: bool,
    /// The value; `null` where it could not be had.
    pub value: Option<f64>,
    /// Lower end of its interval.
    pub low: Option<f64>,
    /// Upper end of its interval.
    pub high: Option<f64>,
    /// The value is a lower bound.
    pub at_least: bool,
    /// The run is valid: its figures may be used.
    pub valid: bool,
    /// The value is there and must not be judged, such as a latency of full queues.
    pub doubtful: bool,
    /// Change against the base, of a gate.
    pub change: Option<f64>,
    /// Verdict of a gate.
    pub verdict: Option<String>,
    /// Why there is no value, or what to know about the verdict.
    pub why: Option<String>,
}

/// How something that was judged came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Judgement {
    /// As it should be.
    Passed,
    /// Not as it should be.
    Failed,
    /// It could not be judged.
    Unjudged,
}

/// One thing that was judged.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Check {
    /// The run, or the gate.
    pub of: String,
    /// What was asked.
    pub name: String,
    /// How it came out.
    pub result: Judgement,
    /// The value and the limit, or the reason.
    pub message: String,
}

/// A sheet of runs. Runs of one scenario and testbed are told apart by their names.
pub fn of_runs(runs: &[Run]) -> Sheet {
    let name = |run: &Run| format!("{} ({})", run.summary.run.scenario, run.summary.run.testbed);
    let mut sheet = Sheet::new(match runs {
        [run] => run.summary.run.id.clone(),
        runs => figure::plural(runs.len(), "run"),
    });
    for run in runs {
        let alone = runs.iter().filter(|other| name(other) == name(run)).count() == 1;
        let benchmark =
            if alone { name(run) } else { format!("{} {}", name(run), run.summary.run.id) };
        sheet.entries.extend(figures::of(run, None).into_iter().filter_map(|figure| {
            // What was not asked for, such as a price, is no gap of the run.
            let asked = figure.value.is_ok() || !figure.name.contains("money");
            asked.then(|| entry(&benchmark, run, figure))
        }));
        sheet.checks.extend(checks(run));
    }
    sheet
}

/// A sheet of the verdicts of a gate, or of any comparison in its words.
pub fn of_rows(title: &str, rows: &[Row]) -> Sheet {
    let mut sheet = Sheet::new(title.to_owned());
    for row in rows {
        let end = |end: Option<f64>| Some(row.base? * (1.0 + end?));
        sheet.entries.push(Entry {
            benchmark: title.to_owned(),
            figure: row.metric.clone(),
            unit: row.unit.clone(),
            bigger_is_better: row.direction == Direction::HigherIsBetter,
            value: row.value,
            low: end(row.low),
            high: end(row.high),
            at_least: false,
            valid: row.class != Class::Invalid,
            doubtful: false,
            change: row.change,
            verdict: Some(row.class.to_string()),
            why: row.why.clone(),
        });
        let change = row.change.map(|change| format!("{} against the base", percent(change)));
        let message = [change, row.why.clone()].into_iter().flatten().collect::<Vec<_>>();
        sheet.checks.push(Check {
            of: title.to_owned(),
            name: row.metric.clone(),
            result: match row.class {
                Class::Pass => Judgement::Passed,
                Class::Regressed => Judgement::Failed,
                Class::Incomparable | Class::Erratic | Class::Invalid => Judgement::Unjudged,
            },
            message: match message.is_empty() {
                true => row.class.to_string(),
                false => format!("{}: {}", row.class, message.join("; ")),
            },
        });
    }
    sheet
}

fn percent(change: f64) -> String {
    let sign = if change > 0.0 { "+" } else { "" };
    format!("{sign}{} %", figure::significant(change * 100.0, 3))
}

fn entry(benchmark: &str, run: &Run, figure: Figure) -> Entry {
    let value = figure.value.as_ref().ok().copied();
    let ends = match &figure.raw {
        Values::Raw(Raw::Trials(values)) => {
            bootstrap::of_median(values, CONFIDENCE, run.summary.run.seed)
        }
        // Of windows the summary has the interval; others are not made anew here.
        _ => None,
    };
    let estimate = run.summary.throughput.mpps_per_core;
    let of_core = estimate.filter(|_| figure.name == "forwarded per core");
    // An interval that does not hold the value would be one of something else.
    let ends = match of_core {
        Some(estimate) => estimate.low.zip(estimate.high),
        None => ends.map(|ends| (ends.low, ends.high)),
    };
    let ends = ends.filter(|(low, high)| value.is_some_and(|it| (*low..=*high).contains(&it)));
    Entry {
        benchmark: benchmark.to_owned(),
        figure: figure.name,
        unit: figure.unit,
        bigger_is_better: figure.direction == Direction::HigherIsBetter,
        value,
        low: ends.map(|ends| ends.0),
        high: ends.map(|ends| ends.1),
        at_least: figure.at_least,
        valid: run.summary.valid,
        doubtful: figure.doubt.is_some(),
        change: None,
        verdict: None,
        why: figure.value.err().or(figure.doubt),
    }
}

/// The certificate and the pass criteria of a run.
fn checks(run: &Run) -> Vec<Check> {
    let summary = &run.summary;
    let of = || summary.run.id.clone();
    let mut checks = vec![Check {
        of: of(),
        name: "certificate".to_owned(),
        result: if summary.valid { Judgement::Passed } else { Judgement::Unjudged },
        message: match summary.valid {
            true => "the certificate holds".to_owned(),
            false => format!("invalid: {}", summary.invalid_reasons.join("; ")),
        },
    }];
    checks.extend(summary.pass.criteria.iter().map(|judged| {
        let value = judged.value.map_or_else(|| figure::MISSING.to_owned(), figure::value);
        Check {
            of: of(),
            name: judged.name.clone(),
            result: match (summary.valid, judged.met) {
                // An invalid run is neither passed nor failed.
                (false, _) => Judgement::Unjudged,
                (true, true) => Judgement::Passed,
                (true, false) => Judgement::Failed,
            },
            message: format!("{value} ({})", limit(&judged.limit)),
        }
    }));
    checks
}

impl Sheet {
    fn new(title: String) -> Sheet {
        let schema = "krono.export/1".to_owned();
        Sheet { schema, title, entries: Vec::new(), checks: Vec::new() }
    }

    /// Writes the sheet as `target`; `better` is the direction that [`Target::Github`] needs, true
    /// for figures of which more is better.
    ///
    /// # Errors
    /// A direction that is needed and missing; the serialisers' own do not occur in practice.
    pub fn write(&self, target: Target, better: Option<bool>) -> Result<String, ExportError> {
        match target {
            Target::Bmf => bmf::write(self),
            Target::Github => github::write(self, better.ok_or(ExportError::NoDirection)?),
            Target::Junit => junit::write(self),
            Target::Markdown => Ok(markdown::write(self)),
            Target::Csv => csv::write(self),
            Target::Json => json::write(self),
        }
    }

    /// The entries that are measurements.
    pub fn measurements(&self) -> impl Iterator<Item = (&Entry, f64)> {
        let finite = |entry: &Entry| entry.value.filter(|value| value.is_finite());
        self.entries
            .iter()
            .filter(|entry| entry.valid && !entry.at_least && !entry.doubtful)
            .filter_map(move |entry| Some((entry, finite(entry)?)))
    }

    /// Why entries with a value are no measurements, a sentence each.
    pub fn left_out(&self) -> Vec<String> {
        let has_value = self.entries.iter().filter(|entry| entry.value.is_some());
        has_value
            .filter_map(|entry| {
                let why = match (entry.valid, entry.at_least, &entry.why) {
                    (false, ..) => "the run is invalid",
                    (true, true, _) => "it is a lower bound",
                    (true, false, Some(why)) if entry.doubtful => why,
                    (true, false, _) => return None,
                };
                Some(format!("{}: {} is left out: {why}", entry.benchmark, entry.figure))
            })
            .collect()
    }
}
