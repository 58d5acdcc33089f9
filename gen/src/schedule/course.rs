//! A rate that rises and falls, as a sequence of steps in each of which it is even.

use super::rate_milli;
use dataplane::clock::Nanos;
use format::plan::Shape;

/// The steps still to come.
#[derive(Clone, Debug)]
pub struct Course {
    shape: Shape,
    mean_pps: f64,
    span: Nanos,
    /// Where the next step begins, from the start.
    at: Nanos,
}

/// A rate for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Events per 1,000 s.
    pub(super) rate_milli: u64,
    /// End, from the start.
    pub(super) end: Nanos,
}

impl Course {
    /// Of `shape` around `mean_pps`, for `span`.
    pub fn new(shape: Shape, mean_pps: f64, span: Nanos) -> Course {
        Course { shape, mean_pps, span, at: Nanos(0) }
    }

    /// The next step; `None` when the span is over.
    pub(super) fn step(&mut self) -> Option<Step> {
        let begin = self.at;
        if begin >= self.span {
            return None;
        }
        self.at = Nanos(self.shape.step_end_ns(begin.0)).min(self.span);
        let middle_ns = (begin.0 + self.at.0) as f64 / 2.0;
        let factor = self.shape.factor(middle_ns, self.span.0).max(0.0);
        Some(Step { rate_milli: rate_milli(self.mean_pps * factor), end: self.at })
    }
}
