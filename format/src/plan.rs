//! A scenario with every default filled and every unit gone (`plan.toml`): what the testbeds run.
//!
//! A plan holds no fact about a machine and nothing left to decide, so that the same plan means the
//! same packets everywhere; its hash says whether two runs did the same thing. Only
//! [`Scenario::resolve`](crate::Scenario::resolve) makes plans, and only it judges them: whoever
//! reads a plan back trusts it. Durations are in nanoseconds, sizes are L2 frames with FCS, in
//! bytes.

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

mod injection;
mod shape;

pub use crate::testbed::{NotATestbed, Testbed};
pub use injection::{Action, Direction, Injection, NotATarget, Target};
pub use shape::Shape;

/// Value of `schema` in every plan this version writes.
pub const SCHEMA: u32 = 1;

/// Everything a run needs to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Version of this format.
    pub schema: u32,
    /// The question the scenario asks.
    pub question: String,
    /// Name of the scenario: its file name without extension.
    pub scenario: String,
    /// SHA-256 of the scenario's text with overrides applied, hexadecimal.
    pub scenario_hash: String,
    /// Seed of everything random; at most 2^63 − 1, the largest integer of TOML.
    pub seed: u64,
    /// Where it runs.
    pub testbed: Testbed,
    /// How often the phases after the first are repeated, at least 1.
    pub repeat: u32,
    /// Servers and cores.
    pub topology: Topology,
    /// The router between generator and SUT.
    #[serde(default)]
    pub network: Network,
    /// Who has which addresses.
    pub addresses: Addresses,
    /// What is sent.
    pub traffic: Traffic,
    /// Settings of the SUT.
    pub sut: SutPlan,
    /// The phases, in order.
    pub phases: Vec<PhasePlan>,
    /// Systems that are run beside the SUT, in turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peers: Option<Peers>,
    /// Where the device is, if one is tested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
    /// Impaired network between SUT and generator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub faults: Option<Faults>,
    /// What makes the run pass, in the order of the scenario.
    #[serde(default)]
    pub pass: Vec<Criterion>,
}

impl Plan {
    /// The plan as TOML: the content of `plan.toml`, and what [`hash`](Plan::hash) covers.
    ///
    /// # Panics
    /// When an integer exceeds 2^63 − 1, which no resolved plan holds.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_else(|error| panic!("a plan that is no TOML: {error}"))
    }

    /// Reads `plan.toml`.
    ///
    /// # Errors
    /// Text that is no plan of this version.
    pub fn from_toml(text: &str) -> Result<Plan, toml::de::Error> {
        toml::from_str(text)
    }

    /// Servers of the SUT that do not run at the start, ascending: those to which `join` happens
    /// before anything else does.
    pub fn absent_at_start(&self) -> Vec<u16> {
        let absent = |server: &u16| {
            let mut injections = self.phases.iter().filter_map(|phase| phase.injection);
            let first = injections.find(|injection| injection.target.server == *server);
            first.is_some_and(|injection| injection.action == Action::Join)
        };
        (0..self.topology.sut_servers).filter(absent).collect()
    }

    /// The same plan with `kind` as the only system under test.
    #[must_use]
    pub fn of_kind(&self, kind: SutKind) -> Plan {
        let topology = Topology { sut_kind: kind, ..self.topology };
        Plan { topology, peers: None, ..self.clone() }
    }

    /// The plan as it was resolved: a rate that was searched for is no part of it, the search is.
    pub fn as_asked(&self) -> Plan {
        let mut plan = self.clone();
        for phase in plan.phases.iter_mut().filter(|phase| phase.search.is_some()) {
            phase.rate = Rate::Max;
        }
        plan
    }

    /// SHA-256 of the TOML of the plan [as it was resolved](Plan::as_asked), hexadecimal.
    pub fn hash(&self) -> String {
        Plan::hash_of(&self.as_asked().to_toml())
    }

    /// SHA-256 of the text of a `plan.toml`, hexadecimal. Unlike [`hash`](Plan::hash) it holds for
    /// plans that an earlier version wrote, in which later keys are missing.
    pub fn hash_of(text: &str) -> String {
        sha256_hex(text.as_bytes())
    }

    /// The phase whose trials are the result: the last to which something is done, else the last
    /// that sends data, else the last that ends by time, else the last. `None` without phases.
    pub fn measured_phase(&self) -> Option<&PhasePlan> {
        let last = |wanted: fn(&PhasePlan) -> bool| self.phases.iter().rev().find(|p| wanted(p));
        last(|phase| phase.injection.is_some())
            .or_else(|| last(|phase| phase.rate != Rate::None))
            .or_else(|| last(|phase| matches!(phase.until, Until::For(_))))
            .or(self.phases.last())
    }
}

/// SHA-256 of `bytes`, hexadecimal.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Which system is under test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SutKind {
    /// The share-nothing NAT of this project.
    #[default]
    Krononat,
    /// Sends every frame on, translating nothing: the yardstick of the generator itself.
    Forwarder,
    /// A stateless balancer by consistent hashing, which is no NAT and filters nothing.
    Maglev,
    /// The same NAT with one table for all cores, under a lock.
    LockedNat,
    /// The same under a reader-writer lock.
    RwlockNat,
    /// A NAT whose state is in a Redis or Valkey server.
    RemoteState,
    /// The Linux kernel's NAT.
    Kernel,
    /// The same, a namespace for each subscriber.
    PerSubscriber,
    /// Open vSwitch over DPDK.
    OvsDpdk,
    /// A device this project does not start.
    External,
}

impl SutKind {
    /// Whether its code is Krononat's, all of it or but for the part that is compared.
    pub fn is_of_this_project(self) -> bool {
        use SutKind::{Krononat, LockedNat, RemoteState, RwlockNat};
        matches!(self, Krononat | LockedNat | RwlockNat | RemoteState)
    }

    /// Whether it sends packets on as they are, so that subscribers are known by their own addresses.
    pub fn translates_nothing(self) -> bool {
        matches!(self, SutKind::Forwarder | SutKind::Maglev)
    }

    /// Whether it is a system that others made, or does not work without one.
    pub fn is_foreign(self) -> bool {
        use SutKind::{External, Kernel, OvsDpdk, PerSubscriber, RemoteState};
        matches!(self, RemoteState | Kernel | PerSubscriber | OvsDpdk | External)
    }
}

impl fmt::Display for SutKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SutKind::Krononat => "krononat",
            SutKind::Forwarder => "forwarder",
            SutKind::LockedNat => "locked-nat",
            SutKind::RwlockNat => "rwlock-nat",
            SutKind::Maglev => "maglev",
            SutKind::RemoteState => "remote-state",
            SutKind::Kernel => "kernel",
            SutKind::PerSubscriber => "per-subscriber",
            SutKind::OvsDpdk => "ovs-dpdk",
            SutKind::External => "external",
        })
    }
}

/// A device that is neither started nor configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct External {
    /// Interface of this machine that it is behind.
    pub interface: String,
    /// Its station, such as `52:54:00:12:34:56`.
    pub mac: String,
}

/// Systems that are run beside the SUT, in turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peers {
    /// Which, at least one, none of them twice and none of them the SUT.
    pub kinds: Vec<SutKind>,
    /// How often each is run, at least once.
    pub rounds: u32,
}

/// Servers and cores. A pair is one SUT core and one generator core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// Generator servers.
    pub generator_servers: u16,
    /// Cores of each generator server.
    pub generator_cores: u16,
    /// SUT servers.
    pub sut_servers: u16,
    /// Cores of each SUT server.
    pub sut_cores: u16,
    /// Cores of a server that each of them stands for; more than itself in `sim` alone.
    #[serde(default = "itself")]
    pub sut_stands_for: u16,
    /// Which SUT.
    pub sut_kind: SutKind,
    /// What a core does when it has nothing to do.
    #[serde(default)]
    pub polling: Polling,
}

fn itself() -> u16 {
    1
}

/// What a core does when it has nothing to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Polling {
    /// Asks again at once. Each core takes a CPU of its own.
    #[default]
    Busy,
    /// Sleeps up to 100 us, so that cores can share CPUs. Latency has the sleep in it.
    Adaptive,
}

/// The router between generator and SUT: how it finds out that a core is gone, and how long it
/// takes to act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Nanoseconds between two BFD control packets (RFC 5880), each way.
    pub bfd_interval_ns: u64,
    /// Packets that must be missing for a core to be taken for gone (RFC 5880's Detect Mult).
    pub bfd_multiplier: u8,
    /// Nanoseconds from knowing it to the changed route.
    pub fib_delay_ns: u64,
    /// The routing daemon, where one is the router.
    #[serde(default, skip_serializing_if = "Daemon::is_bird")]
    pub router: Daemon,
}

/// A routing daemon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Daemon {
    /// BIRD 2.
    #[default]
    Bird,
    /// FRR: its daemons zebra, staticd, bfdd and bgpd.
    Frr,
}

impl Daemon {
    /// Plans from before there was a choice have the hash that they had.
    fn is_bird(&self) -> bool {
        *self == Daemon::Bird
    }
}

impl Network {
    /// Longest time from a core's last packet to its detection as silent, in nanoseconds: interval
    /// x multiplier (RFC 5880 section 6.8.4).
    pub fn detection_ns(&self) -> u64 {
        self.bfd_interval_ns * u64::from(self.bfd_multiplier)
    }
}

impl Default for Network {
    fn default() -> Self {
        Network {
            bfd_interval_ns: 3_300_000,
            bfd_multiplier: 3,
            fib_delay_ns: 0,
            router: Daemon::Bird,
        }
    }
}

impl Topology {
    /// Generator cores, all servers.
    pub fn generators(&self) -> u32 {
        u32::from(self.generator_servers) * u32::from(self.generator_cores)
    }

    /// SUT cores, all servers.
    pub fn suts(&self) -> u32 {
        u32::from(self.sut_servers) * u32::from(self.sut_cores)
    }

    /// Pairs of one SUT core and one generator core: subscribers are dealt out per pair.
    pub fn pairs(&self) -> u64 {
        u64::from(self.generators()) * u64::from(self.suts())
    }
}

/// Who has which addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Addresses {
    /// Inside addresses (default 100.64.0.0/10, RFC 6598).
    pub subscribers: Ipv4Net,
    /// Addresses the SUT translates to (default 198.18.0.0/16, of RFC 2544's block).
    pub external: Ipv4Net,
    /// Addresses of the peers outside (default 198.19.0.0/16, of RFC 2544's block).
    pub internet: Ipv4Net,
    /// Subscribers of one pair of SUT core and generator core; a power of two.
    pub subscribers_per_pair: u32,
    /// External ports reserved for one subscriber; a power of two.
    pub port_block: u32,
}

/// What is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// Name of the size mix, as the scenario gives it.
    pub genome: String,
    /// Layer that `sizes` refer to, in words.
    pub genome_layer: String,
    /// Frame sizes in bytes, in the order sent, repeated without end; at most 1,000.
    pub sizes: Vec<u16>,
    /// Mean of `sizes`, in bytes.
    pub mean_frame_bytes: f64,
    /// Connections of the whole population, all pairs.
    pub connections: u64,
    /// Share of packets from subscribers to the internet, 0 to 1.
    pub up_share: f64,
    /// Share of connections that are UDP; the rest is TCP.
    pub udp_share: f64,
    /// Share of TCP connections that end by RST; the others do by FIN.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reset_share: f64,
    /// Exponent of Zipf's law, by which packets go to the connections of a generator core; 0 is to all
    /// alike.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub zipf: f64,
    /// A probe is on time up to this long after its planned instant.
    pub deadline_ns: u64,
    /// How long the generator still listens after the last probe of a phase.
    pub drain_ns: u64,
    /// Frames a generator core plans as one burst.
    pub batch: u32,
}

fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

/// Settings of the SUT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SutPlan {
    /// Entries of each SUT core's connection table; a connection takes one.
    pub table_entries: u64,
    /// Connections one subscriber may hold.
    pub subscriber_connections_max: u32,
    /// TCP connections with unfinished handshakes one subscriber may hold.
    pub half_open_max: u32,
    /// Connections each SUT core opens per second; `None` is without limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setups_per_s_max: Option<u32>,
    /// Time that a packet costs a SUT core in virtual time, in picoseconds; `None` is no time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packet_cost_ps: Option<u64>,
    /// Whether the master of a shard sends its connections to a slave on another server.
    #[serde(default)]
    pub replicate: bool,
    /// Shards each core is master of; the slaves of different shards may be different servers.
    #[serde(default = "one")]
    pub shards_per_core: u16,
    /// Idle time after which a connection is forgotten.
    pub timers: Timers,
}

fn one() -> u16 {
    1
}

/// Idle timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timers {
    /// UDP (default 300 s, RFC 4787 REQ-5).
    pub udp_ns: u64,
    /// Established TCP (default 7,440 s, RFC 5382 REQ-5).
    pub tcp_established_ns: u64,
    /// TCP that is opening (default 60 s; RFC 7857 section 2.1 allows less than 240 s).
    pub tcp_half_open_ns: u64,
    /// TCP that is closing (default 240 s, RFC 5382 REQ-5).
    pub tcp_transitory_ns: u64,
    /// ICMP queries (default 60 s, RFC 5508 REQ-2).
    pub icmp_ns: u64,
}

/// One phase. What it opens, closes and sends are independent of each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhasePlan {
    /// Name, unique within the plan.
    pub name: String,
    /// Connections opened per second, all generator cores.
    pub open_per_s: f64,
    /// Connections closed per second, all generator cores.
    pub close_per_s: f64,
    /// Probes use this many of the connections, in turn; `None` is all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<u64>,
    /// Probes sent over the connections held; the mean of the phase where it has a shape.
    pub rate: Rate,
    /// How the rate rises and falls around its mean; only with one in packets per second, and with a
    /// phase that ends by time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<Shape>,
    /// What rate to search for; `rate` is then that of the run that follows the search, and `max` until
    /// it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<Search>,
    /// Attacks beside it.
    #[serde(default, skip_serializing_if = "Attack::is_none")]
    pub attack: Attack,
    /// What is done to the SUT meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub injection: Option<Injection>,
    /// When the phase ends.
    pub until: Until,
}

/// A rate that is found by trials, by the words of FD.io CSIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Search {
    /// The highest rate without loss.
    Ndr,
    /// The highest rate at which no more than 0.5 % of the packets are lost.
    Pdr,
}

impl Search {
    /// Share of packets that may be lost.
    pub fn loss_ratio(self) -> f64 {
        match self {
            Search::Ndr => 0.0,
            Search::Pdr => 0.005,
        }
    }
}

impl fmt::Display for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Search::Ndr => "ndr",
            Search::Pdr => "pdr",
        })
    }
}

/// Rate of probes over the connections held, all generator cores, both directions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rate {
    /// None but the packets that open and close connections.
    None,
    /// As fast as the generator can.
    Max,
    /// This many packets per second.
    Pps(f64),
}

/// Packets that are no probes, sent to do harm. Rates are of all generator cores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attack {
    /// SYNs per second of the attackers, which nobody answers.
    pub syn_flood_per_s: f64,
    /// Subscribers that flood, all pairs.
    pub attackers: u32,
    /// Packets per second from strangers to the external addresses of connections.
    pub scan_per_s: f64,
}

impl Attack {
    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        *self == Attack::default()
    }
}

/// When a phase ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Until {
    /// When this many connections are held.
    Held(u64),
    /// After this many nanoseconds.
    For(u64),
    /// When each connection held has been sent one packet from the Internet.
    Validated,
}

/// An impaired network between SUT and generator, to test the harness itself. Which frames are hit
/// follows from the seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Faults {
    /// Seed of the choice of frames.
    pub seed: u64,
    /// Frames that vanish.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drop: Option<OneIn>,
    /// Frames that arrive twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicate: Option<OneIn>,
    /// Frames held back past the deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<OneIn>,
    /// Frames overtaken by later ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reorder: Option<OneIn>,
    /// Frames with a damaged payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrupt: Option<OneIn>,
    /// Frames with other outer addresses or ports than the SUT gave them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mistranslate: Option<OneIn>,
    /// Frames that carry the probe of another connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub misdeliver: Option<OneIn>,
    /// Frames handed to another core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub misroute: Option<OneIn>,
}

/// One frame in this many, at least 1. Text form `1/1000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneIn(pub u32);

impl fmt::Display for OneIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1/{}", self.0)
    }
}

/// Text that is no share of frames.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no share of frames: expected one in so many, such as \"1/1000\"")]
pub struct NotAShare(String);

impl FromStr for OneIn {
    type Err = NotAShare;
    fn from_str(text: &str) -> Result<OneIn, NotAShare> {
        text.strip_prefix("1/")
            .and_then(|below| below.replace('_', "").parse().ok())
            .filter(|&one_in| one_in > 0)
            .map(OneIn)
            .ok_or_else(|| NotAShare(text.to_owned()))
    }
}

/// A value of the summary and the limits it must keep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Criterion {
    /// Path of the value, such as `ledger.lost`.
    pub name: String,
    /// Smallest value allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Largest value allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_frames_are_one_in_so_many() {
        assert_eq!("1/1_000".parse().ok(), Some(OneIn(1000)));
        for text in ["", "1", "2/3", "1/0", "1/-4", "0.1", "1/4294967296"] {
            assert!(text.parse::<OneIn>().is_err(), "{text}");
        }
    }
}
