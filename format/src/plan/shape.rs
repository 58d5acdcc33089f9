//! How the rate of a phase rises and falls around its mean.
//!
//! A shape is a factor over time whose mean over the phase is 1, so that a phase of a shaped rate
//! sends just as many packets as one of the mean rate, and whoever only counts need not know of it.
//! Shapes that would leave a period unfinished are refused for that reason.

use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;

/// Shortest part of a shape, in nanoseconds: bounds how often a generator changes its rate.
const PART_NS_MIN: u64 = 10_000;
/// Longest time in which the rate of a slope is taken as even, in nanoseconds.
const STEP_NS: u64 = 1_000_000;

/// A course around the mean rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Shape {
    /// A straight line over the phase.
    Ramp {
        /// Rate at the begin ÷ mean rate, 0 to 2; at the end it is 2 less that.
        from: f64,
    },
    /// A sine that begins at its lowest, such as the load of a day.
    Wave {
        /// Highest less mean rate, ÷ mean rate; above 0 and at most 1.
        swing: f64,
        /// Nanoseconds from one lowest rate to the next.
        period_ns: u64,
    },
    /// Packets for a while, and none for a while.
    Bursts {
        /// Nanoseconds of a burst.
        on_ns: u64,
        /// Nanoseconds after it in which nothing is sent.
        off_ns: u64,
    },
}

impl Shape {
    /// What keeps a phase of `span_ns` from having this shape; `None` where nothing does.
    pub fn problem(&self, span_ns: u64) -> Option<&'static str> {
        let whole = |period_ns: u64| period_ns > 0 && span_ns.is_multiple_of(period_ns);
        match *self {
            Shape::Ramp { from } if !(0.0..=2.0).contains(&from) => {
                Some("a ramp that begins at 0 to 2 times its mean")
            }
            Shape::Ramp { .. } => None,
            Shape::Wave { swing, .. } if swing.is_nan() || swing <= 0.0 || swing > 1.0 => {
                Some("a swing above 0 and at most 1")
            }
            Shape::Wave { period_ns, .. } if period_ns < 10 * STEP_NS => {
                Some("a period of at least 10ms")
            }
            Shape::Wave { period_ns, .. } if !whole(period_ns) => {
                Some("a phase of a whole number of periods, so that its mean is the mean asked for")
            }
            Shape::Bursts { on_ns, off_ns } if on_ns.min(off_ns) < PART_NS_MIN => {
                Some("bursts and pauses of at least 10us")
            }
            Shape::Bursts { on_ns, off_ns } if !whole(on_ns.saturating_add(off_ns)) => {
                Some("a phase of a whole number of bursts and pauses, so that its mean is known")
            }
            Shape::Wave { .. } | Shape::Bursts { .. } => None,
        }
    }

    /// Rate ÷ mean rate `at_ns` after the begin of a phase of `span_ns`.
    pub fn factor(&self, at_ns: f64, span_ns: u64) -> f64 {
        match *self {
            Shape::Ramp { from } => from + (2.0 - 2.0 * from) * at_ns / span_ns as f64,
            Shape::Wave { swing, period_ns } => {
                1.0 - swing * (TAU * (at_ns / period_ns as f64).fract()).cos()
            }
            Shape::Bursts { on_ns, off_ns } => {
                let period_ns = (on_ns + off_ns) as f64;
                if at_ns % period_ns < on_ns as f64 { period_ns / on_ns as f64 } else { 0.0 }
            }
        }
    }

    /// Where the step that begins at `at_ns` ends: the rate in its middle is its mean, or nearly.
    pub fn step_end_ns(&self, at_ns: u64) -> u64 {
        match *self {
            Shape::Ramp { .. } => at_ns + STEP_NS,
            Shape::Wave { period_ns, .. } => {
                // Steps of a period are equally long to a nanosecond, and end with it.
                let (steps, into) = (period_ns.div_ceil(STEP_NS), at_ns % period_ns);
                let end =
                    |step: u64| (u128::from(step) * u128::from(period_ns)).div_ceil(steps.into());
                let step =
                    (u128::from(into) * u128::from(steps) / u128::from(period_ns)) as u64 + 1;
                at_ns - into + end(step) as u64
            }
            Shape::Bursts { on_ns, off_ns } => {
                let into = at_ns % (on_ns + off_ns);
                at_ns - into + if into < on_ns { on_ns } else { on_ns + off_ns }
            }
        }
    }

    /// Highest rate ÷ mean rate.
    pub fn peak(&self) -> f64 {
        match *self {
            Shape::Ramp { from } => from.max(2.0 - from),
            Shape::Wave { swing, .. } => 1.0 + swing,
            Shape::Bursts { on_ns, off_ns } => (on_ns + off_ns) as f64 / on_ns as f64,
        }
    }

    /// Longest time that so many packets of a mean rate take, in seconds; at most about `span_s`.
    pub fn longest_s(&self, packets: f64, mean_pps: f64, span_s: f64) -> f64 {
        let longest_s = match *self {
            Shape::Ramp { from } => {
                let low = mean_pps * from.min(2.0 - from);
                let slope = (mean_pps * self.peak() - low) / (2.0 * span_s);
                2.0 * packets / (low + (low * low + 4.0 * slope * packets).sqrt())
            }
            Shape::Wave { swing, period_ns } => {
                let period_s = period_ns as f64 / 1e9;
                let periods = (packets / (mean_pps * period_s)).floor() + 1.0;
                (packets / (mean_pps * (1.0 - swing))).min(periods * period_s)
            }
            Shape::Bursts { off_ns, .. } => packets / mean_pps + off_ns as f64 / 1e9,
        };
        longest_s.min(span_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN_NS: u64 = 2_000_000_000;

    fn shapes() -> [Shape; 4] {
        [
            Shape::Ramp { from: 0.25 },
            Shape::Ramp { from: 2.0 },
            Shape::Wave { swing: 0.8, period_ns: SPAN_NS / 4 },
            Shape::Bursts { on_ns: 30_000_000, off_ns: 70_000_000 },
        ]
    }

    /// Packets from one step's begin to another's end, at a mean of one per nanosecond.
    fn stepped(shape: &Shape, from_ns: u64, to_ns: u64) -> f64 {
        let (mut at, mut sum) = (from_ns, 0.0);
        while at < to_ns {
            let end = shape.step_end_ns(at).min(to_ns);
            assert!(end > at, "{shape:?} stands still at {at}");
            sum += shape.factor((at + end) as f64 / 2.0, SPAN_NS) * (end - at) as f64;
            at = end;
        }
        sum
    }

    #[test]
    fn the_mean_over_a_phase_is_one() {
        for shape in shapes() {
            assert_eq!(shape.problem(SPAN_NS), None);
            let mean = stepped(&shape, 0, SPAN_NS) / SPAN_NS as f64;
            assert!((mean - 1.0).abs() < 1e-9, "{shape:?}: {mean}");
        }
    }

    #[test]
    fn no_packets_take_longer_than_the_longest() {
        for shape in shapes() {
            let packets = 100_000.0;
            let longest_s = shape.longest_s(packets, 1e6, 2.0);
            let (window_ns, mut fewest) = ((longest_s * 1e9) as u64 + 2_000_000, f64::MAX);
            for begin in (0..SPAN_NS.saturating_sub(window_ns)).step_by(9_999_991) {
                fewest = fewest.min(stepped(&shape, begin, begin + window_ns) / 1e3);
            }
            assert!(fewest >= packets, "{shape:?}: {fewest} packets in {longest_s} s");
        }
    }

    #[test]
    fn what_would_not_keep_its_mean_is_refused() {
        for (shape, part) in [
            (Shape::Ramp { from: 2.1 }, "0 to 2"),
            (Shape::Wave { swing: 1.1, period_ns: SPAN_NS }, "at most 1"),
            (Shape::Wave { swing: 0.5, period_ns: SPAN_NS / 4 + 1 }, "whole number of periods"),
            (Shape::Wave { swing: 0.5, period_ns: 1_000_000 }, "10ms"),
            (Shape::Bursts { on_ns: 0, off_ns: 1_000_000 }, "10us"),
            (Shape::Bursts { on_ns: 10_000, off_ns: 20_001 }, "whole number of bursts"),
        ] {
            let problem = shape.problem(SPAN_NS);
            assert!(problem.is_some_and(|text| text.contains(part)), "{shape:?}: {problem:?}");
        }
    }
}
