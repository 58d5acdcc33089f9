//! The keys of a scenario file, one type per table; `docs/scenarios.md` is made from these
//! comments.
//!
//! These types say what may be written, not what makes sense together: that is the business of
//! `resolve`. Every table refuses keys it does not know.

mod gate;
mod inject;
mod rate;

use crate::genome::Genome;
use crate::plan::{Daemon, External, OneIn, Polling, Search, SutKind};
use crate::summary::Limit;
use crate::unit::{Duration, Instant, PerSecond};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub use gate::{GateKeys, GateMetricKeys};
pub use inject::{DelayKeys, InjectKeys, LossKeys, PartitionKeys};
pub use rate::{CourseKeys, RateKeys};

/// A scenario: what is asked, who takes part, what is sent, in which phases, and what makes the
/// run pass.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// Version of this format: 1.
    pub schema: u32,
    /// The question the scenario answers, in a sentence; printed with every result.
    pub question: String,
    /// Seed of everything random: same scenario, same seed, same packets. `--seed` overrides it.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// Servers and cores.
    #[serde(default)]
    pub topology: TopologyKeys,
    /// The router between generator and SUT.
    #[serde(default)]
    pub network: NetworkKeys,
    /// What is sent.
    pub traffic: TrafficKeys,
    /// Settings of the SUT.
    #[serde(default)]
    pub sut: SutKeys,
    /// Systems to be run beside that of `[topology]`, in turn on the same machine.
    #[serde(default)]
    pub peers: PeerKeys,
    /// Where the device is that `external` stands for: it has been configured already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
    /// The phases, in order. What a phase opens, closes and sends is independent of each other.
    #[serde(rename = "phase")]
    pub phases: Vec<PhaseKeys>,
    /// An impaired network between SUT and generator, for testing the harness itself: one frame in
    /// so many is hit. Absent, the network is perfect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub faults: Option<FaultKeys>,
    /// Limits that values of the summary must keep for the run to pass. The key is the quoted path
    /// of the value: `"ledger.lost" = { max = 0 }`.
    #[serde(default)]
    pub pass: BTreeMap<String, Limit>,
    /// What `krono gate` asks of a candidate.
    #[serde(default)]
    pub gate: GateKeys,
}

fn default_seed() -> u64 {
    1
}

/// Servers and cores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TopologyKeys {
    /// The traffic generator.
    pub generators: GeneratorKeys,
    /// The system under test.
    pub sut: SutTopologyKeys,
    /// What a core does when it has nothing to do. With `busy` it asks again at once and needs a
    /// CPU of its own. With `adaptive` it sleeps up to 100 us, so that more cores than CPUs can
    /// run; then no rate can be `"max"`, and latency includes the sleep.
    pub polling: Polling,
}

/// The traffic generator.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GeneratorKeys {
    /// Generator servers.
    pub servers: u16,
    /// Cores of each generator server.
    pub cores: u16,
}

impl Default for GeneratorKeys {
    fn default() -> Self {
        GeneratorKeys { servers: 1, cores: 1 }
    }
}

/// The system under test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SutTopologyKeys {
    /// Which system: `krononat`, or to be held against it `forwarder` (no NAT), `maglev` (a stateless
    /// balancer), `locked-nat` and `rwlock-nat` (the same NAT with one table for all cores, under a
    /// lock), `remote-state` (a NAT whose state is in a Redis server), `kernel` (Linux nftables),
    /// `per-subscriber` (a namespace with nftables for each subscriber), `ovs-dpdk` (Open vSwitch) and
    /// `external` (a device at given addresses); see `docs/peers.md`.
    pub kind: SutKind,
    /// Servers of the SUT.
    pub servers: u16,
    /// Cores of each server.
    pub cores: u16,
    /// How many cores of a server each core that runs stands for, itself among them. Cores of a server
    /// share nothing, and a core's copies are with cores of its own number: so what happens to one
    /// core of each server happens to all. Connections and rates are of the cores that run. Above 1
    /// in the testbed `sim` and for servers that replicate alone.
    pub stands_for: u16,
}

impl Default for SutTopologyKeys {
    fn default() -> Self {
        SutTopologyKeys { kind: SutKind::Krononat, servers: 1, cores: 1, stands_for: 1 }
    }
}

/// Systems to be run beside that of `[topology]` with the same phases. Each round runs all of them
/// one after another, each from nothing, and the next round begins with another; a peer's figure is
/// set beside that of `[topology]` round by round. One that answers wrongly fails the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PeerKeys {
    /// Which systems, as in `topology.sut.kind`; none is an ordinary run.
    pub kinds: Vec<SutKind>,
    /// How often each is run, 1 to 100. An interval takes at least 6.
    pub rounds: u32,
}

impl Default for PeerKeys {
    fn default() -> Self {
        PeerKeys { kinds: Vec::new(), rounds: 3 }
    }
}

/// The router between generator and SUT. It runs BFD with each core of the SUT and moves the
/// prefix of a shard to its slave when the master's core is silent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkKeys {
    /// Bidirectional Forwarding Detection (RFC 5880).
    pub bfd: BfdKeys,
    /// Time the router takes to change its routes once it knows: 0 is ideal, some hundred
    /// milliseconds are seen in routers that change prefix by prefix. At most 10 s.
    pub fib_delay: Duration,
    /// Which routing daemon is the router of the testbed `netns`; the others bring a router of their
    /// own.
    pub router: Daemon,
}

impl Default for NetworkKeys {
    fn default() -> Self {
        NetworkKeys { bfd: BfdKeys::default(), fib_delay: Duration(0), router: Daemon::Bird }
    }
}

/// Bidirectional Forwarding Detection (RFC 5880).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BfdKeys {
    /// Time between two control packets, each way, 1 ms to 1 s.
    pub interval: Duration,
    /// Packets in a row that must be missing for a core to be taken for gone, 1 to 50: it is
    /// detected within interval x multiplier.
    pub multiplier: u16,
}

impl Default for BfdKeys {
    fn default() -> Self {
        BfdKeys { interval: Duration(3_300_000), multiplier: 3 }
    }
}

/// What is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrafficKeys {
    /// Frame sizes, L2 with FCS, 64 to 1,518 bytes. A preset: `"imix-7-4-1"` (7x64, 4x594,
    /// 1x1518, mean 361.83) or `"imix-278"` (67x64, 28x570, 5x1518, mean 278.38). Or one size:
    /// `64`. Or an RFC 6985 string in the order sent, a = 64, b = 128, c = 256, d = 512,
    /// e = 1024, f = 1280, g = 1518: `"aaag"`. Or `{ sizes = [64, 1518], weights = [9, 1] }`.
    #[serde(default = "default_genome")]
    pub genome: Genome,
    /// Connections of the population, all cores. Filling phases open connections up to it.
    pub connections: u64,
    /// Shares of packets in each direction; they sum to 1.
    #[serde(default)]
    pub direction: DirectionKeys,
    /// Shares of connections of each protocol; they sum to 1.
    #[serde(default)]
    pub protocol: ProtocolKeys,
    /// Share of TCP connections, 0 to 1, that their subscriber ends by RST where `close` ends them; the
    /// others by FIN, its answer and the last acknowledgement.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reset: f64,
    /// Exponent s of Zipf's law, 0 to 1.5: of the connections of a generator core, the k-th most used one
    /// gets packets in proportion to 1 / k^s, and who has which place is drawn by the seed and stays for
    /// life. So rates of connections, and lengths of those that live equally long, have a heavy tail
    /// (Pareto's, of index 1/s). 0: all alike. Phases that validate or have a `sample` do not care.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub zipf: f64,
    /// Subscribers (inside addresses), all cores; rounded up so that each pair of SUT core and
    /// generator core has a power of two. Default: connections ÷ 63, as in FD.io CSIT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscribers: Option<u64>,
    /// A packet is on time when it comes back this long after its planned instant, else late.
    #[serde(default = "default_deadline")]
    pub deadline: Duration,
    /// How long the generator listens after the last packet of a phase; what is not back by then is
    /// lost. At least the deadline, at most 4 s.
    #[serde(default = "default_drain")]
    pub drain: Duration,
    /// Frames a generator core sends in one step, 1 to 128: more of them save cycles and cost latency.
    #[serde(default = "default_batch")]
    pub batch: u32,
    /// Packets per second in place of the `rate` of every phase that has one, or of its mean; meant for
    /// `--set`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_pps: Option<f64>,
}

fn default_genome() -> Genome {
    Genome::Name("imix-7-4-1".to_owned())
}

fn default_deadline() -> Duration {
    Duration(100_000_000)
}

fn default_drain() -> Duration {
    Duration(500_000_000)
}

fn default_batch() -> u32 {
    32
}

/// Shares of packets in each direction; they sum to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DirectionKeys {
    /// From subscribers to the internet.
    pub up: f64,
    /// From the internet to subscribers.
    pub down: f64,
}

impl Default for DirectionKeys {
    fn default() -> Self {
        DirectionKeys { up: 0.5, down: 0.5 }
    }
}

/// Shares of connections of each protocol; they sum to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProtocolKeys {
    /// UDP.
    pub udp: f64,
    /// TCP.
    pub tcp: f64,
}

impl Default for ProtocolKeys {
    fn default() -> Self {
        ProtocolKeys { udp: 0.5, tcp: 0.5 }
    }
}

/// Settings of the SUT.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SutKeys {
    /// External ports reserved for each subscriber, a power of two from 64 to 32,768. Bounds the
    /// connections of a subscriber, closed ones included until their timer ends.
    pub port_block: u32,
    /// Connections each SUT core has room for. Default: what the phases need, plus a quarter,
    /// rounded up to a power of two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table_entries: Option<u64>,
    /// Lets the phases ask for more connections than table or ports have room for, to see what the
    /// SUT does then.
    #[serde(skip_serializing_if = "is_false")]
    pub overcommit: bool,
    /// Connections one subscriber may hold, to whatever remotes (RFC 6888 REQ-5). Default: four times
    /// `port_block`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscriber_connections_max: Option<u32>,
    /// TCP connections whose handshake is not complete that one subscriber may hold. Default: half of
    /// `port_block`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub half_open_max: Option<u32>,
    /// Connections each SUT core opens per second; what comes faster is dropped as `setup_limit`.
    /// Default: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setups_per_s_max: Option<u32>,
    /// Time that a packet costs a SUT core in virtual time, in nanoseconds, 1 to 1,000,000: a figure
    /// measured elsewhere, so that `sim` says what many such cores do together. Default: none, and a
    /// core then takes a burst every 10 us. In the testbed `sim` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packet_cost_ns: Option<f64>,
    /// Whether each shard has a slave on another server that the master keeps up to date. Default:
    /// true with more than one krononat server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicate: Option<bool>,
    /// Shards each core is master of, 1 to 16. Default: servers - 1, so that the load of a dead
    /// server spreads over all others, at least 1 and at most 16.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shards_per_core: Option<u16>,
    /// Idle time after which a connection is forgotten.
    pub timers: TimerKeys,
}

impl Default for SutKeys {
    fn default() -> Self {
        SutKeys {
            port_block: 64,
            table_entries: None,
            overcommit: false,
            subscriber_connections_max: None,
            half_open_max: None,
            setups_per_s_max: None,
            packet_cost_ns: None,
            replicate: None,
            shards_per_core: None,
            timers: TimerKeys::default(),
        }
    }
}

fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

fn is_false(value: &bool) -> bool {
    !value
}

/// Idle time after which a connection is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TimerKeys {
    /// UDP (RFC 4787 REQ-5 recommends 5 minutes).
    pub udp: Duration,
    /// Established TCP (RFC 5382 REQ-5: at least 2 hours 4 minutes).
    pub tcp_established: Duration,
    /// TCP whose handshake is not complete (RFC 7857 §2.1: 4 minutes recommended, less allowed).
    pub tcp_half_open: Duration,
    /// TCP that is closing (RFC 5382 REQ-5: at least 4 minutes).
    pub tcp_transitory: Duration,
    /// ICMP queries (RFC 5508 REQ-2: at least 60 seconds).
    pub icmp: Duration,
}

impl Default for TimerKeys {
    fn default() -> Self {
        TimerKeys {
            udp: Duration(300_000_000_000),
            tcp_established: Duration(7_440_000_000_000),
            tcp_half_open: Duration(60_000_000_000),
            tcp_transitory: Duration(240_000_000_000),
            icmp: Duration(60_000_000_000),
        }
    }
}

/// One phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PhaseKeys {
    /// Name, unique; `--set phase.NAME.rate=5Mpps` uses it.
    pub name: String,
    /// Packets sent over the connections held, both directions: `"max"`, `"10Mpps"`, or `"40Gbps"`
    /// on the wire (L1: mean frame + 20 bytes of preamble and gap). Absent: none. Or one that changes,
    /// in a phase with `for`: `{ from = "1Mpps", to = "5Mpps" }` in a straight line;
    /// `{ mean = "3Mpps", swing = 0.5, period = "10s" }` as a sine that begins at its lowest, 1.5 Mpps;
    /// `{ burst = "5Mpps", on = "10ms", off = "90ms" }` with nothing between bursts. Of sines and
    /// bursts `for` holds a whole number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<RateKeys>,
    /// In the place of `rate`: the highest rate without loss (`"ndr"`) or with at most 0.5 % of it
    /// (`"pdr"`), found by trials of this phase, each after a fill of its own. The run that follows is
    /// at the rate found. Needs `for`, and can only be in the last phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<Search>,
    /// Connections opened per second.
    #[serde(default = "none_per_second")]
    pub open: PerSecond,
    /// Connections closed per second.
    #[serde(default = "none_per_second")]
    pub close: PerSecond,
    /// SYNs per second that `attackers` send and never follow up, each from a port of its own. No
    /// probes: the ledger has them apart, as `flood_sent` and `flood_passed`.
    #[serde(default = "none_per_second", skip_serializing_if = "is_none_per_second")]
    pub syn_flood: PerSecond,
    /// Subscribers that flood; rounded up to as many for each generator core. Default with
    /// `syn_flood`: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attackers: Option<u32>,
    /// Packets per second from strangers on the internet to the external addresses that connections
    /// have been seen to have, port after port; in the ledger as `scan_sent` and `scan_passed`.
    #[serde(default = "none_per_second", skip_serializing_if = "is_none_per_second")]
    pub scan: PerSecond,
    /// How long the phase lasts. Absent, the phase fills: it ends when `count` are held.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub duration: Option<Duration>,
    /// Connections held at which a filling phase ends. Default: `traffic.connections`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Sends one packet from the Internet over each connection held, in the order they were opened,
    /// and ends with the last: whatever the SUT has forgotten is lost (RFC 9693's validation).
    #[serde(default)]
    pub validate: bool,
    /// Data goes to this many connections only, in turn, spread evenly over the population: each is
    /// seen once in `sample` / `rate`, up and down alternately, so outages are told in steps of twice
    /// that. It must be 100 ms or less. Needs a rate in packets per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<u64>,
    /// Instant of `inject`, from the begin of the phase: `"1s"`, or a range such as `"1s..1.1s"` to
    /// draw it from by seed and repetition. Before the phase ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Instant>,
    /// What is done to the SUT at that instant: one action with its target, such as
    /// `{ kill = "sut.server[1]" }`. Needs `at` and `for`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inject: Option<InjectKeys>,
}

fn none_per_second() -> PerSecond {
    PerSecond(0.0)
}

fn is_none_per_second(rate: &PerSecond) -> bool {
    *rate == none_per_second()
}

/// An impaired network between SUT and generator. Each share is one frame in so many: `"1/1000"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FaultKeys {
    /// Seed of the choice of frames. Default: the scenario's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Frames that vanish.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop: Option<OneIn>,
    /// Frames that arrive twice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicate: Option<OneIn>,
    /// Frames held back while many others pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<OneIn>,
    /// Frames held back until the next one has passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reorder: Option<OneIn>,
    /// Frames with a flipped bit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrupt: Option<OneIn>,
    /// Frames with another source port than the SUT gave them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mistranslate: Option<OneIn>,
    /// Frames with another destination.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub misdeliver: Option<OneIn>,
    /// Frames handed to another core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub misroute: Option<OneIn>,
}
