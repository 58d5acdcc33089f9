//! Offered and forwarded rate over time, with phases and events.
//!
//! Rates are those the generator saw (black-box), summed over its cores; without samples of the
//! generator, those of the SUT. Rows of one instant are those between two rows of the same core, so
//! cores that publish a little apart still belong together.

use super::axis::{self, Axis};
use super::{
    BLUE, Canvas, Chart, Drawn, Label, ORANGE, Plot, RED, SOFT, Side, WIDTH, chart, draw, label,
    legend, shortened,
};
use crate::{figure, stats};
use format::sample::{Event, EventKind, Role, Sample};
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;
use std::collections::BTreeSet;

/// Events beyond this are marked but not named.
const NAMED_MAX: usize = 12;

/// Stretches of time that a curve tells apart: two for each unit of its width.
const COLUMNS: usize = 2 * WIDTH as usize;

/// Rates of all cores at one instant.
#[derive(Clone, Debug, PartialEq)]
pub struct Instant {
    /// End of the interval in seconds.
    pub t_s: f64,
    /// Phase.
    pub phase: String,
    /// Million packets per second offered.
    pub offered_mpps: f64,
    /// Million packets per second forwarded.
    pub forwarded_mpps: f64,
}

/// The curve with its marks.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Whose samples these are.
    pub role: Role,
    /// Sums over the cores, by time.
    pub instants: Vec<Instant>,
    /// Begin of each phase: seconds and name.
    pub phases: Vec<(f64, String)>,
    /// Other events: seconds and what happened.
    pub events: Vec<(f64, String)>,
}

/// Rows of one instant: at most one of each core.
#[derive(Default)]
pub(super) struct Round(Vec<(u16, u16)>);

impl Round {
    /// Whether `row` is the first of an instant. Called with every row, in the order of time.
    pub(super) fn begins_with(&mut self, row: &Sample) -> bool {
        let core = (row.server, row.core);
        let begins = self.0.is_empty() || self.0.contains(&core);
        if begins {
            self.0.clear();
        }
        self.0.push(core);
        begins
    }
}

/// Sums samples by instant. `None` if there are none with finite numbers.
pub fn series(samples: &[Sample], events: &[Event]) -> Option<Series> {
    let usable = |sample: &&Sample| {
        [sample.t_s, sample.offered_pps, sample.forwarded_pps].iter().all(|v| v.is_finite())
    };
    let has_gen = samples.iter().any(|sample| sample.role == Role::Gen);
    let role = if has_gen { Role::Gen } else { Role::Sut };
    let mut rows: Vec<&Sample> =
        samples.iter().filter(|sample| sample.role == role).filter(usable).collect();
    rows.sort_by(|a, b| a.t_s.total_cmp(&b.t_s));
    let mut instants: Vec<Instant> = Vec::new();
    let mut round = Round::default();
    for row in rows {
        if round.begins_with(row) {
            let (t_s, phase) = (row.t_s, row.phase.clone());
            instants.push(Instant { t_s, phase, offered_mpps: 0.0, forwarded_mpps: 0.0 });
        }
        if let Some(instant) = instants.last_mut() {
            instant.t_s = row.t_s;
            instant.offered_mpps += row.offered_pps / 1e6;
            instant.forwarded_mpps += row.forwarded_pps / 1e6;
        }
    }
    if instants.is_empty() {
        return None;
    }
    let (phases, events) = events
        .iter()
        .filter(|event| event.t_s.is_finite())
        .partition::<Vec<&Event>, _>(|event| event.kind == EventKind::Phase);
    let words = |events: Vec<&Event>| {
        let mut marks: Vec<_> = events.iter().map(|e| (e.t_s, e.what.clone())).collect();
        marks.sort_by(|a, b| a.0.total_cmp(&b.0));
        marks
    };
    let mut series = Series { role, instants, phases: words(phases), events: words(events) };
    if series.phases.is_empty() {
        series.phases = phases_of(&series.instants);
    }
    Some(series)
}

/// Where the name of the phase changes.
fn phases_of(instants: &[Instant]) -> Vec<(f64, String)> {
    let mut phases: Vec<(f64, String)> = Vec::new();
    for (i, instant) in instants.iter().enumerate() {
        if phases.last().is_none_or(|(_, name)| *name != instant.phase) {
            let begin_s = if i == 0 { 0.0 } else { instants[i - 1].t_s };
            phases.push((begin_s, instant.phase.clone()));
        }
    }
    phases
}

/// What is seen: range and median of the phase that forwards most.
fn title(series: &Series) -> String {
    let names: BTreeSet<&str> = series.instants.iter().map(|i| i.phase.as_str()).collect();
    let of = |name: &str| -> Vec<f64> {
        let phase = series.instants.iter().filter(|instant| instant.phase == name);
        phase.map(|instant| instant.forwarded_mpps).collect()
    };
    let ranges = names.into_iter().filter_map(|name| {
        let [lowest, median, highest] = stats::quantiles(&of(name), [0.0, 0.5, 1.0])?;
        Some((name, lowest, median, highest))
    });
    let best = ranges.max_by(|a, b| a.2.total_cmp(&b.2));
    let Some((name, lowest, median, highest)) = best else { return "Rate over time".to_owned() };
    format!(
        "Phase “{}”: {} to {} Mpps forwarded, median {}",
        shortened(name, 30),
        figure::significant(lowest, 3),
        figure::significant(highest, 3),
        figure::significant(median, 3)
    )
}

/// Draws the curve.
pub fn plot(series: &Series) -> Option<Plot> {
    let last = series.instants.iter().map(|instant| instant.t_s).fold(0.0, f64::max);
    let marked = series.phases.iter().chain(&series.events).map(|(t, _)| *t);
    let end_s = marked.fold(last, f64::max);
    let highest = series
        .instants
        .iter()
        .map(|instant| instant.offered_mpps.max(instant.forwarded_mpps))
        .fold(0.0, f64::max);
    draw("rate", title(series), 360, |canvas| {
        let source = match series.role {
            Role::Gen => "forwarded and verified (black-box)",
            Role::Sut => "forwarded (white-box)",
        };
        legend(canvas, &[(ORANGE, 6, "offered"), (BLUE, 2, source), (RED, 1, "event")])?;
        // Room above the curve for the names of phases and events.
        let rows = 1 + series.events.len().min(4);
        let rates = axis::linear(highest * (1.02 + 0.08 * rows as f64), 6);
        let mut x_ticks = axis::linear(end_s, 10).ticks;
        x_ticks.retain(|tick| *tick <= end_s * 1.001);
        let end_s = if end_s > 0.0 { end_s } else { 1.0 };
        let mut chart = chart(
            canvas,
            Side {
                axis: Axis { range: 0.0..end_s, ticks: x_ticks },
                desc: "time (s)",
                format: &|x| axis::tick(*x),
                room: 44,
                grid: false,
            },
            Side {
                axis: rates,
                desc: "rate, both directions (Mpps)",
                format: &|y| axis::tick(*y),
                room: 60,
                grid: true,
            },
        )?;
        marks(canvas, &mut chart, series)?;
        // The offered curve is the wider one underneath, so that both show where they agree.
        let curves = [
            (curve(&series.instants, |i| i.offered_mpps), ORANGE.stroke_width(6), 5),
            (curve(&series.instants, |i| i.forwarded_mpps), BLUE.stroke_width(2), 3),
        ];
        for (points, stroke, radius) in curves {
            if let [point] = points[..] {
                chart.draw_series([Circle::new(point, radius, stroke.filled())])?;
            } else {
                chart.draw_series(LineSeries::new(points, stroke))?;
            }
        }
        Ok(())
    })
}

/// Lines and names of phases and events.
fn marks<'a>(canvas: &Canvas<'a>, chart: &mut Chart<'a>, series: &Series) -> Drawn {
    let top = chart.y_range().end;
    for (t_s, name) in &series.phases {
        let line = [(*t_s, 0.0), (*t_s, top)];
        chart.draw_series(DashedLineSeries::new(line, 2, 3, SOFT.stroke_width(1)))?;
        let (x, y) = chart.backend_coord(&(*t_s, top));
        let how = Label { color: SOFT, ..Label::default() };
        label(canvas, &shortened(name, 32), (x + 4, y + 8), how)?;
    }
    let lines: Vec<i32> =
        series.events.iter().map(|(t_s, _)| chart.backend_coord(&(*t_s, top)).0).collect();
    let (_, y) = chart.backend_coord(&(0.0, top));
    for (i, ((t_s, what), at)) in series.events.iter().zip(places(&lines)).enumerate() {
        let line = [(*t_s, 0.0), (*t_s, top)];
        chart.draw_series(LineSeries::new(line, RED.stroke_width(1)))?;
        if i < NAMED_MAX {
            let how = Label { color: RED, horizontal: at.side, ..Label::default() };
            label(canvas, &shortened(what, 32), (at.x, y + 24 + 15 * at.row), how)?;
        }
    }
    Ok(())
}

/// The steps of a rate, thinned where there are more than a reader can see.
fn curve(instants: &[Instant], rate: fn(&Instant) -> f64) -> Vec<(f64, f64)> {
    thinned(steps(instants, rate))
}

/// Of points in the order of time, in each of [`COLUMNS`] equal stretches the first, the lowest, the
/// highest and the last: a dip of one interval stays as deep as it was, and a run of hours has no
/// larger page than one of seconds.
pub(super) fn thinned(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return points };
    let (begin, length) = (first.0, last.0 - first.0);
    if points.len() <= 4 * COLUMNS || length <= 0.0 {
        return points;
    }
    let column = |point: &(f64, f64)| {
        (((point.0 - begin) / length * COLUMNS as f64) as usize).min(COLUMNS - 1)
    };
    let mut kept = Vec::with_capacity(4 * COLUMNS);
    for group in points.chunk_by(|a, b| column(a) == column(b)) {
        let extreme = |sign: f64| {
            let by = |a: &usize, b: &usize| (sign * group[*a].1).total_cmp(&(sign * group[*b].1));
            (0..group.len()).max_by(by).unwrap_or(0)
        };
        let mut of_group = [0, extreme(-1.0), extreme(1.0), group.len() - 1];
        of_group.sort_unstable();
        kept.extend(of_group.map(|i| group[i]));
        kept.dedup();
    }
    kept
}

/// A level line over each interval: a sample is a mean, and nothing is known between its ends.
fn steps(instants: &[Instant], rate: fn(&Instant) -> f64) -> Vec<(f64, f64)> {
    if let [instant] = instants {
        return vec![(instant.t_s, rate(instant))];
    }
    let ends = instants.iter().map(|instant| instant.t_s);
    // The first interval is taken to be as long as the second.
    let begin = instants.windows(2).next().map_or(0.0, |pair| 2.0 * pair[0].t_s - pair[1].t_s);
    let begins = std::iter::once(begin.max(0.0)).chain(ends);
    instants
        .iter()
        .zip(begins)
        .flat_map(|(instant, begin)| [(begin, rate(instant)), (instant.t_s, rate(instant))])
        .collect()
}

/// Where the name of an event stands.
pub(super) struct Place {
    pub(super) x: i32,
    pub(super) row: i32,
    pub(super) side: HPos,
}

/// Names of events close to each other stand in rows beside the last of them, clear of the lines.
pub(super) fn places(lines: &[i32]) -> Vec<Place> {
    const CLOSE: i32 = 120;
    let mut places: Vec<Place> = Vec::new();
    let mut begin = 0;
    for (i, &x) in lines.iter().enumerate() {
        let last_of_cluster = lines.get(i + 1).is_none_or(|next| next - x > CLOSE);
        if last_of_cluster {
            let right = x + 220 < WIDTH as i32;
            let (side, x) =
                if right { (HPos::Left, x + 5) } else { (HPos::Right, lines[begin] - 5) };
            places.extend((begin..=i).map(|j| Place { x, row: (j - begin) as i32, side }));
            begin = i + 1;
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_the_ends_and_every_extreme() {
        let mut points: Vec<(f64, f64)> =
            (0..200_000).map(|i| (f64::from(i), 7.0 + f64::from(i % 10) / 100.0)).collect();
        points[123_456].1 = 0.5;
        points[54_321].1 = 9.5;
        let few = points[..100].to_vec();
        assert_eq!(thinned(few.clone()), few, "what can be seen stays as it is");
        let kept = thinned(points.clone());
        assert!(kept.len() <= 4 * COLUMNS, "{}", kept.len());
        assert!(kept.contains(&points[123_456]) && kept.contains(&points[54_321]));
        assert_eq!((kept.first(), kept.last()), (points.first(), points.last()));
        assert!(kept.is_sorted_by(|a, b| a.0 <= b.0), "in the order of time");
    }
}
