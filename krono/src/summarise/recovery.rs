//! What came of each injection: from outages, timelines and events to the figures of a recovery.
//!
//! The connections that an event concerns are those of the cores it happened to, as they were dealt
//! out at the start; all others must not notice.

use crate::layout::Layout;
use crate::testbed::{Injected, Outcome, PhaseOutcome};
use format::plan::{Plan, Target};
use format::sample::{ConnectionRow, Event, EventKind, Protocol, Verdict, Window};
use format::summary::{Connections, Recovery};
use kronogen::recovery::{blocked_ns, outage_quantiles};
use kronogen::verdict::{self, Outage, Timeline, Verdicts};
use std::collections::HashSet;

/// Windows of 1 ms in a row that must be back at the rate before: what one burst makes of a gap is no
/// recovery.
const CONSECUTIVE: usize = 5;

/// What came of each injection, in order.
pub(super) fn recoveries(plan: &Plan, outcome: &Outcome) -> Vec<Recovery> {
    let next = |index: usize| outcome.injected.get(index + 1).map_or(f64::INFINITY, |it| it.t_s);
    let of = |(index, injected): (usize, &Injected)| {
        let phase = outcome.phases.get(injected.phase)?;
        Some(recovery(plan, injected, phase, &outcome.events, next(index)))
    };
    outcome.injected.iter().enumerate().filter_map(of).collect()
}

fn recovery(
    plan: &Plan,
    injected: &Injected,
    phase: &PhaseOutcome,
    events: &[Event],
    until_s: f64,
) -> Recovery {
    let target = injected.what.target;
    let concerned = concerned(plan, target);
    let outages = || phase.generators.iter().flat_map(|record| &record.outages);
    let quantiles = outage_quantiles(outages(), &concerned);
    let ms = |ns: f64| ns / 1e6;
    let lost = |inside: bool| -> u64 {
        let of = |outage: &&Outage| concerned(outage.shard) == inside;
        outages().filter(of).map(|outage| u64::from(outage.lost)).sum()
    };
    let sampled = phase.generators.iter().any(|record| record.resolution_ns.is_some());
    // The sample is spread evenly over the shards.
    let suts = plan.topology.suts();
    let share = (0..suts as u16).filter(|&shard| concerned(shard)).count() as f64 / f64::from(suts);
    let planned: u64 = phase.generators.iter().map(|record| record.ledger.planned).sum();
    let seconds = phase.generators.iter().map(|record| record.seconds).fold(0.0, f64::max);
    let offered = planned as f64 / seconds * share;
    let since = |kind: EventKind, of: &dyn Fn(&str) -> bool| {
        let after = |event: &&Event| event.t_s >= injected.t_s && event.t_s < until_s;
        let mut all = events.iter().filter(after).filter(|event| event.kind == kind);
        all.find(|event| of(&event.what)).map(|event| (event.t_s - injected.t_s) * 1e3)
    };
    let about = |what: &str| what.contains(&target.to_string());
    let start = phase.generators.first().map(|record| record.start);
    let back = timeline(phase)
        .zip(start)
        .and_then(|(line, start)| line.back_after_ns(injected.at.since(start).0, CONSECUTIVE));
    // Of an outage: in one direction every second probe of a connection is seen.
    let resolution = phase.generators.iter().filter_map(|record| record.resolution_ns).max();
    let resolution = resolution.map(|ns| 2.0 * ns as f64);
    // No connection with an outage: it was 0, not unknown.
    let of = |ns: Option<u64>| ns.or(sampled.then_some(0)).map(|ns| ms(ns as f64));
    Recovery {
        event: injected.what.to_string(),
        blocked: blocked_ns(lost(true), offered).filter(|_| sampled).map(ms),
        p50: of(quantiles.map(|it| it.p50_ns)),
        p99: of(quantiles.map(|it| it.p99_ns)),
        max: of(quantiles.map(|it| it.max_ns)),
        resolution: resolution.map(ms),
        first_rerouted: None,
        collateral_lost: sampled.then(|| lost(false)),
        detected: since(EventKind::Detected, &about),
        takeover: since(EventKind::Takeover, &|_| true),
        back_at_rate: back.map(|ns| ms(ns as f64)),
    }
}

/// Whether connections of a generator's shard, which is a SUT core, are of a target.
fn concerned(plan: &Plan, target: Target) -> impl Fn(u16) -> bool {
    let layout = Layout::new(plan);
    let places: Vec<(u16, u16)> =
        (0..plan.topology.suts()).map(|index| layout.sut_place(index)).collect();
    move |shard| {
        let place = places.get(usize::from(shard));
        place.is_some_and(|&(server, core)| {
            server == target.server && target.core.is_none_or(|meant| meant == core)
        })
    }
}

/// The timeline of all generator cores in a phase.
fn timeline(phase: &PhaseOutcome) -> Option<Timeline> {
    let mut lines = phase.generators.iter().filter_map(|record| record.timeline.as_ref());
    let mut sum = lines.next()?.clone();
    lines.for_each(|line| sum.add(line));
    Some(sum)
}

/// Puts the verdicts of all connections judged into `connections`. Where the whole population was
/// validated after the events, each connection counts once: by its name as validation left it, and
/// as recovered if its probes had gone missing before.
pub(super) fn judge(outcome: &Outcome, connections: &mut Connections) {
    let sum = |sampled: bool| {
        let mut verdicts = Verdicts::default();
        let records = outcome.phases.iter().flat_map(|phase| &phase.generators);
        let of = records.filter(|record| record.resolution_ns.is_some() == sampled);
        of.for_each(|record| verdicts.add(&record.verdicts));
        verdicts
    };
    let (sample, all) = (sum(true), sum(false));
    if outcome.injected.is_empty() || sample.is_empty() && all.is_empty() {
        return;
    }
    let judged = match all.is_empty() {
        true => sample,
        false => Verdicts { kept: all.kept.saturating_sub(sample.recovered), ..all },
    };
    connections.kept = Some(judged.kept);
    connections.recovered = Some(sample.recovered);
    connections.remapped = Some(judged.remapped);
    connections.reset = Some(judged.reset);
    connections.lost = Some(judged.lost);
}

/// Cores that the router missed though nothing had been done to anybody: how many, and when the
/// first, in seconds.
pub(super) fn missed(plan: &Plan, outcome: &Outcome) -> Option<(usize, f64)> {
    let detection_s = plan.network.detection_ns() as f64 / 1e9;
    let done = |at: f64| {
        outcome.injected.iter().any(|it| (it.t_s..=it.t_s + 2.0 * detection_s).contains(&at))
    };
    if outcome.injected.is_empty() {
        return None;
    }
    let missed = outcome.events.iter().filter(|event| event.kind == EventKind::Detected);
    let missed: Vec<f64> = missed.map(|event| event.t_s).filter(|&at| !done(at)).collect();
    missed.iter().copied().reduce(f64::min).map(|first| (missed.len(), first))
}

/// Events that happened, and those that the phases begun ask for, where it is fewer: what came of
/// the others is not known. A run that is cut short has none left to wait for.
pub(super) fn lacking(plan: &Plan, outcome: &Outcome) -> Option<[usize; 2]> {
    let asks = |name: &str| plan.phases.iter().any(|it| it.name == name && it.injection.is_some());
    let asked = outcome.phases.iter().filter(|phase| asks(&phase.name)).count();
    let happened = outcome.injected.len();
    (happened < asked && !outcome.interrupted).then_some([happened, asked])
}

/// Rows of `connections.csv`: every connection that was not kept.
pub fn connection_rows(outcome: &Outcome) -> Vec<ConnectionRow> {
    let mut rows = Vec::new();
    let mut named = HashSet::new();
    for (phase, record) in records(outcome) {
        for outage in &record.outages {
            // What the sample says comes first, and says for how long.
            if !named.insert((outage.subscriber, outage.protocol)) {
                continue;
            }
            rows.push(ConnectionRow {
                t_s: phase + outage.start_ns as f64 / 1e9,
                shard: u32::from(outage.shard),
                subscriber: outage.subscriber.into(),
                external: outage.external.map(Into::into),
                server: outage.server.into(),
                protocol: match outage.protocol {
                    verdict::Protocol::Udp => Protocol::Udp,
                    verdict::Protocol::Tcp => Protocol::Tcp,
                },
                verdict: match outage.verdict {
                    verdict::Verdict::Kept => Verdict::Kept,
                    verdict::Verdict::Recovered => Verdict::Recovered,
                    verdict::Verdict::Remapped => Verdict::Remapped,
                    verdict::Verdict::Reset => Verdict::Reset,
                    verdict::Verdict::Lost => Verdict::Lost,
                },
                outage_ms: match outage.verdict {
                    verdict::Verdict::Lost => None,
                    _ => Some(outage.outage_ns as f64 / 1e6),
                },
            });
        }
    }
    rows
}

/// Rows of `recovery.csv`: the windows of all phases with a sample.
pub fn windows(outcome: &Outcome) -> Vec<Window> {
    let mut rows = Vec::new();
    for phase in &outcome.phases {
        let Some((line, record)) = timeline(phase).zip(phase.generators.first()) else { continue };
        let start = since_origin(outcome, record.start);
        for (index, (&planned, &arrived)) in line.planned.iter().zip(&line.arrived).enumerate() {
            rows.push(Window {
                t_s: start + index as f64 * line.window_ns as f64 / 1e9,
                planned: planned.into(),
                arrived: arrived.into(),
            });
        }
    }
    rows
}

fn records(outcome: &Outcome) -> impl Iterator<Item = (f64, &kronogen::trial::Record)> {
    let all = outcome.phases.iter().flat_map(|phase| &phase.generators);
    all.map(|record| (since_origin(outcome, record.start), record))
}

/// Seconds from the begin of the first phase.
fn since_origin(outcome: &Outcome, at: dataplane::clock::Nanos) -> f64 {
    let first = outcome.phases.first().and_then(|phase| phase.generators.first());
    at.since(first.map_or(at, |record| record.start)).as_secs_f64()
}
