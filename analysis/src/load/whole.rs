//! Whether a run is whole enough to be judged.
//!
//! A report may be made of half a run and says so; a comparison, an exported figure or a point of a
//! history may not. What is refused here: runs cut short, files of two different runs in one
//! directory, runs without a single trial, numbers that are none, and such as deny each other. Every
//! refusal names the file and the remedy.

use super::{LoadError, Run, load};
use format::{Plan, Sample, Summary};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Share of the trials' time that `samples.csv` must cover: the window in which a phase ends may be
/// missing, half of the file may not.
const COVERED_SHARE_MIN: f64 = 0.8;

/// Why a run is not whole.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Defect {
    /// It cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It was cut short.
    #[error("{}: the run was interrupted, its figures are of a part; let it run to its end",
            .0.display())]
    Interrupted(PathBuf),
    /// Its files are of more than one run.
    #[error("{}: {what}; files of two runs were mixed: restore the directory or repeat the run",
            path.display())]
    Mixed {
        /// The file that does not fit.
        path: PathBuf,
        /// In what.
        what: String,
    },
    /// Something in it cannot be.
    #[error("{}: {what}; the run is damaged: restore the file or repeat the run", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// Loads the run in `dir` and refuses one that is not whole.
///
/// # Errors
/// As of [`load`], and every [`Defect`].
pub fn load_whole(dir: &Path) -> Result<Run, Defect> {
    let run = load(dir)?;
    let summary_path = dir.join("summary.json");
    if run.summary.run.interrupted {
        return Err(Defect::Interrupted(summary_path));
    }
    let mixed = |name: &str, what: String| Defect::Mixed { path: dir.join(name), what };
    if run.host != run.summary.host {
        let what = "its facts are not those of summary.json".to_owned();
        return Err(mixed("host.json", what));
    }
    if run.plan.as_ref().is_some_and(|text| Plan::hash_of(text) != run.summary.run.plan_hash) {
        let what = "its hash is not the `run.plan_hash` of summary.json".to_owned();
        return Err(mixed("plan.toml", what));
    }
    let sound = numbers(&run.summary).and_then(|()| agreement(&run.summary));
    sound.map_err(|what| Defect::Damaged { path: summary_path, what })?;
    let samples = |what| Defect::Damaged { path: dir.join("samples.csv"), what };
    rows(&run.samples).map_err(samples)?;
    covered(&run).map_err(samples)?;
    Ok(run)
}

/// JSON holds no number that is none, but it holds impossible ones.
fn numbers(summary: &Summary) -> Result<(), String> {
    let trials = &summary.throughput.trials;
    if trials.is_empty() {
        return Err("it has no trial, so nothing was measured".to_owned());
    }
    let possible = |value: f64| value.is_finite() && value >= 0.0;
    for (i, trial) in trials.iter().enumerate() {
        let values = [trial.offered_mpps, trial.forwarded_mpps];
        if !(trial.seconds > 0.0 && values.into_iter().all(possible)) {
            return Err(format!("trial {} has an impossible rate or length", i + 1));
        }
    }
    let rates = &summary.throughput;
    let value = rates.mpps_per_core.map(|estimate| estimate.value);
    for (name, value) in [("forwarded_mpps", rates.forwarded_mpps), ("mpps_per_core", value)] {
        if value.is_some_and(|value| !possible(value)) {
            return Err(format!("throughput.{name} is an impossible rate"));
        }
    }
    if !summary.ledger.conserved() {
        return Err("the classes of its ledger do not add up".to_owned());
    }
    Ok(())
}

/// What is said in one place and denied in another.
fn agreement(summary: &Summary) -> Result<(), String> {
    if summary.valid && !summary.invalid_reasons.is_empty() {
        return Err("it says valid, and why it is invalid".to_owned());
    }
    let rates = &summary.throughput;
    let of_trials = rates.trials.iter().map(|trial| trial.forwarded_mpps);
    let (low, high) =
        of_trials.fold((f64::INFINITY, 0.0), |(low, high), mpps| (mpps.min(low), mpps.max(high)));
    // A mean of the trials; the last digit is rounding's.
    let range = low * (1.0 - 1e-9)..=high * (1.0 + 1e-9);
    match rates.forwarded_mpps.filter(|mpps| !range.contains(mpps)) {
        Some(mpps) => {
            Err(format!("throughput.forwarded_mpps is {mpps}, its trials {low} to {high}"))
        }
        None => Ok(()),
    }
}

fn rows(samples: &[Sample]) -> Result<(), String> {
    for (i, row) in samples.iter().enumerate() {
        let optional = [row.busy_share, row.latency_p50_us, row.latency_p99_us];
        let mut values = [row.t_s, row.offered_pps, row.forwarded_pps]
            .into_iter()
            .chain(optional.into_iter().flatten());
        if values.any(|value| !(value.is_finite() && value >= 0.0)) {
            // The header is line 1.
            return Err(format!("line {} holds a value that is no possible number", i + 2));
        }
    }
    Ok(())
}

/// Whether the samples, where there are any, reach over the measured phase.
fn covered(run: &Run) -> Result<(), String> {
    let measured_s: f64 = run.summary.throughput.trials.iter().map(|trial| trial.seconds).sum();
    let Some(phase) = measured_phase(run) else { return Ok(()) };
    if run.samples.is_empty() || measured_s < 1.0 {
        return Ok(());
    }
    let mut instants = BTreeMap::<u64, bool>::new();
    for sample in &run.samples {
        let of_phase = sample.phase == phase;
        *instants.entry((sample.t_s * 1e9).round() as u64).or_default() |= of_phase;
    }
    let (mut before_ns, mut covered_ns) = (0, 0);
    for (at_ns, of_phase) in instants {
        covered_ns += if of_phase { at_ns - before_ns } else { 0 };
        before_ns = at_ns;
    }
    let covered_s = covered_ns as f64 / 1e9;
    if covered_s < COVERED_SHARE_MIN * measured_s {
        return Err(format!("it covers {covered_s:.1} s of {measured_s:.1} s measured"));
    }
    Ok(())
}

/// Name of the phase whose trials are the result; `None` where the plan is missing or of a version
/// that this one cannot read.
pub(crate) fn measured_phase(run: &Run) -> Option<String> {
    Some(plan(run)?.measured_phase()?.name.clone())
}

/// The plan, where there is one that this version can read.
pub(crate) fn plan(run: &Run) -> Option<Plan> {
    Plan::from_toml(run.plan.as_ref()?).ok()
}
