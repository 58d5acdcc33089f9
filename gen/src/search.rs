//! Searches for a rate or a size that a system under test just holds: pure, and told what trials
//! gave by whoever makes them.
//!
//! * [`mlr`]: the search of draft-ietf-bmwg-mlrsearch-15 for the throughput of a [`goal::Goal`],
//!   with short trials first.
//! * [`bisect`]: plain bisection of yes and no, for rates with a test of their own.
//! * [`capacity`]: doubles a size until it does not hold any more, then bisects (RFC 9693 section
//!   4.8).
//!
//! Nothing here sends a packet, reads a clock or remembers an earlier search: the same answers give
//! the same questions, so that a search that was killed goes on from the record of its trials. A
//! packet that never left the generator counts as lost: who searches does not know why it stayed.

pub mod bisect;
pub mod capacity;
pub mod goal;
pub mod mlr;

use serde::{Deserialize, Serialize};

/// Loads between which to search, in units per second; whole numbers, the least at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// Least load tried.
    pub min: f64,
    /// Highest load tried.
    pub max: f64,
}

impl Range {
    /// From `min` to `max`, rounded inwards to whole numbers.
    ///
    /// # Panics
    /// If nothing is between them.
    pub fn new(min: f64, max: f64) -> Range {
        let range = Range { min: min.ceil().max(1.0), max: max.floor() };
        assert!(range.min <= range.max, "no load between {min} and {max}");
        range
    }

    /// The nearest whole number in the range.
    pub fn clamp(&self, load: f64) -> f64 {
        load.round().clamp(self.min, self.max)
    }
}

/// What one trial gave.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Load asked for, in units per second.
    pub load: f64,
    /// Length in seconds.
    pub seconds: f64,
    /// Share of what was planned that did not arrive, never sent included, 0 to 1.
    pub loss_ratio: f64,
}

impl Trial {
    /// A trial in which `arrived` of `planned` packets came back, whatever became of the others.
    pub fn of(load: f64, seconds: f64, planned: u64, arrived: u64) -> Trial {
        let lost = planned.saturating_sub(arrived);
        let loss_ratio = if planned > 0 { lost as f64 / planned as f64 } else { 1.0 };
        Trial { load, seconds, loss_ratio }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_sent_is_lost() {
        assert_eq!(Trial::of(10.0, 1.0, 1000, 750).loss_ratio, 0.25);
        assert_eq!(Trial::of(10.0, 1.0, 0, 0).loss_ratio, 1.0, "a trial of nothing shows nothing");
    }

    #[test]
    fn ranges_hold_whole_numbers() {
        let range = Range::new(0.2, 99.9);
        assert_eq!((range.min, range.max), (1.0, 99.0));
        assert_eq!((range.clamp(0.0), range.clamp(7.6), range.clamp(1e9)), (1.0, 8.0, 99.0));
    }
}
