//! Holm's procedure: several tests at once, one promise.

/// Which of several null hypotheses are rejected so that the probability of rejecting any true one is
/// at most `alpha`, whatever their dependence (Holm 1979). A p that could not be had is `None` and is
/// never rejected, but counts as a test.
pub fn rejected(p: &[Option<f64>], alpha: f64) -> Vec<bool> {
    let of = |at: usize| p[at].unwrap_or(1.0);
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| of(a).total_cmp(&of(b)));
    let mut rejected = vec![false; p.len()];
    for (rank, at) in order.into_iter().enumerate() {
        if of(at) > alpha / (p.len() - rank) as f64 {
            break;
        }
        rejected[at] = true;
    }
    rejected
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_smallest_goes_first_and_the_first_that_stays_keeps_the_rest() {
        let p = [Some(0.01), Some(0.04), Some(0.03), Some(0.005)];
        assert_eq!(rejected(&p, 0.05), [true, false, false, true]);
        assert_eq!(rejected(&[Some(0.04)], 0.05), [true]);
        assert_eq!(rejected(&[None, Some(0.03)], 0.05), [false, false]);
        assert!(rejected(&[], 0.05).is_empty());
    }

    proptest! {
        #[test]
        fn between_bonferroni_and_none(
            p in prop::collection::vec(0.0..1.0f64, 1..8),
            alpha in 0.0..0.5f64,
        ) {
            let found = rejected(&p.iter().copied().map(Some).collect::<Vec<_>>(), alpha);
            for (p_value, rejected) in p.iter().zip(found) {
                prop_assert!(rejected || *p_value > alpha / p.len() as f64);
                prop_assert!(!rejected || *p_value <= alpha);
            }
        }
    }
}
