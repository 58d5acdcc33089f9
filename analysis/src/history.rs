//! The history of a lab: one line of JSON for each run, in a file that only grows.
//!
//! A line (`krono.history/1`) holds what a trend needs and no more: when, which revision, what was
//! asked on which class of host, and the figures. Only whole, valid runs get in; a lower bound is
//! written as one and never part of a trend. The class of a line is a hash of scenario, plan
//! without seed, traffic, and of those facts of the host that forbid a comparison: lines of one
//! class may be set side by side. Callers: `krono history add` and [`trend`](crate::trend).

use crate::comparable;
use crate::compare::figures;
use crate::gate::Direction;
use crate::load::{Run, plan_of};
use format::{Plan, Summary};
use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Value of `schema` in every line.
pub const SCHEMA: &str = "krono.history/1";

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Always `krono.history/1`.
    pub schema: String,
    /// Name of the run directory.
    pub run: String,
    /// Start, RFC 3339.
    pub started: String,
    /// Git revision of the build.
    pub revision: Option<String>,
    /// Scenario.
    pub scenario: String,
    /// Host, for people.
    pub host: Option<String>,
    /// What must agree for two lines to be comparable.
    pub class: String,
    /// The figures.
    pub figures: Vec<Point>,
}

/// A figure of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Name.
    pub figure: String,
    /// Unit.
    pub unit: String,
    /// Which way it gets better.
    pub direction: Direction,
    /// Value.
    pub value: f64,
    /// Whether it is a lower bound.
    #[serde(default)]
    pub at_least: bool,
}

/// Why a history cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The file system refused.
    #[error("{}: {source}; check the path, and that the file can be read and written",
            path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A line that is none.
    #[error("{}: line {line}: {why}; remove the line or restore the file", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// A run that proves nothing.
    #[error("{}: the run is invalid: {why}; only valid runs enter a history", path.display())]
    Invalid {
        /// The run directory.
        path: PathBuf,
        /// Its reasons.
        why: String,
    },
    /// A run without the plan that says what was asked.
    #[error("{}: plan.toml is missing or of another version, so nothing says what the run may be \
             compared with; repeat the run", .0.display())]
    NoPlan(PathBuf),
    /// The run is there already.
    #[error("{}: run {run}, started {started}, is in it already; nothing was added",
            path.display())]
    Known {
        /// The file.
        path: PathBuf,
        /// The run.
        run: String,
        /// Its start.
        started: String,
    },
}

/// The line of a whole run.
///
/// # Errors
/// An invalid run, or one without a plan.
pub fn line(run: &Run) -> Result<Line, HistoryError> {
    let summary = &run.summary;
    if !summary.valid {
        let why = summary.invalid_reasons.join("; ");
        return Err(HistoryError::Invalid { path: run.dir.clone(), why });
    }
    let plan = plan_of(run).ok_or_else(|| HistoryError::NoPlan(run.dir.clone()))?;
    let points = figures::of(run, None).into_iter().filter_map(|figure| {
        let value = figure.value.ok().filter(|value| value.is_finite())?;
        // What is not judged has no trend either.
        figure.doubt.is_none().then_some(Point {
            figure: figure.name,
            unit: figure.unit,
            direction: figure.direction,
            value,
            at_least: figure.at_least,
        })
    });
    Ok(Line {
        schema: SCHEMA.to_owned(),
        run: summary.run.id.clone(),
        started: summary.run.started.clone(),
        revision: summary.run.git.clone(),
        scenario: summary.run.scenario.clone(),
        host: summary.host.name.clone(),
        class: class(summary, plan),
        figures: points.collect(),
    })
}

/// A hash of everything that forbids a comparison.
fn class(summary: &Summary, mut plan: Plan) -> String {
    // As in a comparison: how often, for whom and with which seed is measured does not matter.
    plan.seed = 0;
    plan.repeat = 1;
    plan.question = String::new();
    plan.scenario_hash = String::new();
    plan.pass = Vec::new();
    let text = plan.to_toml() + &comparable::identity(summary);
    Plan::hash_of(&text)[..16].to_owned()
}

/// Appends lines to the history in `path`, which is made if it is not there: all of them, or none.
///
/// # Errors
/// A history that cannot be read or written, or that has one of the runs already.
pub fn add(path: &Path, lines: &[Line]) -> Result<(), HistoryError> {
    let io = |source| HistoryError::Io { path: path.to_owned(), source };
    let mut known = match fs::metadata(path) {
        Ok(_) => read(path)?,
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(io(error)),
    };
    let mut text = String::new();
    for line in lines {
        if known.iter().any(|it| it.run == line.run && it.started == line.started) {
            let (run, started) = (line.run.clone(), line.started.clone());
            return Err(HistoryError::Known { path: path.to_owned(), run, started });
        }
        text += &(serde_json::to_string(line).map_err(|error| io(error.into()))? + "\n");
        known.push(line.clone());
    }
    let mut file = OpenOptions::new().create(true).append(true).open(path).map_err(io)?;
    // In one piece, so that two writers do not share a line.
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io)
}

/// Reads a history, oldest run first.
///
/// # Errors
/// A file that cannot be read, or a line that is none: a history with a hole has another trend.
pub fn read(path: &Path) -> Result<Vec<Line>, HistoryError> {
    let text = fs::read_to_string(path)
        .map_err(|source| HistoryError::Io { path: path.to_owned(), source })?;
    let malformed = |line: usize, why: String| HistoryError::Malformed {
        path: path.to_owned(),
        line: line + 1,
        why,
    };
    if !text.is_empty() && !text.ends_with('\n') {
        let last = text.lines().count() - 1;
        return Err(malformed(last, "it ends in the middle".to_owned()));
    }
    let mut lines = Vec::new();
    for (i, text) in text.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        let line: Line = serde_json::from_str(text).map_err(|e| malformed(i, e.to_string()))?;
        if line.schema != SCHEMA {
            let why = format!("schema is `{}`, this version reads `{SCHEMA}`", line.schema);
            return Err(malformed(i, why));
        }
        lines.push(line);
    }
    // Runs may be added late; RFC 3339 in UTC sorts as text.
    lines.sort_by(|a, b| a.started.cmp(&b.started));
    Ok(lines)
}
