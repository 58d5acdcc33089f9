//! Percentile bootstrap of the median of trials, and of the mean of windows.
//!
//! The data are drawn again with replacement [`RESAMPLES`] times, the statistic is taken of each
//! draw, and the interval is what lies between its outer quantiles (Efron 1979). It assumes no
//! distribution, but it does assume that the values are independent: trials of one process on a
//! drifting machine are not, and then every such interval is too narrow.
//!
//! *Few values.* Resampling cannot invent spread that was not seen. The range from the smallest to
//! the largest of `n` independent values covers the median of their distribution with probability 1
//! − 2^(1−n): 93.75 % for five, 96.9 % for six. Below [`VALUES_MIN`] no interval made of the data
//! reaches 95 %, so what is given is the range, marked [`Method::Range`] with the confidence it
//! has. *Coverage above that.* The percentile interval of a median of 6 to 20 values covers a
//! little more or less than it says because the median takes few distinct values.
//!
//! *Windows of one run* follow each other on a machine that drifts, and share what it does. They are
//! drawn in stretches of √n (circular block bootstrap, Politis and Romano 1992): one by one they
//! would promise more than they hold.

use crate::stats::{mean, median, quantile_of_sorted};
use format::summary::Estimate;
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// Draws of one bootstrap: at 95 % fifty of them lie beyond each end, so an end moves by a few
/// per cent of the interval's width from seed to seed.
pub const RESAMPLES: usize = 2000;

/// Fewest values with which the range of the data covers the median at 95 %.
pub const VALUES_MIN: usize = 6;

/// Fewest windows of one run of which an interval is made: four stretches of five.
pub const WINDOWS_MIN: usize = 20;

/// How an interval was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Percentile bootstrap.
    Bootstrap,
    /// Smallest to largest value, because there were fewer than [`VALUES_MIN`].
    Range,
}

/// A statistic with its interval. All numbers are finite and `low <= value <= high`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The statistic of the data as they are.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Probability, 0 to 1, that an interval made this way holds the true value.
    pub confidence: f64,
    /// How the ends were found.
    pub method: Method,
    /// Number of values.
    pub count: usize,
}

impl Interval {
    /// As written to the summary: one value has no interval there, so its ends are `None`.
    pub fn estimate(&self) -> Estimate {
        let many = self.count > 1;
        Estimate {
            value: self.value,
            low: many.then_some(self.low),
            high: many.then_some(self.high),
            confidence: many.then_some(self.confidence),
        }
    }
}

/// Interval of the median at `confidence` (such as 0.95). `None` for no values, a value that is not
/// finite, or a confidence not strictly between 0 and 1.
pub fn of_median(values: &[f64], confidence: f64, seed: u64) -> Option<Interval> {
    if !(confidence > 0.0 && confidence < 1.0) {
        return None;
    }
    let (value, count) = (median(values)?, values.len());
    if count < VALUES_MIN {
        let low = values.iter().copied().fold(value, f64::min);
        let high = values.iter().copied().fold(value, f64::max);
        let (confidence, method) = (1.0 - 0.5f64.powf(count as f64 - 1.0), Method::Range);
        return Some(Interval { value, low, high, confidence, method, count });
    }
    let mut drawn = vec![0.0; count];
    resampled(value, count, confidence, seed, |rng| {
        drawn.fill_with(|| values[index_below(rng, count)]);
        median(&drawn)
    })
}

/// Interval of the mean of windows of one run in the order of time, at `confidence`. `None` as for
/// [`of_median`], and of fewer than [`WINDOWS_MIN`].
pub fn of_windows(windows: &[f64], confidence: f64, seed: u64) -> Option<Interval> {
    let count = windows.len();
    if !(confidence > 0.0 && confidence < 1.0 && count >= WINDOWS_MIN) {
        return None;
    }
    let value = mean(windows)?;
    let draw = |rng: &mut Xoshiro256PlusPlus| {
        mean(&stretches(rng, count).map(|at| windows[at]).collect::<Vec<f64>>())
    };
    resampled(value, count, confidence, seed, draw)
}

/// Indices of a draw of `count` windows in their order: stretches of √`count`, going on from the
/// first after the last.
pub(super) fn stretches(rng: &mut impl RngCore, count: usize) -> impl Iterator<Item = usize> {
    let length = (count as f64).sqrt().round().max(1.0) as usize;
    let starts = (0..count.div_ceil(length)).map(|_| index_below(rng, count));
    let starts: Vec<usize> = starts.collect();
    let all = starts.into_iter().flat_map(move |start| (0..length).map(move |i| start + i));
    all.map(move |at| at % count).take(count)
}

/// What lies between the outer quantiles of a statistic's draws.
fn resampled(
    value: f64,
    count: usize,
    confidence: f64,
    seed: u64,
    mut draw: impl FnMut(&mut Xoshiro256PlusPlus) -> Option<f64>,
) -> Option<Interval> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let found: Option<Vec<f64>> = (0..RESAMPLES).map(|_| draw(&mut rng)).collect();
    let mut found = found?;
    found.sort_by(f64::total_cmp);
    let tail = (1.0 - confidence) / 2.0;
    Some(Interval {
        value,
        low: quantile_of_sorted(&found, tail).min(value),
        high: quantile_of_sorted(&found, 1.0 - tail).max(value),
        confidence,
        method: Method::Bootstrap,
        count,
    })
}

/// A number below `count`, by the high half of a product: its bias is below `count` ÷ 2⁶⁴.
pub(crate) fn index_below(rng: &mut impl RngCore, count: usize) -> usize {
    ((u128::from(rng.next_u64()) * count as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{ProptestConfig, prop, prop_assert, prop_assert_eq, proptest};

    fn uniform(rng: &mut impl RngCore) -> f64 {
        (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    #[test]
    fn few_values_give_their_range_and_say_so() {
        let interval = of_median(&[3.0, 1.0, 2.0], 0.95, 7).expect("three values");
        assert_eq!((interval.low, interval.value, interval.high), (1.0, 2.0, 3.0));
        assert_eq!((interval.method, interval.confidence), (Method::Range, 0.75));
        let single = of_median(&[3.0], 0.95, 7).expect("one value").estimate();
        assert_eq!((single.low, single.high, single.confidence), (None, None, None));
    }

    #[test]
    fn the_promise_is_kept_on_simulated_data() {
        // 400 experiments of 15 uniform values, true median ½: at 95 % the count of hits has a
        // standard deviation of 4.4, so 355 of 400 (89 %) is seven of them away.
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let hits = (0..400u64)
            .filter(|&seed| {
                let values: Vec<f64> = (0..15).map(|_| uniform(&mut rng)).collect();
                let interval = of_median(&values, 0.95, seed).expect("values");
                (interval.low..=interval.high).contains(&0.5)
            })
            .count();
        assert!((355..=399).contains(&hits), "{hits} of 400 intervals hold the median");
    }

    #[test]
    fn the_promise_is_kept_on_windows_that_share_what_a_machine_does() {
        // 300 runs of 100 windows, each of which keeps half of the deviation of the one before. At
        // 95 % the standard deviation is 1.3 points; stretches of √n miss a little of what windows
        // share. One by one they would show a third of the variance, and 74 % would hold the mean.
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(4);
        let mut normal = || (0..12).map(|_| uniform(&mut rng)).sum::<f64>() - 6.0;
        let hits = (0..300u64)
            .filter(|&seed| {
                let mut state = normal();
                let windows: Vec<f64> = (0..100)
                    .map(|_| {
                        state = 0.5 * state + 0.75f64.sqrt() * normal();
                        10.0 + state
                    })
                    .collect();
                let interval = of_windows(&windows, 0.95, seed).expect("enough windows");
                (interval.low..=interval.high).contains(&10.0)
            })
            .count();
        assert!(hits >= 258, "{hits} of 300 intervals hold the mean");
    }

    #[test]
    fn a_handful_of_windows_has_no_interval() {
        let windows = [1.0, 2.0].repeat(WINDOWS_MIN / 2);
        assert!(of_windows(&windows, 0.95, 1).is_some());
        assert_eq!(of_windows(&windows[1..], 0.95, 1), None);
        assert_eq!(of_windows(&[f64::NAN; WINDOWS_MIN], 0.95, 1), None);
    }

    #[test]
    fn bad_input_has_no_interval() {
        assert_eq!(of_median(&[], 0.95, 1), None);
        assert_eq!(of_median(&[1.0, f64::NAN], 0.95, 1), None);
        for confidence in [0.0, 1.0, f64::NAN] {
            assert_eq!(of_median(&[1.0; 8], confidence, 1), None);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn ordered_within_the_data_and_the_same_every_time(
            values in prop::collection::vec(-1e9..1e9f64, 1..30),
            seed: u64,
        ) {
            let interval = of_median(&values, 0.95, seed).expect("finite values");
            prop_assert!(interval.low <= interval.value && interval.value <= interval.high);
            prop_assert!(values.iter().any(|value| *value <= interval.low));
            prop_assert!(values.iter().any(|value| *value >= interval.high));
            prop_assert_eq!(of_median(&values, 0.95, seed), Some(interval));
        }

        #[test]
        fn more_confidence_is_never_narrower(
            values in prop::collection::vec(-1e3..1e3f64, 6..30),
            seed: u64,
        ) {
            let narrow = of_median(&values, 0.5, seed).expect("values");
            let wide = of_median(&values, 0.99, seed).expect("values");
            prop_assert!(wide.low <= narrow.low && narrow.high <= wide.high);
        }
    }
}
