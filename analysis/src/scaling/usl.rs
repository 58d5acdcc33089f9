//! The Universal Scalability Law fitted to rates measured with growing numbers of cores.
//!
//! `X(N) = λN ÷ (1 + σ(N − 1) + κN(N − 1))` (Gunther 1993): λ is the rate of one core alone, σ the
//! share of the work that only one can do at a time (contention), κ what each pair of cores costs
//! the others (coherency). With σ = κ = 0 the line is straight, with κ > 0 it has a peak.
//!
//! The fit is by least squares of the rates, with σ, κ ≥ 0. As N ÷ X is linear in 1 ÷ λ, σ ÷ λ and
//! κ ÷ λ, a weighted linear fit gives the start and Gauss–Newton the end; a coefficient that would
//! be negative is held at 0. Three unknowns need [`CORES_MIN`] different numbers of cores before
//! anything is left to be wrong about: below that there is no fit, and the reason is said.

use serde::Serialize;
use std::fmt;

/// Different numbers of cores that a fit needs.
pub const CORES_MIN: usize = 4;

/// Rounds of Gauss–Newton; it settles within ten or not at all.
const ROUNDS: usize = 50;

/// A fitted law.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Usl {
    /// Mpps of one core alone.
    pub lambda_mpps: f64,
    /// Contention, 0 or more.
    pub sigma: f64,
    /// Coherency, 0 or more.
    pub kappa: f64,
    /// Share of the variance of the rates that the law explains, at most 1.
    pub r_squared: f64,
    /// Most cores that were measured: beyond it the law is a guess.
    pub measured_cores: f64,
}

/// Why there is no fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoFit {
    /// Fewer than [`CORES_MIN`] different numbers of cores.
    TooFewPoints(usize),
    /// The rates follow no such law: λ would not be above 0.
    NoLaw,
}

impl fmt::Display for NoFit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoFit::TooFewPoints(count) => write!(
                f,
                "{count} different numbers of cores; a fit of three unknowns needs {CORES_MIN}"
            ),
            NoFit::NoLaw => f.write_str("the rates follow no such law"),
        }
    }
}

impl Usl {
    /// Mpps that the law gives for a number of cores.
    pub fn mpps(&self, cores: f64) -> f64 {
        law([self.lambda_mpps, self.sigma, self.kappa], cores)
    }

    /// Cores beyond which more are slower; `None` where there is no such number.
    pub fn peak_cores(&self) -> Option<f64> {
        (self.kappa > 0.0 && self.sigma < 1.0)
            .then(|| ((1.0 - self.sigma) / self.kappa).sqrt())
            .filter(|peak| peak.is_finite())
    }
}

fn law([lambda, sigma, kappa]: [f64; 3], n: f64) -> f64 {
    lambda * n / (1.0 + sigma * (n - 1.0) + kappa * n * (n - 1.0))
}

/// Fits the law to points of (cores, Mpps). Points without cores or without a rate are left out; a
/// number of cores may occur several times.
///
/// # Errors
/// Too few different numbers of cores, or rates that follow no such law.
pub fn fit(points: &[(usize, f64)]) -> Result<Usl, NoFit> {
    let points: Vec<(f64, f64)> = points
        .iter()
        .filter(|(cores, mpps)| *cores > 0 && mpps.is_finite() && *mpps > 0.0)
        .map(|(cores, mpps)| (*cores as f64, *mpps))
        .collect();
    let mut cores: Vec<f64> = points.iter().map(|point| point.0).collect();
    cores.sort_by(f64::total_cmp);
    cores.dedup();
    if cores.len() < CORES_MIN {
        return Err(NoFit::TooFewPoints(cores.len()));
    }
    // Least squares with a bound: the best of the fits in which some coefficients are held at 0.
    let held = [[true, true], [true, false], [false, true], [false, false]];
    let best = held
        .into_iter()
        .filter_map(|free| solve(&points, free))
        .map(|found| (residual(&points, found), found))
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .ok_or(NoFit::NoLaw)?;
    let (left, [lambda_mpps, sigma, kappa]) = best;
    let mean = points.iter().map(|point| point.1).sum::<f64>() / points.len() as f64;
    let spread: f64 = points.iter().map(|point| (point.1 - mean).powi(2)).sum();
    let r_squared = if spread > 0.0 { 1.0 - left / spread } else { 0.0 };
    let measured_cores = cores[cores.len() - 1];
    Ok(Usl { lambda_mpps, sigma, kappa, r_squared, measured_cores })
}

fn residual(points: &[(f64, f64)], law_of: [f64; 3]) -> f64 {
    points.iter().map(|(n, x)| (x - law(law_of, *n)).powi(2)).sum()
}

/// The fit in which σ and κ are free or 0; `None` if it leaves the allowed range.
fn solve(points: &[(f64, f64)], free: [bool; 2]) -> Option<[f64; 3]> {
    let mut found = linear(points, free)?;
    let allowed = |law: &[f64; 3]| {
        law[0] > 0.0 && law[1] >= 0.0 && law[2] >= 0.0 && law.iter().all(|it| it.is_finite())
    };
    if !allowed(&found) {
        return None;
    }
    for _ in 0..ROUNDS {
        let Some(step) = newton(points, found, free) else { break };
        // Halved until it is better: far from the end a whole step may overshoot.
        let better = (0..30).map(|halvings| 0.5f64.powi(halvings)).find_map(|share| {
            let next = [0, 1, 2].map(|i| found[i] + share * step[i]);
            (allowed(&next) && residual(points, next) < residual(points, found)).then_some(next)
        });
        match better {
            Some(next) => found = next,
            None => break,
        }
    }
    Some(found)
}

/// The columns that are free, λ first.
fn columns(free: [bool; 2]) -> Vec<usize> {
    [true, free[0], free[1]].iter().enumerate().filter(|(_, free)| **free).map(|it| it.0).collect()
}

/// N ÷ X is linear; weighted so that its errors count as those of X do.
fn linear(points: &[(f64, f64)], free: [bool; 2]) -> Option<[f64; 3]> {
    let rows = points.iter().map(|(n, x)| {
        let terms = [1.0, n - 1.0, n * (n - 1.0)];
        let weight = x * x / n;
        (terms.map(|term| term * weight), n / x * weight)
    });
    let [a, b, c] = least_squares(rows, free)?;
    Some([1.0 / a, b / a, c / a])
}

/// The step of Gauss–Newton.
fn newton(points: &[(f64, f64)], at: [f64; 3], free: [bool; 2]) -> Option<[f64; 3]> {
    let rows = points.iter().map(|(n, x)| {
        let value = law(at, *n);
        let under = at[0] * n / value;
        let slope = [value / at[0], -value * (n - 1.0) / under, -value * n * (n - 1.0) / under];
        (slope, x - value)
    });
    least_squares(rows, free)
}

/// Solves the normal equations of the free columns; 0 for the others.
fn least_squares(rows: impl Iterator<Item = ([f64; 3], f64)>, free: [bool; 2]) -> Option<[f64; 3]> {
    let columns = columns(free);
    let size = columns.len();
    // The right side is one more column.
    let mut m = [[0.0f64; 4]; 3];
    for (terms, y) in rows {
        for (i, &row) in columns.iter().enumerate() {
            for (j, &column) in columns.iter().enumerate() {
                m[i][j] += terms[row] * terms[column];
            }
            m[i][size] += terms[row] * y;
        }
    }
    eliminate(&mut m, size)?;
    let mut found = [0.0; 3];
    for (i, &column) in columns.iter().enumerate() {
        found[column] = m[i][size] / m[i][i];
    }
    found.iter().all(|value| value.is_finite()).then_some(found)
}

/// Gauss–Jordan with the largest pivot; `None` of equations that depend on each other.
fn eliminate(m: &mut [[f64; 4]; 3], size: usize) -> Option<()> {
    for i in 0..size {
        let pivot = (i..size).max_by(|&a, &b| m[a][i].abs().total_cmp(&m[b][i].abs()))?;
        m.swap(i, pivot);
        if m[i][i].abs() < f64::MIN_POSITIVE {
            return None;
        }
        for other in (0..size).filter(|&other| other != i) {
            let share = m[other][i] / m[i][i];
            let row = m[i];
            for (to, from) in m[other].iter_mut().zip(row) {
                *to -= share * from;
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn points(of: [f64; 3], cores: &[usize]) -> Vec<(usize, f64)> {
        cores.iter().map(|&n| (n, law(of, n as f64))).collect()
    }

    #[test]
    fn too_few_points_are_said_to_be_too_few() {
        let three = points([10.0, 0.05, 0.001], &[1, 2, 4]);
        let error = fit(&three).expect_err("three points");
        assert_eq!(error, NoFit::TooFewPoints(3));
        assert!(error.to_string().contains("needs 4"), "{error}");
        // Repeated or useless points are no more points.
        let more = [three.clone(), three, vec![(8, f64::NAN), (0, 1.0), (9, 0.0)]].concat();
        assert_eq!(fit(&more), Err(NoFit::TooFewPoints(3)));
    }

    #[test]
    fn a_straight_line_has_neither_contention_nor_peak() {
        let usl = fit(&points([10.0, 0.0, 0.0], &[1, 2, 4, 8])).expect("a law");
        assert!((usl.lambda_mpps - 10.0).abs() < 1e-9 && usl.sigma < 1e-9 && usl.kappa < 1e-9);
        assert!((usl.mpps(16.0) - 160.0).abs() < 1e-6);
        assert!(usl.r_squared > 0.999_999);
        // Faster than a straight line is no negative contention.
        let fast = fit(&[(1, 10.0), (2, 21.0), (4, 44.0), (8, 92.0)]).expect("a law");
        assert_eq!((fast.sigma, fast.kappa, fast.peak_cores()), (0.0, 0.0, None));
    }

    #[test]
    fn a_law_with_coherency_has_its_peak() {
        let usl = fit(&points([10.0, 0.02, 0.005], &[1, 2, 4, 8, 16])).expect("a law");
        let peak = usl.peak_cores().expect("a peak");
        assert!((peak - (0.98f64 / 0.005).sqrt()).abs() < 0.01, "{peak}");
        assert!(usl.mpps(peak) > usl.mpps(peak + 2.0) && usl.mpps(peak) > usl.mpps(peak - 2.0));
    }

    proptest! {
        #[test]
        fn the_law_behind_exact_points_is_found(
            lambda in 0.1..100.0f64,
            sigma in 0.0..0.5f64,
            kappa in 0.0..0.05f64,
        ) {
            let usl = fit(&points([lambda, sigma, kappa], &[1, 2, 3, 4, 8, 16])).expect("a law");
            prop_assert!((usl.lambda_mpps / lambda - 1.0).abs() < 1e-4, "{usl:?}");
            prop_assert!((usl.sigma - sigma).abs() < 1e-3 && (usl.kappa - kappa).abs() < 1e-4);
            prop_assert!(usl.r_squared > 0.9999);
        }

        #[test]
        fn noise_of_one_percent_moves_the_law_little(
            lambda in 1.0..20.0f64,
            sigma in 0.0..0.2f64,
            kappa in 0.0..0.01f64,
            noise in prop::collection::vec(-0.01..0.01f64, 7),
        ) {
            let exact = points([lambda, sigma, kappa], &[1, 2, 4, 8, 12, 16, 24]);
            let noisy: Vec<_> =
                exact.iter().zip(&noise).map(|((n, x), e)| (*n, x * (1.0 + e))).collect();
            let usl = fit(&noisy).expect("a law");
            // Least squares weighs rates, so what is off is measured by the largest of them.
            let most = exact.iter().map(|point| point.1).fold(0.0, f64::max);
            for (n, x) in exact {
                let off = (usl.mpps(n as f64) - x) / most;
                prop_assert!(off.abs() < 0.02, "{off} at {n} of {usl:?}");
            }
        }

        #[test]
        fn whatever_the_points_the_law_is_sane_and_never_worse_than_a_line(
            rates in prop::collection::vec(0.01..1e3f64, 4..12),
        ) {
            let points: Vec<_> = rates.iter().enumerate().map(|(i, x)| (i + 1, *x)).collect();
            if let Ok(usl) = fit(&points) {
                prop_assert!(usl.lambda_mpps > 0.0 && usl.sigma >= 0.0 && usl.kappa >= 0.0);
                prop_assert!(usl.r_squared <= 1.0);
                let floats: Vec<(f64, f64)> = points.iter().map(|p| (p.0 as f64, p.1)).collect();
                let nx: f64 = floats.iter().map(|(n, x)| n * x).sum();
                let nn: f64 = floats.iter().map(|(n, _)| n * n).sum();
                let line = residual(&floats, [nx / nn, 0.0, 0.0]);
                let left = residual(&floats, [usl.lambda_mpps, usl.sigma, usl.kappa]);
                prop_assert!(left <= line * (1.0 + 1e-9), "{left} > {line}");
            }
        }
    }
}
