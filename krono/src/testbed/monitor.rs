//! The SUT's own figures, read from outside: samples while it runs, differences over a phase.

use super::SutCore;
use format::sample::{Role, Sample};
use krononat::verdict::Drop;
use krononat::worker::Tally;
use std::collections::BTreeMap;

/// Where a core is, and what it had counted at some instant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub server: u16,
    pub core: u16,
    pub tally: Tally,
}

/// What a counter has grown by: one of a server that was started again has begun at 0.
fn grown(before: u64, after: u64) -> u64 {
    after.checked_sub(before).unwrap_or(after)
}

/// What a core did between two readings, on a machine whose counter advances at `hz`.
pub(super) fn core(before: &Reading, after: &Reading, hz: f64) -> SutCore {
    let (a, b) = (&before.tally, &after.tally);
    let forwarded = grown(a.forwarded, b.forwarded);
    let busy_ns = grown(a.busy_ns, b.busy_ns);
    let cycles = busy_ns as f64 * hz / 1e9;
    SutCore {
        server: after.server,
        core: after.core,
        received: grown(a.received, b.received),
        forwarded,
        refused: grown(a.refused, b.refused),
        busy_ns,
        idle_ns: grown(a.idle_ns, b.idle_ns),
        busy_steps: grown(a.busy_steps, b.busy_steps),
        cycles_per_packet: (forwarded > 0 && busy_ns > 0).then(|| cycles / forwarded as f64),
        connections: b.connections,
        bytes: b.bytes,
        drops: drops(a, b),
    }
}

fn drops(before: &Tally, after: &Tally) -> BTreeMap<String, u64> {
    Drop::all()
        .map(|reason| {
            (reason, grown(before.dropped[reason.index()], after.dropped[reason.index()]))
        })
        .filter(|&(_, count)| count > 0)
        .map(|(reason, count)| (reason.name().to_owned(), count))
        .collect()
}

/// Packets dropped since start, by reason, all cores.
pub(super) fn all_drops(readings: &[Reading]) -> BTreeMap<String, u64> {
    let mut sum = BTreeMap::new();
    for reading in readings {
        for (reason, count) in drops(&Tally::default(), &reading.tally) {
            *sum.entry(reason).or_default() += count;
        }
    }
    sum
}

/// The row of `samples.csv` for what a core did in the last `seconds`.
pub(super) fn sample(
    before: &Reading,
    after: &Reading,
    t_s: f64,
    seconds: f64,
    phase: &str,
) -> Sample {
    let (a, b) = (&before.tally, &after.tally);
    let (busy, idle) = ((grown(a.busy_ns, b.busy_ns)) as f64, (grown(a.idle_ns, b.idle_ns)) as f64);
    let dropped = |tally: &Tally| tally.dropped.iter().sum::<u64>();
    Sample {
        t_s,
        phase: phase.to_owned(),
        role: Role::Sut,
        server: after.server,
        core: after.core,
        offered_pps: (grown(a.received, b.received)) as f64 / seconds,
        forwarded_pps: (grown(a.forwarded, b.forwarded)) as f64 / seconds,
        lost: None,
        busy_share: (busy + idle > 0.0).then(|| busy / (busy + idle)),
        connections: Some(b.connections),
        latency_p50_us: None,
        latency_p99_us: None,
        drops: Some(grown(dropped(a), dropped(b))),
        // A core that has told nothing and owes nothing keeps no copies.
        backlog: (b.told > 0 || b.backlog > 0).then_some(b.backlog),
    }
}
