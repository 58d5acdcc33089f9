//! Runs that are stored: those of a base and those of a candidate, of one host, taken in turns.
//!
//! The n-th run of one side and the n-th of the other are a pair. That is only a pair if they were
//! taken one after the other and the next pair after both, and a fair one only if it was not always
//! the same side's turn first: all runs of one side and then all of the other show what changed on
//! the machine meanwhile as well as what changed in the program (5.7 % false alarms at a nominal 1 %
//! in a simulation with drift), so they are refused. So are runs that are not whole, a side whose
//! runs are of several programs, and a run that is on both sides.

use super::exact::plain;
use analysis::comparable::obstacles;
use analysis::gate::{Class, Direction, Pair, Row, Rule, judge};
use analysis::{Run, load};
use format::Summary;
use format::scenario::Gate;
use format::summary::Bound;
use std::path::PathBuf;

/// Value of a metric in a summary.
type Figure = fn(&Summary) -> Option<f64>;

/// Metrics of stored runs.
const METRICS: [(&str, &str, Direction, Figure); 2] = [
    ("sut.cycles_per_packet", "cycles", Direction::LowerIsBetter, cycles_per_packet),
    ("throughput.mpps_per_core", "Mpps", Direction::HigherIsBetter, mpps_per_core),
];

/// Why stored runs are not judged.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotJudged {
    /// They cannot be read, or are a part of a run, or of two.
    #[error(transparent)]
    Defect(#[from] load::Defect),
    /// They may not be set side by side.
    #[error("{0}")]
    Incomparable(String),
}

/// Judges the runs of two sides.
pub(super) fn rows(
    baseline: &[PathBuf],
    candidate: &[PathBuf],
    gate: &Gate,
) -> Result<Vec<Row>, NotJudged> {
    let refuse = |why: String| Err(NotJudged::Incomparable(why));
    if baseline.len() != candidate.len() {
        let (base, candidate) = (baseline.len(), candidate.len());
        return refuse(format!(
            "{base} runs of the base and {candidate} of the candidate are no pairs\n  Name as many \
             of each, in the order they were taken."
        ));
    }
    let (base, value) = (read(baseline)?, read(candidate)?);
    one_program("base", &base).map_err(NotJudged::Incomparable)?;
    one_program("candidate", &value).map_err(NotJudged::Incomparable)?;
    for (a, b) in base.iter().zip(&value) {
        if let Some(why) = obstacles(&a.summary, &b.summary).first() {
            return refuse(format!("{} and {}: {why}", a.dir.display(), b.dir.display()));
        }
        if a.summary.run.plan_hash != b.summary.run.plan_hash {
            let why = "their plans differ";
            return refuse(format!("{} and {}: {why}", a.dir.display(), b.dir.display()));
        }
    }
    in_turns(&base, &value).map_err(NotJudged::Incomparable)?;
    let (mut metrics, mut one_sided) = (Vec::new(), Vec::new());
    for (name, unit, direction, figure) in METRICS {
        let Some(asked) = gate.metrics.iter().find(|metric| metric.name == name) else { continue };
        let rule = Rule {
            metric: name.to_owned(),
            unit: unit.to_owned(),
            direction,
            tolerated: asked.tolerated,
            looked_for: asked.looked_for,
            must_see: asked.must_see,
        };
        let pairs = base.iter().zip(&value).map(|(a, b)| {
            let (base, value) = (figure(&a.summary)?, figure(&b.summary)?);
            let log_ratio = (value / base).ln();
            log_ratio.is_finite().then_some(Pair { base, value, log_ratio })
        });
        match pairs.collect::<Option<Vec<Pair>>>() {
            Some(pairs) => metrics.push((rule, pairs)),
            None => one_sided.extend(missing(&rule, figure, [&base, &value])),
        }
    }
    if metrics.is_empty() && one_sided.is_empty() {
        return refuse(
            "no figure that both sides have in all runs: a throughput counts only where the SUT \
             bound it"
                .to_owned(),
        );
    }
    let judged = if metrics.is_empty() { Vec::new() } else { judge(gate.alpha, &metrics) };
    Ok(judged.into_iter().chain(one_sided).collect())
}

/// The row of a metric that some runs have and others have not: it is not judged, and nothing passes
/// for that. `None` where no run has it.
fn missing(rule: &Rule, figure: Figure, sides: [&[Run]; 2]) -> Option<Row> {
    let known = |runs: &[Run]| runs.iter().filter(|run| figure(&run.summary).is_some()).count();
    let [base, candidate] = sides.map(known);
    let all = sides[0].len();
    let why = format!(
        "known of {base} of {all} runs of the base and {candidate} of {all} of the candidate; a \
         throughput is known where the SUT bound it"
    );
    let row = plain(&rule.metric, None, Class::Incomparable, Some(why));
    let row = Row { unit: rule.unit.clone(), direction: rule.direction, ..row };
    (base + candidate > 0).then_some(row)
}

/// Refuses a side of which nobody could say what it is.
fn one_program(side: &str, runs: &[Run]) -> Result<(), String> {
    let program = |run: &Run| (run.summary.run.git.clone(), run.summary.run.version.clone());
    let other = runs.iter().find(|run| program(run) != program(&runs[0]));
    other.map_or(Ok(()), |other| {
        let [first, other] = [&runs[0], other].map(|run| run.dir.display());
        Err(format!(
            "{first} and {other}: runs of two revisions or versions on one side, the {side}\n  Name \
             the runs of one program."
        ))
    })
}

/// The runs in the order they were taken.
fn read(dirs: &[PathBuf]) -> Result<Vec<Run>, load::Defect> {
    let mut runs: Vec<Run> =
        dirs.iter().map(|dir| load::load_whole(dir)).collect::<Result<_, _>>()?;
    runs.sort_by_cached_key(|run| started(run).ok());
    Ok(runs)
}

fn started(run: &Run) -> Result<jiff::Timestamp, String> {
    let text = &run.summary.run.started;
    text.parse().map_err(|_| format!("{}: `{text}` is no time", run.dir.display()))
}

/// Whether the runs are pairs taken one after the other, and not always the same side first.
fn in_turns(base: &[Run], candidate: &[Run]) -> Result<(), String> {
    let both = |(a, b): (&Run, &Run)| Ok::<_, String>([started(a)?, started(b)?]);
    let times: Vec<[jiff::Timestamp; 2]> =
        base.iter().zip(candidate).map(both).collect::<Result<_, _>>()?;
    let last = |pair: &[jiff::Timestamp; 2]| pair[0].max(pair[1]);
    let first = |pair: &[jiff::Timestamp; 2]| pair[0].min(pair[1]);
    let remedy = "Take one run of each by turns, and throw a coin each time for who goes first; \
                  `krono gate --base BIN --candidate BIN` does.";
    if times.windows(2).any(|two| last(&two[0]) >= first(&two[1])) {
        return Err(format!(
            "the runs were not taken by turns, so drift is not told from change\n  {remedy}"
        ));
    }
    if times.iter().any(|[a, b]| a == b) {
        return Err(format!("a run is on both sides\n  {remedy}"));
    }
    let base_first = times.iter().filter(|[a, b]| a < b).count();
    if times.len() > 1 && (base_first == 0 || base_first == times.len()) {
        return Err(format!("the same side went first in every pair\n  {remedy}"));
    }
    Ok(())
}

/// Mean over the cores that have a figure.
fn cycles_per_packet(summary: &Summary) -> Option<f64> {
    let cores: Vec<f64> =
        summary.sut.cores.iter().filter_map(|core| core.cycles_per_packet).collect();
    analysis::stats::mean(&cores)
}

/// Only what the SUT bound is its throughput.
fn mpps_per_core(summary: &Summary) -> Option<f64> {
    let throughput = &summary.throughput;
    let bound = throughput.bound == Some(Bound::Sut) && !throughput.at_least;
    throughput.mpps_per_core.filter(|_| bound).map(|estimate| estimate.value)
}
