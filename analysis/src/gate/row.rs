//! A verdict on one metric, as tables and exporters take it.
//!
//! Neutral on purpose: whoever compares two sides of anything, a gate or two stored runs, says what
//! it found in these words, and whoever writes JUnit, Markdown or a benchmark format needs no
//! others. Nothing is judged here.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Which way a metric gets better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Less is better: cycles, latency, loss.
    LowerIsBetter,
    /// More is better: rates.
    HigherIsBetter,
}

impl Direction {
    /// The factor that makes a change a change for the worse: 1 where less is better, else −1.
    pub fn worse(self) -> f64 {
        match self {
            Direction::LowerIsBetter => 1.0,
            Direction::HigherIsBetter => -1.0,
        }
    }
}

/// What may be said of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Nothing worse than tolerated was found, and the row says what could have been.
    Pass,
    /// The two sides may not be set beside each other.
    Incomparable,
    /// So much spread that a change worth seeing would not have been seen: not judged.
    Erratic,
    /// The measurement itself failed: not judged.
    Invalid,
    /// Worse than tolerated.
    Regressed,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Class::Pass => "pass",
            Class::Incomparable => "incomparable",
            Class::Erratic => "erratic",
            Class::Invalid => "invalid",
            Class::Regressed => "regressed",
        })
    }
}

/// One metric of a comparison. Numbers are finite; one that could not be had is `None`, never 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Name, a dotted path: `forward.cycles_per_packet`.
    pub metric: String,
    /// Unit of both values: `cycles`, `instructions`, `Mpps`; empty for plain counts.
    pub unit: String,
    /// Which way it gets better.
    pub direction: Direction,
    /// Value of the base.
    pub base: Option<f64>,
    /// Value of the candidate.
    pub value: Option<f64>,
    /// Candidate ÷ base − 1.
    pub change: Option<f64>,
    /// Lower end of the interval of `change`.
    pub low: Option<f64>,
    /// Upper end of the interval of `change`.
    pub high: Option<f64>,
    /// Confidence of the interval, such as 0.99.
    pub confidence: Option<f64>,
    /// Smallest change for the worse that this comparison would have called `regressed` with a
    /// probability of at least 80 %, as a share of the base.
    pub seen_from: Option<f64>,
    /// Verdict.
    pub class: Class,
    /// Reason of a verdict other than pass, or what to know about it, in a sentence.
    pub why: Option<String>,
}

/// The verdict on several metrics: the gravest of them, `Pass` if there is none.
pub fn overall(rows: &[Row]) -> Class {
    rows.iter().map(|row| row.class).max().unwrap_or(Class::Pass)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regression_outweighs_what_could_not_be_judged() {
        let row = |class| Row {
            metric: "forward.cycles_per_packet".to_owned(),
            unit: "cycles".to_owned(),
            direction: Direction::LowerIsBetter,
            base: None,
            value: None,
            change: None,
            low: None,
            high: None,
            confidence: None,
            seen_from: None,
            class,
            why: None,
        };
        let overall =
            |classes: &[Class]| overall(&classes.iter().copied().map(row).collect::<Vec<_>>());
        assert_eq!(overall(&[]), Class::Pass);
        assert_eq!(overall(&[Class::Pass, Class::Erratic, Class::Pass]), Class::Erratic);
        assert_eq!(overall(&[Class::Regressed, Class::Invalid]), Class::Regressed);
        assert_eq!(serde_json::to_string(&Class::Pass).expect("JSON"), "\"pass\"");
        assert_eq!(format!("{:>6}", Class::Pass), "  pass");
    }
}
