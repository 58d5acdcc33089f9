//! Evidence that the generator was not the one being measured, and the rules that follow from it.
//!
//! A run is invalid, neither pass nor fail, when
//!
//! * no trial of the measured phase ran to its end, whoever ended it;
//! * the ledger does not add up, which is a bug of the generator;
//! * an event that the plan asks for did not happen;
//! * a rate was planned and more than [`LATE_SEND_SHARE_MAX`] of the packets left late;
//! * a rate was planned and less than [`OFFERED_SHARE_MIN`] of it left, although the network had
//!   room: what the SUT pushes back is the SUT's doing, the rest the generator's;
//! * the same of any one core, which the sum of many would hide.
//!
//! The last three hold for the measured phase, and for every other one with an event: its recovery
//! is a result as well.
//!
//! With `rate = "max"` there is no plan to miss. The rate is then bound by whoever was waited for:
//! the port said before nearly every batch that it has no room, or refused packets (SUT), or it did
//! not (generator).

use super::seconds;
use super::spread::{self, Pace};
use crate::testbed::{Outcome, PhaseOutcome, SutCore};
use analysis::figure;
use format::plan::{Plan, Rate, SutKind, Testbed, Topology};
use format::summary::{Bound, Certificate, Summary, Warning};
use kronogen::attack::AttackLedger;
use kronogen::ledger::Ledger;

/// Share of packets sent late from which times measured are the generator's own.
const LATE_SEND_SHARE_MAX: f64 = 0.01;
/// Share of the planned rate that must leave.
const OFFERED_SHARE_MIN: f64 = 0.99;
/// Share of batches that had to wait for room from which the network is what was waited for.
const ROOM_LIMITED_MIN: f64 = 0.5;
/// Share of packets refused by the port from which the network is what was waited for.
const REFUSED_SHARE_MAX: f64 = 0.01;
/// Share of the time a core is busy that limits the rate by its own speed.
const BUSY_SHARE_MIN: f64 = 0.8;
/// Share of packets lost from which a SUT does not keep up with a planned rate: PDR of FD.io CSIT.
const LOSS_SHARE_MAX: f64 = 0.005;

/// Fields that compare a rate with the planned one.
const RATE_FIELDS: [&str; 2] = ["certificate.rate_error", "certificate.core_spread"];

/// How every reason begins by which the generator itself is to blame.
pub const LATE: &str = "generator was late";

/// What such a reason says if packets left, and not in time.
pub const SENT_LATE: &str = "left more than";

/// What the generator did in all trials.
pub(super) struct Load {
    rate: Rate,
    seconds: f64,
    ledger: Ledger,
    attack: AttackLedger,
    batches: u64,
    room_limited: u64,
    longest_gap_ns: u64,
    /// Core by core, where a rate was planned.
    paces: Vec<Pace>,
}

impl Load {
    /// What it did in `trials` of the measured phase.
    pub(super) fn of(trials: &[&PhaseOutcome], plan: &Plan) -> Load {
        let rate = plan.measured_phase().map_or(Rate::None, |phase| phase.rate);
        Load::at(rate, trials, &plan.topology)
    }

    /// What it did in `trials` of a phase of `rate`.
    pub(super) fn at(rate: Rate, trials: &[&PhaseOutcome], topology: &Topology) -> Load {
        let per_core_pps = match rate {
            Rate::Pps(pps) => Some(pps / f64::from(topology.generators())),
            Rate::Max | Rate::None => None,
        };
        let mut load = Load {
            rate,
            seconds: trials.iter().map(|trial| seconds(trial)).sum(),
            ledger: Ledger::default(),
            attack: AttackLedger::default(),
            batches: 0,
            room_limited: 0,
            longest_gap_ns: 0,
            paces: per_core_pps.map_or_else(Vec::new, |pps| spread::paces(trials, pps)),
        };
        for record in trials.iter().flat_map(|trial| &trial.generators) {
            load.ledger.add(&record.ledger);
            load.attack.add(&record.attack);
            load.batches += record.batches;
            load.room_limited += record.room_limited;
            load.longest_gap_ns = load.longest_gap_ns.max(record.longest_gap_ns);
        }
        load
    }

    /// Whether the generator had to wait for the network. A port that cannot say what room it has
    /// refuses packets instead; only at the highest rate is every unsent packet such a one.
    fn waited(&self) -> bool {
        let share = |part: u64, all: u64| if all > 0 { part as f64 / all as f64 } else { 0.0 };
        let refused = share(self.ledger.unsent, self.ledger.planned) > REFUSED_SHARE_MAX;
        share(self.room_limited, self.batches) >= ROOM_LIMITED_MIN
            || (self.rate == Rate::Max && refused)
    }

    /// Data sent ÷ data planned at this rate; `None` without a planned rate.
    fn offered_share(&self) -> Option<f64> {
        let Rate::Pps(pps) = self.rate else { return None };
        let planned = pps * self.seconds;
        (planned > 0.0).then(|| self.ledger.data_sent() as f64 / planned)
    }

    /// Of data alone: handshakes have no instants that they could be late for.
    fn late_send_share(&self) -> Option<f64> {
        let sent = self.ledger.data_sent();
        (sent > 0).then(|| self.ledger.sent_late as f64 / sent as f64)
    }

    /// What limited the forwarded rate; `None` if nothing was sent.
    pub(super) fn bound(&self, trials: &[&PhaseOutcome]) -> Option<Bound> {
        if self.ledger.sent == 0 {
            return None;
        }
        let sut = trials.iter().flat_map(|trial| &trial.sut);
        let dropped: u64 = sut.map(|core| core.refused + core.drops.values().sum::<u64>()).sum();
        // To stop an attack is no sign of weakness.
        let dropped = dropped.saturating_sub(self.attack.stopped());
        let lost = self.ledger.lost().max(dropped) as f64 / self.ledger.sent as f64;
        // Waiting is the SUT's doing only if the SUT was at work all the while.
        let busy = busiest(trials).is_none_or(|share| share >= BUSY_SHARE_MIN);
        Some(match self.rate {
            _ if self.waited() && !busy => Bound::Link,
            _ if self.waited() => Bound::Sut,
            Rate::Max => Bound::Generator,
            Rate::Pps(_) if lost > LOSS_SHARE_MAX => Bound::Sut,
            Rate::Pps(_) if self.offered_share().is_some_and(|it| it < OFFERED_SHARE_MIN) => {
                Bound::Generator
            }
            Rate::Pps(_) | Rate::None => Bound::Link,
        })
    }
}

/// The certificate.
pub(super) fn certificate(
    load: &Load,
    outcome: &Outcome,
    topology: &Topology,
    steal_share: Option<f64>,
) -> Certificate {
    let cores = f64::from(topology.generators());
    let forwarder_mpps = outcome.forwarder.map(|reference| reference.mpps * cores);
    let offered_mpps =
        (load.seconds > 0.0).then(|| load.ledger.planned as f64 / load.seconds / 1e6);
    let headroom = forwarder_mpps.zip(offered_mpps.filter(|&mpps| mpps > 0.0));
    Certificate {
        headroom: headroom.map(|(able, offered)| able / offered),
        late_send_share: load.late_send_share(),
        rate_error: load.offered_share().map(|share| share - 1.0),
        core_spread: spread::largest(&load.paces),
        steal_share,
        twin_mpps: outcome.wire.map(|reference| reference.mpps * cores),
        forwarder_mpps,
        forwarder_cycles_per_packet: outcome.forwarder.and_then(|it| it.cycles_per_packet),
        longest_gap_us: (load.batches > 0).then(|| load.longest_gap_ns as f64 / 1e3),
    }
}

/// What the cores that ran stand for, where that is more than themselves.
fn aggregate(plan: &Plan) -> Option<Warning> {
    let topology = &plan.topology;
    let times = u64::from(topology.sut_stands_for);
    let [cores, connections] = [u64::from(topology.suts()), plan.traffic.connections];
    let message = format!(
        "Each core of the SUT stands for {times} of its server, simulated: the {} connections of {} \
         cores that ran, all of them counted, are one part in {times} of {} connections on {} cores. \
         Every count and rate is of the part that ran.",
        figure::count(connections),
        figure::count(cores),
        figure::count(connections * times),
        figure::count(cores * times),
    );
    (times > 1).then(|| Warning::new("aggregate", message))
}

/// What virtual time does not say, or says because it was told.
fn virtual_time(plan: &Plan) -> Vec<Warning> {
    if plan.testbed != Testbed::Sim {
        return Vec::new();
    }
    let fields = ["certificate.headroom", "sut.cores.busy_share", "sut.cores.cycles_per_packet"];
    let (told, why) = match plan.sut.packet_cost_ps {
        None => (fields.len(), "virtual time says when something happens, not what it costs."),
        Some(_) => (1, "virtual time has no processors that generator and SUT would share."),
    };
    let mut warnings: Vec<Warning> =
        fields[..told].iter().map(|field| Warning::unavailable(field, why)).collect();
    if let Some(ps) = plan.sut.packet_cost_ps {
        let message = format!(
            "Simulated: a packet takes a core of the SUT {} ns because the plan says so. Rates are \
             those of cores that are as fast as that and share nothing but the network.",
            figure::trimmed(ps as f64 / 1e3, 6)
        );
        warnings.push(Warning::new("costed", message));
    }
    warnings
}

/// What the counts say a reader must know, and why values are `null` where that is known.
pub(super) fn warnings(
    plan: &Plan,
    outcome: &Outcome,
    load: &Load,
    trials: &[&PhaseOutcome],
) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if load.rate == Rate::Max {
        let why = "rate = \"max\" plans no rate that could be missed.";
        warnings.extend(RATE_FIELDS.map(|field| Warning::unavailable(field, why)));
        let message = "At rate = \"max\" queues are full: latency is that of full queues. Remedy: \
                       ask for a rate below the throughput.";
        warnings.push(Warning {
            field: Some("latency_us.p50".to_owned()),
            ..Warning::new("saturated", message)
        });
    }
    if load.rate == Rate::None {
        let why = "the measured phase sends no data.";
        warnings.extend(RATE_FIELDS.map(|field| Warning::unavailable(field, why)));
        warnings.push(Warning::unavailable("certificate.late_send_share", why));
    }
    let kind = plan.topology.sut_kind;
    if !kind.is_of_this_project() {
        let why = match kind.translates_nothing() {
            true => format!("a {kind} keeps no connections."),
            false => format!("{kind} is not looked into."),
        };
        for field in ["sut.connections_peak", "sut.bytes_per_connection"] {
            warnings.push(Warning::unavailable(field, &why));
        }
    }
    if kind == SutKind::Forwarder {
        let why = "the SUT is itself the forwarder that headroom is measured with.";
        warnings.push(Warning::unavailable("certificate.headroom", why));
    }
    warnings.extend(virtual_time(plan));
    warnings.extend(aggregate(plan));
    if !outcome.injected.is_empty() {
        let why = "no packet says by which core it came; see takeover and back_at_rate.";
        warnings.push(Warning::unavailable("recovery_ms.first_rerouted", why));
        let expected = ["recovery_ms.detected", "recovery_ms.takeover", "recovery_ms.back_at_rate"];
        let why = "for at least one event: nobody had to notice it or take over, or there was no \
                   sample to see the rate of.";
        warnings.extend(expected.map(|field| Warning::unavailable(field, why)));
    }
    let mut all = Ledger::default();
    let mut failed = 0;
    for record in outcome.phases.iter().flat_map(|phase| &phase.generators) {
        all.add(&record.ledger);
        failed += record.failed;
    }
    let mut some = |kind: &str, field: Option<&str>, count: u64, what: &str| {
        if count > 0 {
            let message = format!("{} {what}", figure::count(count));
            let field = field.map(str::to_owned);
            warnings.push(Warning { field, ..Warning::new(kind, message) });
        }
    };
    let what = "packets came with other addresses or ports than their connection's: no rate counts \
                them.";
    some("mistranslated", Some("throughput.forwarded_mpps"), all.mistranslated, what);
    let failed_field = Some("connections.failed");
    some(
        "not-established",
        failed_field,
        failed,
        "connections were given up: see the SUT's drops.",
    );
    some("stale", None, all.stale, "packets came too late to say whether they are duplicates.");
    some("stray", None, all.stray, "packets came for connections that were over.");
    some("other-trial", None, all.other_trial, "packets of one phase came in another.");
    some("foreign", None, all.foreign, "frames came that no generator sent.");
    warnings.extend(idle_sut(load, trials));
    let cut = trials.iter().flat_map(|trial| &trial.generators).any(|record| record.interrupted);
    if cut && !outcome.interrupted {
        warnings.push(Warning::new("cut-short", "A trial was cut short without being asked to."));
    }
    warnings
}

/// Share of the time that the busiest SUT core moved packets; `None` where no core tells.
fn busiest(trials: &[&PhaseOutcome]) -> Option<f64> {
    let share = |core: &SutCore| core.busy_ns as f64 / (core.busy_ns + core.idle_ns).max(1) as f64;
    trials.iter().flat_map(|trial| &trial.sut).map(share).reduce(f64::max)
}

/// The generator waited for a SUT that was not busy: one of them was kept from working.
fn idle_sut(load: &Load, trials: &[&PhaseOutcome]) -> Option<Warning> {
    let busiest = busiest(trials)?;
    (load.waited() && busiest < BUSY_SHARE_MIN).then(|| {
        let message = format!(
            "The generator waited for room while the SUT's busiest core moved packets in {} of the \
             time only: other work had their CPUs, or packets came in lumps. Remedy: give each core a \
             CPU of its own, see `krono doctor`.",
            figure::percent(busiest)
        );
        let field = Some("throughput.bound".to_owned());
        Warning { field, ..Warning::new("idle-sut", message) }
    })
}

/// Why the run is invalid, one sentence each.
pub(super) fn invalid_reasons(
    summary: &Summary,
    load: &Load,
    trials: &[&PhaseOutcome],
    missed: Option<(usize, f64)>,
    lacking: Option<[usize; 2]>,
) -> Vec<String> {
    let mut reasons = Vec::new();
    let complete = |trial: &&&PhaseOutcome| trial.generators.iter().all(|it| !it.interrupted);
    if trials.iter().filter(complete).count() == 0 {
        reasons.push("no trial of the measured phase came to its end".to_owned());
    }
    if !summary.ledger.conserved() {
        reasons.push(
            "planned = on time + late + lost + unsent does not hold: a bug of the generator"
                .to_owned(),
        );
    }
    if let Some((count, first_s)) = missed {
        reasons.push(format!(
            "the router missed {count} cores to which nothing had been done, the first at \
             {first_s:.3} s: they got no processor in time, and neither would what is measured"
        ));
    }
    if let Some([happened, asked]) = lacking {
        reasons.push(format!("{happened} of the {asked} events that were asked for happened"));
    }
    if !is_mute(summary, load) {
        reasons.extend(late(load, ""));
    }
    reasons
}

/// Whether a core sent too little, and not for want of room.
fn is_to_blame(pace: &Pace) -> bool {
    pace.share() < OFFERED_SHARE_MIN && pace.room_limited_share() < ROOM_LIMITED_MIN
}

/// Whether the SUT let no connection be opened of those that were tried: then the generator has nobody
/// to send data to, which is not its own doing.
pub(super) fn is_mute(summary: &Summary, load: &Load) -> bool {
    let tried = summary.ledger.planned > summary.ledger.unsent;
    tried && summary.connections.opened == 0 && load.ledger.data_sent() == 0
}

/// Why what a phase at a planned rate shows may be the generator's doing; `place` says which phase it
/// is, where that must be said.
pub(super) fn late(load: &Load, place: &str) -> Vec<String> {
    if !matches!(load.rate, Rate::Pps(_)) {
        return Vec::new();
    }
    let late = load.late_send_share().filter(|&share| share > LATE_SEND_SHARE_MAX).map(|share| {
        format!(
            "{LATE}: {} of the packets{place} {SENT_LATE} 100 µs after their instant, at \
             most {} may",
            figure::percent(share),
            figure::percent(LATE_SEND_SHARE_MAX)
        )
    });
    let mut reasons: Vec<String> = late.into_iter().collect();
    let offered = load.offered_share().filter(|&share| share < OFFERED_SHARE_MIN);
    if let Some(share) = offered.filter(|_| !load.waited()) {
        reasons.push(format!(
            "{LATE}: it sent {} of the planned rate{place} although the network had room, at \
             least {} is needed",
            figure::percent(share),
            figure::percent(OFFERED_SHARE_MIN)
        ));
        return reasons;
    }
    let slow: Vec<&Pace> = load.paces.iter().filter(|pace| is_to_blame(pace)).collect();
    if let Some(worst) = slow.iter().min_by(|a, b| a.share().total_cmp(&b.share())) {
        reasons.push(format!(
            "{LATE}: {} of {} cores sent less than {} of their part of the planned rate{place} although \
             the network had room, core {}.{} the least, {}",
            slow.len(),
            load.paces.len(),
            figure::percent(OFFERED_SHARE_MIN),
            worst.server,
            worst.core,
            figure::percent(worst.share())
        ));
    }
    reasons
}
