//! Bars: the rate of each SUT core, with the ideal line (the best core's rate, see
//! [`scaling`](crate::scaling)).

use super::axis::{self, Axis};
use super::{BLUE, GROUND, INK, Label, Plot, RED, Side, chart, draw, label, legend};
use crate::figure;
use crate::scaling::Balance;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

/// More bars than this have no figure of their own above them.
const FIGURES_MAX: usize = 16;

/// Draws the cores of a run.
pub fn plot(balance: &Balance) -> Option<Plot> {
    let count = balance.cores.len();
    let total = figure::significant(balance.total_mpps, 3);
    let title = match &balance.cores[..] {
        [] => return None,
        [core] => format!("Core {}.{} forwards {total} Mpps", core.server, core.core),
        _ => format!(
            "{} forward {total} Mpps, {} of {count} times the best core's rate",
            figure::plural(count, "core"),
            figure::percent(balance.efficiency)
        ),
    };
    draw("cores", title, 340, |canvas| {
        let ideal =
            format!("ideal: {} Mpps on each core", figure::significant(balance.ideal_mpps, 3));
        legend(canvas, &[(BLUE, 8, "forwarded by the core (white-box)"), (RED, 2, &ideal)])?;
        let every = count.div_ceil(FIGURES_MAX);
        let named = (0..count).step_by(every).map(|i| i as f64).collect();
        let name = |x: &f64| {
            let core = balance.cores.get(x.round() as usize);
            core.map_or_else(String::new, |core| format!("{}.{}", core.server, core.core))
        };
        let mut chart = chart(
            canvas,
            Side {
                axis: Axis { range: -0.6..count as f64 - 0.4, ticks: named },
                desc: "SUT core (server.core)",
                format: &name,
                room: 44,
                grid: false,
            },
            Side {
                axis: axis::linear(balance.ideal_mpps * 1.02, 6),
                desc: "rate (Mpps)",
                format: &|y| axis::tick(*y),
                room: 60,
                grid: true,
            },
        )?;
        // A lone bar as wide as the plot would look like a background.
        let half = if count < 4 { 0.1 * count as f64 } else { 0.36 };
        chart.draw_series(balance.cores.iter().enumerate().map(|(i, core)| {
            let x = i as f64;
            Rectangle::new([(x - half, 0.0), (x + half, core.mpps)], BLUE.filled())
        }))?;
        let ends = [(-0.6, balance.ideal_mpps), (count as f64 - 0.4, balance.ideal_mpps)];
        chart.draw_series(DashedLineSeries::new(ends, 8, 5, RED.stroke_width(2)))?;
        if count <= FIGURES_MAX {
            for (i, core) in balance.cores.iter().enumerate() {
                let (x, y) = chart.backend_coord(&(i as f64, core.mpps));
                // In the bar where there is room, clear of the ideal line.
                let (_, bottom) = chart.backend_coord(&(i as f64, 0.0));
                let inside = bottom - y > 30;
                let (color, y) = if inside { (GROUND, y + 14) } else { (INK, y - 9) };
                let how = Label { color, horizontal: HPos::Center, ..Label::default() };
                label(canvas, &figure::significant(core.mpps, 3), (x, y), how)?;
            }
        }
        Ok(())
    })
}
