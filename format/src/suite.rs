//! `suite.json`, schema `krono.suite/1`: what a suite of an RFC found, with every trial it made.
//!
//! A suite is many runs with one question. Each trial is a run directory of its own with its own
//! summary; here stands what was made of them, in the form that the RFC asks for, and the counts from
//! which it was made. Rates are packets or connections per second, times in the unit of the name,
//! sizes in bytes at L2 with FCS. A value that could not be had is `null`, never 0.

use crate::host::Host;
use crate::summary::{Bound, Found, Latency, LatencyError, Recovery, Run, Warning};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Value of `schema` in every suite this version writes.
pub const SCHEMA: &str = "krono.suite/1";

/// Result of a suite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Suite {
    /// Always `krono.suite/1`.
    pub schema: String,
    /// Name of the suite, such as `rfc2544`.
    pub suite: String,
    /// What was run.
    pub run: Run,
    /// Where it ran.
    pub host: Host,
    /// How long and how often, and whether that is what the RFC asks for.
    pub settings: Settings,
    /// Whether the results may be used.
    pub valid: bool,
    /// Why not, one sentence each.
    pub invalid_reasons: Vec<String>,
    /// What a reader must know before using them.
    pub warnings: Vec<Warning>,
    /// Limits of the SUT that were set, for the reader: (name, value).
    pub limits: Vec<(String, String)>,
    /// The results.
    pub results: Results,
    /// Every trial, in the order made; invalid ones too.
    pub trials: Vec<Trial>,
}

/// How long and how often.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Settings {
    /// Name of the preset: `rfc`, `tst009` or `quick`.
    pub preset: String,
    /// Length of the first trials of a search, in seconds.
    pub initial_s: f64,
    /// Length of a full trial in seconds.
    pub trial_s: f64,
    /// Trial time that decides about a load, in seconds.
    pub sum_s: f64,
    /// Share of packets that a trial may lose.
    pub loss_ratio: f64,
    /// Share of the trial time that may lose more.
    pub exceed_ratio: f64,
    /// Width at which searches end: (upper - lower) / upper.
    pub width: f64,
    /// Repetitions of what is repeated.
    pub repetitions: u32,
    /// Times an invalid trial is repeated before the suite is invalid.
    pub invalid_max: u32,
    /// How these lengths stand to the RFC's, in a sentence.
    pub durations: String,
}

/// The results of a suite, by its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Results {
    /// Throughput, latency, frame loss rate, back-to-back frames.
    Rfc2544(Vec<FrameSize>),
    /// Latency and packet delay variation.
    Rfc8219(Vec<DelaySize>),
    /// Connections: rate, tear-down, capacity.
    Rfc9693(Stateful),
    /// TCP: connections per second, concurrent connections, throughput.
    Rfc9411(Tcp),
    /// Recovery from what the scenario does to the SUT.
    Failover(Vec<EventSpread>),
}

/// What RFC 2544 asks of one frame size, or of a mix of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FrameSize {
    /// Frame size in bytes, or the name of the mix.
    pub frame: String,
    /// Mean size in bytes.
    pub mean_frame_bytes: f64,
    /// Packets per second forwarded when offered as many as the port takes.
    pub mrr_pps: Option<f64>,
    /// Highest rate tried: what the generator does by itself on this testbed, or half as much again
    /// as the SUT forwards at most, whichever is less. 100 % of the frame loss rate.
    pub rate_max_pps: f64,
    /// Highest rate without loss (section 26.1).
    pub throughput: Option<Found>,
    /// Highest rate with a loss of at most 0.5 %.
    pub pdr: Option<Found>,
    /// Latency at the throughput (section 26.2).
    pub latency: Option<LatencyAtRate>,
    /// Frame loss rate (section 26.3), from the highest rate down.
    pub frame_loss: Vec<LossPoint>,
    /// Back-to-back frames (RFC 9004).
    pub back_to_back: Option<BackToBack>,
}

/// Latency of several trials at one rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LatencyAtRate {
    /// Rate offered, in packets per second.
    pub rate_pps: f64,
    /// What share of the throughput this is: less than 1 where the generator was late at more.
    pub throughput_share: f64,
    /// Length of each trial in seconds.
    pub trial_s: f64,
    /// Medians of the trials.
    pub typical_us: Spread,
    /// 99.9th percentiles of the trials.
    pub worst_us: Spread,
    /// Mean of the medians, as RFC 2544 reports it.
    pub mean_us: Option<f64>,
}

/// Values of repetitions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Spread {
    /// The values, in the order measured.
    pub values: Vec<f64>,
    /// Smallest.
    pub min: Option<f64>,
    /// 1st percentile.
    pub p1: Option<f64>,
    /// Median.
    pub median: Option<f64>,
    /// 99th percentile.
    pub p99: Option<f64>,
    /// Largest.
    pub max: Option<f64>,
}

/// One point of the frame loss rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LossPoint {
    /// Rate in percent of the highest one.
    pub percent: f64,
    /// Rate offered, in packets per second.
    pub offered_pps: f64,
    /// Frames lost or never sent, in percent of those planned.
    pub loss_percent: f64,
}

/// Back-to-back frames (RFC 9004).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BackToBack {
    /// Rate of the bursts, in packets per second.
    pub rate_pps: f64,
    /// Longest burst without loss of each repetition, in frames.
    pub frames: Spread,
    /// Mean of them.
    pub mean_frames: Option<f64>,
    /// Standard deviation of them.
    pub stdev_frames: Option<f64>,
    /// Whether the longest burst tried passed: a buffer was then not found.
    pub at_least: bool,
    /// Mean burst / rate, in seconds (section 6.3): implied buffer time.
    pub buffer_s: Option<f64>,
    /// The same less what was forwarded meanwhile: x (1 - throughput / rate).
    pub corrected_buffer_s: Option<f64>,
}

/// Latency and packet delay variation of one frame size (RFC 8219 section 7).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DelaySize {
    /// Frame size in bytes, or the name of the mix.
    pub frame: String,
    /// The throughput.
    pub throughput: Found,
    /// Rate at which times are measured, in packets per second.
    pub rate_pps: Option<f64>,
    /// What share of the throughput this is: less than 1 where the generator was late at more.
    pub throughput_share: Option<f64>,
    /// Typical latency: the median of each repetition.
    pub typical_us: Spread,
    /// Worst-case latency: the 99.9th percentile of each.
    pub worst_us: Spread,
    /// Packet delay variation: 99.9th percentile - smallest, of each.
    pub pdv_us: Spread,
}

/// What RFC 9693 asks of a stateful SUT.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stateful {
    /// Connections of an elementary test of the rate.
    pub connections: u64,
    /// Connections that the generator alone opens per second, through a plain forwarder.
    pub generator_per_s: Option<f64>,
    /// Maximum connection establishment rate, every tuple validated by reverse traffic.
    pub establishment_per_s: Searched,
    /// Connection tear-down rate, at each number of connections; none where nothing is TCP.
    pub teardown: Vec<Teardown>,
    /// Connections the table holds, every tuple validated.
    pub capacity: Option<Searched>,
    /// What happens beyond.
    pub overflow: Option<Overflow>,
}

/// Tear-down rate at a number of connections.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Teardown {
    /// Connections held at the start.
    pub connections: u64,
    /// Connections closed per second.
    pub per_s: Searched,
}

/// A value found by several searches.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Searched {
    /// What each search found: the highest value that passed.
    pub found: Spread,
    /// Largest distance to what did not pass, as a share of it: the search error.
    pub error: Option<f64>,
    /// Whether in one of them the highest value tried passed: the SUT may be able to do more.
    pub at_least: bool,
}

/// What a SUT does with connections it has no room for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Overflow {
    /// Connections asked for.
    pub asked: u64,
    /// Established, as far as their own handshake says.
    pub established: u64,
    /// Of these, alive when every tuple was validated.
    pub alive: u64,
    /// The policy.
    pub policy: Policy,
}

/// What a SUT does when its table is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// New connections are refused, and old ones live.
    Refuse,
    /// New connections take the place of old ones.
    Evict,
    /// Fewer are served than there is room for.
    Collapse,
}

/// TCP performance by the words of RFC 9411, without an application.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tcp {
    /// Share of connections that may fail.
    pub failed_share_max: f64,
    /// Connections per second, each opened and closed.
    pub connections_per_s: Searched,
    /// Concurrent connections.
    pub concurrent: Searched,
    /// Throughput over them.
    pub throughput: Option<Found>,
    /// The same through a plain forwarder in the SUT's place, in Mpps (section 4.3's reference).
    pub reference_mpps: Option<f64>,
}

/// One event of a scenario, over all runs of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EventSpread {
    /// The event.
    pub event: String,
    /// Runs that are valid.
    pub valid: u32,
    /// Runs that are not; their figures are in `trials` and in nothing else.
    pub invalid: u32,
    /// Effective blocked time in ms (RFC 6201), of the valid runs.
    pub blocked_ms: Spread,
    /// Longest outage of a connection in ms, of each.
    pub longest_ms: Spread,
    /// Until the router knew, in ms.
    pub detected_ms: Spread,
    /// Until the rate was back, in ms.
    pub back_at_rate_ms: Spread,
    /// Connections lost for good, of each run.
    pub connections_lost: Spread,
    /// Packets lost on connections that the event did not concern, of each run.
    pub collateral_lost: Spread,
}

/// One trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Trial {
    /// What it was for; the same again where an invalid one was repeated.
    pub key: String,
    /// Its run directory, below the suite's.
    pub run: String,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// Whether it could be used.
    pub valid: bool,
    /// Why not.
    pub invalid_reasons: Vec<String>,
    /// Whether the criteria of its scenario were met; true where there are none.
    pub pass_met: bool,
    /// What limited its rate.
    pub bound: Option<Bound>,
    /// Latency of the measured phase.
    pub latency_us: Latency,
    /// How far these may be from the truth, of trials whose times count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_error_us: Option<LatencyError>,
    /// Phase by phase, what the generator counted.
    pub phases: Vec<Phase>,
    /// What came of events, if there were any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recovery_ms: Vec<Recovery>,
}

impl Trial {
    /// The last phase of this name.
    pub fn phase(&self, name: &str) -> Option<&Phase> {
        self.phases.iter().rev().find(|phase| phase.name == name)
    }
}

/// Counts of a phase, all generator cores.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// Length in seconds, without drain.
    pub seconds: f64,
    /// Packets planned.
    pub planned: u64,
    /// Packets that came back as they should: not mistranslated.
    pub arrived: u64,
    /// Packets that never left.
    pub unsent: u64,
    /// Packets sent over 100 us after their instant.
    pub sent_late: u64,
    /// Share of batches for which the network had no room, 0 to 1.
    pub room_limited_share: f64,
    /// Packets, openings and closings given up because a generator core stood still when they fell
    /// due.
    #[serde(default)]
    pub paused: u64,
    /// Longest pause of a generator core, in microseconds.
    pub longest_gap_us: f64,
    /// Connections established.
    pub opened: u64,
    /// Connections given up.
    pub failed: u64,
    /// Packets of openings sent again.
    pub retried: u64,
    /// Connections closed.
    pub closed: u64,
    /// Connections validated that are as they were.
    pub kept: u64,
    /// Connections validated that are not, or are gone.
    pub gone: u64,
    /// Of these, connections that did not come back.
    pub lost: u64,
}
