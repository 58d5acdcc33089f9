//! Rate over cores: what was measured, the ideal line, and the fitted law.

use super::axis;
use super::{BLUE, ORANGE, Plot, RED, SOFT, Side, chart, draw, legend};
use crate::figure;
use crate::scaling::Curve;
use plotters::prelude::*;

/// Pieces of which the curve of the law is drawn.
const PIECES: usize = 120;

/// Draws the scale-up of a series of runs.
pub fn plot(curve: &Curve) -> Option<Plot> {
    let (first, last) = (curve.steps.first()?, curve.steps.last()?);
    let title = format!(
        "{} forward {} Mpps, {} of the ideal",
        figure::plural(last.cores, "core"),
        figure::significant(last.mpps, 3),
        figure::percent(last.efficiency)
    );
    draw("scale", title, 340, |canvas| {
        let mut entries = vec![
            (BLUE, 8, "forwarded (black-box)"),
            (RED, 2, "ideal: the rate per core of the smallest run"),
        ];
        if curve.usl.is_some() {
            entries.push((ORANGE, 2, "Universal Scalability Law"));
        }
        if !curve.bounds.is_empty() {
            entries.push((SOFT, 8, "lower bound"));
        }
        legend(canvas, &entries)?;
        let cores =
            curve.steps.iter().map(|step| step.cores).chain(curve.bounds.iter().map(|b| b.0));
        let most = cores.max().unwrap_or(last.cores) as f64;
        let per_core = first.ideal_mpps / first.cores as f64;
        let mut chart = chart(
            canvas,
            Side {
                axis: axis::linear(most * 1.05, 8),
                desc: "cores of the SUT",
                format: &|x| axis::tick(*x),
                room: 44,
                grid: false,
            },
            Side {
                axis: axis::linear(per_core * most * 1.05, 6),
                desc: "rate (Mpps)",
                format: &|y| axis::tick(*y),
                room: 60,
                grid: true,
            },
        )?;
        let ideal = [(0.0, 0.0), (most, per_core * most)];
        chart.draw_series(DashedLineSeries::new(ideal, 8, 5, RED.stroke_width(2)))?;
        if let Some(usl) = curve.usl {
            let law = (1..=PIECES).map(|i| {
                let n = most * i as f64 / PIECES as f64;
                (n, usl.mpps(n))
            });
            // Below one core the law has no meaning.
            let law = law.filter(|(n, _)| *n >= 1.0);
            chart.draw_series(LineSeries::new(law, ORANGE.stroke_width(2)))?;
        }
        let point =
            |n: usize, mpps: f64, color: RGBColor| Circle::new((n as f64, mpps), 5, color.filled());
        chart.draw_series(curve.bounds.iter().map(|(n, mpps)| point(*n, *mpps, SOFT)))?;
        chart.draw_series(curve.steps.iter().map(|step| point(step.cores, step.mpps, BLUE)))?;
        Ok(())
    })
}
