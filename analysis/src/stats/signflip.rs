//! Exact one-sided sign-flip test of paired differences, by signed ranks.
//!
//! The two sides of a pair are measured in an order that a coin decides. If they are the same, then
//! another fall of the coin would have given the same difference with the other sign, whatever the
//! machine did meanwhile: drift, bursts of other work, values that depend on those before. So all
//! 2ⁿ patterns of signs are equally likely, and that is the whole null hypothesis; nothing is
//! assumed of distributions or independence.
//!
//! *Statistic.* The sum of the ranks of the absolute differences that are positive (Wilcoxon 1945),
//! ties sharing the mean of their ranks. The sum of the differences themselves would do, but then one
//! pair that a neighbour hit weighs more than all others, and on shared machines there always is one.
//!
//! *Exactness.* The sums that all patterns give are counted by dynamic programming over doubled
//! ranks, which are whole numbers: n · n(n+1) additions instead of 2ⁿ patterns, so every number of
//! pairs up to [`PAIRS_MAX`] is exact and nothing is drawn at random. A difference of exactly zero has
//! no sign to flip and counts for neither side.
//!
//! The smallest p of n pairs is 2⁻ⁿ: seven are needed before anything can be seen at 1 %.

/// Most pairs: 4,096 times as many sums would still fit a cache.
pub const PAIRS_MAX: usize = 1024;

/// Probability, if the differences are symmetric about `about`, of a sum of positive ranks at least
/// as large as that of `differences`: small if they are greater than `about`. `None` for no values, more than
/// [`PAIRS_MAX`], or one that is not finite.
pub fn p_greater(differences: &[f64], about: f64) -> Option<f64> {
    let shifted: Vec<f64> = differences.iter().map(|value| value - about).collect();
    if !is_usable(&shifted) {
        return None;
    }
    let ranks = doubled_ranks(&shifted);
    let signed = ranks.iter().zip(&shifted);
    let observed: usize = signed.filter(|(_, value)| **value > 0.0).map(|(rank, _)| rank).sum();
    Some(null(&ranks)[observed..].iter().sum::<f64>().min(1.0))
}

/// As [`p_greater`], small if the differences are less than `about`.
pub fn p_less(differences: &[f64], about: f64) -> Option<f64> {
    let turned: Vec<f64> = differences.iter().map(|value| -value).collect();
    p_greater(&turned, -about)
}

/// The centre of symmetry with what the test does not exclude.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Centre {
    /// Median of the means of all pairs of values (Hodges and Lehmann 1963).
    pub value: f64,
    /// Lower end: anything below is excluded at `tail`. −∞ with too few values.
    pub low: f64,
    /// Upper end: anything above is excluded at `tail`. ∞ with too few values.
    pub high: f64,
}

/// Estimate and interval that belong to the test: `tail` is the probability beyond each end, above 0
/// and below ½. `None` as for [`p_greater`].
pub fn centre(differences: &[f64], tail: f64) -> Option<Centre> {
    if !(is_usable(differences) && tail > 0.0 && tail < 0.5) {
        return None;
    }
    let n = differences.len();
    let mut means = Vec::with_capacity(n * (n + 1) / 2);
    for (at, a) in differences.iter().enumerate() {
        means.extend(differences[..=at].iter().map(|b| a / 2.0 + b / 2.0));
    }
    means.sort_by(f64::total_cmp);
    let ranks: Vec<usize> = (1..=n).map(|rank| 2 * rank).collect();
    // The most means that an end leaves out: P(sum of ranks < left_out) ≤ tail.
    let (mut left_out, mut below) = (0_usize, 0.0);
    for probability in null(&ranks).iter().step_by(2) {
        below += probability;
        if below > tail {
            break;
        }
        left_out += 1;
    }
    let end = |at: Option<usize>| at.and_then(|at| means.get(at).copied());
    Some(Centre {
        value: super::quantile_of_sorted(&means, 0.5),
        low: end(left_out.checked_sub(1)).unwrap_or(f64::NEG_INFINITY),
        high: match left_out {
            0 => f64::INFINITY,
            _ => end(means.len().checked_sub(left_out)).unwrap_or(f64::INFINITY),
        },
    })
}

fn is_usable(values: &[f64]) -> bool {
    (1..=PAIRS_MAX).contains(&values.len()) && values.iter().all(|value| value.is_finite())
}

/// Twice the rank of each absolute value; those that are equal share the mean of theirs, zeros have
/// none.
fn doubled_ranks(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].abs().total_cmp(&values[b].abs()));
    let mut ranks = vec![0; values.len()];
    let mut from = 0;
    while from < order.len() {
        let size = values[order[from]].abs();
        let equal = order[from..].iter().take_while(|&&at| values[at].abs() == size).count();
        if size > 0.0 {
            // First rank from + 1, last from + equal.
            order[from..from + equal].iter().for_each(|&at| ranks[at] = 2 * from + equal + 1);
        }
        from += equal;
    }
    ranks
}

/// Probability of each sum of ranks, if each counts or does not with probability ½.
fn null(ranks: &[usize]) -> Vec<f64> {
    let mut sums = vec![0.0; ranks.iter().sum::<usize>() + 1];
    sums[0] = 1.0;
    let mut greatest = 0;
    for &rank in ranks.iter().filter(|rank| **rank > 0) {
        greatest += rank;
        for sum in (rank..=greatest).rev() {
            sums[sum] = (sums[sum] + sums[sum - rank]) / 2.0;
        }
        sums[..rank].iter_mut().for_each(|probability| *probability /= 2.0);
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All patterns of signs, one by one.
    fn by_enumeration(values: &[f64]) -> f64 {
        let ranks = doubled_ranks(values);
        let sum = |positive: &dyn Fn(usize) -> bool| -> usize {
            (0..values.len()).filter(|&at| positive(at)).map(|at| ranks[at]).sum()
        };
        let observed = sum(&|at| values[at] > 0.0);
        let patterns = 0..1u32 << values.len();
        let as_large =
            patterns.clone().filter(|signs| sum(&|at| signs >> at & 1 == 1) >= observed).count();
        as_large as f64 / patterns.len() as f64
    }

    #[test]
    fn known_values() {
        // R: wilcox.test(c(1.1, 2.2, 0.3, 4.4, -0.5), alternative = "greater"), p = 3/32.
        let values = [1.1, 2.2, 0.3, 4.4, -0.5];
        assert_eq!(p_greater(&values, 0.0), Some(0.09375));
        assert_eq!(p_greater(&[1.0; 7], 0.0), Some(0.5f64.powi(7)));
        assert_eq!(p_greater(&[-1.0; 7], 0.0), Some(1.0));
        assert_eq!(p_less(&[-1.0; 7], 0.0), Some(0.5f64.powi(7)));
        assert_eq!(p_greater(&[0.0; 9], 0.0), Some(1.0));
        // Six of six, as one-sided 1/64: the range of the values is the interval at that tail.
        let six = centre(&[1.0, 2.0, 4.0, 8.0, 16.0, 32.0], 1.0 / 64.0).expect("six values");
        assert_eq!((six.low, six.high), (1.0, 32.0));
        let few = centre(&[1.0, 2.0], 0.01).expect("two values");
        assert_eq!((few.low, few.value, few.high), (f64::NEG_INFINITY, 1.5, f64::INFINITY));
    }

    #[test]
    fn bad_input_has_no_test() {
        for values in [&[][..], &[f64::NAN], &[1.0, f64::INFINITY], &[0.0; PAIRS_MAX + 1]] {
            assert_eq!((p_greater(values, 0.0), centre(values, 0.01)), (None, None));
        }
        assert_eq!(centre(&[1.0], 0.5), None);
    }

    #[test]
    fn many_pairs_keep_a_distribution() {
        let ranks: Vec<usize> = (1..=PAIRS_MAX / 4).map(|rank| 2 * rank).collect();
        let sums = null(&ranks);
        assert!((sums.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        let mean: f64 = sums.iter().enumerate().map(|(sum, p)| sum as f64 * p).sum();
        let half = ranks.iter().sum::<usize>() as f64 / 2.0;
        assert!((mean / half - 1.0).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn as_if_all_patterns_were_tried(
            // Few distinct values, so that there are ties and zeros.
            values in prop::collection::vec((-4..=4i32).prop_map(f64::from), 1..12),
        ) {
            let p = p_greater(&values, 0.0).expect("values");
            prop_assert!((p - by_enumeration(&values)).abs() < 1e-12);
        }

        #[test]
        fn what_the_interval_holds_the_test_does_not_exclude(
            values in prop::collection::vec(-1.0..1.0f64, 7..24),
            tail in 0.01..0.2f64,
        ) {
            let Centre { value, low, high } = centre(&values, tail).expect("values");
            prop_assert!(low <= value && value <= high);
            let step = 1e-9;
            if low.is_finite() {
                prop_assert!(p_greater(&values, low - step).expect("values") <= tail);
                prop_assert!(p_greater(&values, low + step).expect("values") > tail);
                prop_assert!(p_less(&values, high + step).expect("values") <= tail);
                prop_assert!(p_less(&values, high - step).expect("values") > tail);
            }
        }

        #[test]
        fn one_wild_pair_does_not_decide(
            mut values in prop::collection::vec(0.5..1.0f64, 16..24),
        ) {
            values[0] = -1e6;
            prop_assert!(p_greater(&values, 0.0).expect("values") < 0.01);
        }
    }
}
