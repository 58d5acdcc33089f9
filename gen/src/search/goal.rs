//! What a throughput search is to find: the goal of draft-ietf-bmwg-mlrsearch-15 section 4.4.

use super::Trial;
use serde::{Deserialize, Serialize};

/// A goal. Durations are in seconds, ratios and the width from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Goal {
    /// Length of the first trials, which only narrow the search down.
    pub initial_s: f64,
    /// Length of a full trial.
    pub final_s: f64,
    /// Trial time that decides about a load.
    pub sum_s: f64,
    /// Share of packets that a trial may lose.
    pub loss_ratio: f64,
    /// Share of the trial time at a load that may lose more than that.
    pub exceed_ratio: f64,
    /// Width at which the search ends: (upper - lower) / upper.
    pub width: f64,
}

/// What the trials at a load say about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It passes, whatever further trials would show.
    Lower,
    /// It does not, whatever further trials would show.
    Upper,
    /// It takes more trials.
    Undecided,
}

impl Goal {
    /// RFC 2544: one trial of 60 seconds without a single loss.
    pub fn strict() -> Goal {
        Goal {
            initial_s: 1.0,
            final_s: 60.0,
            sum_s: 60.0,
            loss_ratio: 0.0,
            exceed_ratio: 0.0,
            width: 0.005,
        }
    }

    /// As ETSI GS NFV-TST 009: of two minutes, half may see a loss, so that one interruption by the
    /// host is not taken for the system's throughput.
    pub fn tst009() -> Goal {
        Goal { sum_s: 120.0, exceed_ratio: 0.5, ..Goal::strict() }
    }

    /// For continuous integration: the rules of [`tst009`](Goal::tst009) in a second, to 5 %.
    pub fn quick() -> Goal {
        Goal { initial_s: 0.25, final_s: 0.5, sum_s: 1.0, width: 0.05, ..Goal::tst009() }
    }

    /// The same with full trials of `seconds`; all other lengths keep their proportion.
    pub fn with_trial(self, seconds: f64) -> Goal {
        let scale = seconds / self.final_s;
        let sum_s = self.sum_s * scale;
        Goal { initial_s: self.initial_s * scale, final_s: seconds, sum_s, ..self }
    }

    /// The same with another loss ratio: 0 finds the NDR, 0.005 the PDR of FD.io CSIT.
    pub fn with_loss(self, loss_ratio: f64) -> Goal {
        Goal { loss_ratio, ..self }
    }

    /// What `trials`, all at one load, say about it.
    pub fn class<'a>(&self, trials: impl IntoIterator<Item = &'a Trial>) -> Class {
        let [mut full_low, mut full_high, mut short_low, mut short_high] = [0.0; 4];
        for trial in trials {
            let full = trial.seconds >= self.final_s;
            let low = trial.loss_ratio <= self.loss_ratio;
            let sum = match (full, low) {
                (true, true) => &mut full_low,
                (true, false) => &mut full_high,
                (false, true) => &mut short_low,
                (false, false) => &mut short_high,
            };
            *sum += trial.seconds;
        }
        let e = self.exceed_ratio;
        // Short trials may only speak against a load, and only by more than short ones for it.
        let balance = if e < 1.0 { short_low * e / (1.0 - e) } else { f64::INFINITY };
        let high = full_high + (short_high - balance).max(0.0);
        let whole = (full_low + high).max(self.sum_s);
        let within = |high: f64| high <= e * whole + 1e-9 * self.sum_s;
        match (within(high), within(whole - full_low)) {
            (true, true) => Class::Lower,
            (false, _) => Class::Upper,
            (true, false) => Class::Undecided,
        }
    }

    /// What came through at `load`: load x (1 - quantile of the loss ratio), the quantile being that
    /// below which the trials of 1 - exceed ratio of the time lie. `None` without a full trial.
    pub fn conditional_throughput<'a>(
        &self,
        load: f64,
        trials: impl IntoIterator<Item = &'a Trial>,
    ) -> Option<f64> {
        let full = |trial: &&Trial| trial.seconds >= self.final_s;
        let mut full: Vec<&Trial> = trials.into_iter().filter(full).collect();
        full.sort_by(|a, b| a.loss_ratio.total_cmp(&b.loss_ratio));
        let measured: f64 = full.iter().map(|trial| trial.seconds).sum();
        let mut left = measured.max(self.sum_s) * (1.0 - self.exceed_ratio);
        let mut quantile = None;
        for trial in &full {
            if quantile.is_some() && left <= 0.0 {
                break;
            }
            quantile = Some(trial.loss_ratio);
            left -= trial.seconds;
        }
        // Time that was not measured counts as lost, unless the goal can do without it.
        let quantile = if left > 1e-9 * self.sum_s { Some(1.0) } else { quantile };
        (!full.is_empty()).then(|| load * (1.0 - quantile.unwrap_or(1.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(seconds: f64, loss_ratio: f64) -> Trial {
        Trial { load: 100.0, seconds, loss_ratio }
    }

    #[test]
    fn strict_takes_one_full_trial_and_any_loss_speaks_against() {
        let goal = Goal::strict();
        let table: [(&[Trial], Class); 6] = [
            (&[], Class::Undecided),
            (&[trial(60.0, 0.0)], Class::Lower),
            (&[trial(60.0, 1e-9)], Class::Upper),
            (&[trial(1.0, 0.0)], Class::Undecided),
            (&[trial(1.0, 1e-9)], Class::Upper),
            (&[trial(60.0, 0.0), trial(60.0, 0.1)], Class::Upper),
        ];
        for (trials, class) in table {
            assert_eq!(goal.class(trials), class, "{trials:?}");
        }
    }

    #[test]
    fn half_of_the_time_may_lose_under_tst009() {
        let goal = Goal::tst009();
        let (low, high) = (trial(60.0, 0.0), trial(60.0, 0.5));
        let table: [(&[Trial], Class); 6] = [
            (&[low], Class::Lower),
            (&[high], Class::Undecided),
            (&[high, low], Class::Lower),
            (&[high, high], Class::Upper),
            // Short trials against it are balanced by short ones for it.
            (&[trial(60.0, 0.5), trial(1.0, 0.5)], Class::Upper),
            (&[trial(60.0, 0.5), trial(1.0, 0.5), trial(1.0, 0.0)], Class::Undecided),
        ];
        for (trials, class) in table {
            assert_eq!(goal.class(trials), class, "{trials:?}");
        }
    }

    #[test]
    fn conditional_throughput_is_what_came_through_in_the_time_that_counts() {
        let strict = Goal::strict();
        assert_eq!(strict.conditional_throughput(100.0, &[trial(1.0, 0.0)]), None);
        assert_eq!(strict.conditional_throughput(100.0, &[trial(60.0, 0.0)]), Some(100.0));
        let pdr = Goal::strict().with_loss(0.005);
        assert_eq!(pdr.conditional_throughput(100.0, &[trial(60.0, 0.004)]), Some(99.6));
        let tst = Goal::tst009();
        assert_eq!(
            tst.conditional_throughput(100.0, &[trial(60.0, 0.5), trial(60.0, 0.0)]),
            Some(100.0)
        );
        assert_eq!(tst.conditional_throughput(100.0, &[trial(60.0, 0.5)]), Some(50.0));
    }

    #[test]
    fn lengths_keep_their_proportion() {
        let goal = Goal::tst009().with_trial(6.0);
        assert_eq!((goal.initial_s, goal.final_s, goal.sum_s), (0.1, 6.0, 12.0));
    }
}
