//! Runs that are stored: those of a base and those of a candidate, of one host, taken in turns.
//!
//! The n-th run of one side and the n-th of the other are a pair. That is only a pair if they were
//! taken one after the other and the next pair after both, and a fair one only if it was not always
//! the same side's turn first: all runs of one side and then all of the other show what changed on
//! the machine meanwhile as well as what changed in the program (5.7 % false alarms at a nominal 1 %
//! in a simulation with drift), so they are refused.

use analysis::comparable::obstacles;
use analysis::gate::{Direction, Pair, Row, Rule, judge};
use analysis::{Run, load};
use format::Summary;
use format::scenario::Gate;
use format::summary::Bound;
use std::path::{Path, PathBuf};

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
    /// They cannot be read.
    #[error(transparent)]
    Load(#[from] load::LoadError),
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
    let metrics: Vec<(Rule, Vec<Pair>)> = METRICS
        .iter()
        .filter_map(|(name, unit, direction, figure)| {
            let asked = gate.metrics.iter().find(|metric| metric.name == *name)?;
            let rule = Rule {
                metric: (*name).to_owned(),
                unit: (*unit).to_owned(),
                direction: *direction,
                tolerated: asked.tolerated,
                looked_for: asked.looked_for,
                must_see: asked.must_see,
            };
            let pairs = base.iter().zip(&value).map(|(a, b)| {
                let (base, value) = (figure(&a.summary)?, figure(&b.summary)?);
                let log_ratio = (value / base).ln();
                log_ratio.is_finite().then_some(Pair { base, value, log_ratio })
            });
            Some((rule, pairs.collect::<Option<Vec<Pair>>>()?))
        })
        .collect();
    if metrics.is_empty() {
        return refuse(
            "no figure that both sides have in all runs: a throughput counts only where the SUT \
             bound it"
                .to_owned(),
        );
    }
    Ok(judge(gate.alpha, &metrics))
}

fn read(dirs: &[PathBuf]) -> Result<Vec<Run>, load::LoadError> {
    let mut runs: Vec<Run> =
        dirs.iter().map(|dir| load::load(Path::new(dir))).collect::<Result<_, _>>()?;
    runs.sort_by(|a, b| a.summary.run.started.cmp(&b.summary.run.started));
    Ok(runs)
}

/// Whether the runs are pairs taken one after the other, and not always the same side first.
fn in_turns(base: &[Run], candidate: &[Run]) -> Result<(), String> {
    let times: Vec<[&str; 2]> = base
        .iter()
        .zip(candidate)
        .map(|(a, b)| [a.summary.run.started.as_str(), b.summary.run.started.as_str()])
        .collect();
    let last = |pair: &[&str; 2]| pair[0].max(pair[1]).to_owned();
    let first = |pair: &[&str; 2]| pair[0].min(pair[1]).to_owned();
    let remedy = "Take one run of each by turns, and throw a coin each time for who goes first; \
                  `krono gate --base BIN --candidate BIN` does.";
    if times.windows(2).any(|two| last(&two[0]) >= first(&two[1])) {
        return Err(format!(
            "the runs were not taken by turns, so drift is not told from change\n  {remedy}"
        ));
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
