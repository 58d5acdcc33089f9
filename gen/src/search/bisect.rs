//! Plain bisection: the highest load that passes a test of yes and no.

use super::Range;
use serde::{Deserialize, Serialize};

/// What a search has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bracket {
    /// Highest load that passed; `None` if none did.
    pub lower: Option<f64>,
    /// Lowest load above it that did not; `None` if the highest of the range passed.
    pub upper: Option<f64>,
}

impl Bracket {
    /// How far the truth may be above `lower`, as a share of `upper`; `None` without both.
    pub fn error(&self) -> Option<f64> {
        let (lower, upper) = self.lower.zip(self.upper)?;
        Some((upper - lower) / upper)
    }
}

/// Bisects `range` in proportion, not in difference, until the error is at most `precision`, or the
/// bounds are next to each other. Begins with the highest load and goes down by growing steps until one
/// passes: a half, an eighth, a 128th. A trial of so many connections is as long as its rate is low, so
/// the lowest is asked for last.
///
/// # Errors
/// The first one of `passes`.
pub fn bisect<E>(
    range: Range,
    precision: f64,
    mut passes: impl FnMut(f64) -> Result<bool, E>,
) -> Result<Bracket, E> {
    if passes(range.max)? {
        return Ok(Bracket { lower: Some(range.max), upper: None });
    }
    let (mut upper, mut step) = (range.max, 2.0);
    while upper > range.min {
        let lower = range.clamp(upper / step);
        if passes(lower)? {
            return narrow(lower, upper, precision, passes);
        }
        (upper, step) = (lower, step * step);
    }
    Ok(Bracket { lower: None, upper: Some(range.min) })
}

/// The same search again, where an earlier one has said where the answer is likely to be: asks on
/// both sides of it first.
///
/// # Errors
/// The first one of `passes`.
pub fn again<E>(
    range: Range,
    before: Bracket,
    precision: f64,
    mut passes: impl FnMut(f64) -> Result<bool, E>,
) -> Result<Bracket, E> {
    let Some((lower, upper)) = before.lower.zip(before.upper) else {
        return bisect(range, precision, passes);
    };
    let lower = range.clamp(lower * (1.0 - 2.0 * precision));
    let upper = range.clamp(upper * (1.0 + 2.0 * precision));
    match (passes(lower)?, passes(upper)?) {
        (true, false) => narrow(lower, upper, precision, passes),
        (true, true) => rise(range, upper, precision, passes),
        (false, _) if lower > range.min => bisect(Range { max: lower, ..range }, precision, passes),
        (false, _) => Ok(Bracket { lower: None, upper: Some(lower) }),
    }
}

/// From `lower`, which passed, up by growing steps until one does not pass, then bisects.
fn rise<E>(
    range: Range,
    mut lower: f64,
    precision: f64,
    mut passes: impl FnMut(f64) -> Result<bool, E>,
) -> Result<Bracket, E> {
    let mut step = 2.0;
    while lower < range.max {
        let upper = range.clamp(lower * step);
        if !passes(upper)? {
            return narrow(lower, upper, precision, passes);
        }
        (lower, step) = (upper, step * step);
    }
    Ok(Bracket { lower: Some(lower), upper: None })
}

/// Bisects between `lower`, which passed, and `upper`, which did not.
///
/// # Errors
/// The first one of `passes`.
pub fn narrow<E>(
    mut lower: f64,
    mut upper: f64,
    precision: f64,
    mut passes: impl FnMut(f64) -> Result<bool, E>,
) -> Result<Bracket, E> {
    while (upper - lower) / upper > precision {
        let middle = (lower * upper).sqrt().round();
        if middle <= lower || middle >= upper {
            break;
        }
        match passes(middle)? {
            true => lower = middle,
            false => upper = middle,
        }
    }
    Ok(Bracket { lower: Some(lower), upper: Some(upper) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::convert::Infallible;

    proptest! {
        #[test]
        fn the_truth_is_in_the_bracket(limit in 1u64..2_000_000, precision in 0.001f64..0.2) {
            let (limit, mut asked) = (limit as f64, 0);
            let range = Range::new(1.0, 1e6);
            let found = bisect(range, precision, |load| {
                asked += 1;
                Ok::<_, Infallible>(load <= limit)
            });
            let Ok(found) = found;
            prop_assert!(found.lower.is_none_or(|lower| lower <= limit), "{found:?}");
            prop_assert!(found.upper.is_none_or(|upper| upper > limit), "{found:?}");
            prop_assert_eq!(found.upper.is_none(), limit >= 1e6);
            let narrow = found.lower.zip(found.upper).is_none_or(|(lower, upper)| {
                (upper - lower) / upper <= precision || upper - lower <= 1.0
            });
            prop_assert!(narrow, "{found:?}");
            prop_assert!(asked <= 18, "{asked} trials");
        }
    }

    proptest! {
        #[test]
        fn a_search_that_is_made_again_finds_the_same(limit in 1u64..2_000_000, drift in 0.5f64..2.0) {
            let (limit, range) = (limit as f64, Range::new(1.0, 1e6));
            let passes = |limit: f64| move |load: f64| Ok::<_, Infallible>(load <= limit);
            let Ok(before) = bisect(range, 0.01, passes(limit * drift));
            let Ok(found) = again(range, before, 0.01, passes(limit));
            prop_assert!(found.lower.is_none_or(|lower| lower <= limit), "{found:?}");
            prop_assert!(found.upper.is_none_or(|upper| upper > limit), "{found:?}");
            prop_assert!(found.error().is_none_or(|error| error <= 0.01 || limit < 100.0));
        }
    }

    #[test]
    fn nothing_passes_and_everything_passes() {
        let range = Range::new(5.0, 50.0);
        let all = |answer| bisect(range, 0.1, |_| Ok::<bool, Infallible>(answer));
        assert_eq!(all(false), Ok(Bracket { lower: None, upper: Some(5.0) }));
        assert_eq!(all(true), Ok(Bracket { lower: Some(50.0), upper: None }));
    }

    #[test]
    fn low_loads_are_asked_for_only_where_higher_ones_fail() {
        let mut asked = Vec::new();
        let found = bisect(Range::new(1.0, 1e6), 0.5, |load| {
            asked.push(load);
            Ok::<_, Infallible>(load <= 3e5)
        });
        assert_eq!(found, Ok(Bracket { lower: Some(250_000.0), upper: Some(500_000.0) }));
        assert_eq!(asked, [1e6, 500_000.0, 125_000.0, 250_000.0]);
    }

    #[test]
    fn high_loads_are_asked_for_only_where_lower_ones_pass() {
        let mut asked = Vec::new();
        let before = Bracket { lower: Some(1_000.0), upper: Some(1_010.0) };
        let found = again(Range::new(1.0, 1e6), before, 0.25, |load| {
            asked.push(load);
            Ok::<_, Infallible>(load <= 2_500.0)
        });
        assert_eq!(found, Ok(Bracket { lower: Some(2_143.0), upper: Some(2_548.0) }));
        assert_eq!(asked, [500.0, 1_515.0, 3_030.0, 2_143.0, 2_548.0]);
    }

    #[test]
    fn a_trial_that_fails_ends_the_search() {
        let failed = bisect(Range::new(1.0, 9.0), 0.1, |_| Err("no testbed"));
        assert_eq!(failed, Err("no testbed"));
    }
}
