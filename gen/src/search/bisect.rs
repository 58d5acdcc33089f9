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
/// bounds are next to each other. Asks for the highest load first and then for the lowest.
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
    if range.min == range.max || !passes(range.min)? {
        return Ok(Bracket { lower: None, upper: Some(range.min) });
    }
    narrow(range.min, range.max, precision, passes)
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
        (true, true) if upper < range.max => {
            bisect(Range { min: upper, ..range }, precision, passes)
        }
        (true, true) => Ok(Bracket { lower: Some(upper), upper: None }),
        (false, _) if lower > range.min => bisect(Range { max: lower, ..range }, precision, passes),
        (false, _) => Ok(Bracket { lower: None, upper: Some(lower) }),
    }
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
    fn a_trial_that_fails_ends_the_search() {
        let failed = bisect(Range::new(1.0, 9.0), 0.1, |_| Err("no testbed"));
        assert_eq!(failed, Err("no testbed"));
    }
}
