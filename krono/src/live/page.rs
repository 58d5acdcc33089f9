//! The run as lines of a terminal of a given size.
//!
//! From above: the phase and how far it is, the whole run, each core with a bar, what the SUT dropped,
//! what happened last. Where there are more cores than rows the last of them are counted; a narrow
//! terminal gets the same figures in other lines. No colour says what the text does not.

use super::view::{Core, View};
use crate::term::Colour;
use analysis::figure;
use console::{measure_text_width, truncate_str};
use format::sample::EventKind;

/// Characters of a bar that is full.
const BAR: usize = 10;

/// Columns from which a core's line has all figures.
const WIDE: usize = 59;

/// Share of packets that are not back at which a reader should look; what is on its way is missing
/// as well.
const MISSING_SHARE: f64 = 0.01;

/// Share of its time at which a core has no room left (as `bound` in the summary has it).
const FULL_SHARE: f64 = 0.8;

/// A line: pieces of text, each with its colour.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Line(Vec<(String, Option<Colour>)>);

impl Line {
    fn plain(text: impl Into<String>) -> Line {
        Line(vec![(text.into(), None)])
    }

    fn then(mut self, text: impl Into<String>, colour: Option<Colour>) -> Line {
        self.0.push((text.into(), colour));
        self
    }

    /// Columns it takes.
    pub(super) fn width(&self) -> usize {
        self.0.iter().map(|(text, _)| measure_text_width(text)).sum()
    }

    /// The same in `width` columns at most, an ellipsis in place of what had no room.
    pub(super) fn cut(self, width: usize) -> Line {
        let mut left = width;
        let cut = |(text, colour): (String, Option<Colour>)| {
            if left == 0 {
                return None;
            }
            let text = truncate_str(&text, left, "…").into_owned();
            left -= measure_text_width(&text).min(left);
            Some((text, colour))
        };
        Line(self.0.into_iter().map_while(cut).collect())
    }

    /// As it is written.
    pub(super) fn text(&self, colours: bool) -> String {
        let painted = self.0.iter().map(|(text, colour)| match colour {
            Some(colour) => colour.paint(text, colours),
            None => text.clone(),
        });
        painted.collect()
    }
}

/// What fits into `height` lines of `width` columns.
pub(super) fn page(view: &View, width: usize, height: usize) -> Vec<Line> {
    let mut above = vec![head(view)];
    let mut below: Vec<Line> = Vec::new();
    let mut cores: Vec<Line> = view.cores.values().map(|it| core(it, width >= WIDE)).collect();
    if !cores.is_empty() {
        above.extend(totals(view, width));
        below.extend(drops(view, width));
    }
    let events = view.recent.iter().map(event);
    let room = height.saturating_sub(above.len() + below.len() + usize::from(!cores.is_empty()));
    below.extend(events.skip(view.recent.len().saturating_sub(room)));
    let room = height.saturating_sub(above.len() + below.len());
    if cores.len() > room {
        let more = cores.len() + 1 - room.max(1);
        cores.truncate(room.saturating_sub(1));
        cores.push(Line::plain(format!("  and {}", figure::plural(more, "more core"))));
    }
    let lines = above.into_iter().chain(cores).chain(below);
    lines.take(height).map(|line| line.cut(width)).collect()
}

fn head(view: &View) -> Line {
    let line = Line::plain(&view.phase);
    let Some(left_s) = view.left_s else { return line };
    let done = view.length_s.filter(|length_s| *length_s > 0.0).map(|it| 1.0 - left_s / it);
    let bar = done.map_or_else(String::new, |share| format!("  {}", bar(share)));
    line.then(format!("{bar}  {left_s:.1} s left"), None)
}

/// The figures of the whole run, on as many lines as they take.
fn totals(view: &View, width: usize) -> Vec<Line> {
    let share = view.progress().missing_share;
    let missing = share.map(|share| match share < MISSING_SHARE {
        true => Colour::Green,
        false => Colour::Yellow,
    });
    let [rates, lost, connections, latency] = view.totals();
    wrapped([(rates, None), (lost, missing), (connections, None), (latency, None)], width)
}

fn drops(view: &View, width: usize) -> Vec<Line> {
    let mut reasons: Vec<String> = view
        .drops
        .iter()
        .map(|(reason, count)| format!("{reason} {}", figure::count(*count)))
        .collect();
    if reasons.is_empty() {
        reasons.push("none".to_owned());
    }
    reasons[0].insert_str(0, "dropped by the SUT: ");
    wrapped(reasons.into_iter().map(|reason| (reason, None)), width)
}

/// Pieces with commas between them, broken where a line is full.
fn wrapped(pieces: impl IntoIterator<Item = (String, Option<Colour>)>, width: usize) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for (text, colour) in pieces {
        let columns = measure_text_width(&text);
        match lines.last_mut() {
            Some(line) if line.width() + 2 + columns <= width => {
                *line = std::mem::take(line).then(", ", None).then(text, colour);
            }
            _ => lines.push(Line::plain("  ").then(text, colour)),
        }
    }
    lines
}

fn core(core: &Core, wide: bool) -> Line {
    let Core { role, server, core: index, offered_mpps, forwarded_mpps, busy_share, .. } = core;
    let full = |share: f64| if share < FULL_SHARE { Colour::Green } else { Colour::Yellow };
    let (bars, busy) = match busy_share {
        Some(share) => ((bar(*share), Some(full(*share))), format!("{:>3.0} %", share * 100.0)),
        None => ((" ".repeat(BAR), None), " ".repeat(5)),
    };
    let name = format!("  {role} {server}.{index}");
    if !wide {
        return Line::plain(name + " ")
            .then(bars.0, bars.1)
            .then(format!(" {busy}  {forwarded_mpps:.3} Mpps"), None);
    }
    let busy = if busy_share.is_some() { busy + " busy" } else { busy };
    Line::plain(format!("{name:<12} {forwarded_mpps:>7.3} of {offered_mpps:>7.3} Mpps  "))
        .then(bars.0, bars.1)
        .then(format!(" {busy}"), None)
}

fn event(event: &format::Event) -> Line {
    let colour = match event.kind {
        EventKind::Injected => Some(Colour::Red),
        EventKind::Detected | EventKind::Withdrawn => Some(Colour::Yellow),
        EventKind::Recovered | EventKind::Announced | EventKind::Takeover => Some(Colour::Green),
        EventKind::Steered | EventKind::Phase => None,
    };
    Line::plain(format!("  {:.3} s  ", event.t_s))
        .then(event.kind.to_string(), colour)
        .then(format!("  {}", event.what), None)
}

/// Filled up to `share` of 1.
fn bar(share: f64) -> String {
    let full = (share.clamp(0.0, 1.0) * BAR as f64).round() as usize;
    "█".repeat(full) + &"·".repeat(BAR - full)
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::{events, observation};
    use super::*;
    use crate::testbed::Observation;

    fn view(events: Vec<format::Event>) -> View {
        let mut view = View::default();
        view.add(&observation("steady", 0.1));
        view.add(&Observation { left_s: Some(1.5), events, ..observation("steady", 0.2) });
        view
    }

    fn texts(view: &View, width: usize, height: usize) -> Vec<String> {
        page(view, width, height).iter().map(|line| line.text(false)).collect()
    }

    #[test]
    fn a_terminal_gets_phase_totals_every_core_every_reason_and_events() {
        let wide = texts(&view(events()), 99, 20);
        let expected = [
            "steady  █████·····  1.5 s left",
            "  1.000 of 2.000 Mpps, missing 50 %, 1,000 connections, latency p50 12.0 p99 40.0 µs",
            "  gen 0.0      1.000 of   2.000 Mpps  █████·····  50 % busy",
            "  sut 0.0      1.000 of   2.000 Mpps  █████·····  50 % busy",
            "  dropped by the SUT: ttl 7",
            "  0.150 s  injected  kill sut.server[1]",
        ];
        assert_eq!(wide, expected);
        let quiet = Observation { samples: vec![], left_s: None, ..observation("reference", 0.2) };
        let mut view = View::default();
        view.add(&quiet);
        assert_eq!(texts(&view, 99, 20), ["reference"]);
    }

    #[test]
    fn a_narrow_terminal_gets_the_same_in_other_lines() {
        let narrow = texts(&view(events()), 39, 20);
        assert!(narrow.iter().all(|line| line.chars().count() <= 39), "{narrow:#?}");
        let text = narrow.join("\n");
        for word in ["50 %", "1.000 Mpps", "connections", "p99 40.0", "ttl 7", "injected", "left"] {
            assert!(text.contains(word), "no {word} in {text}");
        }
        assert!(!text.contains('…'), "{text}");
        let slit = texts(&view(events()), 7, 20);
        assert!(slit.iter().all(|line| line.chars().count() <= 7), "{slit:#?}");
    }

    #[test]
    fn a_low_terminal_counts_the_cores_that_have_no_room() {
        let mut view = view(events());
        let mut many = observation("steady", 0.3);
        let first = many.samples[0].clone();
        many.samples.extend((1..40).map(|core| format::Sample { core, ..first.clone() }));
        view.add(&many);
        let lines = texts(&view, 99, 10);
        assert_eq!(lines.len(), 10);
        assert!(lines.iter().any(|line| line == "  and 36 more cores"), "{lines:#?}");
        assert!(lines[9].contains("injected"), "{lines:#?}");
        for height in 1..10 {
            let lines = texts(&view, 99, height);
            assert!(lines.len() <= height && lines[0].starts_with("steady"), "{lines:#?}");
        }
    }

    #[test]
    fn colour_is_beside_the_text_and_cut_with_it() {
        let lines = page(&view(events()), 20, 20);
        let painted = lines.last().expect("an event").text(true);
        assert_eq!(painted, "  0.150 s  \u{1b}[31minjected\u{1b}[0m…");
        assert!(page(&view(events()), 99, 20)[1].text(true).contains("\u{1b}[33mmissing 50 %"));
    }
}
