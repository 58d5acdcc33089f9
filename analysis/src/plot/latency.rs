//! Latency against percentile: the axis counts nines, so that the tail gets the room.

use super::axis::{self, Axis};
use super::{BLUE, INK, Label, Plot, SOFT, Side, chart, draw, label, legend};
use crate::figure;
use crate::latency::Point;
use plotters::prelude::*;

/// More cores than this are not drawn one by one.
const CORES_MAX: usize = 16;

/// Percentiles that are marked and named.
const MARKED: [(f64, &str); 4] = [(0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %")];

/// Draws the curve of all cores and, thin, those of each core.
pub fn plot(all: &[Point], cores: &[Vec<Point>]) -> Option<Plot> {
    let drawn = |point: &Point| {
        point.nines.is_finite() && point.latency_us.is_finite() && point.latency_us > 0.0
    };
    let line = |points: &[Point]| -> Vec<(f64, f64)> {
        let shown = points.iter().filter(|point| drawn(point));
        shown.map(|point| (point.nines, point.latency_us.log10())).collect()
    };
    let all: Vec<(f64, f64)> = line(all);
    if all.is_empty() {
        return None;
    }
    let cores: Vec<Vec<(f64, f64)>> = if (2..=CORES_MAX).contains(&cores.len()) {
        cores.iter().map(|points| line(points)).collect()
    } else {
        Vec::new()
    };
    let every = || all.iter().chain(cores.iter().flatten());
    let low = every().map(|(_, y)| *y).fold(f64::INFINITY, f64::min);
    let high = every().map(|(_, y)| *y).fold(f64::NEG_INFINITY, f64::max);
    let end = every().map(|(x, _)| *x).fold(1.0, f64::max);
    draw("latency", title(&all), 360, |canvas| {
        let mut entries = vec![(BLUE, 2, "all cores, from the planned instant (black-box)")];
        if !cores.is_empty() {
            entries.push((SOFT, 1, "each generator core"));
        }
        legend(canvas, &entries)?;
        let mut x_ticks = vec![nines(0.5)];
        x_ticks.extend((1..=end.floor() as i32).map(f64::from));
        let mut chart = chart(
            canvas,
            Side {
                axis: Axis { range: 0.0..end * 1.02, ticks: x_ticks },
                desc: "share of packets that are at least as fast",
                format: &|x| percentile(*x),
                room: 44,
                grid: true,
            },
            Side {
                axis: axis::logarithmic(10f64.powf(low), 10f64.powf(high)),
                desc: "latency (µs)",
                format: &|y| axis::tick(10f64.powf(*y)),
                room: 60,
                grid: true,
            },
        )?;
        for core in &cores {
            chart.draw_series(LineSeries::new(core.clone(), SOFT.mix(0.6).stroke_width(1)))?;
        }
        if all.len() > 1 {
            chart.draw_series(LineSeries::new(all.clone(), BLUE.stroke_width(2)))?;
        }
        let marks =
            MARKED.iter().filter_map(|(p, name)| at(&all, nines(*p)).map(|y| (*p, y, name)));
        for (p, y, name) in marks {
            chart.draw_series([Circle::new((nines(p), y), 4, BLUE.filled())])?;
            let text = format!("{name}: {} µs", figure::significant(10f64.powf(y), 3));
            let (x, y) = chart.backend_coord(&(nines(p), y));
            let at = if x > 720 { (x - 96, y - 12) } else { (x + 8, y + 12) };
            label(canvas, &text, at, Label { color: INK, ..Label::default() })?;
        }
        if let [point] = all[..] {
            chart.draw_series([Circle::new(point, 4, BLUE.filled())])?;
        }
        Ok(())
    })
}

fn title(all: &[(f64, f64)]) -> String {
    let us = |p: f64| at(all, nines(p)).map(|y| figure::significant(10f64.powf(y), 3));
    match (us(0.5), us(0.999).map(|us| ("99.9 %", us)).or(us(0.99).map(|us| ("99 %", us)))) {
        (Some(half), Some((share, tail))) => {
            format!("Half of the packets take at most {half} µs, {share} at most {tail} µs")
        }
        (Some(half), None) => format!("Half of the packets take at most {half} µs"),
        _ => "Latency by percentile".to_owned(),
    }
}

fn nines(p: f64) -> f64 {
    -(1.0 - p).log10()
}

/// Percentile of a number of nines as text: `50 %`, `99.9 %`.
fn percentile(nines: f64) -> String {
    let decimals = (nines.floor() as usize).saturating_sub(2);
    format!("{:.decimals$} %", 100.0 * (1.0 - 10f64.powf(-nines)))
}

/// The curve at `x`, between its points; `None` outside of them.
fn at(line: &[(f64, f64)], x: f64) -> Option<f64> {
    const NEAR: f64 = 1e-6;
    if let Some((_, y)) = line.iter().find(|(at, _)| (at - x).abs() < NEAR) {
        return Some(*y);
    }
    let pair = line.windows(2).find(|pair| pair[0].0 <= x && x <= pair[1].0)?;
    let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
    Some(y0 + (y1 - y0) * (x - x0) / (x1 - x0))
}
