//! Bars: the rate of each SUT core with the spread of its sampling windows, and the ideal line (the
//! best core's rate, see [`scaling`](crate::scaling)).

use super::axis::{self, Axis};
use super::{
    BLUE, Chart, Drawn, GROUND, INK, Label, ORANGE, Plot, RED, Side, chart, draw, label, legend,
};
use crate::figure;
use crate::scaling::Balance;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;
use std::collections::BTreeMap;

/// More bars than this have no figure of their own above them.
const FIGURES_MAX: usize = 16;

/// Between which rates most windows of a core lie, in Mpps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// What 5 % of them do not exceed.
    pub low: f64,
    /// What 95 % of them do not exceed.
    pub high: f64,
}

/// Draws the cores of a run, with the spread of those that have one.
pub fn plot(balance: &Balance, spreads: &BTreeMap<(u16, u16), Spread>) -> Option<Plot> {
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
        let mut entries =
            vec![(BLUE, 8, "forwarded by the core (white-box)"), (RED, 2, &ideal[..])];
        if !spreads.is_empty() {
            entries.push((ORANGE, 2, "5 % to 95 % of its windows"));
        }
        legend(canvas, &entries)?;
        let highest = spreads.values().map(|spread| spread.high).fold(balance.ideal_mpps, f64::max);
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
                axis: axis::linear(highest * 1.02, 6),
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
        whiskers(&mut chart, balance, spreads)?;
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

/// A line from the low to the high end of each core's spread, beside the middle of its bar, where the
/// figure stands.
fn whiskers(
    chart: &mut Chart<'_>,
    balance: &Balance,
    spreads: &BTreeMap<(u16, u16), Spread>,
) -> Drawn {
    for (i, core) in balance.cores.iter().enumerate() {
        let Some(Spread { low, high }) = spreads.get(&(core.server, core.core)) else { continue };
        let x = i as f64 + if balance.cores.len() < 4 { 0.06 } else { 0.24 };
        let ends = [(x - 0.03, *low), (x + 0.03, *low), (x, *low), (x, *high), (x - 0.03, *high)];
        let line = ends.into_iter().chain([(x + 0.03, *high)]);
        chart.draw_series(LineSeries::new(line, ORANGE.stroke_width(2)))?;
    }
    Ok(())
}
