//! Robust statistics of a handful of values: median, quantile, spread.
//!
//! Pure functions of a slice. Every result is finite or `None`: an empty slice, or one that holds a
//! value which is not a finite number, has no statistic. Dropping the bad value instead would give
//! a figure of other data than the caller meant. Intervals are in [`bootstrap`], the test of paired
//! differences is in [`signflip`].

pub mod bootstrap;
pub mod change;
pub mod divisive;
pub mod signflip;

/// Factor that makes [`mad`] of normally distributed values estimate their standard deviation:
/// 1 ÷ Φ⁻¹(¾).
pub const MAD_TO_SIGMA: f64 = 1.482_602_218_505_602;

/// The values in ascending order, `None` if there is none or one is not finite.
fn sorted(values: &[f64]) -> Option<Vec<f64>> {
    if values.is_empty() || values.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    Some(sorted)
}

/// Quantile of values already in ascending order; see [`quantile`].
fn quantile_of_sorted(sorted: &[f64], p: f64) -> f64 {
    assert!(!sorted.is_empty() && (0.0..=1.0).contains(&p), "a quantile of something");
    let position = p * (sorted.len() - 1) as f64;
    let below = position.floor() as usize;
    let above = position.ceil() as usize;
    let share = position - below as f64;
    let (low, high) = (sorted[below], sorted[above]);
    // Weighted, not `low + share * (high - low)`: that difference can overflow.
    (low * (1.0 - share) + high * share).clamp(low, high)
}

/// The `p`-quantile, `p` from 0 to 1, by linear interpolation between order statistics: type 7 of
/// Hyndman and Fan (1996), the default of R and NumPy.
pub fn quantile(values: &[f64], p: f64) -> Option<f64> {
    if !(0.0..=1.0).contains(&p) {
        return None;
    }
    sorted(values).map(|sorted| quantile_of_sorted(&sorted, p))
}

/// Several quantiles of the same values, as [`quantile`] gives them, at the price of one.
pub fn quantiles<const N: usize>(values: &[f64], shares: [f64; N]) -> Option<[f64; N]> {
    if shares.iter().any(|share| !(0.0..=1.0).contains(share)) {
        return None;
    }
    sorted(values).map(|sorted| shares.map(|share| quantile_of_sorted(&sorted, share)))
}

/// The middle value, or the mean of the two middle ones.
pub fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// Arithmetic mean.
pub fn mean(values: &[f64]) -> Option<f64> {
    let sorted = sorted(values)?;
    let count = sorted.len() as f64;
    // Divided first, so that large values cannot overflow the sum.
    let mean: f64 = sorted.iter().map(|value| value / count).sum();
    Some(mean.clamp(sorted[0], sorted[sorted.len() - 1]))
}

/// Median absolute deviation from the median, unscaled; times [`MAD_TO_SIGMA`] it estimates the
/// standard deviation and, unlike that, up to half of the values may be wild. `None` as well when
/// the deviations exceed what a number can hold.
pub fn mad(values: &[f64]) -> Option<f64> {
    let middle = median(values)?;
    let deviations: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    median(&deviations)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_values() {
        // R: quantile(c(1, 2, 4, 8, 16), c(.1, .25, .9), type = 7)
        let values = [16.0, 1.0, 4.0, 2.0, 8.0];
        assert_eq!(quantile(&values, 0.1), Some(1.4));
        assert_eq!(quantile(&values, 0.25), Some(2.0));
        assert!((quantile(&values, 0.9).expect("five values") - 12.8).abs() < 1e-12);
        assert_eq!(median(&values), Some(4.0));
        assert_eq!(mad(&values), Some(3.0));
        assert_eq!(mean(&values), Some(6.2));
        assert_eq!(median(&[1.0, 2.0]), Some(1.5));
    }

    #[test]
    fn nothing_comes_of_nothing() {
        for values in [&[][..], &[f64::NAN], &[1.0, f64::INFINITY]] {
            assert_eq!((median(values), mean(values), mad(values)), (None, None, None));
        }
        assert_eq!(quantile(&[1.0], 1.5), None);
        assert_eq!(quantile(&[1.0], f64::NAN), None);
        assert_eq!(quantiles(&[1.0], [0.5, f64::NAN]), None);
    }

    proptest! {
        #[test]
        fn every_result_is_finite_and_within_the_data(
            values in prop::collection::vec(prop::num::f64::NORMAL, 1..40),
            p in 0.0..=1.0f64,
        ) {
            let low = values.iter().copied().fold(f64::INFINITY, f64::min);
            let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            for value in [quantile(&values, p), median(&values), mean(&values)] {
                let value = value.expect("finite values have one");
                prop_assert!((low..=high).contains(&value), "{value} outside {low}..={high}");
            }
            prop_assert!(mad(&values).is_none_or(|mad| mad.is_finite() && mad >= 0.0));
        }

        #[test]
        fn a_quantile_rises_with_its_probability(
            values in prop::collection::vec(-1e9..1e9f64, 1..40),
            p in 0.0..=1.0f64,
            q in 0.0..=1.0f64,
        ) {
            let (p, q) = if p < q { (p, q) } else { (q, p) };
            prop_assert!(quantile(&values, p) <= quantile(&values, q));
            let both = quantiles(&values, [p, q]).map(|both| both.map(Some));
            prop_assert_eq!(both, Some([quantile(&values, p), quantile(&values, q)]));
        }

        #[test]
        fn half_of_the_values_lie_on_each_side_of_the_median(
            values in prop::collection::vec(-1e9..1e9f64, 1..40),
        ) {
            let middle = median(&values).expect("values");
            let below = values.iter().filter(|value| **value < middle).count();
            let above = values.iter().filter(|value| **value > middle).count();
            prop_assert!(2 * below <= values.len() && 2 * above <= values.len());
        }

        #[test]
        fn order_and_scale_do_not_matter(
            mut values in prop::collection::vec(-1e6..1e6f64, 1..40),
        ) {
            let (middle, spread) = (median(&values), mad(&values));
            values.reverse();
            prop_assert_eq!((median(&values), mad(&values)), (middle, spread));
            let doubled: Vec<f64> = values.iter().map(|value| value * 2.0).collect();
            prop_assert_eq!(median(&doubled), middle.map(|value| value * 2.0));
        }
    }
}
