//! One phase of one core: what is counted while it runs, and the record that is left of it.

use crate::attack::AttackLedger;
use crate::config::{Phase, Until};
use crate::evidence::Exhibit;
use crate::flow::Flow;
use crate::latency::{Latency, Quantiles};
use crate::ledger::Ledger;
use crate::sample::Sample;
use crate::verdict::{Loss, Outage, Timeline, Verdict, Verdicts};
use dataplane::clock::Nanos;
use dataplane::run::Load;
use dataplane::worker::{CoreId, ServerId};
use serde::{Deserialize, Serialize};

/// Most connections that one core names in a phase that validates. All are counted.
pub const NAMES_MAX: usize = 65_536;

/// Counts of a trial under way. Made before the start, so that nothing is allocated later.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trial {
    pub(crate) ledger: Ledger,
    pub(crate) attack: AttackLedger,
    pub(crate) latency: Latency,
    /// Common start, end of sending and end of the drain; zero where it has not come to that.
    pub(crate) start: Nanos,
    pub(crate) stop: Nanos,
    pub(crate) end: Nanos,
    pub(crate) opened: u64,
    pub(crate) closed: u64,
    pub(crate) failed: u64,
    pub(crate) retried: u64,
    pub(crate) held_peak: u32,
    pub(crate) batches: u64,
    pub(crate) room_limited: u64,
    pub(crate) paused: u64,
    pub(crate) longest_gap: Nanos,
    pub(crate) load_before: Load,
    pub(crate) load: Load,
    /// Connections probed in turn, in a phase that has such.
    pub(crate) sample: Option<Sample>,
    pub(crate) verdicts: Verdicts,
    /// Up to its capacity.
    pub(crate) outages: Vec<Outage>,
}

/// What one core has to say about one phase. All of it is black-box but for `busy_share` and
/// `longest_gap_ns`, which are the generator's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Generator server.
    pub server: ServerId,
    /// Its core.
    pub core: CoreId,
    /// Phase, counted from 0.
    pub phase: usize,
    /// Its name.
    pub name: String,
    /// Whether the phase was cut short; its counts are then partial and not conserved.
    pub interrupted: bool,
    /// Common start of all cores, on the clock of the run.
    pub start: Nanos,
    /// From the start to the end of sending, without the drain.
    pub seconds: f64,
    /// Where every planned packet ended.
    pub ledger: Ledger,
    /// What became of the packets of attacks, which are no probes.
    pub attack: AttackLedger,
    /// Latency from the planned instant.
    pub latency: Quantiles,
    /// Buckets of the latency histogram that are not empty: highest value in ns, and count.
    pub histogram: Vec<(u64, u64)>,
    /// Connections established in this phase.
    pub opened: u64,
    /// Connections closed: for TCP, when the answer to the FIN has arrived.
    pub closed: u64,
    /// Connections given up after the configured attempts.
    pub failed: u64,
    /// Packets of openings sent again.
    pub retried: u64,
    /// Most connections held at a time.
    pub held_peak: u32,
    /// Batches of data begun.
    pub batches: u64,
    /// Of these, batches for which the port had less room, or the pool fewer frames, than wanted:
    /// near all of them says that the generator waited for the network, none that the generator
    /// itself was the limit.
    pub room_limited: u64,
    /// Packets, openings and closings given up because they fell due while this core stood still for
    /// more than [`BACKLOG`](crate::schedule::BACKLOG): the system under test was never asked.
    #[serde(default)]
    pub paused: u64,
    /// Longest time between two steps: a preemption by the host shows here.
    pub longest_gap_ns: u64,
    /// Share of the time in steps that moved packets; `null` where it was not measured.
    pub busy_share: Option<f64>,
    /// What became of each connection that the phase asks about: those of its sample, or all that it
    /// validates but for those whose packet never left.
    #[serde(default, skip_serializing_if = "Verdicts::is_empty")]
    pub verdicts: Verdicts,
    /// Those that were not kept; of validated ones, at most [`NAMES_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outages: Vec<Outage>,
    /// The probes of a sample, over time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeline: Option<Timeline>,
    /// Time between two probes of one connection of the sample, either way, in ns. Each direction is
    /// probed half as often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution_ns: Option<u64>,
    /// Mistranslated packets, as many as the core has kept: the first ones of its run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Exhibit>,
}

impl Trial {
    /// Before `phase`, in which packets are awaited for `drain`, with all memory that it needs.
    pub(crate) fn new(phase: &Phase, drain: Nanos) -> Trial {
        let sample =
            phase.sampled().map(|(size, rate_pps, span)| Sample::new(size, rate_pps, span, drain));
        let names = match &sample {
            Some(sample) => sample.size() as usize,
            None if phase.until == Until::Validated => NAMES_MAX,
            None => 0,
        };
        Trial { sample, outages: Vec::with_capacity(names), ..Trial::default() }
    }

    /// Counts a verdict, and names the connection if it was not kept and there is room.
    pub(crate) fn book_verdict(&mut self, flow: &Flow, verdict: Verdict, loss: Loss) {
        self.verdicts.count(verdict);
        if verdict != Verdict::Kept && self.outages.len() < self.outages.capacity() {
            self.outages.push(Outage::new(flow, verdict, loss));
        }
    }

    /// The record of phase `phase`, called `name`, of a core.
    ///
    /// # Panics
    /// If the trial has ended and its ledger is not conserved.
    pub(crate) fn record(
        &mut self,
        server: ServerId,
        core: CoreId,
        phase: usize,
        name: &str,
    ) -> Record {
        let interrupted = self.end == Nanos(0);
        if !interrupted {
            self.ledger.assert_conserved();
        }
        let span = self.stop.since(self.start);
        Record {
            server,
            core,
            phase,
            name: name.to_owned(),
            interrupted,
            start: self.start,
            seconds: span.as_secs_f64(),
            ledger: self.ledger,
            attack: self.attack,
            latency: self.latency.quantiles(),
            histogram: self.latency.buckets(),
            opened: self.opened,
            closed: self.closed,
            failed: self.failed,
            retried: self.retried,
            held_peak: self.held_peak,
            batches: self.batches,
            room_limited: self.room_limited,
            paused: self.paused,
            longest_gap_ns: self.longest_gap.0,
            busy_share: self.load.busy_share(),
            verdicts: self.verdicts,
            outages: self.outages.clone(),
            timeline: self.sample.as_ref().map(|sample| sample.timeline.clone()),
            resolution_ns: self.sample.as_ref().and_then(Sample::resolution_ns),
            evidence: Vec::new(),
        }
    }
}

impl Record {
    /// Packets planned per second.
    pub fn offered_pps(&self) -> f64 {
        self.ledger.planned as f64 / self.seconds
    }

    /// Packets arrived per second of sending, with the addresses and ports of their connection.
    pub fn forwarded_pps(&self) -> f64 {
        self.ledger.verified() as f64 / self.seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Rate;
    use crate::config::tests::config;

    #[test]
    fn names_are_kept_up_to_a_number_and_all_are_counted() {
        let phase =
            Phase { rate: Rate::Max, until: Until::Validated, ..config().phases[1].clone() };
        let mut trial = Trial::new(&phase, Nanos(0));
        trial.book_verdict(&Flow::default(), Verdict::Kept, Loss::default());
        for _ in 0..NAMES_MAX + 5 {
            trial.book_verdict(&Flow::default(), Verdict::Lost, Loss::default());
        }
        let record = trial.record(ServerId(0), CoreId(0), 0, "validate");
        let lost = NAMES_MAX as u64 + 5;
        assert_eq!(record.verdicts, Verdicts { kept: 1, lost, ..Verdicts::default() });
        assert_eq!(record.outages.len(), NAMES_MAX);
    }

    #[test]
    fn a_record_without_verdicts_does_not_speak_of_them() {
        let mut trial = Trial::new(&config().phases[1], Nanos(0));
        let record = trial.record(ServerId(0), CoreId(0), 1, "steady");
        let text = serde_json::to_string(&record).expect("serialises");
        for key in ["verdicts", "outages", "timeline", "resolution_ns", "evidence"] {
            assert!(!text.contains(key), "{text}");
        }
        assert_eq!(serde_json::from_str::<Record>(&text).expect("reads"), record);
    }
}
