//! Bars: packets the SUT dropped, by reason.

use super::axis::{self, Axis};
use super::{BLUE, HEAD, Label, Plot, Side, chart, draw, label, legend, shortened};
use crate::figure;
use format::summary::SutCore;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;
use std::collections::BTreeMap;

/// Reasons drawn; the rest is summed.
const REASONS_MAX: usize = 10;

/// Drops of all cores by reason, most frequent first, without reasons that never occurred.
pub fn reasons(cores: &[SutCore]) -> Vec<(String, u64)> {
    let mut sums = BTreeMap::<&str, u64>::new();
    for (reason, drops) in cores.iter().flat_map(|core| &core.drops) {
        let sum = sums.entry(reason).or_default();
        *sum = sum.saturating_add(*drops);
    }
    let mut sums: Vec<(String, u64)> =
        sums.into_iter().filter(|(_, drops)| *drops > 0).map(|(r, n)| (r.to_owned(), n)).collect();
    sums.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    sums
}

/// Draws the reasons; `None` if nothing was dropped.
pub fn plot(cores: &[SutCore]) -> Option<Plot> {
    let mut bars = reasons(cores);
    let total = bars.iter().fold(0u64, |sum, (_, drops)| sum.saturating_add(*drops));
    let (first, most) = bars.first()?.clone();
    let title = format!(
        "The SUT dropped {}, {} of them for “{}”",
        figure::plural(usize::try_from(total).unwrap_or(usize::MAX), "packet"),
        figure::percent_of(most, total),
        shortened(&first, 30)
    );
    if bars.len() > REASONS_MAX {
        let rest = bars.split_off(REASONS_MAX - 1);
        let sum = rest.iter().fold(0u64, |sum, (_, drops)| sum.saturating_add(*drops));
        bars.push((format!("{} other reasons", rest.len()), sum));
    }
    let height = HEAD as u32 + 44 + 26 * bars.len() as u32;
    draw("drops", title, height, |canvas| {
        legend(canvas, &[(BLUE, 8, "dropped by the SUT itself (white-box)")])?;
        let rows = bars.len() as f64;
        let mut chart = chart(
            canvas,
            Side {
                axis: axis::linear(most as f64 * 1.15, 6),
                desc: "packets",
                format: &|x| axis::tick(*x),
                room: 44,
                grid: true,
            },
            Side {
                axis: Axis { range: -0.5..rows - 0.5, ticks: Vec::new() },
                desc: "",
                format: &|_| String::new(),
                room: 170,
                grid: false,
            },
        )?;
        for (i, (reason, drops)) in bars.iter().enumerate() {
            let y = rows - 1.0 - i as f64;
            let bar = [(0.0, y - 0.34), (*drops as f64, y + 0.34)];
            chart.draw_series([Rectangle::new(bar, BLUE.filled())])?;
            let (x, _) = chart.backend_coord(&(*drops as f64, y));
            let (left, row) = chart.backend_coord(&(0.0, y));
            let name = Label { horizontal: HPos::Right, ..Label::default() };
            label(canvas, &shortened(reason, 24), (left - 8, row), name)?;
            label(canvas, &figure::count(*drops), (x + 6, row), Label::default())?;
        }
        Ok(())
    })
}
