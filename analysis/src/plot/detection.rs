//! Time without service against the time in which the router detects a silent core, over several runs.

use super::axis;
use super::{BLUE, ORANGE, Plot, RED, Side, chart, draw, legend};
use crate::figure;
use plotters::prelude::*;

/// One event of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Detected {
    /// Longest detection that the run's setting allows: interval × multiplier, in ms.
    pub setting_ms: f64,
    /// Median time without service, in ms.
    pub median_ms: f64,
    /// Longest, in ms.
    pub longest_ms: f64,
}

/// Draws the events; `None` unless the runs have at least two settings.
pub fn plot(events: &[Detected]) -> Option<Plot> {
    let settings = || events.iter().map(|event| event.setting_ms);
    let (low, high) = (settings().fold(f64::INFINITY, f64::min), settings().fold(0.0, f64::max));
    if high <= low {
        return None;
    }
    let worst = events
        .iter()
        .max_by(|a, b| (a.longest_ms - a.setting_ms).total_cmp(&(b.longest_ms - b.setting_ms)))?;
    let title = format!(
        "The longest outage was at most {} ms longer than its detection time",
        figure::significant((worst.longest_ms - worst.setting_ms).max(0.0), 3)
    );
    let highest = events.iter().map(|event| event.longest_ms).fold(high, f64::max);
    draw("detection", title, 340, |canvas| {
        legend(
            canvas,
            &[
                (ORANGE, 8, "longest outage (black-box)"),
                (BLUE, 8, "median outage"),
                (RED, 2, "detection time: interval × multiplier"),
            ],
        )?;
        let mut chart = chart(
            canvas,
            Side {
                axis: axis::linear(high * 1.1, 8),
                desc: "detection time of BFD, at most (ms)",
                format: &|x| axis::tick(*x),
                room: 44,
                grid: false,
            },
            Side {
                axis: axis::linear(highest * 1.1, 6),
                desc: "time without service (ms)",
                format: &|y| axis::tick(*y),
                room: 60,
                grid: true,
            },
        )?;
        let line = [(0.0, 0.0), (high, high)];
        chart.draw_series(DashedLineSeries::new(line, 8, 5, RED.stroke_width(2)))?;
        // The larger ones underneath, so that both show where they agree.
        let points = |of: fn(&Detected) -> f64, color: RGBColor, radius: i32| {
            let point = move |event: &Detected| (event.setting_ms, of(event));
            events.iter().map(move |event| Circle::new(point(event), radius, color.filled()))
        };
        chart.draw_series(points(|event| event.longest_ms, ORANGE, 7))?;
        chart.draw_series(points(|event| event.median_ms, BLUE, 4))?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_setting_alone_shows_no_dependence() {
        let event = |setting_ms, longest_ms| Detected { setting_ms, median_ms: 8.0, longest_ms };
        assert_eq!(plot(&[event(9.9, 11.0), event(9.9, 12.0)]), None);
        let plot = plot(&[event(9.9, 11.0), event(30.0, 34.5)]).expect("two settings");
        assert!(plot.title.contains("at most 4.50 ms longer"), "{}", plot.title);
    }
}
