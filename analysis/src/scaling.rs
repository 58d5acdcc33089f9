//! How evenly the cores of a system under test share the work.
//!
//! Cores share nothing, so each could do what the best of them did. The **ideal** of a run is
//! therefore the best core's rate for every core: the gap to it is what imbalance costs, be it
//! uneven traffic or a disturbed CPU. (Comparing with the first core times the number of cores
//! would make the result depend on numbering.) The ideal of a series of runs with more and more
//! cores is another thing: the rate per core of its smallest run times the number of cores, in
//! [`scale_up`].
//!
//! All of it is white-box, from the SUT's own counters, except where the caller passes other rates.

pub mod usl;

use format::summary::SutCore;
use serde::Serialize;
use usl::{NoFit, Usl};

/// Rate of one SUT core.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CoreRate {
    /// Server, from 0.
    pub server: u16,
    /// Core, from 0 within the server.
    pub core: u16,
    /// Million packets per second.
    pub mpps: f64,
}

/// The cores of one run beside the ideal.
#[derive(Clone, Debug, PartialEq)]
pub struct Balance {
    /// Cores whose rate is known, by server and core.
    pub cores: Vec<CoreRate>,
    /// Rate of the best core in Mpps: the ideal of each.
    pub ideal_mpps: f64,
    /// Sum over the cores in Mpps.
    pub total_mpps: f64,
    /// Best ÷ mean − 1: 0 when even.
    pub imbalance: f64,
    /// Total ÷ (ideal × cores), 0 to 1.
    pub efficiency: f64,
}

/// The balance of a run; `None` if no core's rate is known or none forwarded.
pub fn balance(cores: &[SutCore]) -> Option<Balance> {
    let mut cores: Vec<CoreRate> = cores
        .iter()
        .filter_map(|core| {
            let mpps = core.mpps.filter(|mpps| mpps.is_finite() && *mpps >= 0.0)?;
            Some(CoreRate { server: core.server, core: core.core, mpps })
        })
        .collect();
    cores.sort_by_key(|core| (core.server, core.core));
    let ideal_mpps = cores.iter().map(|core| core.mpps).fold(0.0, f64::max);
    let total_mpps: f64 = cores.iter().map(|core| core.mpps).sum();
    if !(ideal_mpps > 0.0 && total_mpps.is_finite()) {
        return None;
    }
    let mean = total_mpps / cores.len() as f64;
    let (imbalance, efficiency) = (ideal_mpps / mean - 1.0, (mean / ideal_mpps).min(1.0));
    Some(Balance { cores, ideal_mpps, total_mpps, imbalance, efficiency })
}

/// One run of a series with growing numbers of cores.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Step {
    /// Cores of the SUT.
    pub cores: usize,
    /// Forwarded rate of all of them in Mpps.
    pub mpps: f64,
    /// Rate of the smallest run ÷ its cores × these cores.
    pub ideal_mpps: f64,
    /// Rate ÷ ideal.
    pub efficiency: f64,
}

/// Scale-up over runs given as (cores, Mpps), smallest number of cores first. Runs without cores or
/// without a rate are left out; the callers see to it that the rest is comparable.
pub fn scale_up(runs: &[(usize, f64)]) -> Vec<Step> {
    let mut runs: Vec<(usize, f64)> = runs
        .iter()
        .copied()
        .filter(|(cores, mpps)| *cores > 0 && mpps.is_finite() && *mpps > 0.0)
        .collect();
    runs.sort_by_key(|(cores, _)| *cores);
    let Some(&(first_cores, first_mpps)) = runs.first() else { return Vec::new() };
    let per_core = first_mpps / first_cores as f64;
    runs.into_iter()
        .map(|(cores, mpps)| {
            let ideal_mpps = per_core * cores as f64;
            Step { cores, mpps, ideal_mpps, efficiency: mpps / ideal_mpps }
        })
        .collect()
}

/// A series of runs with growing numbers of cores.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Curve {
    /// The runs, smallest number of cores first.
    pub steps: Vec<Step>,
    /// Runs whose rate is a lower bound, as (cores, Mpps): neither ideal nor fit is made of them.
    pub bounds: Vec<(usize, f64)>,
    /// The fitted law; `null` where there is none.
    pub usl: Option<Usl>,
    /// Why there is no fit.
    pub no_fit: Option<NoFit>,
}

/// The curve of runs given as (cores, Mpps, lower bound?); `None` unless at least two different
/// numbers of cores have a rate that is no bound.
pub fn curve(runs: &[(usize, f64, bool)]) -> Option<Curve> {
    let of = |bound: bool| -> Vec<(usize, f64)> {
        runs.iter().filter(|run| run.2 == bound).map(|run| (run.0, run.1)).collect()
    };
    let measured = of(false);
    let steps = scale_up(&measured);
    let (first, last) = (steps.first()?, steps.last()?);
    if first.cores == last.cores {
        return None;
    }
    let fit = usl::fit(&measured);
    Some(Curve { steps, bounds: of(true), usl: fit.ok(), no_fit: fit.err() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn core(core: u16, mpps: Option<f64>) -> SutCore {
        SutCore {
            server: 0,
            core,
            forwarded: 0,
            mpps,
            busy_share: None,
            cycles_per_packet: None,
            drops: BTreeMap::new(),
        }
    }

    #[test]
    fn the_best_core_is_the_ideal_of_all() {
        let cores = [core(1, Some(6.0)), core(0, Some(10.0)), core(2, None)];
        let balance = balance(&cores).expect("two rates");
        assert_eq!(balance.cores.iter().map(|c| c.core).collect::<Vec<_>>(), [0, 1]);
        assert_eq!((balance.ideal_mpps, balance.total_mpps), (10.0, 16.0));
        assert!((balance.efficiency - 0.8).abs() < 1e-12);
        assert!((balance.imbalance - 0.25).abs() < 1e-12);
    }

    #[test]
    fn idle_or_unknown_cores_have_no_balance() {
        assert_eq!(balance(&[]), None);
        assert_eq!(balance(&[core(0, None)]), None);
        assert_eq!(balance(&[core(0, Some(0.0)), core(1, Some(f64::NAN))]), None);
    }

    #[test]
    fn a_curve_leaves_lower_bounds_aside_and_says_why_there_is_no_fit() {
        let runs = [(1, 10.0, false), (2, 19.0, false), (4, 30.0, true), (0, 1.0, false)];
        let curve = curve(&runs).expect("two numbers of cores");
        assert_eq!(curve.steps.iter().map(|step| step.cores).collect::<Vec<_>>(), [1, 2]);
        assert_eq!((curve.bounds, curve.usl), (vec![(4, 30.0)], None));
        assert_eq!(curve.no_fit, Some(NoFit::TooFewPoints(2)));
        assert_eq!(super::curve(&[(2, 9.0, false), (2, 9.1, false), (4, 9.0, true)]), None);
    }

    #[test]
    fn scale_up_is_relative_to_the_smallest_run() {
        let steps = scale_up(&[(4, 30.0), (1, 10.0), (0, 5.0), (2, f64::NAN)]);
        assert_eq!(steps.len(), 2);
        assert_eq!((steps[1].cores, steps[1].ideal_mpps, steps[1].efficiency), (4, 40.0, 0.75));
    }

    proptest! {
        #[test]
        fn efficiency_and_imbalance_say_the_same(
            rates in prop::collection::vec(0.0..100.0f64, 1..64),
        ) {
            let cores: Vec<SutCore> =
                rates.iter().enumerate().map(|(i, rate)| core(i as u16, Some(*rate))).collect();
            if let Some(balance) = balance(&cores) {
                prop_assert!((0.0..=1.0).contains(&balance.efficiency));
                prop_assert!(((1.0 + balance.imbalance) * balance.efficiency - 1.0).abs() < 1e-9);
            }
        }
    }
}
