//! Where an axis has its ticks: few, round, and always inside the range.

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint};
use plotters::prelude::Ranged;
use std::ops::Range;

/// A linear axis with ticks of our choice instead of the drawing library's.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// Values at its ends.
    pub range: Range<f64>,
    /// Values that have a tick and a grid line.
    pub ticks: Vec<f64>,
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (begin, end): (i32, i32)) -> i32 {
        let share = (value - self.range.start) / (self.range.end - self.range.start);
        begin + (f64::from(end - begin) * share).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

/// A linear axis from 0 that shows `max`: steps of 1, 2, 2.5 or 5 × 10ⁿ, about
/// `count` of them. An axis for nothing but zeros runs from 0 to 1.
pub fn linear(max: f64, count: usize) -> Axis {
    let max = if max.is_finite() && max > 0.0 { max } else { 1.0 };
    let step = round_step(max / count.max(1) as f64);
    let steps = (max / step - 1e-9).ceil().max(1.0);
    let ticks = (0..=steps as usize).map(|i| i as f64 * step).collect();
    Axis { range: 0.0..steps * step, ticks }
}

/// Smallest of 1, 2, 2.5, 5, 10 × 10ⁿ that is not below `rough`.
fn round_step(rough: f64) -> f64 {
    let power = 10f64.powf(rough.log10().floor());
    [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= rough * (1.0 - 1e-9))
        .unwrap_or(10.0 * power)
}

/// An axis of decimal logarithms that shows `low` to `high`, both above 0, with a tick at every 1,
/// 2 and 5 below two decades, only the powers of ten above.
pub fn logarithmic(low: f64, high: f64) -> Axis {
    let usable = |value: f64| value.is_finite() && value > 0.0;
    let (low, high) = if usable(low) && usable(high) { (low, high.max(low)) } else { (1.0, 10.0) };
    let factors: &[f64] = if (high / low).log10() < 2.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let marks: Vec<f64> = ((low.log10().floor() as i32 - 1)..=(high.log10().ceil() as i32 + 1))
        .flat_map(|power| factors.iter().map(move |factor| factor.log10() + f64::from(power)))
        .collect();
    let below = marks.iter().copied().filter(|mark| *mark <= low.log10() + 1e-9);
    let start = below.fold(low.log10() - 1.0, f64::max);
    let above = marks.iter().copied().filter(|mark| *mark >= high.log10() - 1e-9);
    let mut end = above.fold(high.log10() + 1.0, f64::min);
    if end - start < 1e-6 {
        end = start + 1.0;
    }
    let ticks =
        marks.into_iter().filter(|mark| (start - 1e-9..=end + 1e-9).contains(mark)).collect();
    Axis { range: start..end, ticks }
}

/// The tick `value` as text, without the dust of binary fractions.
pub fn tick(value: f64) -> String {
    let rounded = (value * 1e6).round() / 1e6;
    if rounded.abs() >= 1000.0 {
        return crate::figure::value(rounded);
    }
    format!("{rounded}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ticks_are_round() {
        let axis = linear(14.2, 5);
        assert_eq!((axis.range, axis.ticks), (0.0..15.0, vec![0.0, 5.0, 10.0, 15.0]));
        assert_eq!(linear(0.0, 5).range.end, 1.0);
        assert_eq!(linear(f64::NAN, 5).range.end, 1.0);
        let Axis { range, ticks } = logarithmic(12.0, 80.0);
        assert!((range.start - 1.0).abs() < 1e-9 && (range.end - 2.0).abs() < 1e-9);
        assert_eq!(ticks.len(), 4);
        assert_eq!(tick(0.1 + 0.2), "0.3");
        assert_eq!(tick(20_000.0), "20,000");
    }

    proptest! {
        #[test]
        fn linear_axes_show_all_and_waste_little(max in 1e-6..1e12f64, count in 2..12usize) {
            let Axis { range: Range { end, .. }, ticks } = linear(max, count);
            prop_assert!(end >= max * (1.0 - 1e-6), "{} below {}", end, max);
            prop_assert!(ticks.len() >= 2 && ticks.len() <= count + 2);
        }

        #[test]
        fn logarithmic_axes_show_all(low in 1e-3..1e6f64, factor in 1.0..1e6f64) {
            let Axis { range, ticks } = logarithmic(low, low * factor);
            prop_assert!(range.start <= low.log10() + 1e-6);
            prop_assert!(range.end >= (low * factor).log10() - 1e-6);
            prop_assert!(range.end > range.start && !ticks.is_empty() && ticks.len() < 16);
        }
    }
}
