//! The figures of a run as a whole, each with the tables that say the same in numbers.

use super::table::{Cell, Part, Row, Table};
use super::tables;
use crate::load::{Run, measured_phase};
use crate::plot::cores::Spread;
use crate::plot::{self, Plot};
use crate::{figure, latency, scaling, stats};
use format::sample::{Role, Sample};
use std::collections::BTreeMap;

/// Fewest windows of a core whose spread means something.
const WINDOWS_MIN: usize = 8;

/// All parts; a plot without data is left out, its tables stay.
pub(super) fn all(run: &Run) -> Vec<Part> {
    let summary = &run.summary;
    let cores = scaling::balance(&summary.sut.cores);
    let series = plot::rate::series(&run.samples, &run.events);
    [
        Part::new(
            cores.and_then(|balance| plot::cores::plot(&balance, &spreads(run))),
            [tables::cores(summary)],
        ),
        Part::new(
            series.as_ref().and_then(plot::rate::plot),
            [series.as_ref().map_or_else(Table::none, by_phase), tables::trials(summary)],
        ),
        Part::new(latencies(run), [tables::latency(summary)]),
        Part::new(plot::held::connections(&run.samples), [tables::connections(summary)]),
        Part::new(plot::held::backlog(&run.samples), [backlog(&run.samples)]),
        Part::new(plot::drops::plot(&summary.sut.cores), [drops(run)]),
    ]
    .into_iter()
    .filter(|part| !part.is_empty())
    .collect()
}

fn latencies(run: &Run) -> Option<Plot> {
    let log = run.latency.as_ref();
    let percentiles = match log.and_then(latency::all_cores) {
        Some(histogram) => latency::curve(&histogram),
        None => latency::curve_of_summary(&run.summary.latency_us),
    };
    let by_core: Vec<Vec<latency::Point>> =
        log.map_or_else(Vec::new, |log| log.by_tag.values().map(latency::curve).collect());
    plot::latency::plot(&percentiles, &by_core)
}

/// Of each SUT core the rates that 5 % and 95 % of its windows in the measured phase do not exceed.
/// The first and the last window, in which the phase begins and ends, are left out.
fn spreads(run: &Run) -> BTreeMap<(u16, u16), Spread> {
    let Some(phase) = measured_phase(run) else { return BTreeMap::new() };
    let mut cores: BTreeMap<(u16, u16), Vec<f64>> = BTreeMap::new();
    for sample in run.samples.iter().filter(|it| it.role == Role::Sut && it.phase == phase) {
        cores.entry((sample.server, sample.core)).or_default().push(sample.forwarded_pps / 1e6);
    }
    let spread = |rates: Vec<f64>| {
        let inner = rates.get(1..rates.len().saturating_sub(1))?;
        let usable = inner.len() >= WINDOWS_MIN && inner.iter().all(|rate| rate.is_finite());
        let [low, high] = stats::quantiles(inner, [0.05, 0.95])?;
        usable.then_some(Spread { low, high })
    };
    cores.into_iter().filter_map(|(core, rates)| Some((core, spread(rates)?))).collect()
}

/// The rate in each phase: what the curve shows, in numbers.
fn by_phase(series: &plot::rate::Series) -> Table {
    let mut phases: Vec<(&str, Vec<&plot::rate::Instant>)> = Vec::new();
    for instant in &series.instants {
        match phases.last_mut() {
            Some((name, instants)) if *name == instant.phase => instants.push(instant),
            _ => phases.push((&instant.phase, vec![instant])),
        }
    }
    let rows = phases.iter().map(|(name, instants)| {
        let values = |of: fn(&plot::rate::Instant) -> f64| -> Vec<f64> {
            instants.iter().map(|instant| of(instant)).collect()
        };
        let offered = stats::median(&values(|it| it.offered_mpps));
        let forwarded = stats::quantiles(&values(|it| it.forwarded_mpps), [0.0, 0.5, 1.0]);
        let [lowest, median, highest] = forwarded.map_or([None; 3], |them| them.map(Some));
        let mpps = |at: Option<f64>| {
            Cell::number(
                at.map_or_else(|| figure::MISSING.to_owned(), |mpps| figure::significant(mpps, 3)),
            )
        };
        let ends = instants.last().map_or(0.0, |instant| instant.t_s);
        Row::new([
            Cell::text(*name),
            Cell::number(figure::significant(ends, 3)),
            mpps(offered),
            mpps(lowest),
            mpps(median),
            mpps(highest),
        ])
    });
    Table::new(
        "Rate by phase",
        "Over the sampling windows of each phase, both directions together, in Mpps. The first and \
         the last window of a phase may be of two phases, and of the drain.",
    )
    .head([
        "phase",
        "until (s)",
        "offered, median",
        "forwarded, lowest",
        "forwarded, median",
        "forwarded, highest",
    ])
    .rows(rows)
}

fn backlog(samples: &[Sample]) -> Table {
    let mut cores: BTreeMap<(u16, u16), (u64, u64)> = BTreeMap::new();
    for sample in samples.iter().filter(|sample| sample.role == Role::Sut) {
        let Some(backlog) = sample.backlog else { continue };
        let core = cores.entry((sample.server, sample.core)).or_default();
        *core = (core.0.max(backlog), backlog);
    }
    let rows = cores.into_iter().map(|((server, core), (most, last))| {
        Row::new([
            Cell::text(format!("{server}.{core}")),
            Cell::number(figure::count(most)),
            Cell::number(figure::count(last)),
        ])
    });
    Table::new(
        "Replication by core",
        "Changes of connections that were not known to be in a copy at the instants of the samples \
         (white-box): what a core that died then would have taken with it, at most.",
    )
    .head(["server.core", "most", "last"])
    .rows(rows)
}

fn drops(run: &Run) -> Table {
    let all: u64 = run.summary.sut.drops.values().sum();
    let measured = plot::drops::reasons(&run.summary.sut.cores);
    let rows = run.summary.sut.drops.iter().filter(|(_, count)| **count > 0).map(|(why, count)| {
        let there = measured.iter().find(|(reason, _)| reason == why).map_or(0, |it| it.1);
        Row::new([
            Cell::code(why),
            Cell::number(figure::count(*count)),
            Cell::number(figure::percent_of(*count, all)),
            Cell::number(figure::count(there)),
        ])
    });
    Table::new("Drops by reason", "Packets the SUT dropped itself, by its own account (white-box).")
        .head(["reason", "all phases", "share", "measured phase"])
        .rows(rows)
}
