//! Two stored runs side by side: what differs between them, and what came of it.
//!
//! What differs is listed first, and [`comparable`](crate::comparable) says whether it forbids the
//! comparison; then there are no figures, only the reasons. A change has an interval made of raw
//! values, trials or sampling windows, and a verdict that claims no more than these. A rate that
//! the generator or the link bound is printed as "at least" and never judged.
//!
//! Runs that are compared here were made apart: what the machine did between them is in every
//! change. Whether a change of the code made the difference is for `krono gate` to say, which
//! measures both sides interleaved. Callers: `krono compare` and `krono-analysis compare`.

pub mod figures;
pub mod foreign;
pub mod matrix;
pub mod price;
mod raw;
mod render;
pub(crate) mod scale;

pub use figures::Figure;
pub use matrix::{Matrix, matrix};
pub use price::Price;

use crate::comparable::{self, Difference, Kind, Policy};
use crate::gate::Direction;
use crate::load::{Run, plan_of};
use crate::stats::change::{self, Raw};
use crate::warn;
use format::summary::Source;
use serde::Serialize;
use std::collections::BTreeMap;

/// Value of `schema` in the JSON form.
pub const SCHEMA: &str = "krono.compare/1";

/// How to compare.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which differences are accepted.
    pub policy: Policy,
    /// Confidence of the intervals, strictly between 0 and 1.
    pub confidence: f64,
    /// Seed of the resampling.
    pub seed: u64,
    /// What an hour of each run's host costs, by label: `A`, `B`.
    pub prices: BTreeMap<String, Price>,
}

/// One side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Side {
    /// `A`, `B`, and so on.
    pub label: String,
    /// Run.
    pub id: String,
    /// Where it lies.
    pub dir: String,
    /// When it started, RFC 3339.
    pub started: String,
    /// Git revision of the build.
    pub revision: Option<String>,
}

/// What may be said of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// B is better, and the interval excludes that it is not.
    Better,
    /// B is worse, and the interval excludes that it is not.
    Worse,
    /// The interval holds both.
    NoDifferenceSeen,
    /// Nothing can be said; `why` says why.
    NotJudged,
}

/// What an interval is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// Independent trials of each side.
    Trials(usize, usize),
    /// Sampling windows within at least one of the runs: their spread says nothing of the next run.
    Windows(usize, usize),
}

/// A figure of both sides.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Name in words.
    pub figure: String,
    /// Unit of both values.
    pub unit: String,
    /// Who counted.
    pub source: Source,
    /// Which way it gets better.
    pub direction: Direction,
    /// Value of A; `null` where it could not be had.
    pub a: Option<f64>,
    /// Value of B; `null` where it could not be had.
    pub b: Option<f64>,
    /// A is a lower bound.
    pub a_at_least: bool,
    /// B is a lower bound.
    pub b_at_least: bool,
    /// B ÷ A − 1; `null` where one is missing or a bound.
    pub change: Option<f64>,
    /// Interval of the change.
    pub interval: Option<(f64, f64)>,
    /// What the interval is made of.
    pub basis: Option<Basis>,
    /// The verdict.
    pub verdict: Verdict,
    /// Why it was not judged, or why a value is missing.
    pub why: Option<String>,
}

/// The result.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Always `krono.compare/1`.
    pub schema: &'static str,
    /// The base.
    pub a: Side,
    /// What is compared with it.
    pub b: Side,
    /// Everything recorded that is not the same.
    pub differences: Vec<Difference>,
    /// Why the two may not be compared; empty if they may. Then there are no rows.
    pub obstacles: Vec<String>,
    /// Confidence of the intervals.
    pub confidence: f64,
    /// Figure by figure.
    pub rows: Vec<Row>,
    /// What to know before using the verdicts, a sentence each.
    pub notes: Vec<String>,
}

impl Comparison {
    /// Whether the two may be compared.
    pub fn comparable(&self) -> bool {
        self.obstacles.is_empty()
    }
}

/// Compares `b` with `a`. Both are whole ([`load_whole`](crate::load::load_whole)).
pub fn compare(a: &Run, b: &Run, options: &Options) -> Comparison {
    compare_labelled(("A", a), ("B", b), options)
}

fn compare_labelled(a: (&str, &Run), b: (&str, &Run), options: &Options) -> Comparison {
    let mut differences = comparable::differences(&a.1.summary, &b.1.summary);
    let (asked, unreadable) = asked(a.1, b.1);
    differences.extend(asked);
    differences.sort_by_key(|difference| difference.kind);
    let obstacles = obstacles(a.1, b.1, &differences, unreadable, &options.policy);
    let rows = if obstacles.is_empty() { rows(a, b, options) } else { Vec::new() };
    let notes = notes(a, b, &rows);
    Comparison {
        schema: SCHEMA,
        a: side(a),
        b: side(b),
        differences,
        obstacles,
        confidence: options.confidence,
        rows,
        notes,
    }
}

fn side((label, run): (&str, &Run)) -> Side {
    Side {
        label: label.to_owned(),
        id: run.summary.run.id.clone(),
        dir: run.dir.display().to_string(),
        started: run.summary.run.started.clone(),
        revision: run.summary.run.git.clone(),
    }
}

/// Differences of the plans by key, or that there are some which cannot be named.
fn asked(a: &Run, b: &Run) -> (Vec<Difference>, bool) {
    match plan_of(a).zip(plan_of(b)) {
        Some((a, b)) => (comparable::plan_differences(&a, &b), false),
        None => (Vec::new(), a.summary.run.plan_hash != b.summary.run.plan_hash),
    }
}

fn obstacles(
    a: &Run,
    b: &Run,
    differences: &[Difference],
    plan_unreadable: bool,
    policy: &Policy,
) -> Vec<String> {
    let mut found = Vec::new();
    for run in [a, b].into_iter().filter(|run| !run.summary.valid) {
        let reasons = run.summary.invalid_reasons.join("; ");
        found.push(format!("run {} is invalid: {reasons}", run.summary.run.id));
    }
    if plan_unreadable && !policy.allow.iter().any(|fact| fact == "plan") {
        found.push(
            "the plans differ, and plan.toml of one is missing or of another version; \
                    repeat the run with this version"
                .to_owned(),
        );
    }
    let forbidding = differences.iter().filter(|it| policy.forbids(it));
    found.extend(forbidding.map(|difference| {
        let remedy = match difference.kind {
            Kind::Traffic => "different traffic is never compared".to_owned(),
            Kind::Hardware => format!(
                "say --hosts if it is hosts that you compare, or --allow {}",
                difference.fact
            ),
            _ => format!("say --allow {} if that is what you compare", difference.fact),
        };
        format!("{difference}: {remedy}")
    }));
    found
}

fn rows(a: (&str, &Run), b: (&str, &Run), options: &Options) -> Vec<Row> {
    let figures = |(label, run): (&str, &Run)| figures::of(run, options.prices.get(label));
    let (of_a, mut of_b) = (figures(a), figures(b));
    let mut rows = Vec::new();
    for figure in of_a {
        let other = of_b.iter().position(|other| other.name == figure.name);
        if let Some(other) = other.map(|i| of_b.remove(i)) {
            rows.push(row((a.0, figure), (b.0, other), options));
        }
    }
    rows
}

fn row(a: (&str, Figure), b: (&str, Figure), options: &Options) -> Row {
    let ((label_a, a), (label_b, b)) = (a, b);
    let mut row = Row {
        figure: a.name.clone(),
        unit: a.unit.clone(),
        source: a.source,
        direction: a.direction,
        a: a.value.clone().ok(),
        b: b.value.clone().ok(),
        a_at_least: a.at_least,
        b_at_least: b.at_least,
        change: None,
        interval: None,
        basis: None,
        verdict: Verdict::NotJudged,
        why: None,
    };
    let of = |label: &str, why: &str| Some(format!("{label}: {why}"));
    row.why = match (&a, &b) {
        (Figure { value: Err(why), .. }, Figure { value: Err(other), .. }) if why == other => {
            Some((*why).clone())
        }
        (Figure { value: Err(why), .. }, _) => of(label_a, why),
        (_, Figure { value: Err(why), .. }) => of(label_b, why),
        (a, b) if a.unit != b.unit => Some(format!("units {} and {}", a.unit, b.unit)),
        (Figure { at_least: true, .. }, _) => of(label_a, AT_LEAST),
        (_, Figure { at_least: true, .. }) => of(label_b, AT_LEAST),
        (Figure { doubt: Some(why), .. }, _) => of(label_a, why),
        (_, Figure { doubt: Some(why), .. }) => of(label_b, why),
        _ => None,
    };
    if row.why.is_none()
        && let (Some(value_a), Some(value_b)) = (row.a, row.b)
    {
        judge(&mut row, (value_a, &a.raw), (value_b, &b.raw), options);
    }
    row
}

const AT_LEAST: &str = "bound by the generator, the link or the asked rate, so a lower bound";

fn judge(row: &mut Row, a: (f64, &figures::Values), b: (f64, &figures::Values), options: &Options) {
    use figures::Values;
    let ((value_a, raw_a), (value_b, raw_b)) = (a, b);
    row.change = (value_a > 0.0).then(|| value_b / value_a - 1.0);
    let direction = row.direction;
    let worse = |more: bool| match (more, direction) {
        (true, Direction::LowerIsBetter) | (false, Direction::HigherIsBetter) => Verdict::Worse,
        _ => Verdict::Better,
    };
    match (raw_a, raw_b) {
        (Values::Exact { tolerance }, Values::Exact { .. }) => {
            let same = (value_b - value_a).abs() <= tolerance * value_a.abs();
            row.verdict = if same { Verdict::NoDifferenceSeen } else { worse(value_b > value_a) };
        }
        (Values::None(why), _) | (_, Values::None(why)) => row.why = Some(why.clone()),
        (Values::Raw(a), Values::Raw(b)) => {
            row.basis = Some(basis(a, b));
            match change::change(a, b, options.confidence, options.seed) {
                Some(found) => {
                    // Of the raw values; moved onto the change of the values that are printed.
                    let onto =
                        row.change.map_or(1.0, |change| (1.0 + change) / (1.0 + found.value));
                    let ends = [found.low, found.high].map(|end| (1.0 + end) * onto - 1.0);
                    row.interval = Some((ends[0], ends[1]));
                    row.verdict = match ends {
                        [low, _] if low > 0.0 => worse(true),
                        [_, high] if high < 0.0 => worse(false),
                        _ => Verdict::NoDifferenceSeen,
                    };
                }
                None => without_ratio(row, a, b, worse),
            }
        }
        _ => row.why = Some("raw values of one side only".to_owned()),
    }
}

/// Trials of which a median is 0, such as of losses, have no ratio. Apart they are where no value
/// of one side reaches one of the other: for six and six that happens once in 462 by chance.
fn without_ratio(row: &mut Row, a: &Raw, b: &Raw, worse: impl Fn(bool) -> Verdict) {
    let (Raw::Trials(a), Raw::Trials(b)) = (a, b) else {
        row.why = Some("too few windows in samples.csv for an interval".to_owned());
        return;
    };
    let ends = |values: &[f64]| {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        (low, values.iter().copied().fold(f64::NEG_INFINITY, f64::max))
    };
    let ((low_a, high_a), (low_b, high_b)) = (ends(a), ends(b));
    row.verdict = match () {
        () if low_b > high_a => worse(true),
        () if high_b < low_a => worse(false),
        () => Verdict::NoDifferenceSeen,
    };
}

fn basis(a: &Raw, b: &Raw) -> Basis {
    match (a, b) {
        (Raw::Trials(a), Raw::Trials(b)) => Basis::Trials(a.len(), b.len()),
        (a, b) => Basis::Windows(a.count(), b.count()),
    }
}

/// What bears on the verdicts.
fn notes(a: (&str, &Run), b: (&str, &Run), rows: &[Row]) -> Vec<String> {
    let mut notes = Vec::new();
    if rows.iter().any(|row| matches!(row.basis, Some(Basis::Windows(..)))) {
        notes.push(
            "Intervals made of windows show the spread within these runs and say nothing of the \
             next: run each side with --repeat 6 or more."
                .to_owned(),
        );
    }
    if !rows.is_empty() {
        notes.push(
            "The runs were made apart: what the machine did between them is in every change. \
             Whether the code made it, `krono gate` says."
                .to_owned(),
        );
    }
    const KINDS: [&str; 5] = ["headroom", "steal", "long-gap", "late-sends", "clock"];
    for (label, run) in [a, b] {
        let doubts = run.summary.warnings.iter().filter(|w| KINDS.contains(&w.kind.as_str()));
        notes.extend(doubts.map(|warning| format!("{label}: {}", warn::split_remedy(warning).0)));
    }
    notes
}
