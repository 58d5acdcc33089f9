//! How long the connections that events concerned were without service, as a share of them.

use super::axis::{self, Axis};
use super::rate::thinned;
use super::{BLUE, INK, Label, Plot, SOFT, Side, chart, draw, label, legend};
use crate::figure;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

/// More events than this are not drawn one by one.
const EVENTS_MAX: usize = 30;

/// Outages after one event.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outages {
    /// Of connections that came back, in ms, ascending.
    pub ms: Vec<f64>,
    /// Connections that did not.
    pub never_back: usize,
}

impl Outages {
    /// Connections concerned.
    pub fn count(&self) -> usize {
        self.ms.len() + self.never_back
    }

    /// The shortest outage that a share of the connections, 0 to 1, does not exceed; `None` where
    /// too few came back.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let rank = (share * self.count() as f64).ceil().max(1.0) as usize;
        self.ms.get(rank - 1).copied()
    }
}

/// Outages after all events together.
pub fn together(events: &[Outages]) -> Outages {
    let mut ms: Vec<f64> = events.iter().flat_map(|event| event.ms.iter().copied()).collect();
    ms.sort_by(f64::total_cmp);
    Outages { ms, never_back: events.iter().map(|event| event.never_back).sum() }
}

/// Draws the curve of all events and, thin, that of each; `None` where no connection came back.
pub fn plot(events: &[Outages]) -> Option<Plot> {
    let all = together(events);
    let longest = *all.ms.last()?;
    draw("outages", title(&all), 340, |canvas| {
        let mut entries = vec![(BLUE, 2, "connections concerned, all events (black-box)")];
        let each = (2..=EVENTS_MAX).contains(&events.len());
        if each {
            entries.push((SOFT, 1, "each event"));
        }
        legend(canvas, &entries)?;
        let x = axis::linear(longest * 1.1, 8);
        let end = x.range.end;
        let mut chart = chart(
            canvas,
            Side {
                axis: x,
                desc: "time without service, at most (ms)",
                format: &|x| axis::tick(*x),
                room: 44,
                grid: true,
            },
            Side {
                axis: Axis { range: 0.0..1.05, ticks: vec![0.0, 0.25, 0.5, 0.75, 1.0] },
                desc: "share of connections",
                format: &|y| figure::percent(*y),
                room: 70,
                grid: true,
            },
        )?;
        for event in events.iter().filter(|_| each) {
            chart.draw_series(LineSeries::new(curve(event, end), SOFT.mix(0.6).stroke_width(1)))?;
        }
        chart.draw_series(LineSeries::new(curve(&all, end), BLUE.stroke_width(2)))?;
        for (share, name) in [(0.5, "50 %"), (0.99, "99 %"), (1.0, "all")] {
            let Some(ms) = all.quantile(share) else { continue };
            chart.draw_series([Circle::new((ms, share), 4, BLUE.filled())])?;
            let text = format!("{name}: {} ms", figure::significant(ms, 3));
            let (x, y) = chart.backend_coord(&(ms, share));
            let left = x > 640;
            let (side, x) = if left { (HPos::Right, x - 8) } else { (HPos::Left, x + 8) };
            // The last two lie close to each other: one above its point, the other below.
            let y = if share == 1.0 { y - 9 } else { y + 14 };
            label(
                canvas,
                &text,
                (x, y),
                Label { color: INK, horizontal: side, ..Label::default() },
            )?;
        }
        Ok(())
    })
}

fn title(all: &Outages) -> String {
    let connections = figure::plural(all.count(), "connection");
    let never = match all.never_back {
        0 => String::new(),
        never => format!("; {} never came back", figure::count(never as u64)),
    };
    let ms = |share| all.quantile(share).map(|ms| figure::significant(ms, 3));
    match (ms(0.5), ms(1.0)) {
        (Some(half), Some(most)) => format!(
            "Of {connections} half were without service for at most {half} ms, all for at most \
             {most} ms"
        ),
        (Some(half), None) => {
            format!("Of {connections} half were without service for at most {half} ms{never}")
        }
        _ => format!("Time without service of {connections}{never}"),
    }
}

/// Steps of the share that was back by then, to the end of the axis.
fn curve(outages: &Outages, end: f64) -> Vec<(f64, f64)> {
    let count = outages.count() as f64;
    let mut points = vec![(0.0, 0.0)];
    for (i, &ms) in outages.ms.iter().enumerate() {
        let last_of_equals = outages.ms.get(i + 1).is_none_or(|next| *next > ms);
        if last_of_equals {
            let before = points.last().map_or(0.0, |(_, share)| *share);
            points.extend([(ms, before), (ms, (i + 1) as f64 / count)]);
        }
    }
    let last = points.last().map_or(0.0, |(_, share)| *share);
    points.push((end, last));
    thinned(points)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_that_never_came_back_count_in_every_share() {
        let outages = Outages { ms: vec![1.0, 2.0, 2.0], never_back: 1 };
        assert_eq!((outages.quantile(0.25), outages.quantile(0.5)), (Some(1.0), Some(2.0)));
        assert_eq!((outages.quantile(0.75), outages.quantile(0.76)), (Some(2.0), None));
        assert_eq!(
            curve(&outages, 3.0),
            [(0.0, 0.0), (1.0, 0.0), (1.0, 0.25), (2.0, 0.25), (2.0, 0.75), (3.0, 0.75)]
        );
        assert_eq!(Outages::default().quantile(0.5), None);
    }
}
