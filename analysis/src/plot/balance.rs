//! Bars in pairs: what each core of the SUT sent on before an event and after it was over.

use super::axis::{self, Axis};
use super::{BLUE, ORANGE, Plot, Side, chart, draw, legend};
use crate::figure;
use crate::recovery::Load;
use plotters::prelude::*;

/// More cores than this are not named one by one.
const NAMED_MAX: usize = 16;

/// Draws the cores; `None` if no core has a rate on both sides of the event.
pub fn plot(event: &str, loads: &[Load]) -> Option<Plot> {
    let both = |load: &&Load| load.before_mpps.is_some() && load.after_mpps.is_some();
    let count = loads.len();
    let highest = loads
        .iter()
        .flat_map(|load| [load.before_mpps, load.after_mpps])
        .flatten()
        .fold(0.0, f64::max);
    if loads.iter().filter(both).count() == 0 || highest <= 0.0 {
        return None;
    }
    let busiest = |of: fn(&Load) -> Option<f64>| {
        figure::significant(loads.iter().filter_map(of).fold(0.0, f64::max), 3)
    };
    let title = format!(
        "“{}”: the busiest of {} sent {} Mpps before and {} Mpps after",
        super::shortened(event, 36),
        figure::plural(count, "core"),
        busiest(|load| load.before_mpps),
        busiest(|load| load.after_mpps)
    );
    draw("balance", title, 300, |canvas| {
        legend(canvas, &[(ORANGE, 8, "before (white-box)"), (BLUE, 8, "after it was over")])?;
        let every = count.div_ceil(NAMED_MAX);
        let named = (0..count).step_by(every).map(|i| i as f64).collect();
        let name = |x: &f64| {
            let load = loads.get(x.round() as usize);
            load.map_or_else(String::new, |load| format!("{}.{}", load.server, load.core))
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
                axis: axis::linear(highest * 1.02, 5),
                desc: "rate (Mpps)",
                format: &|y| axis::tick(*y),
                room: 70,
                grid: true,
            },
        )?;
        let half = if count < 4 { 0.1 * count as f64 } else { 0.36 };
        let bars = loads.iter().enumerate().flat_map(|(i, load)| {
            let x = i as f64;
            [
                (x - half, x - 0.02, load.before_mpps, ORANGE),
                (x + 0.02, x + half, load.after_mpps, BLUE),
            ]
        });
        chart.draw_series(bars.filter_map(|(from, to, mpps, color)| {
            Some(Rectangle::new([(from, 0.0), (to, mpps?)], color.filled()))
        }))?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_without_samples_is_left_out_and_none_at_all_is_no_plot() {
        let load =
            |core, before_mpps, after_mpps| Load { server: 0, core, before_mpps, after_mpps };
        let loads = [load(0, Some(0.02), Some(0.03)), load(1, Some(0.02), None)];
        let plot = plot("kill sut.server[1]", &loads).expect("a plot");
        assert!(
            plot.title.contains("2 cores sent 0.0200 Mpps before and 0.0300"),
            "{}",
            plot.title
        );
        assert_eq!(super::plot("kill", &[load(0, None, Some(1.0))]), None);
        assert_eq!(super::plot("kill", &[]), None);
    }
}
