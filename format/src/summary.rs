//! `summary.json`, schema `krono.summary/1`: what a run found, for reports, comparisons and CI.
//!
//! The schema may grow; what stands here keeps its meaning. Rates are in packets per second (or
//! million packets, where the name says `mpps`), sizes in bytes at the named layer, times in the
//! unit of the name. A value that could not be had is `null` with an entry in `warnings`, never 0.
//! Parts marked `black-box` are computed from what the generator sent and received; `white-box`
//! parts use the SUT's own counters.

use crate::host::Host;
use crate::plan::SutKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub use crate::ledger::Ledger;

/// Value of `schema` in every summary this version writes.
pub const SCHEMA: &str = "krono.summary/1";

/// The layer that frame sizes and bit rates refer to, in words.
pub const LAYER: &str = "L2, frame with FCS";

/// Result of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// Always `krono.summary/1`.
    pub schema: String,
    /// What was run.
    pub run: Run,
    /// Where it ran.
    pub host: Host,
    /// Whether the figures may be used; false when the certificate failed.
    pub valid: bool,
    /// Why the run is invalid, one sentence each; empty when valid.
    pub invalid_reasons: Vec<String>,
    /// What a reader must know before using the figures.
    pub warnings: Vec<Warning>,
    /// Rates of the measured phase.
    pub throughput: Throughput,
    /// What the SUT said about itself.
    pub sut: Sut,
    /// Where every planned probe ended.
    pub ledger: Ledger,
    /// Latency from the planned instant to reception.
    pub latency_us: Latency,
    /// How far these may be from the truth; `null` where it was not measured.
    #[serde(default)]
    pub latency_error_us: Option<LatencyError>,
    /// What became of the connections.
    pub connections: Connections,
    /// One entry per injected event.
    pub recovery_ms: Vec<Recovery>,
    /// Evidence that the generator was not the one being measured.
    pub certificate: Certificate,
    /// The systems that ran beside the SUT; absent where there were none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<Peer>,
    /// Energy of the processors during the measured phase.
    #[serde(default)]
    pub energy: Energy,
    /// The scenario's pass criteria and how they came out.
    pub pass: Pass,
}

/// Identity of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// Name of the run directory.
    pub id: String,
    /// Start, RFC 3339.
    pub started: String,
    /// Name of the scenario: its file name without extension.
    pub scenario: String,
    /// The question the scenario asks.
    pub question: String,
    /// SHA-256 of the scenario file, hexadecimal.
    pub scenario_hash: String,
    /// SHA-256 of the plan, hexadecimal.
    pub plan_hash: String,
    /// Seed of everything random.
    pub seed: u64,
    /// Testbed, as on the command line.
    pub testbed: String,
    /// Git revision of the build; `null` outside a repository.
    pub git: Option<String>,
    /// Version of the binary.
    pub version: String,
    /// Whether the run was cut short; its figures are then partial.
    pub interrupted: bool,
}

/// One thing a reader must know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Warning {
    /// Class, a stable word in kebab case such as `unavailable` or `steal`.
    pub kind: String,
    /// Path of the field concerned, such as `sut.bytes_per_connection`.
    pub field: Option<String>,
    /// The warning, in a sentence.
    pub message: String,
}

impl Warning {
    /// A warning of class `kind` that concerns the whole run.
    pub fn new(kind: &str, message: impl Into<String>) -> Warning {
        Warning { kind: kind.to_owned(), field: None, message: message.into() }
    }

    /// The entry that must accompany a `null`: `field` could not be had, and why.
    pub fn unavailable(field: &str, why: impl Into<String>) -> Warning {
        let (kind, field) = ("unavailable".to_owned(), Some(field.to_owned()));
        Warning { kind, field, message: why.into() }
    }
}

/// Who counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The generator, from packets alone.
    BlackBox,
    /// The SUT, from its own counters.
    WhiteBox,
}

/// What limited the forwarded rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Bound {
    /// The system under test: the figure is its throughput.
    Sut,
    /// The generator: the figure is a lower bound.
    Generator,
    /// The link or the asked rate: the figure is a lower bound.
    Link,
}

/// Rates of the measured phase. A packet counts once, after the SUT; directions are summed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Throughput {
    /// Always `black-box`.
    pub source: Source,
    /// Millions of packets per second planned and sent.
    pub offered_mpps: Option<f64>,
    /// Millions of packets per second that came back verified.
    pub forwarded_mpps: Option<f64>,
    /// The same in gigabits per second at `layer`.
    pub forwarded_gbps: Option<f64>,
    /// Layer of frame sizes and bit rates.
    pub layer: String,
    /// Name of the size mix.
    pub genome: String,
    /// Mean frame size in bytes at `layer`.
    pub mean_frame_bytes: f64,
    /// What limited the rate.
    pub bound: Option<Bound>,
    /// Whether the rate is a lower bound of what the SUT can do.
    pub at_least: bool,
    /// Forwarded Mpps per SUT core.
    pub mpps_per_core: Option<Estimate>,
    /// Raw value of every trial, in order.
    pub trials: Vec<Trial>,
    /// What the search found whose rate this run had; absent where none was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<Found>,
}

/// What a search for a throughput has found (draft-ietf-bmwg-mlrsearch-15). Rates are those offered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Found {
    /// What was searched for: `ndr` or `pdr`.
    pub goal: String,
    /// Share of packets that a trial may lose.
    pub loss_ratio: f64,
    /// Share of the trial time that may lose more.
    pub exceed_ratio: f64,
    /// Length of a full trial in seconds.
    pub trial_s: f64,
    /// Trial time that decides about a load, in seconds.
    pub sum_s: f64,
    /// Width asked for: (upper - lower) / upper.
    pub width: f64,
    /// Highest load that passes; `null` if none did.
    pub lower_mpps: Option<f64>,
    /// Lowest load above it that does not; `null` if the highest one passed.
    pub upper_mpps: Option<f64>,
    /// What came through at the lower bound.
    pub conditional_mpps: Option<f64>,
    /// Whether both bounds are there and no further apart than the width.
    pub regular: bool,
    /// What limited the rate at the upper bound, or at the highest load where all passed.
    pub bound: Option<Bound>,
    /// Whether the SUT may be able to do more: nothing but its own limit makes this false.
    pub at_least: bool,
    /// Number of trials.
    pub trials: u64,
}

/// A value with an interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Estimate {
    /// Point estimate.
    pub value: f64,
    /// Lower end of the interval; `null` when one trial gives none.
    pub low: Option<f64>,
    /// Upper end of the interval; `null` when one trial gives none.
    pub high: Option<f64>,
    /// Confidence of the interval, such as 0.95.
    pub confidence: Option<f64>,
}

/// One trial: one pass of the measured phase.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Trial {
    /// Millions of packets per second planned and sent.
    pub offered_mpps: f64,
    /// Millions of packets per second that came back verified.
    pub forwarded_mpps: f64,
    /// Packets lost.
    pub lost: u64,
    /// Length in seconds.
    pub seconds: f64,
}

/// What the SUT counted itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sut {
    /// Always `white-box`.
    pub source: Source,
    /// Which SUT.
    pub kind: SutKind,
    /// One entry per core.
    pub cores: Vec<SutCore>,
    /// Most connections held at once, all cores.
    pub connections_peak: Option<u64>,
    /// Memory of the connection state in bytes ÷ connections at the peak.
    pub bytes_per_connection: Option<f64>,
    /// Packets dropped in all phases, all cores, by reason; reasons that did not occur are absent.
    #[serde(default)]
    pub drops: BTreeMap<String, u64>,
}

/// One core of the SUT during the measured phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SutCore {
    /// Server, from 0.
    pub server: u16,
    /// Core, from 0 within the server.
    pub core: u16,
    /// Packets sent on.
    pub forwarded: u64,
    /// Millions of packets per second sent on.
    pub mpps: Option<f64>,
    /// Cycles of steps that moved at least one packet ÷ all cycles, 0 to 1.
    pub busy_share: Option<f64>,
    /// TSC cycles of those steps, receive and transmit included, ÷ packets forwarded.
    pub cycles_per_packet: Option<f64>,
    /// Packets dropped, by reason.
    pub drops: BTreeMap<String, u64>,
}

/// Latency in microseconds, measured from the planned instant (no coordinated omission).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Latency {
    /// Median.
    pub p50: Option<f64>,
    /// 90th percentile.
    pub p90: Option<f64>,
    /// 99th percentile.
    pub p99: Option<f64>,
    /// 99.9th percentile.
    pub p999: Option<f64>,
    /// Largest.
    pub max: Option<f64>,
    /// Smallest.
    pub min: Option<f64>,
    /// Packet delay variation: 99.9th percentile − smallest (RFC 8219 section 7.3).
    pub pdv: Option<f64>,
}

/// Bounds of the error of each latency in microseconds, either way: what the generator alone showed
/// through a plain wire at the rate of the run, with the resolution of its time stamps and of its
/// histogram. The bound of a percentile is that of a higher one of the wire: what it leaves out is a
/// tenth of the packets beyond the percentile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LatencyError {
    /// Millions of packets per second through the wire.
    pub rate_mpps: f64,
    /// Packets that were measured on it.
    pub packets: u64,
    /// Of the smallest: from the wire's 90th percentile.
    pub min: f64,
    /// Of the median: from the wire's 95th percentile.
    pub p50: f64,
    /// Of the 90th percentile: from the wire's 99th.
    pub p90: f64,
    /// Of the 99th percentile: from the wire's 99.9th.
    pub p99: f64,
    /// Of the 99.9th percentile: from the wire's 99.99th.
    pub p999: f64,
    /// Of the largest: from the wire's largest.
    pub max: f64,
    /// Of the packet delay variation: the larger one of those of its two ends.
    pub pdv: f64,
}

/// What became of the connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Connections {
    /// Opened and verified.
    pub opened: u64,
    /// Closed by the generator.
    pub closed: u64,
    /// Not established: no translated packet came back.
    pub failed: u64,
    /// Most held at once.
    pub held_peak: u64,
    /// Connections opened per second in the measured phase.
    pub open_rate_achieved: Option<f64>,
    /// Connections closed per second in the measured phase.
    pub close_rate_achieved: Option<f64>,
    /// Never without service for longer than `recovery_ms.resolution` shows, translation unchanged.
    /// This and what follows is counted over the connections probed during the events, and over all
    /// where they were validated afterwards; `null` where no event was injected.
    pub kept: Option<u64>,
    /// Alive with another translation.
    pub remapped: Option<u64>,
    /// Refused by the SUT after an event.
    pub reset: Option<u64>,
    /// Dead after an event, to the end of the run.
    pub lost: Option<u64>,
    /// Dead for a while, then alive with the same translation.
    pub recovered: Option<u64>,
}

/// Recovery from one injected event, in the order they were injected. Times are in milliseconds and
/// start when the event happened. It is told twice, by loss (`blocked`, RFC 6201) and by the clock
/// (`back_at_rate`): where they differ much, the rate came back slowly or the loss was partial.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Recovery {
    /// The event as the scenario has it: `kill sut.server[1]`.
    pub event: String,
    /// Effective blocked time in ms: packets lost on connections that the event concerned ÷ rate
    /// offered to them (RFC 6201).
    pub blocked: Option<f64>,
    /// Median loss of connectivity of a connection that the event concerned, in ms.
    pub p50: Option<f64>,
    /// 99th percentile, in ms.
    pub p99: Option<f64>,
    /// Longest, in ms; of a connection that never came back, which is in `connections.lost` too, to
    /// the end of the phase.
    pub max: Option<f64>,
    /// Finest difference the probes can see, in ms: 2 × connections probed ÷ probe rate, as a
    /// connection is probed up and down alternately.
    pub resolution: Option<f64>,
    /// From the event to the first packet that arrived by another core, in ms.
    pub first_rerouted: Option<f64>,
    /// Packets lost on connections that the event did not concern.
    pub collateral_lost: Option<u64>,
    /// From the event until the router knew of it, in ms.
    pub detected: Option<f64>,
    /// From the event until a slave served the first shard in its master's place, in ms.
    pub takeover: Option<f64>,
    /// From the event to the begin of the first windows in a row, 1 ms each, that all have at least
    /// 99 % of the rate before it, in ms.
    pub back_at_rate: Option<f64>,
}

/// Evidence that the generator was not the one being measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Certificate {
    /// What the generator can do through a plain forwarder ÷ offered rate.
    pub headroom: Option<f64>,
    /// Data packets that left over 100 µs after their planned instant, by the generator's own doing,
    /// ÷ those sent, 0 to 1.
    pub late_send_share: Option<f64>,
    /// (sent − planned) ÷ planned rate.
    pub rate_error: Option<f64>,
    /// Largest |sent − planned| ÷ planned of any one generator core, 0 to 1: a core that cannot keep
    /// its share disappears in the sum of many.
    #[serde(default)]
    pub core_spread: Option<f64>,
    /// CPU time stolen by the hypervisor ÷ time, 0 to 1.
    pub steal_share: Option<f64>,
    /// Mpps of the generator alone through a plain wire.
    pub twin_mpps: Option<f64>,
    /// Mpps of the generator through a plain forwarder in the SUT's place.
    pub forwarder_mpps: Option<f64>,
    /// TSC cycles per packet of that forwarder.
    pub forwarder_cycles_per_packet: Option<f64>,
    /// Longest pause of a generator core, in microseconds.
    pub longest_gap_us: Option<f64>,
}

/// A system that ran beside the SUT: same scenario, same generator, in turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Peer {
    /// Which.
    pub kind: SutKind,
    /// Whether everything it sent was right: all connections established, and no packet corrupt,
    /// misrouted or translated otherwise than at first.
    pub verified: bool,
    /// What was wrong, one sentence each; empty where it is verified.
    pub wrong: Vec<String>,
    /// Forwarded Mpps per core; `null` where it is not verified.
    pub mpps_per_core: Option<Estimate>,
    /// Whether the rate is a lower bound, and the ratio an upper one: generator or link limited it.
    pub at_least: bool,
    /// Packets lost ÷ packets sent in the measured phase, 0 to 1.
    pub lost_share: Option<f64>,
    /// Packets of a scan from outside that it let in ÷ those sent, 0 to 1; `null` without a scan.
    #[serde(default)]
    pub scan_passed_share: Option<f64>,
    /// Mpps per core of the SUT ÷ that of this peer, round by round; `null` where either is not
    /// verified.
    pub ratio: Option<Estimate>,
    /// Raw value of every trial, in order; the figures of a peer that is not verified prove nothing.
    pub trials: Vec<Trial>,
    /// Version, configuration and what carries its packets, in words.
    pub facts: BTreeMap<String, String>,
}

/// Energy of whole processor packages (RAPL), over the time in which the generator of the measured
/// phase sent. Generator, SUT and whatever else ran on these packages are in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Energy {
    /// Joules of all packages; `null` where the host shows no counter.
    pub package_j: Option<f64>,
    /// Seconds in which they were counted.
    pub seconds: Option<f64>,
    /// Joules ÷ seconds.
    pub watts: Option<f64>,
}

/// The scenario's criteria and how they came out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pass {
    /// Whether every criterion is met; true when there is none.
    pub met: bool,
    /// The criteria, in the order of the scenario.
    pub criteria: Vec<Judged>,
}

/// One criterion with the value found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Judged {
    /// Path of the value, such as `ledger.lost`.
    pub name: String,
    /// What was asked.
    pub limit: Limit,
    /// What was found; `null` when it could not be had, and then the criterion is not met.
    pub value: Option<f64>,
    /// Whether the value is within the limit.
    pub met: bool,
}

/// Inclusive limits; at least one end is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Smallest value allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Largest value allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

impl Limit {
    /// Whether `value` is within both ends.
    pub fn allows(&self, value: f64) -> bool {
        self.min.is_none_or(|min| value >= min) && self.max.is_none_or(|max| value <= max)
    }
}
