//! Where the level of a history's figures changed, and between which revisions.
//!
//! Each figure of each class of a history ([`history`](crate::history)) is a series of its own; its
//! change points are those of [`divisive`](crate::stats::divisive). A change is told with the
//! median before and after, and with the revisions of the last run before it and the first run
//! after. Changes smaller than [`EFFECT_MIN`] are not told: over enough runs every level differs a
//! little. Callers: `krono trend` and `krono-analysis trend`.

use crate::figure;
use crate::gate::Direction;
use crate::grid::{Grid, Lean};
use crate::history::{Line, Point};
use crate::stats::divisive::{SEGMENT_MIN, change_points};
use crate::stats::median;
use serde::Serialize;
use std::collections::BTreeMap;

/// Value of `schema` in the JSON form.
pub const SCHEMA: &str = "krono.trend/1";

/// Smallest change that is told.
pub const EFFECT_MIN: f64 = 0.005;

/// Runs of one series that are looked at; the newest of more.
pub const RUNS_MAX: usize = 400;

/// All series of a history.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trend {
    /// Always `krono.trend/1`.
    pub schema: &'static str,
    /// The series.
    pub series: Vec<Series>,
    /// Newest runs of each series in which a change for the worse counts as news.
    pub recent: usize,
}

/// One figure of one class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Series {
    /// Scenario.
    pub scenario: String,
    /// Host, for people.
    pub host: Option<String>,
    /// Class of its lines.
    pub class: String,
    /// Figure.
    pub figure: String,
    /// Unit.
    pub unit: String,
    /// Runs that have a value which is no lower bound.
    pub runs: usize,
    /// Median of the newest level.
    pub level: Option<f64>,
    /// Where the level changed, oldest first.
    pub changes: Vec<Change>,
    /// Why nothing can be said of it.
    pub why: Option<String>,
}

/// A change of level.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// The last run before it.
    pub after: Mark,
    /// The first run of the new level.
    pub from: Mark,
    /// Runs of the series since then.
    pub runs_since: usize,
    /// Median before.
    pub before_value: f64,
    /// Median after.
    pub after_value: f64,
    /// Share by which it changed.
    pub change: f64,
    /// Whether it is for the worse.
    pub worse: bool,
}

/// A run in a history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mark {
    /// Run.
    pub run: String,
    /// Start.
    pub started: String,
    /// Git revision.
    pub revision: Option<String>,
}

impl Trend {
    /// Whether a change for the worse began within the newest runs of its series.
    pub fn worsened(&self) -> bool {
        self.series.iter().any(|series| {
            series.changes.last().is_some_and(|it| it.worse && it.runs_since <= self.recent)
        })
    }

    /// Whether no series is long enough to say anything.
    pub fn inconclusive(&self) -> bool {
        self.series.iter().all(|series| series.why.is_some())
    }
}

/// The trend of a history, oldest run first.
pub fn trend(lines: &[Line], recent: usize, seed: u64) -> Trend {
    let mut all = BTreeMap::<(&str, &str, &str), Vec<(&Line, &Point)>>::new();
    for line in lines {
        for point in line.figures.iter().filter(|it| !it.at_least && it.value.is_finite()) {
            let key = (line.scenario.as_str(), line.class.as_str(), point.figure.as_str());
            all.entry(key).or_default().push((line, point));
        }
    }
    let series = all.into_values().filter_map(|points| series(&points, seed)).collect();
    Trend { schema: SCHEMA, series, recent }
}

fn series(points: &[(&Line, &Point)], seed: u64) -> Option<Series> {
    let points = &points[points.len().saturating_sub(RUNS_MAX)..];
    let (line, point) = *points.last()?;
    let values: Vec<f64> = points.iter().map(|(_, point)| point.value).collect();
    let mut ends: Vec<usize> = vec![0];
    ends.extend(change_points(&values, seed));
    ends.push(values.len());
    let changes: Vec<Change> =
        ends.windows(3).filter_map(|ends| change(points, &values, ends)).collect();
    let newest = ends[ends.len() - 2];
    let few = values.len() < 2 * SEGMENT_MIN;
    Some(Series {
        scenario: line.scenario.clone(),
        host: line.host.clone(),
        class: line.class.clone(),
        figure: point.figure.clone(),
        unit: point.unit.clone(),
        runs: values.len(),
        level: median(&values[newest..]),
        changes,
        why: few.then(|| format!("{} runs, at least {} are needed", values.len(), 2 * SEGMENT_MIN)),
    })
}

/// The change at the middle of three ends; `None` if it is too small to be told.
fn change(points: &[(&Line, &Point)], values: &[f64], ends: &[usize]) -> Option<Change> {
    let &[begin, at, end] = ends else { return None };
    let (before, after) = (median(&values[begin..at])?, median(&values[at..end])?);
    let change = if before == 0.0 { f64::from(after > 0.0) } else { after / before - 1.0 };
    if change.abs() < EFFECT_MIN {
        return None;
    }
    let direction = points[at].1.direction;
    Some(Change {
        after: mark(points[at - 1].0),
        from: mark(points[at].0),
        runs_since: values.len() - at,
        before_value: before,
        after_value: after,
        change,
        worse: (change > 0.0) == (direction == Direction::LowerIsBetter),
    })
}

fn mark(line: &Line) -> Mark {
    let (run, started) = (line.run.clone(), line.started.clone());
    Mark { run, started, revision: line.revision.clone() }
}

impl Trend {
    /// For a terminal, or with `markdown` for the summary of a CI step.
    pub fn text(&self, markdown: bool) -> String {
        let mut changes = Grid::new(&[
            ("scenario", Lean::Left),
            ("figure", Lean::Left),
            ("before", Lean::Right),
            ("after", Lean::Right),
            ("unit", Lean::Left),
            ("change", Lean::Right),
            ("", Lean::Left),
            ("between", Lean::Left),
            ("runs since", Lean::Right),
        ]);
        let number = |value: f64| figure::significant(value, 4);
        for series in &self.series {
            for change in &series.changes {
                let sign = if change.change > 0.0 { "+" } else { "" };
                changes.push([
                    series.scenario.clone(),
                    series.figure.clone(),
                    number(change.before_value),
                    number(change.after_value),
                    series.unit.clone(),
                    format!("{sign}{} %", figure::significant(change.change * 100.0, 2)),
                    if change.worse { "worse" } else { "better" }.to_owned(),
                    range(change),
                    change.runs_since.to_string(),
                ]);
            }
        }
        let mut text = match (changes.is_empty(), markdown) {
            (true, _) => "No change of level was found.\n".to_owned(),
            (false, false) => changes.text(),
            (false, true) => changes.markdown(),
        };
        let told = self.series.iter().filter(|series| series.why.is_none()).count();
        text += &format!("\n{} series looked at.\n", figure::count(told as u64));
        for series in self.series.iter().filter(|series| series.why.is_some()) {
            let why = series.why.as_deref().unwrap_or_default();
            text += &format!("{}, {}: {why}\n", series.scenario, series.figure);
        }
        text
    }
}

/// `a1b2c3..d4e5f6`, or the names of the runs where revisions are unknown.
fn range(change: &Change) -> String {
    match (&change.after.revision, &change.from.revision) {
        (Some(after), Some(from)) => format!("{after}..{from}"),
        _ => format!("{} and {}", change.after.run, change.from.run),
    }
}
