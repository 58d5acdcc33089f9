//! Testbeds: where a plan becomes packets. Each starts generator and SUT, lets the phases run, and
//! returns what both sides counted; none judges it.
//!
//! A testbed that cannot run on this machine says what is missing and starts nothing.

mod conduct;
mod core;
pub(crate) mod device;
pub mod embedded;
mod fleet;
pub mod hosts;
mod inject;
mod monitor;
pub mod netns;
mod network;
pub mod process;
pub mod program;
mod reference;
pub mod sim;
pub mod tap;
mod watch;

use dataplane::clock::Nanos;
use format::plan::{Injection, Plan, SutKind, Testbed};
use format::sample::{Event, Sample};
use kronogen::trial::Record;
use std::collections::BTreeMap;

/// What a run tells whoever watches it, some times a second.
#[derive(Clone, Debug)]
pub struct Observation {
    /// What is going on: a phase of the plan, or a reference measurement.
    pub phase: String,
    /// Seconds until the phase ends; `None` when that depends on what happens.
    pub left_s: Option<f64>,
    /// Rows for `samples.csv`; none while a reference is measured.
    pub samples: Vec<Sample>,
    /// Packets dropped so far, by reason, all SUT cores.
    pub drops: BTreeMap<String, u64>,
    /// What happened since the last observation.
    pub events: Vec<Event>,
}

/// What a whole run has counted.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The phases in the order they ran, repeated ones again.
    pub phases: Vec<PhaseOutcome>,
    /// The generator alone through a plain wire.
    pub wire: Option<Reference>,
    /// The same load through a plain forwarder in the SUT's place.
    pub forwarder: Option<Reference>,
    /// Latency of the generator alone at the rate of the run.
    pub calibration: Option<Calibration>,
    /// What happened at which instant.
    pub events: Vec<Event>,
    /// What was done to the SUT, in order.
    pub injected: Vec<Injected>,
    /// Why these figures prove nothing, as far as the testbed knows: servers that were lost or
    /// late.
    pub faults: Vec<String>,
    /// The servers, where each is a machine of its own.
    pub servers: Vec<hosts::Record>,
    /// What was found out about the SUT while it was started, in words.
    pub facts: BTreeMap<String, String>,
    /// The systems that ran beside the SUT.
    pub peers: Vec<PeerRun>,
    /// Packets on both sides, where a sample was asked for.
    pub specimens: Vec<tap::Specimen>,
    /// The run was stopped before its end: what is here is what was counted until then.
    pub interrupted: bool,
}

/// A system that ran beside the SUT.
#[derive(Clone, Debug)]
pub struct PeerRun {
    /// Which.
    pub kind: SutKind,
    /// What there is to know of it, in words.
    pub facts: BTreeMap<String, String>,
    /// Its phases in the order they ran, round by round.
    pub phases: Vec<PhaseOutcome>,
}

/// Something that was done to the SUT.
#[derive(Clone, Debug, PartialEq)]
pub struct Injected {
    /// Place of the phase in [`Outcome::phases`].
    pub phase: usize,
    /// When, on the clock of the run.
    pub at: Nanos,
    /// In seconds since the first phase began.
    pub t_s: f64,
    /// What, as the scenario has it.
    pub what: Injection,
}

/// One phase.
#[derive(Clone, Debug)]
pub struct PhaseOutcome {
    /// Its name in the plan.
    pub name: String,
    /// Which repetition, from 0.
    pub repetition: u32,
    /// What each generator core sent and got back: black-box.
    pub generators: Vec<Record>,
    /// What each SUT core counted itself: white-box.
    pub sut: Vec<SutCore>,
}

/// A SUT core's own figures over one phase.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SutCore {
    /// Server of the core.
    pub server: u16,
    /// The core on its server.
    pub core: u16,
    /// Packets received.
    pub received: u64,
    /// Packets sent on.
    pub forwarded: u64,
    /// Packets the port refused to send.
    pub refused: u64,
    /// Time of steps that moved packets, in nanoseconds.
    pub busy_ns: u64,
    /// Time of all other steps, in nanoseconds.
    pub idle_ns: u64,
    /// Steps that moved packets.
    pub busy_steps: u64,
    /// Cycles per packet forwarded, of steps that moved packets, on this machine's counter.
    pub cycles_per_packet: Option<f64>,
    /// Connections held at the end of the phase.
    pub connections: u64,
    /// Bytes of memory for connections.
    pub bytes: u64,
    /// Packets dropped, by reason; reasons that did not occur are absent.
    pub drops: BTreeMap<String, u64>,
}

/// A measurement beside the run, taken with the same traffic on the same cores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reference {
    /// Packets per generator core and second that came back verified, in millions.
    pub mpps: f64,
    /// Cycles per packet of the forwarder; `None` for the wire.
    pub cycles_per_packet: Option<f64>,
}

/// Latency of the generator alone, through a plain wire at the rate of the measured phase: all of it
/// is the generator's own, so this much of a latency behind a SUT may be, too. Percentiles in
/// nanoseconds, over all cores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    /// Packets per second, all cores.
    pub rate_pps: f64,
    /// Packets measured.
    pub packets: u64,
    /// 90th percentile.
    pub p90_ns: u64,
    /// 95th percentile.
    pub p95_ns: u64,
    /// 99th percentile.
    pub p99_ns: u64,
    /// 99.9th percentile.
    pub p999_ns: u64,
    /// 99.99th percentile.
    pub p9999_ns: u64,
    /// Largest.
    pub max_ns: u64,
}

/// What the generator reaches without the SUT, as far as it was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct References {
    /// Through a plain wire.
    pub wire: Option<Reference>,
    /// Through a plain forwarder in the SUT's place.
    pub forwarder: Option<Reference>,
    /// Through a plain wire, at the rate of the run.
    pub calibration: Option<Calibration>,
}

/// Why a testbed did not run.
#[derive(Debug, thiserror::Error)]
pub enum TestbedError {
    /// It cannot run on this machine.
    #[error("testbed `{testbed}` cannot run here: {missing}")]
    Unavailable {
        /// Its name.
        testbed: Testbed,
        /// What is missing, and the remedy.
        missing: String,
    },
    /// It started and broke.
    #[error("testbed `{testbed}`: {source:#}")]
    Failed {
        /// Its name.
        testbed: Testbed,
        /// What broke.
        source: anyhow::Error,
    },
}

impl TestbedError {
    pub(crate) fn failed(plan: &Plan, source: impl Into<anyhow::Error>) -> TestbedError {
        TestbedError::Failed { testbed: plan.testbed.clone(), source: source.into() }
    }
}
