//! What cores hold over time: connections, and changes that are not in a copy yet.
//!
//! Values of an instant are summed over the cores of a side; rows of one instant are those between two
//! rows of the same core, as in [`rate`](super::rate). Of more instants than a reader can see the
//! lowest and the highest of each stretch are drawn.

use super::axis::{self, Axis};
use super::rate::{Round, thinned};
use super::{BLUE, ORANGE, Plot, SOFT, Side, chart, draw, legend};
use crate::figure;
use format::sample::{Role, Sample};
use plotters::prelude::*;

/// Seconds and a sum over the cores.
type Line = Vec<(f64, f64)>;

/// Sums of `value` over the cores of a side, by time.
fn line(samples: &[Sample], role: Role, value: fn(&Sample) -> Option<u64>) -> Line {
    let mut rows: Vec<(&Sample, u64)> = samples
        .iter()
        .filter(|sample| sample.role == role && sample.t_s.is_finite())
        .filter_map(|sample| Some((sample, value(sample)?)))
        .collect();
    rows.sort_by(|a, b| a.0.t_s.total_cmp(&b.0.t_s));
    let (mut line, mut round) = (Line::new(), Round::default());
    for (row, value) in rows {
        if round.begins_with(row) {
            line.push((row.t_s, 0.0));
        }
        if let Some(last) = line.last_mut() {
            *last = (row.t_s, last.1 + value as f64);
        }
    }
    line
}

fn most(line: &Line) -> f64 {
    line.iter().map(|(_, value)| *value).fold(0.0, f64::max)
}

/// Connections over time, as the generator established them and as the SUT counts them.
pub fn connections(samples: &[Sample]) -> Option<Plot> {
    let established = line(samples, Role::Gen, |sample| sample.connections);
    let tracked = line(samples, Role::Sut, |sample| sample.connections);
    let highest = most(&established).max(most(&tracked));
    if highest <= 0.0 {
        return None;
    }
    let title = format!("At most {} connections at once", figure::count(highest as u64));
    let curves = vec![
        (tracked, ORANGE, 6, "tracked by the SUT (white-box)"),
        (established, BLUE, 2, "established (black-box)"),
    ];
    lines("connections", title, "connections", highest, curves)
}

/// Changes that no copy is known to have yet, over time; `None` where nothing is replicated.
pub fn backlog(samples: &[Sample]) -> Option<Plot> {
    let all = line(samples, Role::Sut, |sample| sample.backlog);
    if all.len() < 2 {
        return None;
    }
    let title = match most(&all) {
        0.0 => "Whenever it was sampled, every change was in its copy".to_owned(),
        most => format!("At most {} changes were not in their copies", figure::count(most as u64)),
    };
    let highest = most(&all).max(1.0);
    let curves = vec![(all, BLUE, 2, "changes not known to be in a copy, all cores (white-box)")];
    lines("replication", title, "changes", highest, curves)
}

fn lines(
    name: &'static str,
    title: String,
    unit: &str,
    highest: f64,
    curves: Vec<(Line, RGBColor, u32, &str)>,
) -> Option<Plot> {
    let end_s = curves.iter().filter_map(|(line, ..)| line.last()).map(|at| at.0);
    let end_s = end_s.fold(0.0, f64::max);
    if end_s <= 0.0 {
        return None;
    }
    draw(name, title, 300, |canvas| {
        let there: Vec<_> = curves.into_iter().filter(|(line, ..)| !line.is_empty()).collect();
        let entries: Vec<_> =
            there.iter().map(|(_, color, width, text)| (*color, *width, *text)).collect();
        legend(canvas, &entries)?;
        let mut ticks = axis::linear(end_s, 10).ticks;
        ticks.retain(|tick| *tick <= end_s * 1.001);
        let mut chart = chart(
            canvas,
            Side {
                axis: Axis { range: 0.0..end_s, ticks },
                desc: "time (s)",
                format: &|x| axis::tick(*x),
                room: 44,
                grid: false,
            },
            Side {
                axis: axis::linear(highest * 1.05, 5),
                desc: unit,
                format: &|y| axis::tick(*y),
                room: 96,
                grid: true,
            },
        )?;
        for (line, color, width, _) in there {
            let points = thinned(line);
            match points[..] {
                [point] => {
                    chart.draw_series([Circle::new(point, 4, color.filled())])?;
                }
                _ => {
                    chart.draw_series(LineSeries::new(points, color.stroke_width(width)))?;
                }
            }
        }
        let zero = [(0.0, 0.0), (end_s, 0.0)];
        chart.draw_series(LineSeries::new(zero, SOFT.stroke_width(1)))?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(t_s: f64, core: u16, connections: u64, backlog: Option<u64>) -> Sample {
        Sample {
            t_s,
            phase: "fill".to_owned(),
            role: Role::Sut,
            server: 0,
            core,
            offered_pps: 0.0,
            forwarded_pps: 0.0,
            lost: None,
            busy_share: None,
            connections: Some(connections),
            latency_p50_us: None,
            latency_p99_us: None,
            drops: None,
            backlog,
        }
    }

    #[test]
    fn cores_that_publish_a_little_apart_are_summed() {
        let samples = [
            row(0.1, 0, 10, None),
            row(0.11, 1, 20, None),
            row(0.2, 0, 30, None),
            row(0.21, 1, 40, None),
        ];
        let sums = line(&samples, Role::Sut, |sample| sample.connections);
        assert_eq!(sums, [(0.11, 30.0), (0.21, 70.0)]);
        let plot = connections(&samples).expect("a plot");
        assert_eq!(plot.title, "At most 70 connections at once");
        assert_eq!(backlog(&samples), None, "nothing is replicated");
    }

    #[test]
    fn a_backlog_of_nothing_is_said_in_words() {
        let samples = [row(0.1, 0, 1, Some(0)), row(0.2, 0, 1, Some(0)), row(0.3, 0, 1, Some(0))];
        let plot = backlog(&samples).expect("a plot");
        assert!(plot.title.contains("every change was in its copy"), "{}", plot.title);
        assert_eq!(connections(&[]), None);
    }
}
