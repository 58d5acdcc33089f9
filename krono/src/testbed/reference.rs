//! Measurements beside the run: the generator without the SUT, on the same processors with the same
//! traffic. At the highest rate they say how much room a result has above it; at the rate of the run
//! they say how much of a latency is the generator's own.

use super::{Calibration, Observation, Outcome, Reference, References};
use crate::layout::Layout;
use crate::summarise::{add_histogram, empty_histogram};
use dataplane::clock::Tsc;
use dataplane::port::link::DEPTH;
use dataplane::run::Stop;
use dataplane::thread::allowed_cpus;
use format::plan::{Attack, PhasePlan, Plan, Rate, SutKind, Until};
use kronogen::trial::Record;
use std::collections::BTreeMap;

/// Longest time each reference sends, after its fill; shorter where no phase lasts as long.
const LENGTH_NS_MAX: u64 = 2_000_000_000;

/// Longest time a calibration sends, likewise.
const CALIBRATION_NS_MAX: u64 = 1_000_000_000;

/// Connections opened per second and generator core to fill a reference.
const OPEN_PER_S: f64 = 4e6;

/// Name of the phase at the highest rate, and of the one at the rate of the run.
const HIGHEST: &str = "reference";
const CALIBRATION: &str = "calibration";

/// The plan of a reference: the same connections and sizes, as fast as the generator can, through a
/// forwarder. `None` where the plan itself is no more than that.
pub(super) fn plan(plan: &Plan) -> Option<Plan> {
    let length_ns = length_ns(plan, LENGTH_NS_MAX);
    let is_it = plan.topology.sut_kind == SutKind::Forwarder;
    (!is_it).then(|| of_phases(plan, vec![phase(HIGHEST, Rate::Max, length_ns)]))
}

/// The plan of what is measured through a wire: the reference's, and the calibration where the
/// measured phase has a rate. `None` where neither is to be had.
pub(super) fn wire_plan(plan: &Plan) -> Option<Plan> {
    let mut phases = self::plan(plan).map_or_else(Vec::new, |quick| quick.phases[1..].to_vec());
    phases.extend(calibration_phase(plan));
    (!phases.is_empty()).then(|| of_phases(plan, phases))
}

/// The plan of a calibration alone; `None` without a rate at which to calibrate.
pub(super) fn calibration_plan(plan: &Plan) -> Option<Plan> {
    Some(of_phases(plan, vec![calibration_phase(plan)?]))
}

/// The measured phase at its rate, or the mean of it, and without whatever else it does. With
/// `rate = "max"` a latency is the depth of queues, which a wire does not have.
fn calibration_phase(plan: &Plan) -> Option<PhasePlan> {
    let rate = plan.measured_phase()?.rate;
    let length_ns = length_ns(plan, CALIBRATION_NS_MAX);
    matches!(rate, Rate::Pps(_)).then(|| phase(CALIBRATION, rate, length_ns))
}

/// Length of the longest phase, `most` if that is less.
fn length_ns(plan: &Plan, most: u64) -> u64 {
    let lengths = plan.phases.iter().filter_map(|phase| match phase.until {
        Until::For(ns) => Some(ns),
        Until::Held(_) | Until::Validated => None,
    });
    lengths.max().unwrap_or(most).min(most)
}

fn phase(name: &str, rate: Rate, length_ns: u64) -> PhasePlan {
    PhasePlan {
        name: name.into(),
        open_per_s: 0.0,
        close_per_s: 0.0,
        sample: None,
        rate,
        shape: None,
        search: None,
        attack: Attack::default(),
        injection: None,
        until: Until::For(length_ns),
    }
}

/// `plan` with these phases, after a fill, and a forwarder that nothing is done to.
fn of_phases(plan: &Plan, phases: Vec<PhasePlan>) -> Plan {
    let mut quick = plan.clone();
    quick.topology.sut_kind = SutKind::Forwarder;
    quick.faults = None;
    quick.repeat = 1;
    let fill = PhasePlan {
        open_per_s: OPEN_PER_S * f64::from(plan.topology.generators()),
        until: Until::Held(plan.traffic.connections),
        ..phase("fill", Rate::None, 0)
    };
    quick.phases = [vec![fill], phases].concat();
    quick
}

/// What is told to whoever watches.
pub(super) fn announce(phase: &str) -> Observation {
    Observation {
        phase: phase.to_owned(),
        left_s: None,
        samples: Vec::new(),
        drops: BTreeMap::new(),
        events: Vec::new(),
    }
}

/// The generator alone through a plain wire: what it reaches, and its latency, as far as `quick` asks
/// for them.
pub(super) fn wire(quick: &Plan, clock: &Tsc, stop: &Stop) -> anyhow::Result<References> {
    let mut config = Layout::new(quick).all_generators();
    for (core, cpu) in config.cores.iter_mut().zip(allowed_cpus()) {
        core.cpu = Some(cpu);
    }
    let outcomes = kronogen::run::twin(&config, DEPTH, clock, stop, |_| ())?;
    let of_phase = |name: &str| -> Vec<&Record> {
        outcomes.iter().flat_map(|core| &core.records).filter(|it| it.name == name).collect()
    };
    let wire = per_core(&of_phase(HIGHEST));
    let wire = wire.map(|mpps| Reference { mpps, cycles_per_packet: None });
    Ok(References { wire, forwarder: None, calibration: calibration(&of_phase(CALIBRATION)) })
}

/// Percentiles over all cores; `None` if nothing was measured or a core was cut short.
fn calibration(records: &[&Record]) -> Option<Calibration> {
    let mut all = empty_histogram();
    for record in records {
        add_histogram(&mut all, record);
    }
    if all.is_empty() || records.iter().any(|record| record.interrupted) {
        return None;
    }
    let at = |quantile| all.value_at_quantile(quantile);
    Some(Calibration {
        rate_pps: records.iter().map(|record| record.offered_pps()).sum(),
        packets: all.len(),
        p90_ns: at(0.9),
        p95_ns: at(0.95),
        p99_ns: at(0.99),
        p999_ns: at(0.999),
        p9999_ns: at(0.9999),
        max_ns: all.max(),
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use format::{RunOptions, Scenario};

    #[test]
    fn a_nat_must_translate_and_what_it_is_compared_with_need_not() {
        let source = "schema = 1\nquestion = \"?\"\n[traffic]\nconnections = 1000\n[[phase]]\n\
                      name = \"fill\"\nopen = \"1M/s\"\n";
        let scenario = Scenario::parse(source, "t.toml").expect("well formed");
        let nat = scenario.resolve(&RunOptions::default()).expect("sensible");
        let quick = super::plan(&nat).expect("a reference");
        let translated = |plan: &Plan| Layout::new(plan).all_generators().translated;
        assert_eq!((translated(&nat), translated(&quick)), (true, false));
        let device = nat.of_kind(SutKind::External);
        assert!(translated(&device));
    }
}
