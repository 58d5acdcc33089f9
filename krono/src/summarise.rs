//! From what was counted to the summary: every figure and every verdict is made here.
//!
//! A pure function: the same counts give the same summary. Each repetition of the measured phase
//! ([`Plan::measured_phase`]) is a trial; throughput, latency and the SUT's figures are of its
//! trials, the ledger and the connections of all phases. What a figure is made of is said at the
//! field of [`format::summary`]; the rules by which a run is invalid are in `certificate`.

mod certificate;
mod latency;
mod peers;
mod recovery;
mod spread;
#[cfg(test)]
mod tests;

pub use certificate::{LATE, SENT_LATE};
pub use latency::log as latency_log;
pub(crate) use latency::{add as add_histogram, empty as empty_histogram};
pub use recovery::{connection_rows, windows as recovery_windows};

use crate::testbed::{Outcome, PhaseOutcome};
use analysis::stats::bootstrap;
use certificate::Load;
use format::Host;
use format::plan::Plan;
use format::sample::{Role, Sample};
use format::summary::{
    Bound, Connections, Energy, Estimate, LAYER, Ledger, Pass, Run, SCHEMA, Source, Summary, Sut,
    SutCore, Throughput, Trial, Warning,
};
use kronogen::attack::AttackLedger;
use kronogen::trial::Record;
use std::collections::BTreeMap;

/// The reason under which packets are listed that the SUT's port did not take.
const PORT_FULL: &str = "port_full";

/// Confidence of the intervals.
const CONFIDENCE: f64 = 0.95;

/// What a summary is made of, beside what was counted.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    /// What was run.
    pub plan: &'a Plan,
    /// Identity of the run.
    pub run: Run,
    /// Where it ran.
    pub host: Host,
    /// Share of CPU time the hypervisor took meanwhile, 0 to 1.
    pub steal_share: Option<f64>,
    /// Rows of `samples.csv`.
    pub samples: &'a [Sample],
    /// What the processors took meanwhile.
    pub energy: Energy,
}

/// The trials of the measured phase, in the order they ran.
fn trials<'a>(plan: &Plan, outcome: &'a Outcome) -> Vec<&'a PhaseOutcome> {
    let measured = plan.measured_phase().map(|phase| phase.name.as_str());
    outcome.phases.iter().filter(|phase| Some(phase.name.as_str()) == measured).collect()
}

/// The summary of a run.
pub fn summarise(context: Context<'_>, outcome: &Outcome) -> Summary {
    let Context { plan, run, host, steal_share, samples, energy } = context;
    let trials = trials(plan, outcome);
    let load = Load::of(&trials, plan);
    let mut summary = Summary {
        schema: SCHEMA.to_owned(),
        run,
        host,
        valid: true,
        invalid_reasons: Vec::new(),
        warnings: Vec::new(),
        throughput: throughput(plan, &trials, samples),
        sut: sut(plan, outcome, &trials, samples),
        ledger: outcome.phases.iter().flat_map(|phase| &phase.generators).map(ledger).sum(),
        latency_us: latency::latency(&trials),
        latency_error_us: latency::error(&trials, outcome.calibration),
        connections: connections(outcome, &trials),
        recovery_ms: recovery::recoveries(plan, outcome),
        certificate: certificate::certificate(&load, outcome, &plan.topology, steal_share),
        peers: Vec::new(),
        energy,
        pass: Pass { met: true, criteria: Vec::new() },
    };
    let wrong = peers::wrong(&outcome.phases, &trials);
    summary.peers = peers::peers(plan, outcome, &summary.throughput.trials, wrong.is_empty());
    let bound =
        if certificate::is_mute(&summary, &load) { Some(Bound::Sut) } else { load.bound(&trials) };
    summary.throughput.bound = bound;
    summary.throughput.at_least = bound != Some(Bound::Sut);
    summary.warnings = certificate::warnings(plan, outcome, &load, &trials);
    if !(outcome.peers.is_empty() || wrong.is_empty()) {
        let why = format!("the SUT's own answers are not right: {}.", wrong.join("; "));
        summary.warnings.push(Warning::unavailable("peers.ratio", why));
    }
    if energy.package_j.is_none() {
        let why = "the host shows no energy counter (RAPL): virtual machines have none, and on others \
                   root alone may read it.";
        summary.warnings.push(Warning::unavailable("energy.package_j", why));
    }
    if summary.latency_error_us.is_none() {
        let why = latency::uncalibrated(plan, outcome);
        summary.warnings.push(Warning::unavailable("latency_error_us", why));
    }
    let (missed, lacking) = (recovery::missed(plan, outcome), recovery::lacking(plan, outcome));
    summary.invalid_reasons =
        certificate::invalid_reasons(&summary, &load, &trials, missed, lacking);
    summary.invalid_reasons.extend(late_at_events(plan, outcome));
    summary.invalid_reasons.extend(outcome.faults.iter().cloned());
    summary.valid = summary.invalid_reasons.is_empty();
    summary.pass = summary.judge(&plan.pass);
    let doubts = analysis::warn::warnings(&summary, samples);
    summary.warnings.extend(doubts);
    // What bears on a figure comes before the figures that are not there.
    summary.warnings.sort_by_key(|warning| warning.kind == "unavailable");
    summary
}

/// Why the generator is to blame in phases with an event, beside the measured one.
fn late_at_events(plan: &Plan, outcome: &Outcome) -> Vec<String> {
    let measured = plan.measured_phase().map(|phase| &phase.name);
    let others = plan.phases.iter().filter(|phase| phase.injection.is_some());
    let others = others.filter(|phase| Some(&phase.name) != measured);
    let late = others.flat_map(|phase| {
        let runs = outcome.phases.iter().filter(|it| it.name == phase.name);
        let load = Load::at(phase.rate, &runs.collect::<Vec<_>>(), &plan.topology);
        certificate::late(&load, &format!(" in `{}`", phase.name))
    });
    late.collect()
}

/// Classes of a record. What a core that was cut short had planned and not yet handed to the port
/// never left.
fn ledger(record: &Record) -> Ledger {
    let AttackLedger { flood_sent, flood_passed, scan_sent, scan_passed, .. } = record.attack;
    let probes = Ledger::from(&record.ledger);
    let mut ledger = Ledger { flood_sent, flood_passed, scan_sent, scan_passed, ..probes };
    if record.interrupted {
        ledger.unsent = record.ledger.planned.saturating_sub(record.ledger.sent);
    }
    ledger
}

/// Length of a phase in seconds: that of the core that took longest.
fn seconds(phase: &PhaseOutcome) -> f64 {
    phase.generators.iter().map(|record| record.seconds).fold(0.0, f64::max)
}

fn per_s(count: u64, seconds: f64) -> Option<f64> {
    (seconds > 0.0).then(|| count as f64 / seconds)
}

fn throughput(plan: &Plan, trials: &[&PhaseOutcome], samples: &[Sample]) -> Throughput {
    let (mut planned, mut arrived, mut bytes, mut all_seconds) = (0, 0, 0, 0.0);
    let mut rows = Vec::new();
    for trial in trials {
        let sum = |value: fn(&Record) -> u64| trial.generators.iter().map(value).sum::<u64>();
        let length = seconds(trial);
        let (asked, back) =
            (sum(|record| record.ledger.planned), sum(|record| record.ledger.verified()));
        (planned, arrived) = (planned + asked, arrived + back);
        bytes += sum(|record| record.ledger.arrived_bytes);
        all_seconds += length;
        if let Some((asked_pps, back_pps)) = per_s(asked, length).zip(per_s(back, length)) {
            rows.push(Trial {
                offered_mpps: asked_pps / 1e6,
                forwarded_mpps: back_pps / 1e6,
                lost: sum(|record| record.ledger.lost()),
                seconds: length,
            });
        }
    }
    Throughput {
        source: Source::BlackBox,
        offered_mpps: per_s(planned, all_seconds).map(|pps| pps / 1e6),
        forwarded_mpps: per_s(arrived, all_seconds).map(|pps| pps / 1e6),
        forwarded_gbps: per_s(bytes, all_seconds).map(|bytes| bytes * 8.0 / 1e9),
        layer: LAYER.to_owned(),
        genome: plan.traffic.genome.clone(),
        mean_frame_bytes: plan.traffic.mean_frame_bytes,
        bound: None,
        at_least: true,
        mpps_per_core: per_core(plan, &rows, samples),
        trials: rows,
        search: None,
    }
}

/// Forwarded Mpps per SUT core: the median of trials, with the interval of their bootstrap. One
/// trial alone is its own value, with the interval of its sampling windows.
fn per_core(plan: &Plan, trials: &[Trial], samples: &[Sample]) -> Option<Estimate> {
    let cores = f64::from(plan.topology.suts());
    let values: Vec<f64> = trials.iter().map(|trial| trial.forwarded_mpps / cores).collect();
    if let [value] = values[..] {
        // Of the two seconds that it takes: a shorter phase has no interval that means something.
        let windows = windows(plan, samples, cores);
        let interval = bootstrap::of_windows(&windows, CONFIDENCE, plan.seed);
        let [low, high] = [interval.map(|i| i.low.min(value)), interval.map(|i| i.high.max(value))];
        return Some(Estimate { value, low, high, confidence: interval.map(|i| i.confidence) });
    }
    bootstrap::of_median(&values, CONFIDENCE, plan.seed).map(|interval| interval.estimate())
}

/// Mpps per SUT core that came back in each sampling window of the measured phase. Of the drain,
/// in which nothing is sent, and of the window in which it began nothing can be said.
fn windows(plan: &Plan, samples: &[Sample], cores: f64) -> Vec<f64> {
    let measured = plan.measured_phase().map(|phase| phase.name.as_str());
    let mut windows = BTreeMap::<u64, (f64, f64)>::new();
    for sample in samples {
        if sample.role == Role::Gen && Some(sample.phase.as_str()) == measured {
            // All rows of a window bear the same instant.
            let window = windows.entry((sample.t_s * 1e9).round() as u64).or_default();
            window.0 += sample.offered_pps;
            window.1 += sample.forwarded_pps / 1e6 / cores;
        }
    }
    let sending = windows.into_values().filter(|(offered, _)| *offered > 0.0);
    let mut windows: Vec<f64> = sending.map(|(_, mpps)| mpps).collect();
    windows.pop();
    windows
}

fn sut(plan: &Plan, outcome: &Outcome, trials: &[&PhaseOutcome], samples: &[Sample]) -> Sut {
    let mut cores = BTreeMap::<(u16, u16), Sums>::new();
    for trial in trials {
        for core in &trial.sut {
            cores.entry((core.server, core.core)).or_default().add(core, seconds(trial));
        }
    }
    let tracks = plan.topology.sut_kind.is_of_this_project();
    let ends = outcome.phases.iter().map(|p| p.sut.iter().map(|core| core.connections).sum());
    let connections_peak = ends.chain(held(samples)).max().filter(|_| tracks);
    let bytes = outcome.phases.iter().map(|p| p.sut.iter().map(|core| core.bytes).sum::<u64>());
    let bytes_per_connection = bytes
        .max()
        .zip(connections_peak.filter(|&peak| peak > 0))
        .map(|(bytes, peak)| bytes as f64 / peak as f64);
    let cores = cores.into_iter().map(|((server, core), sums)| sums.core(server, core)).collect();
    let mut all = Sums::default();
    outcome.phases.iter().flat_map(|phase| &phase.sut).for_each(|core| all.add(core, 0.0));
    Sut {
        source: Source::WhiteBox,
        kind: plan.topology.sut_kind,
        cores,
        connections_peak,
        bytes_per_connection,
        drops: all.drops,
    }
}

/// Connections of all SUT cores at each instant of the samples.
fn held(samples: &[Sample]) -> impl Iterator<Item = u64> {
    let mut instants = BTreeMap::<u64, u64>::new();
    for sample in samples.iter().filter(|sample| sample.role == Role::Sut) {
        let instant = (sample.t_s * 1e9).round() as u64;
        *instants.entry(instant).or_default() += sample.connections.unwrap_or(0);
    }
    instants.into_values()
}

/// A SUT core over all trials.
#[derive(Default)]
struct Sums {
    forwarded: u64,
    seconds: f64,
    busy_ns: u64,
    idle_ns: u64,
    /// Cycles of all packets, and packets whose cycles are known.
    cycles: f64,
    counted: u64,
    drops: BTreeMap<String, u64>,
}

impl Sums {
    fn add(&mut self, core: &crate::testbed::SutCore, seconds: f64) {
        self.forwarded += core.forwarded;
        self.seconds += seconds;
        self.busy_ns += core.busy_ns;
        self.idle_ns += core.idle_ns;
        if let Some(cycles) = core.cycles_per_packet {
            self.cycles += cycles * core.forwarded as f64;
            self.counted += core.forwarded;
        }
        for (reason, count) in &core.drops {
            *self.drops.entry(reason.clone()).or_default() += count;
        }
        if core.refused > 0 {
            *self.drops.entry(PORT_FULL.to_owned()).or_default() += core.refused;
        }
    }

    fn core(self, server: u16, core: u16) -> SutCore {
        let all_ns = self.busy_ns + self.idle_ns;
        SutCore {
            server,
            core,
            forwarded: self.forwarded,
            mpps: per_s(self.forwarded, self.seconds).map(|pps| pps / 1e6),
            busy_share: (all_ns > 0).then(|| self.busy_ns as f64 / all_ns as f64),
            cycles_per_packet: (self.counted > 0).then(|| self.cycles / self.counted as f64),
            drops: self.drops,
        }
    }
}

fn connections(outcome: &Outcome, trials: &[&PhaseOutcome]) -> Connections {
    let records = || outcome.phases.iter().flat_map(|phase| &phase.generators);
    let held = outcome
        .phases
        .iter()
        .map(|phase| phase.generators.iter().map(|record| u64::from(record.held_peak)).sum());
    let measured = |value: fn(&Record) -> u64| {
        let count = trials.iter().flat_map(|trial| &trial.generators).map(value).sum();
        per_s(count, trials.iter().map(|trial| seconds(trial)).sum())
    };
    let mut connections = Connections {
        opened: records().map(|record| record.opened).sum(),
        closed: records().map(|record| record.closed).sum(),
        failed: records().map(|record| record.failed).sum(),
        held_peak: held.max().unwrap_or(0),
        open_rate_achieved: measured(|record| record.opened),
        close_rate_achieved: measured(|record| record.closed),
        ..Connections::default()
    };
    recovery::judge(outcome, &mut connections);
    connections
}
