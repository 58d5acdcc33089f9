//! Scale-up over runs that differ in their number of cores.

use super::figures::sut_cores;
use crate::figure;
use crate::grid::{Grid, Lean};
use crate::load::Run;
use crate::scaling::{self, Curve};

/// The curve of runs that may be compared; `None` where their cores do not differ.
pub(crate) fn curve<'a>(runs: impl Iterator<Item = &'a Run>) -> Option<Curve> {
    let points: Vec<(usize, f64, bool)> = runs
        .filter_map(|run| {
            let rates = &run.summary.throughput;
            Some((sut_cores(run)? as usize, rates.forwarded_mpps?, rates.at_least))
        })
        .collect();
    scaling::curve(&points)
}

/// A line for each run.
pub(crate) fn grid(curve: &Curve) -> Grid {
    let mut grid = Grid::new(&[
        ("cores", Lean::Right),
        ("Mpps", Lean::Right),
        ("ideal", Lean::Right),
        ("efficiency", Lean::Right),
        ("USL", Lean::Right),
    ]);
    let number = |value: f64| figure::significant(value, 4);
    for step in &curve.steps {
        let law = curve.usl.map(|usl| number(usl.mpps(step.cores as f64)));
        grid.push([
            step.cores.to_string(),
            number(step.mpps),
            number(step.ideal_mpps),
            figure::percent(step.efficiency),
            law.unwrap_or_default(),
        ]);
    }
    for (cores, mpps) in &curve.bounds {
        grid.push([cores.to_string(), format!("at least {}", number(*mpps))]);
    }
    grid
}

/// What the fit says, or why there is none.
pub(crate) fn sentences(curve: &Curve) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(usl) = curve.usl {
        let number = |value: f64| figure::significant(value, 3);
        lines.push(format!(
            "Universal Scalability Law: λ = {} Mpps, contention σ = {}, coherency κ = {}, \
             R² = {:.4}",
            number(usl.lambda_mpps),
            number(usl.sigma),
            number(usl.kappa),
            usl.r_squared
        ));
        let measured = usl.measured_cores;
        lines.push(match usl.peak_cores() {
            Some(peak) if peak <= measured => {
                format!("more than {} cores are slower", number(peak.floor()))
            }
            Some(peak) => format!(
                "the law has its peak at {} cores, which is a guess: {} were measured",
                number(peak.floor()),
                number(measured)
            ),
            None => format!("no peak up to the {} cores measured", number(measured)),
        });
    }
    if let Some(why) = &curve.no_fit {
        lines.push(format!("no law fitted: {why}"));
    }
    if !curve.bounds.is_empty() {
        lines.push("lower bounds are neither ideal nor fitted".to_owned());
    }
    lines
}
