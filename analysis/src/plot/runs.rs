//! Bars: the rate per SUT core of each of several runs, with its interval.

use super::axis::{self, Axis};
use super::{
    BLUE, HEAD, INK, Label, ORANGE, Plot, RED, Side, chart, draw, label, legend, shortened,
};
use crate::figure;
use format::summary::Estimate;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

/// Runs drawn at most.
const RUNS_MAX: usize = 40;

/// One run.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// Its name.
    pub name: String,
    /// Mpps per core.
    pub mpps: Estimate,
    /// Whether it is a lower bound.
    pub at_least: bool,
}

/// Draws the runs in their order; `None` of fewer than two, or none with a rate.
pub fn plot(bars: &[Bar]) -> Option<Plot> {
    let shown = &bars[..bars.len().min(RUNS_MAX)];
    let end = |bar: &Bar| bar.mpps.high.unwrap_or(bar.mpps.value).max(bar.mpps.value);
    let highest = shown.iter().map(end).filter(|value| value.is_finite()).fold(0.0, f64::max);
    if shown.len() < 2 || highest <= 0.0 {
        return None;
    }
    let values = || shown.iter().map(|bar| bar.mpps.value);
    let title = format!(
        "{}: {} to {} Mpps per core",
        figure::plural(shown.len(), "run"),
        figure::significant(values().fold(f64::INFINITY, f64::min), 3),
        figure::significant(values().fold(0.0, f64::max), 3)
    );
    let height = HEAD as u32 + 48 + 28 * shown.len() as u32;
    draw("runs", title, height, |canvas| {
        let entries = [
            (BLUE, 8, "forwarded per core (black-box)"),
            (ORANGE, 8, "lower bound"),
            (RED, 2, "interval"),
        ];
        legend(canvas, &entries)?;
        let rows = shown.len() as f64;
        let mut chart = chart(
            canvas,
            Side {
                axis: axis::linear(highest * 1.2, 6),
                desc: "rate per SUT core (Mpps)",
                format: &|x| axis::tick(*x),
                room: 44,
                grid: true,
            },
            Side {
                axis: Axis { range: -0.5..rows - 0.5, ticks: Vec::new() },
                desc: "",
                format: &|_| String::new(),
                room: 220,
                grid: false,
            },
        )?;
        for (i, bar) in shown.iter().enumerate() {
            let y = rows - 1.0 - i as f64;
            let Estimate { value, low, high, .. } = bar.mpps;
            let color = if bar.at_least { ORANGE } else { BLUE };
            chart.draw_series([Rectangle::new(
                [(0.0, y - 0.32), (value, y + 0.32)],
                color.filled(),
            )])?;
            if let Some((low, high)) = low.zip(high) {
                let ends = [(low, y - 0.2), (low, y + 0.2), (low, y), (high, y), (high, y + 0.2)];
                let whisker = ends.into_iter().chain([(high, y - 0.2)]);
                chart.draw_series(LineSeries::new(whisker, RED.stroke_width(2)))?;
            }
            let (left, row) = chart.backend_coord(&(0.0, y));
            let name = Label { horizontal: HPos::Right, ..Label::default() };
            label(canvas, &shortened(&bar.name, 32), (left - 8, row), name)?;
            let (x, _) = chart.backend_coord(&(end(bar), y));
            let least = if bar.at_least { "≥ " } else { "" };
            let text = format!("{least}{}", figure::significant(value, 3));
            label(canvas, &text, (x + 8, row), Label { color: INK, ..Label::default() })?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_alone_is_not_compared() {
        let bar = |value, at_least| Bar {
            name: "run".to_owned(),
            mpps: Estimate { value, low: Some(value * 0.9), high: None, confidence: None },
            at_least,
        };
        assert_eq!(plot(&[bar(5.0, false)]), None);
        let drawn = plot(&[bar(5.0, false), bar(6.0, true)]).expect("two runs");
        assert_eq!(drawn.title, "2 runs: 5.00 to 6.00 Mpps per core");
        assert!(drawn.document().contains("≥ 6.00"));
        assert_eq!(plot(&[bar(0.0, false), bar(0.0, false)]), None);
    }
}
