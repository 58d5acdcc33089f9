//! One event by the millisecond: planned and arrived rate, what happened when, and the outage.

use super::axis::{self, Axis};
use super::rate::{places, thinned};
use super::{
    BLUE, Canvas, Chart, Drawn, INK, Label, ORANGE, Plot, RED, Side, chart, draw, label, legend,
    shortened,
};
use crate::figure;
use crate::recovery::{Incident, Rate};
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

/// Least time shown after the event, in ms.
const AFTER_MS_MIN: f64 = 20.0;

/// Draws the rate around an event; `None` without windows.
pub fn plot(incident: &Incident) -> Option<Plot> {
    let (begin_ms, end_ms) = range(incident);
    let shown: Vec<Rate> = incident
        .rates
        .iter()
        .copied()
        .filter(|rate| rate.from_ms >= begin_ms && rate.from_ms < end_ms)
        .collect();
    let first = shown.first()?.from_ms;
    let last = shown.last()?.from_ms + 1.0;
    let highest =
        shown.iter().map(|rate| rate.planned_kpps.max(rate.arrived_kpps)).fold(0.0, f64::max);
    let rows = 2 + incident.marks.len().min(6);
    let height = 330 + 15 * rows as u32;
    draw("recovery", title(incident), height, |canvas| {
        let entries = [
            (ORANGE, 6, "planned"),
            (BLUE, 2, "arrived and verified (black-box)"),
            (RED, 1, "event"),
        ];
        legend(canvas, &entries)?;
        let mut chart = chart(
            canvas,
            Side {
                axis: Axis { range: first..last, ticks: ticks(first, last) },
                desc: "time from the event (ms)",
                format: &|x| signed(*x),
                room: 44,
                grid: false,
            },
            Side {
                // Room above the curves for the names of the events.
                axis: axis::linear(highest * (1.02 + 0.07 * rows as f64), 6),
                desc: "thousand probes per second",
                format: &|y| axis::tick(*y),
                room: 60,
                grid: true,
            },
        )?;
        outage(canvas, &mut chart, incident, last)?;
        events(canvas, &mut chart, incident)?;
        chart.draw_series(LineSeries::new(
            level(&shown, last, |rate| rate.planned_kpps),
            ORANGE.stroke_width(6),
        ))?;
        chart.draw_series(LineSeries::new(
            level(&shown, last, |rate| rate.arrived_kpps),
            BLUE.stroke_width(2),
        ))?;
        Ok(())
    })
}

/// What is shown: as long again as it took, and half of that before.
fn range(incident: &Incident) -> (f64, f64) {
    let marks = incident.marks.iter().map(|mark| mark.first_ms);
    let longest = marks.chain(incident.over_ms()).fold(0.0, f64::max);
    let after = (2.0 * longest).max(AFTER_MS_MIN);
    (-after / 2.0, after)
}

fn title(incident: &Incident) -> String {
    let known = |value: Option<f64>| value.filter(|value| value.is_finite());
    let ms = |value: f64| figure::significant(value, 3);
    let event = shortened(&incident.figures.event, 40);
    match (known(incident.figures.back_at_rate), known(incident.figures.blocked)) {
        (Some(back), Some(blocked)) => format!(
            "After “{event}” the rate was back within {} ms; the loss was that of {} ms",
            ms(back),
            ms(blocked)
        ),
        (Some(back), None) => format!("After “{event}” the rate was back within {} ms", ms(back)),
        (None, Some(blocked)) => {
            format!("After “{event}” as much was lost as passes in {} ms", ms(blocked))
        }
        (None, None) => format!("The rate after “{event}”"),
    }
}

/// The outage as a shaded stretch with its length.
fn outage<'a>(canvas: &Canvas<'a>, chart: &mut Chart<'a>, incident: &Incident, last: f64) -> Drawn {
    let Some(over_ms) = incident.over_ms().filter(|ms| *ms > 0.0) else { return Ok(()) };
    let top = chart.y_range().end;
    let corners = [(0.0, 0.0), (over_ms.min(last), top)];
    chart.draw_series([Rectangle::new(corners, RED.mix(0.12).filled())])?;
    let (x, y) = chart.backend_coord(&(over_ms.min(last), 0.0));
    let text = format!("{} ms", figure::significant(over_ms, 3));
    let how = Label { color: INK, horizontal: HPos::Left, px: 13.0 };
    label(canvas, &text, (x + 5, y - 12), how)
}

/// Lines and names of the event and of what followed.
fn events<'a>(canvas: &Canvas<'a>, chart: &mut Chart<'a>, incident: &Incident) -> Drawn {
    let top = chart.y_range().end;
    let mut marks = vec![(0.0, shortened(&incident.figures.event, 36))];
    let last = chart.x_range().end;
    marks.extend(incident.marks.iter().filter(|mark| mark.first_ms < last).map(|mark| {
        (mark.first_ms, format!("{} {} ms", mark.kind, figure::significant(mark.first_ms, 3)))
    }));
    let lines: Vec<i32> = marks.iter().map(|(ms, _)| chart.backend_coord(&(*ms, top)).0).collect();
    let (_, y) = chart.backend_coord(&(0.0, top));
    for ((ms, text), at) in marks.iter().zip(places(&lines)) {
        chart.draw_series(LineSeries::new([(*ms, 0.0), (*ms, top)], RED.stroke_width(1)))?;
        let how = Label { color: RED, horizontal: at.side, ..Label::default() };
        label(canvas, text, (at.x, y + 9 + 15 * at.row), how)?;
    }
    Ok(())
}

/// A level line over each window; of more windows than a reader can see the lowest and the highest
/// of each stretch, so that a dip of one millisecond stays as deep as it was.
fn level(windows: &[Rate], last: f64, rate: fn(&Rate) -> f64) -> Vec<(f64, f64)> {
    let ends = windows.iter().skip(1).map(|next| next.from_ms).chain([last]);
    let steps = windows
        .iter()
        .zip(ends)
        .flat_map(|(window, end)| [(window.from_ms, rate(window)), (end, rate(window))]);
    thinned(steps.collect())
}

/// Round ticks on both sides of 0.
fn ticks(first: f64, last: f64) -> Vec<f64> {
    let positive = axis::linear(last.max(-first), 8).ticks;
    let mut ticks: Vec<f64> = positive.iter().flat_map(|tick| [-tick, *tick]).collect();
    ticks.retain(|tick| *tick >= first && *tick <= last);
    ticks.sort_by(f64::total_cmp);
    ticks.dedup();
    ticks
}

fn signed(value: f64) -> String {
    let text = axis::tick(value.abs());
    if value < 0.0 { format!("−{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dip_of_a_millisecond_in_a_minute_stays_as_deep_as_it_was() {
        let arrived = |ms: u32| if ms == 31_234 { 0.0 } else { 64.0 };
        let window = |ms: u32| Rate {
            from_ms: f64::from(ms),
            planned_kpps: 64.0,
            arrived_kpps: arrived(ms),
        };
        let windows: Vec<Rate> = (0..60_000).map(window).collect();
        let line = level(&windows, 60_000.0, |rate| rate.arrived_kpps);
        assert!(line.len() < 8_000, "{} points", line.len());
        assert!(line.iter().any(|(ms, kpps)| *kpps == 0.0 && (*ms - 31_234.0).abs() <= 1.0));
    }
}
