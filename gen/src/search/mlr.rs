//! Throughput by draft-ietf-bmwg-mlrsearch-15: bounds from many short trials and a few full ones.
//!
//! A search is a conversation. [`Search::ask`] says which load to try for how long, whoever can
//! makes the trial and [books](Search::book) it. Short trials narrow the loads down first: each
//! target has longer trials and a smaller width than the one before, and the last one is the goal.
//! A load is a bound when the trials made of it decide so ([`Goal::class`]), however the load was
//! come by; the relevant bounds are the lowest upper one and the highest lower one below it, so that
//! a system that loses at a load and passes a higher one is told by the loss.

use super::goal::{Class, Goal};
use super::{Range, Trial};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// Targets before the goal itself.
const PRELIMINARY: i32 = 3;
/// Trials after which a search is given up: a system so erratic has no throughput.
const TRIALS_MAX: usize = 500;
/// Widest step of a search that looks for a bound beyond those it has, as a share of the load.
const STEP_MAX: f64 = 0.5;

/// The trial to be made next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ask {
    /// Load in units per second, a whole number.
    pub load: f64,
    /// Length in seconds.
    pub seconds: f64,
}

/// What a search has found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Relevant lower bound; `None` if not even the least load passed.
    pub lower: Option<f64>,
    /// Relevant upper bound; `None` if the highest load passed.
    pub upper: Option<f64>,
    /// What came through at the lower bound.
    pub conditional: Option<f64>,
    /// Whether both bounds are there, no further apart than the goal's width.
    pub regular: bool,
    /// Every trial, in the order made.
    pub trials: Vec<Trial>,
}

/// A search under way.
#[derive(Clone, Debug)]
pub struct Search {
    targets: VecDeque<Goal>,
    range: Range,
    trials: Vec<Trial>,
    /// The same by load, which is a whole number.
    by_load: BTreeMap<u64, Vec<Trial>>,
    /// The load that is being decided.
    current: Option<f64>,
    /// Bounds of the target before, to be confirmed by longer trials.
    handed: [Option<f64>; 2],
    /// Steps beyond the bounds in this target.
    steps: i32,
    given_up: bool,
}

impl Search {
    /// A search for `goal` among the loads of `range`.
    pub fn new(goal: Goal, range: Range) -> Search {
        let shorter = (goal.initial_s / goal.final_s).min(1.0);
        let target = |index: i32| {
            let part = f64::from(index) / f64::from(PRELIMINARY);
            let seconds = goal.final_s * shorter.powf(1.0 - part);
            let width = (goal.width * 2f64.powi(PRELIMINARY - index)).min(STEP_MAX);
            Goal { final_s: seconds, sum_s: seconds, width, ..goal }
        };
        let preliminary = if shorter < 1.0 { PRELIMINARY } else { 0 };
        Search {
            targets: (0..preliminary).map(target).chain([goal]).collect(),
            range,
            trials: Vec::new(),
            by_load: BTreeMap::new(),
            current: None,
            handed: [None, None],
            steps: 0,
            given_up: false,
        }
    }

    /// The next trial; `None` when the search is over.
    pub fn ask(&mut self) -> Option<Ask> {
        loop {
            let target = *self.targets.front()?;
            if self.trials.len() >= TRIALS_MAX {
                self.given_up = true;
                return None;
            }
            let undecided = |&load: &f64| self.class(&target, load) == Class::Undecided;
            if let Some(load) = self.current.filter(undecided) {
                return Some(Ask { load, seconds: target.final_s });
            }
            self.current = self.candidate(&target);
            if self.current.is_none() {
                if self.targets.len() == 1 {
                    return None;
                }
                self.handed = self.bounds(&target);
                self.targets.pop_front();
                self.steps = 0;
            }
        }
    }

    /// Books the trial that was asked for. Its load is that asked for, whatever was sent.
    pub fn book(&mut self, trial: Trial) {
        self.trials.push(trial);
        self.by_load.entry(trial.load as u64).or_default().push(trial);
    }

    /// What has been found so far.
    pub fn found(self) -> Found {
        let Some(goal) = self.targets.back().copied() else {
            return Found {
                lower: None,
                upper: None,
                conditional: None,
                regular: false,
                trials: self.trials,
            };
        };
        let [lower, upper] = self.bounds(&goal);
        let conditional =
            lower.and_then(|load| goal.conditional_throughput(load, self.at(load).iter()));
        let narrow = lower.zip(upper).is_some_and(|(low, high)| self.is_narrow(&goal, low, high));
        Found { lower, upper, conditional, regular: narrow && !self.given_up, trials: self.trials }
    }

    fn at(&self, load: f64) -> &[Trial] {
        self.by_load.get(&(load as u64)).map_or(&[], Vec::as_slice)
    }

    fn class(&self, target: &Goal, load: f64) -> Class {
        target.class(self.at(load))
    }

    fn is_narrow(&self, target: &Goal, lower: f64, upper: f64) -> bool {
        (upper - lower) / upper <= target.width || upper - lower <= 1.0
    }

    /// The relevant bounds of a target: lower and upper.
    fn bounds(&self, target: &Goal) -> [Option<f64>; 2] {
        let classes = self.by_load.iter().map(|(&load, trials)| (load, target.class(trials)));
        let mut lower = None;
        for (load, class) in classes {
            match class {
                Class::Lower => lower = Some(load as f64),
                Class::Upper => return [lower, Some(load as f64)],
                Class::Undecided => {}
            }
        }
        [lower, None]
    }

    /// The load to decide about next; `None` if the target is reached, or beyond the range.
    fn candidate(&mut self, target: &Goal) -> Option<f64> {
        let [low_hint, high_hint] = self.handed;
        let candidate = match self.bounds(target) {
            [None, None] => low_hint.or(high_hint).unwrap_or(self.range.max),
            [None, Some(upper)] if upper <= self.range.min => return None,
            [None, Some(upper)] => {
                let hint = low_hint.or_else(|| self.through(upper));
                let hint = hint.filter(|&load| load < upper && self.steps == 0);
                let step = upper * (1.0 - self.step(target));
                hint.unwrap_or(step).min(upper - 1.0)
            }
            [Some(lower), None] if lower >= self.range.max => return None,
            [Some(lower), None] => {
                let hint = high_hint.filter(|&load| load > lower && self.steps == 0);
                let step = lower / (1.0 - self.step(target));
                hint.unwrap_or(step).max(lower + 1.0)
            }
            [Some(lower), Some(upper)] if self.is_narrow(target, lower, upper) => return None,
            [Some(lower), Some(upper)] => {
                // A lower bound that was hinted at is near the truth: small steps find the upper one
                // sooner than halves of what may be a wide gap.
                let step = lower / (1.0 - self.step(target));
                let middle = (lower * upper).sqrt().min(step);
                middle.round().clamp(lower + 1.0, upper - 1.0)
            }
        };
        self.steps += 1;
        Some(self.range.clamp(candidate))
    }

    /// Width of the next step beyond the bounds; each is twice the one before.
    fn step(&self, target: &Goal) -> f64 {
        (target.width * 2f64.powi(self.steps.min(30))).min(STEP_MAX)
    }

    /// What came through at a load that lost packets, as a hint at what would pass.
    fn through(&self, load: f64) -> Option<f64> {
        let losses = self.at(load).iter().map(|trial| trial.loss_ratio);
        losses.reduce(f64::min).map(|loss| load * (1.0 - loss)).filter(|&load| load >= 1.0)
    }
}

/// Searches with `measure` until it is over.
///
/// # Errors
/// The first one of `measure`.
pub fn search<E>(
    goal: Goal,
    range: Range,
    mut measure: impl FnMut(Ask) -> Result<Trial, E>,
) -> Result<Found, E> {
    let mut search = Search::new(goal, range);
    while let Some(ask) = search.ask() {
        search.book(measure(ask)?);
    }
    Ok(search.found())
}

#[cfg(test)]
mod tests;
