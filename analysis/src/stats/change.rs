//! The relative change between two sets of raw values, with its bootstrap interval.
//!
//! Both sides are drawn again with replacement, each from its own values, and the interval is what
//! lies between the outer quantiles of the ratios. Trials are drawn one by one, windows of one run in
//! stretches, as in [`bootstrap`](super::bootstrap). Nothing is compared where a side is not above
//! zero, since then there is no ratio.

use super::bootstrap::{RESAMPLES, VALUES_MIN, WINDOWS_MIN, index_below, stretches};
use super::{median, quantile_of_sorted};
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// Raw values of one side.
#[derive(Clone, Debug, PartialEq)]
pub enum Raw {
    /// One value for each independent trial; the statistic is their median.
    Trials(Vec<f64>),
    /// Amount and measure of each window in the order of time, such as packets and seconds; the
    /// statistic is the sum of amounts ÷ the sum of measures.
    Windows(Vec<(f64, f64)>),
}

/// A ratio − 1 with its interval; `low <= value <= high`, all finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// b ÷ a − 1.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Raw {
    /// How many values there are.
    pub fn count(&self) -> usize {
        match self {
            Raw::Trials(values) => values.len(),
            Raw::Windows(windows) => windows.len(),
        }
    }

    /// Whether they are enough for an interval, and all finite.
    pub fn suffices(&self) -> bool {
        match self {
            Raw::Trials(values) => {
                values.len() >= VALUES_MIN && values.iter().all(|value| value.is_finite())
            }
            Raw::Windows(windows) => {
                let finite = |(amount, measure): &(f64, f64)| (amount * measure).is_finite();
                windows.len() >= WINDOWS_MIN && windows.iter().all(finite)
            }
        }
    }

    /// The statistic; `None` where it is not a finite number.
    pub fn statistic(&self) -> Option<f64> {
        match self {
            Raw::Trials(values) => median(values),
            Raw::Windows(windows) => ratio(windows.iter().copied()),
        }
    }

    /// The statistic of one draw.
    fn draw(&self, rng: &mut impl RngCore) -> Option<f64> {
        match self {
            Raw::Trials(values) => {
                let one = |_| values[index_below(rng, values.len())];
                median(&(0..values.len()).map(one).collect::<Vec<f64>>())
            }
            Raw::Windows(windows) => ratio(stretches(rng, windows.len()).map(|at| windows[at])),
        }
    }
}

fn ratio(windows: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let (amount, measure) = windows.fold((0.0, 0.0), |sum, w| (sum.0 + w.0, sum.1 + w.1));
    (measure > 0.0).then(|| amount / measure).filter(|ratio| ratio.is_finite())
}

/// The change from `a` to `b` at `confidence`. `None` where a side has too few values (see
/// [`Raw::suffices`]) or a statistic is not above zero, or for a confidence not strictly between 0
/// and 1.
pub fn change(a: &Raw, b: &Raw, confidence: f64, seed: u64) -> Option<Change> {
    if !(confidence > 0.0 && confidence < 1.0 && a.suffices() && b.suffices()) {
        return None;
    }
    let above_zero = |value: &f64| *value > 0.0;
    let value = b.statistic().filter(above_zero)? / a.statistic().filter(above_zero)? - 1.0;
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut found = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        let drawn_a = a.draw(&mut rng).filter(above_zero)?;
        found.push(b.draw(&mut rng)? / drawn_a - 1.0);
    }
    found.sort_by(f64::total_cmp);
    let tail = (1.0 - confidence) / 2.0;
    let low = quantile_of_sorted(&found, tail).min(value);
    let high = quantile_of_sorted(&found, 1.0 - tail).max(value);
    (low.is_finite() && high.is_finite()).then_some(Change { value, low, high })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{ProptestConfig, prop, prop_assert, prop_assert_eq, proptest};

    /// Roughly normal: the sum of twelve uniform numbers less six.
    fn normal(rng: &mut impl RngCore) -> f64 {
        (0..12).map(|_| (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64).sum::<f64>() - 6.0
    }

    /// Windows around 10 with 5 % of noise of which each keeps `kept` of the one before.
    fn windows(rng: &mut impl RngCore, kept: f64) -> Raw {
        let mut state = normal(rng);
        let next = |_| {
            state = kept * state + (1.0 - kept * kept).sqrt() * normal(rng);
            (10.0 * (1.0 + 0.05 * state), 1.0)
        };
        Raw::Windows((0..100).map(next).collect())
    }

    /// Share of 300 pairs without any difference whose interval denies that.
    fn false_alarms(mut side: impl FnMut(&mut Xoshiro256PlusPlus) -> Raw) -> f64 {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(11);
        let alarms = (0..300u64)
            .filter(|&seed| {
                let (a, b) = (side(&mut rng), side(&mut rng));
                let change = change(&a, &b, 0.95, seed).expect("enough values");
                !(change.low..=change.high).contains(&0.0)
            })
            .count();
        alarms as f64 / 300.0
    }

    #[test]
    fn the_promise_is_kept_on_simulated_pairs_without_a_difference() {
        // Of 300 at 5 % the standard deviation is 1.3 points. Stretches of √n do not catch all of
        // what windows of a drifting machine share: 12 % is what that may cost, one by one it is 26.
        let trials = |rng: &mut Xoshiro256PlusPlus| {
            Raw::Trials((0..8).map(|_| 10.0 + 0.1 * normal(rng)).collect())
        };
        let of_trials = false_alarms(trials);
        assert!(of_trials <= 0.08, "{of_trials}");
        let independent = false_alarms(|rng| windows(rng, 0.0));
        assert!(independent <= 0.12, "{independent}");
        let drifting = false_alarms(|rng| windows(rng, 0.5));
        assert!(drifting <= 0.14, "{drifting}");
    }

    #[test]
    fn a_change_is_seen() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
        let mut side = |mean: f64| {
            Raw::Trials((0..8).map(|_| mean * (1.0 + 0.01 * normal(&mut rng))).collect())
        };
        let change = change(&side(10.0), &side(9.0), 0.95, 1).expect("enough values");
        assert!(change.high < -0.06 && change.low > -0.14, "{change:?}");
    }

    #[test]
    fn too_little_and_what_has_no_ratio_has_no_change() {
        let trials = |value: f64| Raw::Trials(vec![value; 8]);
        assert!(change(&trials(1.0), &trials(2.0), 0.95, 1).is_some());
        for (a, b) in [
            (trials(0.0), trials(1.0)),
            (trials(1.0), trials(f64::NAN)),
            (Raw::Trials(vec![1.0; 5]), trials(1.0)),
            (Raw::Windows(vec![(1.0, 1.0); 19]), trials(1.0)),
            (Raw::Windows(vec![(1.0, 0.0); 40]), trials(1.0)),
        ] {
            assert_eq!(change(&a, &b, 0.95, 1), None, "{a:?} {b:?}");
        }
        assert_eq!(change(&trials(1.0), &trials(1.0), 1.0, 1), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn ordered_the_same_every_time_and_blind_to_scale(
            a in prop::collection::vec(1.0..1e6f64, 6..20),
            b in prop::collection::vec(1.0..1e6f64, 6..20),
            seed: u64,
        ) {
            let of = |factor: f64| {
                let scale = |values: &[f64]| Raw::Trials(values.iter().map(|v| v * factor).collect());
                change(&scale(&a), &scale(&b), 0.95, seed)
            };
            let once = of(1.0).expect("enough values");
            prop_assert!(once.low <= once.value && once.value <= once.high);
            prop_assert_eq!(of(1.0), Some(once));
            // A power of two changes no digit.
            prop_assert_eq!(of(4.0), Some(once));
        }
    }
}
