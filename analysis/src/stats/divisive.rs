//! Change points of a series: E-divisive with means (Matteson and James 2014).
//!
//! The series is split where the energy distance of the two sides is greatest, and the split is
//! kept if few of its permutations split as well; both sides are then searched again. No
//! distribution is assumed, and a single outlier moves it little. What it does assume is that
//! without a change the order of the values means nothing: drift that one value hands to the next
//! looks like a change.
//!
//! *What it promises.* A stationary series of independent values has a change point with
//! probability α at most ([`ALPHA`]; simulated in the tests). A series that grows by a value a day
//! is looked at anew each day, so over its life more false ones appear than α says; the tests say
//! how many.

use super::bootstrap::index_below;
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// Probability of a change point in a series without a change.
pub const ALPHA: f64 = 0.01;

/// Fewest values on each side of a change point: one slow run is no trend.
pub const SEGMENT_MIN: usize = 4;

/// Permutations of one test: the finest p-value is 1 ÷ 400, four of them fit below [`ALPHA`].
const PERMUTATIONS: usize = 399;

/// Indices at which a new level begins, ascending. Nothing is found in fewer than two segments of
/// [`SEGMENT_MIN`], or where a value is not finite.
pub fn change_points(values: &[f64], seed: u64) -> Vec<usize> {
    if values.iter().any(|value| !value.is_finite()) {
        return Vec::new();
    }
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let (mut found, mut open) = (Vec::new(), vec![(0, values.len())]);
    while let Some((begin, end)) = open.pop() {
        if let Some(at) = split(&values[begin..end], &mut rng) {
            found.push(begin + at);
            open.extend([(begin, begin + at), (begin + at, end)]);
        }
    }
    found.sort_unstable();
    found
}

/// Where a series is split, if its order means something.
fn split(values: &[f64], rng: &mut impl RngCore) -> Option<usize> {
    let (at, observed) = best(values)?;
    let mut shuffled = values.to_vec();
    let mut as_good = 1;
    for _ in 0..PERMUTATIONS {
        for i in (1..shuffled.len()).rev() {
            shuffled.swap(i, index_below(rng, i + 1));
        }
        as_good += usize::from(best(&shuffled).is_some_and(|(_, energy)| energy >= observed));
    }
    (as_good as f64 / (PERMUTATIONS + 1) as f64 <= ALPHA).then_some(at)
}

/// The split of greatest energy, and that energy; `None` if the series is too short or all its
/// values are the same.
fn best(values: &[f64]) -> Option<(usize, f64)> {
    let n = values.len();
    if n < 2 * SEGMENT_MIN {
        return None;
    }
    let distance = |i: usize, j: usize| (values[i] - values[j]).abs();
    // Sums of distances within the left side, within the right, and between the two, moved along.
    let from =
        |at: usize, range: std::ops::Range<usize>| range.map(|j| distance(at, j)).sum::<f64>();
    let (mut left, mut between) = (0.0, 0.0);
    let mut right: f64 = (0..n).map(|i| from(i, i + 1..n)).sum();
    let mut best: Option<(usize, f64)> = None;
    for at in 0..n {
        // The value at `at` goes from the right side to the left.
        let (to_left, to_right) = (from(at, 0..at), from(at, at + 1..n));
        left += to_left;
        right -= to_right;
        between += to_right - to_left;
        let (m, k) = (at + 1, n - at - 1);
        if m < SEGMENT_MIN || k < SEGMENT_MIN {
            continue;
        }
        let (m, k) = (m as f64, k as f64);
        let energy =
            2.0 * between / (m * k) - 2.0 * left / (m * (m - 1.0)) - 2.0 * right / (k * (k - 1.0));
        let scaled = energy * m * k / (m + k);
        if best.is_none_or(|(_, most)| scaled > most) {
            best = Some((at + 1, scaled));
        }
    }
    best.filter(|(_, energy)| *energy > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{ProptestConfig, prop, prop_assert, prop_assert_eq, proptest};

    fn normal(rng: &mut impl RngCore) -> f64 {
        (0..12).map(|_| (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64).sum::<f64>() - 6.0
    }

    fn series(rng: &mut impl RngCore, count: usize, noise: f64) -> Vec<f64> {
        (0..count).map(|_| 10.0 * (1.0 + noise * normal(rng))).collect()
    }

    #[test]
    fn the_false_alarm_rate_is_kept_on_simulated_series() {
        // Of 300 series at 1 % three are expected; eight or more happen once in 80.
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
        let alarms = (0..300u64)
            .filter(|&seed| !change_points(&series(&mut rng, 40, 0.01), seed).is_empty())
            .count();
        assert!(alarms <= 8, "{alarms} of 300");
    }

    #[test]
    fn a_change_of_three_deviations_is_found_near_its_place() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(6);
        let mut found = 0;
        for seed in 0..50 {
            let mut values = series(&mut rng, 40, 0.01);
            values[30..].iter_mut().for_each(|value| *value *= 0.97);
            let points = change_points(&values, seed);
            found += usize::from(points.iter().any(|at| (29..=31).contains(at)));
        }
        assert!(found >= 47, "{found} of 50");
    }

    #[test]
    fn two_changes_are_two_and_an_outlier_is_none() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(7);
        let mut values = series(&mut rng, 60, 0.005);
        values[20..40].iter_mut().for_each(|value| *value *= 0.9);
        assert_eq!(change_points(&values, 1), [20, 40]);
        let alarms = (0..50u64).filter(|&seed| {
            let mut outlier = series(&mut rng, 40, 0.005);
            outlier[25] *= 0.5;
            !change_points(&outlier, seed).is_empty()
        });
        // At 1 % more than three of 50 happen twice in a thousand.
        let alarms = alarms.count();
        assert!(alarms <= 3, "{alarms} of 50 outliers");
        assert!(change_points(&[1.0; 40], 1).is_empty());
        assert!(change_points(&[1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0], 1).is_empty(), "too short");
        assert!(change_points(&[f64::NAN; 40], 1).is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn points_are_in_order_apart_and_the_same_every_time(
            values in prop::collection::vec(0.0..100.0f64, 0..60),
            seed: u64,
        ) {
            let points = change_points(&values, seed);
            let ends: Vec<usize> =
                [0].into_iter().chain(points.iter().copied()).chain([values.len()]).collect();
            for pair in ends.windows(2) {
                prop_assert!(points.is_empty() || pair[1] >= pair[0] + SEGMENT_MIN, "{points:?}");
            }
            prop_assert_eq!(&change_points(&values, seed), &points);
            // Scale and sign move no point.
            let mirrored: Vec<f64> = values.iter().map(|value| value * -2.0).collect();
            prop_assert_eq!(change_points(&mirrored, seed), points);
        }
    }
}
