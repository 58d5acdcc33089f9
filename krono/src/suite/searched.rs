//! `search = "ndr"` in a scenario: the rate of its last phase is found first, and the run has it.

use super::bench::{Bench, Ended};
use super::throughput;
use super::trial::Judge;
use crate::exit::{self, Exit, Refusal};
use crate::live::Live;
use crate::run::Setting;
use crate::rundir::RunDir;
use crate::scenario::Loaded;
use crate::testbed::{Observation, References, embedded};
use dataplane::run::Stop;
use format::Plan;
use format::plan::{Rate, Testbed, Until};
use format::summary::Found;
use kronogen::search::goal::Goal;
use std::fmt::Display;
use std::time::Instant;

/// Times an invalid trial is repeated.
const INVALID_MAX: u32 = 3;
/// Part of a trial's length that the first trials last.
const INITIAL: f64 = 0.1;
/// Width at which the search ends.
const WIDTH: f64 = 0.01;

/// What a search has come to.
pub(crate) enum Answer {
    /// The plan has the rate, and the setting says how it was found.
    Found,
    /// No run follows.
    Nothing(exit::Answer),
}

/// Whether the scenario asks for a search.
pub(crate) fn is_asked(plan: &Plan) -> bool {
    plan.phases.iter().any(|phase| phase.search.is_some())
}

/// Searches for the rate of the last phase and puts it into the plan.
///
/// # Errors
/// What broke on the way.
pub(crate) fn find(
    directory: &RunDir,
    loaded: &mut Loaded,
    setting: &mut Setting,
    stop: &Stop,
    live: &mut Live,
) -> anyhow::Result<Answer> {
    let known = Setting {
        machine: setting.machine.clone(),
        host: setting.host.clone(),
        references: None,
        found: None,
        metrics: setting.metrics.clone(),
        twin: setting.twin,
        sample: None,
    };
    let mut bench = Bench::new(directory, known, stop, live, INVALID_MAX)?;
    let ended = search(&mut bench, loaded);
    live.finish();
    let nothing = |why: &dyn Display, exit: Exit| {
        let text = format!("no run: {why}\n{}\n", directory.path().display());
        Ok(Answer::Nothing(exit::Answer { text, exit }))
    };
    let (found, references) = match ended {
        Ok(found) => found,
        Err(Ended::Failed(error)) => return Err(error),
        Err(ended @ Ended::Invalid { .. }) => return nothing(&ended, Exit::Invalid),
        Err(ended @ Ended::Interrupted) => return nothing(&ended, Exit::Interrupted),
    };
    let Some(mpps) = found.lower_mpps else {
        return nothing(&"no rate passes, however low", Exit::NotMet);
    };
    set(&mut loaded.plan, Rate::Pps((mpps * 1e6).round()), None);
    let calibration = match loaded.plan.testbed {
        Testbed::Embedded => {
            let mut observe = |observation: Observation| live.observe(&observation, Instant::now());
            embedded::calibrate(&loaded.plan, stop, &mut observe)?
        }
        _ => None,
    };
    (setting.references, setting.found) =
        (Some(References { calibration, ..references }), Some(found));
    Ok(Answer::Found)
}

/// Sets the rate of the phase that is searched for, and its length.
fn set(plan: &mut Plan, rate: Rate, seconds: Option<f64>) {
    for phase in plan.phases.iter_mut().filter(|phase| phase.search.is_some()) {
        phase.rate = rate;
        phase.until = seconds.map_or(phase.until, |s| Until::For((s * 1e9).round() as u64));
    }
}

fn search(bench: &mut Bench<'_>, loaded: &Loaded) -> Result<(Found, References), Ended> {
    let phase = loaded.plan.phases.last().filter(|phase| phase.search.is_some());
    let Some((phase, what)) = phase.and_then(|phase| Some((phase, phase.search?))) else {
        return Err(Refusal::Usage("search: not in the last phase".to_owned()).into());
    };
    let Until::For(ns) = phase.until else {
        return Err(Refusal::Usage("search: a phase without `for`".to_owned()).into());
    };
    let trial_s = ns as f64 / 1e9;
    let goal = Goal { width: WIDTH, ..Goal::strict() }.with_loss(what.loss_ratio());
    let goal = Goal { initial_s: trial_s * INITIAL, ..goal.with_trial(trial_s) };
    let at = |rate: Rate, seconds: f64| {
        let mut trial = Loaded { source: loaded.source.clone(), plan: loaded.plan.clone() };
        trial.plan.repeat = 1;
        trial.plan.pass.clear();
        set(&mut trial.plan, rate, Some(seconds));
        trial
    };
    let references = bench.references("search", &at(Rate::Max, trial_s))?;
    let first = at(Rate::Max, goal.initial_s);
    let mrr = bench.trial("mrr", &first, references, Judge::Packets)?;
    let generators = f64::from(loaded.plan.topology.generators());
    let range = throughput::range(&mrr, references, generators);
    let found = throughput::find(what, goal, range, |ask, number| {
        let key = format!("{what}/{number}-{}pps", ask.load);
        let trial = at(Rate::Pps(ask.load), ask.seconds);
        bench.trial(&key, &trial, references, Judge::Packets)
    })?;
    Ok((found, references))
}
