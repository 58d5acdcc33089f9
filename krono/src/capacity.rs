//! What a plan takes of the machine: CPUs and memory, part by part, and whether it is there.
//!
//! Estimates from the sizes of the records and the limits of the plan. They are upper bounds of
//! what is resident, within some ten per cent: tables are sized in powers of two and touched whole
//! at the start.

use analysis::figure;
use dataplane::port::link::{DEPTH, frames_per_lane};
use format::Plan;
use format::plan::{Polling, Testbed, Topology};
use format::scenario::Demand;
use std::fmt;

/// Bytes of a connection's record in the generator.
const GENERATOR_RECORD_BYTES: u64 = 64;
/// Bytes of the SUT's record of an external port.
const PORT_RECORD_BYTES: u64 = 16;
/// Bytes of the SUT's account of what a subscriber holds.
const ACCOUNT_BYTES: u64 = 8;
/// Bytes of a line of the SUT's table, and entries of one.
const LINE_BYTES: u64 = 64;
const LINE_ENTRIES: f64 = 7.0;
/// Share of the table's places that hold an entry when it is full.
const LOAD_MAX: f64 = 0.8;
/// Bytes of a frame's buffer.
const FRAME_BYTES: u64 = 2112;
/// Time for which the generator recognises a closed connection, twice, in seconds.
const LINGER_S: f64 = 0.2;
/// The process itself: code, stacks, histograms, samples.
const BASE_BYTES: u64 = 64 << 20;

/// CPUs that are busy all the time: one for each core, or any one where cores sleep when idle and in
/// virtual time.
pub fn cpus_needed(plan: &Plan) -> usize {
    match plan.topology.polling {
        _ if plan.testbed == Testbed::Sim => 1,
        Polling::Busy => (plan.topology.generators() + plan.topology.suts()) as usize,
        Polling::Adaptive => 1,
    }
}

/// Memory a plan takes, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Records of the generator's connections.
    pub generator: u64,
    /// The SUT's records of external ports, and accounts of the subscribers that have them.
    pub ports: u64,
    /// The SUT's tables.
    pub tables: u64,
    /// Frames of all pools.
    pub frames: u64,
}

impl Memory {
    /// What `plan` takes.
    pub fn of(plan: &Plan, demand: &Demand) -> Memory {
        let Topology { sut_kind, .. } = plan.topology;
        let (generators, suts) =
            (u64::from(plan.topology.generators()), u64::from(plan.topology.suts()));
        let close = plan.phases.iter().map(|phase| phase.close_per_s).fold(0.0, f64::max);
        let held = demand.held_peak.max(plan.traffic.connections).div_ceil(generators);
        let lingering = (close / generators as f64 * LINGER_S) as u64;
        let records = (held + lingering + 64).next_power_of_two();
        let tracks = u64::from(sut_kind.is_of_this_project());
        let addresses = &plan.addresses;
        let subscribers = plan.topology.pairs() * u64::from(addresses.subscribers_per_pair);
        let block = u64::from(addresses.port_block) * PORT_RECORD_BYTES;
        let lines = plan.sut.table_entries as f64 / LOAD_MAX / LINE_ENTRIES;
        let per_pair = frames_per_lane(DEPTH) as u64;
        Memory {
            generator: generators * records * GENERATOR_RECORD_BYTES,
            ports: tracks * subscribers * (block + ACCOUNT_BYTES),
            tables: tracks * suts * (lines.ceil() as u64).next_power_of_two() * LINE_BYTES,
            frames: 2 * plan.topology.pairs() * per_pair * FRAME_BYTES,
        }
    }

    /// All of it, the process itself included.
    pub fn total(&self) -> u64 {
        self.generator + self.ports + self.tables + self.frames + BASE_BYTES
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [generator, ports, tables, frames] =
            [self.generator, self.ports, self.tables, self.frames].map(figure::bytes);
        write!(
            f,
            "about {}: {generator} connections of the generator, {ports} ports and {tables} tables \
             of the SUT, {frames} frames, {} the process",
            figure::bytes(self.total()),
            figure::bytes(BASE_BYTES)
        )
    }
}

/// A resource that `plan` needs and the machine lacks, with the remedy; `None` if all is there.
/// What the machine does not say is taken to be there.
pub fn lacking(plan: &Plan, cpus: usize, available_bytes: Option<u64>) -> Option<String> {
    let needed = cpus_needed(plan);
    if needed > cpus {
        let Topology { generator_servers, generator_cores, sut_servers, sut_cores, .. } =
            plan.topology;
        return Some(format!(
            "topology: {generator_servers} x {generator_cores} generator cores and {sut_servers} x \
             {sut_cores} SUT cores need {needed} CPUs, this process may use {cpus}\n  Lower \
             topology.generators.cores or topology.sut.cores, set topology.polling = \
             \"adaptive\", or run on more CPUs."
        ));
    }
    let demand =
        Demand::of(&plan.phases, &plan.sut.timers, plan.traffic.udp_share, plan.traffic.zipf);
    let (memory, available) = (Memory::of(plan, &demand), available_bytes?);
    (memory.total() > available).then(|| {
        format!(
            "traffic.connections: the plan takes {memory}; {} are available\n  Lower \
             traffic.connections or sut.port_block, or free memory.",
            figure::bytes(available)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use format::{RunOptions, Scenario};

    fn plan(more: &str) -> Plan {
        let source = format!(
            "schema = 1\nquestion = \"?\"\n{more}\n[traffic]\nconnections = 1032192\n[[phase]]\n\
             name = \"fill\"\nopen = \"1M/s\"\n"
        );
        let scenario = Scenario::parse(&source, "a.toml").expect("well formed");
        scenario.resolve(&RunOptions::default()).expect("sensible")
    }

    #[test]
    fn a_million_connections_take_some_hundred_megabytes() {
        let plan = plan("");
        let demand = Demand::of(&plan.phases, &plan.sut.timers, 0.5, 0.0);
        let memory = Memory::of(&plan, &demand);
        // 2^20 records of 64 bytes; 16,384 subscribers with 64 ports of 16 bytes and an account each.
        assert_eq!(memory.generator, 64 << 20);
        assert_eq!(memory.ports, (16 << 20) + (128 << 10));
        // 2^21 entries at load 0.8, seven to a line of 64 bytes.
        assert_eq!(memory.tables, 524_288 * 64);
        assert!(memory.total() < 256 << 20, "{memory}");
    }

    #[test]
    fn what_is_missing_is_said_with_its_number() {
        let two = plan("[topology]\nsut = { cores = 2 }\n");
        let text = lacking(&two, 2, None).expect("too few CPUs");
        assert!(text.contains("need 3 CPUs") && text.contains("may use 2"), "{text}");
        let text = lacking(&two, 3, Some(1 << 20)).expect("too little memory");
        assert!(text.contains("1 MiB are available"), "{text}");
        assert_eq!(lacking(&two, 3, Some(1 << 30)), None);
        assert_eq!(lacking(&two, 3, None), None);
        let asleep = plan("[topology]\nsut = { cores = 2 }\npolling = \"adaptive\"\n");
        assert_eq!(lacking(&asleep, 1, None), None, "cores that sleep share a CPU");
    }
}
