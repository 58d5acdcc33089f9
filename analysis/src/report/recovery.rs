//! The section on what was done to the SUT: the worst event in a sentence, by the millisecond and
//! by connection, and all events in a table.

use super::table::{Cell, Part, Row, Table};
use super::{missing, question};
use crate::figure;
use crate::load::Run;
use crate::plot;
use crate::plot::outage::{self, Outages};
use crate::recovery::{self, Incident, Load, severity_ms};
use crate::stats;
use format::Summary;
use format::summary::Recovery;

/// The section.
pub(super) struct Section {
    pub(super) question: String,
    pub(super) answer: String,
    pub(super) parts: Vec<Part>,
}

/// The section of a run; `None` where nothing was injected.
pub(super) fn section(run: &Run) -> Option<Section> {
    let summary = &run.summary;
    let worst = worst(summary)?;
    let incidents = recovery::incidents(run);
    let incident = incidents.get(worst);
    let outages = outages(&incidents);
    let loads = incident.map(|one| recovery::balance(one, &run.samples)).unwrap_or_default();
    let name = incident.map_or("", |one| &one.figures.event);
    let parts = [
        Part::new(
            incident.and_then(plot::recovery::plot),
            [incident.map(timeline).unwrap_or_else(|| timeline_missing(run))],
        ),
        Part::new(outage::plot(&outages), [quantiles(summary, &outages)]),
        Part::new(None, [events(summary)]),
        Part::new(plot::balance::plot(name, &loads), [balance(&loads)]),
    ];
    let parts = parts.into_iter().filter(|part| !part.is_empty());
    Some(Section {
        question: asked(summary),
        answer: answer(summary, worst),
        parts: parts.collect(),
    })
}

/// Outages of the connections that all events of a run concerned.
pub(super) fn outages_of(run: &Run) -> Outages {
    outage::together(&outages(&recovery::incidents(run)))
}

/// Place of the event that lasted longest.
fn worst(summary: &Summary) -> Option<usize> {
    let all = summary.recovery_ms.iter().enumerate();
    // The first of several equals.
    let worst = all.rev().max_by(|a, b| severity_ms(a.1).total_cmp(&severity_ms(b.1)));
    worst.map(|(index, _)| index)
}

fn outages(incidents: &[Incident]) -> Vec<Outages> {
    let of = |one: &Incident| Outages { ms: one.outages_ms.clone(), never_back: one.never_back };
    incidents.iter().map(of).collect()
}

/// The scenario's own question where it asks for this, else the general one.
fn asked(summary: &Summary) -> String {
    let own = question(summary);
    if own.to_lowercase().contains("how long") {
        return own;
    }
    "How long were connections without service, and did others notice?".to_owned()
}

/// "A silent kill of server 1 blocked its connections for 11.8 ms (median), 14 ms at most; …", and
/// where there were several events, what they have in common.
fn answer(summary: &Summary, worst: usize) -> String {
    let event = &summary.recovery_ms[worst];
    let ms = |value: f64| format!("{} ms", figure::trimmed(value, 3));
    let known = |value: Option<f64>| value.filter(|value| value.is_finite());
    let what = in_words(&event.event);
    let blocked = match (known(event.p50), known(event.max), known(event.blocked)) {
        (_, Some(max), _) if max <= 0.0 => "blocked no connection".to_owned(),
        (Some(half), Some(max), _) => {
            format!("blocked its connections for {} (median), {} at most", ms(half), ms(max))
        }
        (_, _, Some(blocked)) => format!("cost as much as passes in {}", ms(blocked)),
        _ => format!("lasted: {}", missing(summary, "recovery_ms.p50")),
    };
    let lost = match summary.connections.lost {
        Some(1) => "1 connection lost".to_owned(),
        Some(lost) => format!("{} connections lost", figure::count(lost)),
        None => format!("connections lost: {}", missing(summary, "connections.lost")),
    };
    let others = match event.collateral_lost {
        Some(0) => "none of the others noticed".to_owned(),
        Some(1) => "1 packet of the others was lost".to_owned(),
        Some(lost) => format!("{} packets of the others were lost", figure::count(lost)),
        None => format!("the others: {}", missing(summary, "recovery_ms.collateral_lost")),
    };
    let mut text = format!("{what} {blocked}; {lost}; {others}.");
    let longest: Option<Vec<f64>> = summary.recovery_ms.iter().map(|one| known(one.max)).collect();
    let several = summary.recovery_ms.len();
    if several > 1 {
        text += &match longest.as_deref().and_then(stats::median) {
            Some(median) => format!(
                " It is the worst of {several} events, whose longest outage is {} in the median.",
                ms(median)
            ),
            None => format!(" It is the worst of {several} events."),
        };
    }
    text
}

/// An event as a noun: `kill sut.server[1]` is "A silent kill of server 1".
fn in_words(event: &str) -> String {
    let (action, rest) = event.split_once(' ').unwrap_or((event, ""));
    let noun = match action {
        "kill" => "A silent kill",
        "leave" => "A graceful departure",
        "return" => "The return",
        "join" => "The arrival",
        "hang" => "A hang",
        "resume" => "The end of a hang",
        "link-down" => "A link down",
        "link-up" => "A link up",
        "partition" => "A partition",
        "heal" => "The end of a disturbance",
        "loss" => "Loss of frames",
        "delay" => "Delay of frames",
        "upgrade" => "An upgrade",
        _ => "",
    };
    let (target, detail) = match rest.find([',', ' ']) {
        Some(end) => rest.split_at(end),
        None => (rest, ""),
    };
    let index =
        |text: &str| text.strip_suffix(']').filter(|n| n.parse::<u16>().is_ok()).map(str::to_owned);
    let target = target.strip_prefix("sut.server[").and_then(|target| {
        Some(match target.split_once("].core[") {
            Some((server, core)) => {
                format!("core {} of server {}", index(core)?, server.parse::<u16>().ok()?)
            }
            None => format!("server {}", index(target)?),
        })
    });
    match target {
        Some(target) if !noun.is_empty() => format!("{noun} of {target}{detail}"),
        _ => format!("“{event}”"),
    }
}

fn timeline(incident: &Incident) -> Table {
    let ms = |value: f64| Cell::number(figure::significant(value, 3));
    let begin = Row::new([
        Cell::text("injected"),
        Cell::number("0"),
        Cell::number("0"),
        Cell::number("1"),
        Cell::text(&incident.figures.event),
    ]);
    let rows = incident.marks.iter().map(|mark| {
        Row::new([
            Cell::text(mark.kind.to_string()),
            ms(mark.first_ms),
            ms(mark.last_ms),
            Cell::number(figure::count(mark.count as u64)),
            Cell::text(&mark.what),
        ])
    });
    Table::new(
        "What happened after the event",
        "Of each kind the first and the last until the next event, in milliseconds from the event. \
         Packets are counted by the generator (black-box); when the router and the servers acted is \
         their own account (white-box).",
    )
    .head(["kind", "first (ms)", "last (ms)", "number", "the first in words"])
    .rows(std::iter::once(begin).chain(rows))
}

fn timeline_missing(run: &Run) -> Table {
    let why = "events.csv has no `injected` row for it";
    let figures = run.summary.recovery_ms.iter().map(|event| {
        Row::new([Cell::text(&event.event), Cell::text(format!("{}: {why}", figure::MISSING))])
    });
    Table::new("What happened after the event", "").head(["event", "instant"]).rows(figures)
}

fn quantiles(summary: &Summary, events: &[Outages]) -> Table {
    let all = outage::together(events);
    let table = Table::new(
        "Time without service of the connections concerned",
        "From the first probe that was missing to the first that came back, of every connection \
         whose verdict is not “kept”, all events (black-box). What never came back is longer than \
         any figure.",
    )
    .head(["share of connections", "at most (ms)"]);
    if all.count() == 0 {
        return table;
    }
    let shares = [(0.01, "1 %"), (0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"), (1.0, "all")];
    let rows = shares.map(|(share, name)| {
        let value = match all.quantile(share) {
            Some(ms) => Cell::number(figure::significant(ms, 3)),
            None => Cell::text("never came back"),
        };
        Row::new([Cell::text(name), value])
    });
    let counted =
        |name: &str, value: u64| Row::new([Cell::text(name), Cell::number(figure::count(value))]);
    let kept = match summary.connections.kept {
        Some(kept) => counted("connections kept", kept),
        None => Row::new([
            Cell::text("connections kept"),
            Cell::text(missing(summary, "connections.kept")),
        ]),
    };
    table.rows(rows).rows([
        counted("connections concerned", all.count() as u64),
        counted("of them never back", all.never_back as u64),
        kept,
    ])
}

/// All events with both definitions of recovery.
fn events(summary: &Summary) -> Table {
    let value = |field: &str, value: Option<f64>| match value.filter(|value| value.is_finite()) {
        Some(value) => Cell::number(figure::significant(value, 3)),
        None => Cell::text(missing(summary, &format!("recovery_ms.{field}"))),
    };
    let rows = summary.recovery_ms.iter().map(|event: &Recovery| {
        let collateral = match event.collateral_lost {
            Some(lost) => Cell::number(figure::count(lost)),
            None => Cell::text(missing(summary, "recovery_ms.collateral_lost")),
        };
        Row::new([
            Cell::text(&event.event),
            value("blocked", event.blocked),
            value("back_at_rate", event.back_at_rate),
            value("p50", event.p50),
            value("p99", event.p99),
            value("max", event.max),
            value("resolution", event.resolution),
            value("detected", event.detected),
            value("first_rerouted", event.first_rerouted),
            value("takeover", event.takeover),
            collateral,
        ])
    });
    Table::new(
        "Recovery",
        "Milliseconds from each event (black-box, but for detection and takeover). Blocked is told \
         by loss: packets lost ÷ rate offered (RFC 6201). Back at rate is told by the clock: until \
         99 % of the rate before is reached and kept. p50, p99 and max are the time without service \
         of a connection; no difference finer than the resolution can be seen. Collateral are \
         packets lost on connections the event did not concern.",
    )
    .head([
        "event", "blocked", "back at rate", "p50", "p99", "max", "resolution", "detected",
        "first rerouted", "takeover", "collateral",
    ])
    .rows(rows)
}

fn balance(loads: &[Load]) -> Table {
    let mpps = |value: Option<f64>| match value {
        Some(value) => Cell::number(figure::significant(value, 3)),
        None => Cell::text("no samples"),
    };
    let rows = loads.iter().map(|load| {
        let change = match (load.before_mpps, load.after_mpps) {
            (Some(before), Some(after)) if before > 0.0 => {
                let share = after / before - 1.0;
                let sign = if share > 0.0 { "+" } else { "" };
                Cell::number(format!("{sign}{}", figure::percent(share)))
            }
            _ => Cell::text("—"),
        };
        let name = format!("{}.{}", load.server, load.core);
        Row::new([Cell::text(name), mpps(load.before_mpps), mpps(load.after_mpps), change])
    });
    Table::new(
        "SUT by core, before and after the event",
        "Medians of up to two seconds before the event and from when it was over (white-box).",
    )
    .head(["server.core", "before (Mpps)", "after (Mpps)", "change"])
    .rows(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_nouns_and_unknown_ones_are_quoted() {
        for (event, words) in [
            ("kill sut.server[1]", "A silent kill of server 1"),
            ("hang sut.server[0].core[3]", "A hang of core 3 of server 0"),
            ("loss sut.server[1], 1/100 of frames", "Loss of frames of server 1, 1/100 of frames"),
            ("delay sut.server[1] by 1ms", "Delay of frames of server 1 by 1ms"),
            ("explode sut.server[1]", "“explode sut.server[1]”"),
            ("kill", "“kill”"),
            ("kill sut.server[x]", "“kill sut.server[x]”"),
            ("kill sut.server[1].core[", "“kill sut.server[1].core[”"),
        ] {
            assert_eq!(in_words(event), words);
        }
    }
}
