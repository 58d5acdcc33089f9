//! Measurements beside the run: what the generator reaches without the SUT, on the same processors
//! with the same traffic. They say how much room a result has above it.

use super::{Observation, Outcome, Reference};
use crate::layout::Layout;
use dataplane::clock::Tsc;
use dataplane::port::link::DEPTH;
use dataplane::run::Stop;
use dataplane::thread::allowed_cpus;
use format::plan::{Attack, PhasePlan, Plan, Rate, SutKind, Until};
use kronogen::trial::Record;
use std::collections::BTreeMap;

/// Longest time each reference sends, after its fill; shorter where no phase lasts as long.
const LENGTH_NS_MAX: u64 = 2_000_000_000;

/// Connections opened per second and generator core to fill a reference.
const OPEN_PER_S: f64 = 4e6;

/// The plan of a reference: the same connections and sizes, as fast as the generator can, through a
/// forwarder. `None` where the plan itself is no more than that.
pub(super) fn plan(plan: &Plan) -> Option<Plan> {
    if plan.topology.sut_kind == SutKind::Forwarder {
        return None;
    }
    let mut quick = plan.clone();
    quick.topology.sut_kind = SutKind::Forwarder;
    quick.faults = None;
    quick.repeat = 1;
    let generators = f64::from(plan.topology.generators());
    let phase = |name: &str, open_per_s, rate, until| PhasePlan {
        name: name.into(),
        open_per_s,
        close_per_s: 0.0,
        sample: None,
        rate,
        shape: None,
        search: None,
        attack: Attack::default(),
        injection: None,
        until,
    };
    let held = Until::Held(plan.traffic.connections);
    let lengths = plan.phases.iter().filter_map(|phase| match phase.until {
        Until::For(ns) => Some(ns),
        Until::Held(_) | Until::Validated => None,
    });
    let length_ns = lengths.max().unwrap_or(LENGTH_NS_MAX).min(LENGTH_NS_MAX);
    quick.phases = vec![
        phase("fill", OPEN_PER_S * generators, Rate::None, held),
        phase("reference", 0.0, Rate::Max, Until::For(length_ns)),
    ];
    Some(quick)
}

/// What is told to whoever watches.
pub(super) fn announce(phase: &str) -> Observation {
    Observation {
        phase: phase.to_owned(),
        left_s: None,
        samples: Vec::new(),
        drops: BTreeMap::new(),
    }
}

/// The generator alone through a plain wire.
pub(super) fn wire(quick: &Plan, clock: &Tsc, stop: &Stop) -> anyhow::Result<Option<Reference>> {
    let mut config = Layout::new(quick).all_generators();
    for (core, cpu) in config.cores.iter_mut().zip(allowed_cpus()) {
        core.cpu = Some(cpu);
    }
    let outcomes = kronogen::run::twin(&config, DEPTH, clock, stop, |_| ())?;
    let records: Vec<&Record> = outcomes.iter().filter_map(|core| core.records.get(1)).collect();
    Ok(per_core(&records).map(|mpps| Reference { mpps, cycles_per_packet: None }))
}

/// What a run through a forwarder says.
pub(super) fn of_run(outcome: &Outcome) -> Option<Reference> {
    let phase = outcome.phases.get(1)?;
    let mpps = per_core(&phase.generators.iter().collect::<Vec<_>>())?;
    let forwarded: u64 = phase.sut.iter().map(|core| core.forwarded).sum();
    let cycles: f64 = phase
        .sut
        .iter()
        .filter_map(|core| Some(core.cycles_per_packet? * core.forwarded as f64))
        .sum();
    let cycles_per_packet = (forwarded > 0).then(|| cycles / forwarded as f64);
    Some(Reference { mpps, cycles_per_packet })
}

/// Millions of packets per core and second that came back; `None` if a core was cut short.
fn per_core(records: &[&Record]) -> Option<f64> {
    if records.is_empty() || records.iter().any(|record| record.interrupted) {
        return None;
    }
    let sum: f64 = records.iter().map(|record| record.forwarded_pps()).sum();
    Some(sum / records.len() as f64 / 1e6)
}
